"""The picture of one event: modules coloured by time and sized by charge, with what was fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from etendue.dataflow.event import event_row
from etendue.neutrino.display.fits import EventError, Fit, fits_of
from etendue.neutrino.display.light import Light, Tables, has_light, light_columns, light_of
from etendue.neutrino.icecube.pulses import is_icetop

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from etendue.schema import Schema

# Colours that people with any colour vision can tell apart (Okabe & Ito 2008).
_COLOURS = ("#D55E00", "#009E73", "#0072B2", "#CC79A7", "#E69F00", "#000000")
#: Around the light and the detector, this share of their extent, and this many metres, are shown.
_MARGIN, _LEAST_MARGIN = 0.1, 30.0
#: Length of the arrow along a cascade's direction, as a share of the picture's extent.
_ARROW = 0.15
#: The largest marker is of a charge that all but this share of the modules are below.
_BRIGHTEST = 0.98


def draws(tree: xarray.DataTree) -> bool:
    """Whether a loaded run is of a neutrino telescope: it has hits or pulses with positions."""
    return "events" in tree.children and bool(_light_tables(_as_tables(tree)))


def needs(schema: Schema, hits: str | None = None, **_: Any) -> list[str]:
    """The columns that a picture needs of tables of hits or pulses; none if there is no such table.

    Parameters
    ----------
    schema : Schema
        All tables, with what the stages of a pass make.
    hits : str, optional
        Table of hits or pulses; by default the first that has positions.
    """
    tables = [t for t in schema.values() if t.parent == "events" and has_light(t.variables)]
    chosen = next((t for t in tables if hits in (None, t.name)), None)
    return [] if chosen is None else [f"{chosen.name}/{name}" for name in light_columns(chosen.variables)]


def event(
    tree: xarray.DataTree | Tables,
    event_id: int,
    *,
    run: int | None = None,
    hits: str | None = None,
    fits: Sequence[str] | None = None,
) -> Figure:
    """Draw an event in the detector: from the side, from above, and height against time.

    Tracks are lines; cascades are stars, with an arrow if their direction is known. Coloured are the hits of
    the trigger (KM3NeT), or the pulses that hang together with local coincidences (IceCube, by `SeededRT`);
    the rest is grey in the last panel, and like IceTop's tanks does not count for the scales.

    Parameters
    ----------
    tree : xarray.DataTree or mapping of tables
        What `etendue.load` or `Flow.compute` returns: ``events``, and hits or pulses with positions.
    event_id : int
        Number of the event, in the column that numbers rows of its table (`etendue.schema.Table.numbering`):
        ``event_id`` (IceCube), ``trigger_counter`` (KM3NeT).
    run : int, optional
        Row of its run, where runs share event numbers.
    hits : str, optional
        Table of hits or pulses; by default the first that has positions.
    fits : sequence of str, optional
        Beginnings of the columns of what to draw, such as ``muon`` or ``SPEFit``, ours or the input's; by
        default the first six, those of our stages before those that came with the input.

    Raises
    ------
    EventError
        If it has no hit with a position.
    NoSuchEventError
        If there is no such event, or more than one.
    """
    import matplotlib.pyplot as plt

    tables = _as_tables(tree)
    events = tables["events"]
    row = event_row("events", tree["events"], event_id, run)
    table = hits or next(iter(_light_tables(tables)), None)
    if table is None or table not in tables:
        raise EventError(f"there is no table {hits!r} of hits with positions; calibrate or place them first")
    light = light_of(tables, table, row)
    if not len(light.time):
        raise EventError(f"event {event_id} has no hit in /{table} with a known position and time")
    found = fits_of(events, row, fits)
    modules = _modules(tables.get("modules", {}))
    low, high = _box(light, modules)
    figure = plt.figure(figsize=(12, 7), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=[1.5, 1])
    whole = figure.add_subplot(grid[:, 0], projection="3d")
    above, height = figure.add_subplot(grid[0, 1]), figure.add_subplot(grid[1, 1])
    points = _draw_space(whole, light, found, modules, low, high)
    _draw_above(above, light, found, modules, low, high)
    _draw_height(height, light, found, low, high)
    figure.colorbar(points, ax=whole, label="first hit / ns", location="bottom", shrink=0.6, pad=0.02)
    if found:
        figure.legend(*height.get_legend_handles_labels(), loc="upper left", frameon=False)
    tanks = f", {light.n_surface:,} hits of IceTop not drawn" if light.n_surface else ""
    figure.suptitle(f"event {event_id}: {len(light.time):,} places in /{table}{tanks}")
    return figure


def _draw_space(
    ax: Axes, light: Light, fits: list[Fit], modules: np.ndarray, low: np.ndarray, high: np.ndarray
) -> Any:
    ax.scatter(*modules.T, s=0.5, c="0.7", alpha=0.4, linewidths=0)
    late = np.argsort(light.time)[::-1]
    colours = {"c": _since(light)[late], "cmap": "turbo_r"}
    points = ax.scatter(*light.place[late].T, s=_areas(light)[late], **colours, linewidths=0, alpha=0.9)
    for fit, colour in zip(fits, _cycle(fits), strict=True):
        if fit.is_cascade:
            ax.plot(*fit.point[:, None], marker="*", ms=14, color=colour, mec="w", ls="", zorder=10)
        if (ends := _line(fit, low, high)) is not None:
            ax.plot(*ends.T, color=colour, lw=1.8)
    ax.set(xlabel="x / m", ylabel="y / m", zlabel="z / m")
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    ax.set_box_aspect(high - low)
    return points


def _draw_above(
    ax: Axes, light: Light, fits: list[Fit], modules: np.ndarray, low: np.ndarray, high: np.ndarray
) -> None:
    ax.scatter(modules[:, 0], modules[:, 1], s=1, c="0.8")
    ax.scatter(light.x, light.y, s=_areas(light), c=_since(light), cmap="turbo_r", linewidths=0, alpha=0.8)
    for fit, colour in zip(fits, _cycle(fits), strict=True):
        if fit.is_cascade:
            ax.plot(*fit.point[:2], marker="*", ms=14, color=colour, mec="w", ls="")
        if (ends := _line(fit, low, high)) is not None:
            ax.plot(ends[:, 0], ends[:, 1], color=colour, lw=1.5)
    ax.set(xlabel="x / m", ylabel="y / m", aspect="equal", xlim=(low[0], high[0]), ylim=(low[1], high[1]))


def _draw_height(ax: Axes, light: Light, fits: list[Fit], low: np.ndarray, high: np.ndarray) -> None:
    first, since = light.time.min(), _since(light)
    ax.scatter(light.rest[:, 3] - first, light.rest[:, 2], s=2, c="0.75", linewidths=0)
    ax.scatter(since, light.z, s=_areas(light), c=since, cmap="turbo_r", linewidths=0, alpha=0.8)
    for fit, colour in zip(fits, _cycle(fits), strict=True):
        ends = _line(fit, low, high)
        if fit.is_cascade:
            ax.plot(
                fit.time - first,
                fit.point[2],
                marker="*",
                ms=14,
                color=colour,
                mec="w",
                ls="",
                label=fit.name,
            )
        elif ends is None:
            ax.plot([], [], color=colour, label=f"{fit.name} (passes by)")
        else:
            ax.plot(fit.times(ends) - first, ends[:, 2], color=colour, lw=1.5, label=fit.name)
    margin = 0.1 * since.max() + 50.0
    ax.set(xlabel="time after the first hit / ns", ylabel="z / m")
    ax.set(xlim=(-margin, since.max() + margin), ylim=(low[2], high[2]))


def _line(fit: Fit, low: np.ndarray, high: np.ndarray) -> np.ndarray | None:
    """Ends of a track in the picture, or of a cascade's arrow, shape (2, 3); None where there is no line."""
    if fit.direction is None:
        return None
    if fit.is_cascade:
        return fit.point + np.outer([0.0, _ARROW * np.max(high - low)], fit.direction)
    return fit.inside(low, high)


