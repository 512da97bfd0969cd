"""The atmosphere: depth, density, refraction and transparency of air by height.

The U.S. standard atmosphere in five layers as parametrised by J. Linsley (CORSIKA User's Guide, appendix
on atmospheric models): below 100 km the overburden is X(h) = a + b exp(-h / c), above it X(h) = a - b h / c.
The layers are flat, so that the slant depth is X / cos(zenith angle); good to about 60 degrees.

Heights are metres above sea level, depths g/cm2, densities g/cm3.
"""

from __future__ import annotations

import numpy as np

from etendue.kernel import kernel

#: Height from which each layer reaches upwards, in m.
FLOOR = np.array([0.0, 4e3, 10e3, 40e3, 100e3])
#: Coefficients a and b in g/cm2, and c in m.
A = np.array([-186.555305, -94.919, 0.61289, 0.0, 0.01128292])
B = np.array([1222.6562, 1144.9069, 1305.5948, 540.1778, 1.0])
C = np.array([9941.8638, 8781.5355, 6361.4304, 7721.7016, 1e7])
#: Height at which the overburden vanishes, in m.
TOP = 112829.2
#: Refractivity of air at sea level (as in CORSIKA); it is taken to scale with the density.
SEA_LEVEL_REFRACTIVITY = 0.000283
SPECIFIC_REFRACTIVITY = SEA_LEVEL_REFRACTIVITY / (B[0] / (100 * C[0]))
#: Attenuation length of Cherenkov light of 300-600 nm in g/cm2: Rayleigh scattering at 380 nm
#: (2970 g/cm2 at 400 nm, as the fourth power of the wavelength) and as much again by aerosols and ozone.
ATTENUATION_LENGTH = 1200.0


@kernel
def overburden(height: float) -> float:
    """Vertical depth above a height: X(h), in g/cm2."""
    if height >= TOP:
        return 0.0
    layer = 0
    while layer < 4 and height >= FLOOR[layer + 1]:
        layer += 1
    if layer == 4:
        return A[4] - B[4] * height / C[4]
    return A[layer] + B[layer] * np.exp(-height / C[layer])


@kernel
def density(height: float) -> float:
    """Density of air: -dX/dh, in g/cm3."""
    if height >= TOP:
        return 0.0
    layer = 0
    while layer < 4 and height >= FLOOR[layer + 1]:
        layer += 1
    if layer == 4:
        return B[4] / (100 * C[4])
    return B[layer] / (100 * C[layer]) * np.exp(-height / C[layer])


@kernel
def height_of(depth: float) -> float:
    """Height in m at which the vertical depth is ``depth``: the inverse of `overburden`."""
    if depth <= 0.0:
        return TOP
    for layer in range(4):
        if depth > A[layer] + B[layer] * np.exp(-FLOOR[layer + 1] / C[layer]):
            return -C[layer] * np.log((depth - A[layer]) / B[layer])
    return min(TOP, (A[4] - depth) * C[4] / B[4])


@kernel
def refractivity(height: float) -> float:
    """Refractivity n - 1 of air, by the rule of Gladstone and Dale: in proportion to its density."""
    return SPECIFIC_REFRACTIVITY * density(height)


@kernel
def mean_refractivity(low: float, high: float) -> float:
    """Mean refractivity on a straight path between two heights: K (X(low) - X(high)) / (high - low)."""
    if high - low < 1.0:
        return refractivity(low)
    return SPECIFIC_REFRACTIVITY * (overburden(low) - overburden(high)) / (100 * (high - low))


@kernel
def transmission(low: float, high: float, cos_zenith: float) -> float:
    """Fraction of Cherenkov light that gets from one height to another."""
    return np.exp(-(overburden(low) - overburden(high)) / (ATTENUATION_LENGTH * cos_zenith))
