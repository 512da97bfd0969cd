"""Broken sim_telarray files: cut and with flipped bytes, packed and not, made from real ones."""

import gzip
import struct
from itertools import accumulate

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etendue.dataflow.source import SourceError
from etendue.iact.sources.simtel import walk

from .simtel_files import SOURCE, contents, find, load, objects, unpacked

ARRAY_EVENT = 2010
#: The two smallest files: gzip with a single telescope of one gain, zstd with one of two gains.
SMALLEST = ("digicampipe__1", "pyeventio__gamma_with")


@pytest.fixture
def broken(tmp_path):
    """Write a broken file; returns its path."""

    def write(content, name="broken.simtel"):
        path = tmp_path / name
        path.write_bytes(content)
        return str(path)

    return write


@pytest.fixture
def stream(shared):
    """Unpacked content of a file, and its objects: (type, first byte, end)."""

    def make(name):
        plain = unpacked(find(shared, name))
        kinds, parts = zip(*objects(plain), strict=True)
        ends = list(accumulate(map(len, parts)))
        return plain, list(zip(kinds, [0, *ends[:-1]], ends, strict=True))

    return make


def first_of(parts, kind, n=0):
    return [(start, end) for k, start, end in parts if k == kind][n]


def flipped(content, at, mask=0xFF):
    return content[:at] + bytes([content[at] ^ mask]) + content[at + 1 :]


def refused(path):
    with pytest.raises(SourceError) as caught:
        load(path)
    assert caught.value.failure.path == path
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "expected a sim_telarray run header (2000), found none: the file is empty"),
        (b"SIMPLE  = T" * 10, "expected the marker 378a1fd4 of an object, found 53494d50"),
        (struct.pack("<4sIII", walk.SYNC, 1200, 0, 8) + bytes(8), "not made by sim_telarray"),
        (walk.SYNC_BIG_ENDIAN + bytes(40), "found big-endian data"),
    ],
)
def test_other_content_is_refused(broken, content, words):
    assert words in refused(broken(content))


def test_missing_file_is_refused(tmp_path):
    assert "cannot be read (No such file" in refused(str(tmp_path / "none.simtel"))


def test_cut_in_the_header_cannot_be_skipped(stream, broken):
    plain, parts = stream("digicampipe__1")
    start, end = first_of(parts, 2004)
    path = broken(plain[: (start + end) // 2])
    assert f"byte {start} (header): expected an object of {end - start} bytes" in refused(path)
    with pytest.raises(SourceError, match="truncated"):
        SOURCE.scan(path, "skip")
    assert "expected the descriptions of 1 telescopes, found 0" in refused(broken(plain[:start]))


@pytest.mark.parametrize("name", ["pyeventio__extracted", "pyeventio__prod4"])
def test_cut_in_an_event_keeps_those_before(stream, broken, shared, name):
    plain, parts = stream(name)
    whole, _ = contents(find(shared, name), "raise")
    start, end = first_of(parts, ARRAY_EVENT, 3)
    for cut in (start + 8, start + 100, end - 1):
        path = broken(plain[:cut])
        message = refused(path)
        assert f"{path}: byte {start} " in message
        assert "after 3 events" in message
        assert (
            "truncated, or the length is wrong; get the file anew, or leave out what cannot be read"
            in message
        )
        kept, n_lost = contents(path)
        assert (list(kept), n_lost) == (list(whole)[:3], int(cut > start + 20))
        assert kept.items() <= whole.items()


def test_cut_between_objects(stream, broken, shared):
    """A packed file that ends too early is seen to do so; an unpacked one cannot be."""
    plain, parts = stream("pyeventio__extracted")
    _, end = first_of(parts, ARRAY_EVENT, 1)
    packed = gzip.compress(plain[:end])
    assert len(contents(broken(plain[:end]), "raise")[0]) == 2
    path = broken(packed[:-12])
    assert "gzip data ends too early" in refused(path)
    assert len(contents(path)[0]) == 1


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (0, "expected the marker 378a1fd4 of an object, found c88a1fd4"),
        (12, "bytes, found other bytes: corrupted"),  # length: some bytes more or less
        (14, "found the end after 1811940: truncated, or the length is wrong"),  # many bytes more
        (6, "expected an object of at most 1073741824 bytes"),  # flag: with more bits of length
        (24, "expected objects that fill it exactly"),  # length of the first part
    ],
)
def test_broken_event_is_left_out(stream, broken, shared, place, words):
    plain, parts = stream("pyeventio__prod4")
    whole, _ = contents(find(shared, "pyeventio__prod4"), "raise")
    start, _ = first_of(parts, ARRAY_EVENT, 4)
    path = broken(flipped(plain, start + place))
    message = refused(path)
    assert words in message
    assert f"byte {start} (object 2010, after 4 events)" in message
    kept, n_lost = contents(path)
    assert (sorted(whole.keys() - kept.keys()), n_lost) == ([500], 1)
    assert kept.items() <= whole.items()


def test_broken_shower_costs_its_event(stream, broken, shared):
    """The event after a lost shower is not given the truth of the shower before."""
    plain, parts = stream("pyeventio__prod4")
    whole, _ = contents(find(shared, "pyeventio__prod4"), "raise")
    for kind in (2020, 2021, 1204, 2026):
        start, _ = first_of(parts, kind, 2)
        kept, n_lost = contents(broken(flipped(plain, start + 1)))
        assert (sorted(whole.keys() - kept.keys()), n_lost) == ([300], 1)
        assert kept.items() <= whole.items()


