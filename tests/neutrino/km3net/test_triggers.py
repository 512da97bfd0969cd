"""Triggers: what the data filter found in real files, and what causality and cliques must obey."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from km3net_testdata import data_path

from etendue.neutrino.detector import read_detector
from etendue.neutrino.km3net.calibration import CalibrateHits
from etendue.neutrino.km3net.triggers import PRESETS, TriggerBit, data_filter
from etendue.neutrino.km3net.triggers.clusters import (
    INDEX,
    TAN_CHERENKOV,
    C,
    directions,
    has_modules,
    match_road,
    match_sphere,
    match_track,
    prune,
)
from etendue.neutrino.km3net.triggers.stage import Trigger
from etendue.neutrino.schema import N_PMTS
from etendue.neutrino.sources.km3net.parameters import read_trigger_parameters
from etendue.schema import Schema

from .stages import DETECTOR_44, DETECTOR_133, events, joined, reordered, run, run_file, slices

ORCA = "online/events_sample.root"
ARCA_STAGES = CalibrateHits(detector=DETECTOR_133) | data_filter("ARCA21")
ORCA_STAGES = CalibrateHits(detector=DETECTOR_44) | data_filter("ORCA-2019")
MARKS = ("hits/trigger_mask", "hits/triggered_event")


def fires(mask, bit):
    return mask >> np.uint64(bit) & np.uint64(1) == 1


@pytest.fixture(scope="module")
def simulated_muons():
    return run_file("online/muon_cc_daqevents.root", ARCA_STAGES)[0]


@pytest.mark.parametrize("bit", [TriggerBit.SHOWER, TriggerBit.MIXED_SHOWER, TriggerBit.MUON])
def test_triggers_fire_on_the_events_that_the_data_filter_gave_the_bit(simulated_muons, bit):
    stored = fires(simulated_muons["events/trigger_mask"], bit)
    ours = fires(simulated_muons["events/retrigger_mask"], bit)
    assert stored.sum() > 150
    assert (ours & stored).sum() >= 0.98 * stored.sum()
    assert (ours & ~stored).sum() <= 0.06 * stored.sum()


def test_the_limit_of_hits_is_met_in_the_same_events(simulated_muons):
    stored = fires(simulated_muons["events/trigger_mask"], TriggerBit.LIMIT)
    ours = fires(simulated_muons["events/retrigger_mask"], TriggerBit.LIMIT)
    assert stored.sum() == 57
    assert ours[stored].all()
    assert ours.sum() <= 62


def test_triggered_hits_are_mostly_those_of_the_data_filter(simulated_muons):
    partition = simulated_muons
    columns, triggered = partition.tables["hits"], partition.tables["triggered_hits"]
    n_stored = n_both = n_ours = 0
    for event in range(partition.rows("events")):
        of_event = slice(*partition.offsets("hits")[event : event + 2])
        of_triggered = slice(*partition.offsets("triggered_hits")[event : event + 2])
        ours = columns["retrigger_mask"][of_event] > 0
        keys = [columns[c][of_event][ours].tolist() for c in ("dom_id", "channel_id", "tdc")]
        stored = [triggered[c][of_triggered].tolist() for c in ("dom_id", "channel_id", "tdc")]
        keys, stored = set(zip(*keys, strict=True)), set(zip(*stored, strict=True))
        n_stored, n_both, n_ours = n_stored + len(stored), n_both + len(keys & stored), n_ours + len(keys)
    assert n_both > 0.98 * n_stored
    assert n_both > 0.95 * n_ours


def test_real_events_of_arca_fire_again():
    (partition,) = run_file("online/KM3NeT_00000133_JDAQEvent.root", ARCA_STAGES)
    stored, ours = partition["events/trigger_mask"], partition["events/retrigger_mask"]
    for bit in (TriggerBit.SHOWER, TriggerBit.MIXED_SHOWER, TriggerBit.MUON):
        assert (fires(ours, bit) | ~fires(stored, bit)).all()


def test_events_are_found_in_time_slices_where_the_data_filter_found_them():
    """L1 slices and events of one file: the four stored events of these slices, at their times."""
    stages = CalibrateHits(detector=DETECTOR_44) | data_filter(data_path(ORCA))
    (found,) = run_file(f"{ORCA}#L1", stages)
    (stored,) = run_file(f"{ORCA}#events", CalibrateHits(detector=DETECTOR_44))
    frame_index = found["timeslices/frame_index"][found.owners("triggered_events")]
    in_slices = np.flatnonzero(np.isin(stored["events/frame_index"], found["timeslices/frame_index"]))
    first = np.minimum.reduceat(stored["triggered_hits/t"], stored.offsets("triggered_hits")[:-1])
    assert len(in_slices) == 4
    for event in in_slices:
        near = np.abs(found["triggered_events/time"] - first[event]) < 1
        same = near & (frame_index == stored["events/frame_index"][event])
        assert found["triggered_events/trigger_mask"][same] == stored["events/trigger_mask"][event]
    n_triggered = np.count_nonzero(found["hits/trigger_mask"])
    assert found["triggered_events/n_triggered_hits"].sum() == n_triggered > 0


def test_partitions_and_order_of_hits_do_not_matter():
    whole, cut = run_file(f"{ORCA}#L1", ORCA_STAGES), run_file(f"{ORCA}#L1", ORCA_STAGES, cuts=(3, 4))
    assert whole[0].rows("triggered_events") >= 5
    for name in (*MARKS, *(f"triggered_events/{c}" for c in whole[0].tables["triggered_events"])):
        np.testing.assert_array_equal(joined(cut, name), joined(whole, name))


def muon(direction, seed, noise):
    """Two hits in each module near a muon through the middle of the detector, and noise, in a time slice."""
    rng = np.random.default_rng(seed)
    detector = CalibrateHits(detector=DETECTOR_44).brings()["detector"][1]
    position = np.stack([detector[f"pos_{c}"] for c in "xyz"], axis=1)
    axis = np.stack([detector[f"dir_{c}"] for c in "xyz"], axis=1)
    from_centre = position - position.mean(axis=0)
    along = from_centre @ direction
    across = np.linalg.norm(from_centre - along[:, None] * direction, axis=1)
    light = (along + TAN_CHERENKOV * across) / C
    one = np.flatnonzero((across < 20) & (detector["channel_id"] == 0))
    other = [pmt + 1 + np.argmax(axis[pmt + 1 : pmt + N_PMTS] @ axis[pmt]) for pmt in one]
    rows = np.append(one, other)
    tdc = 5e7 + light[rows] - detector["t0"][rows]
    rows = np.append(rows, rng.integers(0, len(position), noise))
    tdc = np.append(tdc, rng.uniform(1e7, 9e7, noise))
    frames = np.unique(detector["dom_id"])
    frame = np.searchsorted(frames, detector["dom_id"][rows])
    order = np.lexsort((tdc, frame))
    hits = {"channel_id": detector["channel_id"][rows][order], "tdc": np.round(tdc[order])}
    return one.size, slices([len(frames)], np.bincount(frame, minlength=len(frames)), frames, **hits)


NO_SLEWING = CalibrateHits(detector=DETECTOR_44, slewing=0) | data_filter("ORCA-2019")


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(-1, 1), st.floats(-np.pi, np.pi))
def test_a_muon_in_noise_is_one_event(seed, cos, phi):
    sin = np.sqrt(1 - cos**2)
    n_modules, partition = muon(np.array([sin * np.cos(phi), sin * np.sin(phi), cos]), seed, noise=2000)
    assume(n_modules >= 8)
    found = run(partition, *NO_SLEWING.stages)
    assert found.rows("triggered_events") == 1
    assert fires(found["triggered_events/trigger_mask"], TriggerBit.MUON).all()
    assert abs(found["triggered_events/time"][0] - 5e7) < 1000
    n_hits = partition.tables["frames"]["n_hits"]
    rng = np.random.default_rng(seed)
    order = np.argsort(np.repeat(np.arange(len(n_hits)), n_hits) + rng.uniform(0, 0.9, n_hits.sum()))
    shuffled = run(reordered(partition, "hits", order), *NO_SLEWING.stages)
    for name in MARKS:
        np.testing.assert_array_equal(shuffled[name], found[name][order])


def test_noise_is_not_triggered():
    rng = np.random.default_rng(1)
    detector = CalibrateHits(detector=DETECTOR_44).brings()["detector"][1]
    frames = np.unique(detector["dom_id"])
    n_hits = np.full(len(frames), 500)
    hits = {"channel_id": rng.integers(0, N_PMTS, n_hits.sum()), "tdc": rng.integers(0, 1e8, n_hits.sum())}
    found = run(slices([len(frames)], n_hits, frames, **hits), *ORCA_STAGES.stages)
    assert found.rows("l2") > 0
    assert found.rows("triggered_events") == 0
    assert not found["hits/trigger_mask"].any()


def test_no_hits():
    assert (
        run(slices([0, 0], [], [], channel_id=[], tdc=[]), *ORCA_STAGES.stages).rows("triggered_events") == 0
    )
    dom_id = CalibrateHits(detector=DETECTOR_44).brings()["detector"][1]["dom_id"][:1]
    one = run(slices([1], [1], dom_id, channel_id=[0], tdc=[5]), *ORCA_STAGES.stages)
    assert one["hits/triggered_event"].tolist() == [-1]
    no_event = run(events([0, 0], [], channel_id=[], tdc=[]), *ORCA_STAGES.stages)
    assert no_event["events/retrigger_mask"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("name", "path"),
    [("ORCA-2019", ORCA), ("ARCA21", "mupage/mcv8.1.mupage_tuned_100G.sirene.jterbr00013288.10.root")],
)
def test_presets_are_what_files_hold(name, path):
    assert data_filter(data_path(path)) == data_filter(name) == data_filter(PRESETS[name])
    parameters = read_trigger_parameters(data_path(path))
    stage = data_filter(name).stages[1]
    assert stage.muon.road_width == parameters["trigger3DMuon"]["roadWidth_m"]
    assert stage.mixed_shower.min_hits == parameters["triggerMXShower"]["numberOfHits"]


UNIT = st.floats(0, 1)


@settings(deadline=None, max_examples=300)
@given(*[UNIT] * 5)
def test_light_of_a_muon_matches(r1, r2, phi, z1, z2):
    """Two hits at most 30 m from a muon along z match, for its direction and for any."""
    r1, r2, phi, z1, z2 = 30 * r1, 30 * r2, 2 * np.pi * phi, 200 * z1, 200 * z2
    across = np.sqrt(max(r1**2 + r2**2 - 2 * r1 * r2 * np.cos(phi), 0))
    dt = ((z1 + TAN_CHERENKOV * r1) - (z2 + TAN_CHERENKOV * r2)) / C
    assert match_road(across, dt - (z1 - z2) / C, 60.0, 1e-6)
    assert match_track(np.hypot(across, z1 - z2), dt, 30.0, 1e-6)


@settings(deadline=None, max_examples=300)
@given(*[UNIT] * 3)
def test_light_of_a_point_matches(r1, r2, cos):
    r1, r2, cos = 25 * r1, 25 * r2, 2 * cos - 1
    distance = np.sqrt(max(r1**2 + r2**2 - 2 * r1 * r2 * cos, 0))
    assert match_sphere(distance, (r1 - r2) * INDEX / C, 50.0, 1e-6)


def test_what_is_not_known_does_not_match():
    assert not match_track(np.nan, 0.0, 50.0, 10.0)
    assert not match_sphere(np.nan, 0.0, 50.0, 10.0)
    assert not match_road(np.nan, 0.0, 50.0, 10.0)


def test_what_does_not_match():
    assert not match_sphere(51.0, 0.0, 50.0, 25.0)
    assert not match_sphere(10.0, 10 * INDEX / C + 25.1, 50.0, 25.0)
    assert not match_road(121.0, 0.0, 120.0, 25.0)
    assert not match_road(20.0, 20 * TAN_CHERENKOV / C + 25.1, 120.0, 25.0)
    assert not match_track(100.0, 0.0, 30.0, 25.0)  # too far apart for light at the same time
    assert not match_track(100.0, 100 * INDEX / C + 26, 30.0, 25.0)


@settings(deadline=None)
@given(st.integers(1, 25), st.floats(0, 1), st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_pruning_leaves_a_clique(n, density, seed, enough):
    rng = np.random.default_rng(seed)
    matches = rng.random((n, n)) < density
    matches |= matches.T | np.eye(n, dtype=bool)
    kept = np.empty(n, dtype=np.int64)
    size = prune(matches, kept, enough)
    assert size == 0 or size >= enough
    left = kept[:size]
    assert matches[np.ix_(left, left)].all()
    assert (np.diff(left) > 0).all()
    if matches.all() and n >= enough:
        assert size == n


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), max_size=12), st.integers(1, 6))
def test_modules_are_counted(modules, enough):
    hits = np.arange(len(modules))
    assert has_modules(np.array(modules, dtype=np.int32), hits, enough) == (len(set(modules)) >= enough)


def test_directions_cover_the_sphere():
    frames = directions(10.0)
    np.testing.assert_allclose(
        frames @ frames.transpose(0, 2, 1), np.broadcast_to(np.eye(3), frames.shape), atol=1e-12
    )
    points = np.random.default_rng(0).normal(size=(2000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    nearest = np.degrees(np.arccos(np.clip((points @ frames[:, 2].T).max(axis=1), -1, 1)))
    assert nearest.max() < 10 / np.sqrt(2) + 0.3
    assert 400 < len(frames) < 450


def test_the_parameters_of_arca_are_for_arca_only():
    orca, arca = ({"observation": {"det_id": np.array([n], np.int32)}} for n in (44, 133))
    schema = Schema({})
    Trigger().check(schema, arca)
    for static in (orca, {"observation": {"det_id": np.array([4711], np.int32)}}):
        with pytest.raises(ValueError, match="shower is not given, and is ARCA's by default"):
            Trigger().check(schema, static)
        data_filter("ORCA-2019").stages[1].check(schema, static)
    Trigger().check(schema, {n: c for n, (_, c) in read_detector(DETECTOR_133).brought.items()})
    with pytest.raises(ValueError, match="inputs are of orca"):
        Trigger().check(schema, {n: c for n, (_, c) in read_detector(DETECTOR_44).brought.items()})
