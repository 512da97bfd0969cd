"""Direction and energy of a shower from which photomultipliers were hit, and which were not.

A shower of energy E and direction u gives a photomultiplier at distance D, in direction k from its vertex,
with cos delta = k . u and h = (1 + k . axis) / 2, the expected number of photo-electrons::

    mu = E (f g + s g') + B
    f = exp(F0 - D / F_LENGTH + F_H h + F_HH h^2) / (D + NEAR)^2
    g = exp(-G_WIDTH |cos delta - 1 / n_phase|^G_POWER)
    s = exp(S0 - D / S_LENGTH + S_H h) / (D + NEAR)^2
    g' = exp(G_SCATTERED cos delta)

for direct and for scattered light; g has its peak at the Cherenkov angle. -ln L is the sum of
-ln(1 - exp(-mu)) over hit photomultipliers and of mu over the others. f and s do not depend on u, and mu of
the others only has to be summed, so a direction costs a module, not a photomultiplier. The constants are from
a fit to simulated showers, see `docs/km3net-reconstruction.md`.
"""

from __future__ import annotations

from math import cos, exp, expm1, log, pi, radians, sin, sqrt

import numpy as np

from etendue.kernel import kernel
from etendue.neutrino.km3net.cherenkov import COS_THETA
from etendue.neutrino.km3net.muon.fit import basis
from etendue.neutrino.km3net.muon.pdf import AFTER, BEFORE, WINDOW
from etendue.neutrino.km3net.shower.vertex import SPEED

F0, F_H, F_HH, F_LENGTH = 15.3721, -1.9649, -5.3081, 49.57
S0, S_H, S_LENGTH = 6.9269, 1.3346, 53.43
G_WIDTH, G_POWER, G_SCATTERED = 3.4173, 0.4379, 2.7377
NEAR = 0.1
#: Energy [GeV] that the constants hold for.
REFERENCE = 1e5
#: Background hits in the time window: 7 kHz.
BACKGROUND = 7e-6 * WINDOW
#: Photomultipliers count within this distance of the vertex [m].
ROAD = 250.0
#: ln(E / REFERENCE) stays between these; steps of the search for the energy.
LOWEST, HIGHEST, STEPS = log(1e-1 / REFERENCE), log(1e9 / REFERENCE), 12
#: Angles [deg] of the search for the direction around the best of the grid: first and last.
FIRST_ANGLE, LAST_ANGLE, AROUND = 10.0, 0.05, 6


@kernel
def best_energy(signal: np.ndarray, n: int, unhit: float, x: float) -> tuple[float, float]:
    """Ln E of least -ln L, and that, for hit photomultipliers of ``signal`` each and ``unhit`` in all others.

    Newton's iteration in x = ln E: with mu = e^x s + B, d/dx = e^x unhit - sum of e^x s / (e^mu - 1).
    """
    for _ in range(STEPS):
        scale = exp(x)
        slope, curvature = scale * unhit, scale * unhit
        for i in range(n):
            light = scale * signal[i]
            more = expm1(light + BACKGROUND)
            slope -= light / more
            curvature += light * light * (more + 1.0) / (more * more) - light / more
        step = slope / curvature if curvature > 0.0 else slope / (scale * unhit + 1e-9)
        step = min(max(step, -2.0), 2.0)
        x = min(max(x - step, LOWEST), HIGHEST)
        if abs(step) < 1e-4:
            break
    scale = exp(x)
    total = scale * unhit
    for i in range(n):
        total -= log(-expm1(-(scale * signal[i] + BACKGROUND)))
    return x, total


@kernel
def light_of(
    vertex: np.ndarray,
    position: np.ndarray,
    axis: np.ndarray,
    module: np.ndarray,
    is_hit: np.ndarray,
    towards: np.ndarray,
    unhit: np.ndarray,
    hit: np.ndarray,
    owner: np.ndarray,
) -> tuple[int, int]:
    """What of the light does not depend on the direction; number of modules and of hit photomultipliers.

    Photomultipliers of a module stand together; a module is seen from the vertex as its first one is. Fills
    ``towards`` (module, 3): direction from the vertex; ``unhit`` (module, 2): sums of f and s;
    ``hit`` (hit, 2): f and s, and ``owner`` (hit,): their module.
    """
    n_modules, n_hit, last = 0, 0, np.int64(-1)
    for i in range(len(position)):
        x, y, z = position[i, 0] - vertex[0], position[i, 1] - vertex[1], position[i, 2] - vertex[2]
        d = sqrt(x * x + y * y + z * z)
        if d > ROAD:
            continue
        if module[i] != last:
            last = module[i]
            towards[n_modules, 0], towards[n_modules, 1], towards[n_modules, 2] = x / d, y / d, z / d
            unhit[n_modules] = 0.0
            n_modules += 1
        h = 0.5 * (1.0 + (x * axis[i, 0] + y * axis[i, 1] + z * axis[i, 2]) / d)
        near = 1.0 / (d + NEAR) ** 2
        direct = exp(F0 - d / F_LENGTH + (F_H + F_HH * h) * h) * near
        scattered = exp(S0 - d / S_LENGTH + S_H * h) * near
        if is_hit[i]:
            hit[n_hit, 0], hit[n_hit, 1], owner[n_hit] = direct, scattered, n_modules - 1
            n_hit += 1
        else:
            unhit[n_modules - 1, 0] += direct
            unhit[n_modules - 1, 1] += scattered
    return n_modules, n_hit


