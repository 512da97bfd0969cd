"""The source ``simtel``."""

from __future__ import annotations

import logging
import os
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

import numpy as np

from etendue.dataflow.packed import Checksum, Note, ignore, packing_of
from etendue.dataflow.partition import Failure, Partition
from etendue.dataflow.source import OnError, Scan, SourceError, UnforeseenError, file_of
from etendue.iact.sources.simtel.columns import (
    CalibrationRow,
    Calibrations,
    PartitionColumns,
    calibration_columns,
)
from etendue.iact.sources.simtel.events import EventWalk
from etendue.iact.sources.simtel.objects import ObjectError
from etendue.iact.sources.simtel.part import asks_for_showers
from etendue.iact.sources.simtel.raw_event import RawEvent, Readout
from etendue.iact.sources.simtel.stream import is_eventio
from etendue.iact.sources.simtel.tables import Labels, schema, static
from etendue.schema import Columns, Schema

_CHANGED = "the file is not what it was when it was scanned; scan it anew"

#: Events to look at for what a file holds.
LOOK = 4

log = logging.getLogger(__name__)


class SimtelSource:
    """Files of sim_telarray, plain or packed with gzip, zstd or bzip2.

    A block is one array event, in the order of the file, with calibration events among them. What an
    event holds follows ctapipe 0.32's ``SimTelEventSource(skip_calibration_events=False)``. Telescopes
    share a table if their cameras have the same name, pixels, gains, readout, focal lengths and
    rotation, and their events the same number of samples: that is read from the events (samples, or one
    sum a pixel), as the header names the samples taken also where only sums were kept. The observation has
    the run's number, or the one that the path gives it: ``run.simtel.zst#obs_id=1201``.
    """

    name = "simtel"

    def accepts(self, path: str) -> bool:
        """Whether the file starts, unpacked, with EventIO's marker, and the path asks for its events."""
        return is_eventio(file_of(path)) and not asks_for_showers(path)

    def scan(self, path: str, on_error: OnError = "raise") -> Scan:
        """Read the header, and count the events and their readouts.

        Raises
        ------
        SourceError
            If the header cannot be read, or if anything is broken and ``on_error`` is ``raise``.
        """
        checksum = Checksum()
        walk = EventWalk(path, on_error, checksum.add)
        readouts, ends = array("q"), array("q")
        for event in walk:
            if isinstance(event, RawEvent):
                for readout in event.readouts:
                    readouts.extend((event.number, readout.tel_id, readout.n_samples))
                ends.append(event.found.end)
        n_events, size = walk.n_trusted(ends), os.path.getsize(file_of(path))
        for note in _notes(path, walk):
            log.warning(note)
        events, *kinds = np.array(readouts, dtype=np.int64).reshape(-1, 3).T
        kept = events < n_events
        seen, kind = np.unique(np.stack(kinds, axis=1)[kept], axis=0, return_inverse=True)
        labels = Labels.of(walk.header.cameras, seen.tolist())
        label = np.array([labels.label(*key) for key in seen.tolist()], dtype=object)[kind]
        rows = {"events": np.ones(n_events, dtype=np.int64)}
        for name in labels.fingerprints:
            rows[name] = np.bincount(events[kept][label == name], minlength=n_events)
        return Scan(
            path=path,
            source=self.name,
            schema=schema(labels),
            static=static(walk.header, labels, walk.n_simulated, walk.showers.is_closed),
            rows=rows,
            labels=labels.fingerprints,
            splittable=False,
            size=size,
            failures=walk.failures(),
            sha256=checksum.of_whole(size),
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

    def look(self, path: str) -> Scan:
        """Read the header and the first events; see `StreamSource.look`."""
        packed = Checksum()
        walk = EventWalk(path, "raise", packed.add)
        events = list(islice((found for found in walk if isinstance(found, RawEvent)), LOOK))
        seen = {(readout.tel_id, readout.n_samples) for event in events for readout in event.readouts}
        labels = Labels.of(walk.header.cameras, sorted(seen))
        tables, size = schema(labels), os.path.getsize(file_of(path))
        return Scan(
            path=path,
            source=self.name,
            schema=tables,
            static=static(walk.header, labels, np.nan, False),  # known when all of it was read
            rows={name: np.zeros(0, dtype=np.int64) for name in ("events", *labels.fingerprints)},
            labels=labels.fingerprints,
            size=size,
            expected_bytes=int(size * _expansion(events, tables, labels, packed.n_bytes)),
        )

    def stream(
        self, scan: Scan, row_bytes: Mapping[str, int], partition_bytes: int, columns: frozenset[str]
    ) -> _Stream:
        """Read all events; see `StreamSource.stream`."""
        return _Stream(scan, row_bytes, partition_bytes, columns)

    def place(self, scan: Scan, block: int) -> str:
        """Where the objects of an event lie, from the simulated event (2021) on, if it has one.

        Raises
        ------
        SourceError
            If there is no such event.
        """
        for event in EventWalk(scan.path, "skip"):
            if isinstance(event, RawEvent) and event.number == block:
                first = (event.core or event.found).offset
                whole = "the unpacked stream" if packing_of(file_of(scan.path)) else "the file"
                return f"bytes {first:,} to {event.found.end:,} of {whole}"
        raise SourceError(scan.path, f"event {block}", _CHANGED)


def _notes(path: str, walk: EventWalk) -> list[str]:
    """What is strange about a file that was read to its end."""
    notes = []
    if walk.header.run["tracking_mode"]:
        notes.append(
            f"{path}: the run header gives right ascension and declination, so the array's altitude and "
            "azimuth are NaN: directions and heights can be reconstructed, impact points cannot"
        )
    cameras = walk.header.cameras
    if without := [tel_id for tel_id, c in cameras.items() if c.n_samples > 1 and not c.can_be_corrected]:
        notes.append(
            f"{path}: the reference pulse of the telescopes {without} is missing or zero, so that charges "
            "corrected by it are NaN; Integrate(correct=False) gives them uncorrected"
        )
    if walk.n_events == 0:
        notes.append(f"{path}: {len(cameras)} telescopes in the header, but no events")
    if not walk.showers.is_closed:
        notes.append(
            f"{path}: it lacks the histograms with which sim_telarray closes a run, so it may have been cut "
            f"short after any object; it holds {walk.n_simulated:,} simulated events, and "
            f"{walk.n_planned:,} were planned"
        )
    return notes


def _expansion(events: list[RawEvent], tables: Schema, labels: Labels, n_packed: int) -> float:
    """Bytes of all columns of some events, relative to those that they have in the file."""
    if not events:
        return 0.0
    first, last = events[0].found, events[-1].found
    unpacked = last.end + last.data.size - last.stop
    row_bytes = {
        table.name: sum(v.row_bytes(table.sizes) for v in table.variables.values())
        for table in tables.values()
    }
    n_bytes = sum(
        row_bytes["events"]
        + sum(row_bytes[labels.label(readout.tel_id, readout.n_samples)] for readout in event.readouts)
        for event in events
    )
    return n_bytes / (last.end - first.offset) * unpacked / n_packed


class _Reader:
    """One pass through a file, which gives its partitions in turn."""

    def __init__(self, scan: Scan, columns: frozenset[str], on_error: OnError, note: Note = ignore) -> None:
        self.scan, self.on_error = scan, on_error
        self.walk = EventWalk(scan.path, on_error, note)
        self.header = self.walk.header
        n_samples = {label: scan.schema[label].sizes["sample"] for label in scan.labels}
        self.labels = Labels(self.header.cameras, n_samples, scan.labels)
        self.calibrations = Calibrations(self.header, self.labels)
        self._label_of: dict[tuple[int, int], str] = {}
        self._found = iter(self.walk)
        self._next_event = 0
        self._columns = columns

    def partition(self, number: int, first: int, stop: int) -> Partition:
        """The events from ``first`` up to ``stop``, with what of the calibration is new in them."""
        n_rows = {label: int(self.scan.rows[label][first:stop].sum()) for label in self.scan.labels}
        filling = self.begin(n_rows)
        while self._next_event < stop:
            event = self.advance()
            if event is None:
                filling.failures.append(self._too_short(first, stop))
                break
            self.take(event, filling, wanted=event.number >= first)
        return self.finish(number, filling)

    def begin(self, n_rows: dict[str, int]) -> _Filling:
        """A partition without events, of so many readouts at most."""
        return _Filling(PartitionColumns(self.header, self.scan.schema, n_rows, self._columns))

    def take(self, event: RawEvent, filling: _Filling, wanted: bool = True) -> None:
        """Take the next event into a partition, if it is wanted."""
        renewed = self.calibrations.renew(event.number)
        if not wanted:
            return
        for label, rows in renewed.items():
            filling.calibration.setdefault(label, []).extend(rows)
        try:
            filling.columns.add(event, [self.label(readout) for readout in event.readouts])
        except ObjectError as error:
            filling.failures.append(self._lost(event, error))

    def finish(self, number: int, filling: _Filling) -> Partition:
        """The partition, when it has all its events."""
        new = {label: filling.calibration.get(label, []) for label in self.scan.labels}
        return Partition(
            number=number,
            schema=self.scan.schema,
            tables=filling.columns.tables() | self._calibration(new),
            conditions=self._calibration(self.calibrations.rows),
            failures=tuple(filling.failures),
        )

    def advance(self) -> RawEvent | None:
        """The next event; None if there are no more."""
        for found in self._found:
            if isinstance(found, RawEvent):
                self._next_event = found.number + 1
                return found
            self.calibrations.note(found)
        return None

    def label(self, readout: Readout) -> str:
        """Table of a readout that can be calibrated."""
        self.calibrations.check(readout.tel_id)
        key = (readout.tel_id, readout.n_samples)
        if key not in self._label_of:
            label = self.labels.label(*key)
            if label is None and not self.scan.counted:
                raise UnforeseenError(
                    f"{self.scan.path}: telescope {readout.tel_id} has {readout.n_samples} samples, "
                    "which is not what the file begins with"
                )
            if label is None:
                raise SourceError(self.scan.path, f"telescope {readout.tel_id}", _CHANGED)
            self._label_of[key] = label
        return self._label_of[key]

    def _calibration(self, rows: dict[str, list[CalibrationRow]]) -> dict[str, Columns]:
        names = {label: f"calibration/{label}" for label in rows}
        return {
            name: calibration_columns(self.scan.schema[name], rows[label]) for label, name in names.items()
        }

    def _lost(self, event: RawEvent, error: ObjectError) -> Failure:
        """Note that an event cannot be decoded, or raise it."""
        place = f"byte {event.found.offset} (object {event.found.type}, event {event.number})"
        if self.on_error == "raise":
            advice = "get the file anew, or leave out what cannot be read with on_error='skip'"
            raise SourceError(self.scan.path, place, f"{error}; {advice}", 1) from error
        return Failure(self.scan.path, place, str(error), 1)

    def _too_short(self, first: int, stop: int) -> Failure:
        n_events = self.walk.n_events
        n_lost = stop - max(first, n_events)
        error = SourceError(self.scan.path, f"after {n_events} events", _CHANGED, n_lost)
        if self.on_error == "raise":
            raise error
        return error.failure


@dataclass
class _Filling:
    """A partition in the making."""

    columns: PartitionColumns
    calibration: dict[str, list[CalibrationRow]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


class _Stream:
    """One pass through a file that was not scanned, cut into partitions on the way."""

    def __init__(
        self, scan: Scan, row_bytes: Mapping[str, int], partition_bytes: int, columns: frozenset[str]
    ) -> None:
        self.sha256, self.tallies, self.notes = "", {}, ()
        self._checksum = Checksum()
        self._reader = _Reader(scan, columns, "raise", self._checksum.add)
        self._row_bytes, self._partition_bytes = row_bytes, partition_bytes
        self._n_bytes = 0
        self._event: RawEvent | None = None

    def __iter__(self) -> Iterator[Partition]:
        number, self._event = 0, self._reader.advance()
        while self._event is not None:
            yield self._partition(number)
            number += 1
        walk = self._reader.walk
        self.sha256 = self._checksum.of_whole(self._reader.scan.size)
        self.tallies = {
            "simulation/n_simulated": walk.n_simulated,
            "simulation/is_closed": walk.showers.is_closed,
        }
        self.notes = tuple(_notes(walk.path, walk))

    def _partition(self, number: int) -> Partition:
        """The events up to the next multiple of the partition size."""
        filling = self._reader.begin(self._capacity)
        stop = (self._n_bytes // self._partition_bytes + 1) * self._partition_bytes
        while self._event is not None and self._n_bytes < stop:
            self._reader.take(self._event, filling)
            self._n_bytes += self._weight(self._event)
            self._event = self._reader.advance()
        return self._reader.finish(number, filling)

    def _weight(self, event: RawEvent) -> int:
        readouts = sum(self._row_bytes[self._reader.label(readout)] for readout in event.readouts)
        return self._row_bytes["events"] + readouts

    @cached_property
    def _capacity(self) -> dict[str, int]:
        """Readouts of each camera that a partition can hold. Memory that is not written to costs nothing."""
        labels = self._reader.labels
        n_telescopes = Counter(label for tel_id in labels.cameras for label in labels.labels(tel_id))
        return {
            label: n_telescopes[label] + self._partition_bytes // max(1, self._row_bytes[label])
            for label in labels.fingerprints
        }
