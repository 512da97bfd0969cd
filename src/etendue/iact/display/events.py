"""The picture of one event: its camera images, the array from above, what was found and what is true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from etendue.dataflow.partition import Partition
from etendue.errors import EtendueError
from etendue.iact.camera import Geometry, geometry_of
from etendue.iact.directions import telescope_offset
from etendue.iact.display.pictures import array_view, camera_image
from etendue.iact.display.style import mark
from etendue.iact.focal_length import chosen

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Columns by table; a column may be anything that gives an array when it is sliced.
type Tables = Mapping[str, Mapping[str, Any]]

#: Most camera images in one picture.
MOST_IMAGES = 9
HILLAS = ("fov_lon", "fov_lat", "length", "width", "psi")
READOUT = (
    "tel_id",
    "pointing_altitude",
    "pointing_azimuth",
    "image",
    "image_mask",
    "core_psi",
    "hillas_intensity",
)


class EventError(EtendueError, ValueError):
    """The event that is asked for is not there, or not the only one."""


def draws(tree: xarray.DataTree) -> bool:
    """Whether a loaded run is of gamma-ray telescopes: it has images of a camera."""
    return "camera" in tree.children and any("image" in node for node in tree.children.values())


def event(
    source: xarray.DataTree | Partition | Tables,
    event_id: int,
    obs_id: int | None = None,
    *,
    run: int | None = None,
) -> Figure:
    """Draw an event: its brightest images, the array from above, and numbers.

    Parameters
    ----------
    source : xarray.DataTree, Partition or mapping of tables
        What `etendue.load` returns, or the same tables as arrays: ``events``, camera tables with
        ``image`` (and ``image_mask``, ``hillas_*``, ``core_psi`` if they are to be drawn), ``array``,
        ``camera/<label>`` and ``optics/<label>``.
    event_id : int
        Number of the event.
    obs_id : int, optional
        Observation number of its run; needed if several runs have such an event.
    run : int, optional
        Row of its run in ``observation``; tells runs of the same observation number apart.

    Raises
    ------
    EventError
        If there is no such event, or more than one.
    """
    import matplotlib.pyplot as plt

    tables = as_tables(source)
    row = _event_row(tables["events"], event_id=event_id, obs_id=obs_id, run=run)
    facts = {n: np.asarray(c[row : row + 1])[0] for n, c in tables["events"].items()}
    images = sorted(_images(tables, facts, row), key=lambda image: -image.brightness)
    shown = sorted(images[:MOST_IMAGES], key=lambda image: image.tel_id)
    n_columns = 1 if len(shown) < 2 else 2 if len(shown) < 5 else 3
    n_rows = max(-(-len(shown) // n_columns), 1)
    height = max(2.5 * n_rows + 0.4, 6.0) if n_columns > 2 else 6.4
    figure = plt.figure(figsize=(12, height), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.9, 1], wspace=0.02)
    for position, image in enumerate(shown):
        ax = left.add_subplot(n_rows, n_columns, position + 1)
        image.draw(ax, facts)
        ax.title.set_fontsize("medium")
        ax.tick_params(labelsize="small")
        ax.set(ylabel="" if position % n_columns else ax.get_ylabel())
        ax.set(xlabel="" if position + n_columns < len(shown) else ax.get_xlabel())
    above, below = right.subplots(2, 1, height_ratios=[2.2, 1])
    _draw_array(above, tables["array"], facts, images)
    _write_numbers(below, facts)
    rest = f" ({len(shown)} brightest of {len(images)} images)" if len(images) > len(shown) else ""
    observation = f"run {facts['obs_id']}, " if "obs_id" in facts else ""
    figure.suptitle(f"{observation}event {event_id}{rest}", fontsize="large")
    return figure


def as_tables(source: xarray.DataTree | Partition | Tables) -> Tables:
    """The tables of a loaded run or a partition by name; other mappings are taken as they are."""
    if isinstance(source, Partition):
        return {**source.conditions, **source.tables}
    if hasattr(source, "subtree"):
        return {node.path.strip("/"): node.dataset.variables for node in source.subtree}
    return source


def _event_row(events: Mapping[str, Any], **wanted: int | None) -> int:
    """The one row with the wanted ``event_id``, ``obs_id`` and ``run``."""
    asked = {name: value for name, value in wanted.items() if value is not None}
    rows = np.flatnonzero(
        np.all([np.asarray(events[name]) == value for name, value in asked.items()], axis=0)
    )
    if len(rows) == 1:
        return int(rows[0])
    what = ", ".join(f"{name} {value}" for name, value in asked.items())
    if len(rows) == 0:
        ids = np.unique(np.asarray(events["event_id"]))
        near = ids[np.argsort(np.abs(ids - wanted["event_id"]), kind="stable")[:5]].tolist()
        raise EventError(f"there is no event with {what}; the nearest event_id are {near}")
    choices = {name: np.asarray(events[name])[rows].tolist() for name in ("obs_id", "run") if name in events}
    raise EventError(f"{len(rows)} events have {what}; choose one by obs_id or run, which are {choices}")


@dataclass(frozen=True)
class Image:
    """One camera readout of the event."""

    columns: dict[str, Any]
    telescope: str
    geometry: Geometry

    @property
    def tel_id(self) -> int:
        return int(self.columns["tel_id"])

    @property
    def brightness(self) -> float:
        """Charge of the cleaned image, or of the whole one [pe]."""
        intensity = self.columns.get("hillas_intensity", np.nan)
        return float(intensity if np.isfinite(intensity) else 0.0)

    def draw(self, ax: Axes, facts: Mapping[str, Any]) -> None:
        """Draw the image with what is known of it and of the event."""
        hillas = {name: self.columns.get(f"hillas_{name}", np.nan) for name in HILLAS}
        camera_image(
            self.geometry,
            self.columns["image"],
            mask=self.columns.get("image_mask"),
            hillas=hillas,
            reconstructed=self._offset(facts, "HillasReconstructor_"),
            true=self._offset(facts, "true_"),
            ax=ax,
            title=f"{self.telescope}: {self.brightness:,.0f} pe" if self.brightness else self.telescope,
        )

    def _offset(self, facts: Mapping[str, Any], prefix: str) -> tuple[float, float] | None:
        """Where the event's direction is seen in this camera."""
        if f"{prefix}alt" not in facts:
            return None
        pointing = self.columns["pointing_altitude"], self.columns["pointing_azimuth"]
        return telescope_offset(facts[f"{prefix}alt"], facts[f"{prefix}az"], *pointing)


