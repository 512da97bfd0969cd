"""A telescope as the light sees it: its mirror, its hexagonal camera, and the photo-electrons it collects."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from etendue.kernel import kernel

#: Distance of the rows of a hexagonal grid, in units of the distance of its points.
ROW_STEP = math.sqrt(0.75)


class Eye(NamedTuple):
    """Mirror and camera of the telescopes of an array, which are all alike and look the same way.

    Camera coordinates are the offsets to larger altitude and to larger azimuth in rad, which are ctapipe's
    camera frame in units of the focal length. Pixels are numbered row by row: row 0 is in the middle, the
    pixels of a row differ in the first coordinate.

    Parameters
    ----------
    axes : float64 array, shape (3, 3)
        Unit vectors in the ground frame: to larger altitude, to larger azimuth, along the pointing.
    direction : float64 array, shape (n_pixels, 3)
        Unit vectors to what each pixel sees.
    row_start : int64 array, shape (2 n_rings + 2,)
        First pixel of each row, from row -n_rings on.
    n_rings : int
        Rings of pixels about the central one.
    pitch : float
        Angle between neighbouring pixels in rad.
    altitude : float
        Height of the array above sea level in m.
    mirror_area : float
        Square metres.
    efficiency : float
        Photo-electrons by photon of 300-600 nm on the mirror.
    psf, coma : float
        Width (a Gaussian's) of the optical point spread on the axis in rad, and its growth by angle off axis.
    """

    axes: np.ndarray
    direction: np.ndarray
    row_start: np.ndarray
    n_rings: int
    pitch: float
    altitude: float
    mirror_area: float
    efficiency: float
    psf: float
    coma: float


@kernel
def project(x: float, y: float, z: float, axes: np.ndarray) -> tuple[float, float]:
    """Camera coordinates of a direction of any length in the ground frame."""
    up = axes[0, 0] * x + axes[0, 1] * y + axes[0, 2] * z
    side = axes[1, 0] * x + axes[1, 1] * y + axes[1, 2] * z
    ahead = axes[2, 0] * x + axes[2, 1] * y + axes[2, 2] * z
    return np.arctan2(up, np.hypot(side, ahead)), np.arctan2(side, ahead)


@kernel
def row_pixels(row: int, x_min: float, x_max: float, eye: Eye) -> tuple[int, int]:
    """First and stop of the pixels of a row whose centres are between two first coordinates."""
    start, stop = eye.row_start[row + eye.n_rings], eye.row_start[row + eye.n_rings + 1]
    middle = start + 0.5 * (2 * eye.n_rings - abs(row))
    return (
        max(start, math.ceil(middle + x_min / eye.pitch)),
        min(stop, math.floor(middle + x_max / eye.pitch) + 1),
    )


@kernel
def nearest_pixel(x: float, y: float, eye: Eye) -> int:
    """The pixel that holds a point of the camera, or -1 if none does.

    On a hexagonal grid it is the nearest one of the nearest in the two rows about the point.
    """
    x, y = x / eye.pitch, y / (eye.pitch * ROW_STEP)
    below = math.floor(y)
    nearest, pixel_row, pixel_column = np.inf, 0, 0
    for row in (below, below + 1):
        in_row = x + 0.5 * (2 * eye.n_rings - abs(row))
        column = round(in_row)
        squared = (in_row - column) ** 2 + 0.75 * (y - row) ** 2
        if squared < nearest:
            nearest, pixel_row, pixel_column = squared, row, column
    if abs(pixel_row) > eye.n_rings or not 0 <= pixel_column <= 2 * eye.n_rings - abs(pixel_row):
        return -1
    return eye.row_start[pixel_row + eye.n_rings] + pixel_column


@kernel
def room_for(pixels: np.ndarray, times: np.ndarray, n_used: int, n_new: int) -> tuple[np.ndarray, np.ndarray]:
    """The same photo-electrons (their pixels and times) in arrays that have room for ``n_new`` more."""
    if n_used + n_new <= len(pixels):
        return pixels, times
    size = 2 * (n_used + n_new)
    more_pixels, more_times = np.empty(size, pixels.dtype), np.empty(size, times.dtype)
    for i in range(n_used):
        more_pixels[i], more_times[i] = pixels[i], times[i]
    return more_pixels, more_times
