"""Where events came from, against eventio's own addresses and against what the sources read."""

import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from eventio import EventIOFile

import etendue as et
from etendue.dataflow.source import find_source, get_source
from etendue.provenance import NoSuchEventError, lineage

from ..packed_copies import packed_again

MC_EVENT, ARRAY_EVENT = 2021, 2010


@cache
def addresses(path):
    """First and last byte of the objects of each event, by eventio: {event_id: (first, stop)}."""
    found, event_id, first = {}, None, None
    for item in EventIOFile(path):
        header = item.header
        if header.type == MC_EVENT:
            event_id, first = header.id, header.content_address - header.header_size
        elif header.type == ARRAY_EVENT:
            found[event_id] = (first, header.content_address + header.content_size)
    return found


def chains(steps):
    """The steps of each event."""
    starts = [n for n, step in enumerate(steps) if step.depth == 0]
    return [steps[a:b] for a, b in zip(starts, [*starts[1:], len(steps)], strict=True)]


def test_each_event_is_followed_to_its_bytes_in_the_file(made):
    events = et.load(made.dl1)["events"]
    ids, runs = events["event_id"].values, events["run"].values
    for row, (event_id, run) in enumerate(zip(ids.tolist(), runs.tolist(), strict=True)):
        dl1, raw, file = lineage(made.dl1, "dl1", event_id, run)
        assert [step.depth for step in (dl1, raw, file)] == [0, 1, 2]
        assert dl1.place.startswith(f"{made.dl1}@dl1")
        assert raw.place.startswith(f"{made.raw}@raw")
        assert (file.place, file.source) == (made.files[run], "simtel")
        assert {step.event_id for step in (dl1, raw, file)} == {event_id}
        assert (dl1.run, raw.run, file.run) == (run, run, 0)
        first, stop = addresses(file.place)[event_id]
        assert file.offset == f"bytes {first:,} to {stop:,} of the unpacked stream"
        number = list(addresses(file.place)).index(event_id)
        assert (file.blocks, file.row) == ((number, number + 1), 0)
        assert row == np.flatnonzero((ids == event_id) & (runs == run))[0]
        assert file.remark == ""


def test_a_number_that_several_events_have_gives_all_of_them(made):
    found = chains(lineage(made.dl1, "dl1", 200))
    assert [chain[0].run for chain in found] == [0, 1]
    assert [chain[-1].place for chain in found] == made.files


def test_each_step_tells_what_made_it(made):
    dl1, raw, file = lineage(made.dl1, None, 1000)
    assert (dl1.pipeline, dl1.hash) == ("iact", et.find_pipeline("iact").config_hash)
    assert (raw.pipeline, raw.hash) == ("raw", et.open("x").pipeline.config_hash)
    assert (file.pipeline, file.hash) == ("", "")
    snapshots = [et.passes(store)[-1].snapshot for store in (made.dl1, made.raw)]
    assert [dl1.snapshot, raw.snapshot] == snapshots


@pytest.mark.parametrize(("event_id", "run"), [(3, None), (1000, 0), (100, 7)])
def test_an_event_that_is_not_there_is_refused(made, event_id, run):
    with pytest.raises(NoSuchEventError, match=f"no event with event_id {event_id}"):
        lineage(made.dl1, "dl1", event_id, run)


@pytest.mark.parametrize(
    ("raw_bytes", "copy_bytes"), [(100_000, 1), (100_000, 1 << 30), (1 << 30, 1), (900_000, 4_000)]
)
def test_the_way_does_not_depend_on_how_passes_were_cut(made, tmp_path, raw_bytes, copy_bytes):
    store = tmp_path / "s"
    et.open(*made.files, partition_bytes=raw_bytes).write(store, "raw", quiet=True)
    flow = et.open(f"{store}@raw", partition_bytes=copy_bytes)
    flow.columns("events/*").write(store, "copy", quiet=True)
    for event_id in (100, 500, 1000):
        ours = [chain[-1] for chain in chains(lineage(store, "copy", event_id))]
        theirs = [chain[-1] for chain in chains(lineage(made.dl1, "dl1", event_id))]
        assert ours == theirs


