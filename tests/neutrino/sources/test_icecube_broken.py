"""Broken files of frames: cut, with changed bytes, with damage between frames, and mutated at random."""

import base64
import bz2
import gzip
import json
import zlib

import numpy as np
import pytest
import zstandard

from etendue.dataflow.source import SourceError
from etendue.neutrino.sources.icecube import decode, frame_walk, frames, read_frames

from . import fuzz_icecube as fuzz
from . import i3_files as i3


@pytest.fixture
def broken(tmp_path):
    """Write a broken file; returns its path."""

    def write(content, name="broken.i3"):
        path = tmp_path / name
        path.write_bytes(content)
        return str(path)

    return write


def events(n, start=0):
    """Frames of so many events, each of a DAQ frame and two physics frames."""
    made = []
    for i in range(start, start + n):
        made.append(i3.frame("Q", {"I3EventHeader": i3.header(1, i), "x": i3.number(i)}))
        made += [i3.frame("P", {"fit": i3.particle(energy=10 * i + k)}) for k in range(2)]
    return made


def refused(path):
    with pytest.raises(SourceError) as caught:
        i3.scan_and_read(path)
    assert caught.value.failure.path == path
    return str(caught.value)


def kept(path):
    """Events that are read, and how many are said to be lost."""
    scan, partition = i3.scan_and_read(path, "skip")
    n_lost = sum(failure.events_lost for failure in scan.failures + partition.failures)
    found = zip(partition["events/event_id"].tolist(), partition["events/fit_energy"].tolist(), strict=True)
    return list(found), n_lost


ALL = [(i, 10.0 * i + k) for i in range(4) for k in range(2)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "expected frames, found none: the file is empty"),
        (b"SIMPLE  = T" * 10, "expected a frame, which starts with b'[i3]', found b'SIMP'"),
        (i3.frame("Q", {}, version=5), "expected a frame of version 6, found version 5"),
        (b"[i3]" + b"\xff" * 40, "found version 4294967295"),
        (i3.frame("Q", {"a": i3.number(1)})[:-3], "expected a whole frame, found the end after"),
        (i3.frame("Q", {})[:11] + b"\xff" * 4 + bytes(99), "expected a frame of at most"),
    ],
)
def test_other_content_is_refused(broken, content, words):
    assert words in refused(broken(content))


def test_missing_file_is_refused(tmp_path):
    path = str(tmp_path / "none.i3")
    assert not i3.SOURCE.accepts(path)
    assert "No such file" in refused(path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress, bz2.compress])
def test_cut_files_keep_the_whole_events_before(broken, pack):
    parts = events(4)
    plain = b"".join(parts)
    ends = np.cumsum([len(part) for part in parts])
    for cut in (ends[6] - 1, ends[6] + 5, ends[7] - 20):
        path = broken(pack(plain[:cut]))
        assert f"byte {ends[6] if cut > ends[6] else ends[5]} " in refused(path)
        # The last DAQ frame's events are those that were read, or one that is lost with it.
        n = 5 if cut > ends[6] + 5 else 4
        found, n_lost = kept(path)
        assert found == [event for event in ALL if event[0] < 2][:n]
        assert n_lost == (1 if cut > ends[6] else 0)


