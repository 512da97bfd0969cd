"""Triggered events: the snapshot of all hits in a window, and the hits that are part of a trigger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from etendue.neutrino.schema import DAQ_EVENTS, EVENT_HITS, TRIGGERED_HITS
from etendue.neutrino.sources.km3net import layouts
from etendue.neutrino.sources.km3net.baskets import Branch, Tree
from etendue.neutrino.sources.km3net.online import Checks, Look, OnlineStream, Reader, empty_columns
from etendue.schema import Columns, Table

HEADER, SNAPSHOT, TRIGGERED = "KM3NETDAQ::JDAQEventHeader", "snapshotHits", "triggeredHits"
#: Bytes of the header of an event.
HEADER_SIZE = 76
#: What two hits must share to be the same.
_KEY = ("dom_id", "channel_id", "tdc", "tot")


class EventReader(Reader):
    """Reads the tree of triggered events: three branches, one object or vector of objects an entry."""

    def __init__(self, tree: Tree) -> None:
        self._branches = {name: tree.branch(name) for name in (HEADER, SNAPSHOT, TRIGGERED)}

    def branches(self) -> Sequence[Branch]:
        return list(self._branches.values())

    def boundaries(self) -> list[int]:
        return self._branches[SNAPSHOT].boundaries

    def look(self, first: int, stop: int, *, only_count: bool = False) -> Look:
        raw = {name: branch.entries(first, stop) for name, branch in self._branches.items()}
        checks = Checks(first, stop - first)
        _, ok = raw[HEADER].table(HEADER_SIZE)
        checks.add(raw[HEADER], ok, self._branches[HEADER].place, f"a header of {HEADER_SIZE} bytes")
        counts = {}
        for name, size in ((SNAPSHOT, layouts.KEY_HIT), (TRIGGERED, layouts.TRIGGERED_HIT)):
            counts[name] = layouts.count_items(raw[name].data, raw[name].offsets, size)
            expected = f"a vector of hits of {size} bytes each"
            checks.add(raw[name], counts[name] >= 0, self._branches[name].place, expected)
        return checks.look(raw, events=1, hits=counts[SNAPSHOT], triggered_hits=counts[TRIGGERED])

    def tables(self, look: Look, keep: np.ndarray, wanted: frozenset[str]) -> dict[str, Columns]:
        n_hits = np.where(keep, look.rows["hits"], 0)
        n_triggered = np.where(keep, look.rows["triggered_hits"], 0)
        events = _headers(look.raw[HEADER].table(HEADER_SIZE)[0][keep])
        events = {name: column for name, column in events.items() if f"events/{name}" in wanted}
        events["n_hits"] = n_hits[keep].astype(np.int32)
        events["n_triggered_hits"] = n_triggered[keep].astype(np.int32)
        match = "hits/trigger_mask" in wanted
        keys = frozenset(f"{table}/{name}" for name in _KEY for table in ("hits", "triggered_hits"))
        needed = wanted | keys | {"triggered_hits/trigger_mask"} if match else wanted
        hits = _hits(look, SNAPSHOT, EVENT_HITS, n_hits, needed)
        triggered = _hits(look, TRIGGERED, TRIGGERED_HITS, n_triggered, needed)
        if match and len(n_hits):
            layouts.match_masks(
                n_hits,
                *(hits[name] for name in _KEY),
                n_triggered,
                *(triggered[name] for name in _KEY),
                triggered["trigger_mask"],
                hits["trigger_mask"],
            )
        return {
            "events": events,
            "hits": {name: column for name, column in hits.items() if f"hits/{name}" in wanted},
            "triggered_hits": {n: c for n, c in triggered.items() if f"triggered_hits/{n}" in wanted},
        }


def _headers(rows: np.ndarray) -> Columns:
    """Columns of events from their headers."""
    return {
        "run": np.zeros(len(rows), dtype=np.uint32),
        **layouts.chronometers(rows),
        "trigger_counter": layouts.words(rows, 50, ">u8").astype(np.uint64),
        "trigger_mask": layouts.words(rows, 64, ">u8").astype(np.uint64),
        "overlays": layouts.words(rows, 72).astype(np.uint32),
    }


def _hits(look: Look, branch: str, table: Table, counts: np.ndarray, needed: frozenset[str]) -> Columns:
    """Decoded hits of one branch; of the snapshot with room for the trigger masks."""
    columns = empty_columns(table, int(counts.sum()), needed)
    raw = look.raw[branch]
    keys = [name for name in _KEY if name in columns]
    if keys:
        columns |= empty_columns(
            table, int(counts.sum()), frozenset(f"{table.name}/{n}" for n in _KEY if n not in keys)
        )
        stride = layouts.KEY_HIT if branch == SNAPSHOT else layouts.TRIGGERED_HIT
        layouts.key_hits(raw.data, raw.offsets, counts, stride, *(columns[name] for name in _KEY))
    if branch == TRIGGERED and "trigger_mask" in columns:
        layouts.trigger_masks(raw.data, raw.offsets, counts, columns["trigger_mask"])
    return columns


class EventStream(OnlineStream):
    """Triggered events (``#events``)."""

    name: ClassVar[str] = "events"
    tree: ClassVar[str] = "KM3NET_EVENT"
    row_tables: ClassVar[tuple[Table, ...]] = (DAQ_EVENTS, EVENT_HITS, TRIGGERED_HITS)

    def reader(self, tree: Tree) -> Reader:
        return EventReader(tree)
