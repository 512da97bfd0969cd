"""How the hits of an event lie about a track: direct hits, and how evenly the track is covered.

Names and definitions are those of IceCube's common variables.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from etendue.dataflow.parameters import FloatRange
from etendue.dataflow.partition import Partition
from etendue.kernel import kernel
from etendue.neutrino.icecube.pulses import (
    GROUP_INDEX,
    C,
    EventStage,
    Pulses,
    blank,
    end_of_module,
    first_pulses,
    largest_gap,
)
from etendue.schema import Schema
from etendue.sorting import sorted_values

#: Refractive index of ice that the angle of Cherenkov light follows from, at 400 nm.
PHASE_INDEX = 1.3195

#: Time residuals [ns] of direct hits of the classes A to E.
DIRECT_CLASSES = {
    "A": (-15.0, 15.0),
    "B": (-15.0, 25.0),
    "C": (-15.0, 75.0),
    "D": (-15.0, 125.0),
    "E": (-15.0, 250.0),
}


class Track(NamedTuple):
    """A track of each event: a point [m], the time there [ns], and the direction, a unit vector."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    time: np.ndarray
    dir_x: np.ndarray
    dir_y: np.ndarray
    dir_z: np.ndarray


@kernel
def along_and_off(pulses: Pulses, i: int, track: Track, event: int) -> tuple[float, float]:
    """Where a module is: how far along a track and how far off it [m]."""
    dx, dy, dz = pulses.x[i] - track.x[event], pulses.y[i] - track.y[event], pulses.z[i] - track.z[event]
    along = dx * track.dir_x[event] + dy * track.dir_y[event] + dz * track.dir_z[event]
    squared = dx * dx + dy * dy + dz * dz - along * along
    return along, 0.0 if squared < 0.0 else np.sqrt(squared)


@kernel
def time_residual(pulses: Pulses, i: int, track: Track, event: int) -> float:
    """Time of a pulse after the earliest Cherenkov light of a track could be at its module [ns].

    t_geo = t0 + (l - d / tan theta) / c + d n_g / (c sin theta) at l along the track and d off it, with
    cos theta = 1 / n.
    """
    along, off = along_and_off(pulses, i, track, event)
    cos = 1 / PHASE_INDEX
    sin = np.sqrt(1 - cos * cos)
    expected = track.time[event] + (along - off * cos / sin + off * GROUP_INDEX / sin) / C
    return pulses.time[i] - expected


@kernel
def smoothness(along: np.ndarray) -> float:
    """How evenly hits are spread along a track: of S_j = (j - 1) / (n - 1) - l_j / l_n the greatest.

    l is counted from the first hit (astro-ph/0407044, section 5); -1 for all hits at the end, 1 for all at
    the beginning, near 0 for even hits.

    Parameters
    ----------
    along : float64 array, shape (n,)
        Where the hits are along the track, ascending [m].
    """
    n = along.size
    length = along[n - 1] - along[0] if n > 0 else 0.0
    if n < 3 or not length > 0:
        return np.nan
    greatest = 0.0
    for j in range(1, n - 1):
        s = j / (n - 1) - (along[j] - along[0]) / length
        if abs(s) > abs(greatest):
            greatest = s
    return greatest


@kernel
def direct_hits(pulses: Pulses, track: Track, begin: float, end: float, results: np.ndarray) -> None:
    """Count the pulses that came as light from a track would that was hardly scattered.

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    track : Track
        Of each event.
    begin, end : float
        Time residuals of direct hits; earlier ones are early, later ones late [ns].
    results : structured array, shape (n_events,)
        Output, see `DirectHits`.
    """
    for event in range(results.size):
        result, first, stop = results[event], pulses.starts[event], pulses.starts[event + 1]
        along, n = np.empty(stop - first), 0
        string = np.full(3, -1, dtype=np.int64)
        module = np.full(3, -1, dtype=np.int64)
        for i in range(first, stop):
            residual = time_residual(pulses, i, track, event)
            if np.isnan(residual):
                continue
            kind = 1 if residual < begin else (2 if residual > end else 0)
            new_string = pulses.string[i] != string[kind]
            new_module = pulses.module[i] != module[kind]
            string[kind], module[kind] = pulses.string[i], pulses.module[i]
            q = pulses.charge[i]
            if kind == 0:
                result.n_dir_strings += new_string
                result.n_dir_doms += new_module
                result.n_dir_pulses += 1
                result.q_dir_pulses += q
                if new_module:
                    along[n] = along_and_off(pulses, i, track, event)[0]
                    n += 1
            elif kind == 1:
                result.n_early_strings += new_string
                result.n_early_doms += new_module
                result.n_early_pulses += 1
                result.q_early_pulses += q
            else:
                result.n_late_strings += new_string
                result.n_late_doms += new_module
                result.n_late_pulses += 1
                result.q_late_pulses += q
        places = sorted_values(along[:n])
        result.dir_track_length = places[n - 1] - places[0] if n > 1 else np.nan
        result.dir_track_hit_distribution_smoothness = smoothness(places)


