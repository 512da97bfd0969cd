"""Directional scan: for each direction of a grid the linear least squares of a point and a time."""

from __future__ import annotations

from math import ceil, cos, pi, radians, sin, sqrt

import numpy as np

from etendue.kernel import kernel
from etendue.neutrino.km3net.cherenkov import KAPPA, C, approach
from etendue.neutrino.km3net.muon.fit import ROBUST_SIGMA, basis, solve

#: Noise of an equation over the spread of tracks around the hits [m]: holds the fit where hits do not.
RIDGE = 5.0
#: Residuals [ns] beyond which seeds are left out, in the rounds of the scan.
OUTLIER_LIMITS = (60.0, 25.0, 25.0)


def isotropic(spacing: float) -> np.ndarray:
    """Directions that cover the sphere evenly: float64 (n, 3), neighbours about ``spacing`` degrees apart.

    Rings of equal step in zenith angle, each with steps of the same arc.
    """
    step = radians(spacing)
    rings = ceil(pi / step)
    directions = []
    for ring in range(rings):
        theta = (ring + 0.5) * pi / rings
        n = max(1, round(2 * pi * sin(theta) / step))
        for k in range(n):
            phi = 2 * pi * (k + 0.5 * (ring % 2)) / n
            directions.append((sin(theta) * cos(phi), sin(theta) * sin(phi), cos(theta)))
    return np.array(directions)


@kernel
def line_at(direction: np.ndarray, seeds: np.ndarray, n: int, dropped: np.ndarray, track: np.ndarray) -> bool:
    """Point and time of the track of a given direction that fits n seeds best.

    With z along the direction and s = c t_0 / kappa, u_i = (c t_i - z_i) / kappa, a hit of unscattered light
    has (u_i - s)^2 = (x_i - x)^2 + (y_i - y)^2. What the equations share, s^2 - x^2 - y^2, is a fourth
    unknown, so they are linear: u_i^2 - x_i^2 - y_i^2 = 2 s u_i - 2 x x_i - 2 y y_i - q. (Subtracting
    consecutive equations, as KM3NeT's JPrefit does, removes the same unknown.)
    """
    ux, uy, uz = direction[0], direction[1], direction[2]
    ax, ay, az, bx, by, bz = basis(ux, uy, uz)
    matrix, right, answer, row = np.zeros((4, 4)), np.zeros(4), np.empty(4), np.empty(4)
    for i in range(n):
        if dropped[i]:
            continue
        x = seeds[i, 0] * ax + seeds[i, 1] * ay + seeds[i, 2] * az
        y = seeds[i, 0] * bx + seeds[i, 1] * by + seeds[i, 2] * bz
        u = (C * seeds[i, 6] - seeds[i, 0] * ux - seeds[i, 1] * uy - seeds[i, 2] * uz) / KAPPA
        row[0], row[1], row[2], row[3] = -2.0 * x, -2.0 * y, 2.0 * u, -1.0
        value = u * u - x * x - y * y
        for j in range(4):
            right[j] += row[j] * value
            for k in range(j + 1):
                matrix[j, k] += row[j] * row[k]
    matrix[0, 0] += RIDGE**2
    matrix[1, 1] += RIDGE**2
    if not solve(matrix, 1e-9, right, answer):
        return False
    track[0] = answer[0] * ax + answer[1] * bx
    track[1] = answer[0] * ay + answer[1] * by
    track[2] = answer[0] * az + answer[1] * bz
    track[3], track[4], track[5] = ux, uy, uz
    track[6] = answer[2] * KAPPA / C
    return True


@kernel
def robust_score(track: np.ndarray, hits: np.ndarray, n: int, dropped: np.ndarray, limit: float) -> float:
    """Robust sum over hits, and mark those with residuals beyond a limit [ns]."""
    total = 0.0
    for i in range(n):
        along, rho, _, _, _ = approach(
            hits[i, 0] - track[0], hits[i, 1] - track[1], hits[i, 2] - track[2], track[3], track[4], track[5]
        )
        dt = hits[i, 6] - track[6] - (along + KAPPA * rho) / C
        dropped[i] = abs(dt) > limit
        total += sqrt(1.0 + (dt / ROBUST_SIGMA) ** 2) - 1.0
    return total


@kernel
def scan(directions: np.ndarray, seeds: np.ndarray, n: int, tracks: np.ndarray, scores: np.ndarray) -> None:
    """The best track and its robust score for each direction; infinite where there is none."""
    dropped = np.zeros(n, np.bool_)
    for d in range(len(directions)):
        dropped[:] = False
        scores[d] = np.inf
        for limit in OUTLIER_LIMITS:
            n_left = n - dropped.sum()
            if n_left < 3 or not line_at(directions[d], seeds, n, dropped, tracks[d]):
                break
            scores[d] = min(scores[d], robust_score(tracks[d], seeds, n, dropped, limit))
