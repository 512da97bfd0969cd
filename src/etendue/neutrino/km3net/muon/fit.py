"""Fits of a track to hits: robust (M-estimator) and by likelihood, with one damped Newton iteration.

Hits are float64 arrays of shape (n, 8): x, y, z, axis x, y, z, t, ln k (`etendue.neutrino.km3net.muon.pdf`);
tracks are float64 arrays of shape (7,): a point [m], a unit direction, and the time [ns] at that point.

A step has five parameters: a, b move the point along e_1, e_2, which span the plane across the direction u;
alpha, beta turn u by alpha e_1 + beta e_2 (times `LEVER`, to be lengths, too); tau adds to the time. With
w = (V - L u) / rho and V, L, rho as in `etendue.neutrino.km3net.cherenkov`::

    d rho = -(w . e) a               d(dt) = kappa (w . e) a / c
    d rho = -L (w . e) alpha         d(dt) = (kappa L - rho) (w . e) alpha / c      d(dt) = -tau
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from etendue.kernel import kernel
from etendue.neutrino.km3net.cherenkov import COS_THETA, KAPPA, SIN_THETA, C, approach
from etendue.neutrino.km3net.muon.pdf import log_ratio

#: Length [m] that turns an angle of a step into a length.
LEVER = 50.0
#: Scale of the residuals of the robust fit [ns].
ROBUST_SIGMA = 3.0
#: Distance [m] below which the direction of the light is not followed any nearer.
MIN_RHO = 0.5


@kernel
def basis(ux: float, uy: float, uz: float) -> tuple[float, float, float, float, float, float]:
    """Two unit vectors across a unit vector and across one another."""
    if abs(uz) < 0.8:
        scale = 1.0 / sqrt(ux * ux + uy * uy)
        ax, ay, az = -uy * scale, ux * scale, 0.0
    else:
        scale = 1.0 / sqrt(uy * uy + uz * uz)
        ax, ay, az = 0.0, -uz * scale, uy * scale
    return ax, ay, az, uy * az - uz * ay, uz * ax - ux * az, ux * ay - uy * ax


@kernel
def moved(track: np.ndarray, step: np.ndarray) -> np.ndarray:
    """A track after a step (a, b, LEVER alpha, LEVER beta, tau)."""
    ux, uy, uz = track[3], track[4], track[5]
    ax, ay, az, bx, by, bz = basis(ux, uy, uz)
    new = np.empty(7)
    new[0] = track[0] + step[0] * ax + step[1] * bx
    new[1] = track[1] + step[0] * ay + step[1] * by
    new[2] = track[2] + step[0] * az + step[1] * bz
    alpha, beta = step[2] / LEVER, step[3] / LEVER
    ux, uy, uz = ux + alpha * ax + beta * bx, uy + alpha * ay + beta * by, uz + alpha * az + beta * bz
    scale = 1.0 / sqrt(ux * ux + uy * uy + uz * uz)
    new[3], new[4], new[5] = ux * scale, uy * scale, uz * scale
    new[6] = track[6] + step[4]
    return new


@kernel
def cost(track: np.ndarray, hits: np.ndarray, n: int, likelihood: bool, blur: float) -> float:
    """Minus the sum of ln R of the first n hits, or the robust sum of sqrt(1 + dt^2 / sigma^2) - 1."""
    total = 0.0
    for i in range(n):
        along, rho, wx, wy, wz = approach(
            hits[i, 0] - track[0], hits[i, 1] - track[1], hits[i, 2] - track[2], track[3], track[4], track[5]
        )
        dt = hits[i, 6] - track[6] - (along + KAPPA * rho) / C
        if likelihood:
            impact = hits[i, 3] * (COS_THETA * track[3] + SIN_THETA * wx)
            impact += hits[i, 4] * (COS_THETA * track[4] + SIN_THETA * wy)
            impact += hits[i, 5] * (COS_THETA * track[5] + SIN_THETA * wz)
            total -= log_ratio(dt, rho, impact, hits[i, 7], blur)[0]
        else:
            total += sqrt(1.0 + (dt / ROBUST_SIGMA) ** 2) - 1.0
    return total


@kernel
def slopes(
    track: np.ndarray,
    hits: np.ndarray,
    n: int,
    likelihood: bool,
    blur: float,
    gradient: np.ndarray,
    curvature: np.ndarray,
) -> float:
    """Cost with its gradient (5,) and approximate curvature (5, 5) in the parameters of a step.

    Curvature: sum of J J^T / (sigma^2 sqrt(1 + dt^2 / sigma^2)) with J = d(dt) for the robust cost, sum of
    g g^T with g the gradient of each hit's ln R for the likelihood.
    """
    ux, uy, uz = track[3], track[4], track[5]
    ax, ay, az, bx, by, bz = basis(ux, uy, uz)
    gradient[:] = 0.0
    curvature[:] = 0.0
    g = np.empty(5)
    total = 0.0
    for i in range(n):
        along, rho, wx, wy, wz = approach(
            hits[i, 0] - track[0], hits[i, 1] - track[1], hits[i, 2] - track[2], ux, uy, uz
        )
        dt = hits[i, 6] - track[6] - (along + KAPPA * rho) / C
        wa, wb = wx * ax + wy * ay + wz * az, wx * bx + wy * by + wz * bz
        by_turn = (KAPPA * along - rho) / C
        if likelihood:
            dx, dy, dz = hits[i, 3], hits[i, 4], hits[i, 5]
            du, dw = dx * ux + dy * uy + dz * uz, dx * wx + dy * wy + dz * wz
            impact = COS_THETA * du + SIN_THETA * dw
            ln_r, by_dt, by_rho, by_c = log_ratio(dt, rho, impact, hits[i, 7], blur)
            total -= ln_r
            scale = SIN_THETA / max(rho, MIN_RHO)
            da, db = dx * ax + dy * ay + dz * az, dx * bx + dy * by + dz * bz
            across_a, across_b = scale * (da - dw * wa), scale * (db - dw * wb)
            g[0] = by_dt * KAPPA * wa / C - by_rho * wa - by_c * across_a
            g[1] = by_dt * KAPPA * wb / C - by_rho * wb - by_c * across_b
            turn_a = COS_THETA * da - SIN_THETA * wa * du - along * across_a
            turn_b = COS_THETA * db - SIN_THETA * wb * du - along * across_b
            g[2] = (by_dt * by_turn * wa - by_rho * along * wa + by_c * turn_a) / LEVER
            g[3] = (by_dt * by_turn * wb - by_rho * along * wb + by_c * turn_b) / LEVER
            g[4] = -by_dt
            slope, weight = -1.0, 1.0
        else:
            root = sqrt(1.0 + (dt / ROBUST_SIGMA) ** 2)
            total += root - 1.0
            g[0], g[1] = KAPPA * wa / C, KAPPA * wb / C
            g[2], g[3], g[4] = by_turn * wa / LEVER, by_turn * wb / LEVER, -1.0
            weight = 1.0 / (root * ROBUST_SIGMA**2)
            slope = dt * weight
        for j in range(5):
            gradient[j] += slope * g[j]
            for k in range(j + 1):
                curvature[j, k] += weight * g[j] * g[k]
    return total


@kernel
def solve(matrix: np.ndarray, damping: float, right: np.ndarray, solution: np.ndarray) -> bool:
    """Solve (M + damping diag(M)) x = right by Cholesky; M symmetric, its lower triangle given."""
    size = len(right)
    root = np.empty((size, size))
    for j in range(size):
        for k in range(j + 1):
            value = matrix[j, k]
            if j == k:
                value = value * (1.0 + damping) + 1e-12
            for m in range(k):
                value -= root[j, m] * root[k, m]
            if j == k:
                if not value > 0.0:
                    return False
                root[j, j] = sqrt(value)
            else:
                root[j, k] = value / root[k, k]
    for j in range(size):
        value = right[j]
        for m in range(j):
            value -= root[j, m] * solution[m]
        solution[j] = value / root[j, j]
    for j in range(size - 1, -1, -1):
        value = solution[j]
        for m in range(j + 1, size):
            value -= root[m, j] * solution[m]
        solution[j] = value / root[j, j]
    return True


@kernel
def minimise(
    track: np.ndarray,
    hits: np.ndarray,
    n: int,
    likelihood: bool,
    blur: float,
    max_steps: int,
    tolerance: float,
) -> tuple[np.ndarray, float]:
    """Levenberg-Marquardt: the track of least cost near a start, and that cost.

    Stops when an accepted step gains less than ``tolerance``, or after ``max_steps`` trials.
    """
    gradient, curvature, step = np.empty(5), np.empty((5, 5)), np.empty(5)
    new_gradient, new_curvature = np.empty(5), np.empty((5, 5))
    value = slopes(track, hits, n, likelihood, blur, gradient, curvature)
    damping = 0.1
    for _ in range(max_steps):
        if not solve(curvature, damping, gradient, step):
            damping *= 10.0
            continue
        for j in range(5):
            step[j] = min(max(-step[j], -LEVER), LEVER)
        trial = moved(track, step)
        lower = slopes(trial, hits, n, likelihood, blur, new_gradient, new_curvature)
        if lower < value:
            gain = value - lower
            track, value = trial, lower
            gradient, new_gradient = new_gradient, gradient
            curvature, new_curvature = new_curvature, curvature
            damping = max(damping * 0.2, 1e-6)
            if gain < tolerance:
                break
        else:
            damping *= 4.0
            if damping > 1e6:
                break
    return track, value
