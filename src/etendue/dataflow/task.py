"""What a worker does: read the partitions of a span, run the chain, write and fill what comes out.

It returns receipts and compact partial results, never rows, unless they are collected for a notebook.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from time import thread_time
from typing import TYPE_CHECKING, Any

import numpy as np

from etendue.dataflow import border
from etendue.dataflow.chain import Applied, CheckedPipeline
from etendue.dataflow.memory import reuse_freed_memory
from etendue.dataflow.outside import OutsideFile, check_files
from etendue.dataflow.partition import Failure, Partition, Receipt
from etendue.dataflow.plan import row_bytes
from etendue.dataflow.source import (
    OnError,
    Scan,
    SourceError,
    Stream,
    UnforeseenError,
    check_unchanged,
    get_source,
    guarded,
    told,
)
from etendue.dataflow.stage_error import StageError, error_at
from etendue.dataflow.unify import Inputs, rename_path, renamed_partition
from etendue.schema import Columns, Schema

if TYPE_CHECKING:
    from icechunk import ForkSession

    from etendue.histogram import Accumulator, Payload, Request
    from etendue.store import ChunkWriter


@dataclass(frozen=True)
class Work:
    """What is the same for all tasks of a run; ``writer`` is copied by each."""

    inputs: Inputs
    pipeline: CheckedPipeline
    requests: tuple[Request, ...]
    on_error: OnError
    collect: bool
    partition_bytes: int
    writer: ChunkWriter | None
    files: tuple[OutsideFile, ...] = ()


@dataclass(frozen=True)
class Task:
    """One span: which blocks of which input, and what numbers its partitions have."""

    scan: int
    numbers: tuple[int, ...]
    ranges: tuple[tuple[int, int], ...]


@dataclass
class Done:
    """What a task returns: of each partition a receipt, and what comes with them."""

    scan: int
    receipts: list[Receipt]
    chunks: ForkSession | None = None
    sha256: str = ""
    tallies: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    payload: Payload | None = None
    tables: list[dict[str, Columns]] = field(default_factory=list)


def run_span(work: Work, task: Task) -> Done:
    """Process the partitions of one span; runs on a worker."""
    reuse_freed_memory()
    check_files(work.files)
    with _accumulator(work.requests) as accumulator:
        span = _Span(work, task, accumulator)
        span.process()
        if accumulator is not None:
            span.done.payload = accumulator.payload()
    check_files(work.files)
    return span.done


class _Span:
    """One span, partition by partition. With ``on_error`` ``skip``, what fails is set aside and told."""

    def __init__(self, work: Work, task: Task, accumulator: Accumulator | None) -> None:
        self.work = work
        self.task = task
        self.scan: Scan = work.inputs.scans[task.scan]
        self.accumulator = accumulator
        self.writer = work.writer.fork() if work.writer else None
        self.done = Done(task.scan, [], self.writer.session if self.writer else None)

    def process(self) -> None:
        try:
            check_unchanged(self.scan)
            while not self._read_on():
                pass
            check_unchanged(self.scan)
        except SourceError as error:
            if self.work.on_error == "raise":
                raise
            # Nothing of a file that changed meanwhile counts, whatever was read of it.
            self.done = Done(self.task.scan, [])
            if self.accumulator is not None:
                self.accumulator.reset()
            self._set_aside(error.failure.place, error.failure.message, len(self.task.numbers))

    def _read_on(self) -> bool:
        """Read from the first partition that is not done; whether that was the last time."""
        first = len(self.done.receipts)
        given, partitions = self._open(first)
        while True:
            clock = _Clock()
            try:
                # Nobody but the chain holds the partition, so that raw samples go as soon as they were used.
                found = [self._renamed(partition) for partition in islice(partitions, 1)]
            except Exception as error:
                if not self._forgiven(error):
                    raise
                return self._skip_unread(error)
            clock("read")
            if not found:
                break
            self._take(found, clock)
        if not self.scan.counted:
            self.done.sha256 = given.sha256
            rename = self.work.inputs.renames[self.task.scan]
            tallies = getattr(given, "tallies", {})
            self.done.tallies = {rename_path(name, rename): value for name, value in tallies.items()}
            self.done.notes = tuple(getattr(given, "notes", ()))
        elif len(self.done.receipts) < len(self.task.ranges):
            n, expected = len(self.done.receipts), len(self.task.ranges)
            raise SourceError(self.scan.path, f"after {n} partitions", f"expected {expected}: scan it anew")
        return True

    def _open(self, first: int) -> tuple[Stream | None, Iterator[Partition]]:
        """The stream, if it is one, and the partitions of the span from one on, as they are read."""
        scan, work = self.scan, self.work
        source, columns = get_source(scan.source), _source_columns(work, self.task.scan)
        if scan.counted:
            return None, border.read(source, scan, self.task.ranges[first:], columns, work.on_error)
        rename = work.inputs.renames[self.task.scan]
        weights = {
            name: row_bytes(work.inputs.schema, rename_path(name, rename), work.pipeline.read)
            for name in scan.rows
        }
        with guarded(scan.path, "its start"):
            stream = source.stream(scan, weights, work.partition_bytes, columns)
        return stream, border.partitions(stream, scan)

    def _renamed(self, partition: Partition) -> Partition:
        local = len(self.done.receipts)
        if local == len(self.task.ranges):
            raise UnforeseenError(f"{self.scan.path}: more partitions than expected")
        number = self.task.numbers[local]
        return renamed_partition(partition, self.work.inputs, self.task.scan, number, self.work.pipeline.read)

    def _take(self, found: list[Partition], clock: _Clock) -> None:
        """Run the chain on a partition, which leaves the list, and write and fill what comes out."""
        n_rows = found[-1].rows(self.work.inputs.schema.top.name)
        try:
            applied = self.work.pipeline.apply(found.pop())
        except StageError as error:
            if not self._forgiven(error):
                raise error_at(self._where(n_rows), error) from error.__cause__
            self._set_aside("", str(error), 1)
            return
        clock.skip()
        if self.accumulator is not None:
            self.accumulator.fill(applied.partition)
        clock("fill")
        tables = _written(self.work.pipeline, applied.partition)
        number = applied.partition.number
        checksums = self.writer.write(number, tables) if self.writer else {}
        if self.work.collect:
            self.done.tables.append(
                {t: {c: np.asarray(a) for c, a in columns.items()} for t, columns in tables.items()}
            )
        clock("write")
        self.done.receipts.append(self._receipt(applied, tables, checksums, clock.seconds))

    def _where(self, n_rows: int) -> str:
        """Which input, and which events of it, the partition in work is made from."""
        top, local = self.work.inputs.schema.top.name, len(self.done.receipts)
        if self.scan.counted:
            back = {new: old for old, new in self.work.inputs.renames[self.task.scan].items()}
            counts = self.scan.rows.get(back.get(top, top), np.empty(0, np.int64))
            first = int(counts[: self.task.ranges[local][0]].sum())
        else:
            first = self.done.receipts[-1].blocks[1] if local else 0
        return f"{self.scan.path}: {top} {first} to {first + max(n_rows - 1, 0)}"

    def _receipt(
        self,
        applied: Applied,
        tables: dict[str, Columns],
        checksums: dict[str, int],
        seconds: dict[str, float],
    ) -> Receipt:
        local, number = len(self.done.receipts), applied.partition.number
        if self.scan.counted:
            blocks = self.task.ranges[local]
        else:  # of streams, a block is an event
            first = self.done.receipts[-1].blocks[1] if local else 0
            blocks = (first, first + applied.rows_read[self.work.inputs.schema.top.name])
        return Receipt(
            number,
            {name: len(next(iter(columns.values()))) for name, columns in tables.items()},
            applied.rows_read,
            checksums,
            {**applied.seconds, **seconds},
            tuple(replace(failure, partition=number) for failure in applied.partition.failures),
            blocks,
            applied.selected,
        )

    def _forgiven(self, error: Exception) -> bool:
        return self.work.on_error == "skip" and not isinstance(error, (UnforeseenError, MemoryError))

    def _skip_unread(self, error: Exception) -> bool:
        """Set aside what could not be read; whether nothing of the span is left to read."""
        left = len(self.task.numbers) - len(self.done.receipts)
        place, message = "", f"does not fit the run: {told(error)}"
        if isinstance(error, SourceError):
            place, message = error.failure.place, error.failure.message
        self._set_aside(place, message, 1 if self.scan.splittable else left)
        return len(self.done.receipts) == len(self.task.numbers)

    def _set_aside(self, place: str, message: str, n_partitions: int) -> None:
        """Leave the next partitions of the span without rows, and say why on the first of them."""
        local = len(self.done.receipts)
        ranges = self.task.ranges[local : local + n_partitions]
        first, stop = ranges[0][0], ranges[-1][1]
        top = next((name for name in self.scan.rows if self.scan.schema[name].parent is None), None)
        lost = int(self.scan.rows[top][first:stop].sum()) if self.scan.counted and top else 0
        numbers = self.task.numbers[local : local + n_partitions]
        failure = Failure(self.scan.path, place or f"blocks {first} to {stop}", message, lost, numbers[0])
        for number, blocks in zip(numbers, ranges, strict=True):
            failures = (failure,) if number == numbers[0] else ()
            self.done.receipts.append(Receipt(number, {}, {}, {}, {}, failures, blocks))
            if self.work.collect:
                self.done.tables.append({})


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


class _Clock:
    """CPU seconds of this thread from call to call."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = thread_time()

    def __call__(self, name: str) -> None:
        self.seconds[name] = thread_time() - self.last
        self.skip()

    def skip(self) -> None:
        self.last = thread_time()


def _written(pipeline: CheckedPipeline, partition: Partition) -> dict[str, Columns]:
    """The columns of a partition that are written, by table."""
    tables: dict[str, Columns] = {}
    for table in pipeline.written_schema.values():
        columns = partition.tables.get(table.name)
        if columns:
            tables[table.name] = {name: columns[name] for name in table.variables}
    return tables


def _source_columns(work: Work, scan: int) -> frozenset[str]:
    """The columns to read of those that the source has, under the names that it knows."""
    back = {new: old for old, new in work.inputs.renames[scan].items()}
    names = set()
    for name in work.pipeline.read:
        table, _, column = name.rpartition("/")
        count = back.get(column[2:]) if column.startswith("n_") else None
        names.add(f"{rename_path(table, back)}/{'n_' + count if count else column}")
    known = Schema({}).with_tables(work.inputs.scans[scan].schema.values())
    return frozenset(name for name in names if name in known)


@contextmanager
def _accumulator(requests: Sequence[Request]) -> Iterator[Any]:
    if not requests:
        yield None
        return
    from etendue.histogram import pooled

    with pooled(requests) as accumulator:
        yield accumulator
