"""Triggered events of KM3NeT against what km3io 1.1.0 read (reference arrays) and KM3io.jl's tests expect."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etendue.neutrino.sources.km3net import layouts
from tests.neutrino.sources.km3net_files import (
    EVENTS_133,
    EVENTS_267,
    MUON_CC,
    MUPAGE,
    ONLINE_44,
    SAMPLE_44,
    joined,
    read,
    whole,
)

KEY = ("dom_id", "channel_id", "tdc", "tot")


@pytest.mark.parametrize(
    ("path", "reference"),
    [(MUON_CC, "muoncc"), (EVENTS_133, "ev133"), (EVENTS_267, "ev267"), (ONLINE_44, "online44")],
)
def test_events_equal_km3io(path, reference, shared):
    expected = np.load(shared / f"reference/km3net/events_{reference}.npz")
    events = whole(path)
    for kind, table in (("s", "hits"), ("t", "triggered_hits")):
        for name, theirs in zip(KEY, ("dom_id", "channel_id", "time", "tot"), strict=True):
            np.testing.assert_array_equal(events[f"{table}/{name}"], expected[f"{kind}_{theirs}"])
        offsets = {"s": "snap_offsets", "t": "trig_offsets"}[kind]
        np.testing.assert_array_equal(events.offsets(table), expected[offsets])
    np.testing.assert_array_equal(events["triggered_hits/trigger_mask"], expected["t_trigger_mask"])
    for name, theirs in {
        "det_id": "detector_id",
        "run_id": "run",
        "frame_index": "frame_index",
        "trigger_counter": "trigger_counter",
        "trigger_mask": "trigger_mask",
        "overlays": "overlays",
    }.items():
        np.testing.assert_array_equal(events[f"events/{name}"], expected[f"h_{theirs}"])
    seconds = expected["h_UTC_seconds"].astype(np.int64) & 0x7FFFFFFF
    np.testing.assert_array_equal(
        events["events/time"], seconds * 1_000_000_000 + expected["h_UTC_16ns"].astype(np.int64) * 16
    )


def test_events_of_the_files_without_reference_have_the_known_numbers_of_hits():
    for path, counts in {SAMPLE_44: (10, 1078, 352), MUPAGE: (10, 6624, 267)}.items():
        scan, _ = read(path)
        assert tuple(int(scan.rows[t].sum()) for t in ("events", "hits", "triggered_hits")) == counts


def test_first_event_is_what_km3io_jl_expects():
    events = whole(ONLINE_44)
    assert events["events/n_hits"].tolist() == [96, 124, 78]
    assert events["events/n_triggered_hits"].tolist() == [18, 53, 9]
    assert events["hits/tdc"][:3].tolist() == [30733918, 30733916, 30733256]
    assert events["hits/channel_id"][:5].tolist() == [10, 13, 0, 3, 1]
    assert events["hits/tot"][:5].tolist() == [26, 19, 25, 22, 28]
    assert (events["events/time"] % 1_000_000_000).tolist() == [700_000_000, 700_000_000, 900_000_000]


def _masks_by_dictionary(events):
    """Trigger masks of snapshot hits the slow way."""
    masks = []
    for hits, triggered in zip(
        *(_by_event(events, table) for table in ("hits", "triggered_hits")), strict=True
    ):
        known = {}
        for key, mask in triggered:
            known[key] = known.get(key, 0) | mask
        masks += [known.get(key, 0) for key, _ in hits]
    return masks


def _by_event(events, table):
    rows = list(zip(*(events[f"{table}/{name}"].tolist() for name in KEY), strict=True))
    masks = events[f"{table}/trigger_mask"].tolist()
    offsets = events.offsets(table)
    return [list(zip(rows[a:b], masks[a:b], strict=True)) for a, b in pairwise(offsets)]


@pytest.mark.parametrize("path", [MUON_CC, EVENTS_133, EVENTS_267, ONLINE_44, SAMPLE_44, MUPAGE])
def test_trigger_masks_of_snapshot_hits_are_those_of_the_equal_triggered_hits(path):
    events = whole(path)
    assert events["hits/trigger_mask"].tolist() == _masks_by_dictionary(events)


def test_each_triggered_hit_of_the_simulated_muons_is_in_the_snapshot():
    events = whole(MUON_CC)
    assert np.count_nonzero(events["hits/trigger_mask"]) == len(events["triggered_hits/tdc"]) == 141_244


#: Few values, so that equal hits are common; times at both ends of the range.
_HIT = st.tuples(
    st.sampled_from([-1, 0, 808447186]),
    st.integers(0, 2),
    st.sampled_from([0, 1, 2**31, 2**32 - 1]),
    st.integers(0, 1),
)
_EVENT = st.tuples(
    st.lists(_HIT, max_size=12), st.lists(st.tuples(_HIT, st.integers(0, 2**64 - 1)), max_size=12)
)


@settings(deadline=None)
@given(st.lists(_EVENT, min_size=1, max_size=5))
def test_matching_is_a_dictionary_by_event(events):
    def columns(hits):
        return [
            np.array([hit[n] for hit in hits], dtype=dtype)
            for n, dtype in enumerate(("int32", "uint8", "uint32", "uint8"))
        ]

    hits = [hit for snapshot, _ in events for hit in snapshot]
    triggered = [hit for _, found in events for hit, _ in found]
    bits = np.array([mask for _, found in events for _, mask in found], dtype=np.uint64)
    out = np.full(len(hits), 99, dtype=np.uint64)
    counts = (np.array([len(e[n]) for e in events], dtype=np.int64) for n in (0, 1))
    layouts.match_masks(next(counts), *columns(hits), next(counts), *columns(triggered), bits, out)
    expected = []
    for snapshot, found in events:
        known = {}
        for hit, mask in found:
            known[hit] = known.get(hit, 0) | mask
        expected += [known.get(hit, 0) for hit in snapshot]
    assert out.tolist() == expected


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 250), max_size=6).map(sorted))
def test_events_do_not_depend_on_partitions(cuts):
    _, parts = read(MUON_CC, cuts)
    expected, found = joined([whole(MUON_CC)]), joined(parts)
    assert expected.keys() == found.keys()
    for name, column in expected.items():
        np.testing.assert_array_equal(found[name], column)
