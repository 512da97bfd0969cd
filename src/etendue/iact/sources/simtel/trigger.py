"""What triggered an event: when, which telescopes, and why each of them was read out."""

from __future__ import annotations

import struct
from typing import NamedTuple

from etendue.iact.schema import EventType
from etendue.iact.sources.simtel.decode import read_varint
from etendue.iact.sources.simtel.objects import Child, Object, ObjectError, array, unpack

#: Bits of a telescope's trigger type, the first that is set counts; none of them is an ordinary trigger.
MASKS = (
    (0x400, EventType.RANDOM_MONO),
    (0x200, EventType.MUON),
    (0x100, EventType.LONG_EVENT),
)
#: Up to version 3, sim_telarray has set these bits where it meant those four bits higher.
MISPLACED = 0x70

_TRIGGER = struct.Struct("<8xii8xh")
_SHORT = struct.Struct("<h")


class Trigger(NamedTuple):
    """The central trigger of an event.

    Parameters
    ----------
    time : int
        Nanoseconds since 1970.
    telescopes : dict of int to (float, EventType)
        Of each telescope that triggered: when, after the central trigger [ns], and why.
    """

    time: int
    telescopes: dict[int, tuple[float, EventType]]


def read_trigger(found: Object, part: Child) -> Trigger:
    """Decode trigger information (2009), which is a part of an array event.

    Types follow ctapipe's ``_trigger_mask_to_event_type``; version 1 has none, they are unknown.

    Raises
    ------
    ObjectError
        If it is broken.
    """
    if not 1 <= part.version <= 3:
        raise ObjectError(f"expected trigger information of version 1 to 3, found {part.version}")
    data, start, stop = found.data, part.start, part.stop
    seconds, nanoseconds, n_triggered = unpack(_TRIGGER, data, start, stop)
    at = start + _TRIGGER.size
    telescopes = array(data, "<i2", n_triggered, at, stop)
    times = array(data, "<f4", n_triggered, at + 2 * n_triggered, stop)
    types = [EventType.UNKNOWN] * n_triggered
    if part.version > 1:
        at += 6 * n_triggered
        (n_read_out,) = unpack(_SHORT, data, at, stop)
        at += _SHORT.size + 2 * max(n_read_out, 0)
        for n in range(n_triggered):
            mask, at = read_varint(data, at, stop)
            if at < 0:
                raise ObjectError("the trigger types of the telescopes are corrupted")
            types[n] = _type_of(mask)
    of_each = zip(times.tolist(), types, strict=True)
    return Trigger(
        seconds * 1_000_000_000 + nanoseconds, dict(zip(telescopes.tolist(), of_each, strict=True))
    )


def _type_of(mask: int) -> EventType:
    mask |= (mask & MISPLACED) << 4
    return next((kind for bit, kind in MASKS if mask & bit), EventType.SUBARRAY)
