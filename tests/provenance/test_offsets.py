"""Where an event lies in its raw file: other readers go there, and find that event."""

import gzip
import re
import struct
import zlib
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard
from eventio import EventIOFile

import etendue as et
from etendue.provenance import lineage


def followed(path, folder, column, top="events", most=3):
    """Some events of a raw file: row, columns, and the step in the file that lineage gives."""
    store = folder / "s"
    et.open(path).columns(f"{top}/*").write(store, "raw", quiet=True)
    top = et.load(store, "raw")[top]
    columns = {name: array.values.tolist() for name, array in top.items() if array.ndim == 1}
    n_rows = len(columns[column])
    for row in range(0, n_rows, -(-n_rows // most)):
        steps = lineage(store, "raw", columns[column][row])
        # all are in one partition; several events may have the number
        (step,) = (b for a, b in pairwise(steps) if (a.depth, a.blocks, a.row) == (0, (0, 1), row))
        yield row, {name: values[row] for name, values in columns.items()}, step


def spans(offset):
    """What each line of an offset names, with its bytes."""
    found = re.findall(r"^(.*?),? ?bytes ([\d,]+) to ([\d,]+)", offset, flags=re.MULTILINE)
    return [(name, *(int(n.replace(",", "")) for n in numbers)) for name, *numbers in found]


@pytest.mark.parametrize("packed", [True, False])
def test_eventio_finds_the_event_of_simtel_at_its_offset(shared, tmp_path, packed):
    (path,) = (shared / "data/simtel").glob("pyeventio__lst_muons_with_true_photons*.zst")
    content = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
    if not packed:
        path = tmp_path / "plain.simtel"
        path.write_bytes(content)
    events = list(followed(path, tmp_path, "event_id"))
    assert len(events) == 3
    for _, event, step in events:
        ((_, first, stop),) = spans(step.offset)
        part = tmp_path / "part.simtel"
        part.write_bytes(content[first:stop])
        headers = [item.header for item in EventIOFile(str(part))]
        assert (headers[0].type, headers[-1].type) == (2021, 2010)  # simulated event, array event
        assert headers[0].id == event["event_id"]
        assert step.offset.endswith("of the unpacked stream" if packed else "of the file")


# --- IceCube: frames by hand, as icetray-public's portable_binary_archive.rst describes them


def i3_frame(content, at):
    """Stream of the frame at a byte, its blobs by key, and where it ends."""
    assert content[at : at + 4] == b"[i3]"
    version, stream, n_objects = struct.unpack_from("<IxxcI", content, at + 4)
    assert version == 6
    at, blobs = at + 15, {}
    for _ in range(n_objects):
        parts = []
        for _ in range(3):
            (length,) = struct.unpack_from("<I", content, at)
            parts.append(content[at + 4 : at + 4 + length])
            at += 4 + length
        blobs[parts[0].decode()] = parts[2]
    return stream.decode(), blobs, at + 4  # after the checksum


def i3_frame_starts(content):
    starts = [0]
    while starts[-1] < len(content):
        starts.append(i3_frame(content, starts[-1])[2])
    return starts


@pytest.mark.parametrize(
    "name",
    [
        "oscNext_genie_level7_v02_first_5_frames.i3.gz",
        "oscNext_noise_level3_v02_first_5_frames.i3.gz",
        "stochastics_test_data.i3",
    ],
)
def test_the_frames_of_an_icecube_event_are_at_their_offsets(shared, tmp_path, name):
    path = shared / "data/icecube/i3" / name
    is_packed = name.endswith(".gz")
    content = gzip.decompress(path.read_bytes()) if is_packed else path.read_bytes()
    starts = i3_frame_starts(content)
    events = list(followed(path, tmp_path, "event_id"))
    assert len(events) >= 2
    for _, event, step in events:
        whole = "the unpacked stream" if is_packed else "the file"
        assert all(line.endswith(f" of {whole}") for line in step.offset.splitlines())
        found = [i3_frame(content, first) for _, first, _ in spans(step.offset)]
        assert [stream for stream, *_ in found] == ["P", "Q"]
        for (line, first, stop), (stream, blobs, end) in zip(spans(step.offset), found, strict=True):
            assert line == f"frame {starts.index(first)} ({stream})"
            assert stop == end
            # an I3EventHeader has the numbers of its run, part of the run, and event one after the other
            header = blobs["I3EventHeader"]
            at = header.index(struct.pack("<I", event["run_id"]))
            if stream == "P":  # the DAQ frame's may be another one in simulations
                assert struct.unpack_from("<I", header, at + 8) == (event["event_id"],)


def test_the_frames_of_a_message_are_told(shared, tmp_path):
    path = shared / "data/icecube/realtime_json/hese_event_00.json"
    ((_, _, step),) = followed(path, tmp_path, "event_id")
    assert [name for name, *_ in spans(step.offset)] == ["frame 4 (P)", "frame 3 (Q)"]
    physics, daq = spans(step.offset)
    assert daq[1] < daq[2] == physics[1] < physics[2]
    assert "of the message's frames, unpacked" in step.offset


# --- KM3NeT: baskets by hand, as ROOT's TKey and TBasket describe them


def data_path(name):
    return pytest.importorskip("km3net_testdata").data_path(name)


def root_record(content, first, stop):
    """Class and name of the record in some bytes, the numbers of its own header, and its unpacked content."""
    n_bytes, length, key_length = struct.unpack_from(">i2xi4xh", content, first)
    assert n_bytes == stop - first
    at, texts = first + 26 if content[first + 5] < 100 else first + 34, []
    for _ in range(2):
        texts.append(content[at + 1 : at + 1 + content[at]].decode())
        at += 1 + content[at]
    data = content[first + key_length : stop]
    if len(data) != length:
        assert data[:2] == b"ZL"
        data = zlib.decompress(data[9:])
    return *texts, key_length, data


def entry_of_basket(content, first, stop, nth):
    """The bytes of an entry of a basket."""
    kind, branch, key_length, data = root_record(content, first, stop)
    assert kind == "TBasket"
    n_entries, last = struct.unpack_from(">ii", content, first + key_length - 9)
    border = last - key_length
    if border == len(data):
        size = border // n_entries
        return branch, data[nth * size : (nth + 1) * size]
    positions = struct.unpack_from(f">{n_entries}i", data, border + 4)
    edges = [position - key_length for position in positions] + [border]
    return branch, data[edges[nth] : edges[nth + 1]]


def entries_at(path, step):
    """The bytes of each branch of the entry that a step is."""
    content = Path(path.partition("#")[0]).read_bytes()
    _, *lines = step.offset.splitlines()
    found = {}
    for line, (name, first, stop) in zip(lines, spans(step.offset), strict=True):
        nth = int(re.search(r"entry ([\d,]+) of it$", line)[1].replace(",", ""))
        branch, found[branch] = entry_of_basket(content, first, stop, nth)
        assert name.rpartition(": basket")[0] == branch
    return found


HEADER = "KM3NETDAQ::JDAQ{}Header"


@pytest.mark.parametrize("name", ["km3net_online.root", "KM3NeT_00000133_JDAQEvent.root"])
def test_the_baskets_of_a_triggered_event_hold_it(tmp_path, name):
    path = data_path(f"online/{name}")
    for number, event, step in followed(path, tmp_path, "trigger_counter"):
        assert step.offset.splitlines()[0] == f"entry {number} of KM3NET_EVENT"
        found = entries_at(path, step)
        header = found[HEADER.format("Event")]
        assert struct.unpack_from(">i", header, 26) == (event["frame_index"],)
        assert struct.unpack_from(">Q", header, 50) == (event["trigger_counter"],)
        for branch, count in (("snapshotHits", "n_hits"), ("triggeredHits", "n_triggered_hits")):
            assert struct.unpack_from(">i", found[branch], 6) == (event[count],)


@pytest.mark.parametrize(
    ("name", "tree", "branch", "at"),
    [
        ("km3net_online.root#timeslices", "KM3NET_TIMESLICE", HEADER.format("Timeslice"), 26),
        ("km3net_online.root#L1", "KM3NET_TIMESLICE_L1", "frame_index", 0),
        ("events_sample.root#SN", "KM3NET_TIMESLICE_SN", "frame_index", 0),
        ("KM3NeT_00000267_00025291_L1.root", "KM3NET_TIMESLICE_L1", "frame_index", 0),
        ("summaryslices.root", "KM3NET_SUMMARYSLICE", HEADER.format("Summaryslice"), 26),
        ("object wise#L1", "KM3NET_TIMESLICE_L1", None, None),
    ],
)
def test_the_baskets_of_a_slice_hold_it(tmp_path, name, tree, branch, at):
    file, mark, stream = name.partition("#")
    here = Path(__file__).parents[1] / "neutrino/sources/data/km3net_object_wise.root"
    path = (str(here) if file == "object wise" else data_path(f"online/{file}")) + mark + stream
    for number, row, step in followed(path, tmp_path, "frame_index", "timeslices"):
        assert step.offset.splitlines()[0] == f"entry {number:,} of {tree}"
        found = entries_at(path, step)
        if branch:
            assert struct.unpack_from(">i", found[branch], at) == (row["frame_index"],)
        else:  # all of the slice is one object
            (whole,) = found.values()
            assert struct.pack(">i", row["frame_index"]) in whole[:100]


@pytest.mark.parametrize(
    "name", ["offline/km3net_offline.root", "dst/mcv5.1.km3_numuCC.ALL.dst.bdt.10events.root"]
)
def test_the_baskets_of_an_offline_event_are_in_the_bytes_that_are_told(tmp_path, name):
    uproot = pytest.importorskip("uproot")
    path = data_path(name)
    with uproot.open(path) as file:
        trees = {tree: file[tree] for tree in ("E", "T") if tree in file}
        for number, _, step in followed(path, tmp_path, "trigger_counter"):
            lines = step.offset.splitlines()
            assert [line.partition(":")[0] for line in lines] == [
                f"entry {number} of {tree}" for tree in trees
            ]
            for (_, first, stop), tree in zip(spans(step.offset), trees.values(), strict=True):
                keys = [branch.basket_key(0) for branch in tree.itervalues() if branch.num_baskets]
                assert first in {key.fSeekKey for key in keys}
                assert stop in {key.fSeekKey + key.fNbytes for key in keys}


def test_a_basket_in_the_record_of_the_tree_is_found_there(shared):
    uproot = pytest.importorskip("uproot")
    from etendue.neutrino.sources.km3net.baskets import Branch

    path = shared / "data/root/nanoAOD_2015_CMS_Open_Data_ttbar.root"
    with uproot.open(path) as file:
        branch = Branch(str(path), "Events", file["Events/event"])
        kind, name, _, _ = root_record(path.read_bytes(), *branch.bytes_of(0))
        assert (kind, name) == ("TTree", "Events")
        assert "basket 0 in the record of the tree" in branch.place_of(0)


def test_an_entry_of_a_later_basket_is_found_there():
    path = data_path("online/events_sample.root")
    from etendue.neutrino.sources.km3net.baskets import Tree
    from etendue.neutrino.sources.km3net.streams import opened

    with opened(path) as file:
        branch = Tree(path, file, "KM3NET_TIMESLICE").branch("vector<KM3NETDAQ::JDAQSuperFrame>")
        places = [branch.bytes_of(entry) for entry in range(10)]
        assert all(a < b for (a, _), (b, _) in pairwise(places))  # a basket each
        for entry, (first, stop) in enumerate(places):
            _, whole = entry_of_basket(Path(path).read_bytes(), first, stop, 0)
            assert whole == branch.entries(entry, entry + 1).data.tobytes()
