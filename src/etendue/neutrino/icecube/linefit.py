"""LineFit: the track as a line along which a plane of light moves through the hits."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from etendue.dataflow.partition import Partition
from etendue.kernel import kernel
from etendue.neutrino.icecube.pulses import (
    INSUFFICIENT_HITS,
    OK,
    TRACK,
    EventStage,
    Pulses,
    blank,
    direction_angles,
    first_pulses,
    most_pulses,
)

#: Fewest hits that make a line.
MIN_HITS = 2

#: Of the iterations of the robust fit: how many at most, and the relative step at which they end.
MAX_ITERATIONS, TOLERANCE = 200, 1e-13


@kernel
def without_delayed(
    pulses: Pulses, first: int, stop: int, distance: float, delay: float, kept: np.ndarray
) -> int:
    """List the pulses of an event that did not come late, by scattering, after light nearby.

    Pulse i is dropped if there is a pulse j with |r_i - r_j| <= distance and t_i - t_j > delay. Of the
    pulses of a module only the first can decide, and of the modules nearby only that which was hit
    first: modules are asked in the order of their first pulses, so that the first one nearby ends it.

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    first, stop : int
        The event's pulses.
    distance, delay : float
        Limits [m], [ns].
    kept : int64 array, shape (>= stop - first,)
        Output: the pulses that are kept, in the first places.

    Returns
    -------
    int
        How many are kept.
    """
    order = first_pulses(pulses, first, stop)
    n_kept, limit, reach = 0, 0.0, distance * distance
    for i in range(first, stop):
        if i == first or pulses.module[i] != pulses.module[i - 1]:
            for j in order:
                dx, dy, dz = pulses.x[i] - pulses.x[j], pulses.y[i] - pulses.y[j], pulses.z[i] - pulses.z[j]
                if dx * dx + dy * dy + dz * dz <= reach:
                    limit = pulses.time[j] + delay
                    break
        if pulses.time[i] <= limit:
            kept[n_kept] = i
            n_kept += 1
    return n_kept


@kernel
def weighted_line(pulses: Pulses, hits: np.ndarray, weight: np.ndarray) -> tuple:
    """The line that minimises sum_i w_i |r_i - r0 - v t_i|^2: v = cov(r, t) / var(t).

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    hits : int64 array, shape (n_hits,)
        The pulses that count.
    weight : float64 array, shape (n_hits,)
        Their weights.

    Returns
    -------
    (x, y, z), t, (vx, vy, vz) : float
        Mean position [m] and time [ns], which are on the line; velocity [m/ns], NaN if all times
        are equal.
    """
    total, t, x, y, z = 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(hits.size):
        i, w = hits[k], weight[k]
        total += w
        t += w * pulses.time[i]
        x += w * pulses.x[i]
        y += w * pulses.y[i]
        z += w * pulses.z[i]
    t, x, y, z = t / total, x / total, y / total, z / total
    tt, tx, ty, tz = 0.0, 0.0, 0.0, 0.0
    for k in range(hits.size):
        i = hits[k]
        dt = pulses.time[i] - t
        w = weight[k] * dt
        tt += w * dt
        tx += w * (pulses.x[i] - x)
        ty += w * (pulses.y[i] - y)
        tz += w * (pulses.z[i] - z)
    return (x, y, z), t, (tx / tt, ty / tt, tz / tt)


@kernel
def distance_to_line(pulses: Pulses, i: int, position: tuple, time: float, velocity: tuple) -> float:
    """Distance |r_i - r0 - v (t_i - t0)| of a hit to where the line is at its time [m]."""
    dt = pulses.time[i] - time
    dx = pulses.x[i] - position[0] - velocity[0] * dt
    dy = pulses.y[i] - position[1] - velocity[1] * dt
    dz = pulses.z[i] - position[2] - velocity[2] * dt
    return np.sqrt(dx * dx + dy * dy + dz * dz)


@kernel
def robust_line(pulses: Pulses, hits: np.ndarray, weight: np.ndarray, scale: float) -> tuple:
    """The line that minimises sum_i phi(rho_i), with the Huber penalty of the distances rho_i.

    phi = rho^2 below the scale mu and mu (2 rho - mu) above. Its minimum is that of the weighted line
    with w_i = min(1, mu / rho_i), which is iterated to a fixed point; the penalty is convex.

    Parameters
    ----------
    pulses, hits
        As for `weighted_line`.
    weight : float64 array, shape (n_hits,)
        Output: the weights at the minimum.
    scale : float
        mu [m].

    Returns
    -------
    tuple
        As of `weighted_line`.
    """
    weight[:] = 1.0
    position, time, velocity = weighted_line(pulses, hits, weight)
    for _ in range(MAX_ITERATIONS):
        outside = 0
        for k in range(hits.size):
            rho = distance_to_line(pulses, hits[k], position, time, velocity)
            weight[k] = scale / rho if rho > scale else 1.0
            outside += rho > scale
        if outside == 0:
            break
        last = velocity
        position, time, velocity = weighted_line(pulses, hits, weight)
        step = abs(velocity[0] - last[0]) + abs(velocity[1] - last[1]) + abs(velocity[2] - last[2])
        if not step > TOLERANCE * (abs(velocity[0]) + abs(velocity[1]) + abs(velocity[2])):
            break
    return position, time, velocity


@kernel
def fit_line(pulses: Pulses, hits: np.ndarray, weight: np.ndarray, track: np.void) -> None:
    """Fill the record of a track with the line of least squares through hits of equal weight."""
    track.fit_status = INSUFFICIENT_HITS
    if hits.size < MIN_HITS:
        return
    weight[:] = 1.0
    position, time, velocity = weighted_line(pulses, hits, weight)
    speed = np.sqrt(velocity[0] ** 2 + velocity[1] ** 2 + velocity[2] ** 2)
    if not (np.isfinite(speed) and speed > 0):
        return
    track.pos_x, track.pos_y, track.pos_z = position
    track.time, track.speed, track.fit_status = time, speed, OK
    track.zenith, track.azimuth = direction_angles(velocity[0], velocity[1], velocity[2])


@kernel
def linefit(pulses: Pulses, tracks: np.ndarray) -> None:
    """The line of least squares through all pulses of each event, each with equal weight.

    J. Stenger, DUMAND note (1990); J. Ahrens et al., NIM A 524 (2004) 169 (astro-ph/0407044), eq. 4.

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    tracks : structured array, shape (n_events,)
        Output, see `TRACK`.
    """
    for event in range(tracks.size):
        hits = np.arange(pulses.starts[event], pulses.starts[event + 1])
        fit_line(pulses, hits, np.empty(hits.size), tracks[event])


@kernel
def improved_linefit(
    pulses: Pulses, distance: float, delay: float, scale: float, far: float, tracks: np.ndarray
) -> None:
    """LineFit that is robust against scattered light and noise (M. G. Aartsen et al., NIM A 736 (2014) 143).

    Pulses that came late after light nearby are dropped (`without_delayed`); a line is fitted with the
    Huber penalty (`robust_line`); pulses that are ``far`` from it, or farther, are dropped; the line of
    least squares is fitted to the rest.

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    distance, delay : float
        Of the cleaning by delays [m], [ns].
    scale : float
        Of the Huber penalty [m].
    far : float
        Distance to the robust line from which on pulses are dropped [m].
    tracks : structured array, shape (n_events,)
        Output, see `TRACK`.
    """
    longest = most_pulses(pulses)
    kept, weight = np.empty(longest, dtype=np.int64), np.empty(longest)
    for event in range(tracks.size):
        first, stop = pulses.starts[event], pulses.starts[event + 1]
        n = without_delayed(pulses, first, stop, distance, delay, kept)
        if n >= MIN_HITS:
            position, time, velocity = robust_line(pulses, kept[:n], weight[:n], scale)
            n_near = 0
            for i in kept[:n]:
                if distance_to_line(pulses, i, position, time, velocity) < far:
                    kept[n_near] = i
                    n_near += 1
            n = n_near
        fit_line(pulses, kept[:n], weight[:n], tracks[event])


class LineFit(EventStage):
    """Fit a line to the pulses, as first guess of a track: plain, or improved against late light.

    The defaults of the improved fit are IceCube's. Its filters give it the pulses in local coincidence.
    """

    results: ClassVar = TRACK

    output: str = Field("LineFit", description="what the columns' names begin with")
    improved: bool = Field(True, description="whether late and far pulses are dropped")
    delay_distance: float = Field(156.0, gt=0, description="how near light is to count as nearby [m]")
    delay: float = Field(778.0, gt=0, description="how late after light nearby pulses are dropped [ns]")
    huber_scale: float = Field(153.0, gt=0, description="where the penalty becomes linear [m]")
    debias_distance: float = Field(
        116.0, gt=0, description="how far from the robust line pulses are dropped [m]"
    )

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        pulses = self.gather(partition)
        tracks = blank(self.results, len(pulses.starts) - 1)
        if self.improved:
            limits = (self.delay_distance, self.delay, self.huber_scale, self.debias_distance)
            improved_linefit(pulses, *limits, tracks)
        else:
            linefit(pulses, tracks)
        return self.columns(tracks)
