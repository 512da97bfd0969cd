"""Kernels for entries that are vectors of vectors, or of texts: fit parameters of tracks, names of values.

An entry is a byte count of four bytes (bit 30 set; itself not counted), a version of two, and then, for each
row of the parent table, a vector: a count of four bytes and the items. An item is a big-endian number, or
a text: a byte with its length (255 for a length in four bytes that follow) and its characters. First a kernel
counts and checks; only entries that passed are decoded, so no kernel reads out of bounds.
"""

from __future__ import annotations

import numpy as np

from etendue.kernel import kernel
from etendue.neutrino.sources.km3net.layouts import BYTE_COUNT, read_i4, read_u4

#: Bytes before the vectors of an entry: byte count and version.
HEADER = 6


@kernel
def text_span(data: np.ndarray, at: int, end: int) -> tuple[int, int]:
    """Where the characters of a text begin and end; an end of -1 if it does not fit before ``end``."""
    if at >= end:
        return at, -1
    length, at = np.int64(data[at]), at + 1
    if length == 255:
        if at + 4 > end:
            return at, -1
        length, at = read_i4(data, at), at + 4
    return at, at + length if 0 <= length <= end - at else -1


@kernel
def count_inner(
    data: np.ndarray, offsets: np.ndarray, n_inner: np.ndarray, item_size: int, counted: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Items of each inner vector, and which entries are as they should be.

    Parameters
    ----------
    data : uint8 array
        Bytes of the entries.
    offsets : int64 array, shape (n_entries + 1,)
        Start of each entry.
    n_inner : int64 array, shape (n_entries,)
        Inner vectors that each entry should have.
    item_size : int
        Bytes of an item; 0 for texts.
    counted : bool
        False if an inner vector is one item without a count.

    Returns
    -------
    counts : int64 array, shape (sum of n_inner,)
        0 in entries that are not as they should be.
    ok : bool array, shape (n_entries,)
    """
    counts = np.zeros(n_inner.sum(), dtype=np.int64)
    ok = np.zeros(len(n_inner), dtype=np.bool_)
    first = 0
    for entry in range(len(n_inner)):
        start, end = offsets[entry], offsets[entry + 1]
        at = start + HEADER
        good = at <= end and read_u4(data, start) == BYTE_COUNT + end - start - 4
        row = first
        while good and row < first + n_inner[entry]:
            n = np.int64(1)
            if counted:
                good = at + 4 <= end
                n = read_i4(data, at) if good else np.int64(-1)
                at += 4
            good = n >= 0
            if item_size > 0:
                at += max(n, 0) * item_size
                good = good and at <= end
            else:
                for _ in range(n):
                    _, at = text_span(data, at, end)
                    if at < 0:
                        good = False
                        break
            counts[row] = n
            row += 1
        ok[entry] = (good and at == end) or (start == end and n_inner[entry] == 0)
        if not ok[entry]:
            counts[first:row] = 0
        first += n_inner[entry]
    return counts, ok


@kernel
def inner_items(
    data: np.ndarray,
    offsets: np.ndarray,
    n_inner: np.ndarray,
    counts: np.ndarray,
    keep: np.ndarray,
    item_size: int,
    items: np.ndarray,
) -> None:
    """Bytes of the numbers of all inner vectors of the entries to keep, one after another.

    Parameters
    ----------
    data, offsets, n_inner, counts, item_size
        See `count_inner`.
    keep : bool array, shape (n_entries,)
        Entries to decode.
    items : uint8 array
        Written; ``item_size`` bytes for each item kept.
    """
    row, written = 0, 0
    for entry in range(len(n_inner)):
        at = offsets[entry] + HEADER
        for k in range(row, row + n_inner[entry]):
            if keep[entry]:
                size = counts[k] * item_size
                for i in range(size):
                    items[written + i] = data[at + 4 + i]
                written += size
                at += 4 + size
        row += n_inner[entry]


@kernel
def inner_texts(
    data: np.ndarray,
    offsets: np.ndarray,
    n_inner: np.ndarray,
    counts: np.ndarray,
    keep: np.ndarray,
    counted: bool,
    spans: np.ndarray,
) -> None:
    """Start and end of each text of the entries to keep: ``spans`` of shape (n, 2) is written."""
    row, text = 0, 0
    for entry in range(len(n_inner)):
        at, end = offsets[entry] + HEADER, offsets[entry + 1]
        for k in range(row, row + n_inner[entry]):
            if keep[entry]:
                at += 4 if counted else 0
                for _ in range(counts[k]):
                    start, at = text_span(data, at, end)
                    spans[text, 0], spans[text, 1] = start, at
                    text += 1
        row += n_inner[entry]


def texts(data: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """The texts between the given bytes, as a text column; equal ones are decoded once."""
    raw = data.tobytes()
    known: dict[bytes, str] = {}
    found = []
    for start, end in spans.tolist():
        text = raw[start:end]
        if text not in known:
            known[text] = text.decode("utf-8", errors="replace")
        found.append(known[text])
    return np.array(found, dtype=np.dtypes.StringDType())
