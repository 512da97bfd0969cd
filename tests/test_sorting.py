"""Stable order, against NumPy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from etendue.sorting import RUN, rows_in_order, sorted_values, stable_order


@given(
    arrays.arrays(
        np.float64,
        st.integers(0, 5 * RUN),
        elements=st.one_of(st.floats(), st.sampled_from([0.0, -0.0, 1.0, np.nan, np.inf, -np.inf])),
    )
)
def test_order_of_floats_is_numpys(values):
    np.testing.assert_array_equal(stable_order(values), np.argsort(values, kind="stable"))
    np.testing.assert_array_equal(sorted_values(values), np.sort(values))


@pytest.mark.parametrize("n", [0, 1, RUN - 1, RUN, RUN + 1, 2 * RUN, 1000, 4097])
def test_order_of_whole_numbers_with_many_equal_ones(n):
    values = np.random.default_rng(n).integers(0, 9, n)
    np.testing.assert_array_equal(stable_order(values), np.argsort(values, kind="stable"))


@pytest.mark.parametrize("values", [np.arange(100.0), np.arange(100.0)[::-1].copy(), np.zeros(100)])
def test_what_is_in_order_already(values):
    np.testing.assert_array_equal(stable_order(values), np.argsort(values, kind="stable"))


@given(st.lists(st.integers(0, 19), max_size=4 * RUN))
def test_rows_of_equal_values_keep_their_order(some):
    rows = np.array(some, dtype=np.int64)
    for dtype in (np.float64, np.uint8):
        values = (np.arange(20) % 4).astype(dtype)
        expected = rows[np.argsort(values[rows], kind="stable")]
        np.testing.assert_array_equal(rows_in_order(rows, values), expected)
