"""What a file holds, found out without decoding its events: keys, types, jobs, and how many rows at most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from etendue.kernel import owners
from etendue.neutrino.sources.icecube.contents import Content
from etendue.neutrino.sources.icecube.decode import Decoded, decode_blobs, find_unknown
from etendue.neutrino.sources.icecube.events import Events
from etendue.neutrino.sources.icecube.gcd import taken
from etendue.neutrino.sources.icecube.layouts import LAYOUTS
from etendue.neutrino.sources.icecube.names import tell
from etendue.neutrino.sources.icecube.objects import Blobs, FrameObjects
from etendue.neutrino.sources.icecube.provenance import TRAY_INFO, jobs
from etendue.neutrino.sources.icecube.tables import ENTRY, NAMED, row_levels, row_tables
from etendue.schema import Columns

#: Types whose pulses are in their own blobs.
_KEPT = frozenset({"I3RecoPulseSeriesMap", "I3SuperDST"})
#: Pulses that a byte of a blob can be: a bit, a word of 16 bits, or without limit.
_MOST_PULSES = {"I3RecoPulseSeriesMapMask": 8.0, "I3RecoPulseSeriesMapUnion": 1e9, "I3SuperDST": 0.5}


@dataclass
class Look:
    """What the events of a file hold, found out as they come by."""

    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    n_frames: int = 0
    unknown: dict[tuple[str, str, str], str] = field(default_factory=dict)
    seen: set[tuple[str, str, str]] = field(default_factory=set)
    jobs: dict[str, Columns] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    named: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    _bytes: dict[tuple[str, str], list[tuple[np.ndarray, np.ndarray]]] = field(default_factory=dict)

    def add(self, events: Events) -> None:
        """Note what some events, and the frames between them, hold."""
        frames = events.frames
        objects = events.objects
        self.n_frames = frames.number + len(frames)
        others = events.others
        streams = np.where(np.isin(np.arange(len(frames)), others), frames.streams, ord("P"))
        for key, kind, of_streams in objects.kinds(streams):
            if kind == TRAY_INFO:
                self._note_job(events, key)
                continue
            for code, count in of_streams.items():
                self.counts[chr(code), key, kind] += count
                if chr(code) != "P":
                    mine = others[frames.streams[others] == code]
                    blobs = objects.of_frames(key, kind, mine)
                    self._understand(events, (chr(code), key, kind), blobs, mine[:, None])
            if ord("P") in of_streams:
                self._note(events, objects, key, kind)

    def add_companion(self, events: Events, path: str) -> None:
        """Note what the frames of a GCD file hold; of so large a file, only what is decoded is kept."""
        frames, objects = taken(events), events.objects
        streams = np.where(np.isin(np.arange(len(events.frames)), frames), events.frames.streams, ord("P"))
        for key, kind, of_streams in objects.kinds(streams):
            for code, count in of_streams.items():
                if chr(code) == "P":
                    continue
                what = chr(code), key, kind
                mine = frames[events.frames.streams[frames] == code]
                if kind in LAYOUTS:
                    self._understand(events, what, objects.of_frames(key, kind, mine), mine[:, None])
                if kind in LAYOUTS and what not in self.unknown:
                    self.counts[what] += count
                else:
                    self.unknown.pop(what, None)
                    tell(path, f"{key} ({kind}) is not decoded, and not kept")

    def _note_job(self, events: Events, key: str) -> None:
        """Note what a job left, if its frame is whole."""
        index = np.arange(len(events.frames))
        blobs = events.objects.of_frames(key, TRAY_INFO, index)
        whole = events.frames.are_whole(blobs.rows)
        self.broken |= {events.frames.place(frame) for frame in blobs.rows[~whole].tolist()}
        if key not in self.jobs and whole.any():
            self.jobs[key] = jobs(events.objects.of_frames(key, TRAY_INFO, blobs.rows[whole]), key)

    def _understand(
        self, events: Events, what: tuple[str, str, str], blobs: Blobs, frames: np.ndarray
    ) -> None:
        """See whether the versions of all classes in objects, of the given frames, are known."""
        if what[2] in LAYOUTS and what not in self.unknown and len(blobs):
            found = find_unknown(LAYOUTS[what[2]], blobs.data, blobs.starts, blobs.stops)
            for blob, why in found.items():
                if events.frames.are_whole(frames[blobs.rows[blob]]).all():  # or it is corrupted
                    self.unknown[what] = why

    def _note(self, events: Events, objects: FrameObjects, key: str, kind: str) -> None:
        blobs = objects.of_events(key, kind, events.physics, events.daq)
        lengths = blobs.stops - blobs.starts
        if ("P", key, kind) not in self.seen:
            self.seen.add(("P", key, kind))
            # One of many, which the same software wrote.
            self._understand(events, ("P", key, kind), blobs.only(slice(1)), events.own_frames)
        self._bytes.setdefault((key, kind), []).append((blobs.rows + events.first, lengths))
        if kind in NAMED and ("P", key, kind) not in self.unknown:
            layout = LAYOUTS[kind]
            decoded = decode_blobs(layout, blobs.data, blobs.starts, blobs.stops, frozenset(), ENTRY)
            self.named.setdefault((key, kind), set()).update(self._names(events, blobs, decoded, key, kind))

    def _names(self, events: Events, blobs: Blobs, decoded: Decoded, key: str, kind: str) -> Iterator[str]:
        """Names of entries that are new; those that only corrupted frames have are none."""
        known = self.named.get((key, kind), set())
        new = {number: name for number, name in enumerate(decoded.names) if name not in known}
        if not new:
            return
        number = decoded.levels["entries"]["key"]
        held = blobs.rows[owners(decoded.counts["entries"])]
        some = np.zeros(len(decoded.names), dtype=np.int64)
        some[number] = held  # one event that has it, which nearly always is whole
        own = events.own_frames[some[[*new]]]
        whole = events.frames.are_whole(own.ravel()).reshape(own.shape).all(axis=1)
        for (which, name), is_whole in zip(new.items(), whole.tolist(), strict=True):
            others = () if is_whole else events.own_frames[held[number == which]]
            if is_whole or any(events.frames.are_whole(frames).all() for frames in others):
                yield name

    def entries(self, content: Content) -> list[str]:
        """Names of the entries that become columns of their own."""
        return sorted(self.named.get((content.key, content.type), ())) if content.is_of_events else []

    def rows(self, contents: list[Content], n_events: int) -> dict[str, np.ndarray]:
        """Rows of each table that each event has at most."""
        found = {"events": np.ones(n_events, dtype=np.int64)}
        kept = np.zeros(n_events, dtype=np.int64)  # pulses that are kept themselves, which masks choose from
        for content in contents:
            if content.is_of_events:
                for table, most in _most_rows(content).items():
                    found[table] = np.zeros(n_events, dtype=np.int64)
                    for rows, lengths in self._bytes[content.key, content.type]:
                        found[table][rows] = lengths * most
                    kept += found[table] if content.is_pulses and content.type in _KEPT else 0
        for content in contents:
            if content.is_of_events and content.is_pulses and content.type not in _KEPT:
                found[content.name] = np.minimum(found[content.name], kept)
        return found


def _most_rows(content: Content) -> dict[str, float]:
    """Rows of each table that a byte of an object's blob can be."""
    if content.layout is None:
        return {content.name: 1}
    if content.type in _MOST_PULSES:
        return {content.name: _MOST_PULSES[content.type]}
    if content.type in NAMED:
        return {}
    least = content.layout.program().least
    most = {f"{content.name}{rows.suffix}": 1 / least[rows.levels[-1]] for rows in row_levels(content.layout)}
    # Waveforms of launches are tables of their own, of which a launch has not more than it has words.
    return {t.name: most[t.name if t.name in most else content.name] for t in row_tables(content)}
