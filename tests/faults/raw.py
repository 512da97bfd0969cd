"""A detector whose raw files are easy to make and to break, and a stage; for processes of their own.

A file is a header with the number of events, then records, each with a checksum of its samples. Reading and
computing take as long as ``ETENDUE_TEST_PACE`` says, in seconds a partition.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from zlib import crc32

import numpy as np

import etendue as et
from etendue.dataflow.partition import Failure, Partition
from etendue.dataflow.source import Scan, SourceError
from etendue.schema import Columns, Schema, Table, variables

from .points import mark_writer, reach

PACE = "ETENDUE_TEST_PACE"
MAGIC = b"toyraw\0\0"
HEADER = len(MAGIC) + 8
HITS = 4
RECORD = np.dtype([("event_id", "<i8"), ("n_hits", "<i4"), ("crc", "<u4"), ("samples", "<u2", (HITS, 40))])
SCHEMA = Schema({}).with_tables(
    [
        Table(
            "events",
            "event",
            variables("event", run=("uint32", "", "run"), event_id=("int64", "", "number in the run")),
        ),
        Table(
            "hits",
            "hit",
            variables("hit", samples=(("sample",), "uint16", "adu", "raw samples")),
            sizes={"sample": 40},
            parent="events",
        ),
        Table(
            "observation",
            "observation",
            variables("observation", run=("uint32", "", "run"), seed=("int64", "", "of the random numbers")),
            role="static",
        ),
        Table(
            "periods",
            "period",
            variables("period", run=("uint32", "", "run"), gain=("float64", "", "gain of the run")),
            role="conditions",
        ),
    ]
)


def write_raw(path: Path, n_events: int, seed: int) -> str:
    """Write a raw file."""
    rng = np.random.default_rng(seed)
    records = np.zeros(n_events, RECORD)
    records["event_id"] = np.arange(n_events)
    records["n_hits"] = rng.integers(0, HITS + 1, n_events)
    records["samples"] = rng.integers(0, 4096, records["samples"].shape)
    records["crc"] = [crc32(samples.tobytes()) for samples in records["samples"]]
    path.write_bytes(MAGIC + n_events.to_bytes(4, "little") + seed.to_bytes(4, "little") + records.tobytes())
    return str(path)


def truncate(path: str | Path, n_events: int) -> None:
    """Cut a raw file in the middle of an event."""
    path = Path(path)
    path.write_bytes(path.read_bytes()[: HEADER + n_events * RECORD.itemsize + 100])


def spoil(path: str | Path, event: int) -> None:
    """Flip a bit in the samples of an event."""
    path = Path(path)
    data = bytearray(path.read_bytes())
    data[HEADER + event * RECORD.itemsize + 200] ^= 1
    path.write_bytes(data)


class RawSource:
    """Reads these files; a block is an event."""

    name = "toyraw"

    def accepts(self, path: str) -> bool:
        return Path(path).is_file() and Path(path).read_bytes()[: len(MAGIC)] == MAGIC

    def scan(self, path: str, on_error: str = "raise") -> Scan:
        data = Path(path).read_bytes()
        n_events, seed = np.frombuffer(data, "<u4", 2, len(MAGIC)).tolist()
        n_whole = min(n_events, (len(data) - HEADER) // RECORD.itemsize)
        failures = ()
        if n_whole < n_events:
            lost = n_events - n_whole
            error = SourceError(path, f"byte {len(data)}", f"ends early, {lost} events are missing", lost)
            if on_error == "raise":
                raise error
            failures = (error.failure,)
        records = np.frombuffer(data, RECORD, n_whole, HEADER)
        counts = records["n_hits"].astype(np.int64)
        return Scan(
            path,
            self.name,
            SCHEMA,
            {"observation": {"run": np.zeros(1, np.uint32), "seed": np.array([seed], np.int64)}},
            {"events": np.ones(n_whole, np.int64), "hits": counts},
            splittable=True,
            size=len(data),
            failures=failures,
            sha256=hashlib.sha256(data).hexdigest(),
        )

    def read(self, scan, ranges, columns, on_error="raise") -> Iterator[Partition]:
        mark_writer()
        gain = {"run": np.zeros(1, np.uint32), "gain": 1.0 + scan.static["observation"]["seed"] / 100}
        for number, (first, stop) in enumerate(ranges):
            reach("read")
            sleep(float(os.environ.get(PACE, 0)) / 2)
            records, failures = self._records(scan.path, first, stop, on_error)
            tables = self._tables(records)
            tables["periods"] = {c: a if first == 0 else a[:0] for c, a in gain.items()}
            yield Partition(number, SCHEMA, tables, {**scan.static, "periods": gain}, failures=failures)

    def _records(self, path, first, stop, on_error) -> tuple[np.ndarray, tuple[Failure, ...]]:
        with open(path, "rb") as file:
            file.seek(HEADER + first * RECORD.itemsize)
            data = file.read((stop - first) * RECORD.itemsize)
        if len(data) < (stop - first) * RECORD.itemsize:
            raise SourceError(path, f"event {first}", "the file is shorter than it was when it was scanned")
        records = np.frombuffer(data, RECORD)
        good = np.array([crc32(samples.tobytes()) for samples in records["samples"]]) == records["crc"]
        errors = [SourceError(path, f"event {first + n}", "wrong checksum", 1) for n in np.flatnonzero(~good)]
        if errors and on_error == "raise":
            raise errors[0]
        return records[good], tuple(error.failure for error in errors)

    def _tables(self, records: np.ndarray) -> dict[str, Columns]:
        there = np.arange(HITS) < records["n_hits"][:, None]
        return {
            "events": {
                "run": np.zeros(len(records), np.uint32),
                "event_id": records["event_id"].astype(np.int64),
                "n_hits": records["n_hits"].astype(np.int32),
            },
            "hits": {"samples": records["samples"][there]},
        }


@et.stage(reads="hits/samples", writes={"hits/charge": ("hit", "float64", "adu")})
def charge(samples):
    """Sum the samples of each hit."""
    reach("compute")
    sleep(float(os.environ.get(PACE, 0)) / 2)
    return {"hits/charge": samples.sum(axis=1, dtype=np.float64)}


PIPELINE = """name = "toy"
description = "samples and charges"
write = ["events/*", "hits/*"]

[[stage]]
use = "tests.faults.raw:charge"
"""
