"""Columns of trees whose branches are split: a number, a list, or a list of lists in each entry.

The tree of offline events and that of DST summaries are read by the same `TreeReader`; where they differ is
which branch becomes which column of which table (`Layout`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from etendue.dataflow.source import SourceError
from etendue.neutrino.sources.km3net import vectors
from etendue.neutrino.sources.km3net.baskets import Entries
from etendue.neutrino.sources.km3net.branches import Branches
from etendue.neutrino.sources.km3net.online import Checks
from etendue.schema import Columns, Variable

#: The dtype of a text in `Column.disk`.
TEXT = "text"

TOP = "events"


@dataclass(frozen=True)
class Column:
    """A column and the branches that it is made of.

    Parameters
    ----------
    variable : Variable
        Its declaration.
    branches : tuple of str
        Branches, one unless ``combine`` is given.
    disk : tuple of str
        Dtypes that the numbers may have in the file (big-endian), which says which of them; or `TEXT`.
    combine : callable, optional
        Makes the column of the branches' arrays.
    """

    variable: Variable
    branches: tuple[str, ...]
    disk: tuple[str, ...]
    combine: Callable[..., np.ndarray] | None = None

    @property
    def is_text(self) -> bool:
        """Whether it holds texts."""
        return self.disk[0] == TEXT

    @property
    def item_size(self) -> int:
        """Bytes of a value; 0 for texts."""
        return 0 if self.is_text else np.dtype(self.disk[0]).itemsize


@dataclass(frozen=True)
class Part:
    """Columns of one table that are stored in the same way; a table of the items of lists has one column.

    Parameters
    ----------
    table : str
        The table.
    columns : tuple of Column
        Its columns.
    parent : str
        The table that owns its rows; empty for the events themselves.
    count : str
        Branch with the number of rows of each event; empty if the rows are items of vectors.
    """

    table: str
    columns: tuple[Column, ...]
    parent: str = ""
    count: str = ""

    @property
    def is_vector(self) -> bool:
        """Whether each parent row has a vector of values, so that they must be unpacked to be counted."""
        return bool(self.parent) and not self.count


@dataclass
class Raw:
    """What was found in a range of entries, before anything is decoded.

    Parameters
    ----------
    n_entries : int
        Entries of the range.
    entries : dict of str to Entries
        Bytes by branch.
    counts : dict of str to int64 array
        Rows of each entry, by table.
    inner : dict of str to int64 array
        Items of each list, by branch.
    """

    n_entries: int
    entries: dict[str, Entries] = field(default_factory=dict)
    counts: dict[str, np.ndarray] = field(default_factory=dict)
    inner: dict[str, np.ndarray] = field(default_factory=dict)

    def rows(self, part: Part) -> np.ndarray:
        """Rows of each entry of a part that is not made of lists."""
        return self.counts[part.table] if part.count else np.ones(self.n_entries, dtype=np.int64)

    def inner_rows(self, part: Part) -> np.ndarray:
        """Lists (or texts) in each entry."""
        table = part.parent if part.is_vector else part.table
        return self.counts.get(table, np.ones(self.n_entries, dtype=np.int64))


class TreeReader:
    """Reads ranges of entries of one tree.

    Parameters
    ----------
    branches : Branches
        The tree.
    parts : sequence of Part
        Tables and columns; columns whose branches the tree does not have are left out, and so are tables
        without columns.
    """

    def __init__(self, branches: Branches, parts: tuple[Part, ...]) -> None:
        self.branches = branches
        there = [
            Part(part.table, columns, part.parent, part.count)
            for part in parts
            if not part.count or part.count in branches
            if (columns := tuple(c for c in part.columns if all(b in branches for b in c.branches)))
        ]
        tables = {part.table for part in there} | {TOP}
        self.parts = [part for part in there if not part.parent or part.parent in tables]

    def rows(self, checks: Checks) -> dict[str, np.ndarray]:
        """Rows of each table in each entry, for planning.

        Those of vectors are estimated from the size of the branch, since to count them is to unpack them.
        """
        raw = self._counts(0, self.branches.n_entries, checks)
        rows = {name: counts.astype(np.int64) for name, counts in raw.counts.items()}
        for part in self.parts:
            if part.is_vector:
                column = part.columns[0]
                most = self.branches.most_items(column.branches[0], column.item_size)
                parents = rows.get(part.parent, np.ones(self.branches.n_entries, dtype=np.int64))
                rows[part.table] = parents * most // max(int(parents.sum()), 1)
        return rows

    def place(self, entry: int) -> str:
        """Where in the file the baskets are that hold an entry: too many to name each."""
        names = {part.count for part in self.parts if part.count}
        names |= {name for part in self.parts for column in part.columns for name in column.branches}
        spans = [self.branches[name].bytes_of(entry) for name in names]
        first, stop = min(start for start, _ in spans), max(stop for _, stop in spans)
        tree = self.branches.tree
        return f"entry {entry:,} of {tree}: its {len(spans)} baskets are in bytes {first:,} to {stop:,}"

    def _counts(self, first: int, stop: int, checks: Checks) -> Raw:
        raw = Raw(stop - first)
        for part in self.parts:
            if part.count:
                branch = self.branches[part.count]
                entries = branch.entries(first, stop)
                numbers, ok = entries.table(4)
                counts = np.ascontiguousarray(numbers).view(">i4")[:, 0].astype(np.int64)
                most = max(self._most_rows(part))
                ok &= (counts >= 0) & (counts <= most)
                checks.add(entries, ok, branch.place, f"a count of 4 bytes, of at most {most:,} rows")
                raw.counts[part.table] = np.where(ok, counts, 0)
        return raw

    def _most_rows(self, part: Part) -> Iterator[int]:
        """How many rows the bytes of each branch of a table could be at most."""
        for column in part.columns:
            for name in column.branches:
                yield self.branches.most_items(name, column.item_size)

    def look(self, first: int, stop: int, wanted: frozenset[str], checks: Checks) -> Raw:
        """Read the bytes of the wanted columns, and check that each entry is as long as it must be."""
        raw = self._counts(first, stop, checks)
        for part in self.parts:
            for column in _needed(part, wanted):
                for name in column.branches:
                    raw.entries[name] = self.branches[name].entries(first, stop)
                    self._check_sizes(part, column, name, raw, checks)
        for part in self.parts:  # when no count is left that the bytes belie
            for column in _needed(part, wanted):
                if part.is_vector or column.is_text:
                    name = column.branches[0]
                    entries = raw.entries[name]
                    raw.inner[name], ok = vectors.count_inner(
                        entries.data, entries.offsets, raw.inner_rows(part), column.item_size, part.is_vector
                    )
                    checks.add(entries, ok, self.branches[name].place, f"lists of {column.disk[0]}")
        return raw

    def _check_sizes(self, part: Part, column: Column, name: str, raw: Raw, checks: Checks) -> None:
        """Check the size of each entry of one branch; entries that fail have no rows from then on."""
        entries, place = raw.entries[name], self.branches[name].place
        sizes = np.diff(entries.offsets)
        if part.is_vector:
            ok = (sizes >= 4 * raw.inner_rows(part)) | (raw.inner_rows(part) == 0)
        elif column.is_text:
            ok = sizes >= raw.inner_rows(part)
        else:
            ok = sizes == raw.rows(part) * self.branches.dtype(name, column.disk).itemsize
        checks.add(entries, ok, place, f"{column.disk[0]} values, as many as there are rows")
        owner = part.parent if part.is_vector else part.table
        if owner in raw.counts:
            raw.counts[owner][~ok] = 0

    def tables(self, raw: Raw, keep: np.ndarray, wanted: frozenset[str]) -> dict[str, Columns]:
        """Decode the entries to keep: columns by table, with the counts of the rows of other tables."""
        tables: dict[str, Columns] = {TOP: {}, **{part.table: {} for part in self.parts}}
        for part in self.parts:
            needed = _needed(part, wanted)
            if part.count:
                tables[part.parent][f"n_{part.table}"] = raw.rows(part)[keep].astype(np.int32)
            elif part.is_vector and needed:
                kept = np.repeat(keep, raw.inner_rows(part))
                counts = raw.inner[needed[0].branches[0]]
                tables[part.parent][f"n_{part.table}"] = counts[kept].astype(np.int32)
            for column in _wanted(part, wanted):
                tables[part.table][column.variable.name] = self._decode(part, column, raw, keep)
        return tables

    def _decode(self, part: Part, column: Column, raw: Raw, keep: np.ndarray) -> np.ndarray:
        name = column.branches[0]
        if part.is_vector or column.is_text:
            inner, entries = raw.inner_rows(part), raw.entries[name]
            found = _inner(column, entries, inner, raw.inner[name], keep, part.is_vector)
        else:
            arrays = []
            for name in column.branches:
                dtype = self.branches.dtype(name, column.disk)
                data = _kept_bytes(raw.entries[name], keep)
                arrays.append(data.view(dtype.base).reshape(-1, *dtype.shape))
            found = column.combine(*arrays) if column.combine else arrays[0]
        return _narrow(self.branches, column, found)


def _wanted(part: Part, wanted: frozenset[str]) -> tuple[Column, ...]:
    return tuple(c for c in part.columns if f"{part.table}/{c.variable.name}" in wanted)


def _needed(part: Part, wanted: frozenset[str]) -> tuple[Column, ...]:
    """The columns to read: those that are wanted, or of vectors that are only counted, the first."""
    columns = _wanted(part, wanted)
    is_counted = part.is_vector and f"{part.parent}/n_{part.table}" in wanted
    return part.columns[:1] if is_counted and not columns else columns


def _kept_bytes(entries: Entries, keep: np.ndarray) -> np.ndarray:
    data = entries.data[entries.offsets[0] : entries.offsets[-1]]
    if not keep.all():
        data = data[np.repeat(keep, np.diff(entries.offsets))]
    return np.ascontiguousarray(data)


def _inner(
    column: Column, entries: Entries, inner: np.ndarray, counts: np.ndarray, keep: np.ndarray, counted: bool
) -> np.ndarray:
    n_items = int(counts[np.repeat(keep, inner)].sum())
    if column.is_text:
        spans = np.empty((n_items, 2), dtype=np.int64)
        vectors.inner_texts(entries.data, entries.offsets, inner, counts, keep, counted, spans)
        return vectors.texts(entries.data, spans)
    dtype = np.dtype(column.disk[0])
    items = np.empty(n_items * dtype.itemsize, dtype=np.uint8)
    vectors.inner_items(entries.data, entries.offsets, inner, counts, keep, dtype.itemsize, items)
    return items.view(dtype)


def _narrow(branches: Branches, column: Column, found: np.ndarray) -> np.ndarray:
    """The array in the declared dtype.

    Raises
    ------
    SourceError
        If a number does not fit.
    """
    variable = column.variable
    if variable.dtype == "str":
        return found
    dtype = np.dtype(variable.dtype)
    if dtype.kind == "u" and dtype.itemsize < found.dtype.itemsize and len(found):
        largest, most = int(found.max()), np.iinfo(dtype).max
        if largest > most:
            place = f"{branches.tree}/{column.branches[0]}"
            raise SourceError(branches.path, place, f"expected numbers up to {most}, got {largest}")
    return found.astype(dtype)


def declared(table: str, dim: str, specs: Mapping[str, tuple]) -> tuple[Column, ...]:
    """Columns from ``name=(branch, disk dtypes, dtype, units, description)``."""
    return tuple(
        Column(Variable(name, (dim,), dtype, units, description), (branch,), tuple(disk.split()))
        for name, (branch, disk, dtype, units, description) in specs.items()
    )
