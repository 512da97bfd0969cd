"""Cherenkov light of air showers on the cameras of telescopes: the 3D model.

An electromagnetic shower is a photosphere: the places where its Cherenkov photons are emitted are a Gaussian
in three dimensions about the shower maximum (Lemoine-Goumard, Degrange and Tluczykont, Astropart. Phys. 25
(2006) 195, astro-ph/0601373). What a pixel sees is a line-of-sight integral in closed form. Each photo-
electron is then thrown, with its pixel and its time of arrival.

Lengths are metres in the ground frame (x to north, y to west, z up from the array's altitude), times
nanoseconds from when the shower front passes the core, angles radians, energies GeV, depths g/cm2.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from etendue.iact.directions import dot
from etendue.iact.showers.atmosphere import (
    SPECIFIC_REFRACTIVITY,
    density,
    height_of,
    mean_refractivity,
    refractivity,
    transmission,
)
from etendue.iact.showers.cascade import CRITICAL_ENERGY, RADIATION_LENGTH, axis_position
from etendue.iact.showers.eye import ROW_STEP, Eye, project, room_for, row_pixels
from etendue.kernel import kernel

SPEED_OF_LIGHT = 0.299792458  # m/ns
FINE_STRUCTURE = 1 / 137.036
ELECTRON_MASS = 0.511e-3
#: Photons of 300-600 nm that a particle with sin^2(Cherenkov angle) = 1 emits in a metre (Frank and Tamm).
FRANK_TAMM = 2 * math.pi * FINE_STRUCTURE * (1 / 300e-9 - 1 / 600e-9)
#: The same in a g/cm2 of air by a particle at the speed of light, whose sin^2 is 2 (n - 1).
PHOTONS_PER_DEPTH = FRANK_TAMM * 2 * SPECIFIC_REFRACTIVITY / 100
#: Track length of all electrons by energy in g/cm2/GeV: Greisen's profile about its maximum, integrated.
TRACK_LENGTH = 0.31 * math.sqrt(1.5 * 2 * math.pi) * RADIATION_LENGTH / CRITICAL_ENERGY
#: Width of the photosphere in units of the depth of its maximum over the density, and its spread.
REDUCED_WIDTH, REDUCED_WIDTH_SPREAD = 1.3e-3, 0.08
#: Standard deviations of a photosphere from its barycentre that are looked at, and the same as an exponent.
REACH = 3.5
FURTHEST = 8.0
#: Expected photo-electrons in a telescope, and in a pixel, below which a photosphere is left out.
LEAST, LEAST_IN_PIXEL = 0.02, 1e-4


class Photosphere(NamedTuple):
    """Where and when an electromagnetic shower emits its light; made by `photosphere`.

    Parameters
    ----------
    x, y, z : float
        Barycentre in m.
    sx, sy, sz : float
        Unit vector along the axis, up to where the particle came from.
    sigma_l, sigma_t : float
        Standard deviations along and across the axis in m.
    photons : float
        Photons of 300-600 nm.
    eta : float
        Angle to the axis out to which light is emitted evenly, in rad.
    time : float
        When the shower front passes the barycentre in ns.
    """

    x: float
    y: float
    z: float
    sx: float
    sy: float
    sz: float
    sigma_l: float
    sigma_t: float
    photons: float
    eta: float
    time: float


@kernel
def emission(angle: float, eta: float) -> float:
    """Fraction of the light that is emitted into a steradian at an angle to the shower axis.

    I = K for angles below eta and K eta/angle exp(-(angle - eta) / 4 eta) beyond, K = 1 / (9 pi eta^2)
    (astro-ph/0601373, section 2.2.2).
    """
    if angle < eta:
        return 1 / (9 * math.pi * eta * eta)
    return np.exp(-(angle - eta) / (4 * eta)) / (9 * math.pi * eta * angle)


@kernel
def cherenkov_photons(energy: float, height: float) -> float:
    """Photons of 300-600 nm that an electromagnetic shower emits about a height.

    N = (photons by depth) (track length by energy) E F, where F averages 1 - (E_c / E)^2 over the electron
    energies at shower maximum above the Cherenkov threshold E_c = m / sqrt(2 (n - 1)). With the track length
    above an energy T(E) = A / (E_0 + E) at age 1 (Hillas, J. Phys. G 8 (1982) 1461: E_0 = 40.4 MeV,
    A = 0.89 E_0 - 1.2 MeV), F = A / E_0 (1 - 2 x + 2 x^2 ln(1 + 1/x)), x = E_c / E_0.
    """
    threshold = ELECTRON_MASS / np.sqrt(2 * refractivity(height))
    x = threshold / 40.4e-3
    above = (0.89 - 1.2 / 40.4) * (1 - 2 * x + 2 * x * x * np.log(1 + 1 / x))
    return PHOTONS_PER_DEPTH * TRACK_LENGTH * energy * above


@kernel
def photosphere(
    shower: np.ndarray, width: float, frame: np.ndarray, core: np.ndarray, altitude: float
) -> Photosphere:
    """The photosphere of an electromagnetic shower.

    sigma_l = L sqrt(1.5 ln(E / E_c)) / rho (Greisen's profile about its maximum), sigma_t = w X_max / rho
    with the reduced width w (astro-ph/0601373), eta = sqrt(2 (n - 1)), the Cherenkov angle: all at the
    height of the maximum.

    Parameters
    ----------
    shower : float64 array, shape (6,)
        Row of the ``showers`` of `etendue.iact.showers.cascade.proton_cascade`.
    width : float
        Reduced width.
    frame : float64 array, shape (3, 3)
        Axes of the shower frame in the ground frame: two across the primary's direction, and up along it.
    core : float64 array, shape (3,)
        Where the axis of the primary meets the ground.
    altitude : float
        Height of the array above sea level.
    """
    energy, depth, across_x, across_y, tx, ty = shower
    cos_zenith = frame[2, 2]
    height = height_of(depth * cos_zenith)
    along = axis_position(depth, cos_zenith, altitude)
    place = core + across_x * frame[0] + across_y * frame[1] + along * frame[2]
    axis = frame[2] - tx * frame[0] - ty * frame[1]
    axis /= np.sqrt(dot(axis, axis))
    depth_to_metres = 0.01 / density(height)
    return Photosphere(
        place[0],
        place[1],
        place[2],
        axis[0],
        axis[1],
        axis[2],
        depth_to_metres * RADIATION_LENGTH * np.sqrt(1.5 * np.log(energy / CRITICAL_ENERGY)),
        depth_to_metres * width * depth,
        cherenkov_photons(energy, height),
        np.sqrt(2 * refractivity(height)),
        -along / SPEED_OF_LIGHT,
    )


@kernel
def line_of_sight(
    cos_emission: float, ud: float, sd: float, dd: float, sigma_l: float, sigma_t: float, blur: float
) -> tuple[float, float, float]:
    """Integral of a normalised 3D Gaussian along a line of sight, and where on it the light is emitted.

    With M = (I - s s') / sigma_t^2 + s s' / sigma_l^2, a = u'Mu, b = u'Md and c = d'Md,
    int_0^inf G(d + r u) dr = sqrt(2 pi / a) exp(-(c - b^2 / a) / 2) Phi(r* sqrt(a)) /
    ((2 pi)^(3/2) sigma_l sigma_t^2): a Gaussian in r about r* = -b/a of width 1/sqrt(a). What blurs the
    image widens the Gaussian across its axis where the line of sight meets it: sigma_t^2 + blur r*^2, with
    the r* of the sharp one.

    Parameters
    ----------
    cos_emission, ud, sd, dd : float
        Scalar products u.s, u.d, s.d and d.d of the line of sight's unit vector u, the axis s, and the
        way d from the barycentre to the eye in m.
    sigma_l, sigma_t : float
        Widths of the Gaussian along and across its axis in m.
    blur : float
        Variance of the blur in rad^2.

    Returns
    -------
    integral : float
        In m^-2; 0 further than `FURTHEST` from the barycentre.
    distance, spread : float
        r* and 1/sqrt(a) in m.
    """
    uu_t, ud_t = 1 - cos_emission * cos_emission, ud - cos_emission * sd
    along = (cos_emission / sigma_l) ** 2
    shift = cos_emission * sd / (sigma_l * sigma_l)
    sharp = sigma_t * sigma_t
    distance = -(ud_t + shift * sharp) / (uu_t + along * sharp)
    weight_t = 1 / (sharp + blur * distance * distance)
    a = uu_t * weight_t + along
    b = ud_t * weight_t + shift
    c = (dd - sd * sd) * weight_t + (sd / sigma_l) ** 2
    distance = -b / a
    exponent = 0.5 * (c + b * distance)
    if exponent > FURTHEST:
        return 0.0, 0.0, 0.0
    spread = 1 / np.sqrt(a)
    integral = np.exp(-exponent) * spread * weight_t / (2 * math.pi * sigma_l)
    if distance < 4 * spread:
        integral *= 0.5 * (1 + math.erf(distance / spread * math.sqrt(0.5)))
    return integral, distance, spread


@kernel
def image_box(p: Photosphere, bx: float, by: float, bz: float, blur: float, eye: Eye) -> tuple:
    """Rectangle of camera coordinates about a photosphere's image: x_min, x_max, y_min, y_max.

    Parameters
    ----------
    p : Photosphere
        What emits.
    bx, by, bz : float
        Way from the telescope to its barycentre in m.
    blur : float
        Variance of the blur in rad^2.
    eye : Eye
        How the telescope looks.
    """
    along = bx * p.sx + by * p.sy + bz * p.sz
    lowest = -min(REACH * p.sigma_l, 0.8 * along)
    x_min, x_max, y_min, y_max = np.inf, -np.inf, np.inf, -np.inf
    for step in (lowest, 0.0, REACH * p.sigma_l):
        x, y = project(bx + step * p.sx, by + step * p.sy, bz + step * p.sz, eye.axes)
        margin = REACH * np.sqrt((p.sigma_t / (along + step)) ** 2 + blur)
        x_min, x_max = min(x_min, x - margin), max(x_max, x + margin)
        y_min, y_max = min(y_min, y - margin), max(y_max, y + margin)
    return x_min, x_max, y_min, y_max


@kernel
def arrival(
    p: Photosphere, r: float, cos_emission: float, sd: float, low: float, high: float
) -> tuple[float, float]:
    """Arrival time in ns of light from a distance r, and its derivative by r in ns/m.

    t = t_B - (P - B).s / c + r (1 + mean of n - 1 on the way) / c for light from the point P = B + d + r u,
    dt/dr = (n(P) - u.s) / c.

    Parameters
    ----------
    p : Photosphere
        What emits.
    r, cos_emission, sd : float
        As for `line_of_sight`.
    low, high : float
        Heights of the telescope and of P above sea level in m.
    """
    light_way = r * (1 + mean_refractivity(low, high))
    time = p.time + (light_way - sd - r * cos_emission) / SPEED_OF_LIGHT
    return time, (1 + refractivity(high) - cos_emission) / SPEED_OF_LIGHT


@kernel
def add_photosphere(
    rng: np.random.Generator,
    p: Photosphere,
    telescope: np.ndarray,
    eye: Eye,
    pixels: np.ndarray,
    times: np.ndarray,
    n: int,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Throw the photo-electrons of one photosphere in one telescope.

    Expected in a pixel: photons x transmission x mirror area x efficiency x solid angle x `emission` x
    `line_of_sight`, blurred by the point spread and by the pixel (a hexagon of pitch p has the variance
    5 p^2 / 72). Arrival times (`arrival`) are thrown about that of r* with the spread of r.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    p : Photosphere
        What emits.
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
    dx, dy, dz = telescope[0] - p.x, telescope[1] - p.y, telescope[2] - p.z
    dd, sd = dx * dx + dy * dy + dz * dz, dx * p.sx + dy * p.sy + dz * p.sz
    low = eye.altitude + telescope[2]
    light = p.photons * transmission(low, eye.altitude + p.z, p.sz) * eye.mirror_area * eye.efficiency
    angle = np.arccos(min(1.0, -sd / np.sqrt(dd)))
    if sd >= 0 or light * emission(angle / 2, p.eta) < LEAST * dd:
        return pixels, times, n
    x, y = project(-dx, -dy, -dz, eye.axes)
    blur = eye.psf**2 + eye.coma**2 * (x * x + y * y) + 5 / 72 * eye.pitch**2
    light *= ROW_STEP * eye.pitch**2
    brightest = emission(0.0, p.eta)
    x_min, x_max, y_min, y_max = image_box(p, -dx, -dy, -dz, blur, eye)
    first_row = max(-eye.n_rings, math.ceil(y_min / (ROW_STEP * eye.pitch)))
    last_row = min(eye.n_rings, math.floor(y_max / (ROW_STEP * eye.pitch)))
    for row in range(first_row, last_row + 1):
        first, stop = row_pixels(row, x_min, x_max, eye)
        for pixel in range(first, stop):
            ux, uy, uz = eye.direction[pixel, 0], eye.direction[pixel, 1], eye.direction[pixel, 2]
            cos_emission = ux * p.sx + uy * p.sy + uz * p.sz
            ud = ux * dx + uy * dy + uz * dz
            integral, r, spread = line_of_sight(cos_emission, ud, sd, dd, p.sigma_l, p.sigma_t, blur)
            if light * integral * brightest < LEAST_IN_PIXEL:
                continue
            angle = np.sqrt(max(0.0, 1 - cos_emission * cos_emission))
            n_new = rng.poisson(light * integral * emission(angle, p.eta))
            if n_new > 0:
                time, slope = arrival(p, r, cos_emission, sd, low, low + r * uz)
                pixels, times = room_for(pixels, times, n, n_new)
                for i in range(n, n + n_new):
                    pixels[i] = pixel
                    times[i] = time + slope * spread * rng.standard_normal()
                n += n_new
    return pixels, times, n
