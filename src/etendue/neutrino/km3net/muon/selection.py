"""Which hits a fit sees: seeds of the scan, a few hits a module, the hits near a track.

The hits of an event are ordered by module, then time. `etendue.neutrino.km3net.muon.fit` says what the
columns of a hit are.
"""

from __future__ import annotations

from math import log, sqrt

import numpy as np

from etendue.kernel import kernel
from etendue.neutrino.km3net.cherenkov import KAPPA, N_GROUP, C, approach
from etendue.neutrino.km3net.muon.pdf import AFTER, BEFORE
from etendue.sorting import stable_order

#: Hits of a module within this time are in coincidence [ns].
COINCIDENCE = 20.0
#: By how much seeds may be too early or late for light [ns].
MARGIN = 100.0
#: More than the photomultipliers of any module.
MAX_CHANNELS = 32


@kernel
def coincident(dom: np.ndarray, channel: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Photomultipliers of each hit's module, its own included, with a hit within `COINCIDENCE` of it.

    Parameters
    ----------
    dom, channel, t : array, shape (n_hits,)
        Module, photomultiplier and time [ns]; ordered by module, then time.

    Returns
    -------
    float64 array, shape (n_hits,)
    """
    n_hits, low = len(t), 0
    fold = np.empty(n_hits)
    for i in range(n_hits):
        while dom[low] != dom[i] or t[i] - t[low] > COINCIDENCE:
            low += 1
        seen, n = np.uint32(0), 0
        j = low
        while j < n_hits and dom[j] == dom[i] and t[j] - t[i] <= COINCIDENCE:
            bit = np.uint32(1) << np.uint32(channel[j])
            if seen & bit == 0:
                seen |= bit
                n += 1
            j += 1
        fold[i] = n
    return fold


@kernel
def connected(position: np.ndarray, t: np.ndarray, fold: np.ndarray, is_seed: np.ndarray) -> np.ndarray:
    """The seeds that light may connect with the seed of the largest coincidence: bool array, shape (n_hits,).

    |dt| <= d n_group / c + `MARGIN`. Others are background, or of another particle.
    """
    kept, anchor = np.zeros(len(t), np.bool_), -1
    for i in range(len(t)):
        if is_seed[i] and (anchor < 0 or fold[i] > fold[anchor]):
            anchor = i
    for i in range(len(t)):
        if is_seed[i]:
            x = position[i, 0] - position[anchor, 0]
            y = position[i, 1] - position[anchor, 1]
            z = position[i, 2] - position[anchor, 2]
            kept[i] = abs(t[i] - t[anchor]) <= sqrt(x * x + y * y + z * z) * N_GROUP / C + MARGIN
    return kept


@kernel
def seed_hits(
    dom: np.ndarray,
    channel: np.ndarray,
    fold: np.ndarray,
    is_seed: np.ndarray,
    n_modules: int,
    per_module: int,
) -> tuple[np.ndarray, np.ndarray]:
    """One hit a module to scan directions with, and the first few of each module to compare tracks with.

    Of a module, the first of the seeds that is in coincidence, else its first seed: scattered light is late.
    The modules are those with the largest coincidences, which are the nearest to the track.

    Returns
    -------
    first, few : int64 array
        Rows of hits, at most ``n_modules`` and ``n_modules * per_module``, modules by falling coincidence.
    """
    n_hits = len(dom)
    starts, best, largest = np.empty(n_hits, np.int64), np.empty(n_hits, np.int64), np.empty(n_hits)
    n, i = 0, 0
    while i < n_hits:
        j, row, most = i, -1, 0.0
        while j < n_hits and dom[j] == dom[i]:
            if is_seed[j]:
                if row < 0 or (fold[row] < 2 and fold[j] >= 2):
                    row = j
                most = max(most, fold[j])
            j += 1
        if row >= 0:
            starts[n], best[n], largest[n] = i, row, -most
            n += 1
        i = j
    order = stable_order(largest[:n])[:n_modules]
    few, n_few = np.empty(len(order) * per_module, np.int64), 0
    for m in order:
        seen, taken, i = np.uint32(0), 0, starts[m]
        while i < n_hits and dom[i] == dom[starts[m]] and taken < per_module:
            bit = np.uint32(1) << np.uint32(channel[i])
            if is_seed[i] and seen & bit == 0:
                seen |= bit
                few[n_few] = i
                n_few += 1
                taken += 1
            i += 1
    return best[order], few[:n_few]


@kernel
def near_track(
    track: np.ndarray,
    hits: np.ndarray,
    dom: np.ndarray,
    channel: np.ndarray,
    is_seed: np.ndarray,
    road: float,
    out: np.ndarray,
) -> int:
    """Copy one hit of each photomultiplier within the road [m] of a track; how many.

    It is the first in the time window. A photomultiplier without one counts with its first seed: a track that
    leaves seeds of its road unexplained pays for them.
    """
    n_hits, n_near, i = len(hits), 0, 0
    outside = np.empty(MAX_CHANNELS, np.int64)
    while i < n_hits:
        seen, late, j = np.uint32(0), np.uint32(0), i
        while j < n_hits and dom[j] == dom[i]:
            bit = np.uint32(1) << np.uint32(channel[j])
            if seen & bit == 0:
                along, rho, _, _, _ = approach(
                    hits[j, 0] - track[0],
                    hits[j, 1] - track[1],
                    hits[j, 2] - track[2],
                    track[3],
                    track[4],
                    track[5],
                )
                dt = hits[j, 6] - track[6] - (along + KAPPA * rho) / C
                if rho <= road and -BEFORE <= dt <= AFTER:
                    seen |= bit
                    out[n_near] = hits[j]
                    n_near += 1
                elif rho <= road and is_seed[j] and late & bit == 0:
                    late |= bit
                    outside[channel[j]] = j
            j += 1
        late &= ~seen
        if late != 0:
            for c in range(MAX_CHANNELS):
                if late & (np.uint32(1) << np.uint32(c)) != 0:
                    out[n_near] = hits[outside[c]]
                    n_near += 1
        i = j
    return n_near


@kernel
def centred(
    position: np.ndarray, axis: np.ndarray, t: np.ndarray, fold: np.ndarray, origin: np.ndarray
) -> np.ndarray:
    """Hits as the fits take them, relative to an origin in space and time: float64 array, shape (n, 8)."""
    hits = np.empty((len(t), 8))
    for i in range(len(t)):
        for j in range(3):
            hits[i, j] = position[i, j] - origin[j]
            hits[i, 3 + j] = axis[i, j]
        hits[i, 6] = t[i] - origin[3]
        hits[i, 7] = log(fold[i])
    return hits
