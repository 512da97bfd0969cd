"""Where an event came from: from a pass to the pass before it, and so on to the raw file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from etendue.dataflow import border
from etendue.dataflow.event import Event, NoSuchEventError, integers, numbering, texts, wanted_of
from etendue.dataflow.owned import length
from etendue.dataflow.source import RUN, Scan, SourceError, file_of, get_source, guarded
from etendue.kernel import offsets
from etendue.provenance.checksum import sha256
from etendue.provenance.reading import Input, activities, inputs
from etendue.schema import Columns, Table

if TYPE_CHECKING:
    from etendue.store.reader import PassReader

#: Partitions that are searched at once.
_BATCH = 256


@runtime_checkable
class Locating(Protocol):
    """A source that can say where in its file a block lies."""

    def place(self, scan: Scan, block: int) -> str:
        """Where the parts of a block lie, a line each, with bytes as ``first`` to one past the last.

        Raises
        ------
        SourceError
            If the file has no such block.
        """
        ...


@dataclass(frozen=True)
class Step:
    """One step on the way of an event back to the raw file.

    Parameters
    ----------
    depth : int
        0 for the pass that was asked for, 1 for what that was made of, and so on.
    place : str
        The pass (``store@pass``), or the raw file.
    source : str
        What reads it; ``store`` for passes.
    event_id : int
        Number of the event.
    run : int or None
        Its run, as numbered here; None if runs are not numbered.
    blocks : tuple of int
        Which blocks it lies in: the first, and one past the last. Blocks of a pass are partitions, of a
        stream events, of a tree entries.
    row : int or None
        Which row of the block it is; None if only the blocks are known.
    offset : str
        Where in the file, if its source can tell (`Locating`); a line for each part of the event.
    size : int
        Bytes of the file when it was read.
    sha256 : str
        Of the file when it was read.
    snapshot : str
        Of the pass.
    pipeline, hash : str
        Name of the pipeline that made the pass, and SHA-256 of its configuration; empty for raw files.
    remark : str
        Why it cannot be followed further, or why nothing exact is said.
    identity : mapping of str to int or str
        What tells the event from others, by column: its run, numbers and ids.
    index : int or None
        Of a pass: the row of the event in its table, from 0.
    """

    depth: int
    place: str
    source: str
    event_id: int
    run: int | None
    blocks: tuple[int, int]
    row: int | None = None
    offset: str = ""
    size: int = 0
    sha256: str = ""
    snapshot: str = ""
    pipeline: str = ""
    hash: str = ""
    remark: str = ""
    identity: Mapping[str, int | str] = field(default_factory=dict)
    index: int | None = None


def lineage(
    store: str | Path,
    tag: str | None,
    event: Event | None = None,
    run: int | None = None,
    row: int | None = None,
) -> list[Step]:
    """Follow an event of a pass back to the raw file.

    Parameters
    ----------
    store : path
        The store.
    tag : str or None
        Name of the pass, or a snapshot's id; None for the newest one.
    event : int, sequence of int, or mapping of str to int or str, optional
        Which event: its number (`etendue.schema.Table.numbering`), its last numbers in the order of the key
        of its table, or values by column.
    run : int, optional
        Its run, as the pass numbers them.
    row : int, optional
        Its row in its table, from 0: instead of ``event``, or where several have that name.

    Returns
    -------
    list of Step
        Each event with that number in turn, from the pass (``depth`` 0) to the raw file.

    Raises
    ------
    NoSuchEventError
        If the pass holds no such event.
    FileNotFoundError, StoreError, ChunkError
        If the pass cannot be read.
    """
    from etendue.store.reader import PassReader

    reader = PassReader.open(str(store), tag)
    top = reader.schema.top
    wanted = ({} if event is None else wanted_of(top, event)) | ({} if run is None else {RUN: run})
    named = ", ".join(f"{n} {v}" for n, v in wanted.items() if run is None or n != RUN)
    named += "" if run is None else f" of run {run}"
    if row is not None:
        starts = offsets(reader.rows[top.name])
        if not 0 <= row < starts[-1]:
            raise NoSuchEventError(f"{reader.place} has no row {row} of {top.name}: it has {starts[-1]:,}")
        block = int(np.searchsorted(starts, row, side="right")) - 1
        blocks = (block, block + 1)
    else:
        blocks = (0, reader.n_partitions)
    matches = list(_find_in_pass(reader, wanted, blocks, tuple(wanted)))
    if row is not None:
        matches = [match for match in matches if match.index == row]
        named = ", ".join(filter(None, [named, f"row {row}"]))
    if not matches:
        raise NoSuchEventError(f"{reader.place} has no event with {named}")
    search = _Search(numbering(top, wanted), tuple(wanted))
    return [step for match in matches for step in search.of_pass(reader, match, 0)]


@dataclass(frozen=True)
class _Match:
    """A row that was found: its block, its place there and in all, and what tells it from others."""

    block: int
    row: int
    identity: Mapping[str, int | str]
    index: int | None = None

    @property
    def run(self) -> int | None:
        return self.identity.get(RUN)


@dataclass
class _Search:
    """The way back, step by step; a raw file is looked at once."""

    number: str | None
    asked: tuple[str, ...]
    scans: dict[str, Scan | str] = field(default_factory=dict)

    def of_pass(self, reader: PassReader, match: _Match, depth: int) -> Iterator[Step]:
        """The step of a row of a pass, and those before it."""
        record = reader.attributes["provenance"]
        number, first, stop = reader.origin[match.block].tolist()
        came_from = next(one for one in inputs(record) if one.number == number)
        made_by = activities(record)[came_from.run]
        yield Step(
            depth,
            reader.place,
            "store",
            match.identity.get(self.number, match.index),
            match.run,
            (match.block, match.block + 1),
            match.row,
            snapshot=reader.snapshot,
            pipeline=made_by.name,
            hash=made_by.hash,
            identity=match.identity,
            index=match.index,
        )
        identity = dict(match.identity)
        if RUN in identity:
            identity[RUN] -= came_from.first_run
        before = Step(
            depth + 1,
            came_from.path,
            came_from.source,
            match.identity.get(self.number, match.index),
            identity.get(RUN),
            (first, stop),
            size=came_from.size,
            sha256=came_from.sha256,
            snapshot=came_from.snapshot,
            identity=identity,
        )
        find = self._before_pass if came_from.snapshot else self._in_raw
        yield from find(reader, came_from, before, identity)

    def _before_pass(
        self, reader: PassReader, came_from: Input, before: Step, identity: Mapping[str, int | str]
    ) -> Iterator[Step]:
        """The step of an input that is a pass, and those before it."""
        earlier = _open_snapshot(reader.path, came_from)
        if earlier is None:
            yield replace(before, remark="the pass is gone: its store or its snapshot is not there any more")
            return
        matches = list(_find_in_pass(earlier, identity, before.blocks, self.asked))
        if not matches:
            yield replace(before, remark="the pass does not tell this event by its number")
        for match in matches:
            yield from self.of_pass(earlier, match, before.depth)

    def _in_raw(
        self, reader: PassReader, came_from: Input, before: Step, identity: Mapping[str, int | str]
    ) -> Iterator[Step]:
        """The step of an input that is no pass."""
        scan = self._scan(came_from)
        if isinstance(scan, str):
            yield replace(before, remark=scan)
            return
        try:
            matches = list(_find_in_raw(scan, identity, before.blocks, self.asked))
        except (SourceError, OSError) as error:
            yield replace(before, remark=f"it cannot be read any more: {error}")
            return
        if not matches:
            yield replace(before, remark="none of these blocks gives this event by its number")
        for match in matches:
            yield _located(scan, replace(before, blocks=(match.block, match.block + 1), row=match.row))

    def _scan(self, came_from: Input) -> Scan | str:
        """The scan of a raw input, or why there is none to be trusted."""
        if came_from.path not in self.scans:
            self.scans[came_from.path] = _scan_unchanged(came_from)
        return self.scans[came_from.path]


def _located(scan: Scan, step: Step) -> Step:
    """A step of a raw input, with where its block lies in the file."""
    source = get_source(scan.source)
    if not isinstance(source, Locating):
        return step
    try:
        with guarded(scan.path, f"block {step.blocks[0]}"):
            return replace(step, offset=source.place(scan, step.blocks[0]))
    except SourceError as error:
        return replace(step, remark=f"where it lies cannot be told: {error}")


def _scan_unchanged(came_from: Input) -> Scan | str:
    """Scan an input, if it is still what it was; else say what has become of it."""
    file = Path(file_of(came_from.path))
    is_file = bool(came_from.sha256)
    if is_file and not file.is_file():
        return "the file is gone"
    if is_file and (size := file.stat().st_size) != came_from.size:
        return f"the file has changed: it has {size:,} bytes now"
    try:
        source = get_source(came_from.source)
    except (KeyError, ImportError):
        return f"it cannot be read any more: no package that is installed has the source {came_from.source!r}"
    try:
        scan = border.scan(source, came_from.path, "skip")
        now = (scan.sha256 or sha256(file)) if is_file else ""
    except (SourceError, ImportError, OSError) as error:
        return f"it cannot be read any more: {error}"
    return scan if now == came_from.sha256 else f"the file has changed: its SHA-256 is {now} now"


def _open_snapshot(here: str, came_from: Input) -> PassReader | None:
    """The pass that an input was; stores may have moved, so the store at hand is asked first."""
    from etendue.store.paths import StoreError, locate
    from etendue.store.reader import PassReader

    for path in dict.fromkeys((here, locate(came_from.path)[0])):
        try:
            return PassReader.open(path, came_from.snapshot)
        except (FileNotFoundError, StoreError):
            continue
    return None


def _find_in_pass(
    reader: PassReader, wanted: Mapping[str, int | str], blocks: tuple[int, int], asked: Sequence[str]
) -> Iterator[_Match]:
    """Rows of the top table of a pass, of some partitions, that have the wanted numbers."""
    top = reader.schema.top
    names = _identity(top, asked)
    all_rows = reader.rows[top.name]
    before = offsets(all_rows)
    for first in range(*blocks, _BATCH):
        numbers = range(first, min(first + _BATCH, blocks[1]))
        columns = reader.read({top.name: names}, numbers)[top.name]
        edges = offsets(all_rows[first : numbers.stop])
        for row in _rows(columns, wanted).tolist():
            block = int(np.searchsorted(edges, row, side="right")) - 1
            index = int(before[first]) + row
            yield _Match(first + block, row - int(edges[block]), _values(columns, row), index)


def _find_in_raw(
    scan: Scan, wanted: Mapping[str, int | str], blocks: tuple[int, int], asked: Sequence[str]
) -> Iterator[_Match]:
    """Rows of the top table of an input, of some blocks, that have the wanted numbers."""
    top = scan.schema.top
    names = _identity(top, asked)
    ranges = [(block, block + 1) for block in range(*blocks)]
    columns_read = frozenset(f"{top.name}/{name}" for name in names)
    for partition in border.read(get_source(scan.source), scan, ranges, columns_read, "skip"):
        columns = {n: a for n, a in partition.tables.get(top.name, {}).items() if n in names}
        for row in _rows(columns, wanted).tolist():
            yield _Match(ranges[partition.number][0], row, _values(columns, row))


def _rows(columns: Columns, wanted: Mapping[str, int | str]) -> np.ndarray:
    """Rows that have the wanted values, of those columns that there are; all rows if nothing is wanted."""
    if not wanted:
        return np.arange(length(columns))
    tests = [columns[name] == number for name, number in wanted.items() if name in columns]
    return np.flatnonzero(np.logical_and.reduce(tests)) if tests else np.empty(0, np.int64)


def _values(columns: Columns, row: int) -> dict[str, int | str]:
    return {name: int(a[row]) if a.dtype.kind in "iu" else str(a[row]) for name, a in columns.items()}


def _identity(top: Table, asked: Sequence[str]) -> list[str]:
    """What tells rows of a top table apart: of its key, and the columns that were asked for."""
    known = integers(top) | texts(top)
    return [name for name in dict.fromkeys([*top.identifying, *asked]) if name in known]
