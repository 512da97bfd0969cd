"""The end of a process that used Icechunk.

Icechunk answers from threads of its own. Such a thread wakes the event loop, for which it gives up Python's
lock a moment, and wants the lock once more to be done; by then the caller has its answer, and may be at its
end. A thread that wants the lock of an interpreter that ends is unwound, up to Python 3.13, in the middle of
Rust's work, and the process dies by signal 6 or 11: https://github.com/PyO3/pyo3-async-runtimes/issues/40.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from time import monotonic, sleep

from zarr.core import sync

#: Seconds that the end of a process waits at most, for what it left running and for threads that answer.
PATIENCE = 5.0


def await_answers() -> None:
    """Wait until no thread of Icechunk needs Python; to be called when nobody asks Icechunk any more."""
    loop = sync.loop[0]
    if loop is not None and loop.is_running():
        with suppress(TimeoutError):
            sync.sync(_await_the_abandoned(), timeout=PATIENCE)
    deadline = monotonic() + PATIENCE
    while _answering() and monotonic() < deadline:
        sleep(0.001)


async def _await_the_abandoned() -> None:
    """Wait for calls whose callers did not: because another call failed, or by Ctrl-C."""
    abandoned = asyncio.all_tasks() - {asyncio.current_task()}
    if abandoned:
        await asyncio.wait(abandoned)


def _answering() -> bool:
    """Whether a thread that Python did not start is waking an event loop."""
    for frame in sys._current_frames().values():
        while frame.f_back is not None:
            frame = frame.f_back
        if frame.f_code.co_name == "call_soon_threadsafe":
            return True
    return False
