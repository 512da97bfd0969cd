"""Pictures of many events: squared angles to a source, distributions of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from etendue.iact.display.style import BLUE, GREEN, GREY, ORANGE, VERMILION, axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Parameters of images that tell gamma rays from hadrons, with the labels of their axes.
PARAMETERS = {
    "hillas_intensity": "intensity [pe]",
    "hillas_length": "length [deg]",
    "hillas_width": "width [deg]",
    "hillas_r": "distance from centre [deg]",
    "hillas_skewness": "skewness",
    "hillas_kurtosis": "kurtosis",
    "timing_slope": "time gradient [1/deg]",
    "concentration_cog": "concentration",
    "morphology_n_islands": "islands",
}


def theta_squared(
    on: np.ndarray,
    off: np.ndarray | None = None,
    *,
    alpha: float = 1.0,
    cut: float | None = None,
    maximum: float = 0.3,
    n_bins: int = 30,
    ax: Axes | None = None,
) -> Axes:
    """Draw the distribution of squared angles to a source, with that of the background.

    Parameters
    ----------
    on, off : float array
        Squared angles to the source, and to places without one [deg2].
    alpha : float
        Exposure to the source over that to the other places, by which those are scaled.
    cut : float, optional
        Squared angle up to which events are counted [deg2].
    maximum : float
        End of the axis [deg2].
    n_bins : int
        Bins.
    ax : Axes, optional
        Where to draw; a new figure without it.
    """
    ax = axes(ax, (6.0, 4.2))
    edges = np.linspace(0, maximum, n_bins + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    n_on = np.histogram(on, edges)[0]
    if off is not None:
        n_off = np.histogram(off, edges)[0]
        ax.stairs(alpha * n_off, edges, fill=True, color="0.85", label=f"background × {alpha:.3g}")
        ax.errorbar(centres, alpha * n_off, alpha * np.sqrt(n_off), fmt="none", color=GREY, lw=1)
    ax.errorbar(centres, n_on, np.sqrt(n_on), fmt="o", ms=4, color=BLUE, lw=1.2, label="source")
    if cut is not None:
        ax.axvline(cut, color=VERMILION, ls="--", lw=1.2, label=f"cut {cut:.3g} deg²")
        inside = f"N on = {np.count_nonzero(on < cut):,}"
        if off is not None:
            inside += f",  α N off = {alpha * np.count_nonzero(off < cut):,.1f}"
        ax.set_title(inside, fontsize="medium")
    ax.set(xlabel="θ² [deg²]", ylabel=f"events per {maximum / n_bins:.3g} deg²", xlim=(0, maximum))
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
    return ax


def distributions(
    samples: Mapping[str, Mapping[str, np.ndarray]],
    columns: Mapping[str, str] = PARAMETERS,
    *,
    weights: Mapping[str, np.ndarray] | None = None,
    n_bins: int = 40,
) -> Figure:
    """Compare distributions of parameters in samples, one small picture a parameter.

    Parameters
    ----------
    samples : mapping of str to mapping of str to array
        Columns by sample, such as ``gamma`` and ``proton``. NaN is left out.
    columns : mapping of str to str
        Labels of the axes by column; columns that no sample has are left out.
    weights : mapping of str to array, optional
        Weights of the rows by sample.
    n_bins : int
        Bins from the 0.5 to the 99.5 per cent quantile of all samples; logarithmic if all is positive and
        the upper quantile more than 10 times the median.

    Raises
    ------
    ValueError
        If no sample has any of the columns.
    """
    import matplotlib.pyplot as plt

    shown = [name for name in columns if any(name in sample for sample in samples.values())]
    if not shown:
        raise ValueError(f"no sample has any of the columns {list(columns)}")
    n_columns = min(len(shown), 3)
    figure, panels = plt.subplots(
        -(-len(shown) // n_columns), n_columns, figsize=(12, 2.9 * -(-len(shown) // n_columns)),
        layout="constrained", squeeze=False,
    )  # fmt: skip
    for ax, name in zip(panels.flat, shown, strict=False):
        finite = {n: np.isfinite(s[name]) for n, s in samples.items() if name in s}
        edges = _edges(np.concatenate([samples[n][name][ok] for n, ok in finite.items()]), n_bins)
        for colour, (sample, ok) in zip((BLUE, VERMILION, GREEN, ORANGE), finite.items(), strict=False):
            weight = np.ones(len(ok)) if weights is None else np.asarray(weights[sample])
            counts = np.histogram(samples[sample][name][ok], edges, weights=weight[ok])[0]
            share = counts / max(weight[ok].sum(), 1e-300)
            ax.stairs(share, edges, color=colour, lw=1.5, label=sample, fill=False)
            ax.stairs(share, edges, color=colour, alpha=0.15, fill=True)
        is_logarithmic = not np.isclose(edges[1] - edges[0], edges[-1] - edges[-2])
        ax.set(xlabel=columns[name], xscale="log" if is_logarithmic else "linear", xlim=edges[[0, -1]])
        ax.set_ylim(bottom=0)
        if not is_logarithmic:
            ax.locator_params(axis="x", nbins=6)
    for ax in panels.flat[len(shown) :]:
        ax.remove()
    for row in panels:
        row[0].set_ylabel("share of images")
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False
    )
    return figure


def _edges(values: np.ndarray, n_bins: int) -> np.ndarray:
    """Bins that hold 99 per cent of the values; whole numbers have bins of their own."""
    low, median, high = np.quantile(values, [0.005, 0.5, 0.995]) if values.size else (0.0, 0.5, 1.0)
    if np.array_equal(values, np.round(values)) and high - low < n_bins:
        return np.arange(low - 0.5, high + 1)
    if low > 0 and high > 10 * median:
        return np.geomspace(low, high, n_bins + 1)
    return np.linspace(low, high if high > low else low + 1, n_bins + 1)
