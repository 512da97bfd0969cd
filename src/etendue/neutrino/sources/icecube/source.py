"""The source ``icecube``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np

from etendue.dataflow.partition import Failure, Partition
from etendue.dataflow.source import OnError, Scan, SourceError
from etendue.neutrino.sources.icecube.conditions import Conditions
from etendue.neutrino.sources.icecube.contents import (
    EVENTS,
    FRAME_OBJECTS,
    OBSERVATION,
    Content,
)
from etendue.neutrino.sources.icecube.events import ADVICE, Events, advice, find_events, is_plain
from etendue.neutrino.sources.icecube.frame_walk import WRONG_CHECKSUM
from etendue.neutrino.sources.icecube.gcd import ABOUT, GCD, frames_of
from etendue.neutrino.sources.icecube.layouts import LAYOUTS
from etendue.neutrino.sources.icecube.look import Look
from etendue.neutrino.sources.icecube.messages import is_message
from etendue.neutrino.sources.icecube.names import name_contents, tell_unknown
from etendue.neutrino.sources.icecube.provenance import TABLE as JOBS
from etendue.neutrino.sources.icecube.reader import EventReader
from etendue.neutrino.sources.icecube.stream import is_i3
from etendue.neutrino.sources.icecube.tables import (
    event_variables,
    no_values,
    row_tables,
)
from etendue.schema import Columns, Schema, Table

_CHANGED = "the file is not what it was when it was scanned; scan it anew"


class IceCubeSource:
    """Files of IceCube's frames (.i3), plain or packed with gzip, zstd or bzip2, and real-time messages.

    A block is one event: a physics frame with what its DAQ frame holds, or a DAQ frame without one. Each
    key of the frames becomes columns of ``/events`` or a table of its own; what other streams hold becomes
    conditions. The rows of tables that a scan gives are at least as many as there are, not exactly: they
    follow from the lengths of the blobs, which are not decoded.
    """

    name = "icecube"
    companions: ClassVar = {GCD: ABOUT}

    def accepts(self, path: str) -> bool:
        """Whether the file starts, unpacked, with a frame, or is a message that carries frames."""
        return is_i3(path) or is_message(path)

    def scan(
        self, path: str, on_error: OnError = "raise", *, companions: Mapping[str, str] | None = None
    ) -> Scan:
        """Index the frames: which events there are and what they hold.

        Raises
        ------
        SourceError
            If the file has no frames, or is damaged and ``on_error`` is ``raise``; if the companion ``gcd``
            is not a whole file with frames of geometry, calibration or detector status.
        """
        walk = find_events(path, on_error)
        look = Look()
        for events in frames_of(companions[GCD]) if companions else ():
            look.add_companion(events, companions[GCD])
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


def _schema(contents: list[Content], entries: dict[str, list[str]]) -> Schema:
    mine = [content for content in contents if content.is_of_events]
    made = [v for content in mine for v in event_variables(content, entries[content.name])]
    tables: list[Table] = [EVENTS.with_variables(made), FRAME_OBJECTS, OBSERVATION, JOBS]
    tables += [table for content in mine for table in row_tables(content)]
    tables += Conditions.tables(contents)
    return Schema({}).with_tables(tables)


def _static(path: str, contents: list[Content], look: Look) -> dict[str, Columns]:
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
        for events in frames_of(scan.companions[GCD]) if scan.companions else ():
            self.conditions.add_companion(events)
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
