"""When the light of a track or a cascade arrives in ice: the Pandel function with a Gaussian jitter.

The delay t of a photon behind unscattered light, at an effective distance d, follows a gamma distribution of
shape xi = d / scattering length and rate rho = 1 / tau + c_ice / absorption length (AMANDA collaboration,
Nucl. Instrum. Meth. A524 (2004) 169, astro-ph/0407044, equation 13). It is folded with a Gaussian of width
sigma, for which van Eijndhoven, Fadiran and Japaridze (Astropart. Phys. 28 (2007) 456) give a closed form
in parabolic cylinder functions. Here that is integrated once into a table of its logarithm.

The table is of tau = 1 / rho in units of sigma, so one table serves one ratio of both.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from etendue.kernel import kernel

#: Speed of light in vacuum [m/ns], refractive indices of ice for phase and group velocity at 400 nm.
C, N_PHASE, N_GROUP = 0.299792458, 1.3195, 1.35634

#: Delays between these many jitters, and shapes between these, are tabulated.
T_MIN, T_MAX, XI_MIN, XI_MAX = -12.0, 400.0, 0.05, 25.0
#: Steps of the table in asinh(t / sigma) and in ln(xi).
STEP_T, STEP_XI = 0.04, 0.06

_PER_T, _PER_XI = 1.0 / STEP_T, 1.0 / STEP_XI
_FIRST_T, _FIRST_XI = math.asinh(T_MIN), math.log(XI_MIN)
_TINY = 1e-14


class Ice(NamedTuple):
    """Optical properties of ice, and the time resolution, as a fit assumes them.

    Parameters
    ----------
    tau : float
        Time scale of scattering, in ns.
    scattering : float
        Scattering length, in m.
    absorption : float
        Absorption length, in m.
    sigma : float
        Jitter of the arrival time, in ns.
    """

    tau: float
    scattering: float
    absorption: float
    sigma: float

    @property
    def rho(self) -> float:
        """Rate of the gamma distribution, in 1/ns."""
        return 1.0 / self.tau + C / N_GROUP / self.absorption


#: Ice model H2 of the AMANDA paper (with the hole ice around the modules), for tracks.
MUON_ICE = Ice(tau=556.7, scattering=33.29, absorption=98.0, sigma=15.0)
#: The same for the light of cascades.
CASCADE_ICE = Ice(tau=450.0, scattering=47.0, absorption=98.0, sigma=15.0)


class Table(NamedTuple):
    """Logarithms of the folded Pandel function, and of its integral from t on.

    Parameters
    ----------
    density, survival : float64 array, shape (n_xi, n_t)
        ln(p sigma) and ln of the probability of a later hit.
    rate : float
        rho sigma.
    """

    density: np.ndarray
    survival: np.ndarray
    rate: float


@kernel
def log_folded(t: float, xi: float, rate: float) -> float:
    """Logarithm of the Pandel function folded with a unit Gaussian.

    p(t) = rate^xi / (Gamma(xi) sqrt(2 pi)) int_0^inf x^(xi-1) exp(-x rate - (x-t)^2 / 2) dx

    With eta = rate - t the integral is exp(-t^2/2) I, I = int x^(xi-1) exp(-x^2/2 - eta x) dx (van Eijndhoven
    et al., equation 8, as a parabolic cylinder function D_-xi(eta)).

    Parameters
    ----------
    t : float
        Delay in units of the jitter.
    xi : float
        Shape of the gamma distribution.
    rate : float
        Its rate, times the jitter.
    """
    eta = rate - t
    norm = xi * math.log(rate) - math.lgamma(xi) - 0.5 * math.log(2 * math.pi) - 0.5 * t * t
    if eta < -10.0:
        # The Gaussian is far from x = 0: the trapezoidal rule in x converges exponentially.
        total, step = 0.0, 0.25
        for k in range(-36, 37):
            x = -eta + k * step
            total += math.exp((xi - 1.0) * math.log(x / -eta) - 0.5 * (x + eta) ** 2)
        return norm + 0.5 * eta * eta + (xi - 1.0) * math.log(-eta) + math.log(total * step)
    # In u = ln(x) the integrand exp(xi u - e^2u / 2 - eta e^u) is smooth and falls off at both ends.
    peak = 0.5 * (-eta + math.sqrt(eta * eta + 4.0 * xi))
    step = 0.12 / max(1.0, -eta)
    top = xi * math.log(peak) - 0.5 * peak * peak - eta * peak
    total, u = 0.0, math.log(peak)
    while True:  # to the right until nothing is left
        x = math.exp(u)
        term = math.exp(xi * u - 0.5 * x * x - eta * x - top)
        total += term
        u += step
        if term < _TINY:
            break
    u = math.log(peak) - step
    while True:  # to the left until e^u no longer counts; there a geometric series is left
        x = math.exp(u)
        term = math.exp(xi * u - 0.5 * x * x - eta * x - top)
        if x * (abs(eta) + x) < _TINY or term < _TINY:
            total += term / (1.0 - math.exp(-xi * step))
            break
        total += term
        u -= step
    return norm + top + math.log(total * step)


@kernel
def tabulate(rate: float, t: np.ndarray, xi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of density and survival on a grid; the survival is summed from its tail.

    Parameters
    ----------
    rate : float
        rho sigma.
    t : float64 array, shape (n_t,)
        Delays in units of the jitter, ascending.
    xi : float64 array, shape (n_xi,)
        Shapes.
    """
    nodes, weights = np.array([-math.sqrt(0.6), 0.0, math.sqrt(0.6)]), np.array([5.0, 8.0, 5.0]) / 9.0
    density, survival = np.empty((len(xi), len(t))), np.empty((len(xi), len(t)))
    for i in range(len(xi)):
        # Beyond the grid: steps of growing length over some 40 decay lengths.
        tail, left = 0.0, t[-1]
        while left < t[-1] + 60.0 / rate + 4.0 * xi[i] / rate:
            width = 1.0 / rate
            for m in range(3):
                tail += (
                    0.5
                    * width
                    * weights[m]
                    * math.exp(log_folded(left + 0.5 * width * (1.0 + nodes[m]), xi[i], rate))
                )
            left += width
        for j in range(len(t) - 1, -1, -1):
            density[i, j] = log_folded(t[j], xi[i], rate)
            if j < len(t) - 1:
                width = t[j + 1] - t[j]
                for m in range(3):
                    between = t[j] + 0.5 * width * (1.0 + nodes[m])
                    tail += 0.5 * width * weights[m] * math.exp(log_folded(between, xi[i], rate))
            survival[i, j] = math.log(min(tail, 1.0))
    return density, survival


