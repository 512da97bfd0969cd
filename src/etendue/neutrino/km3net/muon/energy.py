"""Energy of a muon from which photomultipliers near its track were hit, and which were not.

The expected number of photo-electrons of a photomultiplier at distance rho with impact cosine c, and
h = (1 + c) / 2, is the light of the muon itself, that of showers along it, which grows with the energy, and
background::

    mu = exp(M0 + M_H h + M_HH h^2 - rho / M_LENGTH) / (rho + M_RHO)
       + E exp(S0 + S_H h - rho / S_LENGTH) / (rho + S_RHO) + B

and x = ln E minimises  sum over hit ones of -ln(1 - exp(-mu))  +  sum over the others of mu  (KM3NeT's
JEnergy). Losses fluctuate, so E is not the energy itself; a line in log10 E makes it that. The constants are
from fits to simulated muons, see `docs/km3net-reconstruction.md`.
"""

from __future__ import annotations

from math import exp, expm1, log

import numpy as np

from etendue.kernel import kernel
from etendue.neutrino.km3net.cherenkov import COS_THETA, KAPPA, SIN_THETA, TAN_THETA, C, approach
from etendue.neutrino.km3net.muon.pdf import AFTER, BEFORE, WINDOW

M0, M_H, M_HH, M_LENGTH, M_RHO = 2.9471, -3.4298, -1.4507, 27.17, 1.3025
S0, S_H, S_LENGTH, S_RHO = 0.6, -2.8937, 84.27, 1.1222
#: Rate of background hits [1/ns]: 7 kHz.
BACKGROUND = 7e-6
#: Energy [GeV] that S0 holds for.
REFERENCE = 1e5
#: Photomultipliers count within this distance of the track [m], and this far beyond its ends.
ROAD, BEYOND = 250.0, 50.0
#: log10 of the energy in GeV is SLOPE log10 E + OFFSET.
SLOPE, OFFSET = 1.0043, -1.3390
#: ln(E / REFERENCE) is searched between these.
LOWEST, HIGHEST = log(1e1 / REFERENCE), log(1e10 / REFERENCE)
#: Points of the first search, and steps of the golden section after it.
POINTS, SECTIONS = 21, 20
GOLDEN = 0.6180339887498949


@kernel
def light(rho: float, impact: float) -> tuple[float, float]:
    """Expected photo-electrons: of the muon itself with the background, and of its showers at `REFERENCE`."""
    h = 0.5 * (1.0 + impact)
    muon = exp(M0 + (M_H + M_HH * h) * h - rho / M_LENGTH) / (rho + M_RHO)
    showers = exp(S0 + S_H * h - rho / S_LENGTH) / (rho + S_RHO)
    return muon + BACKGROUND * WINDOW, showers


@kernel
def deviance(x: float, muon: np.ndarray, showers: np.ndarray, is_hit: np.ndarray, n: int) -> float:
    """Minus the log of the likelihood of the first n photomultipliers' hits for ln E = x."""
    scale, total = exp(x), 0.0
    for i in range(n):
        mu = muon[i] + scale * showers[i]
        total += -log(-expm1(-mu)) if is_hit[i] else mu
    return total


@kernel
def most_likely(muon: np.ndarray, showers: np.ndarray, is_hit: np.ndarray, n: int) -> float:
    """The x of least `deviance`: a coarse search, then golden sections."""
    spacing = (HIGHEST - LOWEST) / (POINTS - 1)
    best, least = 0, np.inf
    for k in range(POINTS):
        value = deviance(LOWEST + k * spacing, muon, showers, is_hit, n)
        if value < least:
            best, least = k, value
    low, high = LOWEST + (best - 1) * spacing, LOWEST + (best + 1) * spacing
    a, b = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_a, at_b = deviance(a, muon, showers, is_hit, n), deviance(b, muon, showers, is_hit, n)
    for _ in range(SECTIONS):
        if at_a < at_b:
            high, b, at_b = b, a, at_a
            a = high - GOLDEN * (high - low)
            at_a = deviance(a, muon, showers, is_hit, n)
        else:
            low, a, at_a = a, b, at_b
            b = low + GOLDEN * (high - low)
            at_b = deviance(b, muon, showers, is_hit, n)
    return 0.5 * (low + high)


@kernel
def muon_energy(
    starts: np.ndarray,
    t: np.ndarray,
    pmt: np.ndarray,
    tracks: np.ndarray,
    length: np.ndarray,
    position: np.ndarray,
    axis: np.ndarray,
) -> np.ndarray:
    """Energy [GeV] of each event's track; NaN without a track or without a photomultiplier near it.

    Parameters
    ----------
    starts : int64 array, shape (n_events + 1,)
        First hit of each event, and the end.
    t, pmt : float64, int64 array, shape (n_hits,)
        Times [ns], and rows of the detector's photomultipliers; negative for unknown ones.
    tracks, length : float64 array, shape (n_events, 7), (n_events,)
        Start point [m], direction and time [ns] of the tracks, and their lengths [m].
    position, axis : float64 array, shape (n_pmts, 3)
        Positions [m] and unit axes of all photomultipliers.
    """
    n_events, n_pmts = len(starts) - 1, len(position)
    energy = np.full(n_events, np.nan)
    muon, showers = np.empty(n_pmts), np.empty(n_pmts)
    is_hit, arrival, near = np.empty(n_pmts, np.bool_), np.empty(n_pmts), np.empty(n_pmts, np.int64)
    for event in range(n_events):
        track, n = tracks[event], 0
        near[:] = -1
        for i in range(n_pmts):
            along, rho, wx, wy, wz = approach(
                position[i, 0] - track[0],
                position[i, 1] - track[1],
                position[i, 2] - track[2],
                track[3],
                track[4],
                track[5],
            )
            emission = along - rho / TAN_THETA
            if rho <= ROAD and -BEYOND <= emission <= length[event] + BEYOND:
                impact = axis[i, 0] * (COS_THETA * track[3] + SIN_THETA * wx)
                impact += axis[i, 1] * (COS_THETA * track[4] + SIN_THETA * wy)
                impact += axis[i, 2] * (COS_THETA * track[5] + SIN_THETA * wz)
                muon[n], showers[n] = light(rho, impact)
                arrival[n] = track[6] + (along + KAPPA * rho) / C
                is_hit[n], near[i] = False, n
                n += 1
        for hit in range(starts[event], starts[event + 1]):
            k = near[pmt[hit]] if pmt[hit] >= 0 else -1
            if k >= 0 and -BEFORE <= t[hit] - arrival[k] <= AFTER:
                is_hit[k] = True
        if n > 0:
            x = most_likely(muon, showers, is_hit, n)
            energy[event] = 10.0 ** (SLOPE * (x + log(REFERENCE)) / log(10.0) + OFFSET)
    return energy
