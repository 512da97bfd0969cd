"""Run a plan: one task a span, a bounded window of futures, receipts back, commits on the way.

A task reads its partitions one after another, runs the whole chain on each in memory, writes its chunk
and fills its histograms. It returns receipts and compact partial results, never rows, unless they are
collected for a notebook.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from time import perf_counter, thread_time
from typing import TYPE_CHECKING, Any

import numpy as np

from etendue.dataflow.memory import give_back_memory, reuse_freed_memory
from etendue.dataflow.partition import Failure, Partition, Receipt
from etendue.dataflow.plan import Plan, row_bytes
from etendue.dataflow.source import (
    Inputs,
    OnError,
    SourceError,
    UnforeseenError,
    get_source,
    rename_path,
    renamed_partition,
)
from etendue.schema import Columns, Schema

if TYPE_CHECKING:
    from distributed import Client

    from etendue.dataflow.pipeline import CheckedPipeline
    from etendue.histogram import Payload, Request
    from etendue.store import ChunkWriter, PassWriter

#: Finished spans are committed to the working branch in batches of this many.
COMMIT_SPANS = 64
#: Tasks in flight for each worker: enough that none waits for the driver.
WINDOW = 3


@dataclass(frozen=True)
class Work:
    """What is the same for all tasks of a run."""

    inputs: Inputs
    pipeline: CheckedPipeline
    requests: tuple[Request, ...]
    on_error: OnError
    collect: bool
    partition_bytes: int


@dataclass(frozen=True)
class Task:
    """One span: which blocks of which input, what numbers its partitions have, where they go."""

    scan: int
    first_number: int
    ranges: tuple[tuple[int, int], ...]
    writer: ChunkWriter | None


@dataclass
class Done:
    """What a task returns."""

    receipts: list[Receipt]
    writer: ChunkWriter | None = None
    sha256: dict[int, str] = field(default_factory=dict)
    payload: Payload | None = None
    tables: list[dict[str, Columns]] = field(default_factory=list)


@dataclass
class Outcome:
    """What is known when a run has ended.

    Parameters
    ----------
    rows, rows_read : dict of str to int64 array
        Rows of each table in each partition, as written and as read.
    seconds : dict of str to float
        CPU seconds by stage, and in ``read``, ``write`` and ``fill``.
    failures : list of Failure
        What was broken in the inputs.
    wall : float
        Seconds from start to end.
    histograms : list of hist.Hist
        In the order of the requests.
    tables : dict of int to dict
        Collected partitions by number, if they were asked for.
    snapshot : str
        The store's snapshot, if a pass was written.
    numbers : int array
        Of the partitions that there were, if they were not all known before; as ``rows`` and the others.
    sha256 : dict of int to str
        Checksums of inputs that were taken while they were read, by the number of the scan.
    """

    rows: dict[str, np.ndarray]
    rows_read: dict[str, np.ndarray]
    seconds: dict[str, float] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    wall: float = 0.0
    histograms: list[Any] = field(default_factory=list)
    tables: dict[int, dict[str, Columns]] = field(default_factory=dict)
    snapshot: str = ""
    numbers: np.ndarray | None = None
    sha256: dict[int, str] = field(default_factory=dict)

    @property
    def events_lost(self) -> int:
        """Events that could not be read."""
        return sum(failure.events_lost for failure in self.failures)


def run_span(work: Work, task: Task) -> Done:
    """Process the partitions of one span; runs on a worker."""
    reuse_freed_memory()
    done = Done([], task.writer)
    with _accumulator(work.requests) as accumulator:
        source = _read(work, task)
        partitions = iter(source)
        while (
            receipt := _process(work, task, partitions, len(done.receipts), accumulator, done)
        ) is not None:
            done.receipts.append(receipt)
        scan = work.inputs.scans[task.scan]
        if not scan.counted:
            done.sha256[task.scan] = source.sha256
        elif len(done.receipts) < len(task.ranges):
            n, expected = len(done.receipts), len(task.ranges)
            raise SourceError(scan.path, f"after {n} partitions", f"expected {expected}: scan it anew")
        if accumulator is not None:
            done.payload = accumulator.payload()
    return done


def _read(work: Work, task: Task) -> Iterable[Partition]:
    """The partitions of a span, as they are read."""
    scan = work.inputs.scans[task.scan]
    source, columns = get_source(scan.source), _source_columns(work, task.scan)
    if scan.counted:
        return source.read(scan, task.ranges, columns, work.on_error)
    rename = work.inputs.renames[task.scan]
    weights = {
        name: row_bytes(work.inputs.schema, rename_path(name, rename), work.pipeline.read)
        for name in scan.rows
    }
    return source.stream(scan, weights, work.partition_bytes, columns)


def _process(
    work: Work, task: Task, partitions: Iterator[Partition], local: int, accumulator: Any, done: Done
) -> Receipt | None:
    """Read one partition, run the chain on it, and write and fill what comes out; None at the end."""
    clock = _Clock()
    number = task.first_number + local
    # Nobody but the chain holds the partition, so that raw samples go as soon as they were used.
    source_partition = [
        renamed_partition(found, work.inputs, task.scan, number, work.pipeline.read)
        for found in islice(partitions, 1)
    ]
    if not source_partition:
        return None
    if local == len(task.ranges):
        raise UnforeseenError(f"{work.inputs.scans[task.scan].path}: more partitions than expected")
    clock("read")
    partition, rows_read, seconds = work.pipeline.apply(source_partition.pop())
    clock.skip()
    if accumulator is not None:
        accumulator.fill(partition)
    clock("fill")
    tables = _written(work.pipeline, partition)
    checksums = task.writer.write(number, tables) if task.writer is not None else {}
    if work.collect:
        evaluated = {t: {c: np.asarray(a) for c, a in columns.items()} for t, columns in tables.items()}
        done.tables.append(evaluated)
    clock("write")
    rows = {name: len(next(iter(columns.values()))) for name, columns in tables.items()}
    return Receipt(
        number,
        rows,
        rows_read,
        checksums,
        {**seconds, **clock.seconds},
        partition.failures,
    )


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


def run(
    plan: Plan,
    *,
    writer: PassWriter | None = None,
    requests: Sequence[Request] = (),
    collect: bool = False,
    client: Client | None = None,
    executor: Executor | None = None,
    progress: Callable[[Done], None] = lambda done: None,
) -> Outcome:
    """Run a plan to its end.

    Parameters
    ----------
    plan : Plan
        What to do.
    writer : PassWriter, optional
        Where the chunks go; the caller publishes or abandons the pass.
    requests : sequence of Request
        Histograms to fill in the same sweep.
    collect : bool
        Whether to bring the written columns back (for notebooks).
    client : distributed.Client, optional
        Run on this Dask cluster.
    executor : concurrent.futures.Executor, optional
        Run on this pool; by default threads in this process, ``plan.workers`` of them.
    progress : callable
        Called on the driver with each finished span.

    Returns
    -------
    Outcome

    Raises
    ------
    SourceError
        If an input is broken and the plan's ``on_error`` is ``raise``. Tasks that wait are cancelled.
    """
    start = perf_counter()
    reuse_freed_memory()  # before the threads of a pool get arenas of their own
    work = Work(plan.inputs, plan.pipeline, tuple(requests), plan.on_error, collect, plan.partition_bytes)
    collector = _Collector(plan, writer, work.requests)
    with _pool(plan, client, executor) as (pool, shared, window):
        argument = shared(work)
        waiting: set[Future[Done]] = set()
        spans = iter(range(len(plan.spans)))
        try:
            while True:
                while len(waiting) < window and (span := next(spans, None)) is not None:
                    waiting.add(pool.submit(run_span, argument, _task(plan, span, writer)))
                if not waiting:
                    break
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in finished:
                    done = future.result()
                    collector.add(done)
                    progress(done)
        except BaseException:
            for future in waiting:
                future.cancel()
            raise
    outcome = collector.finish()
    give_back_memory()
    outcome.wall = perf_counter() - start
    return outcome


def _task(plan: Plan, span: int, writer: PassWriter | None) -> Task:
    first, stop = plan.spans[span]
    partitions = plan.partitions[first:stop]
    ranges = tuple(zip(partitions["first"].tolist(), partitions["stop"].tolist(), strict=True))
    return Task(int(partitions["scan"][0]), int(first), ranges, writer.fork() if writer else None)


@contextmanager
def _pool(plan: Plan, client: Client | None, executor: Executor | None) -> Iterator[tuple]:
    """Where tasks are submitted, how what they share gets there, and how many are in flight."""
    if client is not None:
        n_threads = sum(client.nthreads().values()) or 1
        # A span counts once its receipt is here, so running one again is harmless.
        pool = client.get_executor(retries=2, pure=False)
        yield pool, lambda work: client.scatter(work, broadcast=True, hash=False), WINDOW * n_threads
    elif executor is not None:
        yield executor, lambda work: work, WINDOW * plan.workers
    else:
        with ThreadPoolExecutor(plan.workers, thread_name_prefix="etendue") as threads:
            yield threads, lambda work: work, WINDOW * plan.workers


class _Collector:
    """Adds up what tasks return, and commits the chunks that they wrote."""

    def __init__(self, plan: Plan, writer: PassWriter | None, requests: tuple[Request, ...]) -> None:
        n_partitions = len(plan.partitions)
        names = [table.name for table in plan.pipeline.schema.values() if table.role != "static"]
        self.outcome = Outcome(
            {name: np.zeros(n_partitions, np.int64) for name in names},
            {name: np.zeros(n_partitions, np.int64) for name in names},
            failures=list(plan.inputs.failures),
        )
        self.seen = np.zeros(n_partitions, bool)
        self.plan = plan
        self.writer = writer
        self.uncommitted: list[ChunkWriter] = []
        self.accumulator = None
        if requests:
            from etendue.histogram import Accumulator

            self.accumulator = Accumulator(requests, plan.pipeline.schema)

    def add(self, done: Done) -> None:
        outcome = self.outcome
        outcome.sha256 |= done.sha256
        for receipt in done.receipts:
            self.seen[receipt.number] = True
            for table, n in receipt.rows.items():
                outcome.rows[table][receipt.number] = n
            for table, n in receipt.rows_read.items():
                outcome.rows_read[table][receipt.number] = n
            for name, seconds in receipt.seconds.items():
                outcome.seconds[name] = outcome.seconds.get(name, 0.0) + seconds
            outcome.failures += receipt.failures
        for receipt, tables in zip(done.receipts, done.tables, strict=False):
            outcome.tables[receipt.number] = tables
        if done.payload is not None:
            self.accumulator.add(done.payload)
        if done.writer is not None:
            self.uncommitted.append(done.writer)
            if len(self.uncommitted) >= COMMIT_SPANS:
                self.merge()
                self.writer.commit(f"{COMMIT_SPANS} spans")

    def merge(self) -> None:
        if self.uncommitted:
            self.writer.merge(self.uncommitted)
            self.uncommitted = []

    def finish(self) -> Outcome:
        self.merge()  # committed when the pass is published
        if not self.seen.all():
            self.outcome.numbers = np.flatnonzero(self.seen)
            for rows in (self.outcome.rows, self.outcome.rows_read):
                rows |= {name: n[self.seen] for name, n in rows.items()}
        if self.accumulator is not None:
            self.outcome.histograms = self.accumulator.results()
        return self.outcome
