"""A detector that no physicist knows: events that own hits, in binary files; the least source and stage."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from etendue.extend import (
    RUN,
    Columns,
    Failure,
    OnError,
    Partition,
    Scan,
    Schema,
    SourceError,
    Stage,
    Table,
    offsets,
    variables,
)

MAGIC = b"TOY1"
#: Of an event: its number, its time, how many hits it has.
HEADER = struct.Struct("<qdI")
#: Of a hit: charge, channel.
HIT = np.dtype([("charge", "<f4"), ("channel", "<u2")])
MOST_HITS = 1000

EVENTS = Table(
    "events",
    "event",
    variables(
        "event",
        run=("uint32", "", "run"),
        event_id=("int64", "", "number of the event"),
        time=("float64", "s", "time since the run began"),
    ),
    description="one row an event",
    key=(RUN, "event_id"),
)
HITS = Table(
    "hits",
    "hit",
    variables("hit", charge=("float32", "pe", "charge"), channel=("uint16", "", "channel")),
    kind="hits",
    parent="events",
    description="one row a hit",
)
SCHEMA = Schema({}).with_tables([EVENTS, HITS])


def write_toy(path: str | Path, n_events: int, seed: int, most_hits: int = 5) -> str:
    """Write a toy file of random events; its path.

    Parameters
    ----------
    path : path
        File to write.
    n_events : int
        Events; each has 0 to ``most_hits`` hits.
    seed : int
        Files of other seeds hold other events.
    """
    rng = np.random.default_rng(seed)
    parts = [MAGIC]
    for number in range(n_events):
        hits = np.zeros(int(rng.integers(0, most_hits + 1)), HIT)
        hits["charge"] = rng.exponential(size=len(hits))
        hits["channel"] = rng.integers(0, 32, len(hits))
        parts += [HEADER.pack(number, 0.5 * number + seed, len(hits)), hits.tobytes()]
    Path(path).write_bytes(b"".join(parts))
    return str(path)


class ToySource:
    """Reads files of `write_toy`.

    A scan reads the headers of the events only. One that cannot be right ends the file, as nothing after it
    can be found.
    """

    name = "toy"

    def accepts(self, path: str) -> bool:
        """Whether it begins as these files do."""
        try:
            with open(path, "rb") as file:
                return file.read(len(MAGIC)) == MAGIC
        except OSError:
            return False

    def scan(self, path: str, on_error: OnError = "raise") -> Scan:
        """Count the hits of each event."""
        data = Path(path).read_bytes()
        counts, failure = _counts(path, data)
        if failure is not None and on_error == "raise":
            raise SourceError(failure.path, failure.place, failure.message)
        rows = {"events": np.ones(len(counts), np.int64), "hits": counts.astype(np.int64)}
        failures = () if failure is None else (failure,)
        return Scan(path, self.name, SCHEMA, {}, rows, splittable=True, size=len(data), failures=failures)

    def read(
        self,
        scan: Scan,
        ranges: Sequence[tuple[int, int]],
        columns: frozenset[str],
        on_error: OnError = "raise",
    ) -> Iterator[Partition]:
        """Read events; they were whole when they were scanned."""
        data = Path(scan.path).read_bytes()
        counts = scan.rows["hits"]
        starts = len(MAGIC) + HEADER.size * np.arange(len(counts)) + HIT.itemsize * offsets(counts)[:-1]
        for number, (first, stop) in enumerate(ranges):
            tables = {name: _only(name, table, columns) for name, table in _decode(data, starts[first:stop])}
            yield Partition(number, scan.schema, tables)

    def place(self, scan: Scan, block: int) -> str:
        """The bytes of an event."""
        before = int(scan.rows["hits"][:block].sum())
        first = len(MAGIC) + block * HEADER.size + before * HIT.itemsize
        return f"bytes {first} to {first + HEADER.size + int(scan.rows['hits'][block]) * HIT.itemsize}"


def _counts(path: str, data: bytes) -> tuple[np.ndarray, Failure | None]:
    """Hits of each event, and why not all of the file can be read."""
    counts, at = [], len(MAGIC)
    while at < len(data):
        n_hits = HEADER.unpack_from(data, at)[2] if at + HEADER.size <= len(data) else 0
        end = at + HEADER.size + n_hits * HIT.itemsize
        if end > len(data) or n_hits > MOST_HITS:
            message = f"expected a whole event of at most {MOST_HITS} hits; copy the file again"
            return np.array(counts, np.int64), Failure(path, f"byte {at}", message)
        counts.append(n_hits)
        at = end
    return np.array(counts, np.int64), None


def _decode(data: bytes, starts: np.ndarray) -> Iterator[tuple[str, Columns]]:
    headers = [HEADER.unpack_from(data, at) for at in starts.tolist()]
    parts = [
        np.frombuffer(data, HIT, n_hits, at + HEADER.size)
        for at, (_, _, n_hits) in zip(starts.tolist(), headers, strict=True)
    ]
    hits = np.concatenate([np.empty(0, HIT), *parts])
    yield (
        "events",
        {
            RUN: np.zeros(len(headers), np.uint32),
            "event_id": np.array([number for number, _, _ in headers], np.int64),
            "time": np.array([time for _, time, _ in headers], np.float64),
            "n_hits": np.array([n_hits for _, _, n_hits in headers], np.int32),
        },
    )
    yield "hits", {name: np.ascontiguousarray(hits[name]) for name in ("charge", "channel")}


def _only(table: str, columns: Columns, wanted: frozenset[str]) -> Columns:
    """The columns that are wanted; counts are always given."""
    return {c: a for c, a in columns.items() if c.startswith("n_") or f"{table}/{c}" in wanted}


class Weigh(Stage):
    """Charge of each event: the sum over its hits, in float64, times a weight."""

    reads: ClassVar = ("hits/charge",)
    writes: ClassVar = {"events/charge": ("event", "float64", "pe", "weighted charge of all hits")}

    weight: float = Field(1.0, description="what each charge is multiplied with")

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        charges = partition["hits/charge"].astype(np.float64)
        sums = np.bincount(partition.owners("hits"), charges, minlength=partition.rows("events"))
        return {"events/charge": self.weight * sums}
