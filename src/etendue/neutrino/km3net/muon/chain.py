"""The chain of fits of one event, and of all events of a partition.

Scan of directions, robust fit, then likelihood fits with a blurred and an ever sharper time distribution;
after each, only the best tracks go on. The last fit sees all hits near the track. At last the track is
turned aside and the fits are done again: what the grid of directions missed is found then.
"""

from __future__ import annotations

from math import cos, degrees, pi, radians, sin, sqrt, tan

import numpy as np

from etendue.kernel import kernel
from etendue.neutrino.km3net.cherenkov import KAPPA, TAN_THETA, C, approach
from etendue.neutrino.km3net.muon.fit import LEVER, cost, minimise, moved, slopes, solve
from etendue.neutrino.km3net.muon.prefit import scan
from etendue.neutrino.km3net.muon.selection import centred, coincident, connected, near_track, seed_hits
from etendue.sorting import stable_order

#: Modules whose seeds the scan sees, hits of each that the first likelihood fits see; with fewer modules than
#: `FEW_MODULES`, the scan sees those hits, too.
N_MODULES, PER_MODULE, FEW_MODULES = 32, 3, 12
#: How many tracks times hits the robust fit, the first likelihood fit and the last fit may treat.
ROBUST_BUDGET, LIKELIHOOD_BUDGET, REFIT_BUDGET = 3200, 2000, 2000
#: Least number of tracks that go on from the scan, the first and second likelihood fit, and the last fit.
KEEP_SCANNED, KEEP_BLURRED, KEEP_SHARP, KEEP_LAST = 10, 10, 3, 2
#: Blur of the time distribution in the first two likelihood fits [ns].
BLURRED, SHARPER = 20.0, 6.0
#: Angles [deg] by which a track is turned aside, steps around it, and blur of the fits after [ns].
TURNS, AROUND, TURNED_BLURS = (10.0, 25.0), 6, (10.0, 3.0)
#: Beyond this number of hits the road is narrowed, each time by this factor: the nearest hits say most.
MAX_NEAR, NARROW = 1000, 0.7
#: Trial steps and least gain of the fits before the last, and of the last.
STEPS, TOLERANCE = 6, 1e-2
LAST_STEPS, LAST_TOLERANCE = 20, 1e-3
#: Hits of unscattered light, for the length of the track: residuals [ns] and distance [m].
DIRECT_BEFORE, DIRECT_AFTER, DIRECT_ROAD = 10.0, 15.0, 60.0
#: Step of the numerical second derivatives [m].
DIFFERENCE = 0.02

#: What `reconstruct` gives of each event, in order.
RESULTS = ("pos_x", "pos_y", "pos_z", "dir_x", "dir_y", "dir_z", "t", "len", "lik", "beta0", "n_hits")


@kernel
def best_of(tracks: np.ndarray, hits: np.ndarray, blur: float, keep: int) -> np.ndarray:
    """Fit each track to the same hits by likelihood; the best ones, best first."""
    values = np.empty(len(tracks))
    for i in range(len(tracks)):
        tracks[i], values[i] = minimise(tracks[i], hits, len(hits), True, blur, STEPS, TOLERANCE)
    return tracks[stable_order(values)[:keep]]


