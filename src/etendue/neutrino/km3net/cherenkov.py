"""Cherenkov light of a particle that moves with the speed of light: when, whence and how it arrives.

A track passes the point p at time t_0 in direction u. For a photomultiplier at x, with V = x - p::

    L = V . u                              along the track to the point of closest approach
    rho = |V - L u|                        distance of closest approach
    t = t_0 + (L - rho / tan theta) / c + rho n_group / (c sin theta)
    k = cos theta u + sin theta (V - L u) / rho    direction of the light

with cos theta = 1 / n_phase. The impact cosine is k . a for a photomultiplier of axis a: -1 where the light
comes straight in. Formulas and refractive indices are those of KM3NeT's software (KM3io.jl, `cherenkov`).
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from etendue.kernel import kernel

#: Speed of light, in m/ns.
C = 0.299792458
#: Refractive indices of sea water at the depth of KM3NeT, for light of 460 nm.
N_PHASE = 1.3499
N_GROUP = 1.3797
COS_THETA = 1.0 / N_PHASE
SIN_THETA = sqrt(1.0 - COS_THETA**2)
TAN_THETA = SIN_THETA / COS_THETA
#: Delay of the light per distance of closest approach, times c: n_group / sin theta - 1 / tan theta.
KAPPA = N_GROUP / SIN_THETA - 1.0 / TAN_THETA


@kernel
def approach(
    x: float, y: float, z: float, ux: float, uy: float, uz: float
) -> tuple[float, float, float, float, float]:
    """Where a line through the origin passes a point: L, rho, and the unit vector (V - L u) / rho."""
    along = x * ux + y * uy + z * uz
    wx, wy, wz = x - along * ux, y - along * uy, z - along * uz
    rho = sqrt(wx * wx + wy * wy + wz * wz)
    scale = 1.0 / max(rho, 1e-9)
    return along, rho, wx * scale, wy * scale, wz * scale


@kernel
def hypothesis(
    position: np.ndarray, direction: np.ndarray, time: float, pmt_position: np.ndarray, pmt_axis: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Light of one track at many photomultipliers (formulas at the head of the module).

    Parameters
    ----------
    position, direction : float64 array, shape (3,)
        A point of the track [m] and its unit direction.
    time : float
        When the particle passes that point [ns].
    pmt_position, pmt_axis : float64 array, shape (n, 3)
        Positions [m] and unit axes of the photomultipliers.

    Returns
    -------
    along, rho : float64 array, shape (n,)
        Distance along the track to the point of closest approach, and distance there [m].
    arrival : float64 array, shape (n,)
        When unscattered light arrives [ns].
    photon : float64 array, shape (n, 3)
        Direction of the light.
    impact : float64 array, shape (n,)
        Cosine of the angle between the light and the photomultiplier's axis; -1 is head-on.
    """
    n = len(pmt_position)
    along, rho, arrival, impact = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    photon = np.empty((n, 3))
    ux, uy, uz = direction[0], direction[1], direction[2]
    for i in range(n):
        x = pmt_position[i, 0] - position[0]
        y = pmt_position[i, 1] - position[1]
        z = pmt_position[i, 2] - position[2]
        along[i], rho[i], wx, wy, wz = approach(x, y, z, ux, uy, uz)
        arrival[i] = time + (along[i] + KAPPA * rho[i]) / C
        photon[i, 0] = COS_THETA * ux + SIN_THETA * wx
        photon[i, 1] = COS_THETA * uy + SIN_THETA * wy
        photon[i, 2] = COS_THETA * uz + SIN_THETA * wz
        impact[i] = (
            photon[i, 0] * pmt_axis[i, 0] + photon[i, 1] * pmt_axis[i, 1] + photon[i, 2] * pmt_axis[i, 2]
        )
    return along, rho, arrival, photon, impact