@kernel
def quarters_apart(along: np.ndarray, charge: np.ndarray) -> float:
    """How far along a track the charge of the last quarter of the modules is after that of the first.

    Parameters
    ----------
    along, charge : float64 array, shape (n,)
        Where the modules are [m] and their charge, ascending in time; NaN for fewer than 4.
    """
    n, quarter = along.size, along.size // 4
    first, last = charge[:quarter], charge[n - quarter :]
    return np.sum(along[n - quarter :] * last) / np.sum(last) - np.sum(along[:quarter] * first) / np.sum(
        first
    )


@kernel
def track_characteristics(pulses: Pulses, track: Track, radius: float, results: np.ndarray) -> None:
    """How the modules that were hit near a track lie along it.

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    track : Track
        Of each event.
    radius : float
        Modules that are farther off the track do not count [m].
    results : structured array, shape (n_events,)
        Output, see `TrackCharacteristics`.
    """
    for event in range(results.size):
        result, first, stop = results[event], pulses.starts[event], pulses.starts[event + 1]
        hits = first_pulses(pulses, first, stop)
        along, module_charge, n = np.empty(hits.size), np.empty(hits.size), 0
        charge, weighted = 0.0, 0.0
        for i in hits:
            place, off = along_and_off(pulses, i, track, event)
            if off <= radius:
                q = np.sum(pulses.charge[i : end_of_module(pulses, i, stop)])
                along[n], module_charge[n] = place, q
                n += 1
                charge += q
                weighted += q * off
        if n == 0:
            continue
        result.avg_dom_dist_q_tot_dom = weighted / charge
        result.track_hits_separation_length = quarters_apart(along[:n], module_charge[:n])
        places = sorted_values(along[:n])
        result.empty_hits_track_length = largest_gap(places)
        result.track_hits_distribution_smoothness = smoothness(places)


class TrackStage(EventStage):
    """Base of the stages that compare pulses to a track that an earlier stage fitted."""

    track: str = Field("LineFit", description="the track: what the names of its columns in events begin with")

    def requires(self, schema: Schema) -> list[str]:
        """The pulses and the track."""
        names = ("pos_x", "pos_y", "pos_z", "time", "zenith", "azimuth")
        return [*super().requires(schema), *(f"events/{self.track}_{name}" for name in names)]

    def tracks(self, partition: Partition) -> Track:
        """The track of each event."""
        columns = {n: partition[f"events/{self.track}_{n}"] for n in ("pos_x", "pos_y", "pos_z", "time")}
        zenith, azimuth = (np.radians(partition[f"events/{self.track}_{n}"]) for n in ("zenith", "azimuth"))
        across = np.sin(zenith)
        direction = (-across * np.cos(azimuth), -across * np.sin(azimuth), -np.cos(zenith))
        return Track(*(a.astype(np.float64) for a in (*columns.values(), *direction)))


class DirectHits(TrackStage):
    """Count the hits that were hardly scattered on their way from a track.

    ``window`` are the time residuals of a class of direct hits, see `DIRECT_CLASSES`. In an event
    without a track no hit counts.
    """

    results: ClassVar = (
        *(
            row
            for kind, about in (("dir", "direct"), ("early", "early"), ("late", "late"))
            for row in (
                (f"n_{kind}_strings", "int32", "", f"strings with {about} pulses"),
                (f"n_{kind}_doms", "int32", "", f"modules with {about} pulses"),
                (f"n_{kind}_pulses", "int32", "", f"{about} pulses"),
                (f"q_{kind}_pulses", "float64", "pe", f"charge of the {about} pulses"),
            )
        ),
        (
            "dir_track_length",
            "float64",
            "m",
            "length of the track between the outermost direct modules; NaN for fewer than two",
        ),
        ("dir_track_hit_distribution_smoothness", "float64", "", "how evenly they are spread along it"),
    )

    output: str = Field("DirectHitsC", description="what the columns' names begin with")
    window: FloatRange = Field(
        DIRECT_CLASSES["C"], description="least and greatest time residual of a direct hit [ns]"
    )

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        pulses = self.gather(partition)
        results = blank(self.results, len(pulses.starts) - 1)
        for kind in ("dir", "early", "late"):
            results[f"q_{kind}_pulses"] = 0
        direct_hits(pulses, self.tracks(partition), *self.window, results)
        return self.columns(results)


class TrackCharacteristics(TrackStage):
    """How the hits near a track lie along it."""

    results: ClassVar = (
        ("avg_dom_dist_q_tot_dom", "float64", "m", "mean distance of the charge off the track"),
        (
            "empty_hits_track_length",
            "float64",
            "m",
            "longest stretch between modules hit along the track; NaN for fewer than two",
        ),
        (
            "track_hits_separation_length",
            "float64",
            "m",
            "charge of the last quarter of the modules after the first, along",
        ),
        ("track_hits_distribution_smoothness", "float64", "", "how evenly hits are spread along the track"),
    )

    output: str = Field("TrackCharacteristics", description="what the columns' names begin with")
    radius: float = Field(150.0, gt=0, description="how far off the track hits count [m]")

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        pulses = self.gather(partition)
        results = blank(self.results, len(pulses.starts) - 1)
        track_characteristics(pulses, self.tracks(partition), self.radius, results)
        return self.columns(results)
