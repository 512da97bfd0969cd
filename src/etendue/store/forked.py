"""Icechunk after a fork: refused at once, as it would wait for ever.

Icechunk works in threads of its own, which it starts when it is first asked something, once a process. A
forked child gets the memory of its parent but none of the threads, and they cannot be started again
(https://github.com/tokio-rs/tokio/issues/4301): opening anew does not help. A child whose parent had not
asked yet is a process like others.
"""

from __future__ import annotations

import os
import sys
from asyncio import CancelledError, Task
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from threading import Lock
from typing import Any

from zarr.core import sync

from etendue.dataflow.source import ProcessError

#: The process that has asked Icechunk something first; a child inherits it.
_asker: int | None = None


class ForkedError(ProcessError):
    """A store is used in a forked process, where Icechunk cannot answer; says what to do instead."""


def refuse_forked() -> None:
    """To be called before Icechunk is asked anything.

    Raises
    ------
    ForkedError
        If this process was forked after its parent had asked.
    """
    global _asker
    if _asker is None:
        _asker = os.getpid()
    elif _asker != os.getpid():
        raise ForkedError(
            f"process {os.getpid()} was forked from process {_asker} after that had used a store: Icechunk's "
            "threads are not in it, and reading would wait for ever. Start processes afresh: "
            "multiprocessing.get_context('forkserver') or ('spawn'), "
            "ProcessPoolExecutor(mp_context=...), PyTorch's DataLoader(multiprocessing_context='spawn'); "
            "trees that were loaded before can be handed to them"
        )


def answer[Answer](question: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
    """What comes of asking a store something; errors as `refuse_forked`.

    The question is put in the loop's own thread, where no signal arrives: Ctrl-C finds either nothing
    begun or a call that goes on to its end, and never a coroutine that nobody awaits.
    """
    refuse_forked()
    loop, told = sync._get_loop(), Future[Answer]()

    def ask() -> None:
        loop.create_task(question()).add_done_callback(tell)

    def tell(task: Task[Answer]) -> None:
        if error := CancelledError() if task.cancelled() else task.exception():
            told.set_exception(error)
        else:
            told.set_result(task.result())

    loop.call_soon_threadsafe(ask)
    return told.result()


def _drop_dead_threads() -> None:
    """Let Dask start threads anew in a child: a pool of threads that are not there takes work for ever."""
    threaded = sys.modules.get("dask.threaded")
    if threaded is not None:
        threaded.default_pool, threaded.pools_lock = None, Lock()
        threaded.pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_dead_threads)
