"""Broken files: whatever the bytes, an error that says where, or a loss that is counted; nothing else."""

import os
import resource
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uproot.source.chunk import Chunk
from uproot.source.cursor import Cursor

from etendue.dataflow.source import SourceError
from etendue.neutrino.sources.km3net import KM3NeTSource
from etendue.neutrino.sources.km3net.baskets import Tree
from etendue.neutrino.sources.km3net.parameters import parse_parameters
from etendue.neutrino.sources.km3net.streams import opened, stream
from tests.neutrino.sources.km3net_files import (
    EVENTS_133,
    MUPAGE,
    OBJECT_WISE,
    ONLINE_44,
    SAMPLE_44,
    SUMMARY_49,
    all_columns,
    read,
    whole,
)

#: Mutations of each kind of basket: seven times 200; set ETENDUE_MUTATIONS=20000 for more than 10^5.
MUTATIONS = int(os.environ.get("ETENDUE_MUTATIONS", "200"))
SOURCE = KM3NeTSource()


def bytes_of(path):
    with open(path, "rb") as file:
        return bytearray(file.read())


def baskets(path, tree):
    """First byte and bytes of each basket of each branch of a tree, by branch and number."""
    with opened(path) as file:
        return {
            (branch.name, n): (int(branch.member("fBasketSeek")[n]), int(branch.member("fBasketBytes")[n]))
            for branch in file[tree].itervalues(recursive=True)
            for n in range(branch.num_baskets)
        }


def broken_copy(tmp_path, path, at, new):
    data = bytes_of(path)
    data[at : at + len(new)] = new
    copy = tmp_path / "broken.root"
    copy.write_bytes(data)
    return str(copy)


def test_a_malformed_event_is_told_and_left_out(tmp_path):
    """The number of hits in the second event's vector is made one greater."""
    start, size = baskets(EVENTS_133, "KM3NET_EVENT")["snapshotHits", 0]
    with opened(EVENTS_133) as file:  # not packed, so that a byte of the file is a byte of an entry
        assert file["KM3NET_EVENT"]["snapshotHits"].basket(0).uncompressed_bytes == size
    key_length = int.from_bytes(bytes_of(EVENTS_133)[start + 14 : start + 16], "big")
    at = start + key_length + 5910 + 6  # the second event begins after 5,910 bytes
    copy = broken_copy(tmp_path, EVENTS_133, at, (1081).to_bytes(4, "big"))
    place = "KM3NET_EVENT/snapshotHits entry 1"
    with pytest.raises(SourceError, match=f"{place}: expected a vector of hits of 10 bytes each") as error:
        SOURCE.scan(copy)
    assert error.value.failure.events_lost == 1
    scan, parts = read(copy, [1, 2], "skip")
    assert [(f.place, f.events_lost) for f in scan.failures] == [(place, 1)]
    assert scan.rows["events"].tolist() == [1, 0] + [1] * 8
    assert [p.rows("events") for p in parts] == [1, 0, 8]
    assert all(p.failures == () for p in parts)
    good = whole(EVENTS_133)
    keep = np.arange(10) != 1
    np.testing.assert_array_equal(
        np.concatenate([p["events/time"] for p in parts]), good["events/time"][keep]
    )
    np.testing.assert_array_equal(
        np.concatenate([p["hits/tdc"] for p in parts]), good["hits/tdc"][keep[good.owners("hits")]]
    )


def test_what_breaks_between_scan_and_read_is_told_by_the_read(tmp_path):
    start, _ = baskets(EVENTS_133, "KM3NET_EVENT")["triggeredHits", 0]
    copy = broken_copy(tmp_path, EVENTS_133, 0, b"root")
    scan = SOURCE.scan(copy)
    broken_copy(tmp_path, EVENTS_133, start, b"\xff" * 4)
    with pytest.raises(SourceError, match=r"triggeredHits basket 0 \(entries 0 to 9\)"):
        list(SOURCE.read(scan, [(0, 10)], all_columns(scan)))
    (part,) = SOURCE.read(scan, [(0, 10)], all_columns(scan), "skip")
    assert part.rows("events") == part.rows("hits") == 0
    assert [failure.events_lost for failure in part.failures] == [10]


def test_a_broken_basket_costs_its_own_entries_only(tmp_path):
    start, _ = baskets(SAMPLE_44, "KM3NET_TIMESLICE")["vector<KM3NETDAQ::JDAQSuperFrame>", 3]
    copy = broken_copy(tmp_path, SAMPLE_44, start, b"\xff" * 18)
    scan, (part,) = read(f"{copy}#timeslices", None, "skip")
    assert scan.rows["timeslices"].tolist() == [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]
    assert [failure.events_lost for failure in scan.failures] == [1]
    good = whole(f"{SAMPLE_44}#timeslices")
    np.testing.assert_array_equal(part["frames/n_hits"], np.delete(good["frames/n_hits"], 3))


