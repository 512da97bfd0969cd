"""Tables as an HDF5 file in the manner of IceCube's tableio, for h5py and pandas.

One compound dataset a table. A row carries what identifies it: ``<dim>``, the number of the row of the top
table that it belongs to (``event``), the identifying columns of that row (``event_id``), and
``vector_index``, its place among its owner's rows. For each table whose rows belong to others, the group
``__I3Index__`` holds one row an owner: ``start`` and ``stop`` of its rows, and whether it has any
(``exists``), as tableio's documentation describes it. Columns of more dimensions stand beside their table as
``<table>__<column>``.
"""

from __future__ import annotations

from collections.abc import Buffer, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from etendue.dataflow.draft import draft, refuse_outside
from etendue.dataflow.owned import Ownership, length
from etendue.schema import Columns, Schema, SchemaError, Table

if TYPE_CHECKING:
    import h5py

INDEX = "__I3Index__"
#: What it says of each owner: whether it has rows, and where they begin and end.
_BOUNDS = ("exists", "start", "stop")

#: Formats of objects from HDF5 1.8 on: types of columns take half of the room, and attributes any amount.
_FORMAT = ("v108", "latest")

#: How datasets are packed.
_PACKED: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
#: Rows that are copied at a time.
_COPIED = 1 << 16


def write_hdf5(
    path: str | Path,
    schema: Schema,
    partitions: Iterable[Mapping[str, Columns]],
    static: Mapping[str, Columns] | None = None,
    identity: Sequence[str] | None = None,
) -> dict[str, int]:
    """Write tables to an HDF5 file, partition by partition.

    The file appears under its name when it is whole. Tables without rows are there, with their columns.

    Parameters
    ----------
    path : path
        File to write.
    schema, partitions, static
        See `etendue.dataflow.plain_zarr.write_zarr`.
    identity : sequence of str, optional
        Columns of the top table that every row repeats; by default its key.

    Returns
    -------
    dict of str to int
        Rows written, by table.

    Raises
    ------
    FileExistsError
        If the file is there already.
    SchemaError
        If the name of a table or column would lead out of the file, or a table has more columns than HDF5
        can hold (some 1,000, by the lengths of their names).
    OSError
        If it cannot be written, as the disk is full; nothing is left of it.
    ImportError
        If h5py is not installed; says how to install it.
    """
    try:
        import h5py
    except ImportError:
        raise ImportError("h5py is needed for this: pip install 'etendue[hdf5]'") from None
    static = static or {}
    refuse_outside(schema)
    with draft(path) as part, _Output(part) as output, ThreadPoolExecutor(1) as thread:

        def call(function: Callable[..., Any], *args: Any) -> Any:
            """Call in the thread, where no signal can break into a write, which would then seem failed."""
            return thread.submit(function, *args).result()

        file = call(lambda: h5py.File(output, "w", libver=_FORMAT))
        try:
            writer = _Writer(file, output, schema, identity)
            for tables in partitions:
                call(writer.append, tables)
            call(writer.append, {t.name: _no_rows(t) for t in schema.values() if t.name not in static})
            for name, columns in static.items():
                call(writer.put, schema[name], columns, {})
        finally:
            call(file.close)
        output.check()  # closing has written, too
    return writer.ownership.rows | {name: length(columns) for name, columns in static.items()}


