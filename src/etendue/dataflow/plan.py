"""Plans: which partitions, in which tasks, with how much memory; refused before running if too much."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from etendue.dataflow.chain import CheckedPipeline
from etendue.dataflow.families import meant_for_others
from etendue.dataflow.pipeline import Pipeline
from etendue.dataflow.settle import settled
from etendue.dataflow.source import OnError, Scan
from etendue.dataflow.stage_error import MissingError, PipelineError
from etendue.dataflow.unify import Inputs
from etendue.errors import EtendueError
from etendue.reprs import Legible
from etendue.schema import Columns, Schema

if TYPE_CHECKING:
    from etendue.dataflow.outcome import Outcome

#: Raw bytes of a partition, unless told otherwise: some 800 LST readouts.
PARTITION_BYTES = 128 << 20
#: Partitions are joined into one task up to this many raw bytes.
SPAN_BYTES = 1 << 30
#: Partitions of a stream that has not been scanned, relative to what is expected: at most this.
RESERVE = 4
#: and never more than this many; a stream that has more is scanned first.
MOST_RESERVED = 100_000
#: What a process needs besides its partitions: the interpreter, libraries and compiled kernels.
BASE_BYTES = 300 << 20

PARTITION = np.dtype([("scan", "i4"), ("first", "i8"), ("stop", "i8"), ("bytes", "i8")])
SPAN = np.dtype([("first", "i8"), ("stop", "i8")])


class PlanError(EtendueError, ValueError):
    """A plan that cannot run here: says what would."""


@dataclass(frozen=True, repr=False)
class Plan(Legible):
    """What a run will do: one task a span, one chunk a partition.

    Parameters
    ----------
    inputs : Inputs
        The scanned inputs as one run.
    pipeline : CheckedPipeline
        The chain, checked against them.
    partitions : structured array
        Of each partition: its scan, its blocks ``first`` to ``stop``, and its raw ``bytes``.
    spans : structured array
        Of each task: its partitions ``first`` to ``stop``.
    workers : int
        Tasks that run at the same time in one process.
    peak_bytes : int
        Memory that one process is expected to need.
    on_error : {"raise", "skip"}
        What to do about broken input.
    partition_bytes : int
        What the partitions are cut to.
    """

    inputs: Inputs
    pipeline: CheckedPipeline
    partitions: np.ndarray
    spans: np.ndarray
    workers: int
    peak_bytes: int
    on_error: OnError
    partition_bytes: int
    numbers: np.ndarray
    input_numbers: np.ndarray

    def placed(self, numbers: np.ndarray, input_numbers: np.ndarray) -> Plan:
        """The same plan for a pass that holds other partitions and inputs as well."""
        return replace(self, numbers=numbers, input_numbers=input_numbers)

    def only(self, mask: np.ndarray) -> Plan:
        """The plan of the partitions where the mask is true."""
        partitions = self.partitions[mask]
        spans = _spans(partitions, self.inputs.scans, self.workers)
        return replace(self, partitions=partitions, numbers=self.numbers[mask], spans=spans)

    def heads(self, n_blocks: int) -> Iterator[Plan]:
        """The plan in parts that grow: first a few blocks, in the end some partitions at a time.

        Who needs the first rows only stops when there are enough; who needs all does little more than once.
        """
        if not len(self.partitions):
            return
        (start, stop), size = self.partitions[["first", "stop"]][0].tolist(), max(n_blocks, 1)
        while start < stop:
            part = self.partitions[:1].copy()
            part["first"], part["stop"] = start, min(start + size, stop)
            yield self._of(part)
            start, size = start + size, 2 * size
        first, size = 1, 1
        while first < len(self.partitions):
            yield self._of(self.partitions[first : first + size])
            first, size = first + size, min(2 * size, 16 * self.workers)

    def _of(self, partitions: np.ndarray) -> Plan:
        """The plan of other partitions, numbered from 0."""
        spans = _spans(partitions, self.inputs.scans, self.workers)
        return replace(self, partitions=partitions, numbers=np.arange(len(partitions)), spans=spans)

    def in_order(self, n_spans: int) -> Iterator[Plan]:
        """The plan in parts of so many spans."""
        for first in range(0, len(self.spans), n_spans):
            spans = self.spans[first : first + n_spans]
            start, stop = int(spans["first"][0]), int(spans["stop"][-1])
            moved = spans.copy()
            moved["first"] -= start
            moved["stop"] -= start
            yield replace(
                self, partitions=self.partitions[start:stop], numbers=self.numbers[start:stop], spans=moved
            )

    @property
    def raw_bytes(self) -> int:
        """Bytes of the columns that are read, uncompressed."""
        return int(self.partitions["bytes"].sum())

    @property
    def static(self) -> dict[str, Columns]:
        """Contents of the static tables: what the inputs give, and what stages bring in."""
        return {**self.inputs.static, **self.pipeline.brought}

    def settled_static(self, outcome: Outcome) -> dict[str, Columns]:
        """The static tables that have other values when all was read; see `etendue.dataflow.settle`."""
        tallies = {n: outcome.tallies.get(number, {}) for n, number in enumerate(self.input_numbers.tolist())}
        return settled(self.static, self.pipeline.schema, self.inputs, outcome.failures, tallies)

    def rows(self, table: str) -> int:
        """Rows of a table that the scans counted."""
        total = 0
        for scan, rename in zip(self.inputs.scans, self.inputs.renames, strict=True):
            total += sum(int(n.sum()) for name, n in scan.rows.items() if rename.get(name, name) == table)
        return total

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values; sizes in bytes, rows are None where they are not counted beforehand."""
        schema, counted = self.inputs.schema, self.inputs.counted
        tables = [table.name for table in schema.values() if table.role == "rows"]
        return {
            "inputs": [{"path": s.path, "source": s.source, "bytes": s.size} for s in self.inputs.scans],
            "rows": {name: self.rows(name) if counted else None for name in tables},
            "partitions": len(self.partitions) if counted else None,
            "spans": len(self.spans),
            "raw_bytes": self.raw_bytes if counted else None,
            "peak_bytes": self.peak_bytes,
            "workers": self.workers,
            "stages": [stage.name for stage in self.pipeline.pipeline.stages],
            "reads": sorted(self.pipeline.read),
            "writes": sorted(self.pipeline.written),
            "failures": [asdict(failure) for failure in self.inputs.failures],
        }

    def facts(self) -> dict[str, str]:
        """The plan in a few lines, for people."""
        top = self.inputs.schema.top.name
        readouts = {t.name: self.rows(t.name) for t in self.inputs.schema.children(top)}
        counts = {
            top: f"{self.rows(top):,}",
            **{name: f"{count:,}" for name, count in readouts.items()},
            "partitions": f"{len(self.partitions):,}",
            "raw bytes": _bytes(self.raw_bytes),
        }
        return {
            "inputs": f"{len(self.inputs.scans)} ({_bytes(sum(s.size for s in self.inputs.scans))})",
            **(counts if self.inputs.counted else {top: "not counted before they are read"}),
            "spans": f"{len(self.spans):,}",
            "peak memory": f"{_bytes(self.peak_bytes)} with {self.workers} at a time",
        }

    def __str__(self) -> str:
        width = max(map(len, self.facts()))
        return "\n".join(f"{key:<{width}}  {value}" for key, value in self.facts().items())


