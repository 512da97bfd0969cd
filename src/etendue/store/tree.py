"""A pass as a tree of lazy xarray datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import icechunk
import numpy as np

from etendue.dataflow.doors import attributes as cf_attributes
from etendue.kernel import offsets
from etendue.reprs import collapsed
from etendue.schema import Table
from etendue.store.reader import Column, PassReader, Piece, read_pieces

if TYPE_CHECKING:
    import dask.array
    import xarray

#: Dask blocks from which on small chunks that are neighbours share one, ...
BLOCKS = 1000
#: ... of at most this many bytes of the widest column.
BLOCK_BYTES = 4 << 20


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
        has rows; of more than `BLOCKS` small ones, neighbours are one chunk. The root's attributes are
        those of the run; ``provenance`` is the record of it.

    Notes
    -----
    A store's chunks are of unequal length, which Zarr and xarray read by themselves only with
    ``zarr.config.set({"array.rectilinear_chunks": True})``. For programs that do not know such chunks,
    ``Flow.to_zarr`` (``etendue export STORE OUT.zarr``) makes a copy with regular ones.

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
    firsts = _first_chunks(edges, table)
    columns = {
        name: (
            variable.dims,
            _lazy(reader, reader.column(table, name), edges, firsts),
            cf_attributes(variable),
        )
        for name, variable in table.variables.items()
    }
    return xr.Dataset(columns, attrs=table.about)


def _first_chunks(edges: np.ndarray, table: Table) -> np.ndarray:
    """First chunk of each Dask block, and the one past the last: shape (n_blocks + 1,).

    Of a table of many small chunks, neighbours are one block, in all columns alike: a block costs Dask more
    than a small chunk costs to read.
    """
    row = max((variable.row_bytes(table.sizes) for variable in table.variables.values()), default=1)
    largest = max(1, int(edges.max(initial=1)) * row)
    together = max(1, min(-(-len(edges) // BLOCKS), BLOCK_BYTES // largest))
    return np.append(np.arange(0, len(edges), together), len(edges))


def _lazy(
    reader: PassReader, column: Column, edges: np.ndarray, firsts: np.ndarray
) -> dask.array.Array | np.ndarray:
    import dask.array as da

    empty = column.empty(0)
    if len(edges) == 0:
        return empty
    blocks = np.add.reduceat(edges, firsts[:-1])
    return da.map_blocks(
        _read_block,
        store=reader.store,
        column=column,
        edges=edges,
        firsts=firsts,
        chunks=(tuple(blocks.tolist()), *((size,) for size in column.inner)),
        dtype=empty.dtype,
        meta=empty,
        name=f"{column.array}-{reader.snapshot}",
    )


def _read_block(
    store: icechunk.IcechunkStore,
    column: Column,
    edges: np.ndarray,
    firsts: np.ndarray,
    block_id: tuple[int, ...],
) -> np.ndarray:
    """The chunks that become one Dask block."""
    first, stop = firsts[block_id[0] : block_id[0] + 2].tolist()
    ends = offsets(edges[first:stop]).tolist()
    out = column.empty(ends[-1])
    pieces = (Piece(column, first + n, first + n, out[ends[n] : ends[n + 1]]) for n in range(stop - first))
    read_pieces(store, pieces)
    return out