def test_an_event_of_another_revision_is_followed_to_its_own_file(made, tmp_path):
    store = tmp_path / "s"
    files = [made.files[0], packed_again(made.files[0], tmp_path / "second.simtel.zst")]
    et.open(files[0]).write(store, "nights", quiet=True)
    et.open(*files).write(store, "nights", quiet=True)
    for run in (0, 1):
        (_, file) = lineage(store, "nights", 200, run)
        assert (file.place, file.run) == (files[run], 0)
        first, stop = addresses(file.place)[200]
        assert file.offset == f"bytes {first:,} to {stop:,} of the unpacked stream"


def test_a_file_that_is_gone_leaves_what_is_known(chain_of_files):
    chain, store = chain_of_files
    before = lineage(store, "raw", 1000)[-1]
    Path(chain.files[1]).unlink()
    (_, file) = lineage(store, "raw", 1000)
    assert file.remark == "the file is gone"
    assert file.blocks[0] <= before.blocks[0] < file.blocks[1]
    assert (file.row, file.offset) == (None, "")
    assert (file.place, file.size, file.sha256) == (before.place, before.size, before.sha256)


@pytest.mark.parametrize("how", ["longer", "one byte"])
def test_a_file_that_has_changed_is_not_believed(chain_of_files, how):
    chain, store = chain_of_files
    path = Path(chain.files[1])
    content = bytearray(path.read_bytes())
    if how == "longer":
        content += b"x"
    else:
        content[9] ^= 1  # the byte of a gzip header that names the system
    path.write_bytes(content)
    (_, file) = lineage(store, "raw", 1000)
    assert file.remark.startswith("the file has changed: ")
    assert (file.row, file.offset) == (None, "")


@pytest.fixture
def chain_of_files(chain):
    """A chain of one's own, and a pass of its files."""
    store = chain.folder / "own"
    et.open(*chain.files).write(store, "raw", quiet=True)
    return chain, store


def test_passes_of_one_store_are_found_where_it_was_moved_to(made, tmp_path):
    store = tmp_path / "s"
    et.open(made.files[0]).write(store, "raw", quiet=True)
    et.open(f"{store}@raw").columns("events/*").write(store, "copy", quiet=True)
    store.rename(tmp_path / "moved")
    steps = lineage(tmp_path / "moved", "copy", 200)
    assert [step.depth for step in steps] == [0, 1, 2]
    assert steps[1].place.startswith(f"{tmp_path / 'moved'}@raw")
    assert steps[2].offset


def test_a_pass_that_is_gone_leaves_what_is_known(chain):
    store = chain.folder / "copy"
    et.open(f"{chain.raw}@raw").columns("events/*").write(store, "copy", quiet=True)
    shutil.rmtree(chain.raw)
    (copy, gone) = lineage(store, "copy", 1000)
    assert copy.row is not None
    assert gone.remark.startswith("the pass is gone")
    assert gone.snapshot


def test_three_passes_are_followed_through_their_revisions_to_the_files_of_a_directory(made, tmp_path):
    store, nights = tmp_path / "s", tmp_path / "nights"
    nights.mkdir()
    for night in ("first", "second"):
        made_of = shutil.copy if night == "first" else packed_again
        file = Path(made_of(made.files[0], nights / f"{night}.simtel.zst")).resolve()
        et.open(nights).write(store, "raw", quiet=True)
        et.open(f"{store}@raw", partition_bytes=50_000).columns("events/*").write(store, "one", quiet=True)
        et.open(f"{store}@one").columns("events/*").write(store, "two", quiet=True)
        run = int(night == "second")
        for event_id in (100, 300):
            two, one, raw, end = lineage(store, "two", event_id, run)
            passes = [step.place.rpartition("@")[2] for step in (two, one, raw)]
            assert passes == [f"{name}+{run}" for name in ("two", "one", "raw")]
            assert (end.place, end.run) == (str(file), 0)
            first, stop = addresses(str(file))[event_id]
            assert end.offset == f"bytes {first:,} to {stop:,} of the unpacked stream"


