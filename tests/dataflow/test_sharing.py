"""What scans have in common is kept once, and nothing that differs is taken for the same."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import etendue as et
from etendue.dataflow.sharing import Sharing
from etendue.dataflow.source import Scan
from etendue.schema import Schema, Table


def scan(**columns):
    schema = Schema({"a": Table(name="a", dim="row", description="rows", variables={})})
    return Scan("x", "test", schema, static={"a": columns}, rows={}, labels={"b": "c"})


def some_inputs(n):
    return [f"simulated://gamma?n_showers=1&seed={seed}" for seed in range(n)]


def test_scans_of_a_kind_share_all_but_what_differs():
    one, two, three = et.open(some_inputs(3)).plan().inputs.scans
    for other in (two, three):
        assert other.schema is one.schema
        assert other.static["camera/simcam"] is one.static["camera/simcam"]
        assert other.static["observation"]["latitude"] is one.static["observation"]["latitude"]
        assert other.static["observation"]["obs_id"] != one.static["observation"]["obs_id"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (np.array([0.0, np.nan]), np.array([0.0, np.nan]), True),
        (np.array([0.0]), np.array([-0.0]), False),
        (np.array([1, 2]), np.array([1, 3]), False),
        (np.array([1, 2]), np.array([1.0, 2.0]), False),
        (np.array([1, 2]), np.array([[1, 2]]), False),
        (np.array(["a", "b"], np.dtypes.StringDType()), np.array(["a", "b"], np.dtypes.StringDType()), True),
        (np.array(["a", "b"], np.dtypes.StringDType()), np.array(["a", "c"], np.dtypes.StringDType()), False),
    ],
)
def test_same_to_the_bit(one, other, same):
    share = Sharing()
    first, second = share(scan(x=one)), share(scan(x=other))
    assert (second.static["a"]["x"] is one) is same
    assert (second.static["a"] is first.static["a"]) is same
    assert second.schema is first.schema
    np.testing.assert_array_equal(second.static["a"]["x"], other)


def test_columns_that_come_and_go():
    share = Sharing()
    x, y = np.arange(3), np.arange(4)
    share(scan(x=x))
    both = share(scan(x=x.copy(), y=y))
    assert both.static["a"].keys() == {"x", "y"}
    assert both.static["a"]["x"] is x
    assert share(scan(x=x.copy())).static["a"].keys() == {"x"}


@given(st.lists(arrays.arrays(np.float32, st.integers(0, 3), elements=st.floats(width=32)), max_size=6))
def test_every_scan_has_its_own_values(values):
    share = Sharing()
    found = [share(scan(x=each.copy())) for each in values]
    for each, one in zip(values, found, strict=True):
        assert one.static["a"]["x"].tobytes() == each.tobytes()


def test_memory_of_an_input():
    """Of 20,000 inputs, the driver keeps what tells them apart: a camera's tables alone are 60 kB each."""
    et.open(some_inputs(2)).plan()

    def kept(n):
        tracemalloc.start()
        plan = et.open(some_inputs(n)).plan()
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert len(plan.inputs.scans) == n
        return size

    assert kept(120) - kept(20) < 100 * 6_000