def _images(tables: Tables, facts: Mapping[str, Any], row: int) -> list[Image]:
    images = []
    for label in sorted(name.removeprefix("n_") for name in facts if name.startswith("n_")):
        if not facts[f"n_{label}"] or "image" not in tables.get(label, {}):
            continue
        first = int(np.sum(tables["events"][f"n_{label}"][:row]))
        rows = slice(first, first + int(facts[f"n_{label}"]))
        wanted = (*READOUT, *(f"hillas_{name}" for name in HILLAS))
        columns = {n: np.asarray(c[rows]) for n, c in tables[label].items() if n in wanted}
        names = (f"camera/{label}", f"optics/{label}")
        conditions = {name: {n: np.asarray(c) for n, c in tables[name].items()} for name in names}
        geometry = geometry_of(conditions, label, "telescope", chosen(tables))
        size = conditions[f"optics/{label}"]["type"][0] if "type" in conditions[f"optics/{label}"] else label
        for position, tel_id in enumerate(columns["tel_id"]):
            readout = {name: column[position] for name, column in columns.items()}
            images.append(Image(readout, f"{size} {tel_id}", geometry))
    return images


def _draw_array(ax: Axes, array: Mapping[str, Any], facts: Mapping[str, Any], images: list[Image]) -> None:
    columns = {name: np.asarray(column) for name, column in array.items()}
    if "run" in columns and "run" in facts:
        columns = {name: column[columns["run"] == facts["run"]] for name, column in columns.items()}
    positions = np.stack([columns[f"pos_{axis}"] for axis in "xyz"], axis=-1)
    of = {image.tel_id: image for image in images}
    rows = {tel_id: row for row, tel_id in enumerate(columns["tel_id"].tolist())}
    lines = [
        axis_on_ground(
            positions[rows[t]], image.columns["core_psi"], facts["array_altitude"], facts["array_azimuth"]
        )
        for t, image in of.items()
        if np.isfinite(image.columns.get("core_psi", np.nan))
    ]
    array_view(
        positions,
        names=[f"{size} {tel_id}" for size, tel_id in zip(columns["type"], rows, strict=True)],
        triggered=np.array([tel_id in of for tel_id in rows]),
        sizes=np.array([of[tel_id].brightness if tel_id in of else 0.0 for tel_id in rows]),
        lines=np.array(lines),
        core=_pair(facts, "HillasReconstructor_core_x", "HillasReconstructor_core_y"),
        true_core=_pair(facts, "true_core_x", "true_core_y"),
        ax=ax,
    )
    ax.set_title("array from above, marker area ~ intensity", fontsize="medium")


