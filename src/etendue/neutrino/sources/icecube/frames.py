"""Where the frames of an .i3 file are, and where each frame's objects: an index, which decodes nothing.

A file is frames one after the other. A frame is ``[i3]``, its version, its stream (a character, ``stop``),
and objects: each a key, a type and a *blob*, whose lengths tell where the next one is. It ends with a
CRC-32C over all from the stream on, with neither the initial nor the final inversion.

Source: IceCube's icetray-public, ``dataio/resources/docs/portable_binary_archive.rst``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import google_crc32c
import numpy as np

from etendue.kernel import kernel

#: The only version of frames that is read; icetray has written it since 2010.
VERSION = 6
#: The greatest frame that is believed to be one, in bytes.
MAX_FRAME = 1 << 30
#: Names that there is room for at first, a power of two: the time to make room must not grow with the file.
MOST_NAMES = 2048
#: Bytes of a frame before its first object, and of the least object (three lengths).
HEAD, LEAST_OBJECT = 15, 12
_CHECKED_FROM = 10

#: Why indexing stopped.
FULL, MORE, NO_MAGIC, BAD_VERSION, TOO_LONG, BAD_CRC = range(6)


@kernel
def read_u32(data, at):
    """An unsigned integer of four bytes, little-endian, as int64; compiled to one load."""
    at = np.uint64(at)  # an index without sign, which is not looked at for counting from the end
    return (
        np.int64(data[at])
        | np.int64(data[at + np.uint64(1)]) << 8
        | np.int64(data[at + np.uint64(2)]) << 16
        | np.int64(data[at + np.uint64(3)]) << 24
    )


@kernel
def _intern(data, start, length, names, slots, n_names):
    """Number of a name among those seen so far, and how many there are.

    ``names`` holds the start and length of each.
    """
    code = np.uint64(14695981039346656037)
    for i in range(start, start + length):
        code = (code ^ np.uint64(data[i])) * np.uint64(1099511628211)
    mask = slots.size - 1
    slot = np.int64(code & np.uint64(mask))
    while slots[slot] >= 0:
        name = slots[slot]
        if names[name, 1] == length:
            same = True
            for i in range(length):
                if data[names[name, 0] + i] != data[start + i]:
                    same = False
                    break
            if same:
                return name, n_names
        slot = (slot + 1) & mask
    slots[slot] = n_names
    names[n_names, 0], names[n_names, 1] = start, length
    return n_names, n_names + 1


@kernel
def number_texts(data, places, names, slots, number):
    """Number equal texts alike.

    Parameters
    ----------
    places : int64 array, shape (n, 2)
        Start and length of each text.
    names : int64 array, shape (n + 1, 2)
        Output: start and length of each distinct text.
    slots : int32 array
        Hash table of them; -1 where free. A power of two, larger than ``n``.
    number : int64 array, shape (n,)
        Output: which of the distinct texts each is.

    Returns
    -------
    int
        Distinct texts.
    """
    n = 0
    for i in range(len(places)):
        number[i], n = _intern(data, places[i, 0], places[i, 1], names, slots, n)
    return n


def decode_text(data: np.ndarray, start: int, length: int) -> str:
    """A text that is kept as UTF-8; bytes that are not, are shown by their codes."""
    return data[start : start + length].tobytes().decode(errors="backslashreplace")


@kernel
def index_frames(data, at, max_frame, frames, objects, names, slots, counts):
    """Find whole frames from ``at`` on.

    Parameters
    ----------
    data : uint8 array
        Bytes at hand.
    at : int
        Where a frame starts.
    max_frame : int
        Greatest length of a frame.
    frames : int64 array, shape (n, 5)
        Output: start, end, first object, end of objects, stream.
    objects : int64 array, shape (m, 4)
        Output: number of the key and of the type among ``names``; start and end of the blob.
    names : int64 array, shape (k, 2)
        Output: start and length of each new name.
    slots : int32 array
        Hash table of the names; -1 where free. A power of two, larger than ``k``.
    counts : int64 array, shape (3,)
        Rows of frames, objects and names in use; updated.

    Returns
    -------
    at : int
        Where the first frame starts that was not taken.
    reason : int
        Why: ``FULL`` (an output is full), ``MORE`` (bytes are missing), or what is wrong.
    """
    n_frames, n_objects, n_names = counts
    reason = FULL
    while n_frames < len(frames):
        if at + HEAD > data.size:
            reason = MORE
            for i in range(min(4, data.size - at)):
                if data[at + i] != (91, 105, 51, 93)[i]:
                    reason = NO_MAGIC
            break
        if not (data[at] == 91 and data[at + 1] == 105 and data[at + 2] == 51 and data[at + 3] == 93):
            reason = NO_MAGIC
            break
        if read_u32(data, at + 4) != VERSION:
            reason = BAD_VERSION
            break
        n = read_u32(data, at + 11)
        cursor = at + HEAD
        first = n_objects
        state = 0 if n * LEAST_OBJECT <= max_frame else TOO_LONG
        done = 0
        while state == 0 and done < n:
            if n_objects == len(objects) or n_names + 2 > len(names):
                state = -1
                break
            for part in range(3):
                if cursor + 4 > data.size:
                    state = MORE
                    break
                length = read_u32(data, cursor)
                cursor += 4
                if cursor + length - at > max_frame:
                    state = TOO_LONG
                    break
                if cursor + length > data.size:
                    state = MORE
                    break
                if part < 2:
                    objects[n_objects, part], n_names = _intern(data, cursor, length, names, slots, n_names)
                else:
                    objects[n_objects, 2], objects[n_objects, 3] = cursor, cursor + length
                cursor += length
            if state == 0:
                n_objects += 1
                done += 1
        if state == 0 and cursor + 4 > data.size:
            state = MORE
        if state != 0:
            n_objects = first
            reason = FULL if state == -1 else state
            break
        frames[n_frames] = (at, cursor + 4, first, n_objects, np.int64(data[at + 10]))
        n_frames += 1
        at = cursor + 4
    counts[0], counts[1], counts[2] = n_frames, n_objects, n_names
    return at, reason


@dataclass(frozen=True)
class Frames:
    """Whole frames, one after the other, and where their objects are.

    Parameters
    ----------
    data : uint8 array
        Bytes that hold them.
    names : list of str
        All keys and types met in the file so far.
    table : int64 array, shape (n_frames, 5)
        Of each frame: start and end in ``data``, first of its objects and the end, stream.
    objects : int64 array, shape (n_objects, 4)
        Of each object: key and type (numbers of ``names``), start and end of its blob in ``data``.
    after_damage : bool array, shape (n_frames,)
        Whether something before the frame could not be read.
    offset : int64 array, shape (n_frames,)
        Where each frame starts in the unpacked file.
    number : int
        Frames before the first of these.
    is_end : bool
        Whether the file is known to end after them.
    """

    data: np.ndarray
    names: list[str]
    table: np.ndarray
    objects: np.ndarray
    after_damage: np.ndarray
    offset: np.ndarray
    number: int
    is_end: bool = False

    def __len__(self) -> int:
        return len(self.table)

    @property
    def streams(self) -> np.ndarray:
        """Stream of each frame, as the code of its character."""
        return self.table[:, 4]

    def stream(self, frame: int) -> str:
        """Stream of a frame: ``Q``, ``P``, ``G``..."""
        return chr(self.table[frame, 4])

    def place(self, frame: int) -> str:
        """Where a frame is, for people."""
        return f"frame {self.number + frame} ({self.stream(frame)}), byte {self.offset[frame]}"

    def is_whole(self, frame: int) -> bool:
        """Whether a frame's checksum is right."""
        start, end = self.table[frame, :2].tolist()
        checked = self.data[start + _CHECKED_FROM : end - 4]
        checked.flags.writeable = False  # as the checksum's function wants it, which then copies nothing
        stored = int.from_bytes(self.data[end - 4 : end].tobytes(), "little")
        return google_crc32c.extend(_INVERTED, checked) ^ _INVERTED == stored

    def frames_of_objects(self) -> np.ndarray:
        """Frame of each object."""
        return np.repeat(np.arange(len(self)), self.table[:, 3] - self.table[:, 2])

    def cut(self, first: int, stop: int) -> Frames:
        """Some of the frames, with bytes of their own."""
        table = self.table[first:stop].copy()
        if not len(table):
            return replace(self, table=table, after_damage=self.after_damage[:0], offset=self.offset[:0])
        start, end, first_object, end_object = table[0, 0], table[-1, 1], table[0, 2], table[-1, 3]
        objects = self.objects[first_object:end_object].copy()
        table[:, :2] -= start
        table[:, 2:4] -= first_object
        objects[:, 2:] -= start
        return replace(
            self,
            data=self.data[start:end].copy(),
            table=table,
            objects=objects,
            after_damage=self.after_damage[first:stop],
            offset=self.offset[first:stop],
            number=self.number + first,
        )

    def up_to(self, stop: int) -> Frames:
        """The first of the frames, with the same bytes."""
        return replace(
            self,
            table=self.table[:stop],
            objects=self.objects[: self.table[stop, 2]],
            after_damage=self.after_damage[:stop],
            offset=self.offset[:stop],
        )

    def followed_by(self, other: Frames) -> Frames:
        """These frames and those that follow them in the file."""
        if not len(self):
            return other
        table, objects = other.table.copy(), other.objects.copy()
        table[:, :2] += len(self.data)
        table[:, 2:4] += len(self.objects)
        objects[:, 2:] += len(self.data)
        return replace(
            self,
            data=np.concatenate([self.data, other.data]),
            table=np.concatenate([self.table, table]),
            objects=np.concatenate([self.objects, objects]),
            after_damage=np.concatenate([self.after_damage, other.after_damage]),
            offset=np.concatenate([self.offset, other.offset]),
            is_end=other.is_end,
        )


