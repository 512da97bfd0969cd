"""Rates and status of frames against km3io's and a text dump, and the data filter's checks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from km3net_testdata import data_path

from etendue.neutrino.km3net.frames import Check, CheckFrames, DecodeRates, channel_bits, check_hits
from etendue.neutrino.schema import N_PMTS

from .stages import joined, run, run_file, slices

FILES = {
    "thousand": "online/summaryslices.root#summary",
    "one49": "online/KM3NeT_00000049_00008456.summaryslice-167941.root#summary",
}


@pytest.mark.parametrize("name", FILES)
def test_summary_slices_are_as_km3io_reads_them(shared, name):
    reference = np.load(shared / f"reference/km3net/summary_{name}.npz")
    (partition,) = run_file(FILES[name], DecodeRates())
    frames = partition.tables["frames"]
    np.testing.assert_array_equal(frames["dom_id"], reference["dom_id"])
    np.testing.assert_allclose(frames["rate"], reference["rate_hz"], rtol=1e-6)
    columns = {
        "high_rate_veto": "hrv",
        "fifo_full": "fifo",
        "white_rabbit": "wr_ok",
        "udp_trailer": "udp_trailer",
        "udp_packets": "udp_packets",
        "udp_max_sequence": "udp_maxseq",
    }
    for ours, theirs in columns.items():
        np.testing.assert_array_equal(frames[ours], reference[theirs])


def test_a_summary_slice_is_as_its_text_dump_says():
    (partition,) = run_file(FILES["one49"], DecodeRates())
    path = data_path("online/KM3NeT_00000049_00008456.summaryslice-167941.txt")
    with open(path) as file:
        lines = [line.split() for line in file if line.strip()]
    frames = partition.tables["frames"]
    np.testing.assert_array_equal(frames["dom_id"], [int(line[0]) for line in lines])
    rates = np.array([[float(rate) for rate in line[1::2]] for line in lines])
    np.testing.assert_allclose(frames["rate"] / 1e3, rates, atol=0.0501)
    for column, place in {"high_rate_veto": 0, "fifo_full": 1}.items():
        dumped = [[bits[place] == "1" for bits in line[2::2]] for line in lines]
        np.testing.assert_array_equal(frames[column], dumped)


def test_frames_of_time_slices_have_no_rates():
    (partition,) = run_file("online/km3net_online.root#L1", DecodeRates())
    frames = partition.tables["frames"]
    assert "rate" not in frames
    assert frames["udp_trailer"].all()
    np.testing.assert_array_equal(frames["udp_packets"], frames["udp_max_sequence"] + 1)


@pytest.mark.parametrize(
    "path", ["online/KM3NeT_00000267_00025291_L1.root#L1", "online/KM3NeT_00000267_00025291_SN.root#SN"]
)
def test_real_frames_pass_and_partitions_do_not_matter(path):
    whole, cut = run_file(path, CheckFrames()), run_file(path, CheckFrames(), cuts=(1, 2))
    failed = joined(whole, "frames/failed_checks")
    assert failed.size > 100
    assert not failed.any()
    np.testing.assert_array_equal(joined(cut, "frames/failed_checks"), failed)


def test_each_check_fails_on_what_it_is_for():
    frames = {
        "good": ([0, 1, 0], [5, 3, 5]),
        "channel": ([0, 31], [5, 6]),
        "time": ([0, 1], [5, 105_000_001]),
        "order": ([2, 1, 2], [9, 5, 8]),
        "packets": ([0], [1]),
        "trailer": ([0], [1]),
        "empty": ([], []),
    }
    channel, tdc = (np.concatenate([hits[i] for hits in frames.values()]) for i in (0, 1))
    n_hits = [len(hits[0]) for hits in frames.values()]
    partition = slices([len(frames)], n_hits, np.arange(len(frames)), channel_id=channel, tdc=tdc)
    columns = {name: column.copy() for name, column in partition.tables["frames"].items()}
    columns["daq"][:] = 7 << 16 | 8
    columns["daq"][4] = 7 << 16 | 7
    columns["fifo"][5] = 0
    partition.tables["frames"].update(columns)
    failed = run(partition, CheckFrames())["frames/failed_checks"]
    assert failed.tolist() == [0, Check.CHANNEL, Check.TIME, Check.ORDER, Check.UDP, Check.UDP, 0]


def plainly_checked(channel: list[int], tdc: list[int]) -> int:
    failed = Check(0)
    for i, (c, t) in enumerate(zip(channel, tdc, strict=True)):
        failed |= Check.CHANNEL if c >= N_PMTS else Check(0)
        failed |= Check.TIME if t > 100 else Check(0)
        before = [t for c_before, t in zip(channel[:i], tdc[:i], strict=True) if c_before == c]
        failed |= Check.ORDER if before and before[-1] > t else Check(0)
    return int(failed)


HIT = st.tuples(st.integers(0, 40), st.integers(0, 110))


@settings(deadline=None)
@given(st.lists(st.lists(HIT, max_size=8), max_size=6))
def test_checks_follow_their_definition(frames):
    starts = np.cumsum([0, *map(len, frames)])
    channel = np.array([hit[0] for frame in frames for hit in frame], dtype=np.uint8)
    tdc = np.array([hit[1] for frame in frames for hit in frame], dtype=np.uint32)
    failed = check_hits(starts, channel, tdc, N_PMTS, 100)
    assert failed.tolist() == [plainly_checked(*map(list, zip(*f, strict=True))) if f else 0 for f in frames]


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), max_size=20))
def test_bits_of_channels(words):
    bits = channel_bits(np.array(words, dtype=np.uint32))
    assert bits.shape == (len(words), N_PMTS)
    for word, row in zip(words, bits, strict=True):
        assert sum(int(bit) << i for i, bit in enumerate(row)) == word & 0x7FFFFFFF
