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
#: Least bytes of a blob's head: two marks, class number, length of the name of its type.
BLOB_HEAD = 8
#: Longest name of a type that is believed to be one.
LONGEST = 512

#: Why indexing stopped.
FULL, MORE, NO_MAGIC, BAD_VERSION, TOO_LONG, BAD_CRC, DONE = range(7)


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
    code, end = np.uint64(length), start + length
    for at in range(start, end - 3, 4):
        code = (code ^ np.uint64(read_u32(data, at))) * np.uint64(0x9E3779B97F4A7C15)
        code ^= code >> np.uint64(32)
    for at in range(end - length % 4, end):
        code = (code ^ np.uint64(data[at])) * np.uint64(0x9E3779B97F4A7C15)
        code ^= code >> np.uint64(32)
    mask = slots.size - 1
    slot = np.int64(code & np.uint64(mask))
    while slots[slot] >= 0:
        name = slots[slot]
        if names[name, 1] == length and _is_same(data, names[name, 0], start, length):
            return name, n_names
        slot = (slot + 1) & mask
    slots[slot] = n_names
    names[n_names, 0], names[n_names, 1] = start, length
    return n_names, n_names + 1


@kernel
def _is_same(data, one, other, length):
    """Whether two stretches of bytes are equal."""
    same = True
    for i in range(0, length - 3, 4):
        same &= read_u32(data, one + i) == read_u32(data, other + i)
    for i in range(length - length % 4, length):
        same &= data[one + i] == data[other + i]
    return same


@kernel
def number_texts(data, places, names, slots, number):
    """Number equal texts alike.

    Parameters
    ----------
    places : int64 array, shape (n, 2)
        Start and length of each text.
    names : int64 array, shape (m, 2)
        Output: start and length of each distinct text.
    slots : int32 array
        Hash table of them; -1 where free. A power of two, larger than ``m``.
    number : int64 array, shape (n,)
        Output: which of the distinct texts each is.

    Returns
    -------
    int
        Distinct texts; -1 if there is no room for more.
    """
    n = 0
    for i in range(len(places)):
        if n == len(names):
            return -1
        number[i], n = _intern(data, places[i, 0], places[i, 1], names, slots, n)
    return n


def decode_text(data: np.ndarray, start: int, length: int) -> str:
    """A text that is kept as UTF-8; bytes that are not, are shown by their codes."""
    return data[start : start + length].tobytes().decode(errors="backslashreplace")


@kernel
def _index_objects(data, at, n, max_frame, objects, names, slots, n_objects, n_names):
    """Find the ``n`` objects of the frame that starts at ``at``; see `index_frames`.

    Returns
    -------
    cursor, n_objects, n_names : int
        Where they end, and how many there are now.
    reason : int
        ``DONE``, or why not.
    """
    cursor = at + HEAD
    for _ in range(n):
        if n_objects == len(objects) or n_names + 2 > len(names):
            return cursor, n_objects, n_names, FULL
        for part in range(3):
            if cursor + 4 > data.size:
                return cursor, n_objects, n_names, MORE
            length = read_u32(data, cursor)
            cursor += 4
            if cursor + length - at > max_frame:
                return cursor, n_objects, n_names, TOO_LONG
            if cursor + length > data.size:
                return cursor, n_objects, n_names, MORE
            if part == 0:
                objects[n_objects, 0], n_names = _intern(data, cursor, length, names, slots, n_names)
            cursor += length
        start, named = registered_name(data, cursor - length, cursor)
        objects[n_objects, 1], n_names = _intern(data, start, named, names, slots, n_names)
        objects[n_objects, 2], objects[n_objects, 3] = cursor - length, cursor
        n_objects += 1
    return cursor, n_objects, n_names, DONE


@kernel
def registered_name(data, start, stop):
    """Where the name is, and its length, that the type of a blob is registered under; 0 if it has none."""
    if stop - start < BLOB_HEAD or data[start] != 0 or data[start + 1] != 1:
        return start, np.int64(0)
    length = read_u32(data, start + 4)
    return start + BLOB_HEAD, length if length <= min(stop - start - BLOB_HEAD, LONGEST) else np.int64(0)


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
        Output: number among ``names`` of the key, and of the name that the type is registered under;
        start and end of the blob.
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
        if n * LEAST_OBJECT > max_frame:
            reason = TOO_LONG
            break
        first = n_objects
        cursor, n_objects, n_names, reason = _index_objects(
            data, at, n, max_frame, objects, names, slots, n_objects, n_names
        )
        if reason == DONE and cursor + 4 > data.size:
            reason = MORE
        if reason != DONE:
            n_objects = first
            break
        frames[n_frames, 0], frames[n_frames, 1] = at, cursor + 4
        frames[n_frames, 2], frames[n_frames, 3] = first, n_objects
        frames[n_frames, 4] = data[at + 10]
        n_frames += 1
        at = cursor + 4
        reason = FULL
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

    def bytes_of(self, frame: int) -> str:
        """A frame and its bytes in the unpacked file, for people."""
        start, length = int(self.offset[frame]), int(self.table[frame, 1] - self.table[frame, 0])
        name = f"frame {self.number + frame:,} ({self.stream(frame)})"
        return f"{name}, bytes {start:,} to {start + length:,}"

    def are_whole(self, frames: np.ndarray) -> np.ndarray:
        """Of which of some frames the checksum is right; all their bytes are read."""
        data = self.data[:]
        data.flags.writeable = False  # as the checksum's function wants it, which then copies nothing
        starts, ends = self.table[frames, 0] + _CHECKED_FROM, self.table[frames, 1] - 4
        stored = data[ends[:, None] + np.arange(4)].view("<u4")[:, 0]
        found = [
            google_crc32c.extend(_INVERTED, data[start:end])
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        ]
        return np.array(found, np.uint32) ^ np.uint32(_INVERTED) == stored

    def is_whole(self, frame: int) -> bool:
        """Whether a frame's checksum is right."""
        return bool(self.are_whole(np.array([frame]))[0])

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
            objects=self.objects[: self.table[stop - 1, 3] if stop else 0],
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
    data: np.ndarray, at: int, n: int | None = None, most: int | None = None
) -> tuple[np.ndarray, np.ndarray, list[str], int, int]:
    """The whole frames from ``at`` on, at most ``n``, each of at most ``most`` bytes (and `MAX_FRAME`).

    Returns
    -------
    table, objects : int64 array
        See `Frames`; names are counted from 0.
    names : list of str
        Keys and types that the objects have.
    at, reason : int
        Where the first frame starts that was not taken, and why it was not.
    """
    limit = min(most or MAX_FRAME, MAX_FRAME)
    rows, most_names = n or 64 + (data.size - at) // 8192, MOST_NAMES
    while True:
        table = np.empty((rows, 5), dtype=np.int64)
        objects = np.empty((64 * rows, 4), dtype=np.int64)
        names = np.empty((most_names, 2), dtype=np.int64)
        slots = np.full(2 * most_names, -1, dtype=np.int32)
        counts = np.zeros(3, dtype=np.int64)
        end, reason = index_frames(data, at, limit, table, objects, names, slots, counts)
        n_frames, n_objects, n_names = counts.tolist()
        if reason != FULL or n_frames == n:
            break
        if n_names + 2 > most_names:
            most_names *= 4
        else:
            rows *= 4
    texts = [decode_text(data, *place) for place in names[:n_names].tolist()]
    table.resize((n_frames, 5), refcheck=False)  # in place: the rest is given back
    objects.resize((n_objects, 4), refcheck=False)
    return table, objects, texts, int(end), int(reason)
