"""The source ``icecube``."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from etendue.dataflow.partition import Failure, Partition
from etendue.dataflow.source import OnError, Scan, SourceError
from etendue.kernel import owners
from etendue.neutrino.sources.icecube.conditions import Conditions
from etendue.neutrino.sources.icecube.contents import (
    EVENTS,
    FRAME_OBJECTS,
    OBSERVATION,
    Content,
)
from etendue.neutrino.sources.icecube.decode import Decoded, decode_blobs, unknown
from etendue.neutrino.sources.icecube.events import ADVICE, Events, advice, find_events, is_plain
from etendue.neutrino.sources.icecube.frame_walk import WRONG_CHECKSUM
from etendue.neutrino.sources.icecube.layouts import LAYOUTS
from etendue.neutrino.sources.icecube.messages import is_message
from etendue.neutrino.sources.icecube.names import name_contents, tell_unknown
from etendue.neutrino.sources.icecube.objects import Blobs, FrameObjects
from etendue.neutrino.sources.icecube.provenance import TABLE as JOBS
from etendue.neutrino.sources.icecube.provenance import TRAY_INFO, jobs
from etendue.neutrino.sources.icecube.reader import EventReader
from etendue.neutrino.sources.icecube.stream import is_i3
from etendue.neutrino.sources.icecube.tables import (
    ENTRY,
    NAMED,
    event_variables,
    no_values,
    row_levels,
    row_tables,
)
from etendue.schema import Columns, Schema, Table

_CHANGED = "the file is not what it was when it was scanned; scan it anew"
#: Types whose pulses are in their own blobs.
_KEPT = frozenset({"I3RecoPulseSeriesMap", "I3SuperDST"})
#: Pulses that a byte of a blob can be: a bit, a word of 16 bits, or without limit.
_MOST_PULSES = {"I3RecoPulseSeriesMapMask": 8.0, "I3RecoPulseSeriesMapUnion": 1e9, "I3SuperDST": 0.5}


class IceCubeSource:
    """Files of IceCube's frames (.i3), plain or packed with gzip, zstd or bzip2, and real-time messages.

    A block is one event: a physics frame with what its DAQ frame holds, or a DAQ frame without one. Each
    key of the frames becomes columns of ``/events`` or a table of its own; what other streams hold becomes
    conditions. The rows of tables that a scan gives are at least as many as there are, not exactly: they
    follow from the lengths of the blobs, which are not decoded.
    """

    name = "icecube"

    def accepts(self, path: str) -> bool:
        """Whether the file starts, unpacked, with a frame, or is a message that carries frames."""
        return is_i3(path) or is_message(path)

    def scan(self, path: str, on_error: OnError = "raise") -> Scan:
        """Index the frames: which events there are and what they hold.

        Raises
        ------
        SourceError
            If the file has no frames, or is damaged and ``on_error`` is ``raise``.
        """
        walk = find_events(path, on_error)
        look = _Look()
        for events in walk:
            look.add(events)
        contents = name_contents(look.counts, look.named, look.unknown)
        tell_unknown(path, look.unknown)
        entries = {content.name: look.entries(content) for content in contents}
        return Scan(
            path=path,
            source=self.name,
            schema=_schema(contents, entries),
            static=_static(path, contents, look),
            rows=look.rows(contents, walk.n_events),
            splittable=is_plain(path),
            size=os.path.getsize(path),
            failures=(*walk.failures, *_broken(path, look.broken, on_error)),
        )

    def read(
        self,
        scan: Scan,
        ranges: Sequence[tuple[int, int]],
        columns: frozenset[str],
        on_error: OnError = "raise",
    ) -> Iterator[Partition]:
        """Read ranges of events, which follow one another; see `Source.read`."""
        reader = _Reader(scan, columns, on_error)
        for number, (first, stop) in enumerate(ranges):
            yield reader.partition(number, first, stop)

    def place(self, scan: Scan, block: int) -> str:
        """The frames of an event, its physics frame first, and where they lie.

        Raises
        ------
        SourceError
            If there is no such event.
        """
        if is_message(scan.path):
            whole = "the message's frames, unpacked and put together"
        else:
            whole = "the file" if is_plain(scan.path) else "the unpacked stream"
        for events in find_events(scan.path, "skip"):
            if block < events.first + len(events):
                return "\n".join(f"{place} of {whole}" for place in events.bytes_of(block - events.first))
        raise SourceError(scan.path, f"event {block}", _CHANGED)


@dataclass
class _Look:
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
            decoded = decode_blobs(LAYOUTS[what[2]], blobs.data, blobs.starts, blobs.stops, frozenset())
            for blob, why in unknown(decoded).items():
                if events.frames.are_whole(frames[blobs.rows[blob]]).all():  # or it is corrupted
                    self.unknown[what] = why

    def _note(self, events: Events, objects: FrameObjects, key: str, kind: str) -> None:
        blobs = objects.of_events(key, kind, events.physics, events.daq)
        lengths = blobs.stops - blobs.starts
        if ("P", key, kind) not in self.seen:
            self.seen.add(("P", key, kind))
            # One of many, which the same software wrote.
            self._understand(events, ("P", key, kind), blobs.first(), events.own_frames)
        self._bytes.setdefault((key, kind), []).append((blobs.rows + events.first, lengths))
        if kind in NAMED and ("P", key, kind) not in self.unknown:
            layout = LAYOUTS[kind]
            decoded = decode_blobs(layout, blobs.data, blobs.starts, blobs.stops, frozenset(), ENTRY)
            self.named.setdefault((key, kind), set()).update(self._names(events, blobs, decoded, key, kind))

    def _names(self, events: Events, blobs: Blobs, decoded: Decoded, key: str, kind: str) -> Iterator[str]:
        """Names of entries that are new; those that only corrupted frames have are none."""
        known, of_entry = self.named.get((key, kind), set()), owners(decoded.counts["entries"])
        for number, name in enumerate(decoded.names):
            if name not in known:
                held = blobs.rows[of_entry[decoded.levels["entries"]["key"] == number]]
                if any(events.frames.are_whole(events.own_frames[event]).all() for event in held.tolist()):
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


def _schema(contents: list[Content], entries: dict[str, list[str]]) -> Schema:
    mine = [content for content in contents if content.is_of_events]
    made = [v for content in mine for v in event_variables(content, entries[content.name])]
    tables: list[Table] = [EVENTS.with_variables(made), FRAME_OBJECTS, OBSERVATION, JOBS]
    tables += [table for content in mine for table in row_tables(content)]
    tables += Conditions.tables(contents)
    return Schema({}).with_tables(tables)


def _static(path: str, contents: list[Content], look: _Look) -> dict[str, Columns]:
    def texts(values: list[str]) -> np.ndarray:
        return np.array(values, dtype=np.dtypes.StringDType())

    nothing = {
        v.name: texts([]) if v.dtype == "str" else np.empty(0, v.dtype) for v in JOBS.variables.values()
    }
    parts = list(look.jobs.values()) or [nothing]
    return {
        "tray_info": {name: np.concatenate([part[name] for part in parts]) for name in nothing},
        "frame_objects": {
            "run": np.zeros(len(contents), np.uint32),
            "stream": texts([content.stream for content in contents]),
            "key": texts([content.key for content in contents]),
            "type": texts([content.type for content in contents]),
            "name": texts([content.name for content in contents]),
            "is_decoded": np.array([content.layout is not None for content in contents], np.bool_),
            "n_objects": np.array([content.count for content in contents], np.int64),
        },
        "observation": {
            "run": np.zeros(1, np.uint32),
            "path": texts([path]),
            "n_frames": np.array([look.n_frames], np.int64),
        },
    }


def _broken(path: str, places: set[str], on_error: OnError) -> Iterator[Failure]:
    """What is wrong with frames that are read for a scan, in which no events are lost."""
    for place in sorted(places):
        if on_error == "raise":
            raise SourceError(path, place, f"{WRONG_CHECKSUM}; {ADVICE}")
        yield Failure(path, place, WRONG_CHECKSUM, 0)


def _no_rows(schema: Schema, columns: frozenset[str]) -> dict[str, Columns]:
    return {
        table.name: {
            v.name: no_values(v, 0, table.sizes)
            for v in table.variables.values()
            if f"{table.name}/{v.name}" in columns
        }
        for table in schema.values()
        if table.role == "rows"
    }


class _Reader:
    """One pass through a file, which gives its partitions in turn."""

    def __init__(self, scan: Scan, columns: frozenset[str], on_error: OnError) -> None:
        self.scan, self.columns, self.on_error = scan, columns, on_error
        listed = scan.static["frame_objects"]
        names = ("stream", "key", "type", "name", "n_objects", "is_decoded")
        self.contents = [
            Content(*map(str, row[:4]), int(row[4]), bool(row[5]) or str(row[2]) not in LAYOUTS)
            for row in zip(*(listed[name] for name in names), strict=True)
        ]
        self.conditions = Conditions(scan.path, self.contents, scan.schema, on_error)
        self._events = iter(find_events(scan.path, on_error))
        self._current: Events | None = None
        self.n_events = 0

    def partition(self, number: int, first: int, stop: int) -> Partition:
        """The events from ``first`` up to ``stop``, with the conditions that are new in them."""
        pieces, failures = [], []
        at = first
        while at < stop:
            events = self._at(at)
            if events is None:
                failures.append(self._too_short(at, stop))
                break
            end = min(stop, events.first + len(events))
            pieces.append(self._piece(events, at, end, failures))
            at = end
        new, known = self.conditions.of(first, stop)
        failures += self.conditions.take_failures()
        return Partition(
            number=number,
            schema=self.scan.schema,
            tables=self._joined(pieces) | new,
            conditions=known,
            failures=tuple(failures),
        )

    def _at(self, event: int) -> Events | None:
        """The stretch of the file that holds an event; None if there are not so many."""
        while self._current is None or event >= self._current.first + len(self._current):
            self._current = next(self._events, None)
            if self._current is None:
                return None
            self.conditions.add(self._current)
            self.n_events = self._current.first + len(self._current)
        return self._current

    def _piece(self, events: Events, first: int, stop: int, failures: list[Failure]) -> dict[str, Columns]:
        mine = [content for content in self.contents if content.is_of_events]
        reader = EventReader(events, first, stop, mine, self.scan.schema, self.columns)
        tables = reader.read()
        if not reader.faults:
            return tables
        for event, message in sorted(reader.faults.items()):
            place = events.place(first - events.first + event)
            if self.on_error == "raise":
                raise SourceError(self.scan.path, place, f"{message}; {advice(message)}", 1)
            failures.append(Failure(self.scan.path, place, message, 1))
        good = np.ones(stop - first, np.bool_)
        good[list(reader.faults)] = False
        tables["events"]["selected"] = good
        kept = Partition(0, self.scan.schema, tables).selected().tables
        return {name: {c: v for c, v in columns.items() if c != "selected"} for name, columns in kept.items()}

    def _joined(self, pieces: list[dict[str, Columns]]) -> dict[str, Columns]:
        if len(pieces) == 1:
            return pieces[0]
        if not pieces:
            return _no_rows(self.scan.schema, self.columns)
        return {
            table: {column: np.concatenate([piece[table][column] for piece in pieces]) for column in columns}
            for table, columns in pieces[0].items()
        }

    def _too_short(self, at: int, stop: int) -> Failure:
        error = SourceError(self.scan.path, f"after {self.n_events} events", _CHANGED, stop - at)
        if self.on_error == "raise":
            raise error
        return error.failure
