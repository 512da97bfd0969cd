"""A pass with every kind of column, made from numbers of rows and a seed, for the tests of the store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from etendue.dataflow.partition import Receipt
from etendue.schema import Columns, Schema, Table, variables
from etendue.store import PassWriter
from etendue.store.reader import PassReader

SCHEMA = Schema(
    {
        table.name: table
        for table in [
            Table(
                "events",
                "event",
                variables(
                    "event",
                    run=("uint32", "", "row of /array"),
                    event_id=("int64", "", "number"),
                    time=("int64", "ns", "since 1970"),
                    n_cam=("int32", "", "rows of /cam"),
                    comment=("str", "", "what the shift wrote"),
                ),
                description="one row an event",
            ),
            Table(
                "cam",
                "readout",
                variables(
                    "readout",
                    r0_waveform=(("gain", "sample", "pixel"), "uint16", "adu", "raw samples", True),
                    image=(("pixel",), "float32", "pe", "charge"),
                    image_mask=(("pixel",), "bool", "", "kept pixels"),
                    valid=("bool", "", "whether the fit converged"),
                    empty=(("nothing",), "float64", "", "a column of no values a row"),
                ),
                sizes={"gain": 2, "sample": 5, "pixel": 7, "nothing": 0},
                kind="camera",
                parent="events",
            ),
            Table(
                "other",
                "thing",
                variables("thing", x=("float64", "m", "x"), s=("str", "", "s")),
                parent="events",
            ),
            Table(
                "calibration/cam",
                "calibration",
                variables(
                    "calibration",
                    run=("uint32", "", "run"),
                    pedestal=(("pixel",), "float32", "adu", "baseline"),
                ),
                sizes={"pixel": 7},
                kind="calibration",
                role="conditions",
            ),
            Table(
                "array",
                "telescope",
                variables(
                    "telescope",
                    run=("uint32", "", "run"),
                    type=("str", "", "size class"),
                    pos_x=("float64", "m", "to north"),
                ),
                role="static",
            ),
            Table("nowhere", "telescope", variables("telescope", n=("int8", "", "n")), role="static"),
        ]
    }
)  # fmt: skip

STATIC = {
    "array": {
        "run": np.array([0, 0, 1], np.uint32),
        "type": np.array(["LST", "", "MST µ"]),
        "pos_x": np.array([1.5, np.nan, -3.0]),
    },
    "nowhere": {"n": np.empty(0, np.int8)},
}
CHUNKED = ("events", "cam", "other", "calibration/cam")
#: Rows of each chunked table in one partition; of `other` there are mostly none at all.
ROWS = st.tuples(
    st.integers(0, 5), st.integers(0, 6), st.sampled_from([0, 0, 0, 2]), st.sampled_from([0, 0, 1, 3])
)
TEXT = ["", "a", "µs", "Crab nebula, clouds until 2 h", "望遠鏡"]


def make_partitions(rows: Sequence[tuple[int, ...]], seed: int = 0) -> list[dict[str, Columns]]:
    """The columns of partitions with the given rows; `calibration` is left out where it has none."""
    rng = np.random.default_rng(seed)
    partitions = []
    for counts in rows:
        tables = {
            name: {v.name: _column(rng, SCHEMA[name], v, n) for v in SCHEMA[name].variables.values()}
            for name, n in zip(CHUNKED, counts, strict=True)
        }
        if counts[-1] == 0:
            del tables["calibration/cam"]
        partitions.append(tables)
    return partitions


def _column(rng, table, variable, n):
    shape = (n, *(table.sizes[dim] for dim in variable.dims[1:]))
    if variable.dtype == "str":
        return rng.choice(TEXT, shape)
    if variable.dtype == "bool":
        return rng.random(shape) < 0.3
    if variable.dtype.startswith("float"):
        values = rng.normal(size=shape)
        values[rng.random(shape) < 0.1] = np.nan
        return values.astype(variable.dtype)
    return rng.integers(0, 4096, shape).astype(variable.dtype)


def rows_of(partitions: list[dict[str, Columns]]) -> dict[str, np.ndarray]:
    def count(partition, name):
        return len(next(iter(partition[name].values()))) if name in partition else 0

    return {name: np.array([count(p, name) for p in partitions], np.int64) for name in CHUNKED}


def receipt(number: int, partition: dict[str, Columns], checksums: dict[str, int]) -> Receipt:
    """What a task would say of a partition that it has written."""
    rows = {name: len(next(iter(columns.values()))) for name, columns in partition.items()}
    return Receipt(number, rows, rows, checksums, {}, blocks=(number, number + 1))


def write_partition(writer: PassWriter, number: int, partition: dict[str, Columns]) -> None:
    """Write a partition in a fork of its own."""
    chunks = writer.fork()
    writer.take([receipt(number, partition, chunks.write(number, partition))], chunks.session)


def write_pass(path, tag, partitions, *, commit_every=2, preset="default", **attributes) -> str:
    """Write a pass from its partitions, one fork each, last partition first."""
    writer = PassWriter.create(str(path), tag, SCHEMA, STATIC, len(partitions), attributes, preset=preset)
    for number in reversed(range(len(partitions))):
        write_partition(writer, number, partitions[number])
        if number % commit_every == 0:
            writer.commit()
    return writer.publish({"finished": True})


def contents(path: str) -> dict[str, bytes]:
    """All keys of the newest pass with their bytes, but those of the root group."""
    store = PassReader.open(path).store

    async def read() -> dict[str, bytes]:
        prototype = default_buffer_prototype()
        keys = [key async for key in store.list() if key != "zarr.json"]
        return {key: (await store.get(key, prototype)).to_bytes() for key in keys}

    return sync(read())


def joined(partitions: list[dict[str, Columns]], table: str, column: str) -> np.ndarray:
    """A column of all partitions."""
    nothing = make_partitions([(0, 0, 0, 0)])[0].get(table, {}).get(column)
    parts = [p[table][column] for p in partitions if table in p]
    if nothing is None and not parts:
        variable = SCHEMA[table].variables[column]
        return np.empty((0, *(SCHEMA[table].sizes[d] for d in variable.dims[1:])), variable.dtype)
    return np.concatenate(parts) if parts else nothing
