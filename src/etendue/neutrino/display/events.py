"""The picture of one event: modules coloured by time and sized by charge, with the fitted tracks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from etendue.neutrino.sky import angles_to_vectors

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Columns by table; a column may be anything that gives an array when it is sliced.
type Tables = Mapping[str, Mapping[str, Any]]

# Colours that people with any colour vision can tell apart (Okabe & Ito 2008).
_TRACK_COLOURS = ("#D55E00", "#009E73", "#0072B2", "#CC79A7")
_MOST_FITS = len(_TRACK_COLOURS)
#: What a hit's time and size are called: KM3NeT's hits, IceCube's pulses.
_TIMES, _SIZES = ("t", "time"), ("charge", "a", "tot")
#: Columns that number the events, the first that there is.
_NUMBERS = ("event_id", "trigger_counter", "id")


class EventError(ValueError):
    """The event that is asked for is not there, is not the only one, or has nothing to draw."""


@dataclass(frozen=True)
class Light:
    """What the modules of one event saw: one row a place.

    Parameters
    ----------
    x, y, z : float64 array, shape (n,)
        Places [m].
    time : float64 array, shape (n,)
        First hit of the place [ns].
    size : float64 array, shape (n,)
        Sum of charges or of times over threshold.
    rest : float64 array, shape (m, 4)
        Position [m] and time [ns] of hits that are part of no trigger, if others are.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    time: np.ndarray
    size: np.ndarray
    rest: np.ndarray


@dataclass(frozen=True)
class Track:
    """A straight line through a point at a time, with the speed of light."""

    name: str
    point: np.ndarray
    direction: np.ndarray
    time: float

    def between(self, light: Light) -> np.ndarray:
        """Its ends where it passes the first and the last of the light: shape (2, 3)."""
        along = (np.column_stack([light.x, light.y, light.z]) - self.point) @ self.direction
        margin = 0.1 * (along.max() - along.min()) + 20.0
        ends = np.array([along.min() - margin, along.max() + margin])
        return self.point + ends[:, None] * self.direction


def draws(tree: xarray.DataTree) -> bool:
    """Whether a loaded run is of a neutrino telescope: it has hits or pulses with positions."""
    return "events" in tree.children and bool(_light_tables(_as_tables(tree)))


def event(
    tree: xarray.DataTree | Tables,
    event_id: int,
    *,
    run: int | None = None,
    hits: str | None = None,
    fits: Sequence[str] | None = None,
) -> Figure:
    """Draw an event in the detector: from the side, from above, and height against time.

    Parameters
    ----------
    tree : xarray.DataTree or mapping of tables
        What `etendue.load` or `Flow.compute` returns: ``events``, and hits or pulses with positions.
    event_id : int
        Number of the event: its ``event_id`` (IceCube), ``trigger_counter`` or ``id`` (KM3NeT).
    run : int, optional
        Row of its run, where runs share event numbers.
    hits : str, optional
        Table of hits or pulses; by default the first that has positions.
    fits : sequence of str, optional
        Beginnings of the columns of the tracks to draw, such as ``muon`` or ``SPEFit``; by default all that
        are there, up to four.

    Raises
    ------
    EventError
        If there is no such event, more than one, or no hit with a position.
    """
    import matplotlib.pyplot as plt

    tables = _as_tables(tree)
    events = tables["events"]
    row = _row(events, event_id, run)
    table = hits or next(iter(_light_tables(tables)), None)
    if table is None or table not in tables:
        raise EventError(f"there is no table {hits!r} of hits with positions; calibrate or place them first")
    light = _light(tables, table, row)
    if not len(light.time):
        raise EventError(f"event {event_id} has no hit in /{table} with a known position and time")
    tracks = _tracks(events, row, fits)
    figure = plt.figure(figsize=(12, 7), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=[1.5, 1])
    whole = figure.add_subplot(grid[:, 0], projection="3d")
    above, height = figure.add_subplot(grid[0, 1]), figure.add_subplot(grid[1, 1])
    detector = tables.get("modules", {})
    points = _draw_space(whole, light, tracks, detector)
    _draw_above(above, light, tracks, detector)
    _draw_height(height, light, tracks)
    figure.colorbar(points, ax=whole, label="first hit / ns", location="bottom", shrink=0.6, pad=0.02)
    if tracks:
        figure.legend(*whole.get_legend_handles_labels(), loc="upper left", frameon=False)
    figure.suptitle(f"event {event_id}: {len(light.time):,} places in /{table}")
    return figure


def _draw_space(ax: Axes, light: Light, tracks: list[Track], detector: Mapping[str, Any]) -> Any:
    if len(detector):
        x, y, z = (np.asarray(detector[f"pos_{axis}"]) for axis in "xyz")
        ax.scatter(x, y, z, s=0.5, c="0.7", alpha=0.4, linewidths=0)
    late = np.argsort(light.time)[::-1]
    points = ax.scatter(
        light.x[late], light.y[late], light.z[late], s=_areas(light)[late], c=_since(light)[late],
        cmap="turbo_r", linewidths=0, alpha=0.9,
    )  # fmt: skip
    for track, colour in zip(tracks, _TRACK_COLOURS, strict=False):
        ax.plot(*track.between(light).T, color=colour, lw=1.8, label=track.name)
    ax.set(xlabel="x / m", ylabel="y / m", zlabel="z / m")
    ax.set_aspect("equal")
    return points


