"""The searches of the data filter's triggers, on hits that are sorted by time."""

from __future__ import annotations

import numpy as np

from etendue.kernel import kernel
from etendue.neutrino.km3net.triggers.clusters import (
    INDEX,
    C,
    has_modules,
    match_road,
    match_sphere,
    match_track,
    prune,
)


@kernel
def distance(position: np.ndarray, i: int, j: int) -> float:
    """Distance of two hits [m]."""
    dx = position[i, 0] - position[j, 0]
    dy = position[i, 1] - position[j, 1]
    dz = position[i, 2] - position[j, 2]
    return np.sqrt(dx * dx + dy * dy + dz * dz)


@kernel
def mark(found: np.ndarray, hits: np.ndarray, bits: int) -> None:
    """Set bits of some hits."""
    for hit in hits:
        found[hit] |= bits


@kernel
def sphere_cluster(
    hits: np.ndarray, t: np.ndarray, position: np.ndarray, diameter: float, extra: float, enough: int
) -> np.ndarray:
    """The hits of a clique under `match_sphere`, or none if there are not enough.

    Parameters
    ----------
    hits : int64 array, shape (n,)
        Rows of the hits to choose from.
    t : float64 array
        Times, by row [ns].
    position : float64 array, shape (n_rows, 3)
        Positions, by row [m].
    diameter, extra, enough
        See `match_sphere` and `prune`.
    """
    matches = np.ones((hits.size, hits.size), dtype=np.bool_)
    for i in range(hits.size):
        for j in range(i):
            d = distance(position, hits[i], hits[j])
            matches[i, j] = match_sphere(d, t[hits[i]] - t[hits[j]], diameter, extra)
            matches[j, i] = matches[i, j]
    kept = np.empty(hits.size, dtype=np.int64)
    return hits[kept[: prune(matches, kept, enough)]]


@kernel
def road_cluster(
    hits: np.ndarray,
    t: np.ndarray,
    position: np.ndarray,
    frame: np.ndarray,
    width: float,
    extra: float,
    enough: int,
    found: np.ndarray,
) -> np.ndarray:
    """The hits of a clique under `match_road`, or none if there are not enough or none is new.

    Hits that do not match the first one are left out before anything else.

    Parameters
    ----------
    hits : int64 array, shape (n,)
        Rows of the hits to choose from; the first is in each cluster.
    t : float64 array
        Times, by row [ns].
    position : float64 array, shape (n_rows, 3)
        Positions, by row [m].
    frame : float64 array, shape (3, 3)
        Orthogonal unit vectors; the last is the muon's direction.
    width, extra, enough
        See `match_road` and `prune`.
    found : uint8 array
        What is known of the hits, by row: not 0 for hits that are not new.
    """
    chosen = np.empty(hits.size, dtype=np.int64)
    x, y, late = np.empty(hits.size), np.empty(hits.size), np.empty(hits.size)
    n, n_new = 0, 0
    for hit in hits:
        dx = position[hit, 0] - position[hits[0], 0]
        dy = position[hit, 1] - position[hits[0], 1]
        dz = position[hit, 2] - position[hits[0], 2]
        x[n] = dx * frame[0, 0] + dy * frame[0, 1] + dz * frame[0, 2]
        y[n] = dx * frame[1, 0] + dy * frame[1, 1] + dz * frame[1, 2]
        late[n] = t[hit] - t[hits[0]] - (dx * frame[2, 0] + dy * frame[2, 1] + dz * frame[2, 2]) / C
        if match_road(np.sqrt(x[n] * x[n] + y[n] * y[n]), late[n], width, extra):
            chosen[n] = hit
            n += 1
            n_new += found[hit] == 0
    if n < enough or n_new == 0:
        return chosen[:0]
    matches = np.empty((n, n), dtype=np.bool_)
    for i in range(n):
        for j in range(n):
            across = np.sqrt((x[i] - x[j]) ** 2 + (y[i] - y[j]) ** 2)
            matches[i, j] = match_road(across, late[i] - late[j], width, extra)
    kept = np.empty(n, dtype=np.int64)
    return chosen[kept[: prune(matches, kept, enough)]]


