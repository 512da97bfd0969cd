"""Axes: what they refuse, and that they are the axes of hist."""

import math
import pickle

import boost_histogram as bh
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from etendue.histogram.axis import Integer, Log, Regular, Variable
from etendue.schema import SchemaError

positive = st.floats(1e-300, 1e300)


@settings(deadline=None)
@given(positive, st.floats(1.01, 1e6), st.integers(1, 40))
def test_log_edges_are_the_first_values_of_boosts_bins(start, factor, bins):
    stop = start * factor
    assume(stop < 1e300)
    axis = Log("events/x", bins, start, stop)
    peer = bh.axis.Regular(bins, start, stop, transform=bh.axis.transform.log)
    numbers = np.arange(bins + 1)
    np.testing.assert_array_equal(peer.index(axis.edges), numbers)
    np.testing.assert_array_equal(peer.index(np.nextafter(axis.edges, 0)), numbers - 1)


def test_log_edges_where_bins_are_narrower_than_float64_resolves():
    start, stop = 1.0, 1.0 + 8 * 2.0**-52
    axis = Log("events/x", 50, start, stop)
    peer = bh.axis.Regular(50, start, stop, transform=bh.axis.transform.log)
    values = start + np.arange(-4, 12) * 2.0**-52
    expected = np.array(peer.index(values)) + 1
    np.testing.assert_array_equal(np.searchsorted(axis.edges, values, side="right"), expected)


def test_log_carries_its_edges_to_other_machines(monkeypatch):
    sent = pickle.dumps(Log("events/x", 10, 1.0, 1e4))
    monkeypatch.setattr(math, "log", None)
    received = pickle.loads(sent)
    assert received.edges[0] == pytest.approx(1.0)
    assert received.edges.shape == (11,)


@pytest.mark.parametrize(
    ("axis", "peer"),
    [
        (Regular("events/x", 7, -1, 2.5), bh.axis.Regular(7, -1, 2.5)),
        (Log("events/x", 7, 1, 2.5), bh.axis.Regular(7, 1, 2.5, transform=bh.axis.transform.log)),
        (Variable("events/x", [-1, 0, 5]), bh.axis.Variable([-1, 0, 5])),
        (Integer("events/x", -2, 5), bh.axis.Integer(-2, 5)),
    ],
)
def test_to_hist_gives_the_same_axis(axis, peer):
    made = axis.to_hist("x", "x [m]")
    assert made.name == "x"
    assert made.label == "x [m]"
    assert axis.extent == made.extent == peer.extent
    np.testing.assert_array_equal(made.edges, peer.edges)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Regular("events/x", 0, 0, 1), "positive integer"),
        (lambda: Regular("events/x", 2.5, 0, 1), "positive integer"),
        (lambda: Regular("events/x", 3, 1, 1), "less than stop"),
        (lambda: Regular("events/x", 3, 0, np.inf), "finite"),
        (lambda: Regular("events/x", 3, -1e308, 1e308), "finite"),
        (lambda: Log("events/x", 3, 0, 1), "positive"),
        (lambda: Log("events/x", 3, 2, 1), "less than stop"),
        (lambda: Variable("events/x", [1]), "at least two"),
        (lambda: Variable("events/x", [1, 2, 2]), "greater than the last"),
        (lambda: Variable("events/x", [1, np.nan]), "greater than the last"),
        (lambda: Integer("events/x", 3, 3), "less than stop"),
        (lambda: Integer("events/x", 0, 2**31), "32 bits"),
    ],
)
def test_impossible_axes_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_column_without_its_table_is_refused():
    with pytest.raises(SchemaError, match="table/column"):
        Regular("x", 3, 0, 1)
