"""How a pass lies in Zarr: the metadata of groups and arrays, and the schema as JSON.

Along its row dimension an array of a ``rows`` or ``conditions`` table has one chunk for each partition
that has rows. How many rows is known only when all are written. Until then the array says one row a
partition (the *provisional* grid: chunk ``k`` stands under its final key, or left of it); then its true
grid is written over that.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from etendue.dataflow.doors import attributes as cf_attributes
from etendue.schema import Schema, Table, Variable
from etendue.store.codecs import Codec, codec_for

#: Version of everything that this module lays down.
FORMAT = 2
#: Attribute of the root group that holds the schema and what else a reader of the store needs.
ROOT = "etendue"
#: Array of the rows of each table in each partition: int64[partition, table].
PARTITIONS = "partitions"
#: Array of where each partition came from: int64[partition, 3].
ORIGIN = "origin"
#: Array of the CRC-32 of each chunk's bytes before compression: uint32[partition, column].
CHECKSUMS = "checksums"
#: The arrays at the root that have a row for each partition.
LEDGER = {
    variable.name: variable
    for variable in (
        Variable(PARTITIONS, ("partition", "table"), "int64", "", "rows of each partition"),
        Variable(ORIGIN, ("partition", "place"), "int64", "", "input, first block, block past the last"),
        Variable(CHECKSUMS, ("partition", "column"), "uint32", "", "CRC-32 of chunks before compression"),
    )
}
#: Rows of a chunk of these arrays.
LEDGER_ROWS = 1 << 16


def inner_shape(variable: Variable, table: Table) -> tuple[int, ...]:
    """Shape of one row of a column."""
    return tuple(table.sizes[dim] for dim in variable.dims[1:])


def chunk_key(array: str, number: int, n_dims: int) -> str:
    """Key of a chunk that is cut along the rows only."""
    return "/".join([array, "c", str(number), *["0"] * (n_dims - 1)])


def chunked_tables(schema: Schema) -> list[Table]:
    """The tables that have a chunk a partition, in order."""
    return [table for table in schema.values() if table.role != "static"]


def codecs_of(schema: Schema, preset: str) -> dict[str, Codec]:
    """Codec of each column, by ``table/column``."""
    return {
        f"{table.name}/{variable.name}": codec_for(variable, preset)
        for table in schema.values()
        for variable in table.variables.values()
    }


def group_keys(schema: Schema, root_attributes: Mapping[str, Any]) -> dict[str, bytes]:
    """Metadata of the root group, of a group for each table, and of the groups between."""
    groups: dict[str, dict[str, Any]] = {"": dict(root_attributes)}
    for table in schema.values():
        parts = table.name.split("/")
        for n in range(1, len(parts)):
            groups.setdefault("/".join(parts[:n]), {})
        groups[table.name] = {"description": table.description} | table.about
    return {
        f"{name}/zarr.json".lstrip("/"): _json({"zarr_format": 3, "node_type": "group", "attributes": attrs})
        for name, attrs in groups.items()
    }


def array_metadata(
    variable: Variable, inner: tuple[int, ...], codec: Codec, edges: np.ndarray, *, provisional: bool = False
) -> bytes:
    """Metadata of an array.

    Parameters
    ----------
    variable : Variable
        The column.
    inner : tuple of int
        Shape of one row.
    codec : Codec
        How its chunks are coded.
    edges : int array
        Rows of each chunk, none of them zero: shape (n_chunks,).
    provisional : bool
        Whether to say one row a chunk instead, on a regular grid.
    """
    shown = np.ones_like(edges) if provisional else edges
    return _json(
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [int(shown.sum()), *inner],
            "data_type": codec.data_type,
            "chunk_grid": _grid(shown, inner),
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": "" if variable.dtype == "str" else np.zeros((), variable.dtype).item(),
            "codecs": codec.metadata,
            "attributes": cf_attributes(variable),
            "dimension_names": list(variable.dims),
        }
    )


def _grid(edges: np.ndarray, inner: tuple[int, ...]) -> dict[str, Any]:
    """The chunk grid: regular if it can be, so that older readers know it."""
    within = [max(size, 1) for size in inner]
    if len(edges) == 0 or 0 in inner or (edges == edges[0]).all():
        first = int(edges[0]) if len(edges) else 1
        return {"name": "regular", "configuration": {"chunk_shape": [first, *within]}}
    shapes = [_run_lengths(edges), *([size] for size in within)]
    return {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": shapes}}


def _run_lengths(edges: np.ndarray) -> list[int | list[int]]:
    """Chunk lengths as Zarr writes them: repeated ones as ``[length, times]``."""
    starts = np.flatnonzero(np.diff(edges, prepend=-1))
    times = np.diff(starts, append=len(edges))
    return [
        length if n == 1 else [length, n]
        for length, n in zip(edges[starts].tolist(), times.tolist(), strict=True)
    ]


def schema_to_json(schema: Schema) -> list[dict[str, Any]]:
    """A schema as plain values; lists, since JSON objects do not keep their order everywhere."""
    tables = []
    for table in schema.values():
        columns = [asdict(variable) for variable in table.variables.values()]
        tables.append({**asdict(table), "variables": columns, "sizes": list(table.sizes.items())})
    return tables


def schema_from_json(tables: Iterable[Mapping[str, Any]]) -> Schema:
    """The schema that `schema_to_json` wrote."""
    made = {}
    for table in tables:
        columns = [Variable(**{**column, "dims": tuple(column["dims"])}) for column in table["variables"]]
        facts = {**table, "variables": {v.name: v for v in columns}, "sizes": dict(table["sizes"])}
        facts["key"] = tuple(table.get("key", ()))
        made[table["name"]] = Table(**facts)
    return Schema(made)


def checksum_columns(schema: Schema) -> list[str]:
    """The columns of the array of checksums, as ``table/column``."""
    return [array for table in chunked_tables(schema) for array, _, _ in columns_of(table)]


def ledger_edges(n_partitions: int) -> np.ndarray:
    """Rows of each chunk of the arrays with a row for each partition."""
    starts = np.arange(0, n_partitions, LEDGER_ROWS)
    return np.minimum(n_partitions - starts, LEDGER_ROWS)


def columns_of(table: Table) -> Iterator[tuple[str, Variable, tuple[int, ...]]]:
    """Of each column of a table: its array's path, its declaration, the shape of its rows."""
    for variable in table.variables.values():
        yield f"{table.name}/{variable.name}", variable, inner_shape(variable, table)


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document).encode()
