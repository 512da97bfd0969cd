"""The demonstration: a four-telescope run from raw waveforms to pictures, in a minute, offline."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from etendue.dataflow.flow import Flow
from etendue.dataflow.registry import find_pipeline
from etendue.iact.directions import space_angle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARTICLES = ("gamma", "proton")
STORE = "demo.etendue"
#: Angle of the source from the pointing [deg]: the point that mirrors it measures the background.
OFFSET = 0.7


def run_demo(
    out: Path, n_showers: int, echo: Callable[[str], object] = print, *, quiet: bool | None = None
) -> dict[str, dict[str, float]]:
    """Simulate gammas and protons, process them, print a table and write pictures.

    Parameters
    ----------
    out : Path
        Folder for the store and the pictures; what a former demo left there is replaced.
    n_showers : int
        Gammas to throw; of protons, which trigger less often, four times as many.
    echo : callable
        Takes the lines that are printed.
    quiet : bool, optional
        Whether to show no progress; see `Flow.write`.

    Returns
    -------
    dict
        The numbers of the table, by particle and quantity.
    """
    from etendue.iact import display
    from etendue.store import load

    start = perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    store = out / STORE
    shutil.rmtree(store, ignore_errors=True)
    thrown = {"gamma": n_showers, "proton": 4 * n_showers}
    paths = (
        f"simulated://gamma?n_showers={thrown['gamma']}&seed=1&offset={OFFSET}",
        f"simulated://proton?n_showers={thrown['proton']}&seed=1",
    )
    summary = (Flow(paths) | find_pipeline("iact")).write(store, "demo", quiet=quiet)
    echo(f"{summary}\n")

    tree = load(store, "demo").compute()
    events = {name: column.values for name, column in tree["events"].variables.items()}
    (camera,) = (name.removeprefix("n_") for name in events if name.startswith("n_"))
    readouts = {name: column.values for name, column in tree[camera].variables.items()}
    is_of = {name: events["run"] == run for run, name in enumerate(PARTICLES)}  # inputs are sorted
    numbers = {name: _numbers(events, is_of[name], thrown[name]) for name in PARTICLES}
    _print_table(numbers, echo)

    pictures = {
        "event.png": display.event(tree, *_best_event(events, is_of["gamma"])),
        "theta-squared.png": _theta_squared(events).figure,
        "hillas.png": _hillas(events, readouts, camera, is_of),
    }
    for name, figure in pictures.items():
        figure.savefig(out / name, dpi=120)
        echo(f"wrote {out / name}")
    echo(f"{perf_counter() - start:.0f} s in all; look further with: etendue log {store}")
    return numbers


def _numbers(events: dict[str, np.ndarray], mine: np.ndarray, thrown: int) -> dict[str, float]:
    """Counts and resolutions of one particle; resolutions are 68 % containment."""
    valid = mine & events["HillasReconstructor_is_valid"]
    angle = space_angle(
        events["HillasReconstructor_alt"],
        events["HillasReconstructor_az"],
        events["true_alt"],
        events["true_az"],
    )
    core = np.hypot(
        events["HillasReconstructor_core_x"] - events["true_core_x"],
        events["HillasReconstructor_core_y"] - events["true_core_y"],
    )
    return {
        "thrown": thrown,
        "triggered": int(mine.sum()),
        "reconstructed": int(valid.sum()),
        "median energy [TeV]": float(np.median(events["true_energy"][mine])),
        "direction, 68 % within [deg]": float(np.quantile(angle[valid], 0.68)),
        "core, 68 % within [m]": float(np.quantile(core[valid], 0.68)),
        "height of maximum, median [km]": float(np.median(events["HillasReconstructor_h_max"][valid]) / 1e3),
    }


def _print_table(numbers: dict[str, dict[str, float]], echo: Callable[[str], object]) -> None:
    echo(f"{'':<32}" + "".join(f"{name:>10}" for name in numbers))
    for quantity in numbers[PARTICLES[0]]:
        values = (numbers[name][quantity] for name in numbers)
        echo(
            f"{quantity:<32}" + "".join(f"{v:>10,}" if isinstance(v, int) else f"{v:>10.3g}" for v in values)
        )
    echo("")


def _best_event(events: dict[str, np.ndarray], mine: np.ndarray) -> tuple[int, int]:
    """Number and run of a gamma of middling brightness that most telescopes took part in."""
    n_telescopes = np.where(mine, events["HillasReconstructor_n_telescopes"], 0)
    unlike = np.abs(np.log(events["HillasReconstructor_average_intensity"] / 1000))
    row = int(np.argmin(np.where(n_telescopes == n_telescopes.max(), unlike, np.inf)))
    return int(events["event_id"][row]), int(events["obs_id"][row])


def _theta_squared(events: dict[str, np.ndarray]) -> Axes:
    """Angles to the source, and to the point that mirrors it in the field of view."""
    from etendue.iact import display

    valid = events["HillasReconstructor_is_valid"]
    alt, az = (events[f"HillasReconstructor_{angle}"][valid] for angle in ("alt", "az"))
    is_gamma = events["true_shower_primary_id"] == 0
    source = [float(np.median(events[f"true_{angle}"][is_gamma])) for angle in ("alt", "az")]
    pointing = [float(np.median(events[f"array_{angle}"])) for angle in ("altitude", "azimuth")]
    mirror = [2 * centre - there for centre, there in zip(pointing, source, strict=True)]
    on, off = (space_angle(alt, az, *place) ** 2 for place in (source, mirror))
    return display.theta_squared(on, off, cut=0.02)


def _hillas(
    events: dict[str, np.ndarray],
    readouts: dict[str, np.ndarray],
    camera: str,
    is_of: dict[str, np.ndarray],
) -> Figure:
    """Distributions of the parameters of the images that gammas and protons leave, where there are any."""
    from etendue.iact import display

    samples = {}
    is_image = np.isfinite(readouts["hillas_length"])
    for name, mine in is_of.items():
        of_readout = np.repeat(mine, events[f"n_{camera}"]) & is_image
        samples[name] = {
            column: values[of_readout] for column, values in readouts.items() if values.ndim == 1
        }
    return display.distributions(samples)
