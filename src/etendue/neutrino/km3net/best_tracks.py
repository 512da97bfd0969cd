"""The best of the tracks that a reconstruction chain of KM3NeT left in an event.

A chain adds its stages to a track as it refines it, and keeps the tracks of earlier stages. The best track
is the one with the most stages, and among those the one with the greatest likelihood (as km3io's
``best_track``).
"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from etendue.dataflow.parameters import IntRange, Name
from etendue.dataflow.partition import Partition
from etendue.dataflow.stage import Stage
from etendue.kernel import kernel, offsets
from etendue.neutrino.km3net.definitions import FIT_PARAMETERS, STAGE_RANGES
from etendue.schema import Schema, Variable

#: Ways to say which stages a track must have, as `fits` knows them.
RANGE, ENDS, SEQUENCE, AT_LEAST = range(4)


@kernel
def fits(stages: np.ndarray, how: int, wanted: np.ndarray) -> bool:
    """Whether the stages of a track are as asked for.

    Parameters
    ----------
    stages : int32 array
        Stages of the track, in order.
    how : int
        `RANGE`: there are some, and all are from ``wanted[0]`` to ``wanted[1]``. `ENDS`: the first and the
        last are ``wanted[0]`` and ``wanted[1]``. `SEQUENCE`: they are ``wanted``. `AT_LEAST`: all of
        ``wanted`` are among them.
    wanted : int32 array
    """
    n = stages.size
    if how == RANGE:
        for stage in stages:
            if stage < wanted[0] or stage > wanted[1]:
                return False
        return n > 0
    if how == ENDS:
        return n > 0 and stages[0] == wanted[0] and stages[n - 1] == wanted[1]
    if how == SEQUENCE and n != wanted.size:
        return False
    for i in range(wanted.size):
        found = how == SEQUENCE and stages[i] == wanted[i]
        if how == AT_LEAST:
            for stage in stages:
                found = found or stage == wanted[i]
        if not found:
            return False
    return True


@kernel
def best_tracks(
    track_starts: np.ndarray,
    stage_starts: np.ndarray,
    stages: np.ndarray,
    likelihood: np.ndarray,
    how: int,
    wanted: np.ndarray,
) -> np.ndarray:
    """The track of each event with the most stages, then the greatest likelihood, then the first.

    Parameters
    ----------
    track_starts : int64 array, shape (n_events + 1,)
        First track of each event.
    stage_starts : int64 array, shape (n_tracks + 1,)
        First stage of each track.
    stages : int32 array
        Stages of all tracks.
    likelihood : float64 array, shape (n_tracks,)
        NaN counts as less than any number.
    how, wanted
        Which tracks are looked at, see `fits`.

    Returns
    -------
    int64 array, shape (n_events,)
        Row of the track; -1 where no track is as asked for.
    """
    best = np.full(track_starts.size - 1, -1, dtype=np.int64)
    for event in range(best.size):
        most = -1
        for track in range(track_starts[event], track_starts[event + 1]):
            n = stage_starts[track + 1] - stage_starts[track]
            if n < most or not fits(stages[stage_starts[track] : stage_starts[track + 1]], how, wanted):
                continue
            known = best[event]
            better = known >= 0 and (likelihood[track] > likelihood[known] or np.isnan(likelihood[known]))
            if n > most or (better and not np.isnan(likelihood[track])):
                most, best[event] = n, track
    return best


#: Columns of the best track: dtype, units, description.
_COLUMNS = {
    **{f"pos_{axis}": ("float64", "m", "position") for axis in "xyz"},
    **{f"dir_{axis}": ("float64", "", "direction") for axis in "xyz"},
    "t": ("float64", "ns", "time at the position"),
    "E": ("float64", "GeV", "energy"),
    "len": ("float64", "m", "length"),
    "lik": ("float64", "", "likelihood or quality of the fit"),
    "id": ("int32", "", "number of the track in its event; -1 if there is none"),
    "rec_type": ("int32", "", "reconstruction that made it; -1 if there is none"),
}


class BestTrack(Stage):
    """Pick the best track of each event and write its columns to the events.

    Writes ``events/best_<label>_exists``, ``_index`` (of the track among those of its event), ``_E``,
    ``_lik``, ``_pos_x`` and so on, NaN where no track is as asked for.
    """

    label: Name = Field(
        "jmuon",
        description="name of the result; jmuon, jshower, aashower and dusjshower say what is looked for, too",
    )
    minmax: IntRange | None = Field(None, description="least and greatest number of the stages")
    startend: tuple[int, int] | None = Field(None, description="first and last stage")
    stages: tuple[int, ...] | None = Field(None, min_length=1, description="the stages, in order")
    atleast: frozenset[int] | None = Field(
        None, min_length=1, description="stages that must be there, in any order"
    )
    fit_parameters: tuple[str, ...] = Field(
        (),
        description="fit parameters to write, by name, as in etendue.neutrino.km3net.definitions",
    )

    reads: ClassVar = ("rec_stages/rec_stage", "tracks/lik")

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        given = [
            name for name in ("minmax", "startend", "stages", "atleast") if getattr(self, name) is not None
        ]
        if len(given) > 1:
            raise ValueError(f"give one of minmax, startend, stages and atleast, not {' and '.join(given)}")
        if not given and self.label not in STAGE_RANGES:
            known = ", ".join(STAGE_RANGES)
            raise ValueError(
                f"give minmax, startend, stages or atleast, or a label of {known}; not {self.label!r}"
            )
        if unknown := [name for name in self.fit_parameters if name not in FIT_PARAMETERS]:
            raise ValueError(f"no fit parameter {unknown[0]!r}; there are {', '.join(FIT_PARAMETERS)}")
        return self

    @property
    def _selection(self) -> tuple[int, np.ndarray]:
        ways = (
            (RANGE, self.minmax),
            (ENDS, self.startend),
            (SEQUENCE, self.stages),
            (AT_LEAST, self.atleast),
        )
        how, wanted = next((way for way in ways if way[1] is not None), (RANGE, None))
        return how, np.array(
            sorted(wanted) if how == AT_LEAST else wanted or STAGE_RANGES[self.label], np.int32
        )

    def requires(self, schema: Schema) -> list[str]:
        """Columns read."""
        fit = ["fitinf/value"] if self.fit_parameters else []
        return [*super().requires(schema), *(f"tracks/{name}" for name in _COLUMNS if name != "lik"), *fit]

    def provides(self, schema: Schema) -> dict[str, Variable]:
        """Columns written, by label."""
        about = f"best {self.label} track"
        specs = {
            "exists": ("bool", "", f"whether there is a {self.label} track"),
            "index": (
                "int32",
                "",
                f"place of the {about} among the tracks of the event; -1 if there is none",
            ),
            **{
                name: (dtype, units, f"{text} of the {about}")
                for name, (dtype, units, text) in _COLUMNS.items()
            },
            **dict.fromkeys(self.fit_parameters, ("float64", "", f"fit parameter of the {about}")),
        }
        names = {f"best_{self.label}_{name}": spec for name, spec in specs.items()}
        return {f"events/{name}": Variable.of(name, ("event", *spec)) for name, spec in names.items()}

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        starts, tracks = partition.offsets("tracks"), partition.tables["tracks"]
        stages = partition["rec_stages/rec_stage"]
        best = best_tracks(starts, partition.offsets("rec_stages"), stages, tracks["lik"], *self._selection)
        exists = best >= 0
        found = {"exists": exists, "index": np.where(exists, best - starts[:-1], -1).astype(np.int32)}
        for name, (dtype, _, _) in _COLUMNS.items():
            column = np.full(len(best), np.nan if dtype == "float64" else -1, dtype=dtype)
            column[exists] = tracks[name][best[exists]]
            found[name] = column
        for name in self.fit_parameters:
            found[name] = np.full(len(best), np.nan)
            found[name][exists] = self._fit_parameter(partition, best[exists], FIT_PARAMETERS[name])
        return {f"events/best_{self.label}_{name}": column for name, column in found.items()}

    @staticmethod
    def _fit_parameter(partition: Partition, track: np.ndarray, place: int) -> np.ndarray:
        counts = partition.counts("fitinf")
        value = np.full(len(track), np.nan)
        has = counts[track] > place
        value[has] = partition["fitinf/value"][offsets(counts)[track[has]] + place]
        return value
