"""The doors for people: tables in memory as xarray, pandas and awkward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from etendue.schema import Columns, Schema, Table

if TYPE_CHECKING:
    import awkward
    import pandas
    import xarray


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
        about = {"description": table.description} if table.description else {}
        nodes[f"/{name}"] = xr.Dataset(data, attrs=about)
    return RunTree.from_dict(nodes)


def to_pandas(table: Table, columns: Columns) -> pandas.DataFrame:
    """The one-dimensional columns of a table as a data frame.

    Raises
    ------
    ImportError
        If pandas is not installed; says how to install it.
    """
    pandas = _import("pandas")
    flat = {name: column for name, column in columns.items() if column.ndim == 1}
    return pandas.DataFrame(flat)


def to_awkward(schema: Schema, tables: Mapping[str, Columns], name: str) -> awkward.Array:
    """A table as records; rows that belong to events come as one list an event.

    Raises
    ------
    ImportError
        If awkward is not installed; says how to install it.
    """
    awkward = _import("awkward")
    records = awkward.zip(
        {column: awkward.from_numpy(array) for column, array in tables[name].items()}, depth_limit=1
    )
    parent = schema[name].parent
    return records if parent is None else awkward.unflatten(records, tables[parent][f"n_{name}"])


def _import(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise ImportError(f"{name} is needed for this: pip install 'etendue[{name}]'") from None
