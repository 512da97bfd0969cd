"""The end of a worker's process, at once when all is done.

Taking an interpreter apart that holds compiled kernels takes LLVM a second of CPU, on a busy machine many
of wall time; Dask kills a worker that has not ended after four, with a warning. Nothing in it matters any
more by then: the system takes back the memory of a process quicker than the process itself.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
from typing import TYPE_CHECKING

from distributed import WorkerPlugin
from distributed.core import Status

if TYPE_CHECKING:
    from distributed import Worker


class EndAtOnce(WorkerPlugin):
    """Lets the process of a worker, if it is the worker's alone, end as soon as the worker is closed."""

    name = "etendue-end"

    def setup(self, worker: Worker) -> None:
        """Register the end; it comes after the ends of what tasks import later."""
        if worker.nanny is not None:
            atexit.register(_end, worker)


def _end(worker: Worker) -> None:
    """End the process of a worker that was closed in order; any other goes the long way."""
    if worker.status is not Status.closed:
        return
    if ending := sys.modules.get("etendue.store.ending"):
        ending.await_answers()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
