"""Blobs of one type decoded, many at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from etendue.neutrino.sources.icecube.frames import MOST_NAMES, decode_text, number_texts
from etendue.neutrino.sources.icecube.layout import COUNT, PLACE, ROWS, TEXT, Layout, Program
from etendue.neutrino.sources.icecube.walk import CLASSES, Fault, walk


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
    names : list of str
        What the numbers of the numbered text column stand for.
    """

    layout: Layout
    levels: dict[str, dict[str, np.ndarray]]
    counts: dict[str, np.ndarray]
    faults: np.ndarray
    names: list[str]

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
    numbered: str = "",
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
    numbered : str, optional
        A column of texts to give as numbers among the distinct ones, which are made texts once.
    """
    program = layout.program(wanted)
    out, columns, n_rows, faults = _walked(layout.name, program, data, starts, stops)
    if program.has_gaps and faults[:, 0].any():
        # What a blob at fault has left would show where the next lacks a field: once more without those.
        good = np.where(faults[:, 0] == 0, stops, starts)
        out, columns, n_rows, _ = _walked(layout.name, program, data, starts, good)
    levels: dict[str, dict[str, np.ndarray]] = {name: {} for name in program.levels}
    counts, names = {}, []
    for column, start in zip(program.columns, columns.tolist(), strict=False):
        rows = int(n_rows[column.level])
        raw = out[start : start + rows * column.itemsize]
        level = program.levels[column.level]
        if column.dtype == ROWS:
            counts[column.name] = raw.view(np.int64)
            if column.level == 0:
                counts[column.name][faults[:, 0] > 0] = 0
        elif column.dtype == PLACE:
            continue
        elif column.dtype == TEXT and f"{level}.{column.name}" == numbered:
            names, levels[level][column.name] = distinct_texts(data, raw)
        elif column.dtype == TEXT:
            texts, number = distinct_texts(data, raw)
            levels[level][column.name] = np.array([*texts, ""], dtype=np.dtypes.StringDType())[number]
        else:
            levels[level][column.name] = raw.view(np.int64 if column.dtype == COUNT else column.dtype)
    if layout.finish and wanted is None:
        layout.finish(levels, counts)
    return Decoded(layout, levels, counts, faults, names)


def _walked(
    name: str, program: Program, data: np.ndarray, starts: np.ndarray, stops: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All columns in one piece, where each starts, rows of each level, and faults; see `walk`."""
    plan = program.arrays
    capacity = int((stops - starts).sum()) // plan.least + 1
    capacity[0] = len(starts)
    sizes = (plan.itemsizes * capacity[plan.levels] + 7) // 8 * 8
    columns = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=columns[1:])
    out = (np.zeros if program.has_gaps else np.empty)(int(columns[-1]), dtype=np.uint8)
    for column in np.flatnonzero(plan.levels == 0).tolist():
        out[columns[column] : columns[column + 1]] = 0  # the row of a blob at fault stays so
    n_rows = np.zeros(len(capacity), dtype=np.int64)
    faults = np.zeros((len(starts), 3), dtype=np.int64)
    fields, item_fields = plan.fields.copy(), plan.item_fields.copy()
    fields[:, 0] = np.where(fields[:, 0] >= 0, columns[fields[:, 0]], -1)
    item_fields[:, 0] = columns[item_fields[:, 0]]
    walk(
        data, starts, stops, np.frombuffer(name.encode(), dtype=np.uint8), plan.operations, fields,
        plan.items, item_fields, len(program.classes), plan.least, capacity, out, columns, n_rows, faults,
    )  # fmt: skip
    return out, columns, n_rows, faults


def distinct_texts(data: np.ndarray, raw: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Texts that there are, and which one each of the places (start, length) in ``raw`` holds."""
    places, most, n = raw.view(np.int64).reshape(-1, 2), MOST_NAMES, -1
    number = np.empty(len(places), dtype=np.int64)
    while n < 0:
        names = np.empty((most, 2), dtype=np.int64)
        n = number_texts(data, places, names, np.full(2 * most, -1, dtype=np.int32), number)
        most *= 4
    return [decode_text(data, *place) for place in names[:n].tolist()], number


def find_unknown(layout: Layout, data: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> dict[int, str]:
    """Which blobs are not understood though they may be whole, as a version in them is not known, and why."""
    *_, faults = _walked(layout.name, layout.program(frozenset()), data, starts, stops)
    unread = (faults[:, 0] == Fault.VERSION) | (faults[:, 0] == Fault.ALTERNATIVE)
    return {blob: _message(layout, *faults[blob].tolist()) for blob in np.flatnonzero(unread).tolist()}


def _message(layout: Layout, fault: int, place: int, found: int) -> str:
    classes = list(layout.program().classes)
    what = {
        Fault.ENDS_EARLY: "it ends before its last field",
        Fault.BYTES_LEFT: f"expected its end, found {found} bytes more",
        Fault.NAME: f"expected an object of the type {layout.name}, found another",
        Fault.TRACKING: f"expected a class's mark (0 or 1), found {found}",
        Fault.VERSION: f"version {found % CLASSES} of the class "
        f"{classes[found // CLASSES % len(classes)]} is not known",
        Fault.COUNT: f"expected no more items than there are bytes for, found {found}",
        Fault.ALTERNATIVE: f"alternative {found} is not known",
    }[Fault(fault)]
    return f"{layout.name}, byte {place}: {what}"
