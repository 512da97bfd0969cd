"""Tables as an HDF5 file in the manner of IceCube's tableio, for h5py and pandas.

One compound dataset a table. A row carries what identifies it: ``<dim>``, the number of the row of the top
table that it belongs to (``event``), the identifying columns of that row (``event_id``), and
``vector_index``, its place among its owner's rows. For each table whose rows belong to others, the group
``__I3Index__`` holds one row an owner: ``start`` and ``stop`` of its rows, and whether it has any
(``exists``), as tableio's documentation describes it. Columns of more dimensions stand beside their table as
``<table>__<column>``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from etendue.dataflow.draft import draft
from etendue.dataflow.owned import Ownership, length
from etendue.schema import Columns, Schema, Table

if TYPE_CHECKING:
    import h5py

INDEX = "__I3Index__"


def write_hdf5(
    path: str | Path,
    schema: Schema,
    partitions: Iterable[Mapping[str, Columns]],
    static: Mapping[str, Columns] | None = None,
    identity: Sequence[str] | None = None,
) -> dict[str, int]:
    """Write tables to an HDF5 file, partition by partition.

    The file appears under its name when it is whole.

    Parameters
    ----------
    path : path
        File to write.
    schema : Schema
        Declarations of the tables.
    partitions : iterable of mapping
        Columns by table of each partition, in order.
    static : mapping, optional
        Tables that are written once, as they are.
    identity : sequence of str, optional
        Columns of the top table that every row repeats; by default its integers called ``..._id``.

    Returns
    -------
    dict of str to int
        Rows written, by table.

    Raises
    ------
    FileExistsError
        If the file is there already.
    ImportError
        If h5py is not installed; says how to install it.
    """
    try:
        import h5py
    except ImportError:
        raise ImportError("h5py is needed for this: pip install 'etendue[hdf5]'") from None
    with draft(path) as part, h5py.File(part, "w") as file:
        writer = _Writer(file, schema, identity)
        for tables in partitions:
            writer.append(tables)
        static = static or {}
        for name, columns in static.items():
            writer.put(schema[name], columns, {})
    return writer.ownership.rows | {name: length(columns) for name, columns in static.items()}


class _Writer:
    """Appends partitions to the datasets of a file."""

    def __init__(self, file: h5py.File, schema: Schema, identity: Sequence[str] | None):
        self.file, self.ownership = file, Ownership(schema, identity)

    def append(self, tables: Mapping[str, Columns]) -> None:
        """Append one partition."""
        for rows in self.ownership.append(tables):
            if rows.columns:
                self.put(rows.table, rows.columns, rows.identity)
            for child, bounds in rows.bounds.items():
                start, stop = bounds[:-1], bounds[1:]
                index = {**rows.owner, "exists": stop > start, "start": start, "stop": stop}
                self._write(f"{INDEX}/{child}", index, "which rows belong to each row of the owner")

    def put(self, table: Table, columns: Columns, identity: Columns) -> None:
        """Append rows of one table."""
        flat = {c: array for c, array in columns.items() if array.ndim == 1}
        self._write(table.name, {**identity, **flat}, table.description, table)
        for column in columns.keys() - flat.keys():
            about = table.variables[column].description
            self._array(f"{table.name}__{column}", columns[column], about)

    def _write(self, name: str, columns: Columns, about: str, table: Table | None = None) -> None:
        columns = {c: _storable(array) for c, array in columns.items()}
        records = np.empty(length(columns), dtype=[(c, array.dtype) for c, array in columns.items()])
        for column, array in columns.items():
            records[column] = array
        dataset = self._array(name, records, about)
        for variable in table.variables.values() if table else ():
            if variable.units and variable.name in columns:
                dataset.attrs[f"{variable.name}_units"] = variable.units

    def _array(self, name: str, array: np.ndarray, about: str) -> h5py.Dataset:
        """Append to a dataset, which is made when it is first met."""
        dataset = self.file.get(name)
        if dataset is None:
            packed: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
            growing = (None, *array.shape[1:])
            dataset = self.file.create_dataset(name, data=array, chunks=True, maxshape=growing, **packed)
            dataset.attrs["description"] = about
        else:
            first = len(dataset)
            dataset.resize(first + len(array), axis=0)
            dataset[first:] = array
        return dataset


def _storable(array: np.ndarray) -> np.ndarray:
    """Text of variable length as bytes of a fixed length, which every reader understands."""
    if array.dtype.kind not in "TUO":
        return array
    width = max((len(str(text).encode()) for text in array), default=0)
    return np.array([str(text).encode() for text in array], dtype=f"S{max(width, 32)}")
