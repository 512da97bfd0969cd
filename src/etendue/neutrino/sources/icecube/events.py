"""Events: which physics frame goes with which DAQ frame, and which other frames hold for them.

An event is a physics frame (P) with the DAQ frame (Q) before it, whose objects it has, too; or a DAQ frame
that no physics frame follows. Frames of all other streams hold from the next event on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from etendue.dataflow.partition import Failure
from etendue.dataflow.source import OnError, SourceError
from etendue.neutrino.sources.icecube.frame_walk import Damage, FrameWalk
from etendue.neutrino.sources.icecube.frames import Frames
from etendue.neutrino.sources.icecube.messages import is_message, read_message

_DAQ, _PHYSICS = ord("Q"), ord("P")
ADVICE = "get the file anew, or leave out what cannot be read with on_error='skip'"


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

    def place(self, event: int) -> str:
        """Where an event is, for people."""
        frame = self.physics[event] if self.physics[event] >= 0 else self.daq[event]
        return f"{self.frames.place(int(frame))}, event {self.first + event}"


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
            self._report(found)
            frames = found if self._pending is None else self._pending.followed_by(found)
            starts = np.flatnonzero(frames.streams == _DAQ)
            complete = int(starts[-1]) if len(starts) and not frames.is_end else len(frames)
            if complete:
                yield self._events(frames, complete)
            # A large map of a whole file is kept as it is; only the event that goes on is copied.
            self._pending = frames.cut(complete, len(frames)) if complete < len(frames) else None
        if self._pending is not None and not (self._damage and self.on_error == "raise"):
            yield self._events(self._pending, len(self._pending))
        self._report(None)
        if n_frames == 0 and not self.failures:
            raise SourceError(self.path, "byte 0", "expected frames, found none: the file is empty")

    def _events(self, frames: Frames, stop: int) -> Events:
        """The events of the frames up to ``stop``."""
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
        follows = np.append(frames.after_damage, bool(self._damage))[alone + 1]
        self._lose(frames, alone[follows], "what follows it cannot be read")
        alone = alone[~follows]
        own = np.concatenate([physics, alone])
        order = np.argsort(own, kind="stable")
        own = own[order]
        others = np.flatnonzero((streams != _DAQ) & (streams != _PHYSICS))
        made = Events(
            frames,
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

    def _report(self, found: Frames | None) -> None:
        for damage in self._damage:
            self._fail(f"byte {damage.offset} (after {self.n_events} events)", damage.message, 0)
        self._damage = []

    def _fail(self, place: str, message: str, n_lost: int) -> None:
        if self.on_error == "raise":
            raise SourceError(self.path, place, f"{message}; {ADVICE}", n_lost)
        self.failures.append(Failure(self.path, place, message, n_lost))
