"""What all pictures share: colours, markers, and where to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that people with any colour vision can tell apart (Okabe & Ito 2008).
BLUE, ORANGE, GREEN, VERMILION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "0.6"

MARKERS = {
    "simulated": {"marker": "*", "ms": 15, "color": ORANGE, "mec": "black", "mew": 0.7},
    "reconstructed": {"marker": "x", "ms": 9, "color": VERMILION, "mew": 2.0},
}


def axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """The given axes, or those of a new figure of a size in inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def mark(ax: Axes, place: tuple[float, float] | None, kind: str, **options: Any) -> None:
    """Mark a place as ``simulated`` or ``reconstructed``, if there is one."""
    from matplotlib.patheffects import withStroke

    if place is not None and np.isfinite(place).all():
        halo = [withStroke(linewidth=3.5, foreground="white")] if kind == "reconstructed" else None
        style = MARKERS[kind] | options
        ax.plot(*place, ls="none", zorder=5, label=kind, path_effects=halo, **style)


def legend_below(ax: Axes) -> None:
    """Explain the marks of a figure's only picture under it, if there are any."""
    handles, labels = ax.get_legend_handles_labels()
    if labels:
        ax.figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
