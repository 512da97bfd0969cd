"""Truth of simulated events: their leading particles, and which simulated event a triggered one is of.

A triggered event of a simulation has the number of its simulated event (the entry in the file that went into
the trigger simulation) as ``trigger_counter``. A simulated time t is at t + mc_t - (frame_index - 1) 10^8 ns
in the frame.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from etendue.dataflow.parameters import RequiredFile
from etendue.dataflow.partition import Partition
from etendue.dataflow.source import SourceError
from etendue.dataflow.stage import Stage
from etendue.kernel import kernel
from etendue.neutrino.schema import FRAME_LENGTH
from etendue.schema import Columns

#: PDG numbers of what is looked for, and how its columns are named.
PARTICLES = {"mu": np.array([13], dtype=np.int32), "nu": np.array([12, 14, 16], dtype=np.int32)}

_NAMES = {"mu": "most energetic simulated muon", "nu": "most energetic simulated neutrino"}

_PARTICLE = {
    **{f"pos_{axis}": ("float64", "m", "position") for axis in "xyz"},
    **{f"dir_{axis}": ("float64", "", "direction") for axis in "xyz"},
    "t": ("float64", "ns", "simulated time at the position"),
    "E": ("float64", "GeV", "energy"),
    "len": ("float64", "m", "length; 0 where it was not simulated"),
    "pdgid": ("int32", "", "PDG number; 0 if there is none"),
}

_COLUMNS = {
    f"mc_{particle}_{name}": (dtype, units, f"{about} of the {_NAMES[particle]}")
    for particle in PARTICLES
    for name, (dtype, units, about) in _PARTICLE.items()
}


@kernel
def most_energetic(
    starts: np.ndarray, pdgid: np.ndarray, energy: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """The particle with the greatest energy among those of some kinds, the first if there are several.

    Parameters
    ----------
    starts : int64 array, shape (n_events + 1,)
        First particle of each event.
    pdgid : int32 array, shape (n_particles,)
        PDG numbers.
    energy : float64 array, shape (n_particles,)
        Energies.
    wanted : int32 array
        PDG numbers of the kinds, without sign: antiparticles count, too.

    Returns
    -------
    int64 array, shape (n_events,)
        Row of the particle; -1 where there is none of these kinds.
    """
    found = np.full(starts.size - 1, -1, dtype=np.int64)
    for event in range(found.size):
        for row in range(starts[event], starts[event + 1]):
            for kind in wanted:
                if abs(pdgid[row]) == kind and (found[event] < 0 or energy[row] > energy[found[event]]):
                    found[event] = row
    return found


def leading_particles(starts: np.ndarray, particles: Columns) -> Columns:
    """Columns ``mc_mu_*`` and ``mc_nu_*`` of each event: its most energetic muon and neutrino.

    Parameters
    ----------
    starts : int64 array, shape (n_events + 1,)
        First particle of each event.
    particles : dict of str to array
        Columns of the table ``mc_tracks``.
    """
    found: Columns = {}
    for particle, wanted in PARTICLES.items():
        row = most_energetic(starts, particles["pdgid"], particles["E"], wanted)
        for name, (dtype, _, _) in _PARTICLE.items():
            column = np.full(len(row), np.nan if dtype == "float64" else 0, dtype=dtype)
            column[row >= 0] = particles[name][row[row >= 0]]
            found[f"mc_{particle}_{name}"] = column
    return found


class LeadingParticles(Stage):
    """Write the most energetic muon and neutrino of each simulated event to the events.

    For files that hold simulated particles; for those that do not, see `MatchTruth`. The columns are
    ``events/mc_mu_*`` and ``events/mc_nu_*``, NaN where there is no such particle.
    """

    reads: ClassVar = tuple(f"mc_tracks/{name}" for name in _PARTICLE)
    writes: ClassVar = {f"events/{name}": ("event", *spec) for name, spec in _COLUMNS.items()}

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        found = leading_particles(partition.offsets("mc_tracks"), partition.tables["mc_tracks"])
        return {f"events/{name}": column for name, column in found.items()}


@lru_cache(maxsize=4)
def _truth(path: str, *changed: int) -> Columns:
    """Columns of `leading_particles`, ``mc_t`` and ``mc_event_time`` of each event of an offline file."""
    from etendue.neutrino.sources.km3net import KM3NeTSource

    source, of_events = KM3NeTSource(), ("mc_t", "mc_event_time")
    scan = source.scan(f"{path}#offline")
    known = scan.schema["events"].variables
    if missing := [name for name in of_events if name not in known]:
        message = f"its events have no {missing[0]}, by which triggered events are told"
        raise SourceError(path, "E", message)
    wanted = frozenset([f"events/{name}" for name in of_events] + [f"mc_tracks/{name}" for name in _PARTICLE])
    (part,) = source.read(scan, [(0, len(scan.rows["events"]))], wanted)
    found = leading_particles(part.offsets("mc_tracks"), part.tables["mc_tracks"])
    return found | {name: part[f"events/{name}"] for name in of_events}


class MatchTruth(Stage):
    """Give triggered events of a simulation the truth of the file that was simulated.

    A triggered event is of the simulated event that its ``trigger_counter`` counts to, if that happened in
    the frame of the event. Where there is none, ``mc_is_matched`` is false and the rest NaN or 0. Times of
    particles are in the frame, as those of calibrated hits.
    """

    file: RequiredFile = Field(..., description="offline file (tree E) of the simulated events")

    reads: ClassVar = ("events/trigger_counter", "events/frame_index", "events/time")
    writes: ClassVar = {
        f"events/{name}": ("event", *spec)
        for name, spec in {
            "mc_is_matched": ("bool", "", "whether the simulated event is known"),
            "mc_index": ("int64", "", "entry of the simulated event in its file; -1 if it is not known"),
            "mc_t": ("float64", "ns", "time of the simulated t = 0 in the run"),
            "mc_time_offset": ("float64", "ns", "what was added to simulated times for times in the frame"),
            **_COLUMNS,
        }.items()
    }

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        try:
            state = Path(self.file).stat()
        except OSError as error:
            raise SourceError(self.file, "file", f"cannot be read: {error.strerror}") from None
        truth = _truth(self.file, state.st_mtime_ns, state.st_ctime_ns)
        events = partition.tables["events"]
        n_simulated = len(truth["mc_t"])
        counter = events["trigger_counter"]
        in_file = counter < np.uint64(n_simulated)
        index = np.where(in_file, counter, 0).astype(np.int64)
        matched = np.zeros(len(index), dtype=bool)
        if n_simulated:
            after_start = truth["mc_event_time"][index] - events["time"]
            matched = in_file & (after_start >= 0) & (after_start < FRAME_LENGTH)
        found = {"mc_is_matched": matched, "mc_index": np.where(matched, index, -1)}
        for name in ("mc_t", *_COLUMNS):
            column = np.full(len(index), np.nan if truth[name].dtype.kind == "f" else 0, truth[name].dtype)
            column[matched] = truth[name][index[matched]]
            found[name] = column
        offset = found["mc_t"] - (events["frame_index"] - 1) * FRAME_LENGTH
        for particle in PARTICLES:
            found[f"mc_{particle}_t"] += offset
        found["mc_time_offset"] = offset
        return {f"events/{name}": column for name, column in found.items()}
