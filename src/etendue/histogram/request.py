"""Requests: which columns to fill into a histogram, checked against the tables of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from etendue.histogram.axis import NUMBERS, Axis
from etendue.schema import Schema, SchemaError, Table, split

#: Most bins of one histogram, so that a bin number fits in 32 bits.
MAX_BINS = 2**31 - 1


@dataclass(frozen=True)
class Target:
    """The columns that a request fills from one table.

    Parameters
    ----------
    table : Table
        The table whose rows are counted; the other columns' tables own it.
    columns : mapping of str to str
        The ``table/column`` name of each reference.
    inner : tuple of str
        Dimensions after the row dimension along which each value is counted: ``("pixel",)``.
    """

    table: Table
    columns: Mapping[str, str]
    inner: tuple[str, ...]


@dataclass(frozen=True)
class Request:
    """One histogram to fill: its axes, weight and cut.

    All columns are of one table or of tables that own it; the values of an owner count for each of its
    rows. Where columns have further dimensions (a pixel image), each value counts, and columns
    without these dimensions count for each pixel. A reference ``@camera/image`` stands for the
    column in each camera's table; all are filled into the same histogram.

    Parameters
    ----------
    axes : Axis or sequence of Axis
        One for each dimension of the histogram.
    weight : str, optional
        Reference to a column of weights.
    where : str, optional
        Reference to a boolean column; only rows where it is true count. A leading ``~`` negates it.
    name : str, optional
        Name of the histogram; the columns' names, if not given.
    """

    axes: tuple[Axis, ...]
    weight: str | None = None
    where: str | None = None
    name: str | None = None

    def __init__(
        self,
        axes: Axis | Sequence[Axis],
        weight: str | None = None,
        where: str | None = None,
        name: str | None = None,
    ) -> None:
        axes = (axes,) if isinstance(axes, Axis) else tuple(axes)
        if not axes or not all(isinstance(axis, Axis) for axis in axes):
            raise TypeError(f"a histogram needs axes such as axis.Regular(...), not {axes!r}")
        object.__setattr__(self, "axes", axes)
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "where", where)
        object.__setattr__(self, "name", name or "_".join(axis.name for axis in axes))
        if self.n_bins > MAX_BINS:
            raise ValueError(f"histogram {self.name!r} has {self.n_bins} bins; {MAX_BINS} is the most")

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of bins of each axis, with underflow and overflow."""
        return tuple(axis.extent for axis in self.axes)

    @property
    def n_bins(self) -> int:
        """Number of bins, with underflow and overflow."""
        return prod(self.shape)

    @property
    def mask(self) -> str | None:
        """Reference to the boolean column of `where`."""
        return self.where and self.where.removeprefix("~")

    @property
    def negated(self) -> bool:
        """Whether rows count where the boolean column is false."""
        return self.where is not None and self.where.startswith("~")

    @property
    def reads(self) -> tuple[str, ...]:
        """References to the columns that must be read."""
        references = [axis.column for axis in self.axes]
        references += [reference for reference in (self.weight, self.mask) if reference]
        return tuple(dict.fromkeys(references))

    def check(self, schema: Schema) -> None:
        """Check that a run has the columns and that they fit together.

        Raises
        ------
        SchemaError
            If a table or column is missing, is not numeric (boolean for ``where``, integer for
            `Integer` axes), or is of a table that does not own the others' rows.
        """
        self.targets(schema)

    def targets(self, schema: Schema) -> list[Target]:
        """The tables to fill from, with their columns; errors as for `check`."""
        patterns = {table for table, _ in map(split, self.reads) if _is_pattern(table)}
        if not patterns:
            return [self._target(schema, None)]
        if len(patterns) > 1:
            raise self._error(f"columns of {sorted(patterns)} cannot be filled together; make it two")
        (pattern,) = patterns
        tables = schema.matching(pattern)
        if not tables:
            raise self._error(f"no table matches {pattern!r}; there are {', '.join(schema)}")
        return [self._target(schema, table.name) for table in tables]

    def _target(self, schema: Schema, matched: str | None) -> Target:
        columns = {}
        for reference in self.reads:
            table, column = split(reference)
            columns[reference] = f"{matched}/{column}" if _is_pattern(table) else reference
        self._check_dtypes(schema, columns)
        tables = {split(name)[0] for name in columns.values()}
        lines = [_lineage(schema, table) for table in tables]
        line = max(lines, key=len)
        if strangers := sorted(tables.difference(line)):
            raise self._error(
                f"{strangers} does not own the rows of {line[0]!r}, so their columns cannot be filled "
                f"together; take columns of one table and of the tables that own it ({line})"
            )
        inner = [schema.variable(name).dims[1:] for name in columns.values()]
        longest = max(inner, key=len)
        for name, dims in zip(columns.values(), inner, strict=True):
            if dims != tuple(dim for dim in longest if dim in dims):
                raise self._error(f"{name} has dimensions {dims} in each row; others have {longest}")
        return Target(schema[line[0]], columns, longest)

    def _check_dtypes(self, schema: Schema, columns: Mapping[str, str]) -> None:
        """Check that the columns exist, are of tables of rows, and hold what they are used for."""
        uses = [(axis.column, axis.takes, f"{type(axis).__name__} axis") for axis in self.axes]
        uses += [(self.weight, NUMBERS, "weight")] if self.weight else []
        uses += [(self.mask, "b", "where")] if self.mask else []
        kinds = {"b": "booleans", "biu": "integers", NUMBERS: "numbers"}
        for reference, takes, use in uses:
            name = columns[reference]
            dtype = schema.variable(name).dtype
            if dtype == "str" or np.dtype(dtype).kind not in takes:
                raise self._error(f"{use} takes a column of {kinds[takes]}; {name} is {dtype}")
            table = schema[split(name)[0]]
            if table.role != "rows":
                raise self._error(f"{name} is of a {table.role} table, which is not filled row by row")

    def _error(self, message: str) -> SchemaError:
        return SchemaError(f"histogram {self.name!r}: {message}")


def _is_pattern(table: str) -> bool:
    return table.startswith("@") or any(c in table for c in "*?[")


def _lineage(schema: Schema, table: str | None) -> list[str]:
    """A table and the tables that own it, up to the top."""
    line = []
    while table is not None:
        line.append(table)
        table = schema[table].parent
    return line
