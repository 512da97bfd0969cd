"""Sources: how raw streams become partitions.

A source is found by the entry-point group ``etendue.sources``. It looks at one input (`Source.scan`:
counts rows, decodes no event) and later reads ranges of it (`Source.read`). It numbers its runs from
zero and names its tables as it likes; `unify` fits many scans into one run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from etendue.dataflow.partition import Failure, Partition
from etendue.schema import Columns, Schema, SchemaError, Table, split

OnError = Literal["raise", "skip"]

#: Column that joins a row to its run; sources count from zero, `unify` adds the offset.
RUN = "run"


class UnforeseenError(ValueError):
    """A stream that goes on otherwise than it began, so that it has to be scanned before it is read."""


class SourceError(ValueError):
    """An input that cannot be read: says which file, where in it, what was expected, what to do."""

    def __init__(self, path: str | Path, place: str, message: str, events_lost: int = 0) -> None:
        super().__init__(path, place, message, events_lost)
        self.failure = Failure(str(path), place, message, events_lost)

    def __str__(self) -> str:
        return str(self.failure)


@dataclass(frozen=True)
class Scan:
    """What a look at one input found.

    Parameters
    ----------
    path : str
        The input.
    source : str
        Entry-point name of the source that made this scan.
    schema : Schema
        The tables that the input holds.
    static : mapping of str to dict of str to array
        Contents of the ``static`` tables. One row a run (or more) with a ``run`` column, or shared
        by all runs if the table is named after a label (``camera/lstcam``).
    rows : mapping of str to int64 array
        Rows of each ``rows`` table in each block: shape (n_blocks,). A block is the least that can be
        read by itself: one event of a stream, one chunk of a store.
    labels : mapping of str to str
        Labels that are parts of table names (``lstcam``), each with a fingerprint of what it stands
        for. Equal labels with other fingerprints, in other inputs, are told apart by a suffix.
    splittable : bool
        Whether any block can be reached without reading those before it.
    size : int
        Bytes of the input.
    n_runs : int
        Runs that the input holds.
    failures : tuple of Failure
        What the scan found broken.
    sha256 : str
        SHA-256 of the input in hexadecimal, if the scan has read all of it.
    snapshot : str
        What a store held when it was scanned, by the id of its snapshot.
    expected_bytes : int, optional
        Set by `StreamSource.look`, which counts no rows: about what all columns will have.
    """

    path: str
    source: str
    schema: Schema
    static: Mapping[str, Columns]
    rows: Mapping[str, np.ndarray]
    labels: Mapping[str, str] = field(default_factory=dict)
    splittable: bool = False
    size: int = 0
    n_runs: int = 1
    failures: tuple[Failure, ...] = ()
    sha256: str = ""
    snapshot: str = ""
    expected_bytes: int | None = None

    @property
    def counted(self) -> bool:
        """Whether ``rows`` are counted; if not, they are empty."""
        return self.expected_bytes is None


@runtime_checkable
class Source(Protocol):
    """A kind of input. Stateless: everything it needs is in the scan."""

    name: str

    def accepts(self, path: str) -> bool:
        """Whether the input is of this kind, by its first bytes rather than its name.

        False, not an error, if there is no such file.
        """
        ...

    def scan(self, path: str, on_error: OnError = "raise") -> Scan:
        """Look at an input: its tables and how many rows each block has. Decodes no event.

        Raises
        ------
        SourceError
            If the input is not readable, or broken and ``on_error`` is ``raise``.
        """
        ...

    def read(
        self,
        scan: Scan,
        ranges: Sequence[tuple[int, int]],
        columns: frozenset[str],
        on_error: OnError = "raise",
    ) -> Iterator[Partition]:
        """Read ranges of blocks, one partition each, in order.

        Parameters
        ----------
        scan : Scan
            What `scan` returned.
        ranges : sequence of (first, stop)
            Blocks of each partition.
        columns : frozenset of str
            The ``table/column`` names to read; no others need be decoded. Counts (``n_<table>``) and
            condition tables are always read.
        on_error : {"raise", "skip"}
            What to do with events that cannot be decoded.

        Yields
        ------
        Partition
            With ``number`` zero-based in ``ranges``, and local table names.
        """
        ...


class Stream(Protocol):
    """The partitions of a stream, as they come; at their end, ``sha256`` is that of the input."""

    sha256: str

    def __iter__(self) -> Iterator[Partition]: ...


@runtime_checkable
class StreamSource(Source, Protocol):
    """A source that can also read an input from its start to its end without a scan before.

    What is packed is unpacked once then, and not twice. For input that is expected to be whole: with
    ``on_error`` ``skip`` it is scanned, which finds what cannot be trusted.
    """

    def look(self, path: str) -> Scan:
        """Look at the start of an input: its tables, and ``expected_bytes``. Errors as `Source.scan`."""
        ...

    def stream(
        self, scan: Scan, row_bytes: Mapping[str, int], partition_bytes: int, columns: frozenset[str]
    ) -> Stream:
        """Read all blocks, cut into the partitions that a plan would have made of a scan.

        Parameters
        ----------
        scan : Scan
            What `look` returned.
        row_bytes : mapping of str to int
            Bytes that a row of each table counts for.
        partition_bytes : int
            A new partition starts where the bytes so far pass a multiple of this.
        columns : frozenset of str
            See `Source.read`.

        Raises
        ------
        SourceError
            If the input is broken.
        UnforeseenError
            If its tables are others than those of its start.
        """
        ...


@dataclass(frozen=True)
class Inputs:
    """Many scans as one run: one schema, static tables for all, and each scan's new names.

    ``failures`` holds what the scans found broken and, with ``on_error`` ``skip``, the inputs that
    could not be scanned at all.
    """

    scans: tuple[Scan, ...]
    schema: Schema
    static: Mapping[str, Columns]
    renames: tuple[Mapping[str, str], ...]
    first_run: tuple[int, ...]
    failures: tuple[Failure, ...] = ()

    @property
    def counted(self) -> bool:
        """Whether the rows of all inputs are counted."""
        return all(scan.counted for scan in self.scans)


@cache
def _registered() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group="etendue.sources")}


@cache
def get_source(name: str) -> Source:
    """The source registered under an entry-point name."""
    return _registered()[name].load()()


def find_source(path: str) -> Source:
    """The source that accepts an input.

    Raises
    ------
    SourceError
        If there is no such file, or none of the sources knows its kind.
    """
    for name in _registered():
        source = get_source(name)
        if source.accepts(path):
            return source
    if "://" not in path and not Path(file_of(path)).exists():
        raise SourceError(path, "file", "there is no such file")
    raise SourceError(
        path,
        "first bytes",
        f"not a kind of file that any source knows (there are {', '.join(sorted(_registered()))}); "
        "check that it is raw data and complete, or install the package that reads it",
    )


def file_of(path: str) -> str:
    """The file of an input, whose path may name a part of it: ``run.root#L1``."""
    return path if Path(path).exists() else path.rpartition("#")[0] or path