@kernel
def deviance(
    ux: float,
    uy: float,
    uz: float,
    x: float,
    towards: np.ndarray,
    unhit: np.ndarray,
    hit: np.ndarray,
    owner: np.ndarray,
    angular: np.ndarray,
    signal: np.ndarray,
) -> tuple[float, float]:
    """ln(E / REFERENCE) of least -ln L for one direction, and that.

    ``angular`` (module, 2) and ``signal`` (hit,) are memory.
    """
    total = 0.0
    for m in range(len(towards)):
        cosine = towards[m, 0] * ux + towards[m, 1] * uy + towards[m, 2] * uz
        angular[m, 0] = exp(-G_WIDTH * abs(cosine - COS_THETA) ** G_POWER)
        angular[m, 1] = exp(G_SCATTERED * cosine)
        total += angular[m, 0] * unhit[m, 0] + angular[m, 1] * unhit[m, 1]
    for i in range(len(hit)):
        signal[i] = angular[owner[i], 0] * hit[i, 0] + angular[owner[i], 1] * hit[i, 1]
    return best_energy(signal, len(hit), total, x)


@kernel
def fit_direction(
    directions: np.ndarray, towards: np.ndarray, unhit: np.ndarray, hit: np.ndarray, owner: np.ndarray
) -> tuple[np.ndarray, float, float]:
    """Direction, ln(E / REFERENCE) and -ln L: the best of the grid, then ever smaller steps around it."""
    angular, signal = np.empty((len(towards), 2)), np.empty(len(hit))
    best, lowest, log_energy, x = np.zeros(3), np.inf, 0.0, 0.0
    for k in range(len(directions)):
        ux, uy, uz = directions[k]
        x, value = deviance(ux, uy, uz, x, towards, unhit, hit, owner, angular, signal)
        if value < lowest:
            best, lowest, log_energy = directions[k].copy(), value, x
    angle = radians(FIRST_ANGLE)
    while angle > radians(LAST_ANGLE):
        ax, ay, az, bx, by, bz = basis(best[0], best[1], best[2])
        ux, uy, uz = best
        improved = False
        for k in range(AROUND):
            a, b = sin(angle) * cos(2.0 * pi * k / AROUND), sin(angle) * sin(2.0 * pi * k / AROUND)
            vx = cos(angle) * ux + a * ax + b * bx
            vy = cos(angle) * uy + a * ay + b * by
            vz = cos(angle) * uz + a * az + b * bz
            x, value = deviance(vx, vy, vz, log_energy, towards, unhit, hit, owner, angular, signal)
            if value < lowest:
                lowest, log_energy, improved = value, x, True
                best[0], best[1], best[2] = vx, vy, vz
        if not improved:
            angle *= 0.5
    return best / sqrt((best**2).sum()), log_energy, lowest


@kernel
def directions_and_energies(
    starts: np.ndarray,
    t: np.ndarray,
    pmt: np.ndarray,
    vertices: np.ndarray,
    position: np.ndarray,
    axis: np.ndarray,
    module: np.ndarray,
    directions: np.ndarray,
) -> np.ndarray:
    """Direction (3), energy [GeV] and -ln L of each event's shower, NaN without a vertex: (n_events, 5).

    Parameters
    ----------
    starts : int64 array, shape (n_events + 1,)
        First hit of each event, and the end.
    t, pmt : float64, int64 array, shape (n_hits,)
        Times [ns], and rows of the detector's photomultipliers; negative for unknown ones.
    vertices : float64 array, shape (n_events, 4)
        x, y, z [m] and t [ns].
    position, axis, module : float64 (n_pmts, 3), (n_pmts, 3), int64 (n_pmts,) array
        Positions [m], unit axes and modules of all photomultipliers, those of a module together.
    directions : float64 array, shape (n, 3)
        Unit vectors to start with.
    """
    n_events, n_pmts = len(starts) - 1, len(position)
    results = np.full((n_events, 5), np.nan)
    towards, unhit = np.empty((n_pmts, 3)), np.empty((n_pmts, 2))
    hit, owner, is_hit = np.empty((n_pmts, 2)), np.empty(n_pmts, np.int64), np.empty(n_pmts, np.bool_)
    for event in range(n_events):
        vertex = vertices[event]
        if not np.isfinite(vertex).all():
            continue
        is_hit[:] = False
        for i in range(starts[event], starts[event + 1]):
            if pmt[i] < 0:
                continue
            place = position[pmt[i]]
            d = sqrt(((place - vertex[:3]) ** 2).sum())
            if -BEFORE <= t[i] - vertex[3] - d / SPEED <= AFTER:
                is_hit[pmt[i]] = True
        n_modules, n_hit = light_of(vertex, position, axis, module, is_hit, towards, unhit, hit, owner)
        if n_modules > 0 and n_hit > 0:
            results[event, :3], x, results[event, 4] = fit_direction(
                directions, towards[:n_modules], unhit[:n_modules], hit[:n_hit], owner[:n_hit]
            )
            results[event, 3] = REFERENCE * exp(x)
    return results
