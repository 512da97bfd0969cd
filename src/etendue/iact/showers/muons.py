"""Cherenkov light of single muons near a telescope: arcs of rings."""

from __future__ import annotations

import math

import numpy as np

from etendue.iact.directions import cross, dot
from etendue.iact.showers.atmosphere import refractivity
from etendue.iact.showers.cascade import MUON_MASS
from etendue.iact.showers.eye import Eye, nearest_pixel, project, room_for
from etendue.iact.showers.photosphere import FRANK_TAMM
from etendue.kernel import kernel

#: Multiple scattering of the muons whose rings are seen, in rad.
SCATTERING = math.radians(0.03)
#: Impact distance in m beyond which the spots of muons are left out: they are a part of the shower's light.
FURTHEST = 80.0


@kernel
def chord(impact: float, radius: float, cos: float, sin: float) -> float:
    """Length of a mirror's chord from a muon's impact point, at an angle to the mirror's centre.

    D = R (sqrt(1 - rho^2 sin^2) + rho cos) if the muon hits the mirror (rho = impact / R < 1), and
    2 R sqrt(1 - rho^2 sin^2) where the line meets it if not (Vacanti et al., Astropart. Phys. 2 (1994) 1,
    equation 6).
    """
    rho = impact / radius
    squared = 1 - rho * rho * sin * sin
    if squared < 0 or (rho >= 1 and cos < 0):
        return 0.0
    return radius * (np.sqrt(squared) + rho * cos if rho < 1 else 2 * np.sqrt(squared))


@kernel
def add_muon(
    rng: np.random.Generator,
    energy: float,
    place: np.ndarray,
    axis: np.ndarray,
    time: float,
    telescope: np.ndarray,
    eye: Eye,
    pixels: np.ndarray,
    times: np.ndarray,
    n: int,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Throw the photo-electrons of one muon in one telescope.

    dN/dphi = (alpha / 2) sin(2 theta) (1/lambda_1 - 1/lambda_2) efficiency D(phi), with the `chord` D
    (Vacanti et al. 1994, equation 5) and the Cherenkov angle theta^2 = 2 (n - 1) - (m / E)^2 of the air at
    the telescope: light from the azimuth phi appears that angle off the muon's direction.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    energy : float
        Energy of the muon in GeV.
    place, axis : float64 array, shape (3,)
        A point of its track in m, and the unit vector up to where it came from.
    time : float
        When its light arrives in ns.
    telescope : float64 array, shape (3,)
        Where the telescope is.
    eye : Eye
        How it looks.
    pixels, times : int32 and float32 array, shape (capacity,)
        Photo-electrons so far: their pixels and arrival times.
    n : int
        How many there are.

    Returns
    -------
    pixels, times, n
        The same with the new ones.
    """
    squared = 2 * refractivity(eye.altitude + telescope[2]) - (MUON_MASS / energy) ** 2
    to_mirror = telescope - place
    to_mirror -= dot(to_mirror, axis) * axis
    impact = np.sqrt(dot(to_mirror, to_mirror))
    x, y = project(axis[0], axis[1], axis[2], eye.axes)
    off_camera = np.hypot(x, y) > (eye.n_rings + 1) * eye.pitch + 0.03  # rad: a ring's radius and its blur
    if squared <= 0 or impact > FURTHEST or off_camera:
        return pixels, times, n
    if impact > 1e-6:
        to_mirror /= impact
    else:  # through the very middle: any direction will do
        to_mirror[0], to_mirror[1], to_mirror[2] = cross(axis, eye.axes[0])
    sideways = np.array(cross(axis, to_mirror))
    theta = np.sqrt(squared)
    radius = np.sqrt(eye.mirror_area / math.pi)
    half_range = math.pi if impact < radius else np.arcsin(radius / impact)
    longest = radius + min(radius, impact)
    by_metre = FRANK_TAMM / (4 * math.pi) * np.sin(2 * theta) * eye.efficiency
    blur = math.hypot(SCATTERING, eye.psf)
    for _ in range(rng.poisson(by_metre * longest * 2 * half_range)):
        phi = half_range * (2 * rng.random() - 1)
        cos, sin = np.cos(phi), np.sin(phi)
        if rng.random() * longest > chord(impact, radius, cos, sin):
            continue
        x, y = project(
            axis[0] - theta * (cos * to_mirror[0] + sin * sideways[0]),
            axis[1] - theta * (cos * to_mirror[1] + sin * sideways[1]),
            axis[2] - theta * (cos * to_mirror[2] + sin * sideways[2]),
            eye.axes,
        )
        pixel = nearest_pixel(x + blur * rng.standard_normal(), y + blur * rng.standard_normal(), eye)
        if pixel >= 0:
            pixels, times = room_for(pixels, times, n, 1)
            pixels[n], times[n] = pixel, time
            n += 1
    return pixels, times, n
