"""Fits of tracks (SPEFit, MPEFit) and cascades to IceCube's pulses by the Pandel likelihood."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from etendue.dataflow.partition import Partition
from etendue.kernel import kernel
from etendue.neutrino.icecube.descent import minimise, models
from etendue.neutrino.icecube.likelihood import (
    CASCADE,
    TRACK,
    Model,
    delay_behind_track,
    first_hits,
    minus_log_likelihood,
    n_photons,
    track_of,
)
from etendue.neutrino.icecube.pandel import CASCADE_ICE, MUON_ICE, C, Ice
from etendue.neutrino.icecube.pulses import (
    FAILED_TO_CONVERGE,
    INSUFFICIENT_HITS,
    OK,
    EventStage,
    Pulses,
    blank,
    direction_angles,
)
from etendue.neutrino.icecube.pulses import TRACK as TRACK_RESULTS
from etendue.schema import Schema

#: Golden angle: directions that fill the sphere evenly, one after the other.
_GOLDEN = math.pi * (3.0 - math.sqrt(5.0))
#: Scales of the parameters: m, ns, and the tangent of an angle.
_STEP_POSITION, _STEP_TIME, _STEP_ANGLE = 20.0, 50.0, 0.2

#: Jitter of the modules' times [ns] that IceCube's fits assume, as the processing records in its files say.
JITTERS = {"SPE": 15.0, "MPE": 4.0}

_QUALITY = (
    ("logl", "float64", "", "minus the logarithm of the likelihood (in 1/ns a hit) at the best point"),
    ("rlogl", "float64", "", "the same for each degree of freedom"),
    ("ndof", "int32", "", "hits less fitted parameters"),
    ("n_calls", "int32", "", "evaluations of the likelihood"),
)
_VERTEX = tuple(row for row in TRACK_RESULTS if row[0][:3] in {"pos", "tim", "fit"})


@kernel
def axes_along(ux: float, uy: float, uz: float) -> np.ndarray:
    """Three perpendicular unit vectors, the third along a direction: shape (3, 3)."""
    axes = np.empty((3, 3))
    axes[2, 0], axes[2, 1], axes[2, 2] = ux, uy, uz
    # The first is perpendicular to the coordinate axis that the direction is farthest from.
    if abs(ux) < abs(uy) and abs(ux) < abs(uz):
        norm = math.sqrt(uy * uy + uz * uz)
        axes[0, 0], axes[0, 1], axes[0, 2] = 0.0, -uz / norm, uy / norm
    elif abs(uy) < abs(uz):
        norm = math.sqrt(ux * ux + uz * uz)
        axes[0, 0], axes[0, 1], axes[0, 2] = uz / norm, 0.0, -ux / norm
    else:
        norm = math.sqrt(ux * ux + uy * uy)
        axes[0, 0], axes[0, 1], axes[0, 2] = -uy / norm, ux / norm, 0.0
    axes[1, 0] = uy * axes[0, 2] - uz * axes[0, 1]
    axes[1, 1] = uz * axes[0, 0] - ux * axes[0, 2]
    axes[1, 2] = ux * axes[0, 1] - uy * axes[0, 0]
    return axes


@kernel
def centred(pulses: Pulses, rows: np.ndarray, charge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hits from their middle in space and time, and that middle, shape (4,).

    The hits are of shape (n_hits, 5): position [m], time [ns] and number of photons (`n_photons`).
    """
    n = rows.size
    hits, middle = np.empty((n, 5)), np.zeros(4)
    for i in range(n):
        row = rows[i]
        hits[i, 0], hits[i, 1], hits[i, 2] = pulses.x[row], pulses.y[row], pulses.z[row]
        hits[i, 3], hits[i, 4] = pulses.time[row], n_photons(charge[i])
        for column in range(4):
            middle[column] += hits[i, column] / n
    for i in range(n):
        for column in range(4):
            hits[i, column] -= middle[column]
    return hits, middle


