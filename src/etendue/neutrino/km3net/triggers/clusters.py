"""Clusters of hits that one particle can have caused: the triggers' causality relations, and cliques of them.

Two hits match if some source of light could have caused both. A cluster is a clique: each of its hits matches
each other one. Finding the largest clique is expensive; leaving out the hit with the fewest matches until all
match each other comes near it.
"""

from __future__ import annotations

import numpy as np

from etendue.kernel import kernel

#: Speed of light in vacuum, m/ns.
C = 0.299792458

#: Index of refraction that KM3NeT's data filter works with.
INDEX = 1.3800851282

#: Tangent of the Cherenkov angle, cos(theta) = 1 / INDEX.
TAN_CHERENKOV = np.sqrt(INDEX**2 - 1)

SIN_CHERENKOV = TAN_CHERENKOV / INDEX


@kernel
def match_sphere(distance: float, dt: float, diameter: float, extra: float) -> bool:
    """Whether a point source of light within a sphere can have caused two hits.

    With r1 and r2 the distances to the source, both at most D/2: |r1 - r2| <= min(d, D - d), so that
    |dt| <= min(d, D - d) n / c + extra.

    Parameters
    ----------
    distance : float
        Between the hits, d [m].
    dt : float
        Difference of the times [ns].
    diameter : float
        Of the sphere around the source that hits are taken from, D [m].
    extra : float
        Additional time [ns], for scattering and the timing's resolution.
    """
    return abs(dt) <= min(distance, diameter - distance) * (INDEX / C) + extra and distance <= diameter


@kernel
def match_road(across: float, late: float, width: float, extra: float) -> bool:
    """Whether a muon of given direction can have caused two hits with its Cherenkov light.

    With r1 and r2 the distances to the muon, both at most R/2: |r1 - r2| <= min(d, R - d), so that
    |dt - dz / c| <= min(d, R - d) tan(theta) / c + extra.

    Parameters
    ----------
    across : float
        Distance of the hits across the direction, d [m].
    late : float
        Difference of the times less the muon's time of flight between the hits, dt - dz / c [ns].
    width : float
        Of the road around the muon that hits are taken from, R [m].
    extra : float
        Additional time [ns].
    """
    return abs(late) <= min(across, width - across) * (TAN_CHERENKOV / C) + extra and across <= width


@kernel
def match_track(distance: float, dt: float, radius: float, extra: float) -> bool:
    """Whether a muon of any direction can have caused two hits that are both within a distance of it.

    Parameters
    ----------
    distance : float
        Between the hits, d [m].
    dt : float
        Difference of the times [ns].
    radius : float
        Greatest distance of a hit to the muon, R [m].
    extra : float
        Additional time [ns].

    Notes
    -----
    With z the way of the muon between the hits and x their distance across it, c dt = z + (r1 - r2) tan. That
    is at most d n where d sin < R, else sqrt(d**2 - R**2) + R tan; and at least sqrt(d**2 - R**2) - R tan for
    d > R sqrt(tan**2 + 10 + 9 / tan**2) / 2, else sqrt(d**2 - (2 R)**2) for d > 2 R. After B. Bakker, Trigger
    studies for the Antares and KM3NeT detector (Amsterdam, 2011), with the last limit as in Jpp's
    ``JMatch3B``; the upper limit there is that of hits within R sin.
    """
    squared = distance * distance
    if distance * SIN_CHERENKOV < radius:
        most = distance * INDEX
    else:
        most = np.sqrt(squared - radius * radius) + radius * TAN_CHERENKOV
    if not abs(dt) <= most / C + extra:
        return False
    if distance > 0.5 * radius * np.sqrt(TAN_CHERENKOV**2 + 10 + 9 / TAN_CHERENKOV**2):
        least = np.sqrt(squared - radius * radius) - radius * TAN_CHERENKOV
    elif distance > 2 * radius:
        least = np.sqrt(squared - 4 * radius * radius)
    else:
        return True
    return abs(dt) >= least / C - extra


@kernel
def prune(matches: np.ndarray, kept: np.ndarray, enough: int) -> int:
    """Leave out the hit with the fewest matches until all that are left match each other.

    Of hits with equally few matches the last is left out.

    Parameters
    ----------
    matches : bool array, shape (n, n)
        Symmetric: which hits match; each matches itself.
    kept : int64 array, shape (n,)
        Output: the hits that are left, ascending, in the first places.
    enough : int
        Least size of a cluster that anybody asks for: below it, 0 is returned.

    Returns
    -------
    int
        How many hits are left.
    """
    n = matches.shape[0]
    degree = np.zeros(n, dtype=np.int64)
    for i in range(n):
        kept[i] = i
        for match in matches[i]:
            degree[i] += match
    while n >= enough:
        worst = 0
        for i in range(1, n):
            if degree[kept[i]] <= degree[kept[worst]]:
                worst = i
        hit = kept[worst]
        if degree[hit] == n:
            return n
        for i in range(worst, n - 1):
            kept[i] = kept[i + 1]
        n -= 1
        for i in range(n):
            degree[kept[i]] -= matches[hit, kept[i]]
    return 0


@kernel
def has_modules(module: np.ndarray, hits: np.ndarray, enough: int) -> bool:
    """Whether some hits are of enough different modules; stops as soon as they are."""
    n = 0
    for i in range(hits.size):
        is_new = True
        for j in range(i):
            if module[hits[j]] == module[hits[i]]:
                is_new = False
                break
        n += is_new
        if n >= enough:
            return True
    return False


def directions(spacing: float) -> np.ndarray:
    """Directions spread evenly over the sphere: rings of equal spacing, evenly filled.

    Parameters
    ----------
    spacing : float
        Angle between neighbours [deg].

    Returns
    -------
    float64 array, shape (n, 3, 3)
        Three orthogonal unit vectors for each; the last is the direction. Both poles are among them.
    """
    n_rings = max(int(np.ceil(180 / spacing)), 1)
    frames = []
    for theta in np.linspace(0, np.pi, n_rings + 1):
        n = max(int(np.ceil(360 * np.sin(theta) / spacing - 1e-9)), 1)
        phi = 2 * np.pi * np.arange(n) / n
        zero, cos, sin = np.zeros(n), np.cos(phi), np.sin(phi)
        down = np.stack([np.cos(theta) * cos, np.cos(theta) * sin, zero - np.sin(theta)], axis=1)
        beside = np.stack([-sin, cos, zero], axis=1)
        forth = np.stack([np.sin(theta) * cos, np.sin(theta) * sin, zero + np.cos(theta)], axis=1)
        frames.append(np.stack([down, beside, forth], axis=1))
    return np.concatenate(frames)
