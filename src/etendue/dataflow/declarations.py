"""What stages say of the columns that they write: checked when a stage is made, and against the tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher, get_close_matches
from typing import Any

import numpy as np

from etendue.dataflow.partition import SELECTED
from etendue.schema import Schema, SchemaError, Variable, split

#: How like the mark of selection a name may be before it is taken for a slip.
_ALIKE = 0.85
#: Units that are known without asking astropy, whose import takes longer than all else here.
_UNITS = ("", "pe", "adu", "pe adu-1", "pe m2", "ns", "s", "m", "m2", "m ns-1", "deg", "rad", "GeV", "TeV")
_UNITS += ("Hz", "GHz", "g cm-2")
#: The unit that astropy does not know: photo-electrons.
_PHOTO_ELECTRON = re.compile(r"(?<![A-Za-z])pe(?![A-Za-z])")


def declared(reference: str, spec: Variable | tuple) -> Variable:
    """The column that a stage declares, if the declaration can be right.

    Raises
    ------
    SchemaError
        If it cannot: names the column, what is wrong, and what is expected.
    """
    _, column = split(reference)
    try:
        if isinstance(spec, str):
            raise TypeError
        variable = Variable.of(column, spec)
    except (TypeError, ValueError):
        raise SchemaError(
            f"writes {reference!r} as {spec!r}; expected (dimensions, dtype[, units[, description]]), as "
            "('readout', 'float32', 'pe')"
        ) from None
    if not column.isidentifier():
        raise SchemaError(f"writes {reference!r}: {column!r} is no name of a column")
    if not variable.dims or not all(isinstance(dim, str) and dim for dim in variable.dims):
        raise SchemaError(f"writes {reference!r} with the dimensions {variable.dims!r}; expected names")
    _check_dtype(reference, variable.dtype)
    _check_units(reference, variable.units)
    _check_mark(reference, variable)
    return variable


def _check_dtype(reference: str, dtype: Any) -> None:
    try:
        good = isinstance(dtype, str) and (dtype == "str" or np.dtype(dtype).kind in "biufc")
    except TypeError:
        good = False
    if not good:
        raise SchemaError(
            f"writes {reference!r} with the dtype {dtype!r}; expected the name of a dtype of numbers, as "
            "'float32', 'int64', 'bool', or 'str' for text"
        )


def _check_units(reference: str, units: Any) -> None:
    if not isinstance(units, str):
        raise SchemaError(f"writes {reference!r} with the units {units!r}; expected text, as 'm ns-1'")
    if units in _UNITS:
        return
    try:
        from astropy.units import Unit
    except ImportError:
        return  # nobody here can tell
    try:
        Unit(_PHOTO_ELECTRON.sub("electron", units))
    except (ValueError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise SchemaError(f"writes {reference!r} with units that astropy does not know: {reason}") from None


def _check_mark(reference: str, variable: Variable) -> None:
    """See that a column of marks is not meant to be the one that selects, and misspelt."""
    if variable.name == SELECTED:
        if variable.dtype != "bool" or len(variable.dims) != 1:
            raise SchemaError(f"{reference!r} marks the rows to keep: declare it as one bool a row")
        return
    alike = SequenceMatcher(None, variable.name.lower(), SELECTED).ratio() >= _ALIKE
    if alike and variable.dtype == "bool" and len(variable.dims) == 1:
        raise SchemaError(
            f"writes {reference!r}, which selects nothing: marks of rows to keep are called {SELECTED!r} (or "
            f"say marks = {split(reference)[0]!r}); if it is not meant to select, name it otherwise"
        )


def places(references: Iterable[str], schema: Schema) -> None:
    """See that there are the tables that a stage writes into.

    Raises
    ------
    SchemaError
        If there is one not; names the nearest.
    """
    for reference in references:
        table, _ = split(reference)
        if not schema.matching(table):
            known = [*schema, *dict.fromkeys(f"@{t.kind}" for t in schema.values() if t.kind)]
            raise SchemaError(f"writes {reference!r}, but there is no table {table!r}; {_near(table, known)}")


def fit(made: Mapping[str, Variable], schema: Schema) -> None:
    """See that the columns that a stage makes have the dimensions of their tables.

    Raises
    ------
    SchemaError
        If one has not: names the column and the dimensions that there are.
    """
    for name, variable in made.items():
        table_name, _ = split(name)
        if table_name not in schema:
            raise SchemaError(
                f"writes {name!r}, but there is no table {table_name!r}; {_near(table_name, schema)}"
            )
        table = schema[table_name]
        if variable.dims[:1] != (table.dim,):
            raise SchemaError(
                f"writes {name!r} with the dimensions {variable.dims}, but the rows of table {table_name!r} "
                f"are of the dimension {table.dim!r}"
            )
        for dim in variable.dims[1:]:
            if dim not in table.sizes:
                raise SchemaError(
                    f"writes {name!r} with the dimension {dim!r}, which table {table_name!r} does not have; "
                    f"{_near(dim, (table.dim, *table.sizes))}"
                )


def _near(name: str, known: Any) -> str:
    close = get_close_matches(name, list(known), n=1)
    return (
        f"did you mean {close[0]!r}? There are {', '.join(known)}"
        if close
        else f"there are {', '.join(known)}"
    )