def unify(scans: Iterable[Scan]) -> Inputs:
    """Fit scans into one run: number the runs, tell clashing labels apart, join static tables.

    Labels are given their suffixes in the order of the scans, so the caller sorts the inputs to make
    the result independent of the order in which they were named.

    Raises
    ------
    SchemaError
        If the inputs declare the same table in ways that do not fit together.
    """
    scans = tuple(scans)
    fingerprints: dict[str, str] = {}
    tables: dict[str, Table] = {}
    static: dict[str, list[Columns]] = {}
    shared: dict[str, Columns] = {}
    renames, first_run, n_runs = [], [], 0
    for scan in scans:
        rename = {label: _free_name(label, mark, fingerprints) for label, mark in scan.labels.items()}
        new_labels = {rename[label] for label in scan.labels}
        for table in renamed_schema(scan.schema, rename).values():
            tables[table.name] = _join(tables.get(table.name), table, scan.path)
        for name, columns in scan.static.items():
            new_name = rename_path(name, rename)
            if new_name.rpartition("/")[2] in new_labels:
                shared[new_name] = columns
            else:
                static.setdefault(new_name, []).append(offset_runs(columns, n_runs))
        renames.append(rename)
        first_run.append(n_runs)
        n_runs += scan.n_runs
    joined = {name: _concatenate(name, parts) for name, parts in static.items()}
    schema = Schema({}).with_tables(tables.values())
    failures = tuple(failure for scan in scans for failure in scan.failures)
    return Inputs(scans, schema, {**joined, **shared}, tuple(renames), tuple(first_run), failures)


