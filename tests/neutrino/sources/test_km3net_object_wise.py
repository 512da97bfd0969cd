"""Time slices that ROOT stored object by object, against the same frames stored member by member."""

import numpy as np
import pytest

from etendue.dataflow.source import SourceError
from etendue.neutrino.schema import SLICE_FRAMES, SLICE_HITS, TIMESLICES
from etendue.neutrino.sources.km3net import KM3NeTSource
from etendue.neutrino.sources.km3net.baskets import Entries, Tree
from etendue.neutrino.sources.km3net.streams import opened
from etendue.neutrino.sources.km3net.timeslices import FRAMES, WholeReader
from tests.neutrino.sources.km3net_files import OBJECT_WISE, SN_267, joined, read, whole

#: Slices of `SN_267` that the file has, and how many frames of each at most.
SLICES, MOST = (0, 50, 51), 12
#: Header split, header one object, slice one object.
STREAMS = ("SN", "timeslices", "L1")


def of_the_real_file(slices, most):
    """Columns of the first frames of some slices of `SN_267`."""
    real = whole(SN_267)
    first_frame, first_hit = real.offsets("frames"), real.offsets("hits")
    frames = np.concatenate([np.arange(first_frame[n], first_frame[n + 1])[:most] for n in slices])
    hits = np.concatenate([np.arange(first_hit[n], first_hit[n + 1]) for n in frames])
    rows = {"timeslices": list(slices), "frames": frames, "hits": hits}
    columns = {
        f"{table}/{name}": column[rows[table]]
        for table, columns in real.tables.items()
        for name, column in columns.items()
    }
    columns["timeslices/n_frames"] = np.minimum(columns["timeslices/n_frames"], most)
    return columns


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, column in expected.items():
        np.testing.assert_array_equal(found[name], column, err_msg=name)


@pytest.mark.parametrize("stream", STREAMS)
def test_slices_equal_those_stored_member_by_member(stream):
    expected = of_the_real_file(SLICES, MOST)
    assert expected["timeslices/n_frames"].tolist() == [0, 12, 12]
    assert 0 in expected["frames/n_hits"]
    assert len(expected["hits/tdc"]) == 44
    assert_same(joined([whole(f"{OBJECT_WISE}#{stream}")]), expected)


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("cuts", [[1], [2], [1, 2]])
def test_slices_do_not_depend_on_partitions(stream, cuts):
    path = f"{OBJECT_WISE}#{stream}"
    assert_same(joined(read(path, cuts)[1]), joined([whole(path)]))


def test_only_wanted_columns_are_read():
    source = KM3NeTSource()
    scan = source.scan(f"{OBJECT_WISE}#SN")
    (part,) = source.read(scan, [(1, 2)], frozenset({"timeslices/frame_index", "hits/tot"}))
    assert {name: sorted(columns) for name, columns in part.tables.items()} == {
        "timeslices": ["frame_index", "n_frames"],
        "frames": ["n_hits"],
        "hits": ["tot"],
    }
    np.testing.assert_array_equal(part["hits/tot"], of_the_real_file([50], MOST)["hits/tot"])


class OneEntry:
    """A branch with one entry."""

    place, boundaries = "somewhere", (0, 1)

    def __init__(self, data):
        self._data = data

    def entries(self, first, stop):
        return Entries(self._data, np.array([0, len(self._data)]))


def test_a_slice_that_is_one_object_may_have_its_frames_stored_member_by_member():
    """ROOT 6.40 writes such slices without hits; so the bytes are those of two files, put together."""
    with opened(OBJECT_WISE) as file:
        slices = Tree(OBJECT_WISE, file, "KM3NET_TIMESLICE_L1").branch("km3net_timeslice_L1")
        preamble_and_header = slices.entries(1, 2).data[6:58].copy()  # without the byte count
    with opened(SN_267) as file:
        frames = Tree(SN_267, file, "KM3NET_TIMESLICE_SN").branch(FRAMES).entries(50, 51).data.copy()
    reader = WholeReader(OneEntry(np.concatenate([preamble_and_header, frames])))
    look = reader.look(0, 1)
    assert look.problems == ()
    tables = (TIMESLICES, SLICE_FRAMES, SLICE_HITS)
    wanted = frozenset(f"{table.name}/{name}" for table in tables for name in table.variables)
    found = reader.tables(look, np.array([True]), wanted)
    columns = {f"{table}/{name}": c for table, columns in found.items() for name, c in columns.items()}
    assert_same(columns, of_the_real_file([50], 10_000))


@pytest.mark.parametrize("stream", ["SN", "L1"])
@pytest.mark.parametrize("place", [0, 5, 14, 82, 88, 91, 92], ids=lambda place: f"byte {place}")
def test_a_frame_with_a_wrong_count_or_version_is_told(tmp_path, stream, place):
    """One bit of a byte count, of the version or of the number of hits of a frame."""
    with open(OBJECT_WISE, "rb") as file:
        data = bytearray(file.read())
    with opened(OBJECT_WISE) as file:
        tree = Tree(OBJECT_WISE, file, f"KM3NET_TIMESLICE_{stream}")
        branch = tree.branch(FRAMES if stream == "SN" else tree.names[0])
        entry = branch.entries(2, 3).data.tobytes()
    at = data.index(entry) + (10 if stream == "SN" else 68)  # the first frame
    data[at + place] ^= 1
    copy = tmp_path / "broken.root"
    copy.write_bytes(data)
    with pytest.raises(SourceError, match=r"entry 2: expected a vector of JDAQSuperFrame version 3"):
        KM3NeTSource().scan(f"{copy}#{stream}")
    scan, (part,) = read(f"{copy}#{stream}", None, "skip")
    assert scan.rows["timeslices"].tolist() == [1, 1, 0]
    assert [failure.events_lost for failure in scan.failures] == [1]
    assert_same(joined([part]), of_the_real_file(SLICES[:2], MOST))
