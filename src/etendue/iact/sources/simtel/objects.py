"""EventIO objects: where they start and end.

A file is a sequence of top-level objects, each after a synchronisation marker. A header says type,
version, number (``id``) and length; an object holds data or other objects (without markers). See
K. Bernloehr, "The eventio format", and `eventio.header`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from etendue.errors import EtendueError
from etendue.iact.sources.simtel.stream import SYNC
from etendue.kernel import kernel

MC_EVENT, ADC_SAMPLES = 2021, 2013
#: Bits of the number of samples that say that pixels without signal are left out.
ZERO_SUPPRESSED = 0x1F

#: Greatest length that a header without extension can give; more is taken for damage.
MAX_LENGTH = 1 << 30
SYNC_WORD = int.from_bytes(SYNC, "little")

# What `find_objects` stopped at.
MORE, FULL, BAD_SYNC, TOO_LONG, BAD_END = range(5)


@kernel
def _word(data: np.ndarray, at: int) -> int:
    """Little-endian 32 bits."""
    return (
        np.int64(data[at])
        | np.int64(data[at + 1]) << 8
        | np.int64(data[at + 2]) << 16
        | np.int64(data[at + 3]) << 24
    )


@kernel
def parse_header(data: np.ndarray, at: int, row: np.ndarray) -> int:
    """Read the object header at a position, of which 16 bytes are at hand.

    Header: type (16 bits), flags and version (12 bits from bit 20); id; length (30 bits) and, in bit
    30, whether the object holds only objects. If bit 17 of the first word is set, 12 more bits of
    length follow.

    Returns the position after the object, and sets ``row`` to type, version, id, whether it holds
    objects, start of the content, and that position.
    """
    first, ident, length = _word(data, at), _word(data, at + 4), _word(data, at + 8)
    start = at + 12
    size = length & 0x3FFFFFFF
    if first & (1 << 17):
        size |= (_word(data, at + 12) & 0xFFF) << 30
        start += 4
    row[0] = first & 0xFFFF
    row[1] = first >> 20
    row[2] = ident - ((ident & 0x80000000) << 1)
    row[3] = (length >> 30) & 1
    row[4] = start
    row[5] = start + size
    return start + size


@kernel
def find_objects(
    data: np.ndarray, at: int, ended: bool, every: bool, most: int, rows: np.ndarray
) -> tuple[int, int, int]:
    """Find the whole top-level objects in a buffer.

    An object is whole if a synchronisation marker or the end of the data follows it. Of simulated
    events (2021) that follow one another directly, only the last is kept, with their number: the others
    had no trigger.

    Parameters
    ----------
    data : uint8 array
        The buffer.
    at : int
        Position of the first object's marker.
    ended : bool
        Whether the data ends with the buffer.
    every : bool
        Whether to keep all simulated events.
    most : int
        Greatest length of an object that is believed.
    rows : int64 array, shape (n, 8)
        Set to what `parse_header` gives, the position of the marker, and how many objects of other
        numbers the row stands for, one row an object.

    Returns
    -------
    n : int
        Objects found.
    at : int
        Position of the first marker that was not passed.
    reason : int
        ``MORE`` data needed, ``rows`` are ``FULL``, or the next object has a ``BAD_SYNC``, is
        ``TOO_LONG``, or has a ``BAD_END`` (nothing that looks like an object follows it).
    """
    n, previous = 0, -1
    while n < len(rows):
        if at + 4 > data.size:
            return n, at, MORE
        if _word(data, at) != SYNC_WORD:
            return n, at, BAD_SYNC
        if at + 20 > data.size and not (ended and at + 16 <= data.size):
            return n, at, MORE
        row = rows[n]
        if at + 20 > data.size and (data[at + 6] & 2):
            return n, at, MORE
        stop = parse_header(data, at + 4, row)
        row[6], row[7] = at, 1
        if row[5] - row[4] > most:
            return n, at, TOO_LONG
        if stop + 4 <= data.size:
            if _word(data, stop) != SYNC_WORD:
                return n, at, BAD_END
        elif not (ended and stop == data.size):
            return n, at, MORE
        if n and not every and row[0] == MC_EVENT and previous == MC_EVENT:
            row[7] = rows[n - 1, 7] + (row[2] != rows[n - 1, 2])
            for k in range(row.size):
                rows[n - 1, k] = row[k]
        else:
            n += 1
        previous = row[0]
        at = stop
    return n, at, FULL


@kernel
def find_children(data: np.ndarray, start: int, stop: int, rows: np.ndarray) -> int:
    """Find the objects in an object, and those in them, depth first.

    Parameters
    ----------
    data : uint8 array
        The buffer.
    start, stop : int
        Content of the parent.
    rows : int64 array, shape (n, 7)
        Set to what `parse_header` gives and the depth, one row an object.

    Returns
    -------
    int
        Objects found; -1 if they do not fill their parents exactly; -2 if there are more than rows.
    """
    stops = np.empty(8, dtype=np.int64)
    stops[0] = stop
    depth, at, n = 0, start, 0
    while True:
        while at == stops[depth]:
            if depth == 0:
                return n
            depth -= 1
        if n == len(rows):
            return -2
        if at + 12 > stops[depth] or ((data[at + 2] & 2) and at + 16 > stops[depth]):
            return -1
        row = rows[n]
        end = parse_header(data, at, row)
        if end > stops[depth]:
            return -1
        row[6] = depth
        n += 1
        at = end
        if row[3]:
            if depth == 7:
                return -1
            depth += 1
            stops[depth] = end
            at = row[4]


class Child(NamedTuple):
    """An object in an object."""

    type: int
    version: int
    id: int
    holds_objects: int
    start: int
    stop: int
    depth: int


@dataclass(slots=True)
class Object:
    """A top-level object: its header, and where its content lies in a buffer.

    Parameters
    ----------
    data : uint8 array
        Buffer that holds it.
    offset : int
        Position of its marker in the unpacked file.
    type, version, id, holds_objects
        From its header.
    start, stop : int
        Its content in ``data``.
    end : int
        Position after it in the unpacked file.
    count : int
        How many objects it stands for; see `find_objects`.
    """

    data: np.ndarray
    offset: int
    type: int
    version: int
    id: int
    holds_objects: int
    start: int
    stop: int
    end: int
    count: int = 1

    def children(self) -> list[Child]:
        """The objects in it, depth first.

        Raises
        ------
        ObjectError
            If they do not fill it exactly.
        """
        n_rows, n = 256, -2
        while n == -2:
            n_rows *= 4
            rows = np.empty((n_rows, 7), dtype=np.int64)
            n = find_children(self.data, self.start, self.stop, rows) if self.holds_objects else -1
        if n == -1:
            raise ObjectError("expected objects that fill it exactly, found other bytes")
        return [Child(*row) for row in rows[:n].tolist()]


class ObjectError(EtendueError, ValueError):
    """The content of an object is not what its type and version ask for."""


def unpack(format: struct.Struct, data: np.ndarray, start: int, stop: int) -> tuple:
    """Numbers from the start of an object's content.

    Raises
    ------
    ObjectError
        If the content is too short.
    """
    if start + format.size > stop:
        raise ObjectError(f"expected at least {format.size} bytes, found {stop - start}")
    return format.unpack_from(data, start)


def array(data: np.ndarray, dtype: str, count: int, start: int, stop: int) -> np.ndarray:
    """Equal numbers from an object's content; see `unpack`."""
    size = count * np.dtype(dtype).itemsize
    if count < 0 or start + size > stop:
        raise ObjectError(f"expected {count} numbers in {size} bytes, found {stop - start} bytes")
    return data[start : start + size].view(dtype)
