"""Likelihood of tracks and cascades, given the first hits of IceCube's modules and the Pandel function.

It is the product of the probabilities of the first hits, of one photon each (SPE) or of the first of the n
that a module saw (MPE: n p(t) (1 - P(t))^(n-1)); AMANDA collaboration, Nucl. Instrum. Meth. A524 (2004) 169,
astro-ph/0407044, equations 9 and 11. A constant for noise is added to p.
"""

from __future__ import annotations

import math

import numpy as np

from etendue.kernel import kernel
from etendue.neutrino.icecube.pandel import N_GROUP, N_PHASE, C, Ice, Table, interpolate
from etendue.neutrino.icecube.pulses import Pulses

#: What is fitted.
TRACK, CASCADE = 0, 1

_SIN_CHERENKOV = math.sqrt(1.0 - 1.0 / N_PHASE**2)
_TAN_CHERENKOV = N_PHASE * _SIN_CHERENKOV
#: Path of light from a track, in m of c t a m of distance: (n_phase n_group - 1) / sqrt(n_phase^2 - 1).
_DELAY = (N_PHASE * N_GROUP - 1.0) / math.sqrt(N_PHASE**2 - 1.0)


@kernel
def first_hits(pulses: Pulses) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First pulse of each photomultiplier of each event, and the charge of all.

    Returns
    -------
    starts : int64 array, shape (n_events + 1,)
        First hit of each event.
    row : int64 array, shape (n_hits,)
        Pulse that is the hit.
    charge : float64 array, shape (n_hits,)
        Charge of the photomultiplier's pulses.
    """
    n_events = pulses.starts.size - 1
    starts = np.zeros(n_events + 1, np.int64)
    row, charge = np.empty(pulses.time.size, np.int64), np.empty(pulses.time.size)
    n = 0
    for event in range(n_events):
        for i in range(pulses.starts[event], pulses.starts[event + 1]):
            if i == pulses.starts[event] or pulses.module[i] != pulses.module[i - 1]:
                row[n], charge[n] = i, 0.0
                n += 1
            charge[n - 1] += pulses.charge[i]
        starts[event + 1] = n
    return starts, row[:n].copy(), charge[:n].copy()


@kernel
def effective_distance(distance: float, cos_eta: float) -> float:
    """Distance of a module to a track as scattered light sees it [m].

    0.8395 d + 3.094 - 3.946 cos eta + 4.636 cos^2 eta (astro-ph/0407044, section 3.2.3, with the constants
    in IceTray's documentation of rpdf); eta is the angle between the light and the module's axis: light that
    comes from below meets a photomultiplier, which looks down, head-on (cos eta = 1).

    Parameters
    ----------
    distance : float
        Closest distance [m].
    cos_eta : float
        Cosine of the angle of incidence.
    """
    return 0.8395 * distance + 3.094 - 3.946 * cos_eta + 4.636 * cos_eta * cos_eta


@kernel
def delay_behind_track(
    dx: float, dy: float, dz: float, dt: float, ux: float, uy: float, uz: float
) -> tuple[float, float]:
    """Time of a hit after the unscattered light of a track [ns], and the effective distance [m].

    t_geo = (d . u + rho (n_p n_g - 1) / sqrt(n_p^2 - 1)) / c

    Parameters
    ----------
    dx, dy, dz, dt : float
        Module and hit time from a point of the track [m, ns].
    ux, uy, uz : float
        Direction of the track.
    """
    along = dx * ux + dy * uy + dz * uz
    rho = math.sqrt(max(dx * dx + dy * dy + dz * dz - along * along, 0.0))
    delay = dt - (along + rho * _DELAY) / C
    # Direction of the light, from where it left the track: its rise a metre.
    rise = (dz - (along - rho / _TAN_CHERENKOV) * uz) * _SIN_CHERENKOV / rho if rho > 0.0 else 0.0
    return delay, effective_distance(rho, rise)


@kernel
def delay_behind_cascade(dx: float, dy: float, dz: float, dt: float) -> tuple[float, float]:
    """Time of a hit after the unscattered light of a point [ns], and its distance [m]."""
    distance = math.sqrt(dx * dx + dy * dy + dz * dz)
    return dt - distance * N_GROUP / C, distance


@kernel
def track_of(point: np.ndarray, axes: np.ndarray) -> tuple:
    """A point of a track, the time there, and its direction; see `minus_log_likelihood`."""
    x0 = point[0] * axes[0, 0] + point[1] * axes[1, 0]
    y0 = point[0] * axes[0, 1] + point[1] * axes[1, 1]
    z0 = point[0] * axes[0, 2] + point[1] * axes[1, 2]
    ux = axes[2, 0] + point[3] * axes[0, 0] + point[4] * axes[1, 0]
    uy = axes[2, 1] + point[3] * axes[0, 1] + point[4] * axes[1, 1]
    uz = axes[2, 2] + point[3] * axes[0, 2] + point[4] * axes[1, 2]
    norm = 1.0 / math.sqrt(ux * ux + uy * uy + uz * uz)
    return x0, y0, z0, point[2], ux * norm, uy * norm, uz * norm


@kernel
def minus_log_likelihood(
    what: int,
    point: np.ndarray,
    axes: np.ndarray,
    hits: np.ndarray,
    table: Table,
    ice: Ice,
    noise: float,
    multi: bool,
) -> float:
    """Minus the logarithm of the likelihood of the first hits.

    Parameters
    ----------
    what : int
        Track or cascade.
    point : float64 array, shape (5,) or (4,)
        Track: position along the first two axes [m], time [ns], and two components of the direction along
        these axes where the third is 1. Cascade: position along the axes, time.
    axes : float64 array, shape (3, 3)
        Unit vectors; the third is the direction that a track's fit began with.
    hits : float64 array, shape (n_hits, 5)
        Position of the module [m] and time [ns] from the middle of the hits, and charge [pe].
    table : Table
        Pandel function for ``ice``.
    ice : Ice
        Properties of the ice.
    noise : float
        Probability of a noise hit a nanosecond.
    multi : bool
        Whether the first of several photons is meant (MPE).
    """
    if what == TRACK:
        x0, y0, z0, t0, ux, uy, uz = track_of(point, axes)
    else:
        x0, y0, z0, t0 = point[0], point[1], point[2], point[3]
        ux, uy, uz = 0.0, 0.0, 0.0
    total = 0.0
    for i in range(hits.shape[0]):
        dx, dy, dz, dt = hits[i, 0] - x0, hits[i, 1] - y0, hits[i, 2] - z0, hits[i, 3] - t0
        if what == TRACK:
            delay, distance = delay_behind_track(dx, dy, dz, dt, ux, uy, uz)
        else:
            delay, distance = delay_behind_cascade(dx, dy, dz, dt)
        t, xi = delay / ice.sigma, distance / ice.scattering
        log_p = interpolate(table.density, t, xi)
        if multi and hits[i, 4] > 1.0:
            log_p += math.log(hits[i, 4]) + (hits[i, 4] - 1.0) * interpolate(table.survival, t, xi)
        total -= math.log(math.exp(log_p) / ice.sigma + noise)
    return total