@kernel
def interpolate_slopes(table: np.ndarray, t: float, xi: float) -> tuple[float, float, float, float]:
    """A tabulated logarithm f between the points of the grid, and its slopes, by cubic convolution.

    f = sum_km w_k(a) w_m(b) f_km over 4 x 4 neighbours, with the fractions a in u = ln(xi) / step and b in
    s = asinh(t) / step (Catmull and Rom; Keys, IEEE Trans. Acoust. Speech Signal Process. 29 (1981) 1153).
    It is continuous with its first derivatives, which are those of the weights, by ds/dt = 1 / sqrt(1 + t^2)
    and du/dxi = 1 / xi; d2f/dt2 = (f_ss - f_s t / sqrt(1 + t^2)) / (1 + t^2), s here without its step.

    Parameters
    ----------
    table : float64 array, shape (n_xi, n_t)
        Grid in ln(xi) and asinh(t).
    t : float
        Delay in units of the jitter; beyond the ends of the grid f goes on as a straight line.
    xi : float
        Shape; held at the ends of the grid.

    Returns
    -------
    value, by_t, by_xi, by_t_t : float
        f, df/dt, df/dxi, d2f/dt2.
    """
    n_xi, n_t = table.shape
    inside_t, inside_xi = min(max(t, T_MIN), T_MAX), min(max(xi, XI_MIN), XI_MAX)
    root = math.sqrt(1.0 + inside_t * inside_t)
    u = (math.log(inside_xi) - _FIRST_XI) * _PER_XI
    s = (math.copysign(math.log(abs(inside_t) + root), inside_t) - _FIRST_T) * _PER_T
    i, j = min(max(int(u), 1), n_xi - 3), min(max(int(s), 1), n_t - 3)
    a, b = u - i, s - j
    w, d = _weights(a), _weight_slopes(a)
    # Unsigned, so that no index is tested for being negative.
    row, column = np.uint64(i - 1), np.uint64(j - 1)
    f0, g0 = _blend(table, row, column, w, d)
    f1, g1 = _blend(table, row, column + np.uint64(1), w, d)
    f2, g2 = _blend(table, row, column + np.uint64(2), w, d)
    f3, g3 = _blend(table, row, column + np.uint64(3), w, d)
    w, d = _weights(b), _weight_slopes(b)
    value = (w[0] * f0 + w[1] * f1) + (w[2] * f2 + w[3] * f3)
    by_u = (w[0] * g0 + w[1] * g1) + (w[2] * g2 + w[3] * g3)
    by_s = (d[0] * f0 + d[1] * f1) + (d[2] * f2 + d[3] * f3)
    by_s_s = ((2.0 - 3.0 * b) * f0 + (9.0 * b - 5.0) * f1) + ((4.0 - 9.0 * b) * f2 + (3.0 * b - 1.0) * f3)
    inverse = 1.0 / root
    by_t = by_s * inverse * _PER_T
    by_t_t = (by_s_s * _PER_T**2 - by_t * t) * inverse * inverse if inside_t == t else 0.0
    by_xi = by_u * _PER_XI / xi if inside_xi == xi else 0.0
    return value + by_t * (t - inside_t), by_t, by_xi, by_t_t


