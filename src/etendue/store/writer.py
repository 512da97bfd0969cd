"""Writing chunks, on workers: the columns of one partition become one chunk each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import icechunk
import numpy as np
from isal.isal_zlib import crc32

from etendue.schema import Columns, Schema, SchemaError, Variable
from etendue.store.codecs import Codec
from etendue.store.layout import chunk_key, chunked_tables, codecs_of, columns_of
from etendue.store.repository import set_keys


@dataclass(frozen=True)
class ChunkWriter:
    """Writes partitions into a fork of the pass's session.

    It can be pickled; once used, its session must come back to `PassWriter.take`. One thread uses it at a
    time.

    Parameters
    ----------
    session : icechunk.ForkSession
        Where the chunks are set.
    schema : Schema
        The tables and columns that are written.
    preset : str
        Preset of the codecs.
    """

    session: icechunk.ForkSession
    schema: Schema
    preset: str

    def fork(self) -> ChunkWriter:
        """Another writer for the same pass; of one that was not used yet."""
        return replace(self, session=self.session.fork())

    def write(self, number: int, tables: Mapping[str, Columns]) -> dict[str, int]:
        """Encode and set the chunks of one partition.

        Parameters
        ----------
        number : int
            The partition's number.
        tables : mapping of str to dict of str to array
            Columns by table; those that the pass does not hold are passed over, and a table that is
            not there has no rows.

        Returns
        -------
        dict of str to int
            CRC-32 of each chunk's bytes before compression, by ``table/column``. A table without rows
            has no chunks.

        Raises
        ------
        SchemaError
            If a column is missing, or is not what its declaration says.
        """
        codecs = codecs_of(self.schema, self.preset)
        checksums: dict[str, int] = {}
        chunks: dict[str, bytes] = {}
        for table in chunked_tables(self.schema):
            columns = tables.get(table.name)
            if not columns:
                continue
            columns = {name: columns[name] for name in table.variables if name in columns}
            if table.validate(columns, complete=True) == 0:
                continue
            for array, variable, inner in columns_of(table):
                if 0 not in inner:
                    checksums[array], data = encode(array, columns[variable.name], variable, codecs[array])
                    chunks[chunk_key(array, number, len(variable.dims))] = data
        set_keys(self.session.store, chunks)
        return checksums


def encode(array: str, column: np.ndarray, variable: Variable, codec: Codec) -> tuple[int, bytes]:
    """CRC-32 of a column's bytes, and the bytes of its chunk.

    Raises
    ------
    SchemaError
        If a text column holds something else, or a column is too large for one chunk.
    """
    if variable.dtype == "str" and column.dtype.kind not in "UTO":
        raise SchemaError(f"column {array} has dtype {column.dtype}; declared is text")
    packed = codec.pack(column)
    try:
        return crc32(packed), codec.compress(packed)
    except ValueError as error:
        size = memoryview(packed).nbytes
        raise SchemaError(
            f"column {array} of one partition has {size:,} bytes, more than a chunk can hold ({error}); "
            "make the partitions smaller"
        ) from error
