"""A run of two cameras, made at random, cut and shuffled at will."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from etendue.dataflow.partition import Partition
from etendue.kernel import offsets
from etendue.schema import Schema, Table, variables

EVENTS = Table(
    "events",
    "event",
    variables(
        "event",
        x=("float64", "m", ""),
        y=("float32", "m", ""),
        k=("int32", "", ""),
        valid=("bool", "", ""),
        weight=("float64", "", ""),
        n_lstcam=("int32", "", ""),
        n_nectarcam=("int32", "", ""),
    ),
)


def camera(label: str, n_pixels: int, **more: tuple) -> Table:
    declared = variables(
        "readout",
        length=("float64", "deg", ""),
        selected_by_hand=("bool", "", ""),
        image=(("pixel",), "float32", "pe", ""),
        image_mask=(("pixel",), "bool", "", ""),
        **more,
    )
    return Table(label, "readout", declared, {"pixel": n_pixels}, kind="camera", parent="events")


ISLANDS = Table("islands", "island", variables("island", size=("int16", "pe", "")), parent="lstcam")
ARRAY = Table("array", "telescope", variables("telescope", pos_x=("float64", "m", "")), role="static")
SCHEMA = Schema(
    {
        "events": EVENTS,
        "lstcam": camera("lstcam", 7, n_islands=("int32", "", "")),
        "nectarcam": camera("nectarcam", 5),
        "islands": ISLANDS,
        "array": ARRAY,
    }
)


def random_partition(seed: int, n_events: int) -> Partition:
    rng = np.random.default_rng(seed)
    tables = {
        "events": {
            "x": rng.normal(0, 2, n_events),
            "y": rng.normal(0, 2, n_events).astype(np.float32),
            "k": rng.integers(-3, 12, n_events, dtype=np.int32),
            "valid": rng.random(n_events) < 0.7,
            "weight": rng.normal(1, 3, n_events) * 10.0 ** rng.integers(-9, 9, n_events),
            "n_lstcam": rng.integers(0, 4, n_events, dtype=np.int32),
            "n_nectarcam": rng.integers(0, 3, n_events, dtype=np.int32),
        }
    }
    for label in ("lstcam", "nectarcam"):
        n = int(tables["events"][f"n_{label}"].sum())
        n_pixels = SCHEMA[label].sizes["pixel"]
        tables[label] = {
            "length": rng.lognormal(0, 1, n),
            "selected_by_hand": rng.random(n) < 0.5,
            "image": rng.exponential(5, (n, n_pixels)).astype(np.float32),
            "image_mask": rng.random((n, n_pixels)) < 0.4,
        }
    n = len(tables["lstcam"]["length"])
    tables["lstcam"]["n_islands"] = rng.integers(0, 3, n, dtype=np.int32)
    tables["islands"] = {"size": rng.integers(0, 90, tables["lstcam"]["n_islands"].sum()).astype(np.int16)}
    return Partition(0, SCHEMA, tables)


def take(partition: Partition, rows: np.ndarray, table: str = "events") -> Partition:
    """The named rows of a table in that order, with all rows that they own."""
    tables = dict(partition.tables)
    tables[table] = {name: column[rows] for name, column in tables[table].items()}
    taken = replace(partition, tables=tables)
    for child in partition.schema.children(table):
        start = offsets(partition.counts(child.name))
        own = [np.arange(start[row], start[row + 1]) for row in rows]
        taken = take(taken, np.concatenate([np.zeros(0, dtype=np.int64), *own]), child.name)
    return taken


@pytest.fixture(scope="session")
def partition_of() -> Callable[[int, int], Partition]:
    """Makes a partition from a seed and a number of events."""
    return random_partition


@pytest.fixture(scope="session")
def pieces_of() -> Callable[[Partition, np.random.Generator, int], list[Partition]]:
    """Shuffles the events of a partition and cuts it into pieces, some of them perhaps empty."""

    def pieces(partition: Partition, rng: np.random.Generator, n_pieces: int) -> list[Partition]:
        order = rng.permutation(partition.rows("events"))
        cuts = np.sort(rng.integers(0, len(order) + 1, n_pieces - 1))
        return [take(partition, rows) for rows in np.split(order, cuts)]

    return pieces


@pytest.fixture(scope="session")
def one_table() -> Callable[..., Partition]:
    """Makes a partition of one table, ``events``, from columns."""

    def make(**columns: np.ndarray) -> Partition:
        declared = variables("event", **{n: (c.dtype.name, "", "") for n, c in columns.items()})
        return Partition(0, Schema({"events": Table("events", "event", declared)}), {"events": columns})

    return make