def make_plan(
    inputs: Inputs,
    pipeline: Pipeline,
    *,
    also_read: Iterable[str] = (),
    write: bool = True,
    partition_bytes: int = PARTITION_BYTES,
    workers: int | None = None,
    memory_limit: int | None = None,
    on_error: OnError = "raise",
) -> Plan:
    """Cut scanned inputs into partitions and spans, and check that they fit in memory.

    Parameters
    ----------
    inputs : Inputs
        What `scan_inputs` returned.
    pipeline : Pipeline
        The chain to run.
    also_read, write
        See `Pipeline.check`.
    partition_bytes : int
        Raw bytes of a partition (never less than one block).
    workers : int, optional
        Tasks at a time in one process; by default one a core.
    memory_limit : int, optional
        Bytes that one process may use; by default 80 % of what is available now.
    on_error : {"raise", "skip"}
        What to do about broken input.

    Raises
    ------
    PlanError
        If the expected peak does not fit the limit; names the partition size that would.
    """
    try:
        checked = pipeline.check(inputs.schema, also_read, write=write, static=inputs.static)
    except PipelineError as error:
        kinds = sorted({scan.source for scan in inputs.scans})
        if told := meant_for_others(pipeline.stages, kinds):
            raise type(error)(f"{told}: {error}") from error
        if isinstance(error, MissingError):
            raise MissingError(f"{error}; the inputs are of the kind {' and '.join(kinds)}") from None
        raise
    workers = workers or cores()
    limit = memory_limit or int(0.8 * available_memory())
    partitions = np.concatenate(
        [np.empty(0, PARTITION), *_cut_all(inputs, checked, partition_bytes)], dtype=PARTITION
    )
    growth = _growth(inputs, checked)
    largest = int(partitions["bytes"].max(initial=0))
    peak = BASE_BYTES + int(workers * growth * largest)
    if peak > limit:
        # A partition may pass its size by a block, so a little less than what would just fit.
        fits = max(0, int(0.95 * (limit - BASE_BYTES) / (workers * growth)))
        advice = (
            f"use partitions of at most {_bytes(fits)} (--partition-bytes {fits})"
            if fits >= (1 << 20)
            else f"give it {_bytes(peak)} or fewer workers"
        )
        raise PlanError(
            f"the plan needs about {_bytes(peak)} of memory and the limit is {_bytes(limit)} "
            f"({workers} partitions of {_bytes(largest)} at a time); {advice}"
        )
    spans = _spans(partitions, inputs.scans, workers)
    numbers, input_numbers = np.arange(len(partitions)), np.arange(len(inputs.scans))
    return Plan(
        inputs, checked, partitions, spans, workers, peak, on_error, partition_bytes, numbers, input_numbers
    )