class _Output(FileIO):
    """The file under libhdf5, which never learns that a write has failed.

    A failed write leaves libhdf5 with objects that it can neither write nor drop: it tries again as each
    dies, and crashes at the end of the process. So the first error is kept for `check`; what is written
    after it is held in memory, where libhdf5 finds it when it reads, until the file is closed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self._error: OSError | None = None
        self._unwritten: list[tuple[int, bytes]] = []

    def check(self) -> None:
        """Raise the error of the first write that failed."""
        if self._error:
            raise self._error

    def write(self, data: Buffer) -> int:
        """Write all of the data, or hold it."""
        start, view = self.tell(), memoryview(data).cast("B")
        done = 0
        try:
            while done < len(view) and not self._error:
                done += super().write(view[done:])
        except OSError as error:
            self._error = error
        if done < len(view):
            self._unwritten.append((start + done, bytes(view[done:])))
        return len(view)

    def readinto(self, buffer: Buffer) -> int:
        """Read what was written or is held; zeros where nothing is."""
        start, view = self.tell(), memoryview(buffer).cast("B")
        n_read = super().readinto(view)
        view[n_read:] = bytes(len(view) - n_read)
        for place, data in self._unwritten:
            first, last = max(place, start), min(place + len(data), start + len(view))
            if first < last:
                view[first - start : last - start] = data[first - place : last - place]
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the size of the file, unless a write has failed."""
        try:
            return self.tell() if self._error else super().truncate(size)
        except OSError as error:
            self._error = error
            return self.tell()


class _Writer:
    """Appends partitions to the datasets of a file."""

    def __init__(self, file: h5py.File, output: _Output, schema: Schema, identity: Sequence[str] | None):
        self.file, self.output, self.ownership = file, output, Ownership(schema, identity)
        if clash := set(self.ownership.identity) & set(_BOUNDS):
            raise SchemaError(f"{min(clash)!r} cannot be repeated: {INDEX} has its own column of that name")

    def append(self, tables: Mapping[str, Columns]) -> None:
        """Append one partition."""
        for rows in self.ownership.append(tables):
            if rows.columns:
                self.put(rows.table, rows.columns, rows.identity)
            for child, bounds in rows.bounds.items():
                start, stop = bounds[:-1], bounds[1:]
                bounds_of = dict(zip(_BOUNDS, (stop > start, start, stop), strict=True))
                index = {**rows.owner, **bounds_of}
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
            growing = (None, *array.shape[1:])
            try:
                dataset = self.file.create_dataset(name, data=array, chunks=True, maxshape=growing, **_PACKED)
            except ValueError as error:  # what describes the columns of a table fits into 64 kB, or not
                if "too large" not in str(error):
                    raise
                raise SchemaError(
                    f"/{name} has {len(array.dtype.names or ()):,} columns, and HDF5 holds the names and "
                    "types of a table's columns in 64 kB only; choose fewer (flow.columns(...), --write), or "
                    "export as Parquet or Zarr, which hold any number"
                ) from error
            dataset.attrs["description"] = about
        else:
            wider = np.promote_types(dataset.dtype, array.dtype)
            if wider != dataset.dtype:
                dataset = self._widen(dataset, wider)
            first = len(dataset)
            dataset.resize(first + len(array), axis=0)
            dataset[first:] = array
        self.output.check()
        return dataset

    def _widen(self, old: h5py.Dataset, dtype: np.dtype) -> h5py.Dataset:
        """Make a dataset anew for longer text; in the file, the room of the old one stays empty."""
        name, new = old.name, f"{old.name}__wider"
        dataset = self.file.create_dataset(
            new, shape=old.shape, dtype=dtype, chunks=True, maxshape=old.maxshape, **_PACKED
        )
        dataset.attrs.update(old.attrs)
        for first in range(0, len(old), _COPIED):
            dataset[first : first + _COPIED] = old[first : first + _COPIED].astype(dtype)
        del self.file[name]
        self.file.move(new, name)
        return self.file[name]


def _no_rows(table: Table) -> Columns:
    """The columns of a table, empty."""
    return {
        name: np.empty(
            (0, *(table.sizes[dim] for dim in variable.dims[1:])),
            dtype=object if variable.dtype == "str" else variable.dtype,
        )
        for name, variable in table.variables.items()
    }


def _storable(array: np.ndarray) -> np.ndarray:
    """Text of variable length as bytes of a fixed length, which every reader understands."""
    if array.dtype.kind not in "TUO":
        return array
    width = max((len(str(text).encode()) for text in array), default=0)
    return np.array([str(text).encode() for text in array], dtype=f"S{max(width, 32)}")
