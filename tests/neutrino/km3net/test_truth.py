"""Truth of triggered events: the pairs of a real simulation, and what must hold for any particles."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from km3net_testdata import data_path

from etendue.dataflow.partition import Partition
from etendue.dataflow.source import SourceError
from etendue.kernel import offsets
from etendue.neutrino.km3net.truth import MatchTruth, most_energetic
from etendue.neutrino.sources.km3net import KM3NeTSource

DAQ, MC = data_path("online/muon_cc_daqevents.root"), data_path("offline/muon_cc_events.root")


def read(ranges: list[tuple[int, int]]) -> list[Partition]:
    source = KM3NeTSource()
    scan = source.scan(DAQ)
    return list(source.read(scan, ranges, frozenset(MatchTruth.reads)))


@pytest.fixture(scope="module")
def matched() -> dict[str, np.ndarray]:
    return MatchTruth(file=MC)(read([(0, 250)])[0])


def test_equals_the_reference(shared, matched):
    """248 of 250 events have their simulated event in the companion file; all their values are the same."""
    expected = np.load(shared / "reference/km3net/mctruth_muoncc.npz")
    rows = np.flatnonzero(matched["events/mc_is_matched"])
    np.testing.assert_array_equal(rows, expected["daq_index"])
    np.testing.assert_array_equal(matched["events/mc_index"][rows], expected["mc_index"])
    np.testing.assert_array_equal(matched["events/mc_t"][rows], expected["mc_t"])
    offset = expected["mc_t"] - (expected["frame_index"] - 1) * 1e8
    for name in expected:
        if name.startswith(("mu_", "nu_")):
            known = expected[name] + (offset if name.endswith("_t") else 0)
            np.testing.assert_array_equal(matched[f"events/mc_{name}"][rows], known, err_msg=name)


def test_unmatched_events_have_nothing(matched):
    lost = ~matched["events/mc_is_matched"]
    assert lost.sum() == 2
    assert (matched["events/mc_index"][lost] == -1).all()
    for name in ("mc_t", "mc_time_offset", "mc_mu_E", "mc_nu_dir_z"):
        assert np.isnan(matched[f"events/{name}"][lost]).all()
    assert (matched["events/mc_mu_pdgid"][lost] == 0).all()


def test_time_in_the_frame(matched):
    """The simulated t = 0 is a time in the frame."""
    offset = matched["events/mc_time_offset"][matched["events/mc_is_matched"]]
    assert ((offset >= 0) & (offset < 1e8)).all()


def test_frames_of_another_time_do_not_match():
    """An event whose frame is not that of the simulated event with its number is of another simulation."""
    (partition,) = read([(0, 250)])
    events = dict(partition.tables["events"])
    events["time"] = events["time"] + 100_000_000
    found = MatchTruth(file=MC)(Partition(0, partition.schema, {**partition.tables, "events": events}))
    assert not found["events/mc_is_matched"].any()


def test_independent_of_partitions(matched):
    parts = [MatchTruth(file=MC)(part) for part in read([(0, 1), (1, 100), (100, 100), (100, 250)])]
    for name, column in matched.items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), column)


def test_files_that_cannot_serve(tmp_path):
    (partition,) = read([(0, 1)])
    with pytest.raises(SourceError, match="No such file"):
        MatchTruth(file=str(tmp_path / "absent.root"))(partition)
    old = tmp_path / "old.root"
    shutil.copy(data_path("offline/numucc.root"), old)
    with pytest.raises(SourceError, match="no mc_event_time"):
        MatchTruth(file=str(old))(partition)


particles = st.lists(
    st.lists(st.tuples(st.sampled_from([13, -13, 14, -14, 12, 211, 11]), st.floats(0, 1e8)), max_size=6),
    max_size=6,
)


@given(events=particles)
@settings(max_examples=200)
def test_most_energetic(events):
    starts = offsets(np.array([len(event) for event in events], dtype=np.int64))
    flat = [particle for event in events for particle in event]
    pdgid = np.array([p for p, _ in flat], dtype=np.int32)
    energy = np.array([e for _, e in flat], dtype=np.float64)
    found = most_energetic(starts, pdgid, energy, np.array([13], dtype=np.int32))
    for event, row, start in zip(events, found, starts, strict=False):
        muons = [i for i, (p, _) in enumerate(event) if abs(p) == 13]
        assert row == (start + max(muons, key=lambda i: event[i][1]) if muons else -1)
