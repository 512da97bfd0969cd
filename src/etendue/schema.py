"""What a run is made of: tables of named columns, declared once.

A *run* is one top table (events, or time slices) and the tables its rows own. Every column is
declared here, by whoever makes it, with its dimensions, dtype, units and meaning; every verb checks
against that declaration.

Columns are addressed by a *reference*, ``table/column``: ``lstcam/image``. The table part may name a
kind of table, ``@camera/image``: that column in each table of the kind ``camera``. A trailing ``?``
makes the column optional.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, Literal

import numpy as np

from etendue.errors import EtendueError
from etendue.reprs import Legible, Section, cut, some_of

Role = Literal["rows", "conditions", "static"]
Columns = dict[str, np.ndarray]


class SchemaError(EtendueError, ValueError):
    """A column or table is not what its declaration says, or is not there at all."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One column: its name, dimensions, dtype, units and meaning.

    Parameters
    ----------
    name : str
        Column name, without its table.
    dims : tuple of str
        Dimensions; the first is the row dimension of the column's table.
    dtype : str
        NumPy dtype name; ``"str"`` for text.
    units : str
        CF units that astropy parses; empty for a pure number.
    description : str
        One line for people.
    bulk : bool
        Whether the column is raw input that is written only when it is asked for.
    extensive : bool
        Of a static table with a row a run: whether the column counts what the events of the run stand for,
        so that it is scaled down where some of them could not be read.
    """

    name: str
    dims: tuple[str, ...]
    dtype: str
    units: str = ""
    description: str = ""
    bulk: bool = False
    extensive: bool = False

    @classmethod
    def of(cls, name: str, spec: Variable | tuple) -> Variable:
        """Make a variable from ``(dims, dtype[, units[, description]])``; ``dims`` may be one name."""
        if isinstance(spec, Variable):
            return replace(spec, name=name)
        dims, dtype, *rest = spec
        return cls(name, (dims,) if isinstance(dims, str) else tuple(dims), dtype, *rest)

    def to_json(self) -> dict[str, Any]:
        """The declaration as plain values."""
        about = {"units": self.units, "description": self.description}
        return {"dtype": self.dtype, "dimensions": list(self.dims), **about}

    def row_bytes(self, sizes: Mapping[str, int]) -> int:
        """Bytes of one row, given the sizes of the other dimensions."""
        itemsize = 32 if self.dtype == "str" else np.dtype(self.dtype).itemsize
        return itemsize * int(np.prod([sizes[dim] for dim in self.dims[1:]], dtype=np.int64))


@dataclass(frozen=True, repr=False)
class Table(Legible):
    """A table: its row dimension, its columns, and where it stands in the run.

    Parameters
    ----------
    name : str
        Path of the table in the run, such as ``lstcam`` or ``calibration/lstcam``.
    dim : str
        Row dimension, such as ``readout``.
    variables : mapping of str to Variable
        Columns by name.
    sizes : mapping of str to int
        Sizes of all dimensions but the row dimension.
    kind : str
        What ``@kind`` references match: ``camera``, ``calibration``.
    parent : str, optional
        The table whose rows own the rows of this one; that table has a column ``n_<name>``.
    role : {"rows", "conditions", "static"}
        ``rows`` are cut into partitions with the top table; ``conditions`` are found along the way
        and hold from some row on; ``static`` is known from the scan and stored once.
    description : str
        One line for people.
    key : tuple of str
        Columns of whole numbers or text that together name a row: of the top table among all rows, the
        outermost (run) first; of others among the rows of one owner. See `identifying`.
    """

    name: str
    dim: str
    variables: Mapping[str, Variable]
    sizes: Mapping[str, int] = field(default_factory=dict)
    kind: str = ""
    parent: str | None = None
    role: Role = "rows"
    description: str = ""
    key: tuple[str, ...] = ()

    @property
    def identifying(self) -> list[str]:
        """The columns that name a row, of those that there are: of the key that the table declares.

        A table that declares none (of a pass that was written before keys were, or of a stage) has what is
        guessed: its integers that are called ``..._id``, but not what is simulated (``true_...``); at the top
        ``run`` before them and, where no ``event_id`` is among them, those called ``..._index`` and
        ``..._counter``.
        """
        if self.key:
            return [name for name in self.key if name in self.variables]
        is_top = self.parent is None
        ends = ("_id",) if not is_top or "event_id" in self.variables else ("_id", "_index", "_counter")
        found = [
            v.name
            for v in self.variables.values()
            if v.name.endswith(ends)
            and not v.name.startswith("true_")
            and v.dtype.startswith(("int", "uint"))
            and len(v.dims) == 1
        ]
        return [name for name in ("run",) if is_top and found and name in self.variables] + found

    @property
    def about(self) -> dict[str, Any]:
        """What files say of the table: its description and its key."""
        said = {"description": self.description, "key": list(self.key)}
        return {name: value for name, value in said.items() if value}

    @property
    def numbering(self) -> str | None:
        """The column that people mean by the number of a row: ``event_id``, or the last that names it.

        None if no whole numbers name it; a text may be part of a key, but numbers nothing.
        """
        names = [name for name in self.identifying if self.variables[name].dtype.startswith(("int", "uint"))]
        if "event_id" in names:
            return "event_id"
        numbers = names if self.key else [name for name in names if not name.endswith("_id")] or names
        return next(reversed(numbers), None)

    def facts(self) -> dict[str, str]:
        """The table in a few lines, for people."""
        facts = {
            "table": f"/{self.name}, one row a {self.dim}" + (f", of /{self.parent}" if self.parent else ""),
            "about": self.description,
            "sizes": ", ".join(f"{dim} {size}" for dim, size in self.sizes.items()),
            "key": ", ".join(self.key),
            "columns": f"{len(self.variables)}: {some_of(self.variables)}",
        }
        return {key: value for key, value in facts.items() if value}

    def sections(self) -> Iterator[Section]:
        """Its columns."""
        heads = ("column", "dimensions", "dtype", "units", "about")
        yield (
            f"/{self.name}",
            heads,
            [(v.name, ", ".join(v.dims), v.dtype, v.units, v.description) for v in self.variables.values()],
        )

    def to_json(self) -> dict[str, Any]:
        """The declaration as plain values."""
        return {
            "role": self.role,
            "dimension": self.dim,
            "sizes": dict(self.sizes),
            "parent": self.parent,
            "key": list(self.key),
            "description": self.description,
            "columns": {v.name: v.to_json() for v in self.variables.values()},
        }

    def with_variables(self, variables: Iterable[Variable]) -> Table:
        """The same table with more columns (or columns declared anew)."""
        return replace(self, variables={**self.variables, **{v.name: v for v in variables}})

    def validate(self, columns: Mapping[str, np.ndarray], *, complete: bool = False) -> int:
        """Check columns against their declarations and return the number of rows.

        Parameters
        ----------
        columns : mapping of str to array
            Columns of this table.
        complete : bool
            Whether every declared column must be there.

        Raises
        ------
        SchemaError
            If a column is undeclared, missing, or of another shape or dtype than declared.
        """
        if complete and (missing := self.variables.keys() - columns.keys()):
            raise SchemaError(f"table {self.name!r} lacks the columns {sorted(missing)}")
        rows = {len(column) for column in columns.values()}
        if len(rows) > 1:
            lengths = {name: len(column) for name, column in columns.items()}
            raise SchemaError(f"columns of table {self.name!r} differ in length: {lengths}")
        n_rows = rows.pop() if rows else 0
        for name, column in columns.items():
            self._validate_column(name, column, n_rows)
        return n_rows

    def _validate_column(self, name: str, column: np.ndarray, n_rows: int) -> None:
        variable = self.variables.get(name)
        if variable is None:
            raise SchemaError(
                f"column {self.name}/{name} is not declared;{_nearest(name, self.variables)}"
                f" table {self.name!r} declares {sorted(self.variables)}"
            )
        shape = (n_rows, *(self.sizes[dim] for dim in variable.dims[1:]))
        if column.shape != shape:
            raise SchemaError(
                f"column {self.name}/{name} has shape {column.shape}; "
                f"its dimensions {variable.dims} ask for {shape}"
            )
        if variable.dtype != "str" and column.dtype != np.dtype(variable.dtype):
            raise SchemaError(
                f"column {self.name}/{name} has dtype {column.dtype}; declared is {variable.dtype}"
            )


@dataclass(frozen=True, repr=False)
class Schema(Legible, Mapping[str, Table]):
    """All tables of a run, by name; the first ``rows`` table without a parent is the top."""

    tables: Mapping[str, Table]

    def __getitem__(self, name: str) -> Table:
        return self.tables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)

    def facts(self) -> dict[str, str]:
        """The tables in a few lines, for people."""
        return {
            f"/{table.name}": f"{len(table.variables)} columns, one row a {table.dim}; "
            f"{cut(table.description, 60)}"
            for table in self.values()
        }

    def sections(self) -> Iterator[Section]:
        """The columns of each table."""
        for table in self.values():
            yield from table.sections()

    @property
    def top(self) -> Table:
        """The table that a run is a sequence of."""
        return next(t for t in self.tables.values() if t.role == "rows" and t.parent is None)

    def table(self, name: str) -> Table:
        """The declaration of a table.

        Raises
        ------
        SchemaError
            If there is no such table; the message names the nearest one.
        """
        if name not in self.tables:
            raise SchemaError(f"no table {name!r};{_nearest(name, self.tables)} there are {list(self)}")
        return self.tables[name]

    def children(self, name: str) -> list[Table]:
        """The tables whose rows belong to rows of the named table."""
        return [table for table in self.tables.values() if table.parent == name]

    def matching(self, pattern: str) -> list[Table]:
        """Tables that a reference's table part names: a name, a glob, or ``@kind``."""
        if pattern.startswith("@"):
            return [t for t in self.tables.values() if t.kind == pattern[1:]]
        return [t for t in self.tables.values() if fnmatchcase(t.name, pattern)]

    def resolve(self, reference: str) -> list[str]:
        """Expand a reference to ``table/column`` names; the column part may be a glob.

        An optional reference (trailing ``?``) gives only columns that are declared; any other gives
        one name for each matching table, declared or not, if it has no glob in its column part.
        """
        optional = reference.endswith("?")
        table_pattern, column = split(reference.rstrip("?"))
        is_glob = any(c in column for c in "*?[")
        found = []
        for table in self.matching(table_pattern):
            if is_glob or optional:
                found += [f"{table.name}/{v}" for v in table.variables if fnmatchcase(v, column)]
            else:
                found.append(f"{table.name}/{column}")
        return found

    def variable(self, name: str) -> Variable:
        """The declaration of ``table/column``.

        Raises
        ------
        SchemaError
            If there is no such table or column; the message names the nearest one.
        """
        table, column = split(name)
        known = self.table(table).variables
        if column not in known:
            raise SchemaError(
                f"no column {column!r} in table {table!r};{_nearest(column, known)} it has {sorted(known)}"
            )
        return known[column]

    def __contains__(self, name: object) -> bool:
        if name in self.tables:
            return True
        if not isinstance(name, str) or "/" not in name:
            return False
        table, column = split(name)
        return table in self.tables and column in self.tables[table].variables

    def with_variables(self, variables: Mapping[str, Variable]) -> Schema:
        """The same schema with more columns, given as ``{"table/column": Variable}``."""
        tables = dict(self.tables)
        for name, variable in variables.items():
            table, _ = split(name)
            tables[table] = tables[table].with_variables([variable])
        return Schema(tables)

    def with_tables(self, tables: Iterable[Table]) -> Schema:
        """The same schema with more tables, each counted in a column ``n_<table>`` of its parent."""
        joined = {**self.tables, **{table.name: table for table in tables}}
        for table in list(joined.values()):
            if table.parent:
                parent, name = joined[table.parent], f"n_{table.name}"
                about = f"rows of /{table.name} that belong to the row"
                count = Variable(name, (parent.dim,), "int32", "", about)
                joined[parent.name] = parent.with_variables([count])
        return Schema(joined)


def split(name: str) -> tuple[str, str]:
    """Split ``table/column`` at its last slash.

    Raises
    ------
    SchemaError
        If there is no slash.
    """
    table, slash, column = name.rpartition("/")
    if not slash:
        raise SchemaError(f"{name!r} is not a column reference; write table/column, as in lstcam/image")
    return table, column


def variables(dim: str, **specs: tuple) -> dict[str, Variable]:
    """Declare several columns of one row dimension.

    Each spec is ``(dtype, units, description)`` or ``(inner dims, dtype, units, description)``, where
    the inner dims are a tuple of the dimensions after the row dimension.

    Examples
    --------
    >>> variables("readout", image=(("pixel",), "float32", "pe", "charge"))["image"].dims
    ('readout', 'pixel')
    """
    declared = {}
    for name, spec in specs.items():
        inner, rest = (spec[0], spec[1:]) if isinstance(spec[0], tuple) else ((), spec)
        declared[name] = Variable(name, (dim, *inner), *rest)
    return declared


def _nearest(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), n=1)
    return f" did you mean {close[0]!r}?" if close else ""
