"""Pictures of one thing: a camera, a waveform, the array from above."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from etendue.iact.camera import Frame, Geometry
from etendue.iact.display.outlines import outline, pixel_polygons
from etendue.iact.display.style import BLUE, GREY, ORANGE, VERMILION, axes, legend_below, mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AXIS_LABELS = {"telescope": ("fov_lon [deg]", "fov_lat [deg]"), "camera": ("x [m]", "y [m]")}


def camera_image(
    geometry: Geometry,
    values: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    hillas: Mapping[str, float] | None = None,
    reconstructed: tuple[float, float] | None = None,
    true: tuple[float, float] | None = None,
    ax: Axes | None = None,
    title: str = "",
    units: str = "pe",
    frame: Frame = "telescope",
    cmap: str = "viridis",
) -> Axes:
    """Draw one camera: its pixels in colour, and what was found in them.

    Parameters
    ----------
    geometry : Geometry
        Pixels, in the frame of the other arguments.
    values : array, shape (n_pixels,)
        What the colours show; NaN is grey.
    mask : bool array, shape (n_pixels,), optional
        Pixels that the cleaning kept; their outer edges are drawn.
    hillas : mapping of str to float, optional
        ``fov_lon``, ``fov_lat`` (``x``, ``y`` in the camera frame), ``length``, ``width`` in the frame's
        unit, and ``psi`` [deg]. Drawn as an ellipse and its axis; not at all if one is NaN.
    reconstructed, true : (float, float), optional
        Directions in the same frame, drawn as a cross and a star.
    ax : Axes, optional
        Where to draw; a new figure without it.
    title, units : str
        Title, and the unit of the values.
    frame : {"telescope", "camera"}
        Frame of the geometry, which the axes are labelled with.
    cmap : str
        Colour map.
    """
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection, PolyCollection

    is_alone = ax is None
    ax = axes(ax, (6.0, 5.2))
    pixels = PolyCollection(pixel_polygons(geometry), edgecolors="face", linewidths=0.4)
    pixels.set_array(np.ma.masked_invalid(values))
    pixels.set_cmap(colormaps[cmap].with_extremes(bad=GREY))
    ax.add_collection(pixels)
    if mask is not None:
        edges = outline(geometry, np.asarray(mask, dtype=bool))
        ax.add_collection(LineCollection(edges, colors="white", linewidths=0.9))
    if hillas is not None and np.isfinite(list(hillas.values())).all():
        _draw_hillas(ax, hillas, frame, reach=2 * geometry.radius)
    mark(ax, true, "simulated")
    mark(ax, reconstructed, "reconstructed")
    x, y = geometry.pixel_x, geometry.pixel_y
    half = 0.52 * max(np.ptp(x), np.ptp(y)) + geometry.pixel_width.max() / 2
    (left, right), (low, high) = (((v.min() + v.max()) / 2 + np.array([-half, half])) for v in (x, y))
    ax.set(aspect="equal", title=title, xlim=(left, right), ylim=(low, high))
    ax.set(xlabel=AXIS_LABELS[frame][0], ylabel=AXIS_LABELS[frame][1])
    bar = ax.figure.colorbar(pixels, ax=ax, fraction=0.046, pad=0.02)
    bar.ax.set_title(units, fontsize="small", loc="left")
    if is_alone:
        legend_below(ax)
    return ax


def _draw_hillas(ax: Axes, hillas: Mapping[str, float], frame: Frame, reach: float) -> None:
    from matplotlib.patches import Ellipse

    x, y = (hillas[name] for name in (("fov_lon", "fov_lat") if frame == "telescope" else ("x", "y")))
    size = 2 * hillas["length"], 2 * hillas["width"]
    ax.add_patch(Ellipse((x, y), *size, angle=hillas["psi"], fill=False, color=VERMILION, lw=1.4, zorder=4))
    psi = np.deg2rad(hillas["psi"])
    dx, dy = reach * np.cos(psi), reach * np.sin(psi)
    ax.plot([x - dx, x + dx], [y - dy, y + dy], color=VERMILION, lw=0.9, ls=(0, (5, 4)), zorder=4)


def waveform(
    times: np.ndarray,
    samples: np.ndarray,
    *,
    peak_time: float | None = None,
    window: tuple[float, float] | None = None,
    ax: Axes | None = None,
    title: str = "",
    units: str = "pe",
) -> Axes:
    """Draw the samples of one pixel.

    Parameters
    ----------
    times : array, shape (n_samples,)
        Start of each sample [ns].
    samples : array, shape (n_samples,)
        Signal.
    peak_time : float, optional
        Peak time [ns], drawn as a line.
    window : (float, float), optional
        Start and end of the integration window [ns], shaded.
    ax, title, units
        As in `camera_image`.
    """
    ax = axes(ax, (6.0, 3.2))
    width = np.median(np.diff(times)) if len(times) > 1 else 1.0
    ax.stairs(samples, [*times, times[-1] + width], color=BLUE, lw=1.4, baseline=None)
    ax.axhline(0, color=GREY, lw=0.8, zorder=0)
    if window is not None:
        ax.axvspan(*window, color=ORANGE, alpha=0.25, lw=0, zorder=0, label="window")
    if peak_time is not None:
        ax.axvline(peak_time, color=VERMILION, lw=1.4, ls="--", label="peak time")
    ax.set(xlabel="time [ns]", ylabel=f"signal [{units}]", title=title, xlim=(times[0], times[-1] + width))
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False, fontsize="small")
    return ax


def array_view(
    positions: np.ndarray,
    *,
    names: Sequence[str] = (),
    triggered: np.ndarray | None = None,
    sizes: np.ndarray | None = None,
    lines: np.ndarray | None = None,
    core: tuple[float, float] | None = None,
    uncertainty: float | None = None,
    true_core: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the array from above, north up.

    Parameters
    ----------
    positions : float array, shape (n_telescopes, 2 or 3)
        To north and west [m].
    names : sequence of str
        Name of each telescope.
    triggered : bool array, shape (n_telescopes,), optional
        Telescopes that are drawn in colour; all without it.
    sizes : float array, shape (n_telescopes,), optional
        What the areas of the coloured markers are proportional to, such as the intensity.
    lines : float array, shape (n_lines, 4), optional
        Axes of images on the ground: a point (north, west) and a direction (north, west) each.
    core, true_core : (float, float), optional
        Reconstructed and simulated impact point, to north and west [m].
    uncertainty : float, optional
        Radius of a circle around the reconstructed one [m].
    ax : Axes, optional
        Where to draw; a new figure without it.
    """
    is_alone = ax is None
    ax = axes(ax, (6.0, 6.0))
    east, north = -positions[:, 1], positions[:, 0]
    lit = np.ones(len(positions), dtype=bool) if triggered is None else np.asarray(triggered, dtype=bool)
    area = np.full(len(positions), 60.0)
    if sizes is not None and lit.any():
        area = 25 + 275 * np.nan_to_num(sizes) / max(np.nanmax(np.asarray(sizes)[lit]), 1e-12)
    for point_north, point_west, to_north, to_west in () if lines is None else lines:
        ax.axline(
            (-point_west, point_north), (-point_west - to_west, point_north + to_north), color="0.75", lw=0.8
        )
    ax.scatter(east[~lit], north[~lit], s=22, facecolors="white", edgecolors=GREY, zorder=3)
    ax.scatter(east[lit], north[lit], s=area[lit], color=BLUE, alpha=0.85, lw=0, zorder=3)
    for name, x, y, size, is_lit in zip(names, east, north, area, lit, strict=False):
        above = np.sqrt(size / np.pi) if is_lit else 3.0
        ax.annotate(
            name, (x, y), (0, above + 1.5), textcoords="offset points", ha="center", va="bottom",
            fontsize=7.5, color="black" if is_lit else GREY, zorder=4,
        )  # fmt: skip
    places = np.stack([east, north], axis=-1)
    for place, kind in ((true_core, "simulated"), (core, "reconstructed")):
        if place is not None and np.isfinite(place).all():
            mark(ax, (-place[1], place[0]), kind)
            places = np.append(places, [(-place[1], place[0])], axis=0)
    if core is not None and uncertainty is not None:
        from matplotlib.patches import Circle

        ax.add_patch(Circle((-core[1], core[0]), uncertainty, fill=False, color=VERMILION, lw=1.2, zorder=5))
    half = 0.58 * max(*np.ptp(places, axis=0), 100.0)
    x, y = (places.min(axis=0) + places.max(axis=0)) / 2
    ax.set(xlim=(x - half, x + half), ylim=(y - half, y + half), aspect="equal")
    ax.set(xlabel="east [m]", ylabel="north [m]")
    if is_alone:
        legend_below(ax)
    return ax
