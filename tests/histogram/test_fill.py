"""Bin numbers: beside boost-histogram's, value by value."""

import math

import boost_histogram as bh
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from etendue.dataflow.partition import Partition
from etendue.histogram import Request
from etendue.histogram.axis import Integer, Log, Regular, Variable
from etendue.histogram.fill import BLOCK, Filler, binning
from etendue.schema import Schema, Table, variables

SPECIAL = [0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, -5e-324, 2.0**-1022, 1.7e308, -1.7e308]
finite = st.floats(-1e300, 1e300)
values_of_any_kind = st.lists(st.floats(), max_size=30)


def numbers_of(axis, values) -> np.ndarray:
    numbers = np.zeros(len(values), dtype=np.int32)
    binning(axis)(np.array(values, dtype=np.float64) + 0.0, 1, numbers)
    return numbers


def and_their_neighbours(values) -> np.ndarray:
    values = np.array([*values, *SPECIAL])
    with np.errstate(over="ignore", under="ignore"):
        return np.concatenate([values, np.nextafter(values, np.inf), np.nextafter(values, -np.inf)])


def check(axis, peer, values) -> None:
    values = and_their_neighbours([*values, *peer.edges])
    np.testing.assert_array_equal(numbers_of(axis, values), np.asarray(peer.index(values)) + 1)


@settings(deadline=None)
@given(finite, finite, st.integers(1, 200), values_of_any_kind)
def test_regular_as_boost(start, stop, bins, values):
    assume(start < stop)
    check(Regular("events/x", bins, start, stop), bh.axis.Regular(bins, start, stop), values)


@settings(deadline=None)
@given(st.floats(-5, 5), st.floats(1e-3, 1e3), st.integers(1, 200), st.lists(st.floats(-10, 10)))
def test_regular_as_boost_inside_its_range(start, width, bins, values):
    check(
        Regular("events/x", bins, start, start + width), bh.axis.Regular(bins, start, start + width), values
    )


@settings(deadline=None)
@given(st.floats(1e-300, 1e290), st.floats(1.001, 1e9), st.integers(1, 200), values_of_any_kind)
def test_log_as_boost(start, factor, bins, values):
    axis = Log("events/x", bins, start, start * factor)
    peer = bh.axis.Regular(bins, start, start * factor, transform=bh.axis.transform.log)
    check(axis, peer, [*values, *(start * abs(v) for v in values), *axis.edges])


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False), min_size=2, max_size=60, unique=True), values_of_any_kind)
def test_variable_as_boost(edges, values):
    edges = sorted({edge + 0.0 for edge in edges})
    assume(len(edges) > 1)
    check(Variable("events/x", edges), bh.axis.Variable(edges), values)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_variable_as_boost_with_edges_far_closer_than_others(seed):
    rng = np.random.default_rng(seed)
    close = 1 + np.arange(rng.integers(2, 40)) * 2.0**-50
    edges = np.unique(np.concatenate([rng.normal(0, 100, 5), close, rng.normal(0, 1e-3, 5)]))
    check(Variable("events/x", edges), bh.axis.Variable(edges), rng.normal(0, 100, 200))


@settings(deadline=None)
@given(st.integers(-100, 100), st.integers(1, 300), st.lists(st.integers(-(2**30), 2**30)))
def test_integer_as_boost(start, size, values):
    values = np.array([*values, *range(start - 2, start + size + 2)], dtype=np.int64)
    numbers = numbers_of(Integer("events/k", start, start + size), values)
    np.testing.assert_array_equal(numbers, np.asarray(bh.axis.Integer(start, start + size).index(values)) + 1)


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint16", "int32", "int64", "uint64", "float32", "float64"]
)
def test_columns_of_all_dtypes_as_boost(dtype, one_table):
    rng = np.random.default_rng(1)
    column = (rng.integers(0, 2, 500) if dtype == "bool" else rng.normal(50, 30, 500).clip(0)).astype(dtype)
    if column.dtype.kind == "f":
        column[:2] = -0.0, np.nan
    column.flags.writeable = False
    partition = one_table(x=column)
    for axis in (Regular("events/x", 9, 1, 70), Variable("events/x", [0, 1, 5.5, 60])):
        request = Request(axis)
        ((numbers, _, _),) = Filler(request).blocks(partition, request.targets(partition.schema)[0])
        np.testing.assert_array_equal(numbers, np.asarray(axis.to_hist().index(column)) + 1)


@pytest.mark.parametrize("column", [np.array([2**63, 2**64 - 1, 3], "u8"), np.array([2**62, 2**40, 3], "i8")])
def test_integers_beyond_32_bits_overflow_where_boost_refuses_them(column, one_table):
    request = Request(Integer("events/k", 0, 5))
    partition = one_table(k=column)
    ((numbers, _, _),) = Filler(request).blocks(partition, request.targets(partition.schema)[0])
    np.testing.assert_array_equal(numbers, [6, 6, 4])


@pytest.mark.parametrize("n", [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 5])
def test_blocks_hold_each_value_once(n, one_table):
    x = np.random.default_rng(n).normal(0, 1, n)
    partition = one_table(x=x, y=x[::-1].copy())
    request = Request([Regular("events/x", 10, -2, 2), Regular("events/y", 5, -1, 1)])
    target = request.targets(partition.schema)[0]
    numbers = np.concatenate([block[0].copy() for block in Filler(request).blocks(partition, target)])
    ix, iy = (
        np.asarray(axis.to_hist().index(v)) + 1 for axis, v in zip(request.axes, (x, x[::-1]), strict=True)
    )
    np.testing.assert_array_equal(numbers, ix * 7 + iy)


def test_a_row_may_have_more_values_than_a_block():
    n_rows, n_pixels = 3, BLOCK + 7
    declared = variables("readout", image=(("pixel",), "float32", "", ""), size=("float64", "", ""))
    schema = Schema({"cam": Table("cam", "readout", declared, {"pixel": n_pixels})})
    image = np.random.default_rng(0).normal(0, 1, (n_rows, n_pixels)).astype(np.float32)
    partition = Partition(0, schema, {"cam": {"image": image, "size": np.arange(3.0)}})
    request = Request(Regular("cam/image", 10, -2, 2), weight="cam/size")
    blocks = Filler(request).blocks(partition, request.targets(schema)[0])
    for row, (numbers, weights, _) in zip(range(n_rows), blocks, strict=True):
        expected = np.asarray(request.axes[0].to_hist().index(image[row])) + 1
        np.testing.assert_array_equal(numbers, expected)
        np.testing.assert_array_equal(weights, np.full(n_pixels, float(row)))


def test_log_and_float32_edges(one_table):
    edges = Log("events/x", 8, 1.0, 256.0).edges.astype(np.float32)
    values = np.concatenate(
        [edges, np.nextafter(edges, np.float32(0)), np.nextafter(edges, np.float32(math.inf))]
    )
    peer = bh.axis.Regular(8, 1.0, 256.0, transform=bh.axis.transform.log)
    np.testing.assert_array_equal(
        numbers_of(Log("events/x", 8, 1.0, 256.0), values), np.asarray(peer.index(values)) + 1
    )
