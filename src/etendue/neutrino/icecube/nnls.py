"""Non-negative least squares, after Lawson and Hanson."""

from __future__ import annotations

import numpy as np

from etendue.kernel import kernel

#: A pivot below this share of its template's square is of a template that others already make up.
SINGULAR = 1e-10


@kernel
def solve_passive(
    gram: np.ndarray, right: np.ndarray, passive: np.ndarray, factor: np.ndarray, x: np.ndarray
) -> int:
    """Solve the normal equations of the columns in use, by Cholesky factors.

    Parameters
    ----------
    gram : float64 array, shape (n, n)
        A^T A.
    right : float64 array, shape (n,)
        A^T b.
    passive : int64 array, shape (m,)
        Columns in use.
    factor : float64 array, shape (n, n)
        Working memory.
    x : float64 array, shape (m,)
        Output.

    Returns
    -------
    int
        Place of the first column that the ones before it already make up; -1 if there is none.
    """
    m = passive.size
    for i in range(m):
        for j in range(i + 1):
            value = gram[passive[i], passive[j]]
            for k in range(j):
                value -= factor[i, k] * factor[j, k]
            if i > j:
                factor[i, j] = value / factor[j, j]
            elif value <= SINGULAR * gram[passive[i], passive[i]]:
                return i
            else:
                factor[i, i] = np.sqrt(value)
    for i in range(m):
        value = right[passive[i]]
        for k in range(i):
            value -= factor[i, k] * x[k]
        x[i] = value / factor[i, i]
    for i in range(m - 1, -1, -1):
        value = x[i]
        for k in range(i + 1, m):
            value -= factor[k, i] * x[k]
        x[i] = value / factor[i, i]
    return -1


@kernel
def nnls(matrix: np.ndarray, data: np.ndarray, tolerance: float) -> np.ndarray:
    """Minimise |A x - b| with x >= 0 (C. L. Lawson, R. J. Hanson, Solving Least Squares Problems, ch. 23).

    The column with the greatest gradient comes into use; the least squares of the columns in use follow;
    columns whose amount would be negative go out of use.

    Parameters
    ----------
    matrix : float64 array, shape (n_samples, n_columns)
        A.
    data : float64 array, shape (n_samples,)
        b.
    tolerance : float
        Greatest gradient of a column out of use, A^T (b - A x), at which it ends.

    Returns
    -------
    float64 array, shape (n_columns,)
        x.
    """
    n = matrix.shape[1]
    gram, right = np.ascontiguousarray(matrix.T) @ matrix, np.ascontiguousarray(matrix.T) @ data
    x, trial, factor = np.zeros(n), np.empty(n), np.empty((n, n))
    passive, n_passive = np.empty(n, dtype=np.int64), 0
    blocked = np.zeros(n, dtype=np.bool_)
    for _ in range(3 * n):
        gradient = right - gram @ x
        best = -1
        for j in range(n):
            if not blocked[j] and gradient[j] > tolerance and (best < 0 or gradient[j] > gradient[best]):
                best = j
        if best < 0:
            break
        passive[n_passive] = best
        n_passive += 1
        blocked[best] = True
        while n_passive > 0:
            used = passive[:n_passive]
            twin = solve_passive(gram, right, used, factor, trial)
            if twin >= 0:  # stays blocked: it would come back at once
                x[used[twin]] = 0.0
                used[twin:-1] = used[twin + 1 :].copy()
                n_passive -= 1
                continue
            step = 1.0
            for k in range(n_passive):
                if trial[k] <= 0:
                    step = min(step, x[used[k]] / (x[used[k]] - trial[k]))
            n_kept = 0
            for k in range(n_passive):
                j = used[k]
                x[j] += step * (trial[k] - x[j])
                if step < 1 and trial[k] <= 0 and x[j] <= 1e-14 * abs(trial[k]):
                    x[j], blocked[j] = 0.0, False
                else:
                    passive[n_kept] = j
                    n_kept += 1
            if n_kept == n_passive:
                break
            n_passive = n_kept
    return x