@kernel
def find_muons(
    starts: np.ndarray,
    t: np.ndarray,
    position: np.ndarray,
    module: np.ndarray,
    frames: np.ndarray,
    min_hits: int,
    min_modules: int,
    longest: float,
    width: float,
    extra: float,
    limit: int,
) -> np.ndarray:
    """Mark the hits of muon tracks: for each hit, the later ones that match it are scanned by direction.

    Parameters
    ----------
    starts : int64 array, shape (n_groups + 1,)
        First hit of each group (event or time slice), and the end.
    t : float64 array, shape (n_hits,)
        Times, ascending in each group [ns].
    position : float64 array, shape (n_hits, 3)
        Positions [m].
    module : int array, shape (n_hits,)
        Module.
    frames : float64 array, shape (n_directions, 3, 3)
        Directions to scan, each the last of three orthogonal unit vectors.
    min_hits, min_modules : int
        Least size of a cluster, and of modules in it.
    longest : float
        Greatest distance of two hits [m].
    width, extra : float
        See `match_road`.
    limit : int
        If there are more hits than this to choose from, they count as a cluster.

    Returns
    -------
    uint8 array, shape (n_hits,)
        Bit 0: in a cluster; bit 1: in one beyond the limit.
    """
    found = np.zeros(t.size, dtype=np.uint8)
    hits = np.empty(t.size, dtype=np.int64)
    window = longest * INDEX / C + extra
    for group in range(starts.size - 1):
        for root in range(starts[group], starts[group + 1]):
            hits[0] = root
            n, n_new = 1, found[root] == 0
            for hit in range(root + 1, starts[group + 1]):
                if t[hit] - t[root] > window:
                    break
                d = distance(position, root, hit)
                if d <= longest and match_track(d, t[hit] - t[root], 0.5 * width, extra):
                    hits[n] = hit
                    n += 1
                    n_new += found[hit] == 0
            if n < min_hits or n_new == 0 or not has_modules(module, hits[:n], min_modules):
                continue
            if n > limit:
                mark(found, hits[:n], 3)
                continue
            for frame in frames:
                cluster = road_cluster(hits[:n], t, position, frame, width, extra, min_hits, found)
                if cluster.size > 0 and has_modules(module, cluster, min_modules):
                    mark(found, cluster, 1)
    return found


@kernel
def mark_shower(
    found: np.ndarray,
    hits: np.ndarray,
    t: np.ndarray,
    position: np.ndarray,
    module: np.ndarray,
    min_hits: int,
    min_modules: int,
    diameter: float,
    extra: float,
    limit: int,
) -> None:
    """Mark the clique among ``hits``, all that match a root, if it is large enough; all if they are too many.

    Parameters are as in `find_showers`, whose result ``found`` is.
    """
    if hits.size > limit:
        mark(found, hits, 3)
        return
    cluster = sphere_cluster(hits, t, position, diameter, extra, min_hits)
    if cluster.size > 0 and has_modules(module, cluster, min_modules):
        mark(found, cluster, 1)


@kernel
def find_showers(
    starts: np.ndarray,
    t: np.ndarray,
    position: np.ndarray,
    module: np.ndarray,
    min_hits: int,
    min_modules: int,
    diameter: float,
    extra: float,
    limit: int,
) -> np.ndarray:
    """Mark the hits of showers: for each hit, the clique among the later ones that match it.

    Parameters are as in `find_muons`; for ``diameter`` see `match_sphere`.

    Returns
    -------
    uint8 array, shape (n_hits,)
        Bit 0: in a cluster; bit 1: in one beyond the limit.
    """
    found = np.zeros(t.size, dtype=np.uint8)
    hits = np.empty(t.size, dtype=np.int64)
    window = 0.5 * diameter * INDEX / C + extra
    for group in range(starts.size - 1):
        for root in range(starts[group], starts[group + 1]):
            hits[0] = root
            n, n_new = 1, found[root] == 0
            for hit in range(root + 1, starts[group + 1]):
                if t[hit] - t[root] > window:
                    break
                if match_sphere(distance(position, root, hit), t[hit] - t[root], diameter, extra):
                    hits[n] = hit
                    n += 1
                    n_new += found[hit] == 0
            if n >= min_hits and n_new > 0 and has_modules(module, hits[:n], min_modules):
                mark_shower(
                    found, hits[:n], t, position, module, min_hits, min_modules, diameter, extra, limit
                )
    return found


@kernel
def find_mixed_showers(
    starts: np.ndarray,
    t: np.ndarray,
    position: np.ndarray,
    module: np.ndarray,
    is_root: np.ndarray,
    min_hits: int,
    min_modules: int,
    diameter: float,
    extra: float,
    limit: int,
) -> np.ndarray:
    """Mark the single hits of showers: for each root, the clique among the hits that match it.

    Parameters are as in `find_showers`, for single (L0) hits; ``is_root`` says which of them are the first
    hit of a coincidence. Hits before the root count as those after it.

    Returns
    -------
    uint8 array, shape (n_hits,)
        Bit 0: in a cluster; bit 1: in one beyond the limit.
    """
    found = np.zeros(t.size, dtype=np.uint8)
    hits = np.empty(t.size, dtype=np.int64)
    window = 0.5 * diameter * INDEX / C + extra
    for group in range(starts.size - 1):
        first = starts[group]
        for root in range(starts[group], starts[group + 1]):
            if not is_root[root]:
                continue
            while t[root] - t[first] > window:
                first += 1
            hits[0] = root
            n, n_new = 1, found[root] == 0
            for hit in range(first, starts[group + 1]):
                if t[hit] - t[root] > window:
                    break
                if hit != root and match_sphere(
                    distance(position, root, hit), t[hit] - t[root], diameter, extra
                ):
                    hits[n] = hit
                    n += 1
                    n_new += found[hit] == 0
            if n >= min_hits and n_new > 0 and has_modules(module, hits[:n], min_modules):
                mark_shower(
                    found, hits[:n], t, position, module, min_hits, min_modules, diameter, extra, limit
                )
    return found
