"""Hillas parameters: the moments of an image, as an ellipse on the camera.

The kernels take the surviving pixels only, gathered into short arrays, and angles in radians. Lengths
are in the unit of the coordinates. Definitions are those of ctapipe's ``hillas_parameters`` and
``concentration_parameters``, after A. M. Hillas, 19th ICRC 3 (1985) 445.
"""

from __future__ import annotations

import numpy as np

from etendue.kernel import kernel

#: Variances (in the squared unit of the coordinates) that are no more than rounding: they count as zero.
NO_VARIANCE = np.finfo(np.float64).eps


@kernel
def major_axis(
    x: np.ndarray, y: np.ndarray, charge: np.ndarray, size: float
) -> tuple[float, float, float, float]:
    """Centre of gravity, length and direction of an image.

    With weights q / S, length^2 is the greater eigenvalue of the covariance matrix of (x, y), and psi
    the direction of its eigenvector: 2 psi = atan2(2 c_xy, c_xx - c_yy).

    Parameters
    ----------
    x, y : float64 array, shape (n,)
        Pixel centres.
    charge : float64 array, shape (n,)
        Charges, none negative.
    size : float
        Their sum S, positive.

    Returns
    -------
    cog_x, cog_y, length, psi : float
        psi in (-pi/2, pi/2], NaN if the length is zero.
    """
    cog_x, cog_y = 0.0, 0.0
    for i in range(charge.size):
        cog_x += charge[i] * x[i]
        cog_y += charge[i] * y[i]
    cog_x, cog_y = cog_x / size, cog_y / size
    c_xx, c_xy, c_yy = 0.0, 0.0, 0.0
    for i in range(charge.size):
        dx, dy = x[i] - cog_x, y[i] - cog_y
        c_xx += charge[i] * dx * dx
        c_xy += charge[i] * dx * dy
        c_yy += charge[i] * dy * dy
    variance = 0.5 * (c_xx + c_yy + np.hypot(c_xx - c_yy, 2 * c_xy)) / size
    if variance <= NO_VARIANCE:
        return cog_x, cog_y, 0.0, np.nan
    return cog_x, cog_y, np.sqrt(variance), 0.5 * np.arctan2(2 * c_xy, c_xx - c_yy)


@kernel
def along_and_across(
    x: np.ndarray,
    y: np.ndarray,
    cog_x: float,
    cog_y: float,
    psi: float,
    longitudinal: np.ndarray,
    transverse: np.ndarray,
) -> None:
    """Coordinates of the pixels along the major axis and across it, from the centre of gravity."""
    cos, sin = np.cos(psi), np.sin(psi)
    for i in range(x.size):
        dx, dy = x[i] - cog_x, y[i] - cog_y
        longitudinal[i] = dx * cos + dy * sin
        transverse[i] = dy * cos - dx * sin


@kernel
def spread(coordinate: np.ndarray, charge: np.ndarray, size: float) -> float:
    """Standard deviation along an axis through the centre of gravity: sqrt(sum q u^2 / S).

    Across the major axis it is the width, with more digits than the lesser eigenvalue would have.
    """
    total = 0.0
    for i in range(charge.size):
        total += charge[i] * coordinate[i] * coordinate[i]
    return np.sqrt(total / size) if total / size > NO_VARIANCE else 0.0


@kernel
def shape(longitudinal: np.ndarray, charge: np.ndarray, size: float, length: float) -> tuple[float, float]:
    """Skewness <l^3> / length^3 and kurtosis <l^4> / length^4 (3 for a Gaussian) along the axis."""
    third, fourth = 0.0, 0.0
    for i in range(charge.size):
        cube = charge[i] * longitudinal[i] ** 3
        third += cube
        fourth += cube * longitudinal[i]
    return third / size / length**3, fourth / size / length**4


@kernel
def spread_uncertainty(coordinate: np.ndarray, charge: np.ndarray, size: float, spread: float) -> float:
    """Uncertainty of a standard deviation s along an axis: sqrt(sum q (u^2 - s^2)^2) / (2 s S).

    The same as ctapipe's, which writes u^2 - s^2 in terms of x, y and psi. NaN if the spread is zero.
    """
    total = 0.0
    for i in range(charge.size):
        deviation = coordinate[i] ** 2 - spread**2
        total += charge[i] * deviation * deviation
    return np.sqrt(total) / (2 * spread * size) if spread > 0 else np.nan


@kernel
def axis_uncertainty(
    longitudinal: np.ndarray,
    transverse: np.ndarray,
    charge: np.ndarray,
    area: np.ndarray,
    length: float,
    width: float,
) -> tuple[float, float]:
    """Uncertainties of the major axis' direction and of its transverse position.

    The line t = p_0 l + p_1 is fitted with weights q / area; V is the inverse of its normal matrix.
    sigma(psi) = sqrt(V_00 + p_0^2) (1 + tan(pi/2 width / length)^2),
    sigma(t) = sqrt(V_11 (1 + sin(p_0)^2)).

    Returns
    -------
    psi_uncertainty : float
        Radians.
    transverse_cog_uncertainty : float
        In the unit of the coordinates.
    """
    w, wl, wll, wt, wlt = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(charge.size):
        weight = charge[i] / area[i]
        w += weight
        wl += weight * longitudinal[i]
        wll += weight * longitudinal[i] * longitudinal[i]
        wt += weight * transverse[i]
        wlt += weight * longitudinal[i] * transverse[i]
    determinant = wll * w - wl * wl
    slope = (w * wlt - wl * wt) / determinant
    roundness = np.tan(0.5 * np.pi * width / length)
    psi_uncertainty = np.sqrt(w / determinant + slope * slope) * (1 + roundness * roundness)
    return psi_uncertainty, np.sqrt(wll / determinant * (1 + np.sin(slope) ** 2))


@kernel
def concentration(
    longitudinal: np.ndarray,
    transverse: np.ndarray,
    charge: np.ndarray,
    pixel_width: np.ndarray,
    size: float,
    length: float,
    width: float,
) -> tuple[float, float, float]:
    """Fractions of the charge in parts of the image.

    Returns
    -------
    cog : float
        In pixels less than their own width away from the centre of gravity.
    core : float
        In pixels with (l / length)^2 + (t / width)^2 <= 1; 0 if the width is zero.
    pixel : float
        In the brightest pixel.
    """
    cog, core, brightest = 0.0, 0.0, 0.0
    for i in range(charge.size):
        l_2, t_2 = longitudinal[i] ** 2, transverse[i] ** 2
        if not l_2 + t_2 >= pixel_width[i] ** 2:  # so also where all the charge is in one pixel, l is NaN
            cog += charge[i]
        if width > 0 and l_2 / length**2 + t_2 / width**2 <= 1:
            core += charge[i]
        brightest = max(brightest, charge[i])
    return cog / size, core / size, brightest / size