def _cycle(fits: list[Fit]) -> list[str]:
    return [_COLOURS[i % len(_COLOURS)] for i in range(len(fits))]


def _box(light: Light, modules: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners of what is shown: the light and the detector, whatever the fits are."""
    places = np.concatenate([light.place, modules])
    low, high = places.min(axis=0), places.max(axis=0)
    margin = _MARGIN * (high - low).max() + _LEAST_MARGIN
    return low - margin, high + margin


def _modules(columns: Mapping[str, Any]) -> np.ndarray:
    """Places of the detector's modules in water or ice [m], shape (n, 3)."""
    if "pos_x" not in columns:
        return np.empty((0, 3))
    place = np.column_stack([np.asarray(columns[f"pos_{axis}"], dtype=np.float64) for axis in "xyz"])
    keep = np.isfinite(place).all(axis=1)
    if "du" in columns and "floor" in columns:
        keep &= ~is_icetop(np.asarray(columns["du"]), np.asarray(columns["floor"]))
    return place[keep]


def _areas(light: Light) -> np.ndarray:
    """Areas of the markers, in points squared: like the square root of the charge."""
    brightest = max(np.quantile(light.size, _BRIGHTEST, method="higher"), 1e-9)
    return np.clip(120.0 * np.sqrt(light.size / brightest), 3.0, 180.0)


def _since(light: Light) -> np.ndarray:
    return light.time - light.time.min()


def _as_tables(tree: xarray.DataTree | Tables) -> Tables:
    if hasattr(tree, "subtree"):
        return {node.path.strip("/"): node.dataset.variables for node in tree.subtree}
    return tree


def _light_tables(tables: Tables) -> list[str]:
    """Tables of hits or pulses that belong to events and have positions."""
    owned = tables.get("events", {})
    return [name for name, columns in tables.items() if f"n_{name}" in owned and has_light(columns)]
