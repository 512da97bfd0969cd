"""Time slices: all hits of each module in 100 ms, or those that passed a filter (L1, L2, SN).

Files hold them in three layouts, by the split level of the writer: each member of the frames in a branch of
its own (*split*); all frames of a slice in one vector, stored member by member, with the slice's header in a
branch for each number (*member-wise*) or in one object (*unsplit header*, the tree of no level).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from etendue import kernel
from etendue.neutrino.schema import SLICE_FRAMES, SLICE_HITS, TIMESLICES
from etendue.neutrino.sources.km3net import layouts
from etendue.neutrino.sources.km3net.baskets import Entries, Tree
from etendue.neutrino.sources.km3net.online import (
    Checks,
    Look,
    OnlineStream,
    Reader,
    empty_columns,
    slice_columns,
)
from etendue.schema import Columns, Table

FRAMES, HEADER, START = (
    "vector<KM3NETDAQ::JDAQSuperFrame>",
    "KM3NETDAQ::JDAQTimesliceHeader",
    "timeslice_start",
)
_NUMBERS = {"detector_id": "det_id", "run": "run_id", "frame_index": "frame_index"}
_CLOCK = ("timeslice_start.UTC_seconds", "timeslice_start.UTC_16nanosecondcycles")
#: Bytes of the members of a frame before each that is read, for one frame.
_MEMBERS = {"dom_id": 44, "daq": 48, "status": 52, "fifo": 56, "n_hits": 68}
#: Members of a frame by their branches.
_BRANCHES = {"dom_id": "id", "daq": "daq", "status": "status", "fifo": "fifo", "n_hits": "numberOfHits"}


class HeaderReader:
    """Reads the headers of slices, however they are split."""

    def __init__(self, tree: Tree) -> None:
        if "detector_id" not in tree:
            self._sizes = {HEADER: 44}
        elif START in tree:
            self._sizes = dict.fromkeys(_NUMBERS, 4) | {START: 14}
        else:
            self._sizes = dict.fromkeys((*_NUMBERS, *_CLOCK), 4)
        self._branches = {name: tree.branch(name) for name in self._sizes}

    def look(self, first: int, stop: int, checks: Checks) -> dict[str, Entries]:
        """The bytes of headers, checked for their size."""
        raw = {name: branch.entries(first, stop) for name, branch in self._branches.items()}
        for name, size in self._sizes.items():
            checks.add(raw[name], raw[name].table(size)[1], self._branches[name].place, f"{size} bytes")
        return raw

    def columns(self, raw: dict[str, Entries], keep: np.ndarray) -> Columns:
        """Columns of the slices that ``keep`` marks."""
        rows = {name: raw[name].table(size)[0][keep] for name, size in self._sizes.items()}
        if HEADER in rows:
            return layouts.chronometers(rows[HEADER])
        if START in rows:
            clock = [layouts.words(rows[START], at) for at in (6, 10)]
        else:
            clock = [layouts.words(rows[name], 0) for name in _CLOCK]
        numbers = {ours: layouts.words(rows[name], 0).astype(np.int32) for name, ours in _NUMBERS.items()}
        return numbers | {"time": layouts.utc(*clock)}


class SliceReader(Reader):
    """What the layouts have in common: headers, and columns from words of frames and bytes of hits."""

    def __init__(self, tree: Tree) -> None:
        self._headers = HeaderReader(tree)

    def words(self, look: Look, n_frames: np.ndarray, member: str, dtype: str) -> np.ndarray:
        """One member of all frames."""
        raise NotImplementedError

    def hits(self, look: Look, n_frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The bytes that hold the hits, and where those of each entry begin."""
        raise NotImplementedError

    def tables(self, look: Look, keep: np.ndarray, wanted: frozenset[str]) -> dict[str, Columns]:
        n_frames, n_hits = (np.where(keep, look.rows[name], 0) for name in ("frames", "hits"))
        slices = slice_columns(self._headers.columns(look.raw, keep), wanted)
        slices["n_frames"] = n_frames[keep].astype(np.int32)
        frames = {
            name: self.words(look, n_frames, name, variable.dtype)
            for name, variable in SLICE_FRAMES.variables.items()
            if f"frames/{name}" in wanted
        }
        frames["n_hits"] = self.words(look, n_frames, "n_hits", "int32")
        names = [name for name in SLICE_HITS.variables if f"hits/{name}" in wanted]
        hits: Columns = {}
        if names:
            hits = empty_columns(
                SLICE_HITS, int(n_hits.sum()), frozenset(f"hits/{n}" for n in SLICE_HITS.variables)
            )
            layouts.slice_hits(
                *self.hits(look, n_frames), n_hits, hits["channel_id"], hits["tdc"], hits["tot"]
            )
        return {"timeslices": slices, "frames": frames, "hits": {name: hits[name] for name in names}}