def axis_on_ground(position: np.ndarray, core_psi: float, altitude: float, azimuth: float) -> np.ndarray:
    """An image's axis in the tilted ground frame, carried to the ground along the array's pointing.

    Parameters
    ----------
    position : float array, shape (3,)
        Telescope [m].
    core_psi, altitude, azimuth : float
        Angle of the axis in the tilted frame; pointing of the array [deg].

    Returns
    -------
    float array, shape (4,)
        A point of the line and its direction, each to north and west [m].
    """
    psi, altitude, azimuth = np.deg2rad([core_psi, altitude, azimuth])
    forward = np.array([np.cos(azimuth), -np.sin(azimuth)])
    sideways = np.array([np.sin(azimuth), np.cos(azimuth)])
    foot = position[:2] - position[2] / np.tan(altitude) * forward
    return np.concatenate([foot, np.cos(psi) / np.sin(altitude) * forward + np.sin(psi) * sideways])


def _pair(facts: Mapping[str, Any], x: str, y: str) -> tuple[float, float] | None:
    return (float(facts[x]), float(facts[y])) if x in facts else None


def _write_numbers(ax: Axes, facts: Mapping[str, Any]) -> None:
    """What was found beside what is true, as far as it is known."""
    ax.axis("off")
    found, true = "HillasReconstructor_", "true_"
    lines = (
        ("energy [TeV]", "", "energy", ".3g"),
        ("altitude [deg]", "alt", "alt", ".3f"),
        ("azimuth [deg]", "az", "az", ".3f"),
        ("core, north [m]", "core_x", "core_x", ".1f"),
        ("core, west [m]", "core_y", "core_y", ".1f"),
        ("shower maximum [m]", "h_max", "", ".0f"),
        ("first interaction [m]", "", "h_first_int", ".0f"),
        ("telescopes used", "n_telescopes", "", "d"),
    )
    ax.set(xlim=(0, 1), ylim=(0, 1))
    for column, width, kind in ((0.66, 0.38, "reconstructed"), (1.0, 0.29, "simulated")):
        ax.text(column, 1.0, kind, ha="right", va="center", color="0.35", fontsize="medium")
        mark(ax, (column - width, 1.0), kind, clip_on=False)
    for number, (name, reconstructed, simulated, form) in enumerate(lines, start=1):
        y = 1.0 - number / len(lines)
        ax.text(0.0, y, name, va="center", fontsize="medium")
        for column, key in (
            (0.66, reconstructed and found + reconstructed),
            (1.0, simulated and true + simulated),
        ):
            if key in facts and np.isfinite(facts[key]):
                ax.text(column, y, format(facts[key], form), ha="right", va="center", fontsize="medium")