def test_packed_data_that_ends_too_early(broken):
    plain = b"".join(events(4))
    for pack, name in ((gzip.compress, "gzip"), (zstandard.compress, "zstd"), (bz2.compress, "bzip2")):
        packed = pack(plain)
        message = refused(broken(packed[:-9]))
        assert f"the {name} data ends too early" in message or f"the {name} data is corrupted" in message
    packed = bytearray(gzip.compress(plain))
    packed[len(packed) // 2] ^= 0xFF
    assert "the gzip data is corrupted" in refused(broken(bytes(packed)))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_changed_byte_costs_the_events_that_have_it(broken, pack):
    parts = events(4)
    for victim, lost in ((4, [(1, 10.0)]), (3, [(1, 10.0), (1, 11.0)])):
        changed = bytearray(parts[victim])
        changed[-20] ^= 1
        path = broken(pack(b"".join([*parts[:victim], bytes(changed), *parts[victim + 1 :]])))
        offset = sum(map(len, parts[:victim]))
        message = refused(path)
        assert "expected the checksum (CRC-32C) of the frame's bytes, found another: corrupted" in message
        assert f"frame {victim} ({'Q' if victim == 3 else 'P'}), byte {offset}" in message or victim == 3
        assert kept(path) == ([event for event in ALL if event not in lost], len(lost))


@pytest.mark.parametrize("fill", [500, 1 << 20])
@pytest.mark.parametrize("pack", [bytes, zstandard.compress])
def test_damage_between_frames(broken, pack, fill, monkeypatch):
    """Bytes that are no frame, that end like one, and lengths that lead elsewhere."""
    monkeypatch.setattr(frame_walk, "FILL", fill)
    parts = events(4)
    lead = b"".join(parts[:4])
    rest = b"".join(parts[5:])
    start = len(lead)
    rubbish = (b"rubbish [i3] [i3" * 9, bytes(3), parts[4][:-30])
    for damage in rubbish:
        path = broken(pack(lead + damage + rest))
        assert f"byte {start} " in refused(path)
        found, n_lost = kept(path)
        # What follows the damage may be of a DAQ frame in it, up to the next one.
        assert found == [event for event in ALL if event[0] != 1]
        assert n_lost == 2
    changed = bytearray(parts[4])
    changed[15:19] = (300).to_bytes(4, "little")  # the length of its first key
    path = broken(pack(lead + bytes(changed) + rest))
    assert kept(path)[0][:2] == ALL[:2]
    assert kept(path)[0][-4:] == ALL[-4:]


def test_damage_with_endless_beginnings_of_frames(broken):
    path = broken(events(1)[0] + b"[i3]\6\0\0\0" * 20_000)
    scan = i3.SOURCE.scan(path, "skip")
    assert (i3.n_events(scan), sum(failure.events_lost for failure in scan.failures)) == (0, 1)


def test_conditions_that_are_broken(broken):
    geometry = bytearray(i3.frame("G", {"I3Geometry": i3.geometry({(1, 1): (0.0, 0.0, 0.0)})}))
    geometry[-30] ^= 1
    path = broken(bytes(geometry) + b"".join(events(2)))
    assert "frame 0 (G), byte 0" in refused(path)
    _, partition = i3.scan_and_read(path, "skip")
    assert "events after it are given the conditions before it" in partition.failures[0].message
    assert (partition.rows("events"), partition.failures[0].events_lost) == (4, 0)


@pytest.mark.parametrize(
    ("blobs", "words"),
    [
        ({"mask": i3.mask("gone", [[True]])}, "refers to 'gone', which the event lacks"),
        ({"mask": i3.mask("mask", [[True]])}, "refers to itself"),
        (
            {
                "pulses": i3.pulse_map({(1, 1, 0): [(1.0, 1.0, 1.0, 1)]}),
                "mask": i3.mask("pulses", [[True, True]]),
            },
            "expected bits of 1 pulses, found 2",
        ),
        (
            {"pulses": i3.pulse_map({(1, 1, 0): []}), "mask": i3.mask("pulses", [[True], [True]])},
            "expected bits of 1 modules, found 2",
        ),
        (
            {"fit": i3.Blob("I3Particle", 6).pack("40d", *range(40))},
            "version 6 of the class I3Particle is not known",
        ),
        ({"fit": i3.Blob("I3Particle", 5).pack("d", 1.0)}, "it ends before its last field"),
        ({"x": i3.Blob("I3Double").pack("2d", 1.0, 1.0)}, "expected its end, found 8 bytes more"),
        ({"dst": i3.superdst([(1, 1, True, [(5, 3, 1)])]).content[:-9] + bytes(9)}, "I3SuperDST"),
    ],
)
def test_objects_that_cannot_be_decoded_cost_their_event(broken, blobs, words):
    path = broken(b"".join([*events(1), i3.frame("Q", blobs), *events(1, start=1)]))
    message = refused(path)
    assert words in message
    assert "frame 3 (Q), byte" in message
    _, partition = i3.scan_and_read(path, "skip")
    assert partition["events/event_id"].tolist() == [0, 0, 1, 1]
    assert sum(failure.events_lost for failure in partition.failures) == 1


def test_items_that_are_read_all_at_once_are_refused_where_they_end():
    """Of items of 21 bytes, the first has two more: one too short for those is found by the last item."""
    blob = i3.pulse_map({(1, 2, 0): [(float(i), 2.0, 3.0, 1) for i in range(5)]}).content
    assert decode(blob).levels["pulses"]["time"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    for cut in (1, 2):
        with pytest.raises(ValueError, match=f"byte {len(blob) - 17}: it ends before its last field"):
            decode(blob[:-cut])
    for cut in range(3, len(blob) - 8):
        with pytest.raises(
            ValueError, match=r"ends before its last field|no more items than|not decoded|of the type"
        ):
            decode(blob[:-cut])
    with pytest.raises(ValueError, match="expected its end, found 1 bytes more"):
        decode(blob + b"1")


def test_an_object_at_fault_leaves_nothing_in_the_next(broken):
    blobs = [i3.triggers([7, 8]).content[:-1], i3.triggers([None, 9]), i3.triggers([3])]
    path = broken(b"".join(i3.frame("Q", {"fired": blob}) for blob in blobs))
    _, partition = i3.scan_and_read(path, "skip")
    assert partition["events/n_fired"].tolist() == [2, 1]
    assert partition["fired/config_id"].tolist() == [0, 9, 3]


def test_unions_of_one_another_end(broken):
    names = [f"u{i}" for i in range(20)]
    path = broken(i3.frame("Q", {name: i3.union(*names) for name in names}))
    assert "refers to itself" in refused(path)


def message(*pieces):
    pairs = [["Q", base64.b64encode(zlib.compress(piece)).decode()] for piece in pieces]
    return json.dumps({"value": {"data": pairs}}).encode()


def test_messages(broken):
    parts = events(2)
    pickled = [b"pickle" + part + b"more" for part in parts]
    as_text = [b"pickle" + part.decode("latin-1").encode() + b"more" for part in parts]
    for pieces in (pickled, as_text):
        path = broken(message(*pieces), "message.json")
        assert i3.SOURCE.accepts(path)
        assert kept(path) == (ALL[:4], 0)
        assert [frame.stop for frame in read_frames(path)] == list("QPPQPP")
    assert "expected a frame, which starts with" in refused(broken(message(parts[0], b"no frame")))
    cut = b"pickle" + parts[4][:-9]
    path = broken(message(*pickled[:4], cut, pickled[5]))
    assert "expected a whole frame with a right checksum" in refused(path)
    assert kept(path) == (ALL[:2], 2)
    assert "expected a JSON text" in refused(broken(message(*pickled)[:-3]))


def test_memory_is_bounded_by_what_is_there(broken, monkeypatch):
    monkeypatch.setattr(frames, "MAX_FRAME", 1 << 20)
    huge = i3.frame("Q", {"x": bytes(1 << 22)})
    assert "expected a frame of at most" in refused(broken(bz2.compress(huge)))


def test_fuzzed():
    fuzz.run(1000, fuzz.objects(), seed=3, share_of_files=0.08)


def test_fuzzed_real_objects(shared):
    blobs = fuzz.objects() | fuzz.real_objects(shared / "data" / "icecube")
    fuzz.run(
        500, {key: blob for key, blob in blobs.items() if len(blob) < 1 << 16}, seed=4, share_of_files=0.0
    )
