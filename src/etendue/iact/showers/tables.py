"""Tables that the front end looks up: the pulse of a photo-electron, quantiles of noise.

Amplitudes are photo-electrons a sample of 1 ns: the pulse of one photo-electron sums to one.
"""

from __future__ import annotations

import math

import numpy as np

#: Shaper of n low-pass stages (CR-RC^n): pulse (t / tau)^n exp(-t / tau) / (n! tau), tau in ns; 3.0 ns wide.
PULSE_STAGES, PULSE_TIME = 6, 0.5
#: Samples of 1 ns that a pulse is followed for.
PULSE_SAMPLES = 12
#: Phases of the sampling clock at which the pulse is tabulated.
PULSE_PHASES = 20
#: Relative width of the charge of one photo-electron, and spread of its transit time in ns.
SINGLE_PE_WIDTH, TRANSIT_TIME_SPREAD = 0.35, 0.7
#: Entries of a table of quantiles, as bits; 16 bits are drawn for each entry that is looked up.
QUANTILE_BITS = 12


def pulse_shape(time: np.ndarray) -> np.ndarray:
    """Pulse of one photo-electron by time after its arrival in ns, in 1/ns: it integrates to one."""
    t = np.maximum(time, 0) / PULSE_TIME
    return t**PULSE_STAGES * np.exp(-t) / (math.factorial(PULSE_STAGES) * PULSE_TIME)


def pulse_table() -> np.ndarray:
    """Pulse at the samples after its arrival, by phase of the clock: shape (PULSE_PHASES, PULSE_SAMPLES)."""
    phase = (np.arange(PULSE_PHASES) + 0.5) / PULSE_PHASES
    return pulse_shape(phase[:, None] + np.arange(PULSE_SAMPLES)).astype(np.float32)


def normal_quantiles(sigma: float) -> np.ndarray:
    """Table for `draw` of a normal distribution about zero, of exactly the variance that is asked for."""
    grid = np.linspace(-6, 6, 48001)
    table = _bin_means(grid, np.exp(-(grid**2) / 2))
    return (table * (sigma / table.std())).astype(np.float32)


def night_sky_quantiles(rate: float) -> np.ndarray:
    """Table for `draw` of the night-sky charge in a sample: a Poisson number of photo-electrons.

    Parameters
    ----------
    rate : float
        Photo-electrons a sample.

    Returns
    -------
    float32 array, shape (2**QUANTILE_BITS,)
        Compound Poisson: mean ``rate``, variance ``rate (1 + SINGLE_PE_WIDTH^2)``.
    """
    n_most = int(rate + 8 * math.sqrt(rate) + 6)
    grid = np.linspace(0, n_most + 2, 400 * (n_most + 2) + 1)
    weight = np.zeros(grid.size)
    weight[0] = math.exp(-rate)
    for n in range(1, n_most + 1):
        width = SINGLE_PE_WIDTH * math.sqrt(n)
        bell = np.exp(-(((grid - n) / width) ** 2) / 2)
        weight += math.exp(n * math.log(rate) - rate - math.lgamma(n + 1)) * bell / bell.sum() if rate else 0
    table = _bin_means(grid, weight)
    mean, sigma = rate, math.sqrt(rate * (1 + SINGLE_PE_WIDTH**2))
    return (mean + (table - table.mean()) * (sigma / table.std())).astype(np.float32) if rate else table


def _bin_means(grid: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mean of a distribution on a grid in each of 2**QUANTILE_BITS bins of equal probability."""
    probability = np.concatenate([[0.0], np.cumsum(weight) / weight.sum()])
    moment = np.concatenate([[0.0], np.cumsum(weight * grid) / weight.sum()])
    edges = np.linspace(0, 1, 2**QUANTILE_BITS + 1)
    return np.diff(np.interp(edges, probability, moment)) * 2**QUANTILE_BITS
