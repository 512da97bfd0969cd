"""Array events: which objects belong to each, and where its readouts lie, without decoding samples.

Which telescopes an event has, its number and its type follow ctapipe 0.32
(``io/simteleventsource.py``) and eventio (``simtel/simtelfile.py``).
"""

from __future__ import annotations

import logging
import math
import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from etendue.dataflow.packed import Note, ignore
from etendue.dataflow.partition import Failure
from etendue.dataflow.source import OnError, SourceError, file_of
from etendue.iact.schema import EventType
from etendue.iact.sources.simtel.header import (
    ARRAY_EVENT,
    CALIBRATION_EVENT,
    DISABLED_PIXELS,
    HISTOGRAMS,
    RUN_HEADER,
    read_header,
)
from etendue.iact.sources.simtel.objects import (
    ADC_SAMPLES,
    MC_EVENT,
    ZERO_SUPPRESSED,
    Child,
    Object,
    ObjectError,
    array,
    unpack,
)
from etendue.iact.sources.simtel.raw_event import RawEvent, Readout
from etendue.iact.sources.simtel.showers import ShowerCount
from etendue.iact.sources.simtel.trigger import read_trigger
from etendue.iact.sources.simtel.walk import Damage, ObjectWalk

TELESCOPE_DATA, PHOTOELECTRONS = 1204, 1208
TRIGGER, ADC_SUMS, MC_SHOWER = 2009, 2012, 2020
MONITORING, LASER_CALIBRATION, PHOTOELECTRON_SUMS, PIXEL_LIST = 2022, 2023, 2026, 2027
CALIBRATION_PHOTOELECTRONS = 2034
#: A sum of photo-electrons above which a missing image means a broken event (ctapipe#2344).
BRIGHT = 1_000_000

#: Calibration events by the type that sim_telarray gives.
CALIBRATION_TYPES = {
    0: EventType.DARK_PEDESTAL,
    1: EventType.SKY_PEDESTAL,
    2: EventType.SINGLE_PE,
    3: EventType.FLATFIELD,
}

_INT = struct.Struct("<i")
_TWO_INTS = struct.Struct("<ii")
_SUMS_SHAPE = struct.Struct("<ih")
_SAMPLES_SHAPE = struct.Struct("<ihh")

log = logging.getLogger(__name__)


@dataclass
class _Loss:
    """Damage, where it is, and how many events it is known to have cost."""

    place: str
    message: str
    trusted: float
    events_lost: int


class _RepeatedError(ObjectError):
    """An event that was there before."""


