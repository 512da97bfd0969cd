"""Directions on the sky."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def sky_map(
    right_ascension: np.ndarray,
    declination: np.ndarray,
    *,
    weight: np.ndarray | None = None,
    label: str = "",
    galactic_plane: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw directions on a map of the whole sky (Mollweide), with right ascension growing to the left.

    Parameters
    ----------
    right_ascension, declination : array
        ICRS coordinates [deg]; those that are NaN are left out.
    weight : array, optional
        What colours the points, such as log10 of the energy.
    label : str
        What the colour means.
    galactic_plane : bool
        Whether to draw the galactic plane and centre.
    ax : Axes, optional
        Axes of the projection ``mollweide``; by default those of a new figure.
    """
    import matplotlib.pyplot as plt

    if ax is None:
        ax = plt.subplots(figsize=(10, 5.4), layout="constrained", subplot_kw={"projection": "mollweide"})[1]
    known = np.isfinite(right_ascension) & np.isfinite(declination)
    x, y = _place(np.asarray(right_ascension)[known], np.asarray(declination)[known])
    colour = None if weight is None else np.asarray(weight)[known]
    points = ax.scatter(x, y, s=12, c=colour, cmap=None if weight is None else "viridis", lw=0, zorder=3)
    if weight is not None:
        ax.figure.colorbar(points, ax=ax, label=label, shrink=0.7)
    if galactic_plane:
        _draw_galaxy(ax)
    hours = np.arange(-150, 151, 60)
    ax.set_xticks(np.radians(hours), [f"{(180 - h) % 360:.0f}°" for h in hours])
    ax.grid(color="0.85", lw=0.5)
    ax.set(xlabel="right ascension", ylabel="declination")
    return ax


def _place(right_ascension: np.ndarray, declination: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of the projection: 180 degrees in the middle, right ascension to the left."""
    return np.radians(180.0 - np.mod(right_ascension, 360.0)), np.radians(declination)


def _draw_galaxy(ax: Axes) -> None:
    try:
        from astropy.coordinates import SkyCoord
    except ImportError:
        return  # a map without the plane is better than none
    plane = SkyCoord(np.linspace(0, 360, 361), 0.0, unit="deg", frame="galactic").icrs
    x, y = _place(plane.ra.deg, plane.dec.deg)
    order = np.argsort(x)
    ax.plot(x[order], y[order], color="0.6", lw=1)
    ax.plot(*_place(plane.ra.deg[:1], plane.dec.deg[:1]), marker="+", color="0.4", ms=9)
