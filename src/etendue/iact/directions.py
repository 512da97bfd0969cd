"""Directions in the sky, offsets from a pointing, and distances from a shower's axis.

Vectors are (north, west, up); azimuths run from north to east. These are ctapipe's and CORSIKA's
conventions, in closed form.
"""

from __future__ import annotations

import numpy as np

from etendue.kernel import kernel

type Number = float | np.ndarray
type Vector = tuple[Number, Number, Number]


@kernel
def horizon_to_direction(altitude: Number, azimuth: Number) -> Vector:
    """Unit vector (cos alt cos az, -cos alt sin az, sin alt); angles in radians."""
    return np.cos(altitude) * np.cos(azimuth), -np.cos(altitude) * np.sin(azimuth), np.sin(altitude)


@kernel
def direction_to_horizon(direction: Vector) -> tuple[Number, Number]:
    """Altitude and azimuth [rad] of a vector of any length; the azimuth is between -pi and pi."""
    north, west, up = direction
    return np.arctan2(up, np.sqrt(north * north + west * west)), np.arctan2(-west, north)


@kernel
def offset_to_direction(lon: Number, lat: Number, altitude: Number, azimuth: Number) -> Vector:
    """Unit vector of a point that is offset from a pointing; angles in radians.

    The offsets are longitude and latitude on a sphere whose origin is the pointing, longitude along
    azimuth (ctapipe's ``TelescopeFrame``): (cos lat cos lon, cos lat sin lon, sin lat), turned by the
    altitude about the horizontal axis, then by the azimuth about the vertical one.
    """
    ahead, aside, above = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
    horizontal = np.cos(altitude) * ahead - np.sin(altitude) * above
    north = np.cos(azimuth) * horizontal - np.sin(azimuth) * aside
    west = -np.sin(azimuth) * horizontal - np.cos(azimuth) * aside
    return north, west, np.sin(altitude) * ahead + np.cos(altitude) * above


@kernel
def direction_to_offset(direction: Vector, altitude: Number, azimuth: Number) -> tuple[Number, Number]:
    """Offset (lon, lat) [rad] of a vector from a pointing: the inverse of `offset_to_direction`."""
    north, west, up = direction
    horizontal = np.cos(azimuth) * north - np.sin(azimuth) * west
    aside = -np.sin(azimuth) * north - np.cos(azimuth) * west
    ahead = np.cos(altitude) * horizontal + np.sin(altitude) * up
    above = np.cos(altitude) * up - np.sin(altitude) * horizontal
    return np.arctan2(aside, ahead), np.arctan2(above, np.sqrt(ahead * ahead + aside * aside))


@kernel
def cross(a: Vector, b: Vector) -> Vector:
    """Vector product; takes tuples and arrays of three."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@kernel
def dot(a: Vector, b: Vector) -> Number:
    """Scalar product; takes tuples and arrays of three."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def telescope_offset(
    alt: Number, az: Number, pointing_altitude: Number, pointing_azimuth: Number
) -> tuple[Number, Number]:
    """Where in the telescope frame a direction in the sky is seen.

    Parameters
    ----------
    alt, az : float64 or array
        Direction [deg].
    pointing_altitude, pointing_azimuth : float64 or array
        Pointing of the telescope [deg].

    Returns
    -------
    fov_lon, fov_lat : float64 or array
        Offsets from the pointing along azimuth and altitude [deg].
    """
    direction = horizon_to_direction(np.deg2rad(alt), np.deg2rad(az))
    offset = direction_to_offset(direction, np.deg2rad(pointing_altitude), np.deg2rad(pointing_azimuth))
    return np.rad2deg(offset[0]), np.rad2deg(offset[1])


def space_angle(alt: Number, az: Number, other_alt: Number, other_az: Number) -> Number:
    """Angle between two directions in the sky, exact for small and large angles.

    Parameters
    ----------
    alt, az, other_alt, other_az : float64 or array
        Directions [deg]; arrays are broadcast.

    Returns
    -------
    float64 or array
        Degrees: atan2(abs(a x b), a . b).
    """
    a = horizon_to_direction(np.deg2rad(alt), np.deg2rad(az))
    b = horizon_to_direction(np.deg2rad(other_alt), np.deg2rad(other_az))
    x, y, z = cross(a, b)
    return np.rad2deg(np.arctan2(np.sqrt(x * x + y * y + z * z), dot(a, b)))


def impact_distance(
    alt: np.ndarray, az: np.ndarray, core_x: np.ndarray, core_y: np.ndarray, position: np.ndarray
) -> np.ndarray:
    """Distance of points from the axis of a shower: abs((p - core) x d) for its unit direction d.

    Parameters
    ----------
    alt, az : float64 array, shape (...)
        Direction of the shower [deg].
    core_x, core_y : float64 array, shape (...)
        Where the axis meets the ground at z = 0 [m].
    position : float64 array, shape (..., 3)
        Points (north, west, up) [m], such as telescopes.

    Returns
    -------
    float64 array, shape (...)
        Metres.
    """
    direction = np.stack(horizon_to_direction(np.deg2rad(alt), np.deg2rad(az)), axis=-1)
    core = np.stack([core_x, core_y, np.zeros_like(core_x)], axis=-1)
    return np.linalg.norm(np.cross(position - core, direction), axis=-1)
