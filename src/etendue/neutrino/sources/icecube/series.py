"""Pulse series by their keys, masks and unions resolved."""

from __future__ import annotations

import numpy as np

from etendue.kernel import offsets
from etendue.neutrino.sources.icecube.contents import PULSES
from etendue.neutrino.sources.icecube.decode import Decoded, decode_blobs
from etendue.neutrino.sources.icecube.layouts import LAYOUTS
from etendue.neutrino.sources.icecube.objects import Blobs, FrameObjects
from etendue.neutrino.sources.icecube.pulses import (
    PulseSeries,
    apply_masks,
    from_map,
    from_superdst,
    no_series,
    select,
    superdst_counts,
    union,
)
from etendue.neutrino.sources.icecube.tables import rows_of_blobs

#: How many masks and unions may be stacked on one another.
MAX_DEPTH = 64


class SeriesReader:
    """The pulse series of some events.

    Parameters
    ----------
    objects : FrameObjects
        Objects of the events' frames.
    physics, daq : int64 array, shape (n_events,)
        Frames of each event; negative where it has none.
    """

    def __init__(self, objects: FrameObjects, physics: np.ndarray, daq: np.ndarray) -> None:
        self._objects, self._physics, self._daq = objects, physics, daq
        self._n_events = len(physics)
        self._known: dict[str, PulseSeries] = {}

    def series(self, key: str, depth: int = 0) -> PulseSeries:
        """The pulse series of a key."""
        if key in self._known:
            return self._known[key]
        everywhere = np.ones(self._n_events, np.bool_)
        if depth > MAX_DEPTH:
            return no_series(everywhere, f"more than {MAX_DEPTH} masks are stacked on {key!r}")
        self._known[key] = no_series(everywhere, f"the pulse series {key!r} refers to itself")
        parts = [
            self._of_type(self._blobs(key, kind), kind, depth)
            for kind in self._objects.types(key)
            if kind in PULSES
        ]
        self._known[key] = self._one(parts)
        return self._known[key]

    def counts(self, key: str) -> tuple[np.ndarray, dict[int, str]]:
        """Pulses of each event, and events at fault; by the series' own bytes as far as possible."""
        if key in self._known:
            return self._known[key].pulses_of_events, self._known[key].faults
        counts, faults = np.zeros(self._n_events, np.int64), {}
        for kind in self._objects.types(key):
            if kind == "I3RecoPulseSeriesMapUnion":
                series = self.series(key)
                return series.pulses_of_events, series.faults
            if kind not in PULSES:
                continue
            blobs = self._blobs(key, kind)
            decoded = decode_blobs(LAYOUTS[kind], blobs.data, blobs.starts, blobs.stops, _NEEDED[kind])
            if kind == "I3SuperDST":
                counts[blobs.rows], ok = superdst_counts(decoded)
                faults |= {int(blobs.rows[blob]): _UNFIT for blob in np.flatnonzero(~ok)}
            elif kind == "I3RecoPulseSeriesMap":
                counts[blobs.rows] = rows_of_blobs(decoded, decoded.layout.program().levels.index("pulses"))
            else:
                counts[blobs.rows] = _bits_set(decoded)
            faults |= {int(blobs.rows[blob]): message for blob, message in decoded.messages()}
        return counts, faults

    def _blobs(self, key: str, kind: str) -> Blobs:
        return self._objects.of_events(key, kind, self._physics, self._daq)

    def _one(self, parts: list[PulseSeries]) -> PulseSeries:
        """Series of different events as one."""
        if not parts:
            return no_series(np.zeros(self._n_events, np.bool_))
        return parts[0] if len(parts) == 1 else select(parts)

    def _of_type(self, blobs: Blobs, kind: str, depth: int) -> PulseSeries:
        decoded = decode_blobs(LAYOUTS[kind], blobs.data, blobs.starts, blobs.stops)
        if kind == "I3RecoPulseSeriesMap":
            return from_map(decoded, blobs.rows, self._n_events)
        if kind == "I3SuperDST":
            return from_superdst(decoded, blobs.rows, self._n_events)
        if kind == "I3RecoPulseSeriesMapUnion":
            return self._union(blobs, decoded, depth)
        return self._masked(blobs, decoded, depth)

    def _masked(self, blobs: Blobs, decoded: Decoded, depth: int) -> PulseSeries:
        sources = decoded.levels[""]["source"]
        names = np.unique(sources)
        if len(names) == 1:
            source = self._source(str(names[0]), blobs.rows, depth)
            return apply_masks(source, decoded, blobs.rows)
        parts = []
        for name in names:
            mine = np.flatnonzero(sources == name)
            one = decode_blobs(decoded.layout, blobs.data, blobs.starts[mine], blobs.stops[mine])
            source = self._source(str(name), blobs.rows[mine], depth)
            parts.append(apply_masks(source, one, blobs.rows[mine]))
        return self._one(parts)

    def _union(self, blobs: Blobs, decoded: Decoded, depth: int) -> PulseSeries:
        exists = blobs.marks(self._n_events)
        names = decoded.levels["sources"]["source"]
        owner = np.repeat(blobs.rows, decoded.counts["sources"])
        parts, members = [], []
        for name in np.unique(names):
            member = np.zeros(self._n_events, np.bool_)
            member[owner[names == name]] = True
            parts.append(self._source(str(name), np.flatnonzero(member), depth))
            members.append(member)
        faults = {int(blobs.rows[blob]): message for blob, message in decoded.messages()}
        return union(parts, members, exists, faults) if parts else no_series(exists).with_faults(faults)

    def _source(self, name: str, rows: np.ndarray, depth: int) -> PulseSeries:
        """The series that masks or unions name, at fault for events that lack it."""
        series = self.series(name, depth + 1)
        missing = rows[~series.exists[rows]]
        message = f"a pulse series refers to {name!r}, which the event lacks"
        return series.with_faults(dict.fromkeys(missing.tolist(), message)) if len(missing) else series


_UNFIT = "I3SuperDST: its words do not fit together"
#: What is read of each type to count pulses.
_NEEDED = {
    "I3RecoPulseSeriesMap": frozenset(),
    "I3SuperDST": None,
    "I3RecoPulseSeriesMapMask": None,
}


def _bits_set(decoded: Decoded) -> np.ndarray:
    """Bits of pulses that are set in each mask."""
    per_byte = np.bitwise_count(decoded.levels["pulses"]["byte"]).astype(np.int64)
    of_set = offsets(decoded.counts["pulses"])[offsets(decoded.counts["set_modules"])]
    return np.diff(offsets(per_byte)[of_set])
