"""Blobs of one type decoded, many at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from etendue.neutrino.sources.icecube.frames import decode_text, number_texts
from etendue.neutrino.sources.icecube.layout import COUNT, ROWS, TEXT, Column, Layout
from etendue.neutrino.sources.icecube.walk import Fault, walk


@dataclass(frozen=True)
class Decoded:
    """The columns of many blobs of one type.

    Parameters
    ----------
    layout : Layout
        Their type's layout.
    levels : dict of str to dict of str to array
        Columns of each level; level ``""`` has a row a blob.
    counts : dict of str to int64 array
        Rows of each other level that each row of the level above owns.
    faults : int64 array, shape (n, 3)
        Of each blob: `Fault`, place in the blob, what was found.
    """

    layout: Layout
    levels: dict[str, dict[str, np.ndarray]]
    counts: dict[str, np.ndarray]
    faults: np.ndarray

    def messages(self) -> Iterator[tuple[int, str]]:
        """What is wrong with which blobs, for people."""
        for blob in np.flatnonzero(self.faults[:, 0]).tolist():
            yield blob, _message(self.layout, *self.faults[blob].tolist())


def decode_blobs(
    layout: Layout,
    data: np.ndarray,
    starts: np.ndarray,
    stops: np.ndarray,
    wanted: frozenset[str] | None = None,
) -> Decoded:
    """Decode blobs of one type.

    Parameters
    ----------
    layout : Layout
        The type.
    data : uint8 array
        Bytes that hold the blobs.
    starts, stops : int64 array, shape (n,)
        Where each blob starts and ends.
    wanted : frozenset of str, optional
        Columns to keep, as ``level.name``.
    """
    program = layout.program(wanted)
    n_bytes = int((stops - starts).sum())
    least = np.array(program.least, dtype=np.int64)
    capacity = n_bytes // least + 1
    capacity[0] = len(starts)
    sizes = [-(-column.itemsize * int(capacity[column.level]) // 8) * 8 for column in program.columns]
    columns = np.cumsum([0, *sizes])
    out = np.zeros(int(columns[-1]), dtype=np.uint8)  # where a fault or a flag leaves a field unwritten
    n_rows = np.zeros(len(capacity), dtype=np.int64)
    faults = np.zeros((len(starts), 3), dtype=np.int64)
    name = np.frombuffer(layout.name.encode(), dtype=np.uint8)
    fields = [(columns[column] if column >= 0 else -1, size) for column, size in program.fields]
    walk(
        data, starts, stops, name, np.array(program.operations, dtype=np.int64),
        np.array([*fields, (-1, 0)], dtype=np.int64), len(program.classes), least, capacity,
        out, columns, n_rows, faults,
    )  # fmt: skip
    levels: dict[str, dict[str, np.ndarray]] = {name: {} for name in program.levels}
    counts = {}
    for column, start in zip(program.columns, columns.tolist(), strict=False):
        rows = int(n_rows[column.level])
        raw = out[start : start + rows * column.itemsize]
        values = _column(column, raw, data)
        if column.dtype == ROWS:
            if column.level == 0:
                values[faults[:, 0] > 0] = 0
            counts[column.name] = values
        else:
            levels[program.levels[column.level]][column.name] = values
    return Decoded(layout, levels, counts, faults)


def _column(column: Column, raw: np.ndarray, data: np.ndarray) -> np.ndarray:
    if column.dtype in (COUNT, ROWS):
        return raw.view(np.int64)
    if column.dtype == TEXT:
        names, number = distinct_texts(data, raw.view(np.int64).reshape(-1, 2))
        return np.array([*names, ""], dtype=np.dtypes.StringDType())[number]
    return raw.view(column.dtype)


def distinct_texts(data: np.ndarray, places: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Texts that there are, and which one each place (start, length) holds."""
    names = np.empty((len(places) + 1, 2), dtype=np.int64)
    slots = np.full(1 << (2 * len(places) + 1).bit_length(), -1, dtype=np.int32)
    number = np.empty(len(places), dtype=np.int64)
    n = number_texts(data, places, names, slots, number)
    return [decode_text(data, *place) for place in names[:n].tolist()], number


def _message(layout: Layout, fault: int, place: int, found: int) -> str:
    what = {
        Fault.ENDS_EARLY: "it ends before its last field",
        Fault.BYTES_LEFT: f"expected its end, found {found} bytes more",
        Fault.NAME: f"expected an object of the type {layout.name}, found another",
        Fault.TRACKING: f"expected a class's mark (0 or 1), found {found}",
        Fault.VERSION: f"version {found} of a class in it is not known",
        Fault.COUNT: f"expected no more items than there are bytes for, found {found}",
        Fault.ALTERNATIVE: f"alternative {found} is not known",
    }[Fault(fault)]
    return f"{layout.name}, byte {place}: {what}"
