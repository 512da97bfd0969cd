"""What frames of other streams hold (geometry, calibration, status...), and from which event on it holds."""

from __future__ import annotations

import numpy as np

from etendue.dataflow.partition import Failure
from etendue.dataflow.source import OnError, SourceError
from etendue.neutrino.sources.icecube.contents import Content
from etendue.neutrino.sources.icecube.decode import decode_blobs
from etendue.neutrino.sources.icecube.events import Events, advice
from etendue.neutrino.sources.icecube.frame_walk import WRONG_CHECKSUM
from etendue.neutrino.sources.icecube.gcd import taken
from etendue.neutrino.sources.icecube.objects import Blobs
from etendue.neutrino.sources.icecube.tables import (
    columns_of_level,
    in_degrees,
    row_levels,
    rows_of,
    rows_of_blobs,
    variable,
)
from etendue.schema import Columns, Schema, Table, Variable

KIND = "conditions"


def condition_tables(content: Content) -> list[tuple[Table, tuple[int, ...]]]:
    """Tables of an object that holds for some events, each with the levels that it is made of."""
    layout = content.layout
    found: list[tuple[str, tuple[int, ...]]] = []
    if layout is None:
        return [(_table(content, content.name, [Variable("byte", ("",), "uint8", "", "a byte")]), ())]
    rows = row_levels(layout)
    if columns_of_level(layout, 0) or not rows:
        found.append(("", (0,)))
    taken = {suffix for suffix, _ in found}
    for row in rows:
        suffix = row.suffix if row.suffix not in taken else f"_{layout.program().levels[row.levels[-1]]}"
        found.append((suffix, row.levels))
    return [
        (
            _table(
                content,
                f"{content.name}{suffix}",
                [
                    variable(column.name, "", column)
                    for level in levels
                    for column in columns_of_level(layout, level)
                ],
            ),
            levels,
        )
        for suffix, levels in found
    ]


def _table(content: Content, name: str, fields: list[Variable]) -> Table:
    dim = f"{name.replace('/', '_')}_row"
    joins = [
        Variable("run", (dim,), "uint32", "", "row of /observation: the input that the row is of"),
        Variable("valid_from", (dim,), "int64", "", "event_index of the first event that the row holds for"),
    ]
    columns = {v.name: Variable(v.name, (dim,), v.dtype, v.units, v.description) for v in fields}
    about = f"{content.key} ({content.type}) of the stream {content.stream}"
    return Table(
        name, dim, columns | {v.name: v for v in joins}, kind=KIND, role="conditions", description=about
    )


