"""Frames for people and for comparisons: which there are, what they hold, one object at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from etendue.dataflow.source import SourceError
from etendue.neutrino.sources.icecube.decode import Decoded, decode_blobs
from etendue.neutrino.sources.icecube.events import ADVICE
from etendue.neutrino.sources.icecube.frame_walk import WRONG_CHECKSUM, Damage, FrameWalk
from etendue.neutrino.sources.icecube.frames import Frames, decode_text, registered_name
from etendue.neutrino.sources.icecube.layouts import LAYOUTS
from etendue.neutrino.sources.icecube.messages import is_message, read_message
from etendue.schema import Columns

PARTICLE = "I3Particle"


@dataclass(frozen=True)
class Frame:
    """One frame.

    Parameters
    ----------
    stop : str
        Its stream: ``Q``, ``P``, ``G``...
    number : int
        Its place among the file's frames, from 0.
    offset : int
        Where it starts in the unpacked file, in bytes.
    """

    stop: str
    number: int
    offset: int
    _frames: Frames
    _row: int

    def _objects(self) -> Iterator[tuple[str, str, int, int]]:
        first, end = self._frames.table[self._row, 2:4].tolist()
        for key, kind, start, stop in self._frames.objects[first:end].tolist():
            yield self._frames.names[key], self._frames.names[kind], start, stop

    def keys(self) -> list[str]:
        """Keys of its objects, in the file's order."""
        return [key for key, *_ in self._objects()]

    @property
    def content(self) -> bytes:
        """All bytes of the frame, as the file has them."""
        start, end = self._frames.table[self._row, :2].tolist()
        return self._frames.data[start:end].tobytes()

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def type(self, key: str) -> str:
        """Name that an object's type is registered under."""
        return self._place(key)[0]

    def blob(self, key: str) -> bytes:
        """Bytes of an object."""
        _, start, stop = self._place(key)
        return self._frames.data[start:stop].tobytes()

    def decode(self, key: str) -> Decoded:
        """Columns of an object; see `decode`."""
        return decode(self.blob(key), self.type(key))

    def _place(self, key: str) -> tuple[str, int, int]:
        for known, *place in self._objects():
            if known == key:
                return tuple(place)
        raise KeyError(f"frame {self.number} ({self.stop}) has no {key!r}; it has {self.keys()}")


class FrameIndex(Sequence[Frame]):
    """The frames of a file, in order. Nothing is decoded."""

    def __init__(self, chunks: list[Frames]) -> None:
        self._chunks = chunks
        self._ends = np.cumsum([len(chunk) for chunk in chunks]).tolist()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, number: int) -> Frame:
        if not -len(self) <= number < len(self):
            raise IndexError(f"there is no frame {number}; there are {len(self)}")
        number %= len(self)
        chunk = int(np.searchsorted(self._ends, number, side="right"))
        frames = self._chunks[chunk]
        row = number - (self._ends[chunk] - len(frames))
        return Frame(frames.stream(row), number, int(frames.offset[row]), frames, row)


def read_frames(path: str, check: bool = True) -> FrameIndex:
    """Index the frames of an .i3 file (plain or packed) or of a real-time message.

    Parameters
    ----------
    path : str
        The file.
    check : bool
        Whether to verify each frame's checksum, for which all bytes are read.

    Raises
    ------
    SourceError
        If the file is damaged; says at which frame and byte.
    """
    chunks: list[Frames] = []
    for found in read_message(path) if is_message(path) else FrameWalk(path):
        if isinstance(found, Damage):
            n = sum(map(len, chunks))
            raise SourceError(path, f"byte {found.offset} (after {n} frames)", f"{found.message}; {ADVICE}")
        if check:
            for frame in np.flatnonzero(~found.are_whole(np.arange(len(found)))).tolist():
                raise SourceError(path, found.place(frame), f"{WRONG_CHECKSUM}; {ADVICE}")
        chunks.append(found)
    return FrameIndex(chunks)


def decode(blob: bytes, type: str = "") -> Decoded:
    """Decode one object.

    Parameters
    ----------
    blob : bytes
        The object, as a frame holds it.
    type : str, optional
        Name that its type is registered under; by default what the blob says.

    Returns
    -------
    Decoded
        ``levels[""]`` holds the fields of the object, each of length 1; other levels the rows of what is in
        it, such as ``levels["modules"]`` and ``levels["pulses"]``; ``counts`` says how many each row above
        owns.

    Raises
    ------
    ValueError
        If the type or a version of a class in it is not known, or the bytes are not such an object.
    """
    data = np.frombuffer(bytearray(blob), np.uint8)
    name = type or decode_text(data, *registered_name(data, 0, len(data)))
    if name not in LAYOUTS:
        raise ValueError(
            f"objects of the type {name!r} are not decoded; there are {', '.join(sorted(LAYOUTS))}"
        )
    decoded = decode_blobs(LAYOUTS[name], data, np.zeros(1, np.int64), np.array([len(data)]))
    for _, message in decoded.messages():
        raise ValueError(message)
    return decoded


def read_particles(path: str) -> Columns:
    """All particles that frames hold by themselves: fits, cascades, truth.

    Returns
    -------
    dict of str to array
        One row a particle: ``frame`` (number), ``stream``, ``key``, and the particle's fields; angles in
        radians, as they are kept.

    Raises
    ------
    SourceError
        If the file is damaged.
    """
    frames, streams, keys, blobs = [], [], [], []
    for frame in read_frames(path):
        for key in frame.keys():  # noqa: SIM118 - a frame is not a mapping
            if frame.type(key) == PARTICLE:
                frames.append(frame.number)
                streams.append(frame.stop)
                keys.append(key)
                blobs.append(frame.blob(key))
    ends = np.cumsum([0, *map(len, blobs)])
    data = np.frombuffer(bytearray(b"".join(blobs)), np.uint8)
    decoded = decode_blobs(LAYOUTS[PARTICLE], data, ends[:-1], ends[1:])
    for row, message in decoded.messages():
        raise SourceError(path, f"frame {frames[row]} ({streams[row]}), {keys[row]}", message)
    texts = {"stream": streams, "key": keys}
    return {
        "frame": np.array(frames, np.int64),
        **{name: np.array([*values, ""], np.dtypes.StringDType())[:-1] for name, values in texts.items()},
        **decoded.levels[""],
    }
