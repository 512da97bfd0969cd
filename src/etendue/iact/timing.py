"""Timing parameters: how the arrival time changes along the shower axis.

The line is fitted by least trimmed squares: it minimises the sum of the h = int(0.85 n) least squared
residuals, so that pixels of the night sky do not tilt it. Method: P. J. Rousseeuw and K. Van Driessen,
Data Mining and Knowledge Discovery 12 (2006) 29, "Computing LTS regression for large data sets"; with
exchanges of pairs after D. M. Hawkins, Comput. Stat. Data Anal. 17 (1994) 185.

ctapipe minimises the same sum, from five random pairs of pixels, and so stops in another local minimum
from time to time. Here the starts are fixed: the result depends on the image alone.
"""

from __future__ import annotations

import numpy as np

from etendue.kernel import kernel

#: Part of the pixels that the line is fitted to.
KEPT = 0.85
#: Steps of one descent, and decrease of the sum of squares at which it has ended.
MAX_STEPS, MIN_DECREASE = 20, 1e-12
#: Least determinant of the normal matrix of a line; below it the line has no slope (as in ctapipe).
MIN_DETERMINANT = 2 * np.finfo(np.float64).eps
#: Least 1 - leverage of a point that may be taken out: a line without it must have a slope.
MIN_REST = 1e-9
#: Slopes to start from beside the first minimum's, in units of its residual spread over its extent.
STARTS = (-1.5, -0.5, -0.15, 0.15, 0.5, 1.5)


@kernel
def _line(n, s_x, s_t, s_xx, s_xt, s_tt):
    """Least-squares line through n points, from their sums: slope, intercept, sum of squares."""
    v_xx = s_xx - s_x * s_x / n
    if n * v_xx < MIN_DETERMINANT:
        return np.nan, np.nan, np.inf
    v_xt = s_xt - s_x * s_t / n
    slope = v_xt / v_xx
    squares = s_tt - s_t * s_t / n - slope * v_xt
    return slope, (s_t - slope * s_x) / n, max(squares, 0.0)


@kernel
def _line_of_kept(x, t, sums, order, n_kept):
    """Least-squares line through the kept points, which come first in the order."""
    s_x, s_t, s_xx, s_xt, s_tt = sums
    for trimmed in range(n_kept, order.size):
        i = order[trimmed]
        s_x -= x[i]
        s_t -= t[i]
        s_xx -= x[i] * x[i]
        s_xt -= x[i] * t[i]
        s_tt -= t[i] * t[i]
    return _line(n_kept, s_x, s_t, s_xx, s_xt, s_tt)


@kernel
def _least_first(key, order, n_least):
    """Reorder so that the ``n_least`` least keys come first (quick-select).

    Branch-free partitions: a misprediction costs more than a swap. The order of the step before is
    nearly right, and so is its boundary element as a pivot.
    """
    low, high = 0, order.size - 1
    while low < high:
        a, b, c = key[order[low]], key[order[n_least]], key[order[high]]
        pivot = max(min(a, b), min(max(a, b), c))
        at = low if pivot == a else (n_least if pivot == b else high)
        pivot_item = order[at]
        order[at] = order[high]
        boundary = low
        for i in range(low, high):
            item = order[i]
            order[i] = order[boundary]
            order[boundary] = item
            boundary += key[item] < pivot
        order[high] = order[boundary]
        order[boundary] = pivot_item
        if boundary == n_least:
            return
        if boundary > n_least:
            high = boundary - 1
            continue
        pivot_is_least = boundary == low
        low = boundary + 1
        if pivot_is_least:  # many keys may be equal to it, as those of equal times
            for i in range(low, high + 1):
                item = order[i]
                order[i] = order[low]
                order[low] = item
                low += key[item] == pivot
        if low > n_least:
            return


@kernel
def _descend(x, t, sums, slope, intercept, squared, order, n_kept, known):
    """From a line, keep the nearest points and fit them anew until the sum of squares stays the same.

    Ends early at the minimum that is already known. Returns (slope, intercept, sum of squares); the
    sum is infinite if the kept points determine no line.
    """
    best = (np.nan, np.nan, np.inf)
    for _ in range(MAX_STEPS):
        for i in range(x.size):
            residual = t[i] - (slope * x[i] + intercept)
            squared[i] = residual * residual
        _least_first(squared, order, n_kept)
        slope, intercept, squares = _line_of_kept(x, t, sums, order, n_kept)
        if not squares < best[2] - MIN_DECREASE:
            break
        best = (slope, intercept, squares)
        if abs(squares - known) < 1e-9 * squares:
            break
    return best


@kernel
def _leaving(x, t, slope, intercept, mean_x, inverse, n):
    """Squared residual of one of n points, and 1 - leverage."""
    residual = t - (slope * x + intercept)
    return residual * residual, 1 - 1 / n - (x - mean_x) * (x - mean_x) * inverse


