"""Passes of events with hits, whose values a test sets, for comparing and damaging."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from etendue.dataflow.partition import Receipt
from etendue.schema import Columns, Schema, Table, variables
from etendue.store import PassWriter

SCHEMA = Schema({}).with_tables(
    [
        Table(
            "events",
            "event",
            variables(
                "event",
                run=("uint32", "", "row of /observation"),
                event_id=("int64", "", "number in the run"),
                energy=("float64", "TeV", "fitted energy"),
                label=("str", "", "what the shift wrote"),
            ),
        ),
        Table(
            "hits",
            "hit",
            variables(
                "hit",
                dom_id=("int32", "", "module"),
                charge=("float32", "pe", "charge"),
                samples=(("sample",), "uint16", "adu", "samples"),
            ),
            sizes={"sample": 40},
            parent="events",
        ),
        Table("observation", "observation", variables("observation", run=("uint32", "", "")), role="static"),
        Table(
            "periods",
            "period",
            variables("period", run=("uint32", "", ""), gain=("float64", "", "")),
            role="conditions",
        ),
    ]
)


def make_events(n: int, seed: int = 0, runs: int = 2) -> dict[str, Columns]:
    """All rows of a pass: events in the order of their runs and numbers."""
    rng = np.random.default_rng(seed)
    n_hits = rng.integers(0, 6, n).astype(np.int32)
    hits = int(n_hits.sum())
    return {
        "events": {
            "run": np.sort(rng.integers(0, runs, n)).astype(np.uint32),
            "event_id": np.arange(n, dtype=np.int64),
            "energy": rng.lognormal(size=n),
            "label": rng.choice(["clear", "clouds", ""], n),
            "n_hits": n_hits,
        },
        "hits": {
            "dom_id": rng.integers(0, 5, hits).astype(np.int32),
            "charge": rng.normal(10, 2, hits).astype(np.float32),
            "samples": rng.integers(0, 4096, (hits, 40)).astype(np.uint16),
        },
        "periods": {"run": np.arange(runs, dtype=np.uint32), "gain": rng.normal(size=runs)},
    }


def cut(tables: dict[str, Columns], edges: Sequence[int]) -> list[dict[str, Columns]]:
    """Partitions of the events between each two edges; the periods are in the first."""
    ends = np.concatenate([[0], np.cumsum(tables["events"]["n_hits"])])
    partitions = []
    for first, stop in pairwise(edges):
        partitions.append(
            {
                "events": {c: a[first:stop] for c, a in tables["events"].items()},
                "hits": {c: a[ends[first] : ends[stop]] for c, a in tables["hits"].items()},
                "periods": {c: a if first == edges[0] else a[:0] for c, a in tables["periods"].items()},
            }
        )
    return partitions


def keep(tables: dict[str, Columns], mask: np.ndarray) -> dict[str, Columns]:
    """The events of a mask with their hits."""
    owner = np.repeat(np.arange(len(mask)), tables["events"]["n_hits"])
    events = {c: a[mask] for c, a in tables["events"].items()}
    return {**tables, "events": events, "hits": {c: a[mask[owner]] for c, a in tables["hits"].items()}}


def begin(path, name: str, partitions: list, schema: Schema = SCHEMA, n_runs: int = 2) -> PassWriter:
    """A pass that is begun and whose partitions are taken in, but not committed."""
    identity = {"inputs": [{"path": f"run{n}.dat"} for n in range(n_runs)]}
    static = {"observation": {"run": np.arange(n_runs, dtype=np.uint32)}}
    writer = PassWriter.create(str(path), name, schema, static, len(partitions), {"identity": identity})
    first = 0
    for number, tables in enumerate(partitions):
        chunks = writer.fork()
        checksums = chunks.write(number, tables)
        rows = {table: len(next(iter(columns.values()))) for table, columns in tables.items()}
        stop = first + rows["events"]
        writer.take(
            [Receipt(number, rows, rows, checksums, {}, blocks=(first, stop))],
            chunks.session,
            input_number=1,
        )
        first = stop
    return writer


def write_events(path, name: str, partitions: list, schema: Schema = SCHEMA) -> str:
    """Write a pass from its partitions, all said to be of input 1."""
    return begin(path, name, partitions, schema).publish({})
