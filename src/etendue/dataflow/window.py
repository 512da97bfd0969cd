"""Tasks in flight: a window of them, on the threads of a pool or on a Dask cluster.

There is never a graph of the whole plan: Dask takes 10 ms a task for one. A window is filled in batches,
as each message to a scheduler costs as much as ten tasks in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from itertools import islice
from time import sleep
from typing import TYPE_CHECKING
from uuid import uuid4

from etendue.errors import EtendueError

if TYPE_CHECKING:
    from distributed import Client
    from distributed import Future as DaskFuture

#: Tasks in flight for each worker: enough that none waits for the driver.
WINDOW = 3
#: Tasks that are sent to a cluster at once, at least,
BATCH = 64
#: and that wait at its scheduler, beyond those that its workers have.
QUEUE = 4 * BATCH
#: Seconds between looks at the tasks of a cluster.
PAUSE = 0.02


class WorkersLostError(EtendueError, RuntimeError):
    """A task with which one worker after the other was lost."""


def on_pool[Shared, Task, Done](
    pool: Executor,
    function: Callable[[Shared, Task], Done],
    shared: Shared,
    tasks: Iterator[Task],
    n_workers: int,
) -> Iterator[Done]:
    """Run tasks on a pool; yields what they return, in the order in which they end.

    Parameters
    ----------
    pool : Executor
        Threads or processes.
    function : callable
        What to do with each task.
    shared : object
        What is the same for all tasks.
    tasks : iterator
        The tasks; drawn as places become free.
    n_workers : int
        Workers of the pool.
    """
    waiting: set[Future[Done]] = set()
    try:
        while True:
            free = WINDOW * n_workers - len(waiting)
            waiting |= {pool.submit(function, shared, task) for task in islice(tasks, free)}
            if not waiting:
                return
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    finally:
        for future in waiting:
            future.cancel()


def on_cluster[Shared, Task, Done](
    client: Client, function: Callable[[Shared, Task], Done], shared: Shared, tasks: Iterator[Task]
) -> Iterator[Done]:
    """Run tasks on a Dask cluster, whose workers may come and go; see `on_pool`.

    What tasks share is itself made by a task: if all the workers that have it die, it is made again.
    Running a task again must be harmless.

    Raises
    ------
    WorkersLostError
        If so many workers died with one task that it is not tried again.
    """
    from distributed.protocol import pickle

    run, sent, window = f"spans-{uuid4().hex}", 0, BATCH
    common = client.submit(pickle.loads, pickle.dumps(shared), key=f"{run}-shared")
    waiting: set[DaskFuture] = set()
    try:
        while True:
            if len(waiting) <= window - BATCH:
                window = 2 * sum(client.nthreads().values()) + QUEUE
                if batch := list(islice(tasks, window - len(waiting))):
                    keys = [(run, number) for number in range(sent, sent + len(batch))]
                    same = [common] * len(batch)
                    waiting.update(client.map(function, same, batch, key=keys, retries=2, pure=False))
                    sent += len(batch)
            if not waiting:
                return
            if ended := [future for future in waiting if future.done()]:
                waiting.difference_update(ended)
                yield from _results(client, ended)
            else:
                sleep(PAUSE)
    finally:
        if waiting:
            client.cancel(list(waiting))


def _results(client: Client, ended: list[DaskFuture]) -> list:
    from distributed import KilledWorker

    try:
        return client.gather(ended)
    except KilledWorker as error:
        raise WorkersLostError(
            f"{error.allowed_failures + 1} workers were lost with the same span, the last at "
            f"{error.last_worker.address}: give them more memory or time, make the partitions smaller, or "
            "see their logs; the same command goes on where it was"
        ) from None
