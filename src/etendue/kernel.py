"""The one way kernels are compiled, and the helpers for ragged rows.

Ragged rows are stored as counts (one number a parent row) and flat columns (one row a child). Offsets
are the counts' cumulative sum and are made when they are needed, never stored.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def kernel[F: Callable](function: F) -> F:
    """Compile a kernel: machine code on first call, kept on disk, and free of Python's lock.

    No ``fastmath``: NaN marks dead pixels and failed fits, and must stay NaN. Division by zero gives
    infinity or NaN as in NumPy. See `etendue.compiler` for how.
    """
    import numba  # here, so that what only needs the helpers does not pay for the compiler

    if numba.config.DISABLE_JIT:  # to debug or to measure coverage in Python
        return function
    from etendue.compiler import Kernel

    return Kernel(function)


def offsets(counts: np.ndarray) -> np.ndarray:
    """Start of each parent's rows, and the end of the last's: shape (n + 1,), int64."""
    starts = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


def owners(counts: np.ndarray) -> np.ndarray:
    """Parent row of each child row: shape (sum of counts,), int64."""
    return np.repeat(np.arange(len(counts), dtype=np.int64), counts)