def renamed_partition(
    partition: Partition, inputs: Inputs, scan: int, number: int, read: frozenset[str]
) -> Partition:
    """A partition as its source gave it, with the names and runs that it has among all inputs.

    Of the columns to ``read``, those that only other inputs have are filled: NaN, 0, false or empty text.
    """
    rename, first_run = inputs.renames[scan], inputs.first_run[scan]

    def renamed(tables: Mapping[str, Columns]) -> dict[str, Columns]:
        return {
            rename_path(name, rename): offset_runs(
                {rename_column(column, rename): array for column, array in columns.items()}, first_run
            )
            for name, columns in tables.items()
        }

    tables = renamed(partition.tables)
    for table in inputs.schema.values():
        if table.parent in tables and f"n_{table.name}" not in tables[table.parent]:
            # A table that only other inputs have: no rows here.
            n_parents = len(next(iter(tables[table.parent].values())))
            tables[table.parent][f"n_{table.name}"] = np.zeros(n_parents, dtype=np.int32)
    missing = [(t, c) for t, c in map(split, read) if t in tables and c not in tables[t]]
    own = renamed_schema(inputs.scans[scan].schema, rename) if missing else {}
    for table, column in missing:
        if table in own and f"{table}/{column}" not in own:
            n_rows = len(next(iter(tables[table].values())))
            tables[table][column] = _nothing(inputs.schema[table], column, n_rows)
    return replace(
        partition,
        number=number,
        schema=inputs.schema,
        tables=tables,
        conditions={**inputs.static, **renamed(partition.conditions)},
    )


def _nothing(table: Table, column: str, n_rows: int) -> np.ndarray:
    """A column of an input that does not have it."""
    variable = table.variables[column]
    shape = (n_rows, *(table.sizes[dim] for dim in variable.dims[1:]))
    if variable.dtype == "str":
        return np.full(shape, "", dtype=np.dtypes.StringDType())
    dtype = np.dtype(variable.dtype)
    return np.full(shape, np.nan if dtype.kind == "f" else 0, dtype=dtype)


def renamed_schema(schema: Schema, rename: Mapping[str, str]) -> Schema:
    """The schema with labels replaced in table names and in the names of count columns."""
    tables = {}
    for table in schema.values():
        columns = {rename_column(c, rename): v for c, v in table.variables.items()}
        columns = {c: replace(v, name=c) for c, v in columns.items()}
        name = rename_path(table.name, rename)
        parent = table.parent and rename_path(table.parent, rename)
        tables[name] = replace(table, name=name, parent=parent, variables=columns)
    return Schema(tables)


def rename_path(name: str, rename: Mapping[str, str]) -> str:
    """Replace labels in a table name, part by part."""
    return "/".join(rename.get(part, part) for part in name.split("/"))


def rename_column(name: str, rename: Mapping[str, str]) -> str:
    """Replace a label in the name of a count column, ``n_<label>``."""
    return f"n_{rename[name[2:]]}" if name.startswith("n_") and name[2:] in rename else name


def offset_runs(columns: Columns, offset: int) -> Columns:
    """Shift the ``run`` column of a table."""
    if offset == 0 or RUN not in columns:
        return columns
    return {**columns, RUN: columns[RUN] + columns[RUN].dtype.type(offset)}


def _free_name(label: str, fingerprint: str, taken: dict[str, str]) -> str:
    """The label itself, or with the least suffix under which nothing else is known."""
    name, n = label, 1
    while taken.setdefault(name, fingerprint) != fingerprint:
        n += 1
        name = f"{label}_{n}"
    return name


def _join(known: Table | None, table: Table, path: str) -> Table:
    if known is None:
        return table
    if known.sizes != table.sizes:
        raise SchemaError(
            f"{path}: table {table.name!r} has sizes {dict(table.sizes)}, but {dict(known.sizes)} "
            "in the inputs before it; write them into passes of their own"
        )
    differing = sorted(
        name
        for name in known.variables.keys() & table.variables.keys()
        if replace(known.variables[name], description="") != replace(table.variables[name], description="")
    )
    if differing:
        raise SchemaError(
            f"{path}: table {table.name!r} declares {differing} otherwise than the inputs before it; "
            "write them into passes of their own"
        )
    return known.with_variables(table.variables.values())


def _concatenate(name: str, parts: list[Columns]) -> Columns:
    names = parts[0].keys()
    for part in parts:
        if part.keys() != names:
            raise SchemaError(
                f"static table {name!r} has other columns in some inputs: "
                f"{sorted(names ^ part.keys())}; write them into passes of their own"
            )
    return {column: np.concatenate([part[column] for part in parts]) for column in names}
