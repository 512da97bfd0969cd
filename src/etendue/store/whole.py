"""What the driver writes by itself: static tables, the ledger, and counts of tables that came later."""

from __future__ import annotations

import icechunk
import numpy as np

from etendue.schema import Columns, Schema, Table
from etendue.store import layout
from etendue.store.codecs import Preset
from etendue.store.ledger import Ledger
from etendue.store.reader import PassReader
from etendue.store.repository import set_keys
from etendue.store.writer import encode


def write_static(
    store: icechunk.IcechunkStore, table: Table, columns: Columns, preset: Preset
) -> tuple[int, dict[str, int]]:
    """Write a static table, in one chunk a column.

    Returns
    -------
    int
        Its rows.
    dict of str to int
        CRC-32 of each chunk's bytes before compression, by ``table/column``.

    Raises
    ------
    SchemaError
        If columns are missing, or are not what their declarations say.
    """
    columns = {name: columns[name] for name in table.variables if name in columns}
    n_rows = table.validate(columns, complete=True)
    edges = np.full(1 if n_rows else 0, n_rows)
    metadata, chunks, checksums = {}, {}, {}
    for array, variable, inner in layout.columns_of(table):
        codec = layout.codec_for(variable, preset)
        metadata[f"{array}/zarr.json"] = layout.array_metadata(variable, inner, codec, edges)
        if len(edges) and 0 not in inner:
            checksums[array], data = encode(array, columns[variable.name], variable, codec)
            chunks[layout.chunk_key(array, 0, len(variable.dims))] = data
    set_keys(store, metadata)
    set_keys(store, chunks)
    return n_rows, checksums


def write_ledger(store: icechunk.IcechunkStore, ledger: Ledger, preset: Preset) -> dict[str, list[int]]:
    """Write what is known of each partition; returns CRC-32 of each chunk before compression, by array."""
    checksums: dict[str, list[int]] = {}
    edges = layout.ledger_edges(len(ledger.seen))
    values = {
        layout.PARTITIONS: ledger.rows,
        layout.ORIGIN: ledger.origin,
        layout.CHECKSUMS: ledger.checksums,
    }
    for name, array in values.items():
        variable = layout.LEDGER[name]
        codec = layout.codec_for(variable, preset)
        metadata = layout.array_metadata(variable, array.shape[1:], codec, edges)
        set_keys(store, {f"{name}/zarr.json": metadata})
        parts = np.split(array, np.cumsum(edges)[:-1]) if array.size else ()
        made = [encode(name, part, variable, codec) for part in parts]
        checksums[name] = [checksum for checksum, _ in made]
        set_keys(store, {layout.chunk_key(name, chunk, 2): data for chunk, (_, data) in enumerate(made)})
    return checksums


def fill_counts(
    store: icechunk.IcechunkStore, schema: Schema, ledger: Ledger, earlier: PassReader, preset: Preset
) -> None:
    """Write that the partitions of a revision before have no rows of the tables that came later.

    Parameters
    ----------
    schema : Schema
        Tables of the revision that is written.
    ledger : Ledger
        Gets the checksums.
    earlier : PassReader
        The revision before.
    """
    keys: dict[str, bytes] = {}
    for table in layout.chunked_tables(earlier.schema):
        rows = earlier.rows[table.name]
        for name in schema[table.name].variables.keys() - table.variables.keys():
            array, variable = f"{table.name}/{name}", schema[table.name].variables[name]
            codec = layout.codec_for(variable, preset)
            made = {
                n: encode(array, np.zeros(n, variable.dtype), variable, codec)
                for n in np.unique(rows[rows > 0]).tolist()
            }
            for number in np.flatnonzero(rows).tolist():
                checksum, keys[layout.chunk_key(array, number, 1)] = made[int(rows[number])]
                ledger.checksums[number, ledger.columns.index(array)] = checksum
    set_keys(store, keys)
