"""Summary slices against the reference arrays and the text that was dumped from one of them."""

from pathlib import Path

import numpy as np
import pytest

from tests.neutrino.sources.km3net_files import (
    EVENTS_267,
    MUPAGE,
    ONLINE_44,
    SUMMARIES,
    SUMMARY_49,
    joined,
    read,
    whole,
)


@pytest.mark.parametrize(("path", "reference"), [(SUMMARIES, "thousand"), (SUMMARY_49, "one49")])
def test_summary_slices_equal_the_reference(path, reference, shared):
    expected = np.load(shared / f"reference/km3net/summary_{reference}.npz")
    slices = whole(f"{path}#summary")
    np.testing.assert_array_equal(slices.offsets("frames"), expected["offsets"])
    np.testing.assert_array_equal(slices["timeslices/frame_index"], expected["frame_index"])
    np.testing.assert_array_equal(slices["frames/dom_id"], expected["dom_id"])
    np.testing.assert_array_equal(slices["frames/rates"], expected["raw"])
    channel = np.arange(31)
    for word, flags, last in (("status", "hrv", "wr_ok"), ("fifo", "fifo", "udp_trailer")):
        bits = slices[f"frames/{word}"][:, np.newaxis] >> channel
        np.testing.assert_array_equal((bits & 1).astype(bool), expected[flags])
        np.testing.assert_array_equal((slices[f"frames/{word}"] >> 31).astype(bool), expected[last])
    np.testing.assert_array_equal(slices["frames/daq"] & 0x7FFF, expected["udp_packets"])
    np.testing.assert_array_equal(slices["frames/daq"] >> 16, expected["udp_maxseq"])


def test_a_slice_is_what_jpp_printed_of_it():
    """One line a module: of each channel its rate in kHz, and whether it was vetoed or its FIFO was full."""
    text = Path(SUMMARY_49.removesuffix(".root") + ".txt").read_text()
    lines = [line.split() for line in text.splitlines()]
    slices = whole(SUMMARY_49)
    assert slices["frames/dom_id"].tolist() == [int(line[0]) for line in lines]
    rates = slices["frames/rates"].astype(float)
    printed = np.array([line[1::2] for line in lines], dtype=float)
    expected = np.where(rates > 0, 2.0 * np.exp(rates * np.log(1000) / 255), 0)
    np.testing.assert_allclose(printed, expected, atol=0.051)
    flags = np.array([line[2::2] for line in lines])
    for digit, word in enumerate(("status", "fifo")):
        bits = (slices[f"frames/{word}"][:, np.newaxis] >> np.arange(31)) & 1
        assert bits.tolist() == [[int(flag[digit]) for flag in line] for line in flags.tolist()]


def test_numbers_of_frames_of_the_files_without_reference():
    for path, n in {EVENTS_267: 5536, ONLINE_44: 198, MUPAGE: 3780}.items():
        assert len(whole(f"{path}#summary")["frames/dom_id"]) == n


def test_summary_slices_do_not_depend_on_partitions():
    expected, found = joined([whole(SUMMARIES)]), joined(read(SUMMARIES, [1, 2, 500, 999])[1])
    for name, column in expected.items():
        np.testing.assert_array_equal(found[name], column)
