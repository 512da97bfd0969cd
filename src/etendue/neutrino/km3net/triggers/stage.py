"""The stage that runs the triggers on a partition."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

import numpy as np
from pydantic import Field

from etendue.dataflow.parameters import Name
from etendue.dataflow.partition import Partition
from etendue.dataflow.stage import Stage
from etendue.kernel import offsets
from etendue.neutrino.km3net.triggers.clusters import directions
from etendue.neutrino.km3net.triggers.parameters import MuonTrigger, ShowerTrigger
from etendue.neutrino.km3net.triggers.search import find_mixed_showers, find_muons, find_showers
from etendue.neutrino.schema import DETECTOR_FILE, POSITION
from etendue.neutrino.sky import name_of_detector
from etendue.schema import Columns, Schema, Table, Variable, variables

#: Table of the events that the triggers find in time slices.
TRIGGERED_EVENTS = "triggered_events"


class TriggerBit(IntEnum):
    """Bits of trigger masks, as in KM3NeT's data format."""

    SHOWER = 1
    MIXED_SHOWER = 2
    MUON = 4
    LIMIT = 31


class Trigger(Stage):
    """Run KM3NeT's triggers: 3DShower and 3DMuon on coincidences, MXShower on coincidences and single hits.

    In time slices it makes the table ``/triggered_events`` and marks the hits that are part of a trigger
    (``hits/trigger_mask``, ``hits/triggered_event``). Hits of a slice that are in triggers are of one event
    as long as no gap between them is longer than ``event_time``. In events, whose hits have been through the
    data filter already, it writes ``hits/retrigger_mask`` and ``events/retrigger_mask``, to be compared with
    what the data filter wrote.

    `etendue.neutrino.km3net.triggers.data_filter` gives this stage with the parameters of a file. Those by
    default are ARCA's with 21 strings; for detectors that are not known to be at ARCA they have to be given.
    """

    coincidences: Name = Field("l2", description="table of coincidences, see FindCoincidences")
    shower: ShowerTrigger = Field(ShowerTrigger(), description="3DShower, on coincidences")
    mixed_shower: ShowerTrigger = Field(
        ShowerTrigger(min_hits=8, min_modules=3, max_distance=110.0),
        description="MXShower: a coincidence, and single hits around it",
    )
    muon: MuonTrigger = Field(MuonTrigger(), description="3DMuon, on coincidences")
    event_time: float = Field(4102.130249126104, gt=0, description="longest gap within an event, ns")

    @property
    def reads(self) -> tuple[str, ...]:
        """Calibrated hits and their coincidences."""
        return (
            *(f"{self.coincidences}/{name}" for name in ("dom_id", "time", *POSITION)),
            *(f"hits/{name}" for name in ("channel_id", "t", *POSITION, self.coincidences)),
            "hits/dom_id?",
            "frames/dom_id?",
        )

    def check(self, schema: Schema, static: Mapping[str, Columns]) -> None:
        """See that the parameters are given, unless the inputs are of ARCA, whose they are by default."""
        missing = [name for name in ("shower", "mixed_shower", "muon") if name not in self.model_fields_set]
        names = _names_of_inputs(static)
        if missing and names and names != {"arca"}:
            found = ", ".join(sorted(name or "an unknown site" for name in names))
            raise ValueError(
                f"{missing[0]} is not given, and is ARCA's by default, but the inputs are of {found}; take "
                "the parameters of a raw file or a preset: data_filter(FILE), data_filter('ORCA-2019')"
            )

    def makes(self, schema: Schema) -> list[Table]:
        """The events found, if the hits are of time slices."""
        if schema["hits"].parent == "events":
            return []
        columns = variables(
            "triggered_event",
            time=("float64", "ns", "first hit in a trigger, after the start of the frame"),
            duration=("float64", "ns", "from the first to the last hit in a trigger"),
            trigger_mask=("uint64", "", "bits of TriggerBit"),
            n_triggered_hits=("int32", "", "hits that are part of a trigger"),
        )
        about = "one row an event found in a time slice"
        parent = schema["frames"].parent
        return [
            Table(TRIGGERED_EVENTS, "triggered_event", columns, parent=parent, description=about),
        ]

    def provides(self, schema: Schema) -> dict[str, Variable]:
        """Masks of hits, and of events or the hit's event."""
        dim, bits = schema["hits"].dim, "bits of TriggerBit: triggers that the hit is part of; 0 for none"
        if schema["hits"].parent == "events":
            of_event = "bits of TriggerBit: triggers that fire on the hits of the event"
            return {
                "hits/retrigger_mask": Variable("retrigger_mask", (dim,), "uint64", "", bits),
                "events/retrigger_mask": Variable("retrigger_mask", ("event",), "uint64", "", of_event),
            }
        number = "number of the row of /triggered_events among those of the time slice; -1 for none"
        return {
            "hits/trigger_mask": Variable("trigger_mask", (dim,), "uint64", "", bits),
            "hits/triggered_event": Variable("triggered_event", (dim,), "int32", "", number),
        }

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        """Run the triggers on a partition."""
        name, n_groups = self.coincidences, partition.rows(partition.schema.top.name)
        row = group = partition.owners("hits")
        coincidence_group = partition.owners(name)
        in_slices = partition.schema["hits"].parent == "frames"
        if in_slices:
            slice_of_frame = partition.owners("frames")
            group, coincidence_group = slice_of_frame[row], slice_of_frame[coincidence_group]
        dom_id = partition["frames/dom_id"][row] if in_slices else partition["hits/dom_id"]
        number = partition[f"hits/{name}"]
        coincidence = np.where(number >= 0, partition.offsets(name)[row] + number, -1)
        mask = np.append(self._on_coincidences(partition, coincidence_group, n_groups), np.uint64(0))
        mask = mask[coincidence]
        order = np.lexsort((partition["hits/channel_id"], dom_id, partition["hits/t"], group))
        mask[order] |= self._on_hits(
            offsets(np.bincount(group, minlength=n_groups)),
            partition["hits/t"][order],
            _positions(partition, "hits", order),
            dom_id[order],
            _first_of_each(coincidence[order]),
        )
        if not in_slices:
            of_event = np.zeros(n_groups, dtype=np.uint64)
            np.bitwise_or.at(of_event, group, mask)
            return {"hits/retrigger_mask": mask, "events/retrigger_mask": of_event}
        triggered = order[mask[order] > 0]
        return {"hits/trigger_mask": mask} | self._events(
            triggered, partition["hits/t"], mask, group, n_groups
        )

    def _on_coincidences(self, partition: Partition, group: np.ndarray, n_groups: int) -> np.ndarray:
        """Masks of the coincidences: 3DShower and 3DMuon."""
        name = self.coincidences
        dom_id, t = partition[f"{name}/dom_id"], partition[f"{name}/time"]
        order = np.lexsort((dom_id, t, group))
        hits = (
            offsets(np.bincount(group, minlength=n_groups)),
            t[order],
            _positions(partition, name, order),
            dom_id[order],
        )
        mask = np.zeros(order.size, dtype=np.uint64)
        shower, muon = self.shower, self.muon
        if shower.enabled:
            found = find_showers(*hits, *_cluster(shower), shower.max_distance, *_tolerance(shower))
            mask[order] |= _bits(found, TriggerBit.SHOWER)
        if muon.enabled:
            found = find_muons(
                *hits,
                directions(muon.grid_angle),
                *_cluster(muon),
                muon.max_distance,
                muon.road_width,
                *_tolerance(muon),
            )
            mask[order] |= _bits(found, TriggerBit.MUON)
        return mask

    def _on_hits(
        self, starts: np.ndarray, t: np.ndarray, position: np.ndarray, dom_id: np.ndarray, is_root: np.ndarray
    ) -> np.ndarray:
        """Masks of sorted hits: MXShower."""
        trigger = self.mixed_shower
        if not trigger.enabled:
            return np.zeros(t.size, dtype=np.uint64)
        found = find_mixed_showers(
            starts,
            t,
            position,
            dom_id,
            is_root,
            *_cluster(trigger),
            trigger.max_distance,
            *_tolerance(trigger),
        )
        return _bits(found, TriggerBit.MIXED_SHOWER)

    def _events(
        self, triggered: np.ndarray, t: np.ndarray, mask: np.ndarray, group: np.ndarray, n_groups: int
    ) -> dict[str, np.ndarray]:
        """Cut the hits that are in triggers, sorted by slice and time, into events."""
        is_first = np.ones(triggered.size, dtype=bool)
        is_first[1:] = (np.diff(group[triggered]) > 0) | (np.diff(t[triggered]) > self.event_time)
        first = np.flatnonzero(is_first)
        n_hits = np.diff(first, append=triggered.size)
        of_slice = np.bincount(group[triggered[first]], minlength=n_groups)
        time = t[triggered[first]]
        event = np.full(t.size, -1, dtype=np.int32)
        number = np.arange(first.size) - offsets(of_slice)[group[triggered[first]]]
        event[triggered] = np.repeat(number, n_hits)
        made = {
            "time": time,
            "duration": t[triggered[first + n_hits - 1]] - time,
            "trigger_mask": np.bitwise_or.reduceat(mask[triggered], first) if first.size else mask[:0],
            "n_triggered_hits": n_hits.astype(np.int32),
        }
        counts = {
            f"timeslices/n_{TRIGGERED_EVENTS}": of_slice.astype(np.int32),
            "hits/triggered_event": event,
        }
        return {f"{TRIGGERED_EVENTS}/{name}": column for name, column in made.items()} | counts


