"""Rows that say whose they are, for formats without a schema of ours: HDF5 and Parquet tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from etendue.kernel import offsets, owners
from etendue.schema import Columns, Schema, SchemaError, Table, Variable


@dataclass(frozen=True)
class OwnedRows:
    """Rows of one table, and what identifies them.

    Parameters
    ----------
    table : Table
        Their table.
    columns : dict of str to array
        Their columns.
    identity : dict of str to array
        ``<dim>`` of the top table, the number of the row there that they belong to; the columns of its
        key in that row, and of the keys of the owners between (see `repeated`); and ``vector_index``,
        their place among the rows of their owner. Of the top table only the number.
    bounds : dict of str to int64 array
        Of each table that these rows own: where their rows begin and end in it, shape (n + 1,).
    owner : dict of str to array
        The identity of the rows that own others, without their place.
    """

    table: Table
    columns: Columns
    identity: Columns
    bounds: dict[str, np.ndarray]
    owner: Columns


class Ownership:
    """Numbers the rows of a run through, partition by partition.

    Parameters
    ----------
    schema : Schema
        Declarations of the tables.
    identity : sequence of str, optional
        Columns of the top table that every row repeats; by default its key (`Table.identifying`).

    Raises
    ------
    SchemaError
        If there is no such column, or a column has a name that is needed to say whose rows are whose.
    """

    def __init__(self, schema: Schema, identity: Sequence[str] | None = None) -> None:
        self.schema = schema
        self.rows = dict.fromkeys(schema, 0)
        for name in identity or ():
            schema.variable(f"{schema.top.name}/{name}")
        self.identity = tuple(schema.top.identifying if identity is None else identity)
        for table in schema.values():
            _refuse_clashes(schema, table)

    def append(self, tables: Mapping[str, Columns]) -> Iterator[OwnedRows]:
        """The rows of one partition: of the top table, of all below it, and those that nobody owns."""
        top = self.schema.top
        columns = tables.get(top.name, {})
        number = self.rows[top.name] + np.arange(length(columns))
        known = {top.dim: number} | {name: columns[name] for name in self.identity if name in columns}
        below = {top.name}
        for rows in self._owned(top, tables, {top.dim: number}, known):
            below.add(rows.table.name)
            yield rows
        for name in [name for name in tables if name not in below]:
            yield from self._owned(self.schema[name], tables, {}, {})

    def _owned(
        self, table: Table, tables: Mapping[str, Columns], identity: Columns, known: Columns
    ) -> Iterator[OwnedRows]:
        """Rows of a table and, after them, of the tables below it."""
        columns = tables.get(table.name, {})
        if identity and table.parent is not None:
            known = known | {name: columns[name] for name in table.identifying if name in columns}
        counts = {
            child.name: columns[f"n_{child.name}"]
            for child in self.schema.children(table.name)
            if f"n_{child.name}" in columns
        }
        bounds = {name: offsets(count) + self.rows[name] for name, count in counts.items()}
        yield OwnedRows(table, columns, identity, bounds, known)
        self.rows[table.name] += length(columns)
        for name, count in counts.items():
            owner = owners(count)
            theirs = {column: array[owner] for column, array in known.items()}
            _refuse_others(self.schema.top, theirs, name, tables.get(name, {}))
            place = np.arange(len(owner)) - offsets(count)[owner]
            yield from self._owned(self.schema[name], tables, {**theirs, "vector_index": place}, theirs)


def owners_of(schema: Schema, table: Table) -> list[Table]:
    """The tables whose rows own those of a table, the top first, by counts that are there.

    Empty for the top, and for tables whose rows belong to nothing of it.
    """
    chain: list[Table] = []
    while table.parent in schema and f"n_{table.name}" in schema[table.parent].variables:
        table = schema[table.parent]
        chain.insert(0, table)
    return chain if table.name == schema.top.name else []


def repeated(schema: Schema, table: Table, identity: Sequence[str] | None = None) -> dict[str, Variable]:
    """The columns that rows of a table repeat of their owners, so that each says whose it is.

    Parameters
    ----------
    schema : Schema
        Declarations of the tables.
    table : Table
        Their table.
    identity : sequence of str, optional
        What they repeat of the top table; by default its key.

    Returns
    -------
    dict of str to Variable
        Of the top table, and then of the tables between, from the outermost on.
    """
    found: dict[str, Variable] = {}
    for owner in owners_of(schema, table):
        names = identity if owner.parent is None and identity is not None else owner.identifying
        found |= {name: owner.variables[name] for name in names if name in owner.variables}
    return found


def with_key(schema: Schema, tables: Mapping[str, Columns], name: str) -> tuple[Table, Columns]:
    """A table whose rows tell whose they are: with the keys of the rows that own each.

    Parameters
    ----------
    schema : Schema
        Declarations of the tables.
    tables : mapping of str to dict of str to array
        Their columns, all rows.
    name : str
        Which table.

    Raises
    ------
    SchemaError
        If it has another column with the name of one of a key.
    """
    table, columns = schema[name], tables[name]
    declared = repeated(schema, table)
    key: Columns = {}
    chain = [*owners_of(schema, table), table]
    for of, child in pairwise(chain):
        counts = tables[of.name][f"n_{child.name}"]
        key |= {c: tables[of.name][c] for c in of.identifying if c in declared}
        owner = owners(counts)
        key = {column: array[owner] for column, array in key.items()}
        _refuse_others(chain[0], key, child.name, tables[child.name])
    about = {column: replace(variable, dims=(table.dim,)) for column, variable in declared.items()}
    return replace(table, variables={**about, **table.variables}), {**key, **columns}


def _refuse_clashes(schema: Schema, table: Table) -> None:
    """Refuse columns that have the name of what rows are given beside their own columns."""
    if table.role != "rows":
        return
    added = {schema.top.dim: f"the number of the row of /{schema.top.name}"}
    if table.parent is not None:
        added["vector_index"] = "the place among the rows of an owner"
    children = schema.children(table.name)
    added |= {f"first_{child.name}": f"where the rows of /{child.name} begin" for child in children}
    if clash := next((name for name in added if name in table.variables), None):
        raise SchemaError(
            f"column {table.name}/{clash} cannot be exported: {clash!r} is what {added[clash]} is called "
            f"there, and would take its place; leave it out (--columns), or have its source or stage give "
            f"it, or the dimension {schema.top.dim!r}, another name"
        )


def _refuse_others(top: Table, theirs: Columns, name: str, columns: Columns) -> None:
    """Refuse columns that have the name of one that every row repeats, but are something else."""
    for column in theirs.keys() & columns.keys():
        is_float = theirs[column].dtype.kind == columns[column].dtype.kind == "f"
        if not np.array_equal(theirs[column], columns[column], equal_nan=is_float):
            others = ", ".join(other for other in theirs if other not in (column, top.dim)) or "..."
            raise SchemaError(
                f"column {name}/{column} cannot be exported: each row of /{name} repeats {column} of its "
                f"owner (/{top.name}, or what is between), and has something else under that name; repeat "
                f"others (identity, --identity {others}), or leave it out (--columns)"
            )


def length(columns: Columns) -> int:
    """Number of rows."""
    return len(next(iter(columns.values()))) if columns else 0
