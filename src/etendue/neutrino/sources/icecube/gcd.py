"""Geometry, calibration and status in a file of their own (GCD), which hold from the first event on."""

from __future__ import annotations

import logging
import os
from functools import lru_cache

import numpy as np

from etendue.dataflow.source import SourceError
from etendue.neutrino.sources.icecube.events import ADVICE, Events, EventWalk
from etendue.neutrino.sources.icecube.frame_walk import WRONG_CHECKSUM

log = logging.getLogger(__name__)

#: Name of the companion.
GCD = "gcd"
#: What it is, for people.
ABOUT = "file of frames with geometry, calibration and detector status (GeoCalibDetectorStatus....i3.gz)"
#: Streams that are taken from it.
TAKEN = np.frombuffer(b"GCD", np.uint8)


def frames_of(path: str) -> list[Events]:
    """The frames of a GCD file; its events are not used.

    Raises
    ------
    SourceError
        If the file cannot be read, a frame is damaged, or there is none of geometry, calibration or status.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise SourceError(path, "file", f"cannot be read: {error.strerror}") from None
    return _read(path, status.st_size, status.st_mtime_ns, status.st_ino)


def taken(events: Events) -> np.ndarray:
    """Which of the frames are taken."""
    return events.others[np.isin(events.frames.streams[events.others], TAKEN)]


@lru_cache(maxsize=1)
def _read(path: str, size: int, changed: int, number: int) -> list[Events]:
    """The frames of a file as it is now; kept, as all spans of its data read them."""
    walk = EventWalk(path)
    found = [events for events in walk if len(taken(events))]
    for events in found:
        mine = taken(events)
        for frame in mine[~events.frames.are_whole(mine)].tolist():
            raise SourceError(path, events.frames.place(frame), f"{WRONG_CHECKSUM}; {ADVICE}")
    if not found:
        raise SourceError(
            path,
            "frames",
            "expected frames of geometry (G), calibration (C) or detector status (D), found none",
        )
    if walk.n_events:
        log.warning("%s: %d events are in the GCD file; they are not read", path, walk.n_events)
    return found
