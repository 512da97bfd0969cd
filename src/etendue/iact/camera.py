"""Camera geometry: the pixels of one camera in one frame, their neighbours and the camera's border.

Two frames. *camera*: the focal plane in metres, x to north and y to west when the telescope looks up.
*telescope*: offsets on the sky in degrees, where ``pixel_x`` is ctapipe's ``fov_lon`` (along azimuth)
and ``pixel_y`` its ``fov_lat`` (along altitude).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Literal, NamedTuple

import numpy as np

from etendue.kernel import kernel
from etendue.schema import Columns, SchemaError

Frame = Literal["camera", "telescope"]
#: The focal length that angles are made with: from ray tracing, of the mirror, or the first if there is one.
FocalLength = Literal["auto", "effective", "equivalent"]

#: sim_telarray's codes of pixel shapes; every other code is a hexagon.
CIRCLE, SQUARE = 0, 2

log = logging.getLogger(__name__)


@kernel
def nearest_neighbours(
    x: np.ndarray, y: np.ndarray, order: np.ndarray, n_nearest: int, reach: float, manhattan: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours of each pixel: those of its nearest that are not much further away than the nearest.

    Pixel j is a neighbour of i if it is among the ``n_nearest`` pixels around i and
    d(i, j) < reach * min_k d(i, k).

    Parameters
    ----------
    x, y : float64 array, shape (n_pixels,)
        Pixel centres.
    order : int64 array, shape (n_pixels,)
        Pixels sorted by x, so that a search stops where x alone is too far away.
    n_nearest : int
        Most neighbours that a pixel can have.
    reach : float
        Greatest distance in units of the distance to the nearest pixel.
    manhattan : bool
        Whether d is abs(dx) + abs(dy) rather than the Euclidean distance.

    Returns
    -------
    indptr : int32 array, shape (n_pixels + 1,)
        Start of each pixel's neighbours in ``indices``.
    indices : int32 array
        Neighbours of pixel 0, of pixel 1, ...; ascending for each pixel.
    """
    n_pixels = x.size
    indptr = np.zeros(n_pixels + 1, dtype=np.int32)
    found = np.empty((n_pixels, n_nearest), dtype=np.int32)
    distance = np.empty(n_nearest)
    nearest = np.empty(n_nearest, dtype=np.int32)
    for position in range(n_pixels):
        pixel = order[position]
        distance[:] = np.inf
        for step in (1, -1):
            other = position + step
            while 0 <= other < n_pixels:
                candidate = order[other]
                dx = abs(x[candidate] - x[pixel])
                if dx > distance[-1]:
                    break
                dy = abs(y[candidate] - y[pixel])
                d = dx + dy if manhattan else np.sqrt(dx * dx + dy * dy)
                if d < distance[-1]:
                    slot = n_nearest - 1
                    while slot > 0 and distance[slot - 1] > d:
                        distance[slot], nearest[slot] = distance[slot - 1], nearest[slot - 1]
                        slot -= 1
                    distance[slot], nearest[slot] = d, candidate
                other += step
        limit, n_found = reach * distance[0], 0
        for candidate, d in zip(nearest, distance):  # noqa: B905  (Numba knows no strict)
            if d < limit:
                slot = n_found  # ascending
                while slot > 0 and found[pixel, slot - 1] > candidate:
                    found[pixel, slot] = found[pixel, slot - 1]
                    slot -= 1
                found[pixel, slot] = candidate
                n_found += 1
        indptr[pixel + 1] = n_found
    for pixel in range(n_pixels):
        indptr[pixel + 1] += indptr[pixel]
    indices = np.empty(indptr[-1], dtype=np.int32)
    for pixel in range(n_pixels):
        start = indptr[pixel]
        for k in range(indptr[pixel + 1] - start):
            indices[start + k] = found[pixel, k]
    return indptr, indices


class Geometry(NamedTuple):
    """The pixels of one camera in one frame; made by `Geometry.of`.

    A tuple of arrays, so that kernels take it as it is. Two geometries are equal if they are the same
    object, which `Geometry.of` makes of equal content.

    Parameters
    ----------
    pixel_x, pixel_y : float64 array, shape (n_pixels,)
        Pixel centres: metres in the camera frame, degrees in the telescope frame.
    pixel_area : float64 array, shape (n_pixels,)
        Light-collecting area, in the square of that unit.
    pixel_width : float64 array, shape (n_pixels,)
        Diameter of circles, edge of squares, in-circle diameter of hexagons.
    indptr : int32 array, shape (n_pixels + 1,)
        Start of each pixel's neighbours in ``indices``.
    indices : int32 array
        Neighbours of each pixel, ascending.
    border_1, border_2 : bool array, shape (n_pixels,)
        Pixels with fewer neighbours than most, and pixels that touch one of those.
    """

    pixel_x: np.ndarray
    pixel_y: np.ndarray
    pixel_area: np.ndarray
    pixel_width: np.ndarray
    indptr: np.ndarray
    indices: np.ndarray
    border_1: np.ndarray
    border_2: np.ndarray

    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__

    @staticmethod
    def of(
        columns: Columns,
        frame: Frame = "camera",
        focal_length: float | None = None,
        camera_rotation: float = 0.0,
    ) -> Geometry:
        """Geometry of a camera; equal arguments give the same object.

        Parameters
        ----------
        columns : dict of str to array
            ``pixel_x``, ``pixel_y`` [m], ``pixel_area`` [m2] and ``pixel_shape`` (sim_telarray's
            codes), as in the static table ``camera/<label>``.
        frame : {"camera", "telescope"}
            Frame of the result.
        focal_length : float, optional
            Metres; needed for the telescope frame.
        camera_rotation : float
            Degrees; the pixels are turned back by it (ctapipe's ``cam_rotation``).

        Notes
        -----
        Neighbours, borders, widths and frames are as in ctapipe's ``CameraGeometry``: the image is
        taken to scale with the angle (offset in radians = distance in the focal plane / focal length).
        """
        if frame not in ("camera", "telescope"):
            raise ValueError(f"frame is 'camera' or 'telescope', not {frame!r}")
        if frame == "camera":
            focal_length = None
        elif focal_length is None or not focal_length > 0:
            raise ValueError(f"the telescope frame needs a focal length in metres, not {focal_length!r}")
        x, y, area = (
            np.asarray(columns[name], dtype=np.float64).tobytes()
            for name in ("pixel_x", "pixel_y", "pixel_area")
        )
        return _geometry(x, y, area, int(columns["pixel_shape"][0]), focal_length, float(camera_rotation))

    @property
    def radius(self) -> float:
        """Mean distance of the border pixels from the camera's centre."""
        dx = self.pixel_x[self.border_1] - self.pixel_x.mean()
        dy = self.pixel_y[self.border_1] - self.pixel_y.mean()
        return float(np.hypot(dx, dy).mean())