def _names_of_inputs(static: Mapping[str, Columns]) -> set[str | None]:
    """At which sites the detectors of the inputs are; None for one that is not known."""
    of_file = static.get(DETECTOR_FILE.name)
    if of_file is not None:
        names = ("det_id", "utm_grid", "utm_easting", "utm_northing")
        return {name_of_detector(*(of_file[name][0] for name in names))}
    return {name_of_detector(int(n)) for n in static.get("observation", {}).get("det_id", ())}


def _cluster(trigger: ShowerTrigger) -> tuple[int, int]:
    return trigger.min_hits, trigger.min_modules


def _tolerance(trigger: ShowerTrigger) -> tuple[float, int]:
    return trigger.extra_time, trigger.limit


def _positions(partition: Partition, table: str, rows: np.ndarray) -> np.ndarray:
    """Positions of some rows of a table: float64, shape (n, 3)."""
    return np.stack([partition[f"{table}/{name}"][rows] for name in POSITION], axis=1).astype(np.float64)


def _first_of_each(coincidence: np.ndarray) -> np.ndarray:
    """Which hits are the first of their coincidence; those with -1 are of none."""
    numbers, first = np.unique(coincidence, return_index=True)
    is_first = np.zeros(coincidence.size, dtype=bool)
    is_first[first[numbers >= 0]] = True
    return is_first


def _bits(found: np.ndarray, trigger: TriggerBit) -> np.ndarray:
    """Trigger masks: the trigger's bit for what is in a cluster, and the bit for one beyond the limit."""
    beyond = (found & 2 > 0).astype(np.uint64) << np.uint64(TriggerBit.LIMIT)
    return (found > 0).astype(np.uint64) << np.uint64(trigger) | beyond