@kernel
def fit_tracks(
    pulses: Pulses,
    seeds: np.ndarray,
    n_seeds: int,
    model: Model,
    approaches: tuple,
    fits: np.ndarray,
) -> None:
    """Fit a track to each event, from its seed and from directions all over the sphere.

    Parameters
    ----------
    pulses : Pulses
        Pulses of the events, with positions.
    seeds : float64 array, shape (n_events, 7)
        Point [m], time [ns] and direction of a first track; NaN for none.
    n_seeds : int
        How many seeds: the first, and others through the middle of the hits; 0 for the likelihood of the
        first itself.
    model, approaches : Model, tuple of Model
        As of `etendue.neutrino.icecube.descent.models`.
    fits : structured array, shape (n_events,)
        Filled with the results.
    """
    starts, rows, charge = first_hits(pulses)
    steps = np.array([_STEP_POSITION, _STEP_POSITION, _STEP_TIME, _STEP_ANGLE, _STEP_ANGLE])
    for event in range(fits.size):
        first, stop = starts[event], starts[event + 1]
        fit = fits[event]
        fit.ndof = stop - first - steps.size
        if fit.ndof < 0 or not np.isfinite(seeds[event]).all():
            fit.fit_status = INSUFFICIENT_HITS
            continue
        hits, middle = centred(pulses, rows[first:stop], charge[first:stop])
        best, total, converged = np.inf, 0, False
        for k in range(max(n_seeds, 1)):
            point, axes = _track_seed(seeds[event], middle, hits, k, n_seeds)
            if n_seeds == 0:
                value = minus_log_likelihood(TRACK, point, axes, hits, model)
                n_calls, ended = 1, True
            else:
                point, value, n_calls, ended = minimise(TRACK, point, steps, axes, hits, model, approaches)
            total += n_calls
            if value < best:
                best, converged = value, ended
                x, y, z, t, ux, uy, uz = track_of(point, axes)
                fit.pos_x, fit.pos_y, fit.pos_z, fit.time = (
                    x + middle[0], y + middle[1], z + middle[2], t + middle[3]
                )  # fmt: skip
                fit.zenith, fit.azimuth = direction_angles(ux, uy, uz)
        fit.speed, fit.logl, fit.n_calls = C, best, total
        fit.rlogl = best / fit.ndof if fit.ndof > 0 else np.nan
        fit.fit_status = OK if converged else FAILED_TO_CONVERGE