def _draw_above(ax: Axes, light: Light, tracks: list[Track], detector: Mapping[str, Any]) -> None:
    if len(detector):
        ax.scatter(np.asarray(detector["pos_x"]), np.asarray(detector["pos_y"]), s=1, c="0.8")
    ax.scatter(light.x, light.y, s=_areas(light), c=_since(light), cmap="turbo_r", linewidths=0, alpha=0.8)
    for track, colour in zip(tracks, _TRACK_COLOURS, strict=False):
        ends = track.between(light)
        ax.plot(ends[:, 0], ends[:, 1], color=colour, lw=1.5)
    ax.set(xlabel="x / m", ylabel="y / m", aspect="equal")


def _draw_height(ax: Axes, light: Light, tracks: list[Track]) -> None:
    first, since = light.time.min(), _since(light)
    near = (light.rest[:, 3] > first - 1000.0) & (light.rest[:, 3] < light.time.max() + 1000.0)
    ax.scatter(light.rest[near, 3] - first, light.rest[near, 2], s=2, c="0.75", linewidths=0)
    ax.scatter(since, light.z, s=_areas(light), c=since, cmap="turbo_r", linewidths=0, alpha=0.8)
    for track, colour in zip(tracks, _TRACK_COLOURS, strict=False):
        ends = track.between(light)
        along = (ends - track.point) @ track.direction
        ax.plot(track.time - first + along / 0.299792458, ends[:, 2], color=colour, lw=1.5)
    ax.set(xlabel="time after the first hit / ns", ylabel="z / m")


def _areas(light: Light) -> np.ndarray:
    """Areas of the markers, in points squared: like the square root of the charge."""
    return np.clip(120.0 * np.sqrt(light.size / max(light.size.max(), 1e-9)), 3.0, None)


def _since(light: Light) -> np.ndarray:
    return light.time - light.time.min()


def _as_tables(tree: xarray.DataTree | Tables) -> Tables:
    if hasattr(tree, "subtree"):
        return {node.path.strip("/"): node.dataset.variables for node in tree.subtree}
    return tree


def _light_tables(tables: Tables) -> list[str]:
    """Tables of hits or pulses that belong to events and have positions."""
    return [
        name
        for name, columns in tables.items()
        if f"n_{name}" in tables.get("events", {})
        and "pos_x" in columns
        and any(time in columns for time in _TIMES)
        and any(size in columns for size in _SIZES)
    ]


def _row(events: Mapping[str, Any], event_id: int, run: int | None) -> int:
    number = next((name for name in _NUMBERS if name in events), None)
    if number is None:
        raise EventError(f"the events have none of the columns {_NUMBERS} that number them")
    match = np.asarray(events[number]) == event_id
    if run is not None and "run" in events:
        match &= np.asarray(events["run"]) == run
    rows = np.flatnonzero(match)
    if len(rows) == 0:
        known = np.asarray(events[number])
        raise EventError(f"no event has {number} {event_id}; there are {', '.join(map(str, known[:8]))}...")
    if len(rows) > 1 and run is None and "run" in events and len(set(np.asarray(events["run"])[rows])) > 1:
        raise EventError(f"{len(rows)} events have {number} {event_id}; say of which run, counted from 0")
    return int(rows[0])


def _light(tables: Tables, table: str, row: int) -> Light:
    """Hits of an event by place: those of its trigger, where hits tell."""
    columns = tables[table]
    counts = np.asarray(tables["events"][f"n_{table}"], dtype=np.int64)
    first = int(counts[:row].sum())
    mine = slice(first, first + int(counts[row]))

    def column(*names: str) -> np.ndarray:
        return np.asarray(columns[next(name for name in names if name in columns)][mine], dtype=np.float64)

    place, time = np.column_stack([column(f"pos_{axis}") for axis in "xyz"]), column(*_TIMES)
    used = known = np.isfinite(place).all(axis=1) & np.isfinite(time)
    if "trigger_mask" in columns and (triggered := known & (column("trigger_mask") != 0)).any():
        used = triggered
    rest = np.column_stack([place, time])[known & ~used]
    place, time, size = place[used], time[used], np.nan_to_num(column(*_SIZES)[used])
    # One place a module, in the middle of its photomultipliers, where hits tell their module.
    which = column("dom_id")[used][:, None] if "dom_id" in columns else place
    owner = np.unique(which, axis=0, return_inverse=True)[1].ravel()
    n_hits = np.bincount(owner)
    x, y, z = (np.bincount(owner, weights=place[:, axis]) / n_hits for axis in range(3))
    earliest = np.full(len(n_hits), np.inf)
    np.minimum.at(earliest, owner, time)
    return Light(x, y, z, earliest, np.bincount(owner, weights=size), rest)


def _tracks(events: Mapping[str, Any], row: int, fits: Sequence[str] | None) -> list[Track]:
    """The tracks that the event has, by the names of their columns."""
    have_point = [name.removesuffix("_pos_x") for name in events if name.endswith("_pos_x")]
    found = []
    for name in have_point if fits is None else fits:
        parts = ("dir_x", "dir_y", "dir_z") if f"{name}_dir_x" in events else ("zenith", "azimuth")
        time = next((t for t in ("t", "time") if f"{name}_{t}" in events), None)
        needed = [f"{name}_{part}" for part in ("pos_x", "pos_y", "pos_z", *parts)]
        if time is None or any(column not in events for column in needed):
            if fits is not None:
                raise EventError(f"{name!r} is no track of the events; those with a point are {have_point}")
            continue
        values = [float(np.asarray(events[c][row : row + 1])[0]) for c in [*needed, f"{name}_{time}"]]
        if not np.isfinite(values).all():
            continue
        direction = values[3:6] if len(parts) == 3 else angles_to_vectors(*values[3:5])
        found.append(Track(name, np.array(values[:3]), np.array(direction), values[-1]))
    return found if fits is not None else found[:_MOST_FITS]
