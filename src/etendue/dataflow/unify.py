"""Many inputs as one run: runs are numbered, clashing labels told apart, static tables joined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from etendue.dataflow.partition import Failure, Partition
from etendue.dataflow.source import RUN, Scan
from etendue.reprs import Legible, Section, some_of
from etendue.schema import Columns, Schema, SchemaError, Table, Variable, split


@dataclass(frozen=True, repr=False)
class Inputs(Legible):
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

    def facts(self) -> dict[str, str]:
        """The inputs in a few lines, for people."""
        return {
            "inputs": f"{len(self.scans):,}: {some_of((scan.path for scan in self.scans), 3)}",
            "tables": some_of(f"/{name}" for name in self.schema),
            "failures": f"{len(self.failures)} {some_of(self.failures, 2)}".rstrip(),
        }

    def sections(self) -> Iterator[Section]:
        """The inputs, and the columns of their tables."""
        heads = ("input", "source", "bytes")
        yield "inputs", heads, [(scan.path, scan.source, f"{scan.size:,}") for scan in self.scans]
        yield from self.schema.sections()

    @property
    def counted(self) -> bool:
        """Whether the rows of all inputs are counted."""
        return all(scan.counted for scan in self.scans)


@dataclass(frozen=True)
class Earlier:
    """What a pass already holds of inputs, which more inputs are added to.

    Parameters
    ----------
    schema : Schema
        Their tables, as they came from the sources.
    labels : mapping of str to str
        Fingerprints of the labels, under the names that they have in the pass.
    static : mapping of str to dict of str to array
        Static tables of all of them.
    n_runs : int
        Runs that are numbered so far.
    """

    schema: Schema
    labels: Mapping[str, str]
    static: Mapping[str, Columns]
    n_runs: int


def unify(scans: Iterable[Scan], earlier: Earlier | None = None) -> Inputs:
    """Fit scans into one run: number the runs, tell clashing labels apart, join static tables.

    Labels are given their suffixes in the order of the scans, so the caller sorts the inputs to make
    the result independent of the order in which they were named. Runs, labels and tables go on from
    those of ``earlier`` inputs.

    Raises
    ------
    SchemaError
        If the inputs declare the same table in ways that do not fit together.
    """
    scans = tuple(scans)
    earlier = earlier or Earlier(Schema({}), {}, {}, 0)
    fingerprints = dict(earlier.labels)
    tables: dict[str, Table] = dict(earlier.schema)
    renames, first_run, n_runs = [], [], earlier.n_runs
    before: tuple[Schema, dict[str, str]] | None = None
    for scan in scans:
        rename = {label: _free_name(label, mark, fingerprints) for label, mark in scan.labels.items()}
        if (scan.schema, rename) != before:  # most inputs declare what the one before them did
            before = (scan.schema, rename)
            for table in renamed_schema(scan.schema, rename).values():
                tables[table.name] = _join(tables.get(table.name), table, scan.path)
        renames.append(rename)
        first_run.append(n_runs - scan.seen_runs)
        n_runs += scan.n_runs - scan.seen_runs
    schema = Schema({}).with_tables(tables.values())
    failures = tuple(failure for scan in scans for failure in scan.failures)
    inputs = Inputs(scans, schema, {}, tuple(renames), tuple(first_run), failures)
    return replace(inputs, static=static_tables(inputs, earlier))


def static_tables(inputs: Inputs, earlier: Earlier | None = None) -> dict[str, Columns]:
    """The static tables of all inputs, after those of ``earlier`` ones."""
    parts: dict[str, list[Columns]] = {}
    shared: dict[str, Columns] = {}
    if earlier is not None:
        for name, columns in earlier.static.items():
            if name.rpartition("/")[2] in earlier.labels:
                shared[name] = columns
            else:
                parts[name] = [columns]
    for scan, rename, first_run in zip(inputs.scans, inputs.renames, inputs.first_run, strict=True):
        labels = {rename[label] for label in scan.labels}
        for name, columns in scan.static.items():
            new_name = rename_path(name, rename)
            if new_name.rpartition("/")[2] in labels:
                shared[new_name] = columns
            else:
                parts.setdefault(new_name, []).append(offset_runs(columns, first_run))
    return {**{name: _concatenate(name, of_each) for name, of_each in parts.items()}, **shared}


def again(scans: Iterable[Scan], known: Earlier, first_runs: Sequence[int]) -> Inputs:
    """Inputs that a pass knows already, to be read with the names and runs that they have in it.

    What their scans found broken is known as well, and not told again.
    """
    scans = tuple(scans)
    labels = dict(known.labels)
    renames = tuple(
        {label: _free_name(label, mark, labels) for label, mark in scan.labels.items()} for scan in scans
    )
    return Inputs(scans, known.schema, known.static, renames, tuple(first_runs))


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
        if not _is_alike(known.variables[name], table.variables[name])
    )
    if differing:
        raise SchemaError(
            f"{path}: table {table.name!r} declares {differing} otherwise than the inputs before it; "
            "write them into passes of their own"
        )
    # A pass of before declares no key.
    return replace(known.with_variables(table.variables.values()), key=known.key or table.key)


def _is_alike(one: Variable, other: Variable) -> bool:
    """Whether two declarations of a column differ in their words at most."""
    return one == other or replace(one, description="") == replace(other, description="")


def _concatenate(name: str, parts: list[Columns]) -> Columns:
    names = parts[0].keys()
    for part in parts:
        if part.keys() != names:
            raise SchemaError(
                f"static table {name!r} has other columns in some inputs: "
                f"{sorted(names ^ part.keys())}; write them into passes of their own"
            )
    return {column: np.concatenate([part[column] for part in parts]) for column in names}
