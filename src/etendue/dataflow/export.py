"""Runs as files for other programs: HDF5, plain Zarr, Parquet; written partition by partition, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Executor, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from queue import Full, Queue
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from etendue.dataflow.plan import Plan
from etendue.dataflow.progress import progress
from etendue.dataflow.run import Done, run
from etendue.schema import Columns

if TYPE_CHECKING:
    from distributed import Client


def to_hdf5(
    plan: Plan, path: str | Path, *, identity: Sequence[str] | None = None, **where: Any
) -> dict[str, int]:
    """Run a plan into an HDF5 file; see `etendue.dataflow.hdf5.write_hdf5`."""
    from etendue.dataflow.hdf5 import write_hdf5

    with progress(plan) as advance, closing(_partitions(plan, advance, **where)) as partitions:
        return write_hdf5(path, plan.pipeline.written_schema, partitions, plan.static, identity)


def to_zarr(
    plan: Plan, path: str | Path, *, chunk_rows: int | None = None, consolidated: bool = True, **where: Any
) -> dict[str, int]:
    """Run a plan into a folder of plain Zarr; see `etendue.dataflow.plain_zarr.write_zarr`."""
    from etendue.dataflow.plain_zarr import write_zarr

    with progress(plan) as advance, closing(_partitions(plan, advance, **where)) as partitions:
        return write_zarr(
            path,
            plan.pipeline.written_schema,
            partitions,
            plan.static,
            _attributes(plan),
            chunk_rows=chunk_rows,
            consolidated=consolidated,
        )


def to_parquet(
    plan: Plan, path: str | Path, *, identity: Sequence[str] | None = None, **where: Any
) -> dict[str, int]:
    """Run a plan into a folder of Parquet files; see `etendue.dataflow.parquet.write_parquet`."""
    from etendue.dataflow.parquet import write_parquet

    with progress(plan) as advance, closing(_partitions(plan, advance, **where)) as partitions:
        return write_parquet(
            path,
            plan.pipeline.written_schema,
            partitions,
            plan.static,
            _attributes(plan),
            identity=identity,
        )


#: How each kind of file is written, by its suffix.
FORMATS: dict[str, Callable[..., dict[str, int]]] = {
    ".h5": to_hdf5,
    ".hdf5": to_hdf5,
    ".zarr": to_zarr,
    ".parquet": to_parquet,
}


def _partitions(
    plan: Plan,
    advance: Callable[[Done], None],
    client: Client | None = None,
    executor: Executor | None = None,
) -> Iterator[dict[str, Columns]]:
    """The written tables of each partition, in order; few of them are in memory at a time.

    To be closed if not all are taken: until then the run waits.
    """
    if client is not None or executor is not None:
        n_workers = sum(client.nthreads().values()) if client is not None else plan.workers
        for part in plan.in_order(2 * max(n_workers, 1)):
            found = run(part, collect=True, client=client, executor=executor, progress=advance).tables
            yield from (found[number] for number in sorted(found))
        return
    handover = _Handover(int(plan.numbers.max(initial=-1)) + 1)
    with ThreadPoolExecutor(1) as driver, ThreadPoolExecutor(1) as worker:  # one worker keeps the order
        running = driver.submit(run, plan, writer=handover, executor=worker, progress=advance)
        running.add_done_callback(lambda _: handover.put(None))
        try:
            while (tables := handover.take_tables()) is not None:
                yield tables
            running.result()
        finally:
            handover.close()


class _Handover:
    """Stands where a run expects the writer of a pass, and hands over the tables that it is to write."""

    is_due = False
    #: What tasks return of a pass: nothing here.
    session = None

    def __init__(self, n_partitions: int) -> None:
        self.n_partitions = n_partitions
        self._tables: Queue[dict[str, Columns] | None] = Queue(maxsize=1)
        self._closed = Event()

    def fork(self) -> _Handover:
        """What a task writes with."""
        return self

    def take(self, *receipts: Any, **facts: Any) -> None:
        """Receipts are of no use here."""

    def write(self, number: int, tables: Mapping[str, Columns]) -> dict[str, int]:
        """Wait until the partition before has been taken, and hand this one over."""
        self.put({name: {c: np.asarray(a) for c, a in columns.items()} for name, columns in tables.items()})
        return {}

    def put(self, tables: dict[str, Columns] | None) -> None:
        """Hand over tables; None at the end. The run is given up once nobody takes them."""
        while not self._closed.is_set():
            try:
                return self._tables.put(tables, timeout=0.1)
            except Full:
                continue
        if tables is not None:
            raise CancelledError

    def take_tables(self) -> dict[str, Columns] | None:
        """The tables of the next partition."""
        return self._tables.get()

    def close(self) -> None:
        """Take no more."""
        self._closed.set()


def _attributes(plan: Plan) -> dict[str, Any]:
    """What the file says of itself: inputs and pipeline, or all that a pass says which is copied."""
    scans, pipeline = plan.inputs.scans, plan.pipeline.pipeline
    if len(scans) == 1 and scans[0].snapshot and not pipeline.stages:
        from etendue.store import attributes

        return attributes(scans[0].path, scans[0].snapshot)
    return {"inputs": [scan.path for scan in scans], "pipeline": pipeline.config()}
