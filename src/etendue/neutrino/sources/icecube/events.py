"""Events: which physics frame goes with which DAQ frame, and which other frames hold for them.

An event is a physics frame (P) with the DAQ frame (Q) before it, whose objects it has, too; or a DAQ frame
that no physics frame follows. Frames of all other streams hold from the next event on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np

from etendue.dataflow.packed import packing_of
from etendue.dataflow.partition import Failure
from etendue.dataflow.source import OnError, SourceError
from etendue.neutrino.sources.icecube.frame_walk import Damage, FrameWalk
from etendue.neutrino.sources.icecube.frames import Frames
from etendue.neutrino.sources.icecube.messages import is_message, read_message
from etendue.neutrino.sources.icecube.objects import FrameObjects

_DAQ, _PHYSICS = ord("Q"), ord("P")
ADVICE = "get the file anew, or leave out what cannot be read with on_error='skip'"
_NEWER = "it is of other software: use a newer etendue, or leave out what cannot be read with on_error='skip'"


def advice(message: str) -> str:
    """What to do about something that cannot be read."""
    return _NEWER if message.endswith("is not known") else ADVICE


@dataclass(frozen=True)
class Events:
    """Some frames of a file and the events that they make.

    Parameters
    ----------
    frames : Frames
        The frames.
    physics, daq : int64 array, shape (n_events,)
        Frames of each event; -1 where it has none.
    first : int
        Events of the file before these.
    others : int64 array
        Frames of other streams.
    valid_from : int64 array
        Of each of them, the event of the file from which on it holds.
    """

    frames: Frames
    physics: np.ndarray
    daq: np.ndarray
    first: int
    others: np.ndarray
    valid_from: np.ndarray

    def __len__(self) -> int:
        return len(self.physics)

    @cached_property
    def objects(self) -> FrameObjects:
        """The frames' objects by key and type."""
        return FrameObjects(self.frames)

    @cached_property
    def own_frames(self) -> np.ndarray:
        """Frames of each event, of which it may have one only, that one twice: shape (n_events, 2)."""
        both = np.stack([self.physics, self.daq], axis=1)
        return np.where(both >= 0, both, both[:, ::-1])

    def place(self, event: int) -> str:
        """Where an event is, for people."""
        frame = self.physics[event] if self.physics[event] >= 0 else self.daq[event]
        return f"{self.frames.place(int(frame))}, event {self.first + event}"

    def bytes_of(self, event: int) -> list[str]:
        """The frames of an event, its own first, and their bytes in the unpacked file, for people."""
        frames = (int(self.physics[event]), int(self.daq[event]))
        return [self.frames.bytes_of(frame) for frame in frames if frame >= 0]