class MemberWiseReader(SliceReader):
    """Slices whose frames are one vector, stored member by member."""

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree)
        self._frames = tree.branch(FRAMES)

    def boundaries(self) -> list[int]:
        return self._frames.boundaries

    def look(self, first: int, stop: int, *, only_count: bool = False) -> Look:
        checks = Checks(first, stop - first)
        raw = self._headers.look(first, stop, checks) | {FRAMES: self._frames.entries(first, stop)}
        n_frames, n_hits = layouts.count_frames(raw[FRAMES].data, raw[FRAMES].offsets)
        expected = f"a vector of JDAQSuperFrame version {layouts.SUPER_FRAME_VERSION} stored member by member"
        checks.add(raw[FRAMES], n_frames >= 0, self._frames.place, expected)
        return checks.look(raw, timeslices=1, frames=n_frames, hits=n_hits)

    def words(self, look: Look, n_frames: np.ndarray, member: str, dtype: str) -> np.ndarray:
        words = np.empty(int(n_frames.sum()), dtype=dtype)
        raw = look.raw[FRAMES]
        layouts.frame_words(raw.data, raw.offsets, n_frames, _MEMBERS[member], words)
        return words

    def hits(self, look: Look, n_frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raw = look.raw[FRAMES]
        before = layouts.FRAMES_HEADER + layouts.BUFFER_HEADER
        return raw.data, raw.offsets[:-1] + before + layouts.FRAME_SIZE * n_frames


class SplitReader(SliceReader):
    """Slices with a branch for each member of the frames."""

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree)
        self._members = {name: tree.branch(f"{FRAMES}.{branch}") for name, branch in _BRANCHES.items()}
        self._buffer = tree.branch(f"{FRAMES}.buffer")

    def boundaries(self) -> list[int]:
        return self._members["n_hits"].boundaries

    def look(self, first: int, stop: int, *, only_count: bool = False) -> Look:
        checks = Checks(first, stop - first)
        raw = self._headers.look(first, stop, checks)
        for name in ("n_hits",) if only_count else self._members:
            raw[name] = self._members[name].entries(first, stop)
        sizes = np.diff(raw["n_hits"].offsets)
        n_hits, ok = _sums(raw["n_hits"])
        checks.add(raw["n_hits"], ok, self._members["n_hits"].place, "numbers of hits of 4 bytes each")
        if not only_count:
            for name, branch in self._members.items():
                same = np.diff(raw[name].offsets) == sizes
                checks.add(raw[name], same, branch.place, "as many words as there are frames")
            raw["buffer"] = self._buffer.entries(first, stop)
            size = np.diff(raw["buffer"].offsets)
            whole = (size == layouts.BUFFER_HEADER + layouts.HIT * n_hits) | ((size == 0) & (n_hits == 0))
            checks.add(raw["buffer"], whole, self._buffer.place, "as many hits as the frames have")
        return checks.look(raw, timeslices=1, frames=sizes // 4, hits=n_hits)

    def words(self, look: Look, n_frames: np.ndarray, member: str, dtype: str) -> np.ndarray:
        raw = look.raw[member]
        keep = np.repeat(n_frames > 0, np.diff(raw.offsets))
        return raw.data[keep].view(">u4").astype(dtype)

    def hits(self, look: Look, n_frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raw = look.raw["buffer"]
        return raw.data, raw.offsets[:-1] + layouts.BUFFER_HEADER


def _sums(entries: Entries) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the words of each entry, and whether it has whole words and none is negative."""
    sizes = np.diff(entries.offsets)
    whole = sizes % 4 == 0
    words = entries.data[np.repeat(whole, sizes)].view(">i4").astype(np.int64)
    ends = kernel.offsets(np.where(whole, sizes // 4, 0))
    sums = np.diff(kernel.offsets(words)[ends])
    return sums, whole & (np.diff(kernel.offsets(words < 0)[ends]) == 0)


class OneTreeStream(OnlineStream):
    """A stream of time slices; which of the layouts is told by the branches of its tree."""

    row_tables: ClassVar[tuple[Table, ...]] = (TIMESLICES, SLICE_FRAMES, SLICE_HITS)

    def reader(self, tree: Tree) -> Reader:
        return SplitReader(tree) if f"{FRAMES}.numberOfHits" in tree else MemberWiseReader(tree)


class L0Stream(OneTreeStream):
    """All hits (``#L0``)."""

    name: ClassVar[str] = "L0"
    tree: ClassVar[str] = "KM3NET_TIMESLICE_L0"


class L1Stream(OneTreeStream):
    """Hits in coincidence on one module (``#L1``)."""

    name: ClassVar[str] = "L1"
    tree: ClassVar[str] = "KM3NET_TIMESLICE_L1"


class L2Stream(OneTreeStream):
    """Hits in a close coincidence on one module (``#L2``)."""

    name: ClassVar[str] = "L2"
    tree: ClassVar[str] = "KM3NET_TIMESLICE_L2"


class SNStream(OneTreeStream):
    """Hits in coincidences of many photomultipliers, for supernovae (``#SN``)."""

    name: ClassVar[str] = "SN"
    tree: ClassVar[str] = "KM3NET_TIMESLICE_SN"


class TimesliceStream(OneTreeStream):
    """Frames that the data filter rejected (``#timeslices``)."""

    name: ClassVar[str] = "timeslices"
    tree: ClassVar[str] = "KM3NET_TIMESLICE"