@kernel
def interpolate(table: np.ndarray, t: float, xi: float) -> float:
    """A tabulated logarithm between the points of the grid; see `interpolate_slopes`."""
    return interpolate_slopes(table, t, xi)[0]


@kernel
def _blend(table: np.ndarray, row: int, column: int, w: tuple, d: tuple) -> tuple[float, float]:
    """Four rows of a column, added with two sets of weights."""
    f0, f1 = table[row, column], table[row + np.uint64(1), column]
    f2, f3 = table[row + np.uint64(2), column], table[row + np.uint64(3), column]
    return (w[0] * f0 + w[1] * f1) + (w[2] * f2 + w[3] * f3), (d[0] * f0 + d[1] * f1) + (
        d[2] * f2 + d[3] * f3
    )


@kernel
def _weights(x: float) -> tuple[float, float, float, float]:
    """Weights of four neighbours at the fraction x between the second and the third; their sum is 1."""
    w0 = 0.5 * x * (-1.0 + x * (2.0 - x))
    w2 = 0.5 * x * (1.0 + x * (4.0 - 3.0 * x))
    w3 = 0.5 * x * x * (x - 1.0)
    return w0, 1.0 - w0 - w2 - w3, w2, w3


@kernel
def _weight_slopes(x: float) -> tuple[float, float, float, float]:
    """Derivatives of the weights; their sum is 0."""
    d0 = -0.5 + x * (2.0 - 1.5 * x)
    d2 = 0.5 + x * (4.0 - 4.5 * x)
    d3 = x * (1.5 * x - 1.0)
    return d0, -(d0 + d2 + d3), d2, d3


@lru_cache(maxsize=8)
def make_table(ice: Ice) -> Table:
    """The table for some ice; made once in a process, in some 0.1 s."""
    rate = ice.rho * ice.sigma
    t = np.sinh(np.arange(math.asinh(T_MIN), math.asinh(T_MAX) + 2 * STEP_T, STEP_T))
    xi = np.exp(np.arange(math.log(XI_MIN), math.log(XI_MAX) + 2 * STEP_XI, STEP_XI))
    return Table(*tabulate(rate, t, xi), rate)
