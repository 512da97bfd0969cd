"""Points of a run at which its process kills itself, and a note of which it came to last.

A file ``<point>.<n>`` in the folder that ``ETENDUE_TEST_POINTS`` names kills the first process that comes
to that point for the n-th time; the file goes first, so that it happens once.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from contextlib import suppress
from functools import cache, wraps
from pathlib import Path
from threading import Lock
from typing import Any

FOLDER = "ETENDUE_TEST_POINTS"
#: Before, in and after the steps that show a pass; until it is tagged, it is not published.
PUBLICATION = ["after write_true.1", "before show.1", "before create_tag.1", "after create_tag.1"]

_counts: Counter[str] = Counter()
_lock = Lock()


def reach(point: str) -> None:
    """Come to a point."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        return
    with _lock:
        _counts[point] += 1
        count = _counts[point]
        Path(folder, "last").write_text(point)
    with suppress(FileNotFoundError):
        os.unlink(Path(folder, f"{point}.{count}"))
        os.kill(os.getpid(), signal.SIGKILL)


def mark() -> None:
    """Have the engine's own functions come to points before and after they do their work."""
    from icechunk import Repository

    from etendue.dataflow import passes
    from etendue.store import durable, grids, journal, publish, whole
    from etendue.store.lock import StoreLock

    for owner, name in [
        (passes, "_job"),
        (passes, "_begin"),
        (publish, "branch_off"),
        (publish.PassWriter, "_merge"),
        (publish.PassWriter, "_commit"),
        (publish, "show"),
        (durable, "sync"),
        (journal, "append"),
        (grids, "write_true"),
        (whole, "write_ledger"),
        (Repository, "create_tag"),
        (Repository, "reset_branch"),
        (Repository, "delete_branch"),
        (StoreLock, "release"),
    ]:
        _surround(owner, name)
    mark_writer()


@cache
def mark_writer() -> None:
    """The same for writing chunks, in workers."""
    from etendue.store.writer import ChunkWriter

    _surround(ChunkWriter, "write")


def _surround(owner: Any, name: str) -> None:
    function = getattr(owner, name)
    label = name.strip("_")

    @wraps(function)
    def surrounded(*arguments, **options):
        reach(f"before {label}")
        result = function(*arguments, **options)
        reach(f"after {label}")
        return result

    setattr(owner, name, surrounded)