@kernel
def _best_exchange(x, t, sums, line, order, n_kept, kept_x, kept_t):
    """The pair of a kept and a trimmed point whose exchange lowers the sum of squares most.

    Adding point j to the line changes the sum by + r_j^2 / (1 + leverage_j), taking out point i by
    - r_i^2 / (1 - leverage_i), with r_i and the leverage after j was added. Returns positions in the
    order; (-1, -1) if no exchange lowers the sum.
    """
    slope, intercept, squares = line
    s_x, s_t, s_xx = sums[0], sums[1], sums[2]
    for i in order[n_kept:]:
        s_x -= x[i]
        s_t -= t[i]
        s_xx -= x[i] * x[i]
    for i in range(n_kept):
        kept_x[i], kept_t[i] = x[order[i]], t[order[i]]
    n = n_kept + 1
    mean_x, mean_t, v_xx = s_x / n_kept, s_t / n_kept, s_xx - s_x * s_x / n_kept
    best = squares * (1 - 1e-12) - MIN_DECREASE
    pair = (-1, -1)
    for j in range(n_kept, order.size):
        dx, dt = x[order[j]] - mean_x, t[order[j]] - mean_t
        residual = t[order[j]] - (slope * x[order[j]] + intercept)
        gain = residual / (1 + 1 / n_kept + dx * dx / v_xx)
        with_j = squares + residual * gain
        new_slope = slope + gain * dx / v_xx
        new_x, inverse = mean_x + dx / n, 1 / (v_xx + dx * dx * n_kept / n)
        new_intercept = mean_t + dt / n - new_slope * new_x
        # Hardly any point lowers the sum enough, which vectors tell without a division.
        n_better = 0
        for i in range(n_kept):
            square, rest = _leaving(kept_x[i], kept_t[i], new_slope, new_intercept, new_x, inverse, n)
            n_better += square > (with_j - best) * rest
        if n_better == 0:
            continue
        for i in range(n_kept):
            square, rest = _leaving(kept_x[i], kept_t[i], new_slope, new_intercept, new_x, inverse, n)
            if rest > MIN_REST and with_j - square / rest < best:
                best = with_j - square / rest
                pair = (i, j)
    return pair


@kernel
def trimmed_line(
    x: np.ndarray, t: np.ndarray, scratch: np.ndarray, order: np.ndarray
) -> tuple[float, float, float]:
    """Line t = slope x + intercept by least trimmed squares.

    Descends from the ordinary line, then from lines with other slopes through the centre of the points
    kept so far; then exchanges pairs of points while that helps.

    Parameters
    ----------
    x, t : float64 array, shape (n,)
        Points, all finite. Overwritten.
    scratch : float64 array, shape (3, at least n)
        Working memory.
    order : int32 array, shape (n,)
        Working memory.

    Returns
    -------
    slope, intercept : float
        NaN if there are fewer than three points, or no two at different x.
    squares : float
        Sum of the int(0.85 n) least squared residuals.
    """
    n = x.size
    squared = scratch[0][:n]
    n_kept = int(KEPT * n)
    no_line = (np.nan, np.nan, np.nan)
    if n_kept < 2:
        return no_line
    origin_x, origin_t = x.mean(), t.mean()
    s_xx, s_xt, s_tt = 0.0, 0.0, 0.0
    for i in range(n):
        order[i] = i
        x[i] -= origin_x
        t[i] -= origin_t
        s_xx += x[i] * x[i]
        s_xt += x[i] * t[i]
        s_tt += t[i] * t[i]
    if n * s_xx < MIN_DETERMINANT:
        return no_line
    sums = (0.0, 0.0, s_xx, s_xt, s_tt)
    best = _descend(x, t, sums, s_xt / s_xx, 0.0, squared, order, n_kept, np.nan)
    if not best[2] < np.inf:
        return no_line
    kept_x, kept_xx = 0.0, s_xx
    for i in order[n_kept:]:
        kept_x -= x[i] / n_kept
        kept_xx -= x[i] * x[i]
    kept_t = best[0] * kept_x + best[1]
    first, unit = best[0], np.sqrt(best[2] / (kept_xx - n_kept * kept_x * kept_x))
    for start in STARTS:
        slope = first + start * unit
        line = _descend(x, t, sums, slope, kept_t - slope * kept_x, squared, order, n_kept, best[2])
        if line[2] < best[2]:
            best = line
    _descend(x, t, sums, best[0], best[1], squared, order, n_kept, best[2])  # brings back its order
    for _ in range(MAX_STEPS):
        i, j = _best_exchange(x, t, sums, best, order, n_kept, scratch[1], scratch[2])
        if i < 0:
            break
        order[i], order[j] = order[j], order[i]
        slope, intercept, _ = _line_of_kept(x, t, sums, order, n_kept)
        line = _descend(x, t, sums, slope, intercept, squared, order, n_kept, np.nan)
        if not line[2] < best[2] - MIN_DECREASE:
            break
        best = line
    slope, intercept, squares = best
    return slope, intercept + origin_t - slope * origin_x, squares


@kernel
def timing(
    longitudinal: np.ndarray,
    peak_time: np.ndarray,
    scratch: np.ndarray,
    order: np.ndarray,
) -> tuple[float, float, float]:
    """Timing parameters of an image: `trimmed_line` through its finite points, and the scatter of all.

    Parameters
    ----------
    longitudinal : float64 array, shape (n,)
        Coordinates of the surviving pixels along the major axis.
    peak_time : float64 array, shape (n,)
        Arrival times [ns].
    scratch : float64 array, shape (5, at least n)
        Working memory.
    order : int32 array, shape (n,)
        Working memory.

    Returns
    -------
    slope : float
        Nanoseconds a unit of the coordinate.
    intercept : float
        Time at the centre of gravity [ns].
    deviation : float
        Root mean square of all residuals [ns]; NaN if a time is NaN.
    """
    x, t, n_finite = scratch[0], scratch[1], 0
    for i in range(peak_time.size):
        if np.isfinite(longitudinal[i]) and np.isfinite(peak_time[i]):
            x[n_finite] = longitudinal[i]
            t[n_finite] = peak_time[i]
            n_finite += 1
    slope, intercept, _ = trimmed_line(x[:n_finite], t[:n_finite], scratch[2:], order[:n_finite])
    total = 0.0
    for i in range(peak_time.size):
        residual = peak_time[i] - (slope * longitudinal[i] + intercept)
        total += residual * residual
    return slope, intercept, np.sqrt(total / peak_time.size)
