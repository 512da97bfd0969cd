"""Memory of a process: partitions of like size follow one another, so what one frees serves the next.

By default the GNU C library gives large blocks back to the system at once, and the next partition pays
for fresh pages again: a third of the CPU time of a pass from store to store went there.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

# Parameters of mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGEST = 2**31 - 1

#: The same for processes that are yet to be started. Threads that were there before `reuse_freed_memory`
#: have arenas of their own, which give back whatever is freed: those of a Dask worker are.
ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(_LARGEST),
    "MALLOC_TRIM_THRESHOLD_": str(_LARGEST),
}


@cache
def _libc() -> ctypes.CDLL | None:
    """The C library, if it is GNU's."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


@cache
def reuse_freed_memory() -> None:
    """Keep freed memory for the next partition, in one arena for all threads; once a process."""
    if library := _libc():
        library.mallopt(_M_ARENA_MAX, 1)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        library.mallopt(_M_TRIM_THRESHOLD, _LARGEST)


def give_back_memory() -> None:
    """Return what is free to the system, at the end of a run."""
    if library := _libc():
        library.malloc_trim(0)