def test_a_file_cut_short_is_refused(tmp_path):
    data = bytes_of(SUMMARY_49)
    for length in (0, 3, 4, 50, 300, 10_000, len(data) * 2 // 3):
        path = tmp_path / "cut.root"
        path.write_bytes(data[:length])
        with pytest.raises(SourceError):
            SOURCE.scan(str(path))


def survives(path):
    """Scan and read in both ways; nothing but a source's error may come of it."""
    SOURCE.accepts(path)
    for on_error in ("raise", "skip"):
        try:
            scan = SOURCE.scan(path, on_error)
            n = len(scan.rows[scan.schema.top.name])
            cuts = range(0, n + 1, max(1, n // 2))
            for part in SOURCE.read(scan, list(pairwise(cuts)), all_columns(scan), on_error):
                for name, columns in part.tables.items():
                    assert scan.schema[name].validate(columns, complete=True) == part.rows(name)
        except SourceError:
            pass


@pytest.fixture
def bounded_memory():
    """No more memory than 4 GB beyond what is in use."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (4 << 30), limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


_BYTES = st.one_of(
    st.binary(min_size=1, max_size=16),
    st.sampled_from(
        [b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x00" * 8, b"\x80\x00\x00\x00", b"\x40\x00\x00\x00"]
    ),
)


FILES = [
    (EVENTS_133, "events"),
    (SUMMARY_49, "summary"),
    (MUPAGE, "SN"),  # member-wise
    (ONLINE_44, "SN"),  # split
    (SAMPLE_44, "timeslices"),  # unsplit header
    (OBJECT_WISE, "SN"),
    (OBJECT_WISE, "L1"),  # whole
]


class MutatedBranch:
    """A branch of uproot whose baskets have other bytes."""

    def __init__(self, branch, mutations):
        self._branch, self._mutations = branch, mutations

    def __getattr__(self, name):
        return getattr(self._branch, name)

    def basket_chunk_cursor(self, number):
        chunk, _ = self._branch.basket_chunk_cursor(number)
        raw = np.array(chunk.raw_data)
        for place, new in self._mutations:
            at = place % len(raw) if place < len(raw) else place % min(len(raw), 130)
            raw[at : at + len(new)] = np.frombuffer(new, np.uint8)[: len(raw) - at]
        return Chunk.wrap(chunk.source, raw), Cursor(0)


class MutatedTree(Tree):
    """A tree of which the branch with the given number has other bytes in its baskets."""

    number, mutations = 0, ()

    def branch(self, name):
        branch = super().branch(name)
        used = self.used = {*getattr(self, "used", ()), name}
        if len(used) - 1 == self.number:
            branch._branch = MutatedBranch(branch._branch, self.mutations)
        return branch


@pytest.mark.parametrize(("path", "name"), FILES, ids=lambda value: value.rpartition("/")[2])
def test_mutations_of_baskets(path, name, bounded_memory):
    """The bytes of one branch's baskets, the first (its key) more often than others."""
    kind = stream(name)
    schema = kind.schema()
    wanted = frozenset(f"{table.name}/{c}" for table in kind.row_tables for c in schema[table.name].variables)
    places = st.one_of(st.integers(0, 130), st.integers(0, 1 << 24))

    with opened(path) as file:
        tree = MutatedTree(path, file, kind.tree)
        tree.used = set()
        kind.reader(tree)
        last = len(tree.used) - 1

        @settings(max_examples=MUTATIONS, deadline=None)
        @given(st.integers(0, last), st.lists(st.tuples(places, _BYTES), min_size=1, max_size=4))
        def check(number, mutations):
            tree.number, tree.mutations, tree.used = number, mutations, set()
            reader = kind.reader(tree)
            for only_count in (True, False):
                look = reader.look(0, tree.n_entries, only_count=only_count)
                keep = look.rows[kind.row_tables[0].name] > 0
                assert (len(look.problems) > 0) == (not keep.all())
            for table, columns in reader.tables(look, keep, wanted).items():
                assert schema[table].validate(columns, complete=True) == look.rows[table].sum()

        check()


@pytest.mark.parametrize(("path", "name"), FILES[:4], ids=lambda value: value.rpartition("/")[2])
def test_mutations_of_files(path, name, tmp_path, bounded_memory):
    """Half of the mutations hit a basket of the tree (its key or entries), half any byte of the file."""
    data = bytes_of(path)
    copy = tmp_path / "mutated.root"
    copy.write_bytes(data)
    within = st.one_of(
        *(
            st.one_of(st.integers(start, start + min(size, 130)), st.integers(start, start + size - 1))
            for start, size in baskets(path, stream(name).tree).values()
        )
    )
    places = st.one_of(within, st.integers(0, len(data) - 1))

    @settings(
        max_examples=MUTATIONS // 10,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(st.lists(st.tuples(places, _BYTES), min_size=1, max_size=4))
    def check(mutations):
        # only the bytes that differ are written, and put back
        with open(copy, "r+b") as file:
            for at, new in mutations:
                file.seek(at)
                file.write(new[: len(data) - at])
        try:
            survives(f"{copy}#{name}")
        finally:
            with open(copy, "r+b") as file:
                for at, new in mutations:
                    file.seek(at)
                    file.write(data[at : at + len(new)])

    check()


def test_mutations_of_trigger_parameters():
    with opened(MUPAGE) as file:
        chunk, cursor = file.key("JTRIGGER::JTriggerParameters").get_uncompressed_chunk_cursor()
        whole_object = np.asarray(chunk.raw_data)[cursor.index :].tobytes()
        streamers = file.file.streamers

        @settings(max_examples=MUTATIONS, deadline=None)
        @given(st.integers(0, len(whole_object) - 1), _BYTES)
        def check(at, new):
            data = whole_object[:at] + new + whole_object[at + len(new) :]
            try:
                parameters = parse_parameters("mutated.root", data, streamers)
            except SourceError as error:
                assert "JTriggerParameters" in str(error)  # noqa: PT017
            else:
                assert "trigger3DMuon" in parameters

        check()
