"""Short vectors in kernels against NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.errors import TypingError

from etendue.kernel import kernel
from etendue.lanes import (
    BITS,
    convert,
    count,
    fill,
    largest,
    load,
    prefetch,
    store,
    transpose,
    where,
    within,
)

NUMBERS = st.lists(st.integers(-(2**15), 2**15 - 1), min_size=16, max_size=16)


@kernel
def arithmetic(x, y, out):
    """Each row of the output is one operation on the whole of x and y."""
    lanes = BITS // (8 * x.itemsize)
    for start in range(0, x.size, lanes):
        a, b = load(x, start, x.dtype), load(y, start, x.dtype)
        summed = a
        summed += b
        store(summed, out[0], start)
        store(a - b, out[1], start)
        store(a * b, out[2], start)
        store(where(a > b, a, b), out[3], start)
        store(where((a < b) | (a >= b), a, b), out[4], start)
        store(where((a < b) & (a >= b), a, b), out[5], start)
        store(where(within(a, fill(9, x.dtype)), a, fill(-1, x.dtype)), out[6], start)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32])
@given(x=NUMBERS, y=NUMBERS)
@settings(deadline=None)
def test_operators_are_those_of_numpy(dtype, x, y):
    x, y = np.array(x).astype(dtype), np.array(y).astype(dtype)
    out = np.empty((7, 16), dtype=dtype)
    arithmetic(x, y, out)
    within_9 = np.where((x >= 0) & (x < 9), x, -1).astype(dtype)
    np.testing.assert_array_equal(out, [x + y, x - y, x * y, np.maximum(x, y), x, y, within_9])


@kernel
def bits(x, y, out):
    store(load(x, 0, np.int32) & load(y, 0, np.int32), out[0], 0)
    store(load(x, 0, np.int32) | load(y, 0, np.int32), out[1], 0)


def test_bits():
    x, y = np.random.default_rng(0).integers(-(2**31), 2**31, (2, 8)).astype(np.int32)
    out = np.empty((2, 8), dtype=np.int32)
    bits(x, y, out)
    np.testing.assert_array_equal(out, [x & y, x | y])


@kernel
def copied(x, like, out):
    store(load(x, 0, like.dtype), out, 0)


@pytest.mark.parametrize("source", [np.uint8, np.uint16, np.int16, np.int32, np.float32])
@pytest.mark.parametrize("lanes", [np.uint16, np.int16, np.int32, np.float32])
def test_numbers_are_converted_as_numpy_does(source, lanes):
    x = np.array([0, 1, 2, 100, 127, 200, 250, 255, 7, 8, 9, 10, 11, 12, 13, 255]).astype(source)
    n = 32 // np.dtype(lanes).itemsize
    out = np.zeros(16, dtype=np.float32)
    copied(x, np.empty(0, dtype=lanes), out)
    np.testing.assert_array_equal(out[:n], x[:n].astype(lanes).astype(np.float32))
    assert not out[n:].any()


def test_signs_survive_and_bits_that_do_not_fit_are_lost():
    out = np.empty(16, dtype=np.int16)
    copied(np.full(16, 65535, dtype=np.uint16), np.empty(0, dtype=np.int16), out)
    assert (out == -1).all()
    copied(np.full(16, 2**16 + 3, dtype=np.int32), np.empty(0, dtype=np.int16), out)
    assert (out == 3).all()
    wide = np.empty(8, dtype=np.int32)
    copied(np.full(8, -5, dtype=np.int16), np.empty(0, dtype=np.int32), wide)
    assert (wide == -5).all()


@kernel
def turned(x, out):
    rows = (
        load(x[0], 0, np.int32),
        load(x[1], 0, np.int32),
        load(x[2], 0, np.int32),
        load(x[3], 0, np.int32),
        load(x[4], 0, np.int32),
        load(x[5], 0, np.int32),
        load(x[6], 0, np.int32),
        load(x[7], 0, np.int32),
    )
    a, b, c, d, e, f, g, h = transpose(rows)
    store(a, out[0], 0)
    store(b, out[1], 0)
    store(c, out[2], 0)
    store(d, out[3], 0)
    store(e, out[4], 0)
    store(f, out[5], 0)
    store(g, out[6], 0)
    store(h, out[7], 0)


def test_transpose():
    x = np.arange(64, dtype=np.int32).reshape(8, 8)
    out = np.empty_like(x)
    turned(x, out)
    np.testing.assert_array_equal(out, x.T)


@kernel
def summary(x, threshold, whole):
    prefetch(x, 0)
    lanes = load(x, 0, np.float32)
    store(convert(lanes, np.int32), whole, 0)
    return largest(load(whole, 0, np.int32)), count(lanes > fill(threshold, np.float32))


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=8, max_size=8), st.floats(-1e6, 1e6, width=32))
@settings(deadline=None)
def test_largest_and_count(x, threshold):
    x, whole = np.array(x, dtype=np.float32), np.empty(8, dtype=np.int32)
    made = summary(x, np.float32(threshold), whole)
    np.testing.assert_array_equal(whole, x.astype(np.int32))
    assert made == (whole.max(), np.count_nonzero(x > np.float32(threshold)))


def test_nan_is_nowhere():
    x = np.full(8, np.nan, dtype=np.float32)
    out = np.empty((7, 8), dtype=np.float32)
    arithmetic(x, np.zeros(8, dtype=np.float32), out)
    np.testing.assert_array_equal(out[3:], [np.zeros(8)] * 3 + [np.full(8, -1)])


def test_only_contiguous_arrays_have_lanes():
    with pytest.raises((TypeError, TypingError), match="contiguous arrays of one dimension"):
        copied(np.zeros(32, dtype=np.int32)[::2], np.empty(0, dtype=np.int32), np.zeros(8, dtype=np.int32))
