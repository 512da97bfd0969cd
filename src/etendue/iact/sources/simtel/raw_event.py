"""An array event as it lies in the file: where its parts are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from etendue.iact.schema import EventType
from etendue.iact.sources.simtel.objects import Child, Object


class Readout(NamedTuple):
    """One camera readout: where its parts lie.

    ``adc``, ``tracking`` and ``trigger_pixels`` are parts of the array event, ``image`` of the object
    ``RawEvent.images``. ``image_sum`` is -1 where the file has none.
    """

    tel_id: int
    n_samples: int
    adc: Child
    tracking: Child
    trigger_time: float
    event_type: EventType
    trigger_pixels: Child | None
    image: Child | None
    image_sum: int


@dataclass(slots=True)
class RawEvent:
    """One array event; ``number`` counts the events of the file from 0, ``time`` is in ns."""

    number: int
    event_id: int
    event_type: EventType
    time: int
    found: Object
    shower: Object | None
    core: Object | None
    images: Object | None
    readouts: list[Readout]
