"""Rows that say whose they are, for formats without a schema of ours: HDF5 and Parquet tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from etendue.kernel import offsets, owners
from etendue.schema import Columns, Schema, Table


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
        ``<dim>`` of the top table, the number of the row there that they belong to; its identifying
        columns in that row; and ``vector_index``, their place among the rows of their owner. Of the
        top table only the number.
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
        Columns of the top table that every row repeats; by default its integers called ``..._id``.
    """

    def __init__(self, schema: Schema, identity: Sequence[str] | None = None) -> None:
        self.schema = schema
        self.rows = dict.fromkeys(schema, 0)
        self.identity = tuple(identifying(schema.top) if identity is None else identity)

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
            place = np.arange(len(owner)) - offsets(count)[owner]
            yield from self._owned(self.schema[name], tables, {**theirs, "vector_index": place}, theirs)


def identifying(table: Table) -> list[str]:
    """The integer columns of a table that are called ``..._id``."""
    columns = table.variables.values()
    return [
        v.name
        for v in columns
        if v.name.endswith("_id") and v.dtype != "str" and np.issubdtype(v.dtype, np.integer)
    ]


def length(columns: Columns) -> int:
    """Number of rows."""
    return len(next(iter(columns.values()))) if columns else 0
