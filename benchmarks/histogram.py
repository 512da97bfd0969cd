"""Filling speed beside hist's (boost-histogram's), on one core, in the same run.

python benchmarks/histogram.py [values]
"""

from __future__ import annotations

import sys

import numpy as np
from common import best, table

from etendue.dataflow.partition import Partition
from etendue.histogram import Accumulator, Request, axis
from etendue.schema import Schema, Table, variables


def make_partition(n: int) -> Partition:
    """Events with columns of several dtypes."""
    rng = np.random.default_rng(0)
    normal = rng.normal(0, 1, n)
    columns = {
        "x": normal,
        "y": rng.permutation(normal),
        "x_32": normal.astype(np.float32),
        "y_32": rng.permutation(normal).astype(np.float32),
        "i": rng.integers(-5, 105, n).astype(np.int32),
        "j": rng.integers(-5, 105, n),
        "energy": rng.lognormal(3, 2, n),
        "weight": rng.exponential(1, n),
    }
    declared = variables("event", **{name: (c.dtype.name, "", "") for name, c in columns.items()})
    return Partition(0, Schema({"events": Table("events", "event", declared)}), {"events": columns})


def regular(name: str, bins: int) -> axis.Regular:
    low, high = (0, 100) if name in "ij" else (-3, 3)
    return axis.Regular(f"events/{name}", bins, low, high)


def requests() -> dict[str, Request]:
    """What is filled, by a description."""
    edges = np.sort(np.random.default_rng(1).normal(0, 2, 101))
    asked = {}
    for name, dtype in {"x": "float64", "x_32": "float32", "i": "int32", "j": "int64"}.items():
        asked[f"100 regular, {dtype}"] = Request(regular(name, 100))
    for names, dtype in {("x", "y"): "float64", ("x_32", "y_32"): "float32", ("i", "j"): "int"}.items():
        for bins in (100, 1000):
            axes = [regular(name, bins) for name in names]
            asked[f"{bins} x {bins} regular, {dtype}"] = Request(axes)
    return asked | {
        "100 integer, int32": Request(axis.Integer("events/i", 0, 100)),
        "100 logarithmic, float64": Request(axis.Log("events/energy", 100, 1, 1e5)),
        "100 variable, float64": Request(axis.Variable("events/x", edges)),
        "100 regular, weighted": Request(regular("x", 100), weight="events/weight"),
        "300 x 300 regular, weighted": Request([regular(n, 300) for n in "xy"], weight="events/weight"),
    }


def compare(label: str, request: Request, partition: Partition) -> list[str]:
    """Nanoseconds a value of both, after a check that both hold the same."""
    accumulator = Accumulator([request])
    (peer,) = accumulator.results()
    values = [partition[a.column] for a in request.axes]
    weight = {} if request.weight is None else {"weight": partition[request.weight]}
    accumulator.fill(partition)
    peer.fill(*values, **weight)
    (filled,) = accumulator.results()
    np.testing.assert_allclose(filled.values(flow=True), peer.values(flow=True), rtol=1e-9 if weight else 0)
    ours = best(lambda: accumulator.fill(partition)) / len(values[0]) * 1e9
    theirs = best(lambda: peer.fill(*values, **weight)) / len(values[0]) * 1e9
    return [label, f"{ours:.2f}", f"{theirs:.2f}", f"{theirs / ours:.1f}"]


def main() -> None:
    n = int(float(sys.argv[1])) if len(sys.argv) > 1 else 10_000_000
    partition = make_partition(n)
    rows = [compare(label, request, partition) for label, request in requests().items()]
    table(["bins", "etendue [ns a value]", "hist [ns a value]", "times faster"], rows)


if __name__ == "__main__":
    main()