@kernel
def candidates(directions: np.ndarray, seeds: np.ndarray, few: np.ndarray) -> np.ndarray:
    """Tracks that an event may be of, best first: float64 array, shape (n, 7).

    Seeds are what directions are scanned with, ``few`` what the tracks are compared by.
    """
    tracks, scores = np.empty((len(directions), 7)), np.empty(len(directions))
    scan(directions, seeds, len(seeds), tracks, scores)
    n_scanned = min(np.isfinite(scores).sum(), ROBUST_BUDGET // len(seeds))
    tracks = tracks[stable_order(scores)[:n_scanned]]
    values = np.empty(n_scanned)
    for i in range(n_scanned):
        tracks[i], _ = minimise(tracks[i], seeds, len(seeds), False, 0.0, STEPS, TOLERANCE)
        values[i] = cost(tracks[i], few, len(few), True, BLURRED)
    n_blurred = min(n_scanned, max(KEEP_SCANNED, LIKELIHOOD_BUDGET // len(few)))
    tracks = tracks[stable_order(values)[:n_blurred]]
    n_sharper = max(KEEP_BLURRED, n_blurred // 3)
    tracks = best_of(tracks, few, BLURRED, n_sharper)
    return best_of(tracks, few, SHARPER, max(KEEP_SHARP, n_sharper // 3))


@kernel
def turned_aside(track: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """Tracks around a track, turned at the middle of the points that hits' light comes from."""
    centre, middle = track.copy(), 0.0
    for i in range(len(hits)):
        along, rho, _, _, _ = approach(
            hits[i, 0] - track[0], hits[i, 1] - track[1], hits[i, 2] - track[2], track[3], track[4], track[5]
        )
        middle += (along - rho / TAN_THETA) / len(hits)
    for j in range(3):
        centre[j] += middle * track[3 + j]
    centre[6] += middle / C
    tracks, step, n = np.empty((len(TURNS) * AROUND, 7)), np.zeros(5), 0
    for angle in TURNS:
        for _ in range(AROUND):
            phi = 2.0 * pi * n / AROUND + pi / AROUND * (n // AROUND)
            step[2] = LEVER * tan(radians(angle)) * cos(phi)
            step[3] = LEVER * tan(radians(angle)) * sin(phi)
            tracks[n] = moved(centre, step)
            n += 1
    return tracks


@kernel
def refit(
    tracks: np.ndarray,
    hits: np.ndarray,
    dom: np.ndarray,
    channel: np.ndarray,
    is_seed: np.ndarray,
    road: float,
    near: np.ndarray,
) -> tuple[np.ndarray, float]:
    """Fit all hits near each track, the best of them once more with what is near then; the best, its cost.

    ``near`` is memory for the hits near a track.
    """
    n = near_track(tracks[0], hits, dom, channel, is_seed, road, near)
    n_tracks = min(len(tracks), max(KEEP_LAST, REFIT_BUDGET // max(n, 1)))
    values = np.empty(n_tracks)
    for i in range(n_tracks):
        n = near_track(tracks[i], hits, dom, channel, is_seed, road, near)
        tracks[i], _ = minimise(tracks[i], near, n, True, 0.0, LAST_STEPS, TOLERANCE)
        n = near_track(tracks[i], hits, dom, channel, is_seed, road, near)
        values[i] = cost(tracks[i], near, n, True, 0.0)
    order = stable_order(values)[:KEEP_LAST]
    best, lowest = tracks[order[0]], np.inf
    for i in order:
        n = near_track(tracks[i], hits, dom, channel, is_seed, road, near)
        track, _ = minimise(tracks[i], near, n, True, 0.0, LAST_STEPS, LAST_TOLERANCE)
        n = near_track(track, hits, dom, channel, is_seed, road, near)
        value = cost(track, near, n, True, 0.0)
        if value < lowest:
            best, lowest = track, value
    return best, lowest


@kernel
def angular_error(track: np.ndarray, hits: np.ndarray, n: int) -> float:
    """sqrt(var alpha + var beta) [deg] from the inverse of the cost's curvature.

    The curvature is the central difference of the gradient; NaN where it is not positive definite. KM3NeT's
    JGandalf calls this error beta0.
    """
    forward, backward, unused = np.empty(5), np.empty(5), np.empty((5, 5))
    matrix, step, column = np.zeros((5, 5)), np.zeros(5), np.empty(5)
    for j in range(5):
        size = DIFFERENCE if j < 4 else DIFFERENCE / C
        step[:] = 0.0
        step[j] = size
        slopes(moved(track, step), hits, n, True, 0.0, forward, unused)
        step[j] = -size
        slopes(moved(track, step), hits, n, True, 0.0, backward, unused)
        for k in range(5):
            matrix[j, k] += (forward[k] - backward[k]) / (4.0 * size)
            matrix[k, j] += (forward[k] - backward[k]) / (4.0 * size)
    variance = 0.0
    for j in range(2, 4):
        step[:] = 0.0
        step[j] = 1.0
        if not solve(matrix, 0.0, step, column):
            return np.nan
        variance += column[j]
    return degrees(sqrt(variance) / LEVER)


@kernel
def extent(track: np.ndarray, hits: np.ndarray, n: int) -> tuple[float, float]:
    """First and last point of the track, relative to its own, whence direct light of hits comes [m].

    Light of a hit leaves the track at L - rho / tan theta. Only coincident hits count: others may be noise.
    """
    first, last = np.inf, -np.inf
    for i in range(n):
        along, rho, _, _, _ = approach(
            hits[i, 0] - track[0], hits[i, 1] - track[1], hits[i, 2] - track[2], track[3], track[4], track[5]
        )
        dt = hits[i, 6] - track[6] - (along + KAPPA * rho) / C
        if hits[i, 7] > 0.0 and rho < DIRECT_ROAD and -DIRECT_BEFORE < dt < DIRECT_AFTER:
            first, last = min(first, along - rho / TAN_THETA), max(last, along - rho / TAN_THETA)
    return (first, last) if first <= last else (0.0, 0.0)


@kernel
def fit_event(
    dom: np.ndarray,
    channel: np.ndarray,
    t: np.ndarray,
    position: np.ndarray,
    axis: np.ndarray,
    is_seed: np.ndarray,
    directions: np.ndarray,
    road: float,
    result: np.ndarray,
) -> None:
    """Fit a track to the hits of one event (parameters and results as of `reconstruct`)."""
    fold = coincident(dom, channel, t)
    is_seed = connected(position, t, fold, is_seed)
    first, few = seed_hits(dom, channel, fold, is_seed, N_MODULES, PER_MODULE)
    if len(first) < 3:
        return
    origin = np.zeros(4)
    for row in first:  # means of differences: times in a frame are large numbers
        for j in range(3):
            origin[j] += position[row, j] / len(first)
        origin[3] += (t[row] - t[first[0]]) / len(first)
    origin[3] += t[first[0]]
    hits = centred(position, axis, t, fold, origin)
    compared = hits[few]
    tracks = candidates(directions, hits[first] if len(first) >= FEW_MODULES else compared, compared)
    near = np.empty_like(hits)
    while near_track(tracks[0], hits, dom, channel, is_seed, road, near) > MAX_NEAR:
        road *= NARROW
    track, value = refit(tracks, hits, dom, channel, is_seed, road, near)
    tracks = best_of(turned_aside(track, compared), compared, TURNED_BLURS[0], AROUND)
    tracks = best_of(tracks, compared, TURNED_BLURS[1], 1)
    other, lower = refit(tracks, hits, dom, channel, is_seed, road, near)
    if lower < value:
        track, value = other, lower
    n = near_track(track, hits, dom, channel, is_seed, road, near)
    begin, end = extent(track, near, n)
    for j in range(3):
        result[j] = track[j] + begin * track[3 + j] + origin[j]
        result[3 + j] = track[3 + j]
    result[6] = track[6] + begin / C + origin[3]
    result[7], result[8], result[9], result[10] = end - begin, -value, angular_error(track, near, n), n


@kernel
def reconstruct(
    starts: np.ndarray,
    dom: np.ndarray,
    channel: np.ndarray,
    t: np.ndarray,
    position: np.ndarray,
    axis: np.ndarray,
    is_seed: np.ndarray,
    directions: np.ndarray,
    road: float,
) -> np.ndarray:
    """Fit a track to each event.

    Parameters
    ----------
    starts : int64 array, shape (n_events + 1,)
        First hit of each event, and the end.
    dom, channel : integer array, shape (n_hits,)
        Module and photomultiplier of each hit; the hits of an event are ordered by module, then time.
    t : float64 array, shape (n_hits,)
        Time [ns].
    position, axis : float64 array, shape (n_hits, 3)
        Positions [m] and unit axes of the photomultipliers.
    is_seed : bool array, shape (n_hits,)
        Hits that the search starts with: the triggered ones.
    directions : float64 array, shape (n, 3)
        Unit vectors to scan.
    road : float
        Distance from the track [m] up to which hits count.

    Returns
    -------
    float64 array, shape (n_events, len(RESULTS))
        NaN for events with seeds in fewer than three modules. The position is where the first direct light
        comes from, the likelihood is the sum of ln R (`etendue.neutrino.km3net.muon.pdf`), beta0 in degrees.
    """
    results = np.full((len(starts) - 1, len(RESULTS)), np.nan)
    for event in range(len(starts) - 1):
        rows = slice(starts[event], starts[event + 1])
        fit_event(
            dom[rows],
            channel[rows],
            t[rows],
            position[rows],
            axis[rows],
            is_seed[rows],
            directions,
            road,
            results[event],
        )
    return results
