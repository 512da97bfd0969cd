"""The doors for people: tables in memory as xarray, pandas and awkward."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from etendue.reprs import some_of
from etendue.schema import Columns, Schema, Table

if TYPE_CHECKING:
    import awkward
    import pandas
    import xarray
    from astropy.table import QTable

log = logging.getLogger(__name__)


def concatenate(schema: Schema, partitions: list[Mapping[str, Columns]]) -> dict[str, Columns]:
    """Join the tables of partitions in their order; tables without rows keep their dtypes."""
    joined: dict[str, Columns] = {}
    for table in schema.values():
        if table.role == "static":
            continue
        parts = [p[table.name] for p in partitions if table.name in p]
        joined[table.name] = {
            name: np.concatenate([part[name] for part in parts]) if parts else _no_rows(table, name)
            for name in table.variables
        }
    return joined


def first_rows(schema: Schema, tables: Mapping[str, Columns], n_rows: int) -> dict[str, Columns]:
    """The first rows of the top table, with all that they own; other tables whole."""
    cut = dict(tables)

    def shorten(table: Table, stop: int) -> None:
        columns = cut.get(table.name, {})
        cut[table.name] = {name: column[:stop] for name, column in columns.items()}
        for child in schema.children(table.name):
            if child.name in cut and (counts := cut[table.name].get(f"n_{child.name}")) is not None:
                shorten(child, int(counts.sum()))

    shorten(schema.top, n_rows)
    return cut


def _no_rows(table: Table, name: str) -> np.ndarray:
    variable = table.variables[name]
    shape = (0, *(table.sizes[dim] for dim in variable.dims[1:]))
    return np.empty(shape, dtype=np.dtypes.StringDType() if variable.dtype == "str" else variable.dtype)


def attributes(variable: Any) -> dict[str, str]:
    """CF attributes of a column."""
    attrs = {"units": variable.units, "long_name": variable.description}
    return {key: value for key, value in attrs.items() if value}


def to_xarray(schema: Schema, tables: Mapping[str, Columns]) -> xarray.DataTree:
    """Tables as a tree: one node a table.

    Parameters
    ----------
    schema : Schema
        Declarations of the tables.
    tables : mapping of str to dict of str to array
        Columns by table.

    Returns
    -------
    xarray.DataTree
        ``/events``, ``/lstcam``, ``/camera/lstcam``, ... with units and descriptions.
    """
    import xarray as xr

    from etendue.dataflow.tree import RunTree

    nodes = {}
    for name, columns in tables.items():
        table = schema[name]
        data = {
            column: (table.variables[column].dims, array, attributes(table.variables[column]))
            for column, array in columns.items()
        }
        nodes[f"/{name}"] = xr.Dataset(data, attrs=table.about)
    return RunTree.from_dict(nodes)


def to_pandas(table: Table, columns: Columns) -> pandas.DataFrame:
    """The one-dimensional columns of a table as a data frame.

    Returns
    -------
    pandas.DataFrame
        With ``attrs``: ``units`` and ``descriptions`` by column, and ``left_out``, the columns of more
        dimensions, which a data frame cannot hold (a log message names them as well).

    Raises
    ------
    ImportError
        If pandas is not installed; says how to install it.
    """
    pandas = _import("pandas")
    flat = {name: column for name, column in columns.items() if column.ndim == 1}
    left_out = [name for name in columns if name not in flat]
    if left_out:
        log.warning(
            "/%s: left out of the data frame, which has one dimension: %s", table.name, some_of(left_out)
        )
    frame = pandas.DataFrame(flat)
    of = {name: table.variables[name] for name in flat}
    frame.attrs = {
        "units": {name: variable.units for name, variable in of.items() if variable.units},
        "descriptions": {name: variable.description for name, variable in of.items() if variable.description},
        "left_out": left_out,
    }
    return frame


def to_astropy(table: Table, columns: Columns) -> QTable:
    """A table as astropy's, every column with its units and description.

    Returns
    -------
    astropy.table.QTable
        Columns with units are quantities, angles in the schema's units.

    Raises
    ------
    ImportError
        If astropy is not installed; says how to install it.
    """
    quantities = _import("astropy.table").QTable(meta={"name": table.name, "description": table.description})
    units = _import("astropy.units")
    for name, column in columns.items():
        variable = table.variables[name]
        if variable.dtype == "str":
            column = _plain(column)
        elif variable.units and column.dtype.kind in "iufc":
            unit = units.Unit(
                variable.units, parse_strict="silent"
            )  # photo-electrons are no unit of astropy's
            column = units.Quantity(column, unit, dtype=column.dtype, copy=False)
        quantities[name] = column
        quantities[name].info.description = variable.description or None
    return quantities


def to_awkward(schema: Schema, tables: Mapping[str, Columns], name: str) -> awkward.Array:
    """A table as records; rows that belong to others come as one list an owner, with its key.

    Returns
    -------
    awkward.Array
        With the parameters ``units`` and ``descriptions`` by column, found by
        ``array.layout.purelist_parameter("units")``.

    Raises
    ------
    ImportError
        If awkward is not installed; says how to install it.
    """
    from etendue.dataflow.owned import with_key

    awkward = _import("awkward")
    table, columns = with_key(schema, tables, name)
    records = awkward.zip(
        {column: awkward.from_numpy(_plain(array)) for column, array in columns.items()}, depth_limit=1
    )
    of = {column: table.variables[column] for column in columns}
    records = awkward.with_parameter(records, "units", {c: v.units for c, v in of.items() if v.units})
    about = {c: v.description for c, v in of.items() if v.description}
    records = awkward.with_parameter(records, "descriptions", about)
    parent = table.parent
    return records if parent is None else awkward.unflatten(records, tables[parent][f"n_{name}"])


def _plain(array: np.ndarray) -> np.ndarray:
    """Text as NumPy's older kind, which other packages understand."""
    return np.array(array.tolist(), dtype=str) if array.dtype.kind in "TO" else array


def _import(name: str) -> Any:
    from importlib import import_module

    package = name.partition(".")[0]
    try:
        return import_module(name)
    except ImportError:
        raise ImportError(f"{package} is needed for this: pip install 'etendue[{package}]'") from None
