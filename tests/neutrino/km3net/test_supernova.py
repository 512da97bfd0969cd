"""Supernova search: a published probability, exact sums, and counts on real time slices."""

from fractions import Fraction
from math import exp, factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from etendue.neutrino.km3net.coincidences import FindCoincidences
from etendue.neutrino.km3net.supernova import SelectSupernova, poisson_tail, search_bursts
from etendue.neutrino.km3net.triggers.stage import TRIGGERED_EVENTS, Trigger

from .stages import joined, run, run_file, slices

STREAM = "online/KM3NeT_00000267_00025291_SN.root#SN"
FIND = FindCoincidences(time="tdc", within=10, min_pmts=4)


def test_a_published_search():
    """GCN 26751: 2 observed, 1.4 expected (with that many digits), probability 40.1 %."""
    assert poisson_tail(2, 1.35) < 0.401 < poisson_tail(2, 1.4499)
    assert poisson_tail(2, 1.38) == pytest.approx(0.401, abs=5e-4)


@settings(deadline=None)
@given(st.integers(0, 60), st.fractions(0, 80, max_denominator=64))
def test_tails_are_sums_of_poisson_probabilities(n, mu):
    below = sum(mu**k / Fraction(factorial(k)) for k in range(n))
    above = sum(mu**k / Fraction(factorial(k)) for k in range(n, n + 250))
    expected = float(above) * exp(-float(mu)) if n > mu else 1 - float(below) * exp(-float(mu))
    assert poisson_tail(n, float(mu)) == pytest.approx(expected, rel=1e-10, abs=1e-13)


def test_tails_at_the_edges():
    np.testing.assert_array_equal(poisson_tail([0, 0, 3, -1], [0, 5, 0, 2]), [1, 1, 0, 1])
    assert np.isnan(poisson_tail([1, 1], [np.nan, -1])).all()
    assert poisson_tail(100_000, 100_000.0) == pytest.approx(0.5, abs=2e-3)
    assert 0 < poisson_tail(150, 1.0) < 1e-260


@settings(deadline=None)
@given(st.dictionaries(st.integers(1, 40), st.integers(0, 5), max_size=20), st.integers(1, 7), st.randoms())
def test_windows_are_sums(slices_of_run, window, random):
    shuffled = random.sample(sorted(slices_of_run), len(slices_of_run))
    frame_index = np.array(shuffled, dtype=np.int32)
    counts = np.array([slices_of_run[i] for i in shuffled], dtype=np.int32)
    found = search_bursts(frame_index, counts, window=window, background=0.5)
    for i, last in enumerate(sorted(slices_of_run)):
        inside = [n for index, n in slices_of_run.items() if last - window < index <= last]
        assert found["frame_index"][i] == last
        assert found["observed"][i] == sum(inside)
        assert found["expected"][i] == len(inside) * 0.5
        assert found["p_value"][i] == poisson_tail(sum(inside), len(inside) * 0.5)


def test_a_slice_that_is_there_twice_is_refused():
    with pytest.raises(ValueError, match="each time slice once"):
        search_bursts(np.array([3, 3]), np.array([1, 1]))


def test_real_slices():
    stages = FIND | SelectSupernova()
    whole, cut = run_file(STREAM, stages), run_file(STREAM, stages, cuts=(1, 50))
    (partition,) = whole
    multiplicity = partition["coincidences/multiplicity"]
    counts = partition["timeslices/supernova_coincidences"]
    expected = (multiplicity >= 7) & (multiplicity <= 11)
    np.testing.assert_array_equal(partition["coincidences/supernova"], expected)
    assert counts.sum() == expected.sum() > 50
    assert counts[0] == 0  # the first slice of the file has no frames
    np.testing.assert_array_equal(joined(cut, "timeslices/supernova_coincidences"), counts)
    bursts = search_bursts(partition["timeslices/frame_index"], counts)
    assert bursts["observed"][4:].sum() == pytest.approx(5 * counts.sum(), abs=40)
    assert (bursts["p_value"] > 1e-3).all()


def test_coincidences_near_triggered_events_are_left_out():
    channel = np.arange(8)
    tdc = np.concatenate([np.full(8, t) for t in (1_000, 5_000, 9_000)])
    partition = slices([2], [16, 8], [1, 2], channel_id=np.tile(channel, 3), tdc=tdc)
    (table,) = Trigger().makes(partition.schema.with_tables(FIND.makes(partition.schema)))
    columns = {
        "time": np.array([4_500.0]),
        "duration": np.array([600.0]),
        "trigger_mask": np.array([16], dtype=np.uint64),
        "n_triggered_hits": np.array([5], dtype=np.int32),
    }
    partition.tables["timeslices"]["n_triggered_events"] = np.array([1], dtype=np.int32)
    with_event = partition.__class__(
        0, partition.schema.with_tables([table]), {**partition.tables, TRIGGERED_EVENTS: columns}
    )
    for veto, kept in ((0, [1_000, 9_000]), (3_499, [1_000, 9_000]), (3_500, [9_000]), (4_000, [])):
        found = run(with_event, FIND, SelectSupernova(veto=veto))
        times = found["coincidences/time"][found["coincidences/supernova"]]
        assert times.tolist() == kept
        assert found["timeslices/supernova_coincidences"].tolist() == [len(kept)]


def test_an_empty_range_is_refused():
    with pytest.raises(ValidationError, match="nothing would be selected"):
        SelectSupernova(min_pmts=8, max_pmts=7)
