"""Objects of frames found by their keys, for many events at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from etendue.neutrino.sources.icecube.decode import distinct_texts
from etendue.neutrino.sources.icecube.frames import Frames
from etendue.neutrino.sources.icecube.walk import HEAD

#: Longest name of a type that is believed to be one.
LONGEST = 512


@dataclass(frozen=True)
class Blobs:
    """The blobs of one key and type.

    Parameters
    ----------
    data : uint8 array
        Bytes that hold them.
    rows : int64 array, shape (n,)
        Which event (or frame) each is of, in order.
    starts, stops : int64 array, shape (n,)
        Where each starts and ends.
    """

    data: np.ndarray
    rows: np.ndarray
    starts: np.ndarray
    stops: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def marks(self, n_events: int) -> np.ndarray:
        """Which events have one."""
        marks = np.zeros(n_events, np.bool_)
        marks[self.rows] = True
        return marks


def registered_names(data: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Names of types that blobs start with, and which one each blob has; an empty name where it has none."""
    length = np.zeros(len(starts), np.int64)
    at = starts[stops - starts >= HEAD]
    head = data[at[:, None] + np.arange(HEAD)]
    named = head[:, 4:].copy().view("<u4")[:, 0].astype(np.int64)
    named[(head[:, 0] != 0) | (head[:, 1] != 1)] = 0
    length[stops - starts >= HEAD] = named
    length[length > np.minimum(stops - starts - HEAD, LONGEST)] = 0
    return distinct_texts(data, np.stack([np.minimum(starts + HEAD, stops), length], axis=1))


class FrameObjects:
    """The objects of some frames by key and type.

    Parameters
    ----------
    frames : Frames
        The frames.
    first, stop : int
        Which of them.
    """

    def __init__(self, frames: Frames, first: int, stop: int) -> None:
        self.frames, self.first = frames, first
        self.n_frames = stop - first
        table = frames.table[first:stop]
        begin, end = (int(table[0, 2]), int(table[-1, 3])) if len(table) else (0, 0)
        self._objects = frames.objects[begin:end]
        self._frame = np.repeat(np.arange(len(table)), table[:, 3] - table[:, 2])
        names, kind = registered_names(frames.data, self._objects[:, 2], self._objects[:, 3])
        order = np.lexsort((self._frame, kind, self._objects[:, 0]))
        pairs = np.stack([self._objects[order, 0], kind[order]], axis=1)
        new = np.flatnonzero(np.diff(pairs, axis=0, prepend=-1).any(axis=1))
        groups = np.split(order, new[1:]) if len(order) else []
        self._groups = {
            (frames.names[self._objects[group[0], 0]], names[kind[group[0]]]): group for group in groups
        }

    def kinds(self, streams: np.ndarray) -> Iterator[tuple[str, str, Counter[int]]]:
        """Keys and types that there are, with how many there are in each stream."""
        for (key, kind), group in self._groups.items():
            of_stream = streams[self._frame[group]]
            codes, counts = np.unique(of_stream, return_counts=True)
            yield key, kind, Counter(dict(zip(codes.tolist(), counts.tolist(), strict=True)))

    def types(self, key: str) -> list[str]:
        """Types that objects of a key have."""
        return [kind for known, kind in self._groups if known == key]

    def of_events(self, key: str, kind: str, physics: np.ndarray, daq: np.ndarray) -> Blobs:
        """The object of each event that has it: its physics frame's, or else its DAQ frame's.

        Parameters
        ----------
        physics, daq : int64 array, shape (n_events,)
            Frames of each event; negative where it has none.
        """
        # A frame that is not there is the last of those that hold nothing.
        own = np.where(physics >= 0, physics - self.first, -1)
        shared = np.where(daq >= 0, daq - self.first, -1)
        mine = self._of_frames(key, kind)
        found = mine[own]
        hidden = found >= 0
        if len(self.types(key)) > 1:  # an object of another type in the physics frame hides this
            any_type = np.max([self._of_frames(key, other) for other in self.types(key)], axis=0)
            hidden = any_type[own] >= 0
        found = np.where(hidden, found, mine[shared])
        rows = np.flatnonzero(found >= 0)
        return self._blobs(rows, found[rows])

    def of_frames(self, key: str, kind: str, frames: np.ndarray) -> Blobs:
        """The object of each of some frames that has it."""
        found = self._of_frames(key, kind)[frames - self.first]
        rows = np.flatnonzero(found >= 0)
        return self._blobs(rows, found[rows])

    def _of_frames(self, key: str, kind: str) -> np.ndarray:
        """Object of each frame; -1 where it has none."""
        found = np.full(self.n_frames + 1, -1, dtype=np.int64)  # one more, for frames that are not there
        if (key, kind) in self._groups:
            group = self._groups[key, kind]
            found[self._frame[group]] = group
        return found

    def _blobs(self, rows: np.ndarray, found: np.ndarray) -> Blobs:
        return Blobs(self.frames.data, rows, self._objects[found, 2].copy(), self._objects[found, 3].copy())
