"""A partition: one range of events with all their rows, in memory; and what is left when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from etendue.kernel import offsets, owners
from etendue.schema import Columns, Schema, SchemaError, split

#: Column of any ``rows`` table that marks the rows to keep. Stages mark; only writing drops.
SELECTED = "selected"


@dataclass(frozen=True, slots=True)
class Failure:
    """Something in an input that could not be read, and what it cost.

    Parameters
    ----------
    path, place, message : str
        Which input, where in it, what was expected and what to do.
    events_lost : int
        Events that were not read.
    partition : int
        Partition of the pass that lacks them; -1 if the input was not read at all.
    """

    path: str
    place: str
    message: str
    events_lost: int = 0
    partition: int = -1

    def __str__(self) -> str:
        return f"{self.path}: {self.place}: {self.message}"


@dataclass(frozen=True)
class Partition:
    """The tables of one range of events, as plain NumPy columns.

    Parameters
    ----------
    number : int
        Position among all partitions of the plan; the chunk it becomes.
    schema : Schema
        Declarations of all tables.
    tables : mapping of str to dict of str to array
        Columns by table: the ``rows`` tables, and of each ``conditions`` table the rows that were
        first met in this partition.
    conditions : mapping of str to dict of str to array
        What holds for this partition: the ``static`` tables, and of each ``conditions`` table all
        rows known so far.
    wanted : frozenset of str
        The ``table/column`` names that a later stage reads or that are written. A stage may leave
        out columns that nobody wants.
    failures : tuple of Failure
        What could not be read in this range.
    """

    number: int
    schema: Schema
    tables: Mapping[str, Columns]
    conditions: Mapping[str, Columns] = field(default_factory=dict)
    wanted: frozenset[str] = frozenset()
    failures: tuple[Failure, ...] = ()

    def __getitem__(self, name: str) -> np.ndarray:
        """The column ``table/column``."""
        table, column = split(name)
        try:
            return self.tables[table][column]
        except KeyError:
            self.schema.variable(name)  # says what is there instead, if it is a wrong name
            raise SchemaError(f"column {name!r} is declared but was not read") from None

    def __contains__(self, name: str) -> bool:
        table, column = split(name)
        return column in self.tables.get(table, {})

    def rows(self, table: str) -> int:
        """Number of rows of a table in this partition."""
        columns = self.tables.get(table)
        return len(next(iter(columns.values()))) if columns else 0

    def counts(self, table: str) -> np.ndarray:
        """Rows of ``table`` that each row of its parent owns."""
        parent = self.schema[table].parent
        return self[f"{parent}/n_{table}"]

    def offsets(self, table: str) -> np.ndarray:
        """First row of each parent row's children in ``table``, and the end: shape (n + 1,)."""
        return offsets(self.counts(table))

    def owners(self, table: str) -> np.ndarray:
        """Row in the parent table of each row of ``table``."""
        return owners(self.counts(table))

    def with_columns(self, columns: Mapping[str, np.ndarray], schema: Schema | None = None) -> Partition:
        """The same partition with more columns, given as ``{"table/column": array}``."""
        tables = {name: dict(table) for name, table in self.tables.items()}
        for name, array in columns.items():
            table, column = split(name)
            tables.setdefault(table, {})[column] = array
        return replace(self, tables=tables, schema=schema or self.schema)

    def without_columns(self, names: frozenset[str]) -> Partition:
        """The same partition without the named columns, so that their memory can go."""
        tables = {
            table: {c: array for c, array in columns.items() if f"{table}/{c}" not in names}
            for table, columns in self.tables.items()
        }
        return replace(self, tables=tables)

    def selected(self) -> Partition:
        """Drop the rows that are marked as not selected, with all rows that they own."""
        tables = {name: dict(table) for name, table in self.tables.items()}
        _drop(self.schema, tables, self.schema.top.name, None)
        return replace(self, tables=tables)


def _drop(schema: Schema, tables: dict[str, Columns], name: str, keep: np.ndarray | None) -> None:
    """Keep the marked rows of one table and of those below it, and count the children anew."""
    columns = tables.get(name, {})
    if SELECTED in columns:
        mark = columns[SELECTED]
        keep = mark if keep is None else keep & mark
    for child in schema.children(name):
        count = f"n_{child.name}"
        if count not in columns or child.name not in tables:
            continue
        mark = tables[child.name].get(SELECTED)
        owner = None if keep is None and mark is None else owners(columns[count])
        child_keep = None if keep is None else keep[owner]
        if mark is not None:
            columns[count] = np.bincount(owner[mark], minlength=len(columns[count])).astype(
                columns[count].dtype
            )
        _drop(schema, tables, child.name, child_keep)
    if keep is not None and not keep.all():
        tables[name] = {column: array[keep] for column, array in columns.items()}


@dataclass(frozen=True)
class Receipt:
    """What a task returns of one partition: a few hundred bytes, never arrays of rows.

    Parameters
    ----------
    number : int
        The partition's number.
    rows : dict of str to int
        Rows written, by table.
    rows_read : dict of str to int
        Rows read, by table.
    checksums : dict of str to int
        CRC-32 of each chunk written, by ``table/column``.
    seconds : dict of str to float
        CPU time by stage, and for ``read`` and ``write``.
    failures : tuple of Failure
        What could not be read.
    blocks : tuple of int
        Which blocks of its input it was made from: the first, and one past the last.
    selected : dict of str to dict of str to tuple of int
        Rows that were selected before and after each stage that selects, by stage and table.
    """

    number: int
    rows: dict[str, int]
    rows_read: dict[str, int]
    checksums: dict[str, int]
    seconds: dict[str, float]
    failures: tuple[Failure, ...] = ()
    blocks: tuple[int, int] = (0, 0)
    selected: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
