"""Likelihood of tracks and cascades, given the first hits of IceCube's modules and the Pandel function.

It is the product of the probabilities of the first hits, of one photon each (SPE) or of the first of the n
that a module saw (MPE: n p(t) (1 - P(t))^(n-1)); AMANDA collaboration, Nucl. Instrum. Meth. A524 (2004) 169,
astro-ph/0407044, equations 9 and 11. The n is the module's charge in whole photo-electrons, at least 1. A
constant for noise is added to p.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from etendue.kernel import kernel
from etendue.neutrino.icecube.pandel import N_GROUP, N_PHASE, C, Ice, Table, interpolate_slopes
from etendue.neutrino.icecube.pulses import Pulses

#: What is fitted.
TRACK, CASCADE = 0, 1

_SIN_CHERENKOV = math.sqrt(1.0 - 1.0 / N_PHASE**2)
_COS_CHERENKOV = 1.0 / N_PHASE
#: Path of light from a track, in m of c t a m of distance: (n_phase n_group - 1) / sqrt(n_phase^2 - 1).
_DELAY = (N_PHASE * N_GROUP - 1.0) / math.sqrt(N_PHASE**2 - 1.0)

#: Nanoseconds a metre.
_SLOWNESS = 1.0 / C
#: Effective distance: for each metre, constant, and for cos eta and its square; see `effective_distance`.
_PER_METRE, _CONSTANT, _LINEAR, _SQUARE = 0.8395, 3.094, -3.946, 4.636


class Model(NamedTuple):
    """What the times of hits are compared with.

    Parameters
    ----------
    table : Table
        Pandel function for ``ice``.
    ice : Ice
        Properties of the ice.
    noise : float
        Probability of a noise hit a nanosecond, above 0.
    multi : bool
        Whether the first of several photons is meant (MPE).
    """

    table: Table
    ice: Ice
    noise: float
    multi: bool


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
    return _PER_METRE * distance + _CONSTANT + cos_eta * (_LINEAR + _SQUARE * cos_eta)


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
    vx, vy, vz = dx - along * ux, dy - along * uy, dz - along * uz
    rho = math.sqrt(vx * vx + vy * vy + vz * vz)
    delay = dt - (along + rho * _DELAY) * _SLOWNESS
    # Direction of the light, from where it left the track: its rise a metre.
    rise = _SIN_CHERENKOV * (vz * (1.0 / rho)) + uz * _COS_CHERENKOV if rho > 0.0 else 0.0
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
def turns_of(point: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """How the direction u of a track turns with its two parameters q: shape (2, 3).

    du/dq_k = (a_k - (a_k . u) u) / |a_3 + q_1 a_1 + q_2 a_2|
    """
    _, _, _, _, ux, uy, uz = track_of(point, axes)
    norm = 1.0 / math.sqrt(1.0 + point[3] * point[3] + point[4] * point[4])
    turns = np.empty((2, 3))
    for k in range(2):
        along = axes[k, 0] * ux + axes[k, 1] * uy + axes[k, 2] * uz
        turns[k, 0] = (axes[k, 0] - along * ux) * norm
        turns[k, 1] = (axes[k, 1] - along * uy) * norm
        turns[k, 2] = (axes[k, 2] - along * uz) * norm
    return turns


@kernel
def track_slopes(
    dx: float, dy: float, dz: float, ux: float, uy: float, uz: float,
    axes: np.ndarray, turns: np.ndarray, late: np.ndarray, far: np.ndarray,
) -> None:  # fmt: skip
    """Derivatives of delay and effective distance (`delay_behind_track`) by the parameters of a track.

    With l = d . u, e = (d - l u) / rho, D = (n_p n_g - 1) / sqrt(n_p^2 - 1), the rise of the light
    r = sin(theta) e_z + cos(theta) u_z, theta the Cherenkov angle, and v = du/dq of `turns_of`:

    by the position along an axis a:  drho = -e.a,  dt = (u.a + D e.a) / c,
    dr = sin(theta) (e_z e.a + u_z u.a - a_z) / rho;
    by the time:  dt = -1;
    by a component q of the direction:  drho = -l e.v,  dt = (D l - rho) e.v / c,
    dr = sin(theta) (l (e_z e.v - v_z) / rho - u_z e.v) + cos(theta) v_z.

    Parameters
    ----------
    dx, dy, dz, ux, uy, uz : float
        Module from a point of the track [m], and the track's direction.
    axes, turns : float64 array, shape (3, 3) and (2, 3)
        As of `minus_log_likelihood` and `turns_of`.
    late, far : float64 array, shape (5,)
        Filled with the derivatives of the delay and of the distance.
    """
    along = dx * ux + dy * uy + dz * uz
    vx, vy, vz = dx - along * ux, dy - along * uy, dz - along * uz
    rho = math.sqrt(vx * vx + vy * vy + vz * vz)
    inverse = 1.0 / rho if rho > 0.0 else 0.0
    ex, ey, ez = vx * inverse, vy * inverse, vz * inverse
    by_rise = _LINEAR + 2.0 * _SQUARE * (_SIN_CHERENKOV * ez + uz * _COS_CHERENKOV)
    for k in range(2):
        e_a = ex * axes[k, 0] + ey * axes[k, 1] + ez * axes[k, 2]
        u_a = ux * axes[k, 0] + uy * axes[k, 1] + uz * axes[k, 2]
        late[k] = (u_a + _DELAY * e_a) * _SLOWNESS
        rise = _SIN_CHERENKOV * inverse * (ez * e_a + uz * u_a - axes[k, 2])
        far[k] = by_rise * rise - _PER_METRE * e_a
        e_v = ex * turns[k, 0] + ey * turns[k, 1] + ez * turns[k, 2]
        late[3 + k] = (_DELAY * along - rho) * e_v * _SLOWNESS
        rise = _SIN_CHERENKOV * (along * inverse * (ez * e_v - turns[k, 2]) - uz * e_v)
        far[3 + k] = by_rise * (rise + turns[k, 2] * _COS_CHERENKOV) - _PER_METRE * along * e_v
    late[2], far[2] = -1.0, 0.0


@kernel
def cascade_slopes(dx: float, dy: float, dz: float, late: np.ndarray, far: np.ndarray) -> None:
    """Derivatives of delay and distance (`delay_behind_cascade`) by the parameters of a cascade.

    By the position: n_g d / (c |d|) and -d / |d|; by the time: -1 and 0. Fills arrays of shape (4,).
    """
    distance = math.sqrt(dx * dx + dy * dy + dz * dz)
    inverse = 1.0 / distance if distance > 0.0 else 0.0
    far[0], far[1], far[2], far[3] = -dx * inverse, -dy * inverse, -dz * inverse, 0.0
    for k in range(3):
        late[k] = -far[k] * (N_GROUP * _SLOWNESS)
    late[3] = -1.0


@kernel
def n_photons(charge: float) -> float:
    """How many photons a module saw: its charge [pe] in whole photo-electrons, at least 1."""
    return max(1.0, math.floor(charge + 0.5))


@kernel
def hit_slopes(model: Model, delay: float, distance: float, n: float) -> tuple:
    """Probability density p of a hit with noise, and the derivatives of L = -ln p.

    With p = g + noise, g = exp(f) / sigma:  dL = -(g / p) df, and as the curvature by the delay, where it is
    positive, -(g / p) d2f (what the change of g / p adds is left out: far from the hit it would be negative).

    Returns
    -------
    density, by_delay, by_distance, bend : float
        p [1/ns]; dL/d delay, dL/d distance, d2L/d delay2, at least 0.
    """
    table = model.table
    per_ns, per_metre = 1.0 / model.ice.sigma, 1.0 / model.ice.scattering
    t, xi = delay * per_ns, distance * per_metre
    log_p, by_t, by_xi, by_t_t = interpolate_slopes(table.density, t, xi)
    if model.multi and n > 1.0:
        later, later_t, later_xi, later_t_t = interpolate_slopes(table.survival, t, xi)
        log_p += math.log(n) + (n - 1.0) * later
        by_t += (n - 1.0) * later_t
        by_xi += (n - 1.0) * later_xi
        by_t_t += (n - 1.0) * later_t_t
    light = math.exp(log_p) * per_ns
    density = light + model.noise
    share = -light / density
    bend = max(share * by_t_t, 0.0) * per_ns * per_ns
    return density, share * by_t * per_ns, share * by_xi * per_metre, bend


@kernel
def evaluate(
    what: int,
    point: np.ndarray,
    axes: np.ndarray,
    hits: np.ndarray,
    model: Model,
    slopes: np.ndarray,
    bends: np.ndarray,
) -> float:
    """Minus the logarithm of the likelihood, its gradient, and about its second derivatives.

    grad L = sum_hits (dL/dt grad t + dL/dd grad d);  H = sum_hits d2L/dt2 grad t grad t^T: no bend of the
    geometry, none by the distance, and no negative ones, so it is positive semidefinite, as in Gauss and
    Newton's method.

    Parameters
    ----------
    what, point, axes, hits, model
        As of `minus_log_likelihood`.
    slopes, bends : float64 array, shape (n,) and (n, n)
        Filled with the gradient, and with H at and below its diagonal.
    """
    n = point.size
    if what == TRACK:
        x0, y0, z0, t0, ux, uy, uz = track_of(point, axes)
        turns = turns_of(point, axes)
    else:
        x0, y0, z0, t0 = point[0], point[1], point[2], point[3]
        ux, uy, uz, turns = 0.0, 0.0, 0.0, axes
    late, far = np.empty(n), np.empty(n)
    slopes[:], bends[:] = 0.0, 0.0
    total, product = 0.0, 1.0
    for i in range(hits.shape[0]):
        dx, dy, dz, dt = hits[i, 0] - x0, hits[i, 1] - y0, hits[i, 2] - z0, hits[i, 3] - t0
        if what == TRACK:
            delay, distance = delay_behind_track(dx, dy, dz, dt, ux, uy, uz)
            track_slopes(dx, dy, dz, ux, uy, uz, axes, turns, late, far)
        else:
            delay, distance = delay_behind_cascade(dx, dy, dz, dt)
            cascade_slopes(dx, dy, dz, late, far)
        density, by_delay, by_distance, bend = hit_slopes(model, delay, distance, hits[i, 4])
        # One logarithm for many hits, as long as their product is far from the ends of the numbers.
        product *= density
        if not 1e-150 < product < 1e150:
            total -= math.log(product)
            product = 1.0
        for a in range(n):
            slopes[a] += by_delay * late[a] + by_distance * far[a]
            for b in range(a + 1):
                bends[a, b] += bend * late[a] * late[b]
    return total - math.log(product)


@kernel
def minus_log_likelihood(
    what: int, point: np.ndarray, axes: np.ndarray, hits: np.ndarray, model: Model
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
        Position of the module [m] and time [ns] from the middle of the hits, and number of photons.
    model : Model
        Pandel function, ice and noise.
    """
    n = point.size
    return evaluate(what, point, axes, hits, model, np.empty(n), np.empty((n, n)))
