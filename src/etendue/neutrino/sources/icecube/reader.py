"""The columns of events, out of the blobs of their frames."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from etendue.kernel import offsets, owners
from etendue.neutrino.leap_seconds import utc_of_year
from etendue.neutrino.sources.icecube.contents import HEADER, Content, clean
from etendue.neutrino.sources.icecube.decode import Decoded, decode_blobs
from etendue.neutrino.sources.icecube.events import Events
from etendue.neutrino.sources.icecube.frame_walk import WRONG_CHECKSUM
from etendue.neutrino.sources.icecube.launches import COUNTED, LAUNCHES, waveforms
from etendue.neutrino.sources.icecube.layout import TEXT, Column
from etendue.neutrino.sources.icecube.layouts import LAYOUTS
from etendue.neutrino.sources.icecube.objects import Blobs
from etendue.neutrino.sources.icecube.pulses import MODULE, PULSE
from etendue.neutrino.sources.icecube.series import SeriesReader
from etendue.neutrino.sources.icecube.tables import (
    ENTRY,
    EXISTS,
    NAMED,
    PARENT,
    TREES,
    columns_of_level,
    entry_name,
    event_name,
    in_degrees,
    marked,
    no_values,
    row_levels,
    rows_of,
    rows_of_blobs,
    scattered,
)
from etendue.neutrino.sources.icecube.trees import parents
from etendue.schema import Columns, Schema

#: What of ``/events`` comes of the header; the last two are its times.
OF_HEADER = ("run_id", "sub_run_id", "event_id", "sub_event_id", "sub_event_stream", "time", "end_time")
#: I3Time's ticks in a nanosecond.
TICKS = 10


class EventReader:
    """Reads columns of some events.

    Parameters
    ----------
    events : Events
        The events that are at hand.
    first, stop : int
        Which of them, counted in the file.
    contents : iterable of Content
        What events may have.
    schema : Schema
        The tables to read into.
    columns : frozenset of str
        The columns to read, as ``table/column``.
    """

    def __init__(
        self,
        events: Events,
        first: int,
        stop: int,
        contents: Iterable[Content],
        schema: Schema,
        columns: frozenset[str],
    ) -> None:
        self.part = slice(first - events.first, stop - events.first)
        self.events, self.schema, self._columns = events, schema, columns
        self.physics, self.daq = events.physics[self.part], events.daq[self.part]
        self.n_events = len(self.physics)
        used = np.concatenate([self.physics, self.daq])
        used = used[used >= 0]
        low, high = (int(used.min()), int(used.max()) + 1) if len(used) else (0, 0)
        self.objects = events.objects.within(low, high)
        self.contents = list(contents)
        self.faults: dict[int, str] = {}
        self.tables: dict[str, Columns] = {
            table.name: {} for table in schema.values() if table.role == "rows"
        }
        self._series = SeriesReader(self.objects, self.physics, self.daq)

    def read(self) -> dict[str, Columns]:
        """The tables; events at fault are in ``faults`` (by their row) and have made-up values."""
        self._check_frames()
        self._event_columns()
        for content in filter(self._is_wanted, self.contents):
            blobs = self.objects.of_events(content.key, content.type, self.physics, self.daq)
            self._put("events", f"{content.name}_{EXISTS}", blobs.marks(self.n_events))
            if content.is_pulses:
                self._pulses(content)
            elif content.layout is None:
                self._bytes(content, blobs)
            else:
                self._fields(content, blobs)
        self._fill()
        return self.tables

    def _is_wanted(self, content: Content) -> bool:
        """Whether any column is wanted that an object gives."""
        mine = (f"{content.name}_", f"{content.name}/", f"events/{content.name}_", f"events/n_{content.name}")
        return f"events/{content.name}" in self._columns or any(c.startswith(mine) for c in self._columns)

    def _fill(self) -> None:
        """Give the columns of what none of these events has."""
        for table in self.tables:
            for name, declared in self.schema[table].variables.items():
                if f"{table}/{name}" in self._columns and name not in self.tables[table]:
                    n_rows = self.n_events if table == "events" else 0
                    self.tables[table][name] = no_values(declared, n_rows, self.schema[table].sizes)

    def _put(self, table: str, column: str, values: np.ndarray) -> None:
        if f"{table}/{column}" in self._columns and column in self.schema[table].variables:
            declared = self.schema[table].variables[column].dtype
            self.tables[table][column] = values if declared == "str" else values.astype(declared, copy=False)

    def _check_frames(self) -> None:
        """Note the events whose frames are not what was written."""
        used, places = np.unique([self.physics, self.daq], return_inverse=True)
        whole = np.append(self.events.frames.are_whole(used[used >= 0]), True)  # and those that are not there
        places = places.reshape(2, -1) - np.count_nonzero(used < 0)
        for event in np.flatnonzero(~whole[places].all(axis=0)).tolist():
            self.faults[event] = WRONG_CHECKSUM

    def _fault(self, blobs: Blobs, decoded: Decoded) -> None:
        for blob, message in decoded.messages():
            self.faults.setdefault(int(blobs.rows[blob]), message)

    def _event_columns(self) -> None:
        own = np.where(self.physics >= 0, self.physics, self.daq)
        self._put("events", "run", np.zeros(self.n_events, np.uint32))
        self._put("events", "event_index", np.arange(self.part.start, self.part.stop) + self.events.first)
        self._put("events", "frame", own + self.events.frames.number)
        self._put("events", "is_physics", self.physics >= 0)
        if not any(f"events/{name}" in self._columns for name in OF_HEADER):
            return
        blobs = self.objects.of_events(HEADER, HEADER, self.physics, self.daq)
        decoded = decode_blobs(LAYOUTS[HEADER], blobs.data, blobs.starts, blobs.stops)
        self._fault(blobs, decoded)
        header = decoded.levels[""]
        for name in OF_HEADER[:-2]:
            self._put("events", name, scattered(header[name], blobs.rows, self.n_events))
        for prefix, name in zip(("start", "end"), OF_HEADER[-2:], strict=True):
            since = utc_of_year(header[f"{prefix}_year"], header[f"{prefix}_ticks"] // TICKS)
            self._put("events", name, scattered(since, blobs.rows, self.n_events))

    def _bytes(self, content: Content, blobs: Blobs) -> None:
        counts = scattered(blobs.stops - blobs.starts, blobs.rows, self.n_events)
        self._put("events", f"n_{content.name}", counts)
        if f"{content.name}/byte" in self._columns:
            pieces = [
                blobs.data[start:stop]
                for start, stop in zip(blobs.starts.tolist(), blobs.stops.tolist(), strict=True)
            ]
            self._put(content.name, "byte", np.concatenate([np.empty(0, np.uint8), *pieces]))

    def _fields(self, content: Content, blobs: Blobs) -> None:
        layout = content.layout
        wanted = self._wanted(content)
        tables = () if content.type in NAMED else row_levels(layout)
        if not wanted and not tables:
            return
        if content.type == LAUNCHES:
            wanted |= COUNTED
        if self._takes_all(content):
            wanted = None
        decoded = decode_blobs(
            layout, blobs.data, blobs.starts, blobs.stops, wanted, ENTRY if content.type in NAMED else ""
        )
        self._fault(blobs, decoded)
        for column in columns_of_level(layout, 0):
            if column.name in decoded.levels[""]:
                values = in_degrees(column, decoded.levels[""][column.name])
                name = event_name(content, column.name)
                self._put("events", name, scattered(values, blobs.rows, self.n_events))
        if content.type in NAMED:
            self._entries(content, blobs, decoded)
            return
        if content.type == LAUNCHES:
            tables = tables[:1]
            self._waveforms(content, blobs, decoded)
        if content.type in TREES and self._takes_all(content):
            self._parents(content, blobs, decoded)
        for rows in tables:
            name = f"{content.name}{rows.suffix}"
            columns, counts = rows_of(decoded, rows)
            owner = "events" if rows.owner is None else f"{content.name}{rows.owner}"
            if rows.owner is None:
                counts = scattered(counts, blobs.rows, self.n_events)
            self._put(owner, f"n_{name}", counts)
            for level in rows.levels:
                for column in columns_of_level(layout, level):
                    if column.name in columns:
                        self._put(name, column.name, in_degrees(column, columns[column.name]))

    def _takes_all(self, content: Content) -> bool:
        """Whether columns are wanted that follow from all that there is in an object."""
        if content.layout.finish:
            return bool(self._wanted(content))
        made = (f"{content.name}_atwd/", f"{content.name}_fadc/")
        if content.type == LAUNCHES:
            return any(name.startswith(made) and "/n_" not in name for name in self._columns)
        return content.type in TREES and f"{content.name}/{PARENT}" in self._columns

    def _waveforms(self, content: Content, blobs: Blobs, decoded: Decoded) -> None:
        tables, good = waveforms(decoded)
        of_blob = owners(rows_of_blobs(decoded, row_levels(content.layout)[0].levels[-1]))
        for blob in np.unique(of_blob[~good]).tolist():
            self.faults.setdefault(
                int(blobs.rows[blob]), f"{content.type}: a waveform does not end with its words"
            )
        for suffix, (columns, counts) in tables.items():
            self._put(content.name, f"n_{content.name}_{suffix}", counts)
            for column, values in columns.items():
                self._put(f"{content.name}_{suffix}", column, values)

    def _parents(self, content: Content, blobs: Blobs, decoded: Decoded) -> None:
        parent, ok = parents(decoded)
        for blob in np.flatnonzero(~ok).tolist():
            self.faults.setdefault(
                int(blobs.rows[blob]), f"{content.type}: its shape is not one of its particles"
            )
        self._put(content.name, PARENT, parent)

    def _wanted(self, content: Content) -> frozenset[str]:
        """Columns of an object's layout, as ``level.name``, that someone wants."""
        program = content.layout.program()
        wanted = {
            f".{column.name}"
            for column in columns_of_level(content.layout, 0)
            if f"events/{event_name(content, column.name)}" in self._columns
        }
        if content.type in NAMED:
            prefix = f"events/{content.name}_"
            if any(name.startswith(prefix) for name in self._columns):
                level = program.levels.index("entries")
                wanted |= {f"entries.{column.name}" for column in columns_of_level(content.layout, level)}
            return frozenset(wanted)
        for rows in row_levels(content.layout):
            wanted |= {
                f"{program.levels[level]}.{column.name}"
                for level in rows.levels
                for column in columns_of_level(content.layout, level)
                if f"{content.name}{rows.suffix}/{column.name}" in self._columns
            }
        return frozenset(wanted)

    def _entries(self, content: Content, blobs: Blobs, decoded: Decoded) -> None:
        """Named entries, each of which becomes a column."""
        entries = decoded.levels["entries"]
        event = blobs.rows[owners(decoded.counts["entries"])]
        order = np.argsort(entries["key"], kind="stable")
        edges = offsets(np.bincount(entries["key"], minlength=len(decoded.names)))
        level = content.layout.program().levels.index("entries")
        for name, number in sorted(zip(decoded.names, range(len(decoded.names)), strict=True)):
            part = order[edges[number] : edges[number + 1]]
            for column in columns_of_level(content.layout, level):
                if column.dtype != TEXT:
                    values = scattered(entries[column.name][part], event[part], self.n_events)
                    self._put("events", self._entry_column(content, name, column), values)

    def _entry_column(self, content: Content, entry: str, column: Column) -> str:
        """The column of events of a named entry's field."""
        own, common = (
            event_name(content, entry_name(label, column.name)) for label in (marked(entry), clean(entry))
        )
        return own if own in self.schema["events"].variables else common

    def _pulses(self, content: Content) -> None:
        """A pulse series; if only the number of pulses is wanted, no mask is compared with its source."""
        names = frozenset(name for name in MODULE + PULSE if f"{content.name}/{name}" in self._columns)
        if not names:
            counts, faults = self._series.counts(content.key)
        else:
            series = self._series.series(content.key)
            counts, faults = series.pulses_of_events, series.faults
            for name, values in series.columns(names).items():
                self._put(content.name, name, values)
        self.faults = {**faults, **self.faults}
        self._put("events", f"n_{content.name}", counts)