def test_an_event_of_a_file_that_was_read_again_is_followed_to_what_it_is_now(made, tmp_path):
    store, file = tmp_path / "s", tmp_path / "a.simtel.zst"
    content = Path(made.files[0]).read_bytes()
    file.write_bytes(content[: len(content) * 2 // 3])
    other = packed_again(made.files[0], tmp_path / "b.simtel.zst")
    et.open(file, other, on_error="skip").write(store, "raw", quiet=True)
    assert len(et.load(store, "raw")["events"]["event_id"]) < 6
    file.write_bytes(content)
    et.open(file, other, on_error="skip").write(store, "raw", retry_failed=True, quiet=True)
    et.open(f"{store}@raw").columns("events/*").write(store, "copy", quiet=True)
    events = et.load(store, "copy")["events"]
    pairs = list(zip(events["event_id"].values.tolist(), events["run"].values.tolist(), strict=True))
    assert sorted(event_id for event_id, _ in pairs) == [100, 100, 200, 200, 300, 300]
    ends = [lineage(store, "copy", *pair)[-1] for pair in pairs]
    assert sorted(end.place for end in ends) == [str(file)] * 3 + [other] * 3
    for end in ends:
        first, stop = addresses(end.place)[end.event_id]
        assert end.offset == f"bytes {first:,} to {stop:,} of the unpacked stream"


def test_a_file_that_may_not_be_read_leaves_what_is_known(chain_of_files, monkeypatch):
    _, store = chain_of_files
    before = lineage(store, "raw", 1000)[-1]

    def refuse(self, path, on_error):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(type(get_source("simtel")), "scan", refuse)
    (_, file) = lineage(store, "raw", 1000)
    assert "Permission denied" in file.remark
    assert (file.place, file.size, file.sha256) == (before.place, before.size, before.sha256)


def test_a_simulated_event_is_found_where_it_is_thrown(tmp_path):
    path = "simulated://gamma?n_showers=300&seed=3"
    et.open(path).columns("events/*").write(tmp_path / "s", "raw", quiet=True)
    events = et.load(tmp_path / "s")["events"]["event_id"].values
    event_id = int(events[-1])
    (_, thrown) = lineage(tmp_path / "s", "raw", event_id)
    assert (thrown.place, thrown.source, thrown.remark) == (path, "simulated", "")
    assert row_ids(path, thrown.blocks)[thrown.row] == event_id
    assert thrown.offset == "seed 3, showers 201 to 300: event_id is the shower's number"
    assert 201 <= event_id <= 300


def row_ids(path, blocks, column="event_id"):
    """What a source reads of some blocks."""
    source = find_source(path)
    scan = source.scan(path)
    top = scan.schema.top.name
    (partition,) = get_source(source.name).read(scan, [blocks], frozenset({f"{top}/{column}"}))
    return partition.tables[top][column].tolist()


def test_an_entry_of_a_tree_is_found(tmp_path):
    data_path = pytest.importorskip("km3net_testdata").data_path
    path = data_path("online/KM3NeT_00000133_JDAQEvent.root")
    et.open(path, partition_bytes=20_000).write(tmp_path / "s", "raw", quiet=True)
    events = et.load(tmp_path / "s")["events"]
    ids = events["trigger_counter"].values.tolist()
    for number in sorted(set(ids)):
        found = chains(lineage(tmp_path / "s", "raw", number))
        assert len(found) == ids.count(number)
        for _, entry in found:
            assert row_ids(path, entry.blocks, "trigger_counter")[entry.row] == number
            assert entry.remark == ""


def test_an_icecube_event_is_found(shared, tmp_path):
    path = str(shared / "data/icecube/i3/oscNext_genie_level7_v02_first_5_frames.i3.gz")
    et.open(path).columns("events/*").write(tmp_path / "s", "raw", quiet=True)
    ids = et.load(tmp_path / "s")["events"]["event_id"].values.tolist()
    for event_id in sorted(set(ids)):
        for _, frame in chains(lineage(tmp_path / "s", "raw", event_id)):
            assert row_ids(path, frame.blocks)[frame.row] == event_id
