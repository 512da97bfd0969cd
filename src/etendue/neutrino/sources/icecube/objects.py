"""Objects of frames found by their keys, for many events at once."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from etendue.kernel import owners
from etendue.neutrino.sources.icecube.frames import Frames


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

    def only(self, which: np.ndarray | slice) -> Blobs:
        """Some of them."""
        return Blobs(self.data, self.rows[which], self.starts[which], self.stops[which])

    def marks(self, n_events: int) -> np.ndarray:
        """Which events have one."""
        marks = np.zeros(n_events, np.bool_)
        marks[self.rows] = True
        return marks


class FrameObjects:
    """The objects of frames by key and type, grouped once for all that is asked.

    Parameters
    ----------
    frames : Frames
        The frames.
    """

    def __init__(self, frames: Frames) -> None:
        self._objects, self._data = frames.objects, frames.data
        self._first, self._n_frames = 0, len(frames)
        narrow = np.min_scalar_type(len(frames.names))  # of 16 bits or less: sorted by digits
        key, kind = (self._objects[:, column].astype(narrow) for column in (0, 1))
        self._order = np.lexsort((kind, key))  # of equal ones, frames stay in order
        key, kind = key[self._order], kind[self._order]
        self._frame = owners(frames.table[:, 3] - frames.table[:, 2])[self._order]
        is_new = np.append(True, (key[1:] != key[:-1]) | (kind[1:] != kind[:-1]))[: len(key)]
        edges = [*np.flatnonzero(is_new).tolist(), len(key)]
        self._groups = {
            (frames.names[key[start]], frames.names[kind[start]]): slice(start, stop)
            for start, stop in pairwise(edges)
        }

    def within(self, first: int, stop: int) -> FrameObjects:
        """The objects of some of the frames."""
        part = copy(self)
        part._first, part._n_frames = first, stop - first
        return part

    def kinds(self, streams: np.ndarray) -> Iterator[tuple[str, str, dict[int, int]]]:
        """Keys and types that there are, with how many there are in each stream.

        Parameters
        ----------
        streams : integer array
            Stream of each frame.
        """
        for (key, kind), group in self._groups.items():
            counts = np.bincount(streams[self._frame[group]])
            yield key, kind, {code: int(counts[code]) for code in np.flatnonzero(counts).tolist()}

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
        own = np.where(physics >= 0, physics - self._first, -1)
        shared = np.where(daq >= 0, daq - self._first, -1)
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
        found = self._of_frames(key, kind)[frames - self._first]
        rows = np.flatnonzero(found >= 0)
        return self._blobs(rows, found[rows])

    def _of_frames(self, key: str, kind: str) -> np.ndarray:
        """Object of each frame; -1 where it has none."""
        found = np.full(self._n_frames + 1, -1, dtype=np.int64)  # one more, for frames that are not there
        if (key, kind) in self._groups:
            group = self._groups[key, kind]
            frame = self._frame[group]
            mine = slice(*np.searchsorted(frame, (self._first, self._first + self._n_frames)))
            found[frame[mine] - self._first] = self._order[group][mine]
        return found

    def _blobs(self, rows: np.ndarray, found: np.ndarray) -> Blobs:
        return Blobs(self._data, rows, self._objects[found, 2], self._objects[found, 3])
