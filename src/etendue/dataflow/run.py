"""Run a plan: one task a span, a bounded window of futures, receipts back, commits on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from time import perf_counter
from typing import TYPE_CHECKING

from etendue.dataflow.memory import give_back_memory, reuse_freed_memory
from etendue.dataflow.outcome import Collector, Outcome
from etendue.dataflow.outside import OutsideFile, files_of
from etendue.dataflow.plan import Plan, PlanError
from etendue.dataflow.task import Done, Task, Work, run_span
from etendue.dataflow.window import on_cluster, on_pool

if TYPE_CHECKING:
    from distributed import Client

    from etendue.histogram import Request
    from etendue.store import PassWriter


def run(
    plan: Plan,
    *,
    writer: PassWriter | None = None,
    requests: Sequence[Request] = (),
    collect: bool = False,
    client: Client | None = None,
    executor: Executor | None = None,
    progress: Callable[[Done], None] = lambda done: None,
    collector: Collector | None = None,
    files: Sequence[OutsideFile] | None = None,
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
    collector : Collector, optional
        What to add to: it has what an interrupted run of the same pass has done.
    files : sequence of OutsideFile, optional
        What the stages bring, as it must stay until the end; by default as it is now.

    Returns
    -------
    Outcome

    Raises
    ------
    SourceError
        If an input is broken and the plan's ``on_error`` is ``raise``. Tasks that wait are cancelled. In any
        case if a file that a stage brings does not stay what it was.
    """
    _check_place(client, executor)
    start = perf_counter()
    reuse_freed_memory()  # before the threads of a pool get arenas of their own
    work = Work(
        plan.inputs,
        plan.pipeline,
        tuple(requests),
        plan.on_error,
        collect,
        plan.partition_bytes,
        writer.fork() if writer else None,
        tuple(files_of(plan.pipeline.pipeline.stages) if files is None else files),
    )
    collector = collector or Collector(plan, work.requests, int(plan.numbers.max(initial=-1)) + 1)
    books = _Books(plan, writer, work.requests)
    with closing(_each(plan, work, client, executor)) as ended:
        for done in ended:
            number = int(plan.input_numbers[done.scan])
            collector.add(done, number)
            books.enter(done, number)
            progress(done)
    outcome = collector.finish()
    give_back_memory()
    outcome.wall = perf_counter() - start
    return outcome


def _check_place(client: object, executor: object) -> None:
    """See that there is at most one place to run on, and that it is one."""
    if client is not None and executor is not None:
        raise PlanError("give a client or an executor, not both")
    if client is not None and not hasattr(client, "submit"):
        kind = type(client).__name__
        raise PlanError(f"client is of the type {kind}; expected what et.connect(...) returns")
    if executor is not None and (not hasattr(executor, "submit") or hasattr(executor, "nthreads")):
        kind = type(executor).__name__
        raise PlanError(f"executor is of the type {kind}; expected one of concurrent.futures")


def _each(plan: Plan, work: Work, client: Client | None, executor: Executor | None) -> Iterator[Done]:
    """What the tasks of a plan return, as they end."""
    tasks = (_task(plan, *span) for span in plan.spans.tolist())
    if client is not None:
        yield from on_cluster(client, run_span, work, tasks)
    elif executor is not None:
        yield from on_pool(executor, run_span, work, tasks, plan.workers)
    else:
        with ThreadPoolExecutor(plan.workers, thread_name_prefix="etendue") as threads:
            yield from on_pool(threads, run_span, work, tasks, plan.workers)


def _task(plan: Plan, first: int, stop: int) -> Task:
    partitions = plan.partitions[first:stop]
    ranges = tuple(zip(partitions["first"].tolist(), partitions["stop"].tolist(), strict=True))
    return Task(int(partitions["scan"][0]), tuple(plan.numbers[first:stop].tolist()), ranges)


class _Books:
    """Enters what is done into the pass that is written, with the histograms that go with it."""

    def __init__(self, plan: Plan, writer: PassWriter | None, requests: tuple[Request, ...]) -> None:
        self._writer = writer
        self._pending = None
        if writer is not None and requests:
            from etendue.histogram import Accumulator

            self._pending = Accumulator(requests, plan.pipeline.schema)
            writer.histograms = self._packed

    def enter(self, done: Done, number: int) -> None:
        if self._writer is None:
            return
        if self._pending is not None and done.payload is not None:
            self._pending.add(done.payload)
        self._writer.take(
            done.receipts, done.chunks, input_number=number, sha256=done.sha256, tallies=done.tallies
        )
        if self._writer.is_due:
            self._writer.commit()

    def _packed(self) -> bytes:
        """What the histograms were filled with since the last commit."""
        from etendue.histogram.travel import pack

        data = pack(self._pending.payload())
        self._pending.reset()
        return data
