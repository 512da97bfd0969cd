"""Shapes of pixels, and the line around a group of them."""

from __future__ import annotations

import numpy as np

from etendue.iact.camera import Geometry


def pixel_polygons(geometry: Geometry) -> np.ndarray:
    """Corners of the pixels: shape (n_pixels, n_corners, 2); circles have 24."""
    shape_area = geometry.pixel_area / geometry.pixel_width**2  # 1, pi / 4 or sqrt(3) / 2
    if np.allclose(shape_area, np.pi / 4, rtol=1e-3):
        return _polygons(geometry, 24)
    return _polygons(geometry, _n_edges(geometry))


def outline(geometry: Geometry, mask: np.ndarray) -> np.ndarray:
    """Outer edges of the masked pixels: those that face no masked neighbour.

    Parameters
    ----------
    geometry : Geometry
        Pixels.
    mask : bool array, shape (n_pixels,)
        Pixels to be enclosed.

    Returns
    -------
    float64 array, shape (n_edges, 2, 2)
        Both ends of each edge, (x, y).
    """
    n_edges = _n_edges(geometry)
    corners = _polygons(geometry, n_edges)
    pixel, direction = _neighbour_directions(geometry)
    edge = np.rint((direction - _first_edge(geometry)) * n_edges / (2 * np.pi)).astype(int) % n_edges
    is_outer = np.repeat(mask[:, None], n_edges, axis=1)
    inner = mask[geometry.indices]
    is_outer[pixel[inner], edge[inner]] = False
    ends = np.stack([corners, np.roll(corners, -1, axis=1)], axis=2)
    return ends[is_outer]


def _n_edges(geometry: Geometry) -> int:
    return 4 if np.allclose(geometry.pixel_area, geometry.pixel_width**2, rtol=1e-3) else 6


def _neighbour_directions(geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Pixel and angle [rad] of each entry of ``geometry.indices``."""
    pixel = np.repeat(np.arange(len(geometry.pixel_x)), np.diff(geometry.indptr))
    dx = geometry.pixel_x[geometry.indices] - geometry.pixel_x[pixel]
    dy = geometry.pixel_y[geometry.indices] - geometry.pixel_y[pixel]
    return pixel, np.arctan2(dy, dx)


def _first_edge(geometry: Geometry) -> float:
    """Angle [rad] at which a pixel's edge faces its neighbour; the others follow at equal steps."""
    n_edges, (_, direction) = _n_edges(geometry), _neighbour_directions(geometry)
    return float(np.angle(np.exp(1j * n_edges * direction).sum()) / n_edges)


def _polygons(geometry: Geometry, n_corners: int) -> np.ndarray:
    """Regular polygons around the pixels' circles; edge k, after corner k, faces the k-th neighbour."""
    angle = _first_edge(geometry) + (np.arange(n_corners) - 0.5) * 2 * np.pi / n_corners
    radius = geometry.pixel_width[:, None] / 2 / np.cos(np.pi / n_corners)
    x = geometry.pixel_x[:, None] + radius * np.cos(angle)
    y = geometry.pixel_y[:, None] + radius * np.sin(angle)
    return np.stack([x, y], axis=-1)