class Conditions:
    """The conditions of a file, as far as it was read."""

    def __init__(self, path: str, contents: list[Content], schema: Schema, on_error: OnError) -> None:
        self.path, self.schema, self.on_error = path, schema, on_error
        self.contents = [c for c in contents if not c.is_of_events]
        self._rows: dict[str, list[Columns]] = {
            table.name: [] for content in self.contents for table, _ in condition_tables(content)
        }
        self._failures: list[Failure] = []

    @staticmethod
    def tables(contents: list[Content]) -> list[Table]:
        """Declarations of all conditions tables."""
        mine = [c for c in contents if not c.is_of_events]
        return [table for content in mine for table, _ in condition_tables(content)]

    def add(self, events: Events) -> None:
        """Decode what holds for events from these on.

        Raises
        ------
        SourceError
            If a frame is broken, and ``on_error`` is ``raise``.
        """
        if not self.contents or not len(events.others):
            return
        streams = [ord(content.stream) for content in self.contents]
        mine = np.isin(events.frames.streams[events.others], streams)
        others, valid_from = events.others[mine], events.valid_from[mine]
        whole = events.frames.are_whole(others)
        for frame in others[~whole].tolist():
            self._fail(events.frames.place(frame), WRONG_CHECKSUM)
        self._take(events, others[whole], valid_from[whole], self.contents)

    def add_companion(self, events: Events) -> None:
        """Decode what the frames of a GCD file hold, which are whole: it holds from the first event on."""
        frames = taken(events)
        known = [content for content in self.contents if content.layout is not None]
        self._take(events, frames, np.zeros(len(frames), np.int64), known)

    def _take(
        self, events: Events, frames: np.ndarray, valid_from: np.ndarray, contents: list[Content]
    ) -> None:
        for content in contents:
            mine = np.flatnonzero(events.frames.streams[frames] == ord(content.stream))
            blobs = events.objects.of_frames(content.key, content.type, frames[mine])
            if len(blobs):
                self._decode(content, blobs, valid_from[mine][blobs.rows], events, frames[mine])

    def _decode(
        self, content: Content, blobs: Blobs, valid_from: np.ndarray, events: Events, frames: np.ndarray
    ) -> None:
        if content.layout is None:
            lengths = blobs.stops - blobs.starts
            places = zip(blobs.starts.tolist(), blobs.stops.tolist(), strict=True)
            byte = np.concatenate([blobs.data[start:stop] for start, stop in places])
            self._keep(content.name, {"byte": byte}, np.repeat(valid_from, lengths))
            return
        decoded = decode_blobs(content.layout, blobs.data, blobs.starts, blobs.stops)
        for blob, message in decoded.messages():
            self._fail(events.frames.place(int(frames[blobs.rows[blob]])), message)
        by_levels = {rows.levels: rows for rows in row_levels(content.layout)}
        for table, levels in condition_tables(content):
            if levels == (0,):
                good = decoded.faults[:, 0] == 0
                columns = {name: values[good] for name, values in decoded.levels[""].items()}
                self._keep(table.name, self._converted(content, levels, columns), valid_from[good])
                continue
            columns, _ = rows_of(decoded, by_levels[levels])
            since = np.repeat(valid_from, rows_of_blobs(decoded, levels[-1]))
            self._keep(table.name, self._converted(content, levels, columns), since)

    def _converted(self, content: Content, levels: tuple[int, ...], columns: Columns) -> Columns:
        return {
            column.name: in_degrees(column, columns[column.name])
            for level in levels
            for column in columns_of_level(content.layout, level)
        }

    def _keep(self, table: str, columns: Columns, valid_from: np.ndarray) -> None:
        declared = self.schema[table].variables
        columns = columns | {"run": np.zeros(len(valid_from), np.uint32), "valid_from": valid_from}
        self._rows[table].append(
            {
                name: values if declared[name].dtype == "str" else values.astype(declared[name].dtype)
                for name, values in columns.items()
            }
        )

    def of(self, first: int, stop: int) -> tuple[dict[str, Columns], dict[str, Columns]]:
        """Rows that hold from an event between ``first`` and ``stop`` on, and all from before ``stop``."""
        new, known = {}, {}
        for table, parts in self._rows.items():
            columns = self._table(table, parts)
            since = columns["valid_from"]
            new[table] = {name: values[(since >= first) & (since < stop)] for name, values in columns.items()}
            known[table] = {name: values[since < stop] for name, values in columns.items()}
        return new, known

    def _table(self, table: str, parts: list[Columns]) -> Columns:
        if not parts:
            return {
                v.name: np.empty(0, np.dtypes.StringDType() if v.dtype == "str" else v.dtype)
                for v in self.schema[table].variables.values()
            }
        if len(parts) > 1:
            parts[:] = [{name: np.concatenate([part[name] for part in parts]) for name in parts[0]}]
        return parts[0]

    def take_failures(self) -> list[Failure]:
        """Failures since the last call."""
        failures, self._failures = self._failures, []
        return failures

    def _fail(self, place: str, message: str) -> None:
        if self.on_error == "raise":
            raise SourceError(self.path, place, f"{message}; {advice(message)}")
        about = "events after it are given the conditions before it"
        self._failures.append(Failure(self.path, place, f"{message}; {about}"))