class EventWalk:
    """The array events of a file, in order, and between them what changes the calibration.

    Parameters
    ----------
    path : str
        The file.
    on_error : {"raise", "skip"}
        Whether to go on after what is broken.
    note : callable, optional
        Called with the bytes of the file as they are read.

    Raises
    ------
    SourceError
        If the header cannot be read, or anything is broken and ``on_error`` is ``raise``.
    """

    def __init__(self, path: str, on_error: OnError, note: Note = ignore) -> None:
        self.path = path
        self.on_error = on_error
        walk = iter(ObjectWalk(file_of(path), note))
        self.header = read_header(walk, path)
        self.n_events = 0
        self.n_without_id = 0
        self.losses: list[_Loss] = []
        self.showers = ShowerCount()
        self._written: dict[tuple[int, int], int] = {}
        self._objects = chain(self.header.early, walk)
        self._shower: Object | None = None
        self._core: Object | None = None
        self._images: Object | None = None
        self._sums: Object | None = None
        self._calibration_images: Object | None = None
        self._calibration_images_lost = False
        self._calibrated: dict[int, set[int]] = {tel_id: set() for tel_id in self.header.cameras}

    @property
    def n_simulated(self) -> int:
        """Simulated showers that the events so far stand for, the lost ones too."""
        return self.showers.total(is_whole=not self.losses)

    @property
    def n_planned(self) -> int:
        """Simulated events that the header has planned."""
        return int(self.header.mc_run["n_showers"]) * int(self.header.mc_run["n_use"])

    def n_trusted(self, ends: Sequence[int]) -> int:
        """How many of the events that end at these positions are right; the others count as lost.

        An error of packed data can show after data that it has made wrong: a checksum at the very end.
        """
        kept = len(ends)
        for loss in self.losses:
            n_right = bisect_right(ends, loss.trusted)
            loss.events_lost += max(0, kept - n_right)
            kept = min(kept, n_right)
        return kept

    def failures(self) -> tuple[Failure, ...]:
        """What was broken so far, and the events that it is known to have cost."""
        return tuple(Failure(self.path, loss.place, loss.message, loss.events_lost) for loss in self.losses)

    def __iter__(self) -> Iterator[RawEvent | Object]:
        objects = self._objects
        for found in objects:
            if isinstance(found, Damage):
                self._damaged(found)
            elif found.type in (ARRAY_EVENT, CALIBRATION_EVENT):
                event = self._event(found)
                if event is not None:
                    self.n_events += 1
                    yield event
            elif found.type == MC_EVENT:
                self._core, self._images, self._sums = found, None, None
                self.showers.n_found += found.count
            elif found.type == MC_SHOWER:
                self._shower = found
            elif found.type == TELESCOPE_DATA:
                self._images = found
            elif found.type == PHOTOELECTRON_SUMS:
                self._sums = found
            elif found.type == CALIBRATION_PHOTOELECTRONS:
                self._calibration_images, self._calibration_images_lost = found, False
            elif found.type in (DISABLED_PIXELS, MONITORING, LASER_CALIBRATION):
                self._note_calibration(found)
                yield found
            elif found.type == RUN_HEADER:
                self._second_run(found, objects)
            elif found.type == HISTOGRAMS:
                self.showers.close(found)
                break
        for found in objects:  # nothing comes after the histograms
            if isinstance(found, Damage):
                self._damaged(found)
            elif found.type in (RUN_HEADER, ARRAY_EVENT, CALIBRATION_EVENT):
                self._second_run(found, objects)

    def _lose(
        self, place: Object | Damage, message: str, events_lost: int, advice: str = "get the file anew"
    ) -> None:
        """Note what is broken, or raise it."""
        what = f"object {place.type}, " if place.type >= 0 else ""
        where = f"byte {place.offset} ({what}after {self.n_events} events)"
        if self.on_error == "raise":
            advice = f"{advice}, or leave out what cannot be read with on_error='skip'"
            raise SourceError(self.path, where, f"{message}; {advice}", events_lost)
        trusted = place.trusted if isinstance(place, Damage) else math.inf
        self.losses.append(_Loss(where, message, trusted, events_lost))

    def _damaged(self, damage: Damage) -> None:
        """Forget the event that was under way, and the calibration that was to be renewed."""
        n_lost = int(damage.type in (ARRAY_EVENT, CALIBRATION_EVENT))
        self._lose(damage, damage.message, n_lost)
        self._core = None
        self._calibration_images_lost = True
        if damage.type in (MONITORING, LASER_CALIBRATION):
            self._calibrated.get(telescope_of(damage), set()).discard(damage.type)

    def _second_run(self, found: Object, rest: Iterator[Object | Damage]) -> None:
        n_lost = sum(
            o.type in (ARRAY_EVENT, CALIBRATION_EVENT) for o in chain([found], rest) if isinstance(o, Object)
        )
        message = "expected one run in a file, found another after it, which is not read"
        self._lose(found, message, n_lost, advice="split the file")

    def _note_calibration(self, found: Object) -> None:
        """Remember which telescopes can be calibrated; what can change that is told by headers alone."""
        known = self._calibrated.get(telescope_of(found))
        if known is not None and (found.type != MONITORING or has_pedestals(found)):
            known.add(found.type)

    def _event(self, found: Object) -> RawEvent | None:
        core, self._core = self._core, None
        try:
            event = self._assemble(found, core)
        except _RepeatedError as error:
            self._lose(found, str(error), 0, advice="make a file that has each event once")
            return None
        except ObjectError as error:
            self._lose(found, str(error), 1)
            return None
        finally:
            if found.type == CALIBRATION_EVENT:
                self._calibration_images, self._calibration_images_lost = None, False
        if event is None:
            return None
        self._written[found.type, event.event_id] = found.offset
        if event.event_id == 0:
            self.n_without_id += 1
            event.event_id = -self.n_without_id
        return event

    def _refuse_repeated(self, found: Object, core: Object | None, event_id: int) -> None:
        """See that there was no event of this number before; of those without a number, none can be told."""
        first = self._written.get((found.type, event_id))
        if first is not None and event_id:
            self.showers.n_found -= core is not None and core.id == event_id
            raise _RepeatedError(f"event {event_id} is written twice, first at byte {first}")

    def _assemble(self, found: Object, core: Object | None) -> RawEvent | None:
        """Find the parts of an event; None for a simulated event that no telescope saw."""
        children = found.children()
        array_id = found.id
        if found.type == CALIBRATION_EVENT:
            if not children or children[0].type != ARRAY_EVENT:
                raise ObjectError("expected an array event (2010) in the calibration event")
            array_id = children[0].id
            children = [child._replace(depth=child.depth - 1) for child in children[1:]]
        if not children or children[0].type != TRIGGER:
            raise ObjectError("expected the trigger information (2009) at the start of the event")
        trigger = children[0]
        event_id = trigger.id or array_id
        self._refuse_repeated(found, core, event_id)
        shower, images, sums, event_type = None, None, None, EventType.SUBARRAY
        if found.type == CALIBRATION_EVENT:
            images, event_type = self._calibration_images, CALIBRATION_TYPES.get(found.id)
            if self._calibration_images_lost:
                raise ObjectError("what came before it is lost, and with it perhaps the true image")
        elif core is None and self._shower is None and not (self.losses and trigger.id):
            event_type = None  # calibration events that were taken out of their wrapping
        else:
            shower, images, sums = self._shower, self._images, self._sums
            self._check_simulated(core, trigger)
        event_type = EventType.OTHER_CALIBRATION if event_type is None else event_type
        time, triggered = read_trigger(found, trigger)
        readouts = self._readouts(found, children, triggered, images, sums)
        if readouts is None and event_type is EventType.SUBARRAY:
            return None
        return RawEvent(
            self.n_events, event_id, event_type, time, found, shower, core, images, readouts or []
        )

    def _check_simulated(self, core: Object | None, trigger: Child) -> None:
        """Whether the simulated shower and its impact point are those of the event."""
        if core is None:
            self.showers.n_found += 1
            raise ObjectError("expected a simulated event (2021) before it; that is lost")
        (number,) = unpack(_INT, core.data, core.start, core.stop)
        if self._shower is None or self._shower.id != number:
            raise ObjectError(f"expected the simulated shower (2020) {number} before it; that is lost")
        if self.losses and trigger.id != core.id:
            self.showers.n_found += 1
            raise ObjectError(f"expected the simulated event {trigger.id} before it, found {core.id}")

    def _readouts(
        self,
        found: Object,
        children: list[Child],
        triggered: dict[int, tuple[float, EventType]],
        images: Object | None,
        sums: Object | None,
    ) -> list[Readout] | None:
        """The readouts of an event, in the order of the file; None if it has none at all."""
        tracking = {}
        parts: dict[int, dict[int, Child]] = {}
        own: dict[int, Child] = {}
        for child in children[1:]:
            if child.depth == 0:
                thousands, rest = divmod(child.type, 1000)
                telescope = (thousands - 2) * 100 + rest % 100
                if thousands >= 2 and rest // 100 == 2:
                    own = parts.setdefault(telescope, {})
                elif thousands >= 2 and rest // 100 == 1:
                    tracking[telescope] = child
            elif child.depth == 1 and (child.type != PIXEL_LIST or child.id // 1_000_000 == 0):
                own[child.type] = child
        if not parts:
            return None
        if missing := parts.keys() - tracking.keys():
            raise ObjectError(f"expected where the telescopes {sorted(missing)} point to, found nothing")
        image_of = _images(images)
        readouts = []
        for tel_id, objects in parts.items():
            if tel_id not in triggered:
                log.debug("%s: event with telescope %d, which did not trigger", self.path, tel_id)
                continue
            image, image_sum = image_of.get(tel_id), self._image_sum(sums, tel_id)
            if image is None and image_sum > BRIGHT and self.header.has_true_image:
                log.warning("%s: telescope %d has no true image of %d pe", self.path, tel_id, image_sum)
                continue
            n_samples, adc = self._samples(found, tel_id, objects)
            pixels = objects.get(PIXEL_LIST)
            readouts.append(
                Readout(
                    tel_id, n_samples, adc, tracking[tel_id], *triggered[tel_id], pixels, image, image_sum
                )
            )
        return readouts

    def _samples(self, found: Object, tel_id: int, objects: dict[int, Child]) -> tuple[int, Child]:
        """Where the samples of a readout are, and how many: 1 for cameras that give their sum."""
        camera = self.header.cameras.get(tel_id)
        if camera is None:
            raise ObjectError(f"telescope {tel_id} is not in the header")
        if not {MONITORING, LASER_CALIBRATION} <= self._calibrated[tel_id]:
            raise ObjectError(
                f"expected pedestals (2022) and laser calibration (2023) of telescope {tel_id} before it"
            )
        adc = objects.get(ADC_SAMPLES) or objects.get(ADC_SUMS)
        if adc is None:
            raise ObjectError(f"expected samples (2013) or sums (2012) of telescope {tel_id}, found neither")
        form = _SAMPLES_SHAPE if adc.type == ADC_SAMPLES else _SUMS_SHAPE
        n_pixels, n_gains, *n_samples = unpack(form, found.data, adc.start, adc.stop)
        if (n_pixels, n_gains) != (camera.n_pixels, camera.n_gains):
            raise ObjectError(
                f"expected {camera.n_gains} gains of {camera.n_pixels} pixels of telescope {tel_id}, "
                f"found {n_gains} of {n_pixels}"
            )
        n_samples = n_samples[0] if n_samples else 1
        n_least = n_samples if adc.id & ZERO_SUPPRESSED else n_samples * n_gains * n_pixels
        if not 0 < n_least <= adc.stop - adc.start:
            raise ObjectError(f"telescope {tel_id} has {n_samples} samples in {adc.stop - adc.start} bytes")
        return n_samples, adc

    def _image_sum(self, sums: Object | None, tel_id: int) -> int:
        if sums is None:
            return -1
        _, n_telescopes = unpack(_TWO_INTS, sums.data, sums.start, sums.stop)
        values = array(sums.data, "<i4", n_telescopes, sums.start + 8, sums.stop)
        index = self.header.index.get(tel_id, n_telescopes)
        if index >= n_telescopes:
            raise ObjectError(
                f"expected the photo-electrons of telescope {tel_id}, found {n_telescopes} sums"
            )
        return int(values[index])


def telescope_of(found: Object | Damage) -> int:
    """Telescope of an object that changes the calibration, from its number."""
    if found.type == MONITORING:
        return (found.id & 0xFF) | (found.id & 0x3F000000) >> 16
    return found.id


def has_pedestals(found: Object) -> bool:
    """Whether a monitoring object holds pedestals, from its number."""
    return bool(found.id >> 8 & 0x04)


def _images(images: Object | None) -> dict[int, Child]:
    """Photo-electrons of each telescope; their number counts telescopes from 0."""
    if images is None:
        return {}
    return {child.id % 1000 + 1: child for child in images.children() if child.type == PHOTOELECTRONS}