def geometry_of(
    conditions: Mapping[str, Columns],
    label: str,
    frame: Frame = "camera",
    focal_length: FocalLength = "auto",
) -> Geometry:
    """Geometry of a camera of a run.

    Parameters
    ----------
    conditions : mapping of str to dict of str to array
        Static tables, as in ``Partition.conditions``: ``camera/<label>`` and ``optics/<label>``.
    label : str
        Name of the camera's table, such as ``lstcam``.
    frame : {"camera", "telescope"}
        Frame of the result.
    focal_length : {"auto", "effective", "equivalent"}
        The focal length for the telescope frame. The equivalent one makes angles a few per cent too large;
        ``auto`` takes it, with a warning, where the input has no effective one.

    Raises
    ------
    SchemaError
        If the run has no such camera, or in the telescope frame not the chosen focal length of it.
    """
    missing = [name for name in (f"camera/{label}", f"optics/{label}") if name not in conditions]
    if missing:
        cameras = sorted(name.removeprefix("camera/") for name in conditions if name.startswith("camera/"))
        raise SchemaError(f"the run has no table {missing[0]!r}; there are pixels of the cameras {cameras}")
    optics = conditions[f"optics/{label}"]
    kind = "effective" if focal_length == "auto" else focal_length
    metres = float(optics[f"{kind}_focal_length"][0])
    if frame == "telescope" and not np.isfinite(metres):
        if focal_length != "auto":
            raise SchemaError(f"the run has no {focal_length} focal length of camera {label!r}")
        metres = float(optics["equivalent_focal_length"][0])
        warn_of_equivalent_focal_length(label)
    return Geometry.of(conditions[f"camera/{label}"], frame, metres, float(optics["camera_rotation"][0]))


@cache
def warn_of_equivalent_focal_length(label: str) -> None:
    """Say, once, that angles of a camera are made with the equivalent focal length."""
    log.warning("camera %s: no effective focal length; angles are made with the equivalent one", label)


@lru_cache(maxsize=256)
def _geometry(
    x: bytes, y: bytes, area: bytes, shape: int, focal_length: float | None, rotation: float
) -> Geometry:
    """Geometry from the bytes of the columns, which make the content the key of the cache."""
    raw_x, raw_y, pixel_area = (np.frombuffer(raw, dtype=np.float64) for raw in (x, y, area))
    cos, sin = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    pixel_x, pixel_y = cos * raw_x + sin * raw_y, cos * raw_y - sin * raw_x
    pixel_area = pixel_area.copy()
    if focal_length is not None:
        pixel_x, pixel_y = np.rad2deg(pixel_y / focal_length), np.rad2deg(pixel_x / focal_length)
        pixel_area *= np.rad2deg(1 / focal_length) ** 2
    # The reach lies between the first and the second ring of pixels: on squares 1 and 2 pixels along
    # the edges, which leaves out diagonal ones; on hexagons 1 and 1.43 pixels.
    n_nearest, reach, manhattan = (4, 1.5, True) if shape == SQUARE else (6, 1.4, False)
    order = np.argsort(pixel_x, kind="stable")
    indptr, indices = nearest_neighbours(pixel_x, pixel_y, order, n_nearest, reach, manhattan)
    n_neighbours = np.bincount(indices, minlength=pixel_x.size)
    border_1 = n_neighbours < n_neighbours.max(initial=0)
    touching = np.repeat(np.arange(pixel_x.size), np.diff(indptr))[border_1[indices]]
    border_2 = np.zeros(pixel_x.size, dtype=bool)
    border_2[touching] = True
    width = _pixel_width(pixel_area, shape)
    return Geometry(pixel_x, pixel_y, pixel_area, width, indptr, indices, border_1, border_2)


def _pixel_width(area: np.ndarray, shape: int) -> np.ndarray:
    if shape == SQUARE:
        return np.sqrt(area)
    if shape == CIRCLE:
        return 2 * np.sqrt(area / np.pi)
    return 2 * np.sqrt(area / (2 * np.sqrt(3)))
