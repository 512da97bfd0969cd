"""Reconstructed (offline) events: the tree ``E`` with its branch ``Evt``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from etendue.dataflow.partition import Failure, Partition
from etendue.dataflow.source import OnError, Scan, SourceError
from etendue.neutrino.schema import DAQ_EVENTS
from etendue.neutrino.sources.km3net import evt
from etendue.neutrino.sources.km3net.branches import branches_of
from etendue.neutrino.sources.km3net.columnar import TOP, TreeReader
from etendue.neutrino.sources.km3net.headers import HEADER, header
from etendue.neutrino.sources.km3net.observation import META, OBSERVATION, meta, observation
from etendue.neutrino.sources.km3net.online import Checks, failure
from etendue.neutrino.sources.km3net.streams import split_path
from etendue.neutrino.sources.km3net.tree_head import tree_head
from etendue.schema import Columns, Schema, Table

if TYPE_CHECKING:
    from uproot import ReadOnlyDirectory

Static = dict[str, tuple[Table, Columns]]


class OfflineStream:
    """Offline events (``#offline``), with hits, tracks and simulated hits and tracks."""

    name: ClassVar[str] = "offline"

    def entries(self, file: ReadOnlyDirectory) -> int | None:
        """Events of the file; None if it has none of this kind, or has DST summaries of them."""
        return None if is_dst(file) else evt_entries(file)

    def readers(self, path: str, file: ReadOnlyDirectory) -> list[TreeReader]:
        """What reads the trees whose entries are the events; the first has the tables of events."""
        return [TreeReader(branches_of(file, evt.TREE).by_leaf(), evt.PARTS)]

    def static(self, path: str, file: ReadOnlyDirectory, broken: list[Failure] | None) -> Static:
        """Static tables that are read from the file.

        What is broken goes to ``broken`` and has no rows; it is raised if that is None.
        """
        return {
            table.name: (table, unless_broken(table, partial(read, path, file), broken))
            for table, read in ((META, meta), (HEADER, header))
        }

    def scan(self, path: str, file: ReadOnlyDirectory, on_error: OnError) -> Scan:
        """Count the rows of each event; see `etendue.dataflow.source.Source.scan`.

        Hits and tracks are counted. What lists a track or an event has is estimated, since to count it is to
        unpack it.
        """
        readers = self.readers(path, file)
        n_entries = _common_length(path, readers)
        checks = Checks(0, n_entries)
        rows = {name: counts for reader in readers for name, counts in reader.rows(checks).items()}
        look = checks.look({}, **{TOP: np.ones(n_entries, dtype=np.int64)}, **rows)
        failures = [failure(path, problem, on_error) for problem in look.problems]
        static = self.static(path, file, None if on_error == "raise" else failures)
        tables = {name: table for name, (table, _) in static.items()}
        return Scan(
            path=path,
            source="km3net",
            schema=Schema({}).with_tables([*_tables(readers), OBSERVATION, *tables.values()]),
            static={
                OBSERVATION.name: _observation(readers[0], look.rows[TOP]),
                **{name: columns for name, (_, columns) in static.items()},
            },
            rows=look.rows,
            splittable=True,
            size=os.path.getsize(split_path(path)[0]),
            failures=tuple(failures),
        )

    def read(
        self,
        scan: Scan,
        file: ReadOnlyDirectory,
        ranges: Sequence[tuple[int, int]],
        columns: frozenset[str],
        on_error: OnError,
    ) -> Iterator[Partition]:
        """Read ranges of events; those that the scan found broken are left out without another word."""
        readers = self.readers(scan.path, file)
        if (n_entries := _common_length(scan.path, readers)) != len(scan.rows[TOP]):
            message = f"expected {len(scan.rows[TOP])} entries as scanned, found {n_entries}; scan it anew"
            raise SourceError(scan.path, readers[0].branches.tree, message)
        for number, (first, stop) in enumerate(ranges):
            checks = Checks(first, stop - first)
            raws = [reader.look(first, stop, columns, checks) for reader in readers]
            look = checks.look({}, **{TOP: np.ones(stop - first, dtype=np.int64)})
            expected = scan.rows[TOP][first:stop] > 0
            failures = [
                failure(scan.path, problem, on_error)
                for problem in look.problems
                if expected[problem.first - first : problem.stop - first].any()
            ]
            keep = expected & (look.rows[TOP] > 0)
            tables: dict[str, Columns] = {}
            for reader, raw in zip(readers, raws, strict=True):
                for name, found in reader.tables(raw, keep, columns).items():
                    tables[name] = tables.get(name, {}) | found
            if f"{TOP}/run" in columns:
                tables[TOP]["run"] = np.zeros(int(keep.sum()), dtype=np.uint32)
            yield Partition(number, scan.schema, tables, scan.static, failures=tuple(failures))

    def place(self, path: str, file: ReadOnlyDirectory, entry: int) -> str:
        """The entry of each tree, and where in the file the baskets are that hold it."""
        return "\n".join(reader.place(entry) for reader in self.readers(path, file))


def unless_broken(table: Table, read: Callable[[], Columns], broken: list[Failure] | None) -> Columns:
    """What is read of a static table; without rows, and with a failure more, if it is broken."""
    try:
        return read()
    except SourceError as error:
        if broken is None:
            raise
        broken.append(error.failure)
        return {name: np.zeros(0, variable.dtype) for name, variable in table.variables.items()}


def is_dst(file: ReadOnlyDirectory) -> bool:
    """Whether the file has summaries of its offline events."""
    classes = file.classnames(recursive=False, cycle=False)
    return classes.get("T") == classes.get(evt.TREE) == "TTree"


def evt_entries(file: ReadOnlyDirectory) -> int | None:
    """Entries of the tree of offline events; None if there is none."""
    if file.classnames(recursive=False, cycle=False).get(evt.TREE) != "TTree":
        return None
    head = tree_head(file, evt.TREE)
    if head and not head.mentions(evt.BRANCH):
        return None
    if head and head.n_entries == 0:
        return 0
    branches = branches_of(file, evt.TREE)
    return branches.n_entries if evt.BRANCH in branches else None


def _common_length(path: str, readers: Sequence[TreeReader]) -> int:
    lengths = {reader.branches.tree: reader.branches.n_entries for reader in readers}
    if len(set(lengths.values())) > 1:
        raise SourceError(path, "trees", f"expected as many entries in each of the trees, found {lengths}")
    return readers[0].branches.n_entries


def _tables(readers: Sequence[TreeReader]) -> list[Table]:
    """Declarations of the tables that the trees hold, the events first."""
    key = ("run", "det_id", "run_id", "mc_id", "frame_index", "trigger_counter")
    tables = {TOP: Table(TOP, "event", {"run": DAQ_EVENTS.variables["run"]}, key=key)}
    for reader in readers:
        for part in reader.parts:
            table = evt.table(part)
            known = tables.get(part.table, table)
            sizes = {**known.sizes, **table.sizes}
            tables[part.table] = replace(known.with_variables(table.variables.values()), sizes=sizes)
    return list(tables.values())


def _observation(reader: TreeReader, good: np.ndarray) -> Columns:
    """Detector and run of the first event."""
    first = np.flatnonzero(good)
    if not len(first):
        return observation()
    names = ("det_id", "run_id")
    wanted = frozenset(f"{TOP}/{name}" for name in names)
    start = int(first[0])
    raw = reader.look(start, start + 1, wanted, Checks(start, 1))
    events = reader.tables(raw, np.ones(1, dtype=bool), wanted)[TOP]
    return observation(*(int(events[name][0]) if name in events else -1 for name in names))