def _cut_all(inputs: Inputs, checked: CheckedPipeline, partition_bytes: int) -> Iterator[np.ndarray]:
    n_bytes_of = {table: row_bytes(inputs.schema, table, checked.read) for table in inputs.schema}
    for number, (scan, rename) in enumerate(zip(inputs.scans, inputs.renames, strict=True)):
        if not scan.counted:
            # Numbers for all the partitions that may come; those without are left out in the end.
            n_partitions = min(RESERVE * (1 + scan.expected_bytes // max(partition_bytes, 1)), MOST_RESERVED)
            n_bytes = min(partition_bytes, RESERVE * scan.expected_bytes)
            yield np.full(n_partitions, np.array((number, 0, 0, n_bytes), PARTITION))
            continue
        rows = {rename.get(name, name): counts for name, counts in scan.rows.items()}
        n_blocks = len(next(iter(rows.values()))) - scan.seen_blocks if rows else 0
        if n_blocks == 0:
            continue
        weight = np.zeros(n_blocks, dtype=np.int64)
        for table, counts in rows.items():
            weight += counts[scan.seen_blocks :] * n_bytes_of[table]
        # A new partition starts where the bytes so far pass a multiple of the partition size.
        bins = (np.cumsum(weight) - weight) // max(partition_bytes, 1)
        first = np.flatnonzero(np.diff(bins, prepend=-1))
        cut = np.empty(len(first), PARTITION)
        cut["scan"], cut["first"], cut["stop"] = number, first, np.append(first[1:], n_blocks)
        cut["first"] += scan.seen_blocks
        cut["stop"] += scan.seen_blocks
        cut["bytes"] = np.add.reduceat(weight, first)
        yield cut


def _spans(partitions: np.ndarray, scans: Sequence[Scan], workers: int) -> np.ndarray:
    """Join partitions into tasks: a stream is one; what can be split is shared among the workers."""
    if not len(partitions):
        return np.empty(0, SPAN)
    splittable = np.array([scan.splittable for scan in scans])[partitions["scan"]]
    # Many spans a worker, so that all of them end at about the same time.
    size = max(1, min(SPAN_BYTES, int(partitions["bytes"].sum()) // (16 * workers)))
    total = np.cumsum(partitions["bytes"]) - partitions["bytes"]
    part = np.where(splittable, total // size, 0)
    new = np.diff(partitions["scan"], prepend=-1) != 0
    new |= np.diff(part, prepend=-1) != 0
    first = np.flatnonzero(new)
    spans = np.empty(len(first), SPAN)
    spans["first"], spans["stop"] = first, np.append(first[1:], len(partitions))
    return spans


def row_bytes(schema: Schema, table: str, names: frozenset[str]) -> int:
    """Bytes of one row of a table, of the columns in ``names``."""
    declared = schema[table]
    return sum(
        variable.row_bytes(declared.sizes)
        for variable in declared.variables.values()
        if f"{table}/{variable.name}" in names
    )


def _growth(inputs: Inputs, checked: CheckedPipeline) -> float:
    """Greatest memory of a partition while its chain runs, relative to what is read of it.

    Columns marked ``bulk`` that a stage makes (calibrated samples) are views that are evaluated block
    by block, and count only if they are written. One more copy of the greatest column is in flight
    while it is decoded or encoded.
    """
    schema = checked.schema
    worst = 1.0
    for table in (t for t in schema.values() if t.role == "rows"):
        read = row_bytes(schema, table.name, checked.read)
        if read == 0:
            continue
        live, there = [read], set(checked.read)
        for position, made in enumerate(checked.provided):
            there |= {n for n in made if n in checked.written or not schema.variable(n).bulk}
            live.append(row_bytes(schema, table.name, frozenset(there)))
            there &= checked.live_after[position]
        in_flight = max(
            (v.row_bytes(table.sizes) for v in table.variables.values()
             if f"{table.name}/{v.name}" in checked.read | checked.written),
            default=0,
        )  # fmt: skip
        worst = max(worst, (max(live) + in_flight) / read)
    return worst


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int:
    """Bytes of memory that are free for use now."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass  # not Linux
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _bytes(n: float) -> str:
    """A size for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(n) < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} TB"
