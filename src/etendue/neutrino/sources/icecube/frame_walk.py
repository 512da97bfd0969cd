"""The frames of a file one after the other, and how to go on after damage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from etendue.dataflow.packed import UnpackError, most_bytes_in, packing_of
from etendue.neutrino.sources.icecube.frames import (
    BAD_CRC,
    BAD_VERSION,
    MAX_FRAME,
    MORE,
    NO_MAGIC,
    VERSION,
    Frames,
    find_frames,
)
from etendue.neutrino.sources.icecube.stream import MAGIC, pieces

#: Unpacked bytes that are indexed at once.
FILL = 32 << 20
#: Bytes that are searched at once for the start of a frame.
LOOK = 1 << 20
WRONG_CHECKSUM = "expected the checksum (CRC-32C) of the frame's bytes, found another: corrupted"
#: Places in a file that are tried as the start of a frame after damage, before giving up.
MAX_TRIES = 1000


@dataclass(frozen=True)
class Damage:
    """A stretch of a file that is not whole frames.

    Parameters
    ----------
    offset : int
        Where it starts in the unpacked file.
    message : str
        What was expected and what was found.
    """

    offset: int
    message: str


@dataclass
class FrameWalk:
    """The frames of a file in order, many at a time, with notes of the damage between them.

    After damage it looks for the next whole frame whose checksum is right. A file that is not packed is
    mapped into memory and only its frames' heads and keys are read, so the walk takes time in proportion to
    the number of objects; a packed file is unpacked piece by piece.
    """

    path: str

    def __iter__(self) -> Iterator[Frames | Damage]:
        self._names: dict[str, int] = {}
        self._texts: list[str] = []
        self._n_frames, self._tries = 0, 0
        self._data, self._at, self._offset = np.empty(0, np.uint8), 0, 0
        self._error: UnpackError | None = None
        self._damaged = False
        try:
            self._most = most_bytes_in(self.path, MAX_FRAME)
            if packing_of(self.path) or not os.path.getsize(self.path):
                self._pieces, self._ended = pieces(self.path), False
            else:
                self._data, self._ended = np.asarray(np.memmap(self.path, np.uint8, mode="c")), True
        except OSError as error:
            yield Damage(0, f"the file cannot be read ({error.strerror})")
            return
        yield from self._walk()
        if self._error:
            yield Damage(self._offset + self._at, f"{self._error}, and nothing after this can be read")

    def _walk(self) -> Iterator[Frames | Damage]:
        while True:
            *found, at, reason = find_frames(self._data, self._at, most=self._most)
            frames = self._frames(*found)
            if reason == NO_MAGIC and len(frames) and not frames.is_whole(len(frames) - 1):
                # What does not start where this one ends may well be its wrong length.
                at = int(frames.table[-1, 0])
                frames = frames.up_to(len(frames) - 1)
                reason = BAD_CRC
            if len(frames):
                self._n_frames += len(frames)
                self._damaged = False
                ends = reason == MORE and self._ended and at == len(self._data) and self._error is None
                yield replace(frames, is_end=ends)
            self._at = at
            if reason == MORE and not self._ended:
                self._fill(2 * (len(self._data) - at))
                continue
            if at == len(self._data) and reason == MORE:
                return
            yield Damage(self._offset + at, self._message(at, reason))
            self._damaged = True
            if not self._resynchronise():
                return

    def _frames(self, table: np.ndarray, objects: np.ndarray, texts: list[str]) -> Frames:
        for text in texts:
            if text not in self._names:
                self._names[text] = len(self._names)
                self._texts.append(text)
        numbers = np.array([self._names[text] for text in texts] or [0], dtype=np.int64)
        for column in (0, 1):
            objects[:, column] = numbers[objects[:, column]]
        after_damage = np.zeros(len(table), dtype=np.bool_)
        after_damage[:1] = self._damaged
        offset = table[:, 0] + self._offset
        return Frames(self._data, self._texts, table, objects, after_damage, offset, self._n_frames)

    def _fill(self, size: int) -> None:
        """Have the bytes from the next frame on at hand, and so many in all if there are."""
        parts, n = [self._data[self._at :].copy()], len(self._data) - self._at
        self._data = parts[0]  # what was before it may go
        while n < max(FILL, size) and not self._ended:
            try:
                parts.append(np.frombuffer(next(self._pieces), dtype=np.uint8))
                n += len(parts[-1])
            except StopIteration:
                self._ended = True
            except UnpackError as error:
                self._error, self._ended = error, True
            except OSError as error:
                self._error = UnpackError(f"the file cannot be read ({error.strerror})")
                self._ended = True
        self._offset += self._at
        self._at = 0
        self._data = np.concatenate(parts)

    def _resynchronise(self) -> bool:
        """Go to the next whole frame; whether there is one."""
        self._at += 1
        while self._tries < MAX_TRIES:
            found = _find(self._data, self._at)
            if found < 0:
                if self._ended:
                    return False
                self._at = max(self._at, len(self._data) - len(MAGIC) + 1)
                self._fill(FILL)
                continue
            self._at = found
            *one, _, reason = find_frames(self._data, found, 1, self._most)
            if reason == MORE and not self._ended:
                self._fill(2 * (len(self._data) - found))
                continue
            self._tries += 1
            if len(one[0]) and self._frames(*one).is_whole(0):
                return True
            self._at += 1
        return False

    def _message(self, at: int, reason: int) -> str:
        start = self._data[at : at + 8].tobytes()
        if reason == MORE and self._error:
            return f"{self._error}: the frame that starts here is cut off"
        if reason == MORE:
            left = len(self._data) - at
            return (
                f"expected a whole frame, found the end after {left} bytes: truncated, or a length is wrong"
            )
        if reason == NO_MAGIC:
            return f"expected a frame, which starts with {MAGIC!r}, found {start[:4]!r}: corrupted"
        if reason == BAD_VERSION:
            version = int.from_bytes(start[4:], "little")
            return f"expected a frame of version {VERSION}, found version {version}, which cannot be read"
        if reason == BAD_CRC:
            return f"{WRONG_CHECKSUM}, and there is no frame after it"
        return f"expected a frame of at most {self._most} bytes, found a longer one: corrupted"


def _find(data: np.ndarray, at: int) -> int:
    """Where a frame may start, from ``at`` on; negative if there is no such place."""
    for start in range(at, len(data), LOOK):
        found = data[start : start + LOOK + len(MAGIC) - 1].tobytes().find(MAGIC)
        if found >= 0:
            return start + found
    return -1
