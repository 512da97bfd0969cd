"""The source ``simtel``."""

from __future__ import annotations

import logging
import os
from array import array
from collections.abc import Iterator, Sequence

import numpy as np

from etendue.dataflow.partition import Failure, Partition
from etendue.dataflow.source import OnError, Scan, SourceError
from etendue.iact.sources.simtel.columns import (
    CalibrationRow,
    Calibrations,
    PartitionColumns,
    calibration_columns,
)
from etendue.iact.sources.simtel.events import EventWalk, RawEvent, Readout
from etendue.iact.sources.simtel.objects import ObjectError
from etendue.iact.sources.simtel.stream import is_eventio
from etendue.iact.sources.simtel.tables import Labels, schema, static
from etendue.schema import Columns

_CHANGED = "the file is not what it was when it was scanned; scan it anew"

log = logging.getLogger(__name__)


class SimtelSource:
    """Files of sim_telarray, plain or packed with gzip, zstd or bzip2.

    A block is one array event, in the order of the file, with calibration events among them. What an
    event holds follows ctapipe 0.32's ``SimTelEventSource(skip_calibration_events=False)``. Telescopes
    share a table if their cameras have the same name, pixels, gains, readout, focal lengths and
    rotation, and their events the same number of samples: that is read from the events (samples, or one
    sum a pixel), as the header names the samples taken also where only sums were kept.
    """

    name = "simtel"

    def accepts(self, path: str) -> bool:
        """Whether the file starts, unpacked, with EventIO's marker."""
        return is_eventio(path)

    def scan(self, path: str, on_error: OnError = "raise") -> Scan:
        """Read the header, and count the events and their readouts.

        Raises
        ------
        SourceError
            If the header cannot be read, or if anything is broken and ``on_error`` is ``raise``.
        """
        walk = EventWalk(path, on_error)
        readouts, ends = array("q"), array("q")
        for event in walk:
            if isinstance(event, RawEvent):
                for readout in event.readouts:
                    readouts.extend((event.number, readout.tel_id, readout.n_samples))
                ends.append(event.found.end)
        n_events = walk.n_trusted(ends)
        if n_events == 0:
            log.warning("%s: %d telescopes in the header, but no events", path, len(walk.header.cameras))
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
            static=static(walk.header, labels),
            rows=rows,
            labels=labels.fingerprints,
            splittable=False,
            size=os.path.getsize(path),
            failures=walk.failures(),
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


class _Reader:
    """One pass through a file, which gives its partitions in turn."""

    def __init__(self, scan: Scan, columns: frozenset[str], on_error: OnError) -> None:
        self.scan, self.on_error = scan, on_error
        self.walk = EventWalk(scan.path, on_error)
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
        columns = PartitionColumns(self.header, self.scan.schema, n_rows, self._columns)
        new: dict[str, list[CalibrationRow]] = {label: [] for label in self.scan.labels}
        failures: list[Failure] = []
        while self._next_event < stop:
            event = self._advance()
            if event is None:
                failures.append(self._too_short(first, stop))
                break
            renewed = self.calibrations.renew(event.number)
            if event.number < first:
                continue
            for label, rows in renewed.items():
                new[label] += rows
            try:
                columns.add(event, [self._label(readout) for readout in event.readouts])
            except ObjectError as error:
                failures.append(self._lost(event, error))
        return Partition(
            number=number,
            schema=self.scan.schema,
            tables=columns.tables() | self._calibration(new),
            conditions=self._calibration(self.calibrations.rows),
            failures=tuple(failures),
        )

    def _advance(self) -> RawEvent | None:
        """The next event; None if there are no more."""
        for found in self._found:
            if isinstance(found, RawEvent):
                self._next_event = found.number + 1
                return found
            self.calibrations.note(found)
        return None

    def _label(self, readout: Readout) -> str:
        """Table of a readout that can be calibrated."""
        self.calibrations.check(readout.tel_id)
        key = (readout.tel_id, readout.n_samples)
        if key not in self._label_of:
            label = self.labels.label(*key)
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
