"""What the streams of raw data share: a tree of events or slices, read range by range."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from etendue.dataflow.partition import Failure, Partition
from etendue.dataflow.source import OnError, Scan, SourceError
from etendue.neutrino.sources.km3net.baskets import Branch, Entries, Problem, Tree
from etendue.neutrino.sources.km3net.observation import META, OBSERVATION, meta, observation
from etendue.neutrino.sources.km3net.parameters import (
    TRIGGER_PARAMETERS,
    trigger_parameters,
)
from etendue.neutrino.sources.km3net.streams import has, split_path
from etendue.neutrino.sources.km3net.tree_head import tree_head
from etendue.schema import Columns, Schema, Table

if TYPE_CHECKING:
    from uproot import ReadOnlyDirectory

_ADVICE = "get the file anew, or leave out what cannot be read with on_error='skip'"


@dataclass(frozen=True)
class Look:
    """A range of entries before it is decoded.

    Parameters
    ----------
    first : int
        The first entry.
    rows : dict of str to int64 array
        Rows of each table that each entry owns; 0 where it cannot be read. The first table is the top.
    problems : tuple of Problem
        What cannot be read.
    raw : dict of str to Entries
        Bytes, by branch.
    """

    first: int
    rows: dict[str, np.ndarray]
    problems: tuple[Problem, ...]
    raw: dict[str, Entries]


class Reader(ABC):
    """Reads entries of one tree of one open file."""

    @abstractmethod
    def look(self, first: int, stop: int, *, only_count: bool = False) -> Look:
        """The bytes and the checked counts of a range of entries."""

    @abstractmethod
    def tables(self, look: Look, keep: np.ndarray, wanted: frozenset[str]) -> dict[str, Columns]:
        """Decode the entries that ``keep`` marks: columns by table, with the counts of children."""

    @abstractmethod
    def branches(self) -> Sequence[Branch]:
        """All branches that are read."""

    @abstractmethod
    def boundaries(self) -> list[int]:
        """Entries between which a scan may cut."""


class OnlineStream(ABC):
    """A stream whose entries are the rows of its top table."""

    name: ClassVar[str]
    tree: ClassVar[str]
    row_tables: ClassVar[tuple[Table, ...]]

    @abstractmethod
    def reader(self, tree: Tree) -> Reader:
        """What reads the entries of the tree."""

    def entries(self, file: ReadOnlyDirectory) -> int | None:
        """Entries of the tree; None if there is none."""
        if not has(file, self.tree):
            return None
        head = tree_head(file, self.tree)
        return head.n_entries if head else Tree(file.file_path, file, self.tree).n_entries

    def schema(self) -> Schema:
        """The tables of the stream."""
        return Schema({}).with_tables([*self.row_tables, OBSERVATION, META, TRIGGER_PARAMETERS])

    def scan(self, path: str, file: ReadOnlyDirectory, on_error: OnError) -> Scan:
        """Count the rows of each entry; see `etendue.dataflow.source.Source.scan`."""
        tree = Tree(path, file, self.tree)
        rows = {table.name: np.zeros(tree.n_entries, dtype=np.int64) for table in self.row_tables}
        problems: list[Problem] = []
        static: dict[str, Columns] = {OBSERVATION.name: observation()}
        if tree.n_entries:
            reader = self.reader(tree)
            for first, stop in pairwise(reader.boundaries()):
                look = reader.look(first, stop, only_count=True)
                for name, counts in look.rows.items():
                    rows[name][first:stop] = counts
                problems += look.problems
            static[OBSERVATION.name] = self._observation(reader, rows)
        failures = [failure(path, problem, on_error) for problem in problems]
        for table, read in ((META, meta), (TRIGGER_PARAMETERS, trigger_parameters)):
            try:
                static[table.name] = read(path, file)
            except SourceError as error:
                if on_error == "raise":
                    raise
                failures.append(error.failure)
                static[table.name] = {c: np.zeros(0, v.dtype) for c, v in table.variables.items()}
        return Scan(
            path=path,
            source="km3net",
            schema=self.schema(),
            static=static,
            rows=rows,
            splittable=True,
            size=os.path.getsize(split_path(path)[0]),
            failures=tuple(failures),
        )

    def _observation(self, reader: Reader, rows: dict[str, np.ndarray]) -> Columns:
        top = self.row_tables[0].name
        good = np.flatnonzero(rows[top])
        if not len(good):
            return observation()
        look = reader.look(int(good[0]), int(good[0]) + 1)
        names = frozenset({f"{top}/det_id", f"{top}/run_id"})
        columns = reader.tables(look, look.rows[top] > 0, names)[top]
        # none if the entry, whose counts are right, cannot be read for all that
        return observation(*(int(columns[name][0]) for name in ("det_id", "run_id") if len(columns[name])))

    def read(
        self,
        scan: Scan,
        file: ReadOnlyDirectory,
        ranges: Sequence[tuple[int, int]],
        columns: frozenset[str],
        on_error: OnError,
    ) -> Iterator[Partition]:
        """Read ranges of entries; those that the scan found broken are left out without another word."""
        tree = Tree(scan.path, file, self.tree)
        top = self.row_tables[0].name
        if tree.n_entries != len(scan.rows[top]):
            message = (
                f"expected {len(scan.rows[top])} entries as scanned, found {tree.n_entries}; scan it anew"
            )
            raise SourceError(scan.path, self.tree, message)
        reader = self.reader(tree) if tree.n_entries else None
        for number, (first, stop) in enumerate(ranges):
            if reader is None:
                raise SourceError(scan.path, self.tree, "the tree has no entries")
            look = reader.look(first, stop)
            expected = scan.rows[top][first:stop] > 0
            failures = [
                failure(scan.path, problem, on_error)
                for problem in look.problems
                if expected[problem.first - first : problem.stop - first].any()
            ]
            tables = reader.tables(look, expected & (look.rows[top] > 0), columns)
            yield Partition(number, scan.schema, tables, failures=tuple(failures))

    def place(self, path: str, file: ReadOnlyDirectory, entry: int) -> str:
        """The entry of the tree, and the basket of each branch that holds it."""
        branches = self.reader(Tree(path, file, self.tree)).branches()
        lines = [f"entry {entry:,} of {self.tree}", *(branch.place_of(entry) for branch in branches)]
        return "\n".join(lines)


def failure(path: str, problem: Problem, on_error: OnError) -> Failure:
    """The failure that a problem is, or raise it."""
    n_lost = problem.stop - problem.first
    if on_error == "raise":
        raise SourceError(path, problem.place, f"{problem.message}; {_ADVICE}", n_lost)
    return Failure(path, problem.place, problem.message, n_lost)


def empty_columns(table: Table, n_rows: int, wanted: frozenset[str]) -> Columns:
    """Arrays for the wanted columns of a table."""
    return {
        name: np.empty((n_rows, *(table.sizes[d] for d in variable.dims[1:])), dtype=variable.dtype)
        for name, variable in table.variables.items()
        if f"{table.name}/{name}" in wanted
    }


class Checks:
    """Gathers what is wrong with a range of entries.

    Parameters
    ----------
    first : int
        The first entry.
    n : int
        How many entries.
    """

    def __init__(self, first: int, n: int) -> None:
        self._first, self._ok, self._problems = first, np.ones(n, dtype=bool), []

    def add(self, entries: Entries, ok: np.ndarray, place: str, expected: str) -> None:
        """Note broken baskets and malformed entries; an entry is lost once, whatever else is wrong."""
        for problem in entries.problems:
            part = slice(problem.first - self._first, problem.stop - self._first)
            if self._ok[part].all():
                self._problems.append(problem)
            self._ok[part] = False
        sizes = np.diff(entries.offsets)
        for n in np.flatnonzero(self._ok & ~ok).tolist():
            number = self._first + n
            found = f"expected {expected}, found another layout in {sizes[n]} bytes"
            self._problems.append(Problem(number, number + 1, f"{place} entry {number}", found))
        self._ok &= ok

    def look(self, raw: dict[str, Entries], **rows: np.ndarray | int) -> Look:
        """What was found, with no rows of entries that are not as they should be."""
        counted = {name: np.where(self._ok, counts, 0).astype(np.int64) for name, counts in rows.items()}
        return Look(self._first, counted, tuple(self._problems), raw)


def slice_columns(columns: Columns, wanted: frozenset[str]) -> Columns:
    """The wanted columns of time slices."""
    run = {"run": np.zeros(len(columns["time"]), dtype=np.uint32)}
    return {name: column for name, column in (run | columns).items() if f"timeslices/{name}" in wanted}
