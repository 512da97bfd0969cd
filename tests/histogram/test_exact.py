"""Exact sums: beside math.fsum, which rounds correctly too."""

import math
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etendue.histogram import exact
from etendue.histogram.exact import Digits, ExactSums

finite = st.floats(allow_nan=False, allow_infinity=False)
any_magnitude = st.lists(finite, max_size=40)
near = st.lists(st.floats(-1e3, 1e3), max_size=40)


def sum_of(values) -> ExactSums:
    sums = ExactSums(1)
    values = np.array(values, dtype=np.float64)
    sums.add(np.zeros(len(values), dtype=np.int32), values)
    return sums


def correctly_rounded(values) -> float:
    total = sum(map(Fraction, values), Fraction(0))
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def same_bits(a, b) -> bool:
    return np.asarray(a, dtype=np.float64).tobytes() == np.asarray(b, dtype=np.float64).tobytes()


@settings(deadline=None)
@given(st.one_of(any_magnitude, near))
def test_sum_is_correctly_rounded(values):
    expected = correctly_rounded(values)
    assert same_bits(sum_of(values).rounded(), [expected + 0.0])
    if math.isfinite(expected) and sum(abs(v) / 2 for v in values) < sys.float_info.max / 2:
        assert expected == math.fsum(values)


@settings(deadline=None)
@given(any_magnitude, st.randoms(use_true_random=False), st.integers(1, 5))
def test_sum_is_the_same_in_any_order_and_parts(values, random, n_parts):
    expected = sum_of(values).rounded()
    random.shuffle(values)
    total = ExactSums(1)
    for part in range(n_parts):
        digits = sum_of(values[part::n_parts]).digits(np.array([0]))
        total.add_digits(np.array([0]), digits)
    assert same_bits(total.rounded(), expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], 0.0),
        ([-0.0, 0.0], 0.0),
        ([1e308, 1e308, -1e308], 1e308),
        ([1e308, 1e308], math.inf),
        ([-1e308] * 3, -math.inf),
        ([5e-324, -1.0, 1.0], 5e-324),
        ([sys.float_info.max, 2.0**969], sys.float_info.max),
        ([sys.float_info.max, 2.0**970], math.inf),
        ([1.0, 2.0**-53], 1.0),
        ([1.0, 2.0**-53, 5e-324], 1.0 + 2.0**-52),
        ([-1.0, -(2.0**-53), -(2.0**-1000)], -1.0 - 2.0**-52),
        ([1.0 + 2.0**-52, 2.0**-53], 1.0 + 2.0**-51),
        ([2.0**-1022, -5e-324], 2.0**-1022 - 5e-324),
    ],
)
def test_ties_limits_and_cancellation(values, expected):
    assert same_bits(sum_of(values).rounded(), [expected])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, np.inf], np.inf),
        ([1.0, -np.inf, -np.inf], -np.inf),
        ([np.inf, 1.0, -np.inf], np.nan),
        ([1.0, np.nan], np.nan),
        ([np.inf, np.nan], np.nan),
    ],
)
def test_what_is_not_finite_shows_in_its_bin_only(values, expected):
    sums = ExactSums(3)
    sums.add(np.full(len(values), 1, dtype=np.int32), np.array(values))
    sums.add(np.array([2], dtype=np.int32), np.array([4.0]))
    again = ExactSums(3)
    bins = np.flatnonzero(sums.occupied())
    again.add_digits(bins, sums.digits(bins))
    for rounded in (sums.rounded(), again.rounded()):
        np.testing.assert_array_equal(rounded, [0.0, expected, 4.0])


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_many_bins_as_fsum(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, 500) * 2.0 ** rng.integers(-60, 60, 500)
    bins = rng.integers(0, 20, 500).astype(np.int32)
    sums = ExactSums(20)
    for part in np.array_split(np.arange(500), 7):
        sums.add(bins[part], values[part])
    assert same_bits(sums.rounded(), [math.fsum(values[bins == b]) for b in range(20)])


def test_carries_come_before_digits_overflow(monkeypatch):
    monkeypatch.setattr(exact, "MAX_PENDING", 8)
    values = [0.1, 0.3, 2.0**40, 0.7, 1e-9] * 40
    sums = ExactSums(1)
    for value in values:
        sums.add(np.zeros(1, dtype=np.int32), np.array([value]))
        assert sums._digits.max() < 9 * 2**32
    assert same_bits(sums.rounded(), [math.fsum(values)])


def test_a_sum_far_above_its_values_gets_more_digits():
    one = sum_of([1.0]).digits(np.array([0]))
    words = one.words.copy()
    words[0, -1] = 2**31 - 1  # as after some 2^60 additions
    sums = ExactSums(1)
    expected = Fraction(0)
    for _ in range(3):
        sums.add_digits(np.array([0]), Digits(one.first, words, None))
        digits = [int(word) << (32 * j) for j, word in enumerate(words[0])]
        expected += sum(digits) * Fraction(2) ** (exact.UNIT + 32 * one.first)
    assert sums.rounded()[0] == float(expected)
    travelled = sums.digits(np.array([0]))
    assert travelled.words.shape[1] == words.shape[1] + 1
    again = ExactSums(1)
    again.add_digits(np.array([0]), travelled)
    assert again.rounded()[0] == float(expected)


def test_reset_forgets_everything():
    sums = sum_of([1.0, np.nan, 1e300])
    sums.reset()
    assert not sums.occupied().any()
    sums.add(np.zeros(1, dtype=np.int32), np.array([3.0]))
    assert sums.rounded()[0] == 3.0


def test_memory_a_bin_is_what_the_documentation_says():
    assert sum_of([1.0, 1.9]).digits(np.array([0])).words.shape[1] * 8 <= 32
    assert sum_of([1.0, 1e6]).digits(np.array([0])).words.shape[1] * 8 <= 40
    assert sum_of([5e-324, sys.float_info.max]).digits(np.array([0])).words.shape[1] * 8 == 536
