"""Summary slices: of each module in 100 ms, the rate of each photomultiplier and the status words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from etendue.neutrino.schema import SUMMARY_FRAMES, TIMESLICES
from etendue.neutrino.sources.km3net import layouts
from etendue.neutrino.sources.km3net.baskets import Branch, Tree
from etendue.neutrino.sources.km3net.online import Checks, Look, OnlineStream, Reader, slice_columns
from etendue.schema import Columns, Table

HEADER, FRAMES = "KM3NETDAQ::JDAQSummarysliceHeader", "vector<KM3NETDAQ::JDAQSummaryFrame>"
#: Bytes of the header of a slice.
HEADER_SIZE = 44
#: Where the words of a frame begin; the rates follow them.
_WORDS = {"dom_id": 0, "daq": 4, "status": 8, "fifo": 12, "status_3": 16, "status_4": 20}
_RATES = 24


class SummaryReader(Reader):
    """Reads the tree of summary slices: a header and a vector of frames an entry."""

    def __init__(self, tree: Tree) -> None:
        self._branches = {name: tree.branch(name) for name in (HEADER, FRAMES)}

    def branches(self) -> Sequence[Branch]:
        return list(self._branches.values())

    def boundaries(self) -> list[int]:
        return self._branches[FRAMES].boundaries

    def look(self, first: int, stop: int, *, only_count: bool = False) -> Look:
        raw = {name: branch.entries(first, stop) for name, branch in self._branches.items()}
        checks = Checks(first, stop - first)
        _, ok = raw[HEADER].table(HEADER_SIZE)
        checks.add(raw[HEADER], ok, self._branches[HEADER].place, f"a header of {HEADER_SIZE} bytes")
        counts = layouts.count_items(raw[FRAMES].data, raw[FRAMES].offsets, layouts.SUMMARY_FRAME)
        expected = f"a vector of frames of {layouts.SUMMARY_FRAME} bytes each"
        checks.add(raw[FRAMES], counts >= 0, self._branches[FRAMES].place, expected)
        return checks.look(raw, timeslices=1, frames=counts)

    def tables(self, look: Look, keep: np.ndarray, wanted: frozenset[str]) -> dict[str, Columns]:
        n_frames = np.where(keep, look.rows["frames"], 0)
        slices = slice_columns(layouts.chronometers(look.raw[HEADER].table(HEADER_SIZE)[0][keep]), wanted)
        slices["n_frames"] = n_frames[keep].astype(np.int32)
        names = [name for name in SUMMARY_FRAMES.variables if f"frames/{name}" in wanted]
        frames: Columns = {}
        if names:
            rows = np.empty((int(n_frames.sum()), layouts.SUMMARY_FRAME), dtype=np.uint8)
            raw = look.raw[FRAMES]
            layouts.items(raw.data, raw.offsets, n_frames, layouts.SUMMARY_FRAME, rows)
            for name in names:
                dtype = SUMMARY_FRAMES.variables[name].dtype
                frames[name] = (
                    np.ascontiguousarray(rows[:, _RATES:])
                    if name == "rates"
                    else layouts.words(rows, _WORDS[name]).astype(dtype)
                )
        return {"timeslices": slices, "frames": frames}


class SummaryStream(OnlineStream):
    """Summary slices (``#summary``)."""

    name: ClassVar[str] = "summary"
    tree: ClassVar[str] = "KM3NET_SUMMARYSLICE"
    row_tables: ClassVar[tuple[Table, ...]] = (TIMESLICES, SUMMARY_FRAMES)

    def reader(self, tree: Tree) -> Reader:
        return SummaryReader(tree)
