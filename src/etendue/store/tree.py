"""A pass as a tree of lazy xarray datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import icechunk
import numpy as np

from etendue.dataflow.doors import attributes as cf_attributes
from etendue.reprs import collapsed
from etendue.schema import Table
from etendue.store.reader import Column, PassReader, Piece, read_pieces

if TYPE_CHECKING:
    import dask.array
    import xarray


def load(path: str, tag: str | None = None) -> xarray.DataTree:
    """Open a pass as lazy xarray.

    Parameters
    ----------
    path : str
        The store, or ``store@pass``.
    tag : str, optional
        Name of the pass; without it the newest.

    Returns
    -------
    xarray.DataTree
        One node a table (``/events``, ``/lstcam``, ``/camera/lstcam``), one Dask chunk a partition that
        has rows. The root's attributes are those of the run; ``provenance`` is the record of it.

    Raises
    ------
    FileNotFoundError
        If there is no store.
    StoreError
        If the store has no such pass, or was made by another program.
    """
    import xarray as xr

    from etendue.dataflow.tree import RunTree

    reader = PassReader.open(str(path), tag)
    nodes = {f"/{table.name}": _dataset(reader, table) for table in reader.schema.values()}
    root = xr.Dataset(attrs={name: collapsed(value) for name, value in reader.attributes.items()})
    return RunTree.from_dict({"/": root, **nodes}, name=reader.tag)


def _dataset(reader: PassReader, table: Table) -> xarray.Dataset:
    import xarray as xr

    rows = reader.chunk_rows(table.name)
    edges = rows[rows > 0]
    columns = {
        name: (variable.dims, _lazy(reader, reader.column(table, name), edges), cf_attributes(variable))
        for name, variable in table.variables.items()
    }
    return xr.Dataset(columns, attrs={"description": table.description} if table.description else {})


def _lazy(reader: PassReader, column: Column, edges: np.ndarray) -> dask.array.Array | np.ndarray:
    import dask.array as da

    empty = column.empty(0)
    if len(edges) == 0:
        return empty
    return da.map_blocks(
        _read_chunk,
        store=reader.store,
        column=column,
        edges=edges,
        chunks=(tuple(edges.tolist()), *((size,) for size in column.inner)),
        dtype=empty.dtype,
        meta=empty,
        name=f"{column.array}-{reader.snapshot}",
    )


def _read_chunk(
    store: icechunk.IcechunkStore, column: Column, edges: np.ndarray, block_id: tuple[int, ...]
) -> np.ndarray:
    """The chunk that becomes one Dask block."""
    out = column.empty(edges[block_id[0]])
    read_pieces(store, [Piece(column, block_id[0], block_id[0], out)])
    return out
