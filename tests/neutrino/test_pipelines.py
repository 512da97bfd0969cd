"""The shipped pipelines on real files, from file to store, however they are cut."""

import numpy as np
import pytest
from km3net_testdata import data_path

import etendue as et

DETECTOR = data_path("detx/KM3NeT_00000133_20221025.detx")
REAL = data_path("online/KM3NeT_00000133_JDAQEvent.root")
GEOMETRY = "data/icecube/geometry/icecube86.parquet"


def with_file(pipeline, **files):
    """A pipeline whose stages that ask for a file are given one."""
    stages = tuple(
        stage.model_copy(update={k: v for k, v in files.items() if k in type(stage).model_fields})
        for stage in pipeline.stages
    )
    return pipeline.model_copy(update={"stages": stages})


@pytest.fixture(scope="module")
def km3net():
    return with_file(et.find_pipeline("km3net"), detector=DETECTOR)


@pytest.fixture(scope="module")
def icecube(shared):
    return with_file(et.find_pipeline("icecube"), geometry=str(shared / GEOMETRY))


def assert_same_events(a, b):
    assert set(a.data_vars) == set(b.data_vars)
    for name in a.data_vars:
        np.testing.assert_array_equal(a[name].values, b[name].values, err_msg=name)


def test_real_events_become_tracks_on_the_sky(km3net, tmp_path):
    flow = et.open(REAL) | km3net
    flow.write(tmp_path / "muons.etendue", "first")
    tree = et.load(tmp_path / "muons.etendue", "first")
    events = tree["events"]
    assert events.sizes["event"] == 10
    found = events["muon_exists"].values
    assert found.sum() >= 8  # of ten events that the data filter took
    for name in ("muon_ra", "muon_dec", "muon_gal_lon", "muon_gal_lat"):
        np.testing.assert_array_equal(np.isfinite(events[name].values), found)
    # The pass holds the detector that it was made with.
    assert tree["detector"].sizes["pmt"] == 11_718
    assert "hits" not in tree.children


def test_tracks_do_not_depend_on_how_events_are_cut(km3net):
    whole = (et.open(REAL) | km3net).compute()["events"]
    cut = et.open(REAL, partition_bytes=20_000, workers=2) | km3net
    assert len(cut.plan().partitions) > 3
    assert_same_events(cut.compute()["events"], whole)


def test_filters_do_not_depend_on_how_events_are_cut(icecube, shared):
    paths = sorted((shared / "data/icecube/i3").glob("oscNext_*_level3*.i3.gz"))
    whole = et.open(*paths, partition_bytes=1 << 30) | icecube
    cut = et.open(*paths, partition_bytes=10_000, workers=2) | icecube
    assert len(cut.plan().partitions) > len(whole.plan().partitions)
    events = whole.compute()["events"]
    assert_same_events(cut.compute()["events"], events)
    passed = events["FilterMask_condition_passed"].values
    assert passed.any()
    assert np.isfinite(events["MuonLlhFit_zenith"].values).sum() >= len(passed) // 2


def test_an_event_of_a_pass_is_drawn(icecube, shared, tmp_path):
    path = shared / "data/icecube/i3/oscNext_genie_level7_v02_first_5_frames.i3.gz"
    flow = (et.open(path) | icecube).columns("events/*", "SplitInIceDSTPulses/*")
    flow.write(tmp_path / "s.etendue", "p")
    tree = et.load(tmp_path / "s.etendue", "p")
    figure = et.neutrino.display.event(tree, int(tree["events/event_id"].values[0]), fits=["MuonLineFit"])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["MuonLineFit"]
