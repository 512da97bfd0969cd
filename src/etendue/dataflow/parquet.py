"""Tables as Parquet files, one a table in a folder, one row group a partition.

Columns of more dimensions are lists of fixed sizes; those of size zero, which hold nothing and which Arrow
does not know, are left out. Units and descriptions stand in the metadata of the
fields. Rows say whose they are as in the HDF5 tables: ``<dim>`` of the top table (``event``), its
identifying columns, and ``vector_index``, the place among the rows of their owner. The rows of an owner
begin at ``first_<table>`` in the table that they are in, and are ``n_<table>``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from etendue.dataflow.doors import attributes as cf_attributes
from etendue.dataflow.draft import draft, refuse_outside
from etendue.dataflow.owned import OwnedRows, Ownership, length, owners_of, repeated
from etendue.schema import Columns, Schema, Table, Variable

if TYPE_CHECKING:
    import pyarrow

#: Key of the file's metadata that holds the attributes of the run, as JSON.
ATTRIBUTES = "etendue"


def write_parquet(
    path: str | Path,
    schema: Schema,
    partitions: Iterable[Mapping[str, Columns]],
    static: Mapping[str, Columns] | None = None,
    attributes: Mapping[str, Any] | None = None,
    *,
    identity: Sequence[str] | None = None,
) -> dict[str, int]:
    """Write tables to a folder of Parquet files, partition by partition.

    The folder appears under its name when it is whole.

    Parameters
    ----------
    path : path
        Folder to make; table ``calibration/lstcam`` becomes ``calibration/lstcam.parquet`` in it.
    schema, partitions, static
        See `etendue.dataflow.plain_zarr.write_zarr`.
    attributes : mapping, optional
        Plain values for JSON; kept in the metadata of the top table's file.
    identity : sequence of str, optional
        See `etendue.dataflow.hdf5.write_hdf5`.

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
    ImportError
        If pyarrow is not installed; says how to install it.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise ImportError("pyarrow is needed for this: pip install 'etendue[parquet]'") from None
    ownership = Ownership(schema, identity)
    refuse_outside(schema)
    with draft(path) as part, ExitStack() as stack:
        files = _Files(part, schema, ownership.identity, attributes or {}, stack)
        for tables in partitions:
            for rows in ownership.append(tables):
                files.append(rows)
        for name, columns in (static or {}).items():
            files.append(OwnedRows(schema[name], columns, {}, {}, {}))
    return files.rows


class _Files:
    """One open file a table."""

    def __init__(
        self,
        folder: Path,
        schema: Schema,
        identity: Sequence[str],
        attributes: Mapping[str, Any],
        stack: ExitStack,
    ) -> None:
        import pyarrow.parquet as pq

        self.rows = dict.fromkeys(schema, 0)
        top, self.writers = schema.top, {}
        for table in schema.values():
            fields = _fields(schema, table, identity)
            if table.name == top.name:
                fields = fields.with_metadata({**fields.metadata, ATTRIBUTES: json.dumps(dict(attributes))})
            file = folder / f"{table.name}.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            texts = [v.name for v in table.variables.values() if v.dtype == "str"]
            packed = {"compression": "zstd", "compression_level": 1, "use_dictionary": texts or False}
            self.writers[table.name] = stack.enter_context(pq.ParquetWriter(file, fields, **packed))

    def append(self, rows: OwnedRows) -> None:
        """Append the rows of one partition as a row group."""
        import pyarrow as pa

        name, n_rows = rows.table.name, length(rows.columns)
        if n_rows == 0:
            return
        first = {f"first_{child}": bounds[:-1] for child, bounds in rows.bounds.items()}
        columns = {**rows.identity, **rows.columns, **first}
        writer = self.writers[name]
        arrays = [_array(columns[field.name], field.type) for field in writer.schema]
        writer.write_table(pa.Table.from_arrays(arrays, schema=writer.schema), row_group_size=n_rows)
        self.rows[name] += n_rows


def _fields(schema: Schema, table: Table, identity: Sequence[str]) -> pyarrow.Schema:
    """The columns of a table's file."""
    import pyarrow as pa

    top = schema.top
    fields: dict[str, pa.Field] = {}
    if table.name == top.name or owners_of(schema, table):
        about = {"long_name": f"row of /{top.name}"}
        fields[top.dim] = pa.field(top.dim, pa.int64(), metadata=about)
        if table.name != top.name:
            about = {"long_name": "place among the rows of the owner"}
            fields |= {name: _field(top, v) for name, v in repeated(schema, table, identity).items()}
            fields["vector_index"] = pa.field("vector_index", pa.int64(), metadata=about)
    fields |= {
        variable.name: _field(table, variable)
        for variable in table.variables.values()
        if all(table.sizes[dim] for dim in variable.dims[1:])
    }
    for child in schema.children(table.name):
        if f"n_{child.name}" in table.variables:
            about = {"long_name": f"row of /{child.name} at which those of the row begin"}
            fields[f"first_{child.name}"] = pa.field(f"first_{child.name}", pa.int64(), metadata=about)
    return pa.schema(list(fields.values()), metadata={"description": table.description})


def _field(table: Table, variable: Variable) -> pyarrow.Field:
    import pyarrow as pa

    kind = pa.string() if variable.dtype == "str" else pa.from_numpy_dtype(np.dtype(variable.dtype))
    for dim in reversed(variable.dims[1:]):
        kind = pa.list_(kind, table.sizes[dim])
    dims = {"dimensions": " ".join(variable.dims)}
    return pa.field(variable.name, kind, metadata={**cf_attributes(variable), **dims})


def _array(column: np.ndarray, kind: pyarrow.DataType) -> pyarrow.Array:
    """A column as Arrow; text as text, inner dimensions as lists."""
    import pyarrow as pa

    sizes = column.shape[1:]
    flat = column.reshape(-1)
    if flat.dtype.kind in "UTO":
        array = pa.array([str(text) for text in flat], pa.string())
    else:
        array = pa.array(flat)
    for size in reversed(sizes):
        array = pa.FixedSizeListArray.from_arrays(array, size)
    return array.cast(kind)