@dataclass
class EventWalk:
    """The events of a file in order, many at a time.

    Parameters
    ----------
    path : str
        A file of frames, or a message that carries some.
    on_error : {"raise", "skip"}
        What to do with damage: raise it, or note it in ``failures``.
    """

    path: str
    on_error: OnError = "raise"
    failures: list[Failure] = field(default_factory=list)
    n_events: int = 0

    def __iter__(self) -> Iterator[Events]:
        """Find the events.

        Raises
        ------
        SourceError
            If the file has no frames, or is damaged and ``on_error`` is ``raise``.
        """
        walk = read_message(self.path) if is_message(self.path) else FrameWalk(self.path)
        self._pending: Frames | None = None
        self._damage: list[Damage] = []
        n_frames = 0
        for found in walk:
            if isinstance(found, Damage):
                self._damage.append(found)
                if self.on_error == "raise":
                    break
                continue
            n_frames += len(found)
            self._report()
            frames = found if self._pending is None else self._pending.followed_by(found)
            starts = np.flatnonzero(frames.streams == _DAQ)
            complete = int(starts[-1]) if len(starts) and not frames.is_end else len(frames)
            if complete:
                yield self._events(frames, complete, False)
            # A large map of a whole file is kept as it is; only the event that goes on is copied.
            self._pending = frames.cut(complete, len(frames)) if complete < len(frames) else None
        is_cut_off = bool(self._damage)
        self._report()
        if self._pending is not None:
            yield self._events(self._pending, len(self._pending), is_cut_off)
        if n_frames == 0 and not self.failures:
            raise SourceError(self.path, "byte 0", "expected frames, found none: the file is empty")

    def _events(self, frames: Frames, stop: int, is_cut_off: bool) -> Events:
        """The events of the frames up to ``stop``; ``is_cut_off`` says that damage follows them."""
        index = np.arange(stop)
        streams, damaged = frames.streams[:stop], frames.after_damage[:stop]
        latest = np.maximum.accumulate(np.where(streams == _DAQ, index, -1)) if stop else index
        broken = np.maximum.accumulate(np.where(damaged, index, -1)) if stop else index
        physics = np.flatnonzero(streams == _PHYSICS)
        daq = latest[physics]
        # A physics frame after damage may belong to a DAQ frame that was in it.
        known = broken[physics] <= daq
        self._lose(frames, physics[~known], "its DAQ frame cannot be read")
        physics, daq = physics[known], daq[known]
        alone = np.setdiff1d(np.flatnonzero(streams == _DAQ), daq)
        follows = np.append(frames.after_damage, is_cut_off)[alone + 1]
        self._lose(frames, alone[follows], "what follows it cannot be read")
        alone = alone[~follows]
        own = np.concatenate([physics, alone])
        order = np.argsort(own, kind="stable")
        own = own[order]
        others = np.flatnonzero((streams != _DAQ) & (streams != _PHYSICS))
        made = Events(
            frames.up_to(stop),
            np.concatenate([physics, np.full(len(alone), -1)])[order],
            np.concatenate([daq, alone])[order],
            self.n_events,
            others,
            self.n_events + np.searchsorted(own, others),
        )
        self.n_events += len(made)
        return made

    def _lose(self, frames: Frames, lost: np.ndarray, why: str) -> None:
        for frame in lost.tolist():
            self._fail(frames.place(frame), why, 1)

    def _report(self) -> None:
        for damage in self._damage:
            self._fail(f"byte {damage.offset} (after {self.n_events} events)", damage.message, 0)
        self._damage = []

    def _fail(self, place: str, message: str, n_lost: int) -> None:
        if self.on_error == "raise":
            raise SourceError(self.path, place, f"{message}; {ADVICE}", n_lost)
        self.failures.append(Failure(self.path, place, message, n_lost))


@dataclass(frozen=True)
class EventIndex:
    """The events of a plain file, as far as they can be read, and what was found broken."""

    events: list[Events]
    failures: list[Failure]
    n_events: int

    def __iter__(self) -> Iterator[Events]:
        return iter(self.events)


def find_events(path: str, on_error: OnError) -> EventWalk | EventIndex:
    """The events of a file: those of a plain one by an index, which a scan and all tasks of a process share.

    Raises
    ------
    SourceError
        As `EventWalk` does; if the file is plain, at once.
    """
    if not is_plain(path):
        return EventWalk(path, on_error)
    status = os.stat(path)
    index = _indexed(path, status.st_size, status.st_mtime_ns, status.st_ino)
    for failure in index.failures:
        if on_error == "raise":
            raise SourceError(path, failure.place, f"{failure.message}; {ADVICE}")
    return index


def is_plain(path: str) -> bool:
    """Whether a file's frames are in it as they are: not packed, and not in a message."""
    try:
        return packing_of(path) is None and not is_message(path)
    except OSError:
        return False


@lru_cache(maxsize=2)
def _indexed(path: str, size: int, changed: int, number: int) -> EventIndex:
    """The index of a file as it is now: if it is written again, it has another time or another number."""
    walk = EventWalk(path, "skip")
    return EventIndex(list(walk), walk.failures, walk.n_events)
