"""Coincidences: multiplicities counted on real slices, and what windows must do with any hits."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etendue.neutrino.km3net.calibration import CalibrateHits
from etendue.neutrino.km3net.coincidences import FindCoincidences, n_bits, sort_group

from .stages import (
    DETECTOR_44,
    DETECTOR_133,
    events,
    joined,
    raw_hits,
    reordered,
    run,
    run_file,
    slices,
)

STREAMS = {
    "L1_267": "online/KM3NeT_00000267_00025291_L1.root#L1",
    "SN_267": "online/KM3NeT_00000267_00025291_SN.root#SN",
    "L1_44": "online/km3net_online.root#L1",
    "SN_44": "online/km3net_online.root#SN",
    "L1_s44": "online/events_sample.root#L1",
}
MULTIPLICITIES = FindCoincidences(time="tdc", min_pmts=1)


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("within", [10, 25])
def test_multiplicities_are_those_counted_before(shared, name, within):
    expected = json.loads((shared / "reference/km3net/multiplicity.json").read_text())["counts"]
    stage = MULTIPLICITIES.model_copy(update={"within": float(within)})
    (partition,) = run_file(STREAMS[name], stage)
    counts = np.bincount(partition["coincidences/multiplicity"], minlength=32)
    assert counts.tolist() == expected[f"{name}_dt{within}"]


def test_partitions_do_not_matter():
    stages = CalibrateHits(detector=DETECTOR_44) | FindCoincidences(within=10, min_cos=0)
    path = "online/events_sample.root#L1"
    whole, cut = run_file(path, stages), run_file(path, stages, cuts=(1, 6))
    assert len(whole[0]["coincidences/time"]) > 30_000
    for name in (*(f"coincidences/{c}" for c in whole[0].tables["coincidences"]), "hits/coincidences"):
        np.testing.assert_array_equal(joined(cut, name), joined(whole, name))


def test_marks_lead_to_the_hits():
    (partition,) = run_file(STREAMS["L1_44"], FindCoincidences(time="tdc", within=10))
    mark = partition["hits/coincidences"]
    row = (partition.offsets("coincidences")[partition.owners("hits")] + mark)[mark >= 0]
    tdc, channel = partition["hits/tdc"][mark >= 0], partition["hits/channel_id"][mark >= 0]
    columns = partition.tables["coincidences"]
    np.testing.assert_array_equal(np.bincount(row), columns["n_hits"])
    first, last = np.full(len(columns["time"]), np.inf), np.zeros(len(columns["time"]))
    channels = np.zeros(len(first), dtype=np.uint32)
    np.minimum.at(first, row, tdc)
    np.maximum.at(last, row, tdc)
    np.bitwise_or.at(channels, row, np.uint32(1) << channel.astype(np.uint32))
    np.testing.assert_array_equal(first, columns["time"])
    np.testing.assert_array_equal(channels, columns["channels"])
    np.testing.assert_array_equal(np.bitwise_count(channels), columns["multiplicity"])
    assert (last - first <= 10).all()
    assert columns["multiplicity"].min() == 2


def test_angle_between_axes_counts():
    stages = [CalibrateHits(detector=DETECTOR_133, slewing=0)]
    detector = stages[0].brings()["detector"][1]
    axes = np.stack([detector[f"dir_{c}"][:31] for c in "xyz"], axis=1)
    t0 = detector["t0"][:31]
    for other in range(1, 31):
        tdc = 1e6 - t0[[0, other]]
        partition = slices([1], [2], detector["dom_id"][:1], channel_id=[0, other], tdc=np.round(tdc))
        found = run(partition, *stages, FindCoincidences(within=10, min_cos=0.3))
        assert found.rows("coincidences") == (axes[0] @ axes[other] >= 0.3)


def test_events_are_treated_module_by_module():
    """Hits of events give what the same hits give as frames."""
    rng = np.random.default_rng(3)
    n_hits, dom_id = 400, np.array([11, 7, 30, 2])
    module, tdc = rng.integers(0, 4, n_hits), rng.integers(0, 2000, n_hits)
    channel = rng.integers(0, 31, n_hits)
    half = n_hits // 2
    as_events = events([half, half], dom_id[module], channel_id=channel, tdc=tdc)
    frame = module + 4 * (np.arange(n_hits) >= half)
    by_frame = np.argsort(frame, kind="stable")
    hits = {"channel_id": channel[by_frame], "tdc": tdc[by_frame]}
    as_slices = slices([4, 4], np.bincount(frame), np.tile(dom_id, 2), **hits)
    stage = FindCoincidences(time="tdc", within=25)
    found = run(as_events, stage).tables["coincidences"]
    expected = run(as_slices, stage)
    slice_of = expected.owners("frames")[expected.owners("coincidences")]
    module_of = np.tile(dom_id, 2)[expected.owners("coincidences")]
    order = np.lexsort((module_of, slice_of))
    assert len(order) > 50
    for name, column in expected.tables["coincidences"].items():
        np.testing.assert_array_equal(found[name], column[order])


FRAME = st.lists(st.tuples(st.integers(0, 33), st.integers(0, 60)), max_size=12)


def plain_coincidences(hits, within, min_pmts):
    hits = sorted((t, c) for c, t in hits if c < 32)
    found = []
    while hits:
        window = [hit for hit in hits if hit[0] - hits[0][0] <= within]
        pmts = {c for _, c in window}
        if len(pmts) >= min_pmts:
            found.append((window[0][0], len(pmts), len(window), sum(1 << c for c in pmts)))
            hits = hits[len(window) :]
        else:
            hits = hits[1:]
    return found


@settings(deadline=None)
@given(st.lists(FRAME, min_size=1, max_size=5), st.integers(1, 30), st.integers(1, 4), st.randoms())
def test_windows_follow_their_definition(frames, within, min_pmts, random):
    channel, tdc = (np.array([hit[i] for frame in frames for hit in frame], dtype=int) for i in (0, 1))
    n_hits = [len(frame) for frame in frames]
    partition = slices([len(frames)], n_hits, np.arange(len(frames)), **raw_hits(channel, tdc))
    stage = FindCoincidences(time="tdc", within=within, min_pmts=min_pmts)
    found = run(partition, stage)
    columns = found.tables["coincidences"]
    got = list(
        zip(*(columns[c].tolist() for c in ("time", "multiplicity", "n_hits", "channels")), strict=True)
    )
    expected = [plain_coincidences(frame, within, min_pmts) for frame in frames]
    assert got == [one for frame in expected for one in frame]
    assert found["frames/n_coincidences"].tolist() == [len(frame) for frame in expected]
    starts = np.cumsum([0, *n_hits])[:-1]
    within_frames = [random.sample(range(n), n) for n in n_hits]
    order = np.concatenate([s + np.array(o, dtype=int) for s, o in zip(starts, within_frames, strict=True)])
    shuffled = run(reordered(partition, "hits", order), stage)
    for name, column in columns.items():
        np.testing.assert_array_equal(shuffled.tables["coincidences"][name], column)


def test_nothing_and_one_hit():
    for n_hits in ([], [0], [1]):
        hits = {"channel_id": [3] * sum(n_hits), "tdc": [17] * sum(n_hits)}
        partition = slices([len(n_hits)], n_hits, np.arange(len(n_hits)), **hits)
        assert run(partition, FindCoincidences(time="tdc")).rows("coincidences") == 0
        assert run(partition, MULTIPLICITIES).rows("coincidences") == sum(n_hits)


@pytest.mark.parametrize("n", [0, 1, 5, 5000])
def test_sorting_falls_back_to_merging(n):
    """Hits in the worst order there is, with equal times."""
    rng = np.random.default_rng(n)
    t, channel = np.repeat(np.arange((n + 1) // 2, 0, -1.0), 2)[:n], rng.integers(0, 31, n).astype(np.uint8)
    order = np.arange(n)
    sort_group(order, t, channel)
    np.testing.assert_array_equal(
        np.stack([t, channel])[:, order], np.stack([t, channel])[:, np.lexsort((channel, t))]
    )


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_bits_are_counted(word):
    assert n_bits(word) == word.bit_count()
