"""Time slices in their layouts against the reference arrays and the numbers that KM3io.jl's tests expect."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etendue.neutrino.sources.km3net import superframes
from etendue.neutrino.sources.km3net.baskets import Tree
from etendue.neutrino.sources.km3net.streams import opened
from tests.neutrino.sources.km3net_files import (
    L1_267,
    MUPAGE,
    ONLINE_44,
    SAMPLE_44,
    SN_267,
    joined,
    read,
    whole,
)

#: Path and stream, and numbers of slices, frames and hits.
COUNTS = {
    f"{ONLINE_44}#L1": (3, 207, 147_463),
    f"{ONLINE_44}#SN": (3, 198, 329),
    f"{ONLINE_44}#timeslices": (3, 3, 153_692),
    f"{SAMPLE_44}#L1": (10, 690, 456_453),
    f"{SAMPLE_44}#SN": (10, 19, 20),
    f"{SAMPLE_44}#timeslices": (10, 10, 518_718),
    f"{L1_267}#L1": (3, 1_359, 503_333),
    f"{SN_267}#SN": (100, 44_842, 94_341),
    f"{MUPAGE}#L1": (10, 3_780, 378),
    f"{MUPAGE}#SN": (10, 3_780, 166),
}


@pytest.mark.parametrize("path", COUNTS, ids=lambda path: path.rpartition("/")[2])
def test_numbers_of_rows(path):
    slices = whole(path)
    assert (
        tuple(len(slices[f"{table}"]) for table in ("timeslices/time", "frames/daq", "hits/tdc"))
        == COUNTS[path]
    )


@pytest.mark.parametrize(
    ("path", "reference"), [(f"{ONLINE_44}#L1", "L1_44"), (f"{ONLINE_44}#SN", "SN_44"), (L1_267, "L1_267")]
)
def test_slices_equal_the_reference(path, reference, shared):
    expected = np.load(shared / f"reference/km3net/timeslices_{reference}.npz")
    slices = whole(path)
    for name, theirs in {
        "timeslices/frame_index": "frame_index",
        "timeslices/n_frames": "n_frames",
        "frames/dom_id": "module_id",
        "frames/daq": "daq",
        "frames/status": "status",
        "frames/fifo": "fifo",
        "frames/n_hits": "n_hits",
        "hits/channel_id": "channel_id",
        "hits/tdc": "tdc",
        "hits/tot": "tot",
    }.items():
        np.testing.assert_array_equal(slices[name], expected[theirs])


def test_slices_are_what_km3io_jl_expects():
    """Numbers from the tests of KM3io.jl 0.18.25 (MIT), which count from 1."""
    slices = whole(L1_267)
    assert slices["timeslices/frame_index"].tolist() == [5057, 5058, 5059]
    frames = slices.offsets("frames")
    assert np.add.reduceat(slices["frames/n_hits"], frames[:-1]).tolist() == [167_499, 168_414, 167_420]
    first = {name: slices[f"frames/{name}"][0] for name in ("dom_id", "n_hits", "daq", "status")}
    assert first == {"dom_id": 806455816, "n_hits": 432, "daq": 1835037, "status": 0x80000000}
    assert slices["hits/channel_id"][:4].tolist() == [20, 20, 18, 18]
    assert slices["hits/tdc"][:4].tolist() == [97069, 97078, 690216, 690224]
    assert slices["hits/tot"][:4].tolist() == [4, 4, 7, 19]
    slices = whole(SN_267)
    assert slices["timeslices/frame_index"][[0, 50, 99]].tolist() == [2087, 2137, 2186]
    frames, hits = slices.offsets("frames"), slices.offsets("hits")
    assert hits[frames[51]] - hits[frames[50]] == 1084
    assert hits[frames[100]] - hits[frames[99]] == 1068
    frame = frames[50] + np.flatnonzero(slices["frames/n_hits"][frames[50] :])[0]
    assert slices["frames/dom_id"][frame] == 806476519
    assert slices["hits/channel_id"][hits[frame] : hits[frame + 1]].tolist() == [12, 14, 15, 19]
    times = [62757457, 62757456, 62757463, 62757457]
    assert slices["hits/tdc"][hits[frame] : hits[frame + 1]].tolist() == times


def test_the_first_slice_of_supernova_hits_is_empty():
    slices = whole(SN_267)
    assert slices["timeslices/n_frames"][:2].tolist() == [0, 453]


def test_slices_start_when_their_frame_does():
    for path in (SN_267, L1_267, f"{SAMPLE_44}#L1", f"{SAMPLE_44}#timeslices"):
        slices = whole(path)
        frames = np.diff(slices["timeslices/frame_index"].astype(np.int64))
        np.testing.assert_array_equal(np.diff(slices["timeslices/time"]), frames * 100_000_000)


@pytest.mark.parametrize(
    ("path", "tree"), [(L1_267, "_L1"), (SN_267, "_SN"), (SAMPLE_44, ""), (ONLINE_44, "")]
)
def test_numbers_of_hits_agree_with_the_lengths_of_the_frames(path, tree):
    """A frame says its length on the wire, which no other column is read from: 56 bytes and 6 a hit."""
    name = f"KM3NET_TIMESLICE{tree}"
    with opened(path) as file:
        branch = Tree(path, file, name).branch("vector<KM3NETDAQ::JDAQSuperFrame>")
        entries = branch.entries(0, branch.n_entries)
    starts, stops = entries.offsets[:-1], entries.offsets[1:]
    n_frames, _ = superframes.count_frames(entries.data, starts, stops)
    lengths = superframes.frame_words(entries.data, starts, n_frames, "length", "uint32")
    slices = whole(f"{path}#{tree[1:] or 'timeslices'}")
    np.testing.assert_array_equal(slices["frames/n_hits"], (lengths - 56) // 6)


def test_every_hit_is_of_a_photomultiplier_and_within_the_frame():
    for path in (f"{SAMPLE_44}#L1", L1_267, SN_267):
        slices = whole(path)
        assert slices["hits/channel_id"].max() < 31
        assert slices["hits/tdc"].max() < 1.05e8


@pytest.mark.parametrize("path", [f"{SAMPLE_44}#L1", f"{SAMPLE_44}#timeslices", SN_267])
def test_slices_do_not_depend_on_partitions(path):
    expected = joined([whole(path)])

    @settings(deadline=None, max_examples=5)
    @given(st.lists(st.integers(0, 10), max_size=4).map(sorted))
    def check(cuts):
        found = joined(read(path, cuts)[1])
        for name, column in expected.items():
            np.testing.assert_array_equal(found[name], column)

    check()


def test_only_wanted_columns_are_read():
    from etendue.neutrino.sources.km3net import KM3NeTSource

    source = KM3NeTSource()
    scan = source.scan(L1_267)
    (part,) = source.read(scan, [(1, 2)], frozenset({"timeslices/frame_index", "hits/tot"}))
    assert {name: sorted(columns) for name, columns in part.tables.items()} == {
        "timeslices": ["frame_index", "n_frames"],
        "frames": ["n_hits"],
        "hits": ["tot"],
    }
    assert len(part["hits/tot"]) == scan.rows["hits"][1]
