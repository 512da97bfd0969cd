"""Vertex of a shower: the point and time that the light of its hits comes from.

With residuals r_i = t_i - t_0 - |x_i - x_0| n_group / c, the vertex minimises the sum of
sqrt(1 + r_i^2 / sigma^2) over the first hits of modules (KM3NeT's aashower, arXiv:1601.07459, does so).
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from etendue.kernel import kernel
from etendue.neutrino.km3net.cherenkov import N_GROUP, C
from etendue.neutrino.km3net.muon.fit import solve

#: Speed of light in water [m/ns].
SPEED = C / N_GROUP
#: Scale of the residuals [ns].
SIGMA = 3.0
#: Residuals [ns] beyond which hits are left out, in the rounds of the linear fit.
OUTLIER_LIMITS = (np.inf, 60.0, 30.0)
#: Residuals [ns] beyond which hits do not draw the vertex any more, in the rounds of the robust fit.
LIMITS = (600.0, 100.0)
#: Noise of an equation of the linear fit over the spread of vertices around the hits [m].
RIDGE = 5.0
#: Modules of the largest coincidences that a fit starts near, and how long before their hits [ns].
N_STARTS, EARLIER = 6, 50.0
#: Distance [m] from the brightest module beyond which no light of a shower comes from.
FARTHEST = 500.0
#: Steps and least gain of the fit.
STEPS, TOLERANCE = 50, 1e-6


@kernel
def robust_slopes(
    vertex: np.ndarray, hits: np.ndarray, limit: float, gradient: np.ndarray, curvature: np.ndarray
) -> float:
    """Robust cost of a vertex (x, y, z, t) with its gradient (4,) and approximate curvature (4, 4).

    Hits with residuals beyond the limit [ns] cost as much as one at the limit: they are of something else.

    Hits are as in `etendue.neutrino.km3net.muon.fit`; derivatives of r: (x_i - x_0) n / (c d) and -1.
    """
    gradient[:] = 0.0
    curvature[:] = 0.0
    g, total = np.empty(4), 0.0
    for i in range(len(hits)):
        x, y, z = hits[i, 0] - vertex[0], hits[i, 1] - vertex[1], hits[i, 2] - vertex[2]
        d = max(sqrt(x * x + y * y + z * z), 1e-3)
        r = hits[i, 6] - vertex[3] - d / SPEED
        root = sqrt(1.0 + (min(abs(r), limit) / SIGMA) ** 2)
        total += root - 1.0
        if abs(r) > limit:
            continue
        g[0], g[1], g[2], g[3] = x / (d * SPEED), y / (d * SPEED), z / (d * SPEED), -1.0
        weight = 1.0 / (root * SIGMA**2)
        for j in range(4):
            gradient[j] += r * weight * g[j]
            for k in range(j + 1):
                curvature[j, k] += weight * g[j] * g[k]
    return total


@kernel
def minimise_vertex(vertex: np.ndarray, hits: np.ndarray, limit: float) -> tuple[np.ndarray, float]:
    """Levenberg-Marquardt: the vertex of least robust cost near a start, and that cost."""
    gradient, curvature, step = np.empty(4), np.empty((4, 4)), np.empty(4)
    new_gradient, new_curvature = np.empty(4), np.empty((4, 4))
    value, damping = robust_slopes(vertex, hits, limit, gradient, curvature), 0.01
    for _ in range(STEPS):
        if not solve(curvature, damping, gradient, step):
            damping *= 10.0
            continue
        trial = vertex - step
        lower = robust_slopes(trial, hits, limit, new_gradient, new_curvature)
        if lower < value:
            gain = value - lower
            vertex, value = trial, lower
            gradient, new_gradient = new_gradient, gradient
            curvature, new_curvature = new_curvature, curvature
            damping = max(damping * 0.2, 1e-8)
            if gain < TOLERANCE:
                break
        else:
            damping *= 4.0
            if damping > 1e8:
                break
    return vertex, value


@kernel
def linear_vertex(hits: np.ndarray) -> np.ndarray:
    """Vertex by linear least squares of x_i^2 - v^2 t_i^2 = 2 x_i . x_0 - 2 v^2 t_i t_0 + q.

    The q of all equations, v^2 t_0^2 - x_0^2, is taken as one more unknown. Hits with large residuals are
    left out in further rounds. NaN where the equations are singular.
    """
    vertex, row, answer = np.full(4, np.nan), np.empty(5), np.empty(5)
    for limit in OUTLIER_LIMITS:
        matrix, right, n = np.zeros((5, 5)), np.zeros(5), 0
        for i in range(len(hits)):
            x, y, z, s = hits[i, 0], hits[i, 1], hits[i, 2], SPEED * hits[i, 6]
            if limit < np.inf:
                d = sqrt((x - vertex[0]) ** 2 + (y - vertex[1]) ** 2 + (z - vertex[2]) ** 2)
                if abs(hits[i, 6] - vertex[3] - d / SPEED) > limit:
                    continue
            row[0], row[1], row[2], row[3], row[4] = 2.0 * x, 2.0 * y, 2.0 * z, -2.0 * s, 1.0
            for j in range(5):
                right[j] += row[j] * (x * x + y * y + z * z - s * s)
                for k in range(j + 1):
                    matrix[j, k] += row[j] * row[k]
            n += 1
        for j in range(3):
            matrix[j, j] += RIDGE**2
        if n < 4 or not solve(matrix, 1e-9, right, answer):
            return vertex
        vertex[0], vertex[1], vertex[2], vertex[3] = answer[0], answer[1], answer[2], answer[3] / SPEED
    return vertex


@kernel
def fit_vertex(hits: np.ndarray) -> tuple[np.ndarray, float]:
    """The vertex (x, y, z, t) of least robust cost, and that cost.

    NaN if there is none within `FARTHEST`. Starts are the linear fit, and the modules at the head of the
    hits, which are those of the largest coincidences.
    """
    best, lowest = np.full(4, np.nan), np.inf
    for k in range(-1, min(N_STARTS, len(hits))):
        start = linear_vertex(hits)
        if k >= 0:
            start[0], start[1], start[2], start[3] = hits[k, 0], hits[k, 1], hits[k, 2], hits[k, 6] - EARLIER
        if np.isfinite(start).all():
            value = np.inf
            vertex = start
            for limit in LIMITS:
                vertex, value = minimise_vertex(vertex, hits, limit)
            x, y, z = vertex[0] - hits[0, 0], vertex[1] - hits[0, 1], vertex[2] - hits[0, 2]
            if value < lowest and x * x + y * y + z * z < FARTHEST**2:
                best, lowest = vertex, value
    return best, lowest