@kernel
def _track_seed(
    seed: np.ndarray, middle: np.ndarray, hits: np.ndarray, k: int, n_seeds: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k-th first point of a fit and its axes: the seed, or a spiral of directions through the middle."""
    if k == 0:
        axes = axes_along(seed[4], seed[5], seed[6])
        dx, dy, dz = seed[0] - middle[0], seed[1] - middle[1], seed[2] - middle[2]
        along = dx * seed[4] + dy * seed[5] + dz * seed[6]
        a = dx * axes[0, 0] + dy * axes[0, 1] + dz * axes[0, 2]
        b = dx * axes[1, 0] + dy * axes[1, 1] + dz * axes[1, 2]
        return np.array([a, b, seed[3] - middle[3] - along / C, 0.0, 0.0]), axes
    z = 1.0 - 2.0 * (k - 0.5) / (n_seeds - 1)
    rho, phi = math.sqrt(1.0 - z * z), k * _GOLDEN
    axes = axes_along(rho * math.cos(phi), rho * math.sin(phi), z)
    # A track through the middle of the hits, so late that none of them comes before its light.
    first = np.inf
    for i in range(hits.shape[0]):
        x, y, z, t = hits[i, 0], hits[i, 1], hits[i, 2], hits[i, 3]
        delay, _ = delay_behind_track(x, y, z, t, axes[2, 0], axes[2, 1], axes[2, 2])
        first = min(first, delay)
    return np.array([0.0, 0.0, first, 0.0, 0.0]), axes


@kernel
def fit_cascades(
    pulses: Pulses, seeds: np.ndarray, model: Model, approaches: tuple, fits: np.ndarray
) -> None:
    """Fit the vertex of a cascade to each event, from its seed.

    Parameters
    ----------
    seeds : float64 array, shape (n_events, 4)
        First vertex [m] and time [ns]; NaN for none.
    pulses, model, approaches, fits
        As in `fit_tracks`.
    """
    starts, rows, charge = first_hits(pulses)
    steps = np.array([_STEP_POSITION, _STEP_POSITION, _STEP_POSITION, _STEP_TIME])
    axes = axes_along(0.0, 0.0, 1.0)
    for event in range(fits.size):
        first, stop = starts[event], starts[event + 1]
        fit = fits[event]
        fit.ndof = stop - first - steps.size
        if fit.ndof < 0 or not np.isfinite(seeds[event]).all():
            fit.fit_status = INSUFFICIENT_HITS
            continue
        hits, middle = centred(pulses, rows[first:stop], charge[first:stop])
        point, best, n_calls, converged = minimise(
            CASCADE, seeds[event] - middle, steps, axes, hits, model, approaches
        )
        fit.pos_x, fit.pos_y, fit.pos_z, fit.time = (
            point[0] + middle[0], point[1] + middle[1], point[2] + middle[2], point[3] + middle[3]
        )  # fmt: skip
        fit.logl, fit.n_calls = best, n_calls
        fit.rlogl = best / fit.ndof if fit.ndof > 0 else np.nan
        fit.fit_status = OK if converged else FAILED_TO_CONVERGE


class _LikelihoodFit(EventStage):
    """What the likelihood fits have in common."""

    seed: str = Field(..., description="fit to begin with: the beginning of its columns' names")
    likelihood: Literal["SPE", "MPE"] = Field(
        "SPE", description="whether the first hit of a module is of one photon, or the first of several"
    )
    jitter: float | None = Field(
        None, gt=0, description="of the modules' times [ns]; by default IceCube's: 15 for SPE, 4 for MPE"
    )
    noise: float = Field(1e-8, ge=0, description="probability of a noise hit of a module a nanosecond")
    where: str = Field("", description="bool column of events to fit; empty for all")

    def requires(self, schema: Schema) -> list[str]:
        """Columns of the pulses and of the seed."""
        names = [
            *(f"{self.seed}_{name}" for name in self._seed_columns),
            *([self.where] if self.where else []),
        ]
        return [*super().requires(schema), *(f"events/{name}" for name in names)]

    def _seeds(self, partition: Partition) -> list[np.ndarray]:
        """Columns of the seed, NaN for events that are not to be fitted."""
        seeds = [partition[f"events/{self.seed}_{name}"] for name in self._seed_columns]
        if self.where:
            seeds = [np.where(partition[f"events/{self.where}"], column, np.nan) for column in seeds]
        return seeds

    def _models(self, ice: Ice) -> tuple[Model, tuple[Model, ...]]:
        """What to minimise, and what to approach on."""
        jitter = JITTERS[self.likelihood] if self.jitter is None else self.jitter
        return models(ice._replace(sigma=jitter), self.noise, self.likelihood == "MPE")


class FitTrack(_LikelihoodFit):
    """Fit an endless muon track; ``iterations`` above 1 add seeds in directions all over the sphere."""

    results: ClassVar = (*TRACK_RESULTS, *_QUALITY)
    _seed_columns: ClassVar = ("pos_x", "pos_y", "pos_z", "time", "zenith", "azimuth")

    seed: str = Field("LineFit", description="fit to begin with: the beginning of its columns' names")
    output: str = Field("SPEFit", description="what the columns' names begin with")
    iterations: int = Field(
        1,
        ge=0,
        description="seeds: the first, and others all over the sphere; 0 to fit none, only evaluate it",
    )

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        """Fit all events of a partition."""
        *vertex, zenith, azimuth = self._seeds(partition)
        zenith, azimuth = np.radians(zenith), np.radians(azimuth)
        down = np.sin(zenith)
        direction = (-down * np.cos(azimuth), -down * np.sin(azimuth), -np.cos(zenith))
        fits = blank(self.results, len(zenith))
        seeds = np.stack([*vertex, *direction], axis=1)
        fit_tracks(self.gather(partition), seeds, self.iterations, *self._models(MUON_ICE), fits)
        return self.columns(fits)


class FitCascade(_LikelihoodFit):
    """Fit the vertex and time of a cascade, a point that light comes from."""

    results: ClassVar = (*_VERTEX, *_QUALITY)
    _seed_columns: ClassVar = ("pos_x", "pos_y", "pos_z", "time")

    seed: str = Field("CLast", description="fit to begin with: the beginning of its columns' names")
    output: str = Field("CascadeLlh", description="what the columns' names begin with")

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        """Fit all events of a partition."""
        vertex = np.stack(self._seeds(partition), axis=1)
        fits = blank(self.results, len(vertex))
        fit_cascades(self.gather(partition), vertex, *self._models(CASCADE_ICE), fits)
        return self.columns(fits)