def test_broken_samples_are_found_when_decoded(stream, broken, shared):
    """The scan does not decode: the event is lost to the read, and counted there."""
    plain, parts = stream("pyeventio__prod4")
    start, _ = first_of(parts, ARRAY_EVENT, 4)
    samples = plain.index(struct.pack("<I", 2013 | 3 << 20), start) + 20
    path = broken(plain[: samples + 1000] + b"\xff" * 8 + plain[samples + 1008 :])
    message = refused(path)
    assert (
        f"byte {start} (object 2010, event 4): the samples of 2 gains, 1855 pixels are corrupted" in message
    )
    scan, (partition,) = load(path, "skip")
    assert (scan.failures, scan.rows["lstcam"].sum()) == ((), 10)
    assert [failure.events_lost for failure in partition.failures] == [1]
    assert partition["events/event_index"].tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert partition.rows("lstcam") == 9


@pytest.mark.parametrize(("kind", "what"), [(2022, "pedestals (2022)"), (2023, "laser calibration (2023)")])
def test_missing_calibration(stream, broken, kind, what):
    plain, parts = stream("pyeventio__prod4")
    start, end = first_of(parts, kind)
    path = broken(plain[:start] + plain[end:])
    message = refused(path)
    assert "of telescope 1 before it" in message
    assert what in message
    kept, n_lost = contents(path)
    assert (len(kept), n_lost) == (0, 10)


def test_broken_calibration_voids_the_events(stream, broken):
    plain, parts = stream("pyeventio__prod4")
    start, _ = first_of(parts, 2023)
    path = broken(flipped(plain, start + 16))  # number of pixels
    assert "the pedestals or the laser calibration of telescope 1 are corrupted" in refused(path)
    kept, n_lost = contents(path)
    assert (len(kept), n_lost) == (0, 10)


def test_wrong_checksum_voids_the_file(stream, broken):
    """Data that unpacks but for its checksum may be wrong anywhere."""
    plain, _ = stream("pyeventio__extracted")
    path = broken(flipped(gzip.compress(plain), -8))
    assert "gzip data is corrupted (Error -6 Incorrect checksum found)" in refused(path)
    kept, n_lost = contents(path)
    assert (len(kept), n_lost) == (0, 5)


def test_second_run_in_a_file(stream, broken, shared):
    plain, parts = stream("pyeventio__lst_muons_with")
    path = broken(plain + plain)
    message = refused(path)
    assert f"byte {len(plain) + first_of(parts, 2000)[0]} (object 2000, after 3 events)" in message
    assert "found another after it, which is not read; split the file, or leave out" in message
    assert contents(path) == (contents(find(shared, "pyeventio__lst_muons_with"))[0], 3)


def test_file_that_changed_after_the_scan(stream, broken):
    plain, parts = stream("pyeventio__extracted")
    path = broken(plain)
    scan = SOURCE.scan(path)
    broken(plain[: first_of(parts, ARRAY_EVENT, 3)[0]])
    with pytest.raises(SourceError, match="scan it anew"):
        list(SOURCE.read(scan, [(0, 5)], frozenset({"events/event_id"})))
    first, second = SOURCE.read(scan, [(0, 4), (4, 5)], frozenset({"events/event_id"}), "skip")
    assert [sum(f.events_lost for f in partition.failures) for partition in (first, second)] == [1, 1]
    assert first["events/event_id"].tolist() == [1, 2, 3]


FIXTURES = [HealthCheck.function_scoped_fixture]
FUZZ = settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=FIXTURES)
PARTS = st.floats(0, 1, exclude_max=True)
FLIPS = st.lists(st.tuples(PARTS, st.integers(1, 255)), min_size=1, max_size=5)


def assert_refused_or_intact(path, whole):
    """Raising or skipping, what comes out is what was in the file, or nothing."""
    for mode in ("raise", "skip"):
        try:
            kept, _ = contents(path, mode)
        except SourceError:
            continue
        assert kept.items() <= whole.items()


@pytest.mark.parametrize("name", SMALLEST)
@given(part=PARTS, packed=st.booleans())
@FUZZ
def test_any_cut(shared, broken, name, part, packed):
    path = find(shared, name)
    whole, _ = contents(path, "raise")
    with open(path, "rb") as file:
        content = file.read() if packed else unpacked(path)
    cut = broken(content[: int(part * len(content))])
    assert_refused_or_intact(cut, whole)
    with pytest.raises(SourceError):
        load(cut)


@pytest.mark.parametrize("name", SMALLEST)
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=3)
)
@FUZZ
def test_any_flips_in_a_packed_file(shared, broken, name, flips):
    path = find(shared, name)
    whole, _ = contents(path, "raise")
    with open(path, "rb") as file:
        content = file.read()
    for part, mask in flips:
        content = flipped(content, int(part * len(content)), mask)
    assert_refused_or_intact(broken(content), whole)


@pytest.mark.parametrize("name", SMALLEST)
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=9)
)
@FUZZ
def test_any_flips_in_an_unpacked_file(shared, broken, name, flips):
    """Without a checksum a wrong number cannot be told; but nothing fails other than by a SourceError."""
    content = unpacked(find(shared, name))
    for part, mask in flips:
        content = flipped(content, int(part * len(content)), mask)
    path = broken(content)
    for mode in ("raise", "skip"):
        try:
            kept, _ = contents(path, mode)
        except SourceError:
            continue
        assert len(kept) <= 1
