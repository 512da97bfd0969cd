"""Chunk grids of a pass that is being written: provisional, with a place for every partition, then true.

While a pass is written, the chunk of partition *n* stands under number *n*. Zarr knows no chunks of length
zero: in a published pass, the chunks of partitions without rows are left out, and the others move up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import icechunk
import numpy as np

from etendue.schema import Schema, Variable
from etendue.store import layout
from etendue.store.codecs import Preset
from etendue.store.paths import StoreError
from etendue.store.repository import chunk_numbers, delete_keys, set_keys


def write_provisional(
    store: icechunk.IcechunkStore, schema: Schema, n_partitions: int, preset: Preset
) -> None:
    """Make, or widen, all arrays that have a chunk a partition."""
    codecs = layout.codecs_of(schema, preset)
    edges = np.ones(n_partitions, np.int64)
    metadata = {
        f"{array}/zarr.json": layout.array_metadata(variable, inner, codecs[array], edges, provisional=True)
        for table in layout.chunked_tables(schema)
        for array, variable, inner in layout.columns_of(table)
    }
    set_keys(store, metadata)


def check_chunks(store: icechunk.IcechunkStore, schema: Schema, counts: np.ndarray, name: str) -> None:
    """See that each partition with rows has its chunks, and no other.

    A chunk that got lost would be read as zeros by other readers, and by nobody noticed.

    Parameters
    ----------
    counts : int64 array, shape (n_partitions, n_tables)
        Rows of each chunked table.
    name : str
        Name of the pass, for the message.

    Raises
    ------
    StoreError
        If chunks are missing, or there are others.
    """
    rows_of = {a: rows for a, _, inner, rows in _chunked_arrays(schema, counts) if 0 not in inner}
    for array, found in chunk_numbers(store, rows_of).items():
        expected = np.flatnonzero(rows_of[array])
        if not np.array_equal(found, expected):
            lost, strange = np.setdiff1d(expected, found), np.setdiff1d(found, expected)
            raise StoreError(
                f"pass {name!r} is not complete: {array} lacks the chunks of {len(lost)} "
                f"partition(s) {lost[:5].tolist()} and has {len(strange)} that no receipt tells of "
                f"{strange[:5].tolist()}: what is kept of it is damaged; begin anew with --fresh"
            )


def write_true(session: icechunk.Session, schema: Schema, counts: np.ndarray, preset: Preset) -> None:
    """Close the gaps and write the grids that the arrays really have."""
    codecs = layout.codecs_of(schema, preset)
    keys = {}
    for array, variable, inner, rows in _chunked_arrays(schema, counts):
        _close_gaps(session, array, rows)
        edges = rows[rows > 0]
        keys[f"{array}/zarr.json"] = layout.array_metadata(variable, inner, codecs[array], edges)
    set_keys(session.store, keys)


def open_gaps(session: icechunk.Session, schema: Schema, rows: Mapping[str, np.ndarray]) -> None:
    """Move the chunks of a published pass back to the numbers of their partitions.

    Parameters
    ----------
    rows : mapping of str to int64 array
        Rows of each partition, by table: shape (n_partitions,).
    """
    for table in layout.chunked_tables(schema):
        numbers = np.flatnonzero(rows[table.name]).tolist()
        if numbers == list(range(len(numbers))):
            continue
        there, back = _moves(numbers)
        for array, _, _ in layout.columns_of(table):
            session.reindex_array(f"/{array}", there, back)


def delete_chunks(
    store: icechunk.IcechunkStore, schema: Schema, counts: np.ndarray, numbers: Sequence[int]
) -> None:
    """Delete the chunks of some partitions."""
    keys = [
        layout.chunk_key(array, number, 1 + len(inner))
        for array, _, inner, rows in _chunked_arrays(schema, counts)
        for number in numbers
        if rows[number] and 0 not in inner
    ]
    delete_keys(store, keys)


def _chunked_arrays(
    schema: Schema, counts: np.ndarray
) -> Iterator[tuple[str, Variable, tuple[int, ...], np.ndarray]]:
    """Of each array that has a chunk a partition: path, column, shape of a row, rows by partition."""
    for table, rows in zip(layout.chunked_tables(schema), counts.T, strict=True):
        for array, variable, inner in layout.columns_of(table):
            yield array, variable, inner, rows


def _close_gaps(session: icechunk.Session, array: str, rows: np.ndarray) -> None:
    """Move chunks down over the partitions without rows.

    What is left behind at the old places is outside of the true grid, and dropped by the commit.
    """
    if not rows.all():
        moved = (np.cumsum(rows > 0) - 1).tolist()
        session.reindex_array(f"/{array}", lambda index: _placed(moved, index))


def _placed(moved: Sequence[int], index: Iterable[int]) -> list[int]:
    number, *inner = index
    return [moved[number], *inner]


def _moves(numbers: list[int]) -> tuple:
    """Where each chunk goes, and where each number's chunk comes from; None if it has none."""
    chunk_of = {number: [chunk] for chunk, number in enumerate(numbers)}

    def back(index: Iterable[int]) -> list[int] | None:
        number, *inner = index
        return [*chunk_of[number], *inner] if number in chunk_of else None

    return lambda index: _placed(numbers, index), back
