"""Tables as plain Zarr v3 with regular chunks: zarr and xarray open them without etendue.

One group a table, one array a column, with dimension names, units and descriptions; `xarray.open_datatree`
reads the whole. Rows that belong to rows of another table are stored flat, as in a store: the owner's
column ``n_<table>`` counts them, and names their dimension in the attribute ``sample_dimension``
(contiguous ragged arrays of the CF conventions, section 9.3.3). Each row repeats the keys of its owners.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

import numpy as np

from etendue.dataflow.doors import attributes as cf_attributes
from etendue.dataflow.draft import draft, refuse_outside
from etendue.dataflow.owned import length, repeated, with_key
from etendue.schema import Columns, Schema, Table, Variable

if TYPE_CHECKING:
    import zarr

#: Chunks of the widest column of a table have about this many bytes before compression, ...
CHUNK_BYTES = 16 << 20
#: ... but at most this many rows.
CHUNK_ROWS = 1 << 16


def write_zarr(
    path: str | Path,
    schema: Schema,
    partitions: Iterable[Mapping[str, Columns]],
    static: Mapping[str, Columns] | None = None,
    attributes: Mapping[str, Any] | None = None,
    *,
    chunk_rows: int | None = None,
    consolidated: bool = True,
) -> dict[str, int]:
    """Write tables to a folder of plain Zarr, partition by partition.

    The folder appears under its name when it is whole.

    Parameters
    ----------
    path : path
        Folder to make.
    schema : Schema
        Declarations of the tables.
    partitions : iterable of mapping
        Columns by table of each partition, in order.
    static : mapping, optional
        Tables that are written once, as they are.
    attributes : mapping, optional
        Plain values for JSON; kept at the root.
    chunk_rows : int, optional
        Rows of a chunk of every array; by default as many as make 16 MiB of the widest column of the
        table, and at most 65,536. About as many rows are held in memory of each table.
    consolidated : bool
        Whether the root also holds the metadata of all groups and arrays, so that they open at once.

    Returns
    -------
    dict of str to int
        Rows written, by table.

    Raises
    ------
    FileExistsError
        If there is something at the path already.
    SchemaError
        If the name of a table or column would lead out of the folder.
    """
    import zarr

    if chunk_rows is not None and chunk_rows < 1:
        raise ValueError(f"a chunk has at least one row, not {chunk_rows}")
    refuse_outside(schema)
    with draft(path) as part:
        root = zarr.open_group(part, mode="w", zarr_format=3, attributes=dict(attributes or {}))
        tables = {table.name: _Rows(root, schema, table, chunk_rows) for table in schema.values()}
        for partition in partitions:
            for name in partition:
                tables[name].append(with_key(schema, partition, name)[1])
        for name, columns in (static or {}).items():
            tables[name].append(columns)
        for table in tables.values():
            table.finish()
        if consolidated:
            with catch_warnings():  # that Zarr 3 has not adopted it; xarray and zarr do read it
                simplefilter("ignore")
                zarr.consolidate_metadata(part)
    return {name: table.rows for name, table in tables.items()}


class _Rows:
    """The arrays of one table, which grow by whole chunks."""

    def __init__(self, root: zarr.Group, schema: Schema, table: Table, chunk_rows: int | None) -> None:
        about = {name: replace(v, dims=(table.dim,)) for name, v in repeated(schema, table).items()}
        columns = {**about, **table.variables}
        widest = max((v.row_bytes(table.sizes) for v in columns.values()), default=1)
        self.chunk_rows = chunk_rows or max(1, min(CHUNK_ROWS, CHUNK_BYTES // max(widest, 1)))
        self.rows = self._n_waiting = 0
        self._waiting: list[Columns] = []
        group = root.require_group(table.name)
        group.update_attributes(table.about)
        dims = {f"n_{child.name}": child.dim for child in schema.children(table.name)}
        self._arrays = {
            name: _make_array(group, table, variable, self.chunk_rows, dims.get(name))
            for name, variable in columns.items()
        }

    def append(self, columns: Columns) -> None:
        """Take rows, and write all whole chunks that there are."""
        self._waiting.append(columns)
        self._n_waiting += length(columns)
        self._write(self._n_waiting - self._n_waiting % self.chunk_rows)

    def finish(self) -> None:
        """Write the rest."""
        self._write(self._n_waiting)

    def _write(self, n_rows: int) -> None:
        if n_rows == 0:
            return
        rest: Columns = {}
        for name, array in self._arrays.items():
            column = np.concatenate([columns[name] for columns in self._waiting])
            array.resize((self.rows + n_rows, *array.shape[1:]))
            if 0 not in array.shape:
                array[self.rows :] = column[:n_rows]
            rest[name] = column[n_rows:].copy()  # so that what was written can go
        self._waiting = [rest]
        self._n_waiting -= n_rows
        self.rows += n_rows


def _make_array(
    group: zarr.Group, table: Table, variable: Variable, chunk_rows: int, sample_dimension: str | None
) -> zarr.Array:
    from zarr.codecs import BloscCodec

    inner = tuple(table.sizes[dim] for dim in variable.dims[1:])
    is_text = variable.dtype == "str"
    shuffle = "noshuffle" if is_text else "bitshuffle" if inner else "shuffle"
    about = cf_attributes(variable)
    if sample_dimension:
        about["sample_dimension"] = sample_dimension
    return group.create_array(
        variable.name,
        shape=(0, *inner),
        chunks=(chunk_rows, *(max(size, 1) for size in inner)),
        dtype=str if is_text else variable.dtype,
        compressors=BloscCodec(cname="lz4" if inner else "zstd", clevel=5 if inner else 1, shuffle=shuffle),
        dimension_names=variable.dims,
        attributes=about,
    )