_INVERTED = 0xFFFFFFFF


def find_frames(
    data: np.ndarray, at: int, n: int | None = None
) -> tuple[np.ndarray, np.ndarray, list[str], int, int]:
    """The whole frames from ``at`` on, at most ``n``.

    Returns
    -------
    table, objects : int64 array
        See `Frames`; names are counted from 0.
    names : list of str
        Keys and types that the objects have.
    at, reason : int
        Where the first frame starts that was not taken, and why it was not.
    """
    rows, most_names = n or 64 + (data.size - at) // 8192, MOST_NAMES
    while True:
        table = np.empty((rows, 5), dtype=np.int64)
        objects = np.empty((64 * rows, 4), dtype=np.int64)
        names = np.empty((most_names, 2), dtype=np.int64)
        slots = np.full(2 * most_names, -1, dtype=np.int32)
        counts = np.zeros(3, dtype=np.int64)
        end, reason = index_frames(data, at, MAX_FRAME, table, objects, names, slots, counts)
        n_frames, n_objects, n_names = counts.tolist()
        if reason != FULL or n_frames == n:
            break
        if n_names + 2 > most_names:
            most_names *= 4
        else:
            rows *= 4
    texts = [decode_text(data, *place) for place in names[:n_names].tolist()]
    return table[:n_frames].copy(), objects[:n_objects].copy(), texts, int(end), int(reason)
