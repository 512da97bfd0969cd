"""The top-level objects of a file one after the other, and how to go on after a broken one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from etendue.dataflow.packed import Note, UnpackError, ignore, most_bytes_in, pieces
from etendue.iact.sources.simtel.objects import (
    BAD_END,
    BAD_SYNC,
    FULL,
    MAX_LENGTH,
    MORE,
    TOO_LONG,
    Object,
    ObjectError,
    find_objects,
    parse_header,
)
from etendue.iact.sources.simtel.stream import SYNC, SYNC_BIG_ENDIAN

#: Bytes to have at hand; large enough that copying the rest of the last fill costs nothing.
FILL = 1 << 20
#: Greatest object that is believed to be one though its marker is broken.
MAX_LOOK = 64 << 20


@dataclass(slots=True)
class Damage:
    """A stretch of the file that is not whole objects; what follows is whole again.

    Parameters
    ----------
    offset : int
        Where it starts in the unpacked file.
    type, id : int
        Of the object that starts there, as far as its header can be read; else -1.
    message : str
        What was expected and what was found.
    trusted : float
        Position up to which the unpacked data before it is right: less than ``offset`` where an error
        of the packed data shows late.
    """

    offset: int
    type: int
    id: int
    message: str
    trusted: float = math.inf


@dataclass
class ObjectWalk:
    """The top-level objects of a file, in order, with notes of the damage between them.

    After damage it searches for the next marker that starts a whole object. It never holds more than
    one object and `FILL`.

    Parameters
    ----------
    path : str
        The file.
    note : callable, optional
        See `stream.pieces`.
    every : bool
        Whether to give all simulated events; else, of those in a row, the last one with their number.
    """

    path: str
    note: Note = ignore
    every: bool = False

    def __iter__(self) -> Iterator[Object | Damage]:
        self._pieces = pieces(self.path, self.note)
        self._most = most_bytes_in(self.path, MAX_LENGTH)
        self._error: UnpackError | None = None
        self._ended = False
        self._buffer, self._at, self._offset = b"", 0, 0
        self.data = np.frombuffer(self._buffer, dtype=np.uint8)
        rows = np.empty((1024, 8), dtype=np.int64)
        lost = False
        while True:
            n, self._at, reason = find_objects(self.data, self._at, self._ended, self.every, self._most, rows)
            data, offset = self.data, self._offset
            for row in rows[:n].tolist():
                yield _object(data, offset, row)
                lost = False
            if reason == FULL:
                continue
            if reason == MORE and not self._ended:
                row = self._row(0)
                self._have(row[5] - self._at + 4 if row else 20)
                continue
            if reason == MORE and self._at == self.data.size:
                break
            if reason == BAD_END and (found := self._whole()):
                yield found
                lost = False
                continue
            if not lost:
                yield self._damage(reason)
            lost = True
            if not self._resynchronise():
                break
        if self._error:
            yield self._unpack_damage(-1, -1)

    def _have(self, size: int) -> None:
        """Have so many bytes at hand, from the next marker on, or all there are."""
        n = len(self._buffer) - self._at
        if n >= size or self._ended:
            return
        parts = [self._buffer[self._at :]]
        while n < max(FILL, size) and not self._ended:
            try:
                parts.append(next(self._pieces))
            except StopIteration:
                self._ended = True
            except UnpackError as error:
                self._error, self._ended = error, True
            except OSError as error:
                self._error = UnpackError(f"the file cannot be read ({error.strerror})")
                self._ended = True
            else:
                n += len(parts[-1])
        self._offset += self._at
        self._at = 0
        self._buffer = b"".join(parts)
        self.data = np.frombuffer(self._buffer, dtype=np.uint8)

    def _row(self, distance: int) -> list[int] | None:
        """Header of the object so many bytes on, right marker or not; None if that is not at hand."""
        at = self._at + distance
        if at + 20 > len(self._buffer):
            return None
        row = np.ones(8, dtype=np.int64)
        parse_header(self.data, at + 4, row)
        row[6] = at
        return row.tolist()

    def _object_at(self, distance: int) -> list[int] | None:
        """Header of the object so many bytes on, if a marker follows it; its own may be broken."""
        self._have(distance + 20)
        row = self._row(distance)
        if row is None or row[5] - row[4] > min(MAX_LOOK, self._most):
            return None
        self._have(row[5] - self._at + 4)
        row = self._row(distance)  # what is at hand may have moved
        ends = self._ended and row[5] == len(self._buffer)
        return row if ends or self._buffer.startswith(SYNC, row[5]) else None

    def _whole(self) -> Object | None:
        """The next object, after which there is no marker, if it is only that marker that is broken."""
        length = self._row(0)[5] - self._at
        follows = self._object_at(length)
        found = _object(self.data, self._offset, self._row(0))
        if follows is None:
            try:
                found.children()
            except ObjectError:
                return None
        self._at += length
        return found

    def _damage(self, reason: int) -> Damage:
        row = self._object_at(0) if reason == BAD_SYNC else self._row(0)
        kind, ident = (row[0], row[2]) if row else (-1, -1)
        length = row[5] - self._at if row else 0
        found = self._buffer[self._at : self._at + 4]
        if reason == MORE and self._error:
            return self._unpack_damage(kind, ident)
        if reason == MORE:
            expected = f"an object of {length} bytes" if row else "an object's header"
            left = len(self._buffer) - self._at
            message = f"expected {expected}, found the end after {left}: truncated, or the length is wrong"
        elif reason == TOO_LONG:
            message = f"expected an object of at most {self._most} bytes, found one of {length}: corrupted"
        elif reason == BAD_END:
            message = f"expected another object after {length} bytes, found other bytes: corrupted"
        elif found == SYNC_BIG_ENDIAN:
            message = "expected little-endian data, found big-endian data, which cannot be read"
        else:
            message = f"expected the marker {SYNC.hex()} of an object, found {found.hex()}: corrupted"
        return Damage(self._offset + self._at, kind, ident, message)

    def _unpack_damage(self, kind: int, ident: int) -> Damage:
        offset, error = self._offset + self._at, self._error
        trusted = min(offset, self._offset + len(self._buffer) - error.suspect)
        self._error = None
        return Damage(offset, kind, ident, f"{error}, and nothing after this can be read", trusted)

    def _resynchronise(self) -> bool:
        """Go to the next marker after this one; whether there is one."""
        self._at += 1
        while True:
            found = self._buffer.find(SYNC, self._at)
            if found >= 0:
                self._at = found
                return True
            if self._ended:
                return False
            self._at = max(self._at, len(self._buffer) - 3)
            self._have(FILL)


def _object(data: np.ndarray, offset: int, row: list[int]) -> Object:
    kind, version, ident, holds, start, stop, marker, count = row
    return Object(data, offset + marker, kind, version, ident, holds, start, stop, offset + stop, count)
