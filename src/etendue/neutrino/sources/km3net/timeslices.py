"""Time slices: all hits of each module in 100 ms, or those that passed a filter (L1, L2, SN).

Files hold them in several layouts, by the split level of the writer: each member of the frames in a branch of
its own (*split*); all frames of a slice in one vector, with the slice's header in a branch for each number or
in one object (*unsplit header*, the tree of no level); header and vector in one object (*whole*, split level
0). A vector is stored member by member or object by object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from etendue import kernel
from etendue.neutrino.schema import SLICE_FRAMES, SLICE_HITS, TIMESLICES
from etendue.neutrino.sources.km3net import layouts, superframes
from etendue.neutrino.sources.km3net.baskets import Branch, Entries, Tree
from etendue.neutrino.sources.km3net.online import (
    Checks,
    Look,
    OnlineStream,
    Reader,
    empty_columns,
    slice_columns,
)
from etendue.schema import Columns, Table

SLICE, FRAMES, HEADER, START = (
    "KM3NETDAQ::JDAQTimeslice",
    "vector<KM3NETDAQ::JDAQSuperFrame>",
    "KM3NETDAQ::JDAQTimesliceHeader",
    "timeslice_start",
)
_NUMBERS = {"detector_id": "det_id", "run": "run_id", "frame_index": "frame_index"}
_CLOCK = ("timeslice_start.UTC_seconds", "timeslice_start.UTC_16nanosecondcycles")
#: Bytes of a header that is one object.
HEADER_SIZE = 44
#: Bytes of a slice that is one object, before its header: length and type.
PREAMBLE_SIZE = 8
#: Members of a frame by their branches.
_BRANCHES = {"dom_id": "id", "daq": "daq", "status": "status", "fifo": "fifo", "n_hits": "numberOfHits"}


class HeaderReader:
    """Reads the headers of slices, however they are split."""

    def __init__(self, tree: Tree) -> None:
        if "detector_id" not in tree:
            self._sizes = {HEADER: HEADER_SIZE}
        elif START in tree:
            self._sizes = dict.fromkeys(_NUMBERS, 4) | {START: 14}
        else:
            self._sizes = dict.fromkeys((*_NUMBERS, *_CLOCK), 4)
        self._branches = {name: tree.branch(name) for name in self._sizes}

    def branches(self) -> Sequence[Branch]:
        """All branches that are read."""
        return list(self._branches.values())

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


class WholeHeader(HeaderReader):
    """Reads the headers of slices that are one object each, from the bytes of these."""

    def __init__(self) -> None:
        self._sizes, self._branches = {}, {}

    def columns(self, raw: dict[str, Entries], keep: np.ndarray) -> Columns:
        starts = _vectors_in_objects(raw[FRAMES])[keep] - HEADER_SIZE
        return layouts.chronometers(raw[FRAMES].data[starts[:, None] + np.arange(HEADER_SIZE)])


def _vectors_in_objects(entries: Entries) -> np.ndarray:
    """Where the vector of frames begins in slices that are one object each."""
    starts, sizes = entries.offsets[:-1], np.diff(entries.offsets)
    first = np.zeros(len(sizes), dtype=np.int64)
    there = sizes >= 4
    for byte in range(4):
        first[there] = first[there] << 8 | entries.data[starts[there] + byte]
    # one of a class derived from JDAQTimeslice begins with the byte count and version of this base
    header = np.where(first == layouts.BYTE_COUNT + sizes - 4, superframes.OBJECT_HEADER, 0)
    return starts + header + PREAMBLE_SIZE + HEADER_SIZE


class SliceReader(Reader):
    """What the layouts have in common: headers, and columns from words of frames and bytes of hits."""

    def __init__(self, header: HeaderReader) -> None:
        self._header = header

    def words(self, look: Look, n_frames: np.ndarray, member: str, dtype: str) -> np.ndarray:
        """One member of all frames."""
        raise NotImplementedError

    def hits(self, look: Look, n_frames: np.ndarray, n_hits: np.ndarray) -> tuple[np.ndarray, ...]:
        """The bytes that hold the hits, where each piece of them begins, and how many hits it has."""
        raise NotImplementedError

    def tables(self, look: Look, keep: np.ndarray, wanted: frozenset[str]) -> dict[str, Columns]:
        n_frames, n_hits = (np.where(keep, look.rows[name], 0) for name in ("frames", "hits"))
        slices = slice_columns(self._header.columns(look.raw, keep), wanted)
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
            pieces = self.hits(look, n_frames, n_hits)
            superframes.slice_hits(*pieces, hits["channel_id"], hits["tdc"], hits["tot"])
        return {"timeslices": slices, "frames": frames, "hits": {name: hits[name] for name in names}}


class VectorReader(SliceReader):
    """Slices whose frames are one vector, in a branch beside those of the header."""

    def __init__(self, header: HeaderReader, frames: Branch) -> None:
        super().__init__(header)
        self._frames = frames

    def branches(self) -> Sequence[Branch]:
        return [*self._header.branches(), self._frames]

    def boundaries(self) -> list[int]:
        return self._frames.boundaries

    def vectors(self, entries: Entries) -> np.ndarray:
        """Where the vector of each entry begins; it ends where the entry does."""
        return entries.offsets[:-1]

    def look(self, first: int, stop: int, *, only_count: bool = False) -> Look:
        checks = Checks(first, stop - first)
        raw = self._header.look(first, stop, checks)
        entries = raw[FRAMES] = self._frames.entries(first, stop)
        n_frames, n_hits = superframes.count_frames(entries.data, self.vectors(entries), entries.offsets[1:])
        expected = f"a vector of JDAQSuperFrame version {superframes.SUPER_FRAME_VERSION}"
        checks.add(entries, n_frames >= 0, self._frames.place, expected)
        return checks.look(raw, timeslices=1, frames=n_frames, hits=n_hits)

    def words(self, look: Look, n_frames: np.ndarray, member: str, dtype: str) -> np.ndarray:
        entries = look.raw[FRAMES]
        return superframes.frame_words(entries.data, self.vectors(entries), n_frames, member, dtype)

    def hits(self, look: Look, n_frames: np.ndarray, n_hits: np.ndarray) -> tuple[np.ndarray, ...]:
        entries, counts = look.raw[FRAMES], self.words(look, n_frames, "n_hits", "int32")
        starts = superframes.hit_starts(entries.data, self.vectors(entries), n_frames, counts)
        return entries.data, starts, counts.astype(np.int64)


class WholeReader(VectorReader):
    """Slices that are one object each: preamble, header and the vector of frames."""

    def __init__(self, slices: Branch) -> None:
        super().__init__(WholeHeader(), slices)

    def vectors(self, entries: Entries) -> np.ndarray:
        return _vectors_in_objects(entries)


class SplitReader(SliceReader):
    """Slices with a branch for each member of the frames."""

    def __init__(self, tree: Tree) -> None:
        super().__init__(HeaderReader(tree))
        self._members = {name: tree.branch(f"{FRAMES}.{branch}") for name, branch in _BRANCHES.items()}
        self._buffer = tree.branch(f"{FRAMES}.buffer")

    def branches(self) -> Sequence[Branch]:
        return [*self._header.branches(), *self._members.values(), self._buffer]

    def boundaries(self) -> list[int]:
        return self._members["n_hits"].boundaries

    def look(self, first: int, stop: int, *, only_count: bool = False) -> Look:
        checks = Checks(first, stop - first)
        raw = self._header.look(first, stop, checks)
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
            expected = superframes.OBJECT_HEADER + superframes.HIT * n_hits
            whole = (size == expected) | ((size == 0) & (n_hits == 0))
            checks.add(raw["buffer"], whole, self._buffer.place, "as many hits as the frames have")
        return checks.look(raw, timeslices=1, frames=sizes // 4, hits=n_hits)

    def words(self, look: Look, n_frames: np.ndarray, member: str, dtype: str) -> np.ndarray:
        raw = look.raw[member]
        keep = np.repeat(n_frames > 0, np.diff(raw.offsets))
        return raw.data[keep].view(">u4").astype(dtype)

    def hits(self, look: Look, n_frames: np.ndarray, n_hits: np.ndarray) -> tuple[np.ndarray, ...]:
        raw = look.raw["buffer"]
        return raw.data, raw.offsets[:-1] + superframes.OBJECT_HEADER, n_hits


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
        if f"{FRAMES}.numberOfHits" in tree:
            return SplitReader(tree)
        if SLICE in tree and FRAMES not in tree:
            return WholeReader(tree.branch(SLICE))
        if len(tree.names) == 1:
            return WholeReader(tree.branch(tree.names[0]))
        return VectorReader(HeaderReader(tree), tree.branch(FRAMES))


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
