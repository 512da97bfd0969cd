"""Text files of clicks: a line that begins with ``seascope``, a line an event, and ``end`` with their number.

An event is its number, its time in seconds, and its clicks, each ``hydrophone:pressure`` with the pressure in
pascal: ``17 3.25 2:0.5 4:1.25``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from etendue.extend import (
    RUN,
    Columns,
    Failure,
    OnError,
    Partition,
    Scan,
    Schema,
    SourceError,
    Table,
    variables,
)

FIRST_LINE = "seascope 1"

EVENTS = Table(
    "events",
    "event",
    variables(
        "event",
        run=("uint32", "", "run"),
        event_id=("int64", "", "number of the event"),
        time=("float64", "s", "time since the dive began"),
    ),
    key=(RUN, "event_id"),
    description="one row an event",
)
CLICKS = Table(
    "clicks",
    "click",
    variables(
        "click",
        hydrophone=("int16", "", "which hydrophone"),
        pressure=("float32", "Pa", "highest pressure"),
    ),
    kind="clicks",
    parent="events",
    key=("hydrophone",),
    description="one row a click",
)
SCHEMA = Schema({}).with_tables([EVENTS, CLICKS])


class SeaSource:
    """Reads the files of seascope. A block is a line; one that cannot be read costs its own event."""

    name = "seascope"

    def accepts(self, path: str) -> bool:
        """Whether the file begins with the word that all of them begin with."""
        try:
            with open(path, "rb") as file:
                return file.read(len(FIRST_LINE)) == FIRST_LINE.encode()
        except OSError:
            return False

    def scan(self, path: str, on_error: OnError = "raise") -> Scan:
        """Count the clicks of each line, and see that the last one is there."""
        *lines, last = _lines(path) or [""]
        failures = []
        if last != f"end {len(lines)}":  # what is there of the last line may be cut, too
            message = "expected 'end' and the number of events: the file is cut short, copy it again"
            if on_error == "raise":
                raise SourceError(path, f"line {len(lines) + 2}", message)
            failures.append(Failure(path, f"line {len(lines) + 2}", message))
        n_clicks = np.array([line.count(":") for line in lines], np.int64)
        rows = {"events": np.ones(len(lines), np.int64), "clicks": n_clicks}
        size = Path(path).stat().st_size
        return Scan(path, self.name, SCHEMA, {}, rows, splittable=True, size=size, failures=tuple(failures))

    def read(
        self,
        scan: Scan,
        ranges: Sequence[tuple[int, int]],
        columns: frozenset[str],
        on_error: OnError = "raise",
    ) -> Iterator[Partition]:
        """Read lines; with ``skip``, those that are not as they should be are left out and told."""
        lines = _lines(scan.path)
        for number, (first, stop) in enumerate(ranges):
            events, failures = [], []
            for line in range(first, stop):
                try:
                    events.append(_event(lines[line]))
                except (ValueError, OverflowError) as error:
                    message = (
                        f"expected number, time, and hydrophone:pressure ({error}); mend or drop the line"
                    )
                    if on_error == "raise":
                        raise SourceError(scan.path, f"line {line + 2}", message, 1) from None
                    failures.append(Failure(scan.path, f"line {line + 2}", message, 1))
            tables = {
                table: {name: array for name, array in found.items() if f"{table}/{name}" in columns}
                for table, found in _columns(events).items()
            }
            yield Partition(number, scan.schema, tables, failures=tuple(failures))

    def place(self, scan: Scan, block: int) -> str:
        """The line of an event."""
        return f"line {block + 2}"


def _lines(path: str) -> list[str]:
    """The lines after the first; bytes that are no text are kept as marks that no number has."""
    return Path(path).read_text(encoding="ascii", errors="replace").split("\n")[1:]


def _event(line: str) -> tuple[int, float, list[tuple[int, float]]]:
    number, time, *clicks = line.split(" ")
    pairs = [click.split(":") for click in clicks]
    found = [(np.int16(int(hydrophone)), float(pressure)) for hydrophone, pressure in pairs]
    return np.int64(int(number)), float(time), found


def _columns(events: Sequence[tuple[int, float, list[tuple[int, float]]]]) -> dict[str, Columns]:
    clicks = [click for _, _, found in events for click in found]
    return {
        "events": {
            RUN: np.zeros(len(events), np.uint32),
            "event_id": np.array([number for number, _, _ in events], np.int64),
            "time": np.array([time for _, time, _ in events], np.float64),
            "n_clicks": np.array([len(found) for _, _, found in events], np.int32),
        },
        "clicks": {
            "hydrophone": np.array([hydrophone for hydrophone, _ in clicks], np.int16),
            "pressure": np.array([pressure for _, pressure in clicks], np.float32),
        },
    }
