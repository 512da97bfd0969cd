"""Pictures of what differs between two passes: histograms over each other, and their ratio."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np

from etendue.store.diff import ColumnDifference, Difference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_N_COLUMNS = 3


def draw(difference: Difference, path: str | Path, top: int = 12) -> list[Path]:
    """Draw the columns whose distributions moved most.

    Parameters
    ----------
    difference : Difference
        What `etendue.store.diff.diff` found.
    path : path
        A picture (by its suffix: ``.png``, ``.pdf``, ``.svg``) of all, or a folder for one picture each.
    top : int
        Columns to draw, at most.

    Returns
    -------
    list of Path
        The pictures; none if no distribution can be drawn.
    """
    path = Path(path)
    columns = [column for column in difference.columns if column.counts][:top]
    if not columns:
        return []
    if path.suffix:
        return [_picture(difference, columns, path)]
    path.mkdir(parents=True, exist_ok=True)
    return [
        _picture(difference, [column], path / f"{quote(column.name.replace('/', '.'))}.png")
        for column in columns
    ]


def _picture(difference: Difference, columns: list[ColumnDifference], path: Path) -> Path:
    from matplotlib.figure import Figure

    across = min(_N_COLUMNS, len(columns))
    down = -(-len(columns) // across)
    figure = Figure(figsize=(4.6 * across, 3.8 * down), layout="constrained")
    outer = figure.add_gridspec(down, across)
    for number, column in enumerate(columns):
        cell = outer[number // across, number % across].subgridspec(2, 1, height_ratios=(3, 1), hspace=0.05)
        above = figure.add_subplot(cell[0])
        _draw_counts(above, column, difference)
        _draw_ratio(figure.add_subplot(cell[1], sharex=above), column)
    figure.savefig(path, dpi=120)
    return path


def _draw_counts(axes: Axes, column: ColumnDifference, difference: Difference) -> None:
    edges = column.binning.edges
    for counts, name, color in zip(column.counts, (difference.a, difference.b), ("C7", "C0"), strict=True):
        axes.stairs(counts[1:-1], edges, label=Path(name).name, color=color, fill=color == "C7", alpha=0.7)
    axes.set_title(f"{column.name}   KS {column.distance:.3g}", fontsize="small", parse_math=False)
    axes.set_ylabel("values")
    axes.tick_params(labelbottom=False)
    if max(counts[1:-1].max() for counts in column.counts) > 1000:
        axes.set_yscale("log", nonpositive="clip")
    for label in axes.legend(fontsize="x-small").get_texts():
        label.set_parse_math(False)


def _draw_ratio(axes: Axes, column: ColumnDifference) -> None:
    """Second over first, with the errors of independent counts."""
    a, b = (counts[1:-1].astype(float) for counts in column.counts)
    edges = column.binning.edges
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = b / a
        error = ratio * np.sqrt(1 / a + 1 / b)
    filled = (a > 0) & (b > 0)
    middle = (edges[:-1] + edges[1:]) / 2
    axes.axhline(1.0, color="C7", linewidth=0.8)
    axes.errorbar(
        middle[filled], ratio[filled], error[filled], fmt=".", markersize=3, color="C0", linewidth=0.8
    )
    axes.set_ylim(0, 2)
    axes.set_ylabel("ratio")
    axes.set_xlabel(f"[{column.units}]" if column.units else "", parse_math=False)
    axes.locator_params(axis="x", nbins=6)
