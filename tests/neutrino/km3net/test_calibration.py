"""Calibration of hits against km3pipe's, on real and simulated files."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from km3net_testdata import data_path

import etendue as et
from etendue.dataflow.pipeline import Pipeline, PipelineError
from etendue.dataflow.source import SourceError
from etendue.neutrino.detector import read_detector
from etendue.neutrino.km3net.calibration import CalibrateHits, find_keys, hash_table, photomultipliers
from etendue.neutrino.km3net.slewing import slewing

from .stages import DETECTOR_44, DETECTOR_133, events, raw_hits, reordered, run, run_file, slices

PLACE = ("pos_x", "pos_y", "pos_z", "dir_x", "dir_y", "dir_z")
MUONS = "online/muon_cc_daqevents.root"
KNOWN = read_detector(DETECTOR_133).detector


@pytest.fixture(scope="module")
def reference(shared):
    return dict(np.load(shared / "reference/km3net/calibrated_muoncc.npz"))


def test_slewing_is_that_of_km3pipe(shared):
    table = np.load(shared / "reference/km3net/slew_table.npz")
    for variant in (1, 2, 3):
        np.testing.assert_allclose(slewing(variant), table[f"v{variant}"], rtol=0, atol=1e-12)
    assert not slewing(0).any()


def test_hits_of_events_are_as_km3pipe_calibrates_them(reference):
    stages = Pipeline(
        stages=(CalibrateHits(detector=DETECTOR_133),), write=("hits/*", "triggered_hits/*", "events/*")
    )
    (partition,) = run_file(MUONS, stages)
    hits = partition.tables["hits"]
    assert len(hits["t"]) == 319_713
    np.testing.assert_allclose(hits["t"], reference["time"], rtol=0, atol=0.02)
    for name in PLACE:
        np.testing.assert_allclose(hits[name], reference[name], rtol=0, atol=1e-4)
    for name in ("du", "floor", "pmt_id"):
        np.testing.assert_array_equal(hits[name], reference[name])
    (partition,) = run_file(MUONS, CalibrateHits(detector=DETECTOR_133, slewing=0))
    np.testing.assert_allclose(partition["hits/t"], reference["time_noslew"], rtol=0, atol=0.02)
    assert "pmt_id" not in partition.tables["hits"]


def test_triggered_hits_are_calibrated_like_hits():
    (partition,) = run_file(MUONS, CalibrateHits(detector=DETECTOR_133))
    keys, times = {}, {}
    for table in ("hits", "triggered_hits"):
        columns = partition.tables[table]
        owner = partition.owners(table)
        keys[table] = list(zip(owner, columns["dom_id"], columns["channel_id"], columns["tdc"], strict=True))
        times[table] = columns["t"], columns["pos_z"], columns["dir_x"]
    known = dict(zip(keys["hits"], zip(*times["hits"], strict=True), strict=True))
    found = [known[key] for key in keys["triggered_hits"]]
    np.testing.assert_array_equal(np.array(found).T, times["triggered_hits"])


def test_hits_of_time_slices_take_the_module_of_their_frame():
    (partition,) = run_file("online/km3net_online.root#L1", CalibrateHits(detector=DETECTOR_44))
    detector = read_detector(DETECTOR_44).detector
    dom_id = partition["frames/dom_id"][partition.owners("hits")]
    place = {key: row for row, key in enumerate(zip(detector["dom_id"], detector["channel_id"], strict=True))}
    hits = partition.tables["hits"]
    some = np.arange(0, len(dom_id), 97)
    row = np.array([place[key] for key in zip(dom_id[some], hits["channel_id"][some], strict=True)])
    t = hits["tdc"][some] + detector["t0"][row] - slewing(3)[hits["tot"][some]]
    np.testing.assert_allclose(hits["t"][some], t, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(hits["pos_y"][some], detector["pos_y"][row].astype(np.float32))


def test_simulated_hits_are_placed_and_keep_their_times():
    (partition,) = run_file("offline/muon_cc_events.root#offline", CalibrateHits(detector=DETECTOR_133))
    mc_hits = partition.tables["mc_hits"]
    row = np.full(KNOWN["pmt_id"].max() + 1, -1)
    row[KNOWN["pmt_id"]] = np.arange(len(KNOWN["pmt_id"]))
    expected = row[mc_hits["pmt_id"]]
    for name in ("dom_id", "channel_id"):
        np.testing.assert_array_equal(mc_hits[name], KNOWN[name][expected])
    np.testing.assert_array_equal(mc_hits["dir_z"], KNOWN["dir_z"][expected].astype(np.float32))


def test_a_module_of_another_detector_is_an_error():
    partition = events([2], [KNOWN["dom_id"][0], 12345], channel_id=[0, 0], tdc=[10, 20])
    with pytest.raises(SourceError, match=r"module 12345: 1 hits .* does not have; give the detector file"):
        run(partition, CalibrateHits(detector=DETECTOR_133))
    with pytest.raises(SourceError, match="cannot be read"):
        run(partition, CalibrateHits(detector="nowhere.detx"))


@pytest.fixture
def detector_134(tmp_path):
    """The file of detector 133 with another number and later clocks: it has all modules of the data."""
    lines = Path(DETECTOR_133).read_text().splitlines(keepends=True)
    header = next(i for i, line in enumerate(lines) if line.split()[:1] == ["133"])
    lines[header] = lines[header].replace("133", "134", 1)
    path = tmp_path / "detector_134.detx"
    path.write_text("".join(lines))
    return str(path)


def test_a_file_of_another_detector_is_refused_unless_asked_for(detector_134):
    flow = et.open(data_path("online/KM3NeT_00000133_JDAQEvent.root"))
    with pytest.raises(PipelineError, match="file is of detector 134, the data are of detector 133"):
        (flow | CalibrateHits(detector=detector_134)).plan()
    asked = (flow | CalibrateHits(detector=detector_134, other_detector=True)).compute()
    own = (flow | CalibrateHits(detector=DETECTOR_133)).compute()
    np.testing.assert_array_equal(asked["hits"]["t"], own["hits"]["t"])
    assert own["detector_file"]["det_id"] == [133]


@pytest.mark.parametrize(("det_id", "refused"), [((133, 133), False), ((133, -1), False), ((133, 267), True)])
def test_events_of_another_detector_in_a_joined_file_are_found(det_id, refused):
    made = events([1, 1], KNOWN["dom_id"][:2], channel_id=[0, 0], tdc=[10, 20])
    partition = made.with_columns({"events/det_id": np.array(det_id, np.int32)})
    if refused:
        with pytest.raises(SourceError, match="data are of detector 267"):
            run(partition, CalibrateHits(detector=DETECTOR_133))
    else:
        assert len(run(partition, CalibrateHits(detector=DETECTOR_133))["hits/t"]) == 2


def test_a_channel_that_a_module_lacks_gives_nan():
    partition = slices([1], [4], KNOWN["dom_id"][:1], channel_id=[0, 31, 32, 255], tdc=[10, 10, 10, 10])
    hits = run(partition, CalibrateHits(detector=DETECTOR_133)).tables["hits"]
    for name in ("t", *PLACE):
        np.testing.assert_array_equal(np.isnan(hits[name]), [False, True, True, True])


def test_no_hits():
    stage = CalibrateHits(detector=DETECTOR_133)
    assert run(events([0, 0], [], channel_id=[], tdc=[]), stage)["hits/t"].size == 0
    assert run(slices([0], [], [], channel_id=[], tdc=[]), stage)["hits/pos_x"].size == 0


def test_a_file_without_hits_is_left_alone():
    (partition,) = run_file("online/summaryslices.root", CalibrateHits(detector=DETECTOR_133))
    assert "hits" not in partition.tables


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_order_of_hits_does_not_matter(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    rows = rng.integers(0, len(KNOWN["dom_id"]), data.draw(st.integers(1, 50)))
    hits = raw_hits(
        KNOWN["channel_id"][rows], rng.integers(0, 1e8, rows.size), rng.integers(0, 256, rows.size)
    )
    partition = events([rows.size], KNOWN["dom_id"][rows], **hits)
    order = rng.permutation(rows.size)
    stage = CalibrateHits(detector=DETECTOR_133)
    straight, shuffled = run(partition, stage), run(reordered(partition, "hits", order), stage)
    for name in ("t", *PLACE):
        np.testing.assert_array_equal(shuffled[f"hits/{name}"], straight[f"hits/{name}"][order])
    np.testing.assert_array_equal(straight["hits/pos_x"], KNOWN["pos_x"][rows].astype(np.float32))


@settings(deadline=None)
@given(
    st.lists(st.integers(-(2**31), 2**31 - 1), max_size=60, unique=True),
    st.lists(st.integers(-(2**31), 2**31 - 1), max_size=60),
)
def test_numbers_are_found(known, others):
    wanted = np.array(known + others, dtype=np.int32)
    found = np.empty(wanted.size, dtype=np.int32)
    n_unknown = find_keys(wanted, *hash_table(np.array(known, dtype=np.int32)), found)
    expected = [known.index(number) if number in known else -1 for number in known + others]
    np.testing.assert_array_equal(found, expected)
    assert n_unknown == expected.count(-1)


def test_a_detector_is_arranged_once():
    path = data_path("detx/detx_v5.detx")
    assert photomultipliers(path) is photomultipliers(path)
