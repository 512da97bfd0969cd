"""Selection by a cut that is written as text."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import ClassVar

import numpy as np
from pydantic import Field, field_validator

from etendue.dataflow.cuts import CutError, evaluate, parse
from etendue.dataflow.partition import SELECTED, Partition
from etendue.dataflow.stage import Stage
from etendue.schema import Columns, Schema, Table, Variable, split

_ONE_EACH = "give each a Select of its own"


class Select(Stage):
    """Keep the rows of which a cut is true, and drop the others, with all that they own, when it is written.

    A cut compares columns of one table: ``hillas_intensity > 50 and hillas_width < 0.1``. Columns are named
    alone, if one table (or all of a kind, as cameras) has them, or as ``table/column``; numbers are in the
    units of the column. There are chained comparisons, ``in (0, 32)``, ``and``, ``or``, ``not``, + - * / % **
    (``/`` with spaces around it), and ``abs``, ``sqrt``, ``log10``, ``isnan``, ``isfinite``. A comparison
    with NaN is not true, and neither is its negation.

    Examples
    --------
    >>> Select("hillas_intensity > 50 and hillas_width < 0.1").name
    "Select('hillas_intensity > 50 and hillas_width < 0.1')"
    """

    writes: ClassVar = {}

    cut: str = Field(description="the rows to keep, as hillas_intensity > 50")
    table: str = Field(
        "", description="table, or @kind, that the cut is about; empty for the one that has its columns"
    )

    def __init__(self, cut: str | None = None, **parameters: object) -> None:
        super().__init__(**({} if cut is None else {"cut": cut}), **parameters)

    @field_validator("cut")
    @classmethod
    def _understood(cls, cut: str) -> str:
        parse(cut)
        return cut

    @property
    def name(self) -> str:
        """The stage with its cut, by which receipts tell several apart."""
        return f"Select({self.cut!r})"

    def requires(self, schema: Schema) -> list[str]:
        """The columns of the cut, of each table that it is about."""
        names = [split(name)[1] if "/" in name else name for name in parse(self.cut).names]
        return [f"{table.name}/{name}" for table in self._tables(schema) for name in names]

    def provides(self, schema: Schema) -> dict[str, Variable]:
        """The mark of each table that it is about."""
        about = "whether the row, and all that it owns, is written"
        return {
            f"{table.name}/{SELECTED}": Variable(SELECTED, (table.dim,), "bool", "", about)
            for table in self._tables(schema)
        }

    def check(self, schema: Schema, static: Mapping[str, Columns]) -> None:
        """See that the cut can be made of columns of these kinds."""
        for name in self.requires(schema):
            variable = schema.variable(name)
            if len(variable.dims) > 1:
                raise CutError(f"{name} has a value for each {variable.dims[-1]}; a cut needs one a row")
        for table in self._tables(schema):
            empty = {
                name: np.empty(0, np.dtypes.StringDType() if v.dtype == "str" else v.dtype)
                for name, v in table.variables.items()
            }
            self._mark(empty)

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        """Mark the rows of each table."""
        return {
            f"{table.name}/{SELECTED}": self._mark(columns)
            for table in self._tables(partition.schema)
            if (columns := partition.tables.get(table.name))
        }

    def _mark(self, columns: Columns) -> np.ndarray:
        cut = parse(self.cut)
        return evaluate(cut, {name: columns[name.rpartition("/")[2]] for name in cut.names})

    def _tables(self, schema: Schema) -> list[Table]:
        """The tables that the cut is about: one, or several of one kind."""
        names = parse(self.cut).names
        patterns = {split(name)[0] for name in names if "/" in name} | ({self.table} if self.table else set())
        if len(patterns) > 1:
            raise CutError(f"{self.cut!r} is about several tables, {_list(patterns)}; {_ONE_EACH}")
        rows = [table for table in schema.values() if table.role == "rows"]
        if patterns:
            (pattern,) = patterns
            rows = [table for table in schema.matching(pattern) if table.role == "rows"]
            if not rows:
                division = "; write / with spaces around it to divide" if pattern != self.table else ""
                raise CutError(f"there is no table {pattern!r}{_near(pattern, _patterns(schema))}{division}")
        columns = [name.rpartition("/")[2] for name in names]
        found = [table for table in rows if all(column in table.variables for column in columns)]
        if not found:
            raise CutError(_missing(self.cut, columns, rows))
        if len(found) > 1 and len({table.kind or table.name for table in found}) > 1:
            raise CutError(
                f"{self.cut!r} could be about {_list(t.name for t in found)}; write "
                f"{found[0].name}/{columns[0]}, or Select(..., table={found[0].name!r})"
            )
        return found


def _missing(cut: str, columns: list[str], tables: list[Table]) -> str:
    """Which column there is not, or that no table has all of them."""
    for column in columns:
        if not any(column in table.variables for table in tables):
            known = dict.fromkeys(name for table in tables for name in table.variables)
            return f"there is no column {column!r} in {_list(t.name for t in tables)}{_near(column, known)}"
    homes = [f"{column} is of {_list(t.name for t in tables if column in t.variables)}" for column in columns]
    return f"{cut!r} is about several tables: {'; '.join(homes)}; {_ONE_EACH}"


def _patterns(schema: Schema) -> list[str]:
    rows = [table for table in schema.values() if table.role == "rows"]
    return [*(table.name for table in rows), *dict.fromkeys(f"@{t.kind}" for t in rows if t.kind)]


def _near(name: str, known: Mapping[str, object] | list[str]) -> str:
    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(known)}"


def _list(names: object) -> str:
    return ", ".join(names)
