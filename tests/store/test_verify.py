"""Damage, done to the files of a store, is found and named."""

import json
import re
import uuid
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import etendue as et
from etendue.store import StoreError, layout
from etendue.store.collect import collect_garbage
from etendue.store.fetch import ChunkFiles, get_each
from etendue.store.reader import ChunkError, PassReader
from etendue.store.repository import delete_keys, open_repository, set_keys
from etendue.store.seal import DamageError
from etendue.store.verify import find_damage, ledger_is_lost, verify

from .events import begin, cut, make_events, write_events
from .ragged import contents

EVENTS = make_events(300, seed=2)
EDGES = [0, 100, 100, 130, 300]
N_CHUNKS = 5 * 3 + 3 * 3 + 2 + 1  # events, hits, periods, observation


@pytest.fixture
def store(tmp_path):
    path = str(tmp_path / "s")
    write_events(path, "p", cut(EVENTS, EDGES))
    return path


def file_of(path, array, chunk):
    """The file that a chunk is in."""
    files = ChunkFiles(path, PassReader.open(path).store)
    files.read(array, chunk)
    return Path(path) / "chunks" / files._places[array][chunk][0]


def test_a_whole_pass(store):
    verdict = verify(store)
    assert verdict.damaged == []
    assert verdict.n_chunks == N_CHUNKS
    assert verdict.place == f"{store}@p+0"


def truncate(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x40
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (Path.unlink, "cannot be fetched"),
        (truncate, "cannot be (decoded|fetched)"),
        (flip, "cannot be decoded|other values than were written: CRC-32"),
        (lambda file: file.write_bytes(b""), "cannot be (decoded|fetched)"),
    ],
)
@pytest.mark.parametrize(("chunk", "partition"), [(0, 0), (1, 2), (2, 3)])
def test_harm_to_one_chunk_is_found_and_placed(store, harm, reason, chunk, partition):
    harm(file_of(store, "hits/samples", chunk))
    (damage,) = verify(store).damaged
    assert (damage.array, damage.partition, damage.chunk) == ("hits/samples", partition, chunk)
    assert re.search(reason, damage.reason)
    assert damage.span == ("run1.dat", EDGES[partition], EDGES[partition + 1])
    assert str(damage).startswith(f"table hits, column samples, partition {partition}: ")
    assert str(damage).endswith(f"redo run1.dat from {EDGES[partition]} to {EDGES[partition + 1]}")


def test_every_flipped_byte_is_found_or_harmless(store):
    """Wherever a byte is changed: it is reported, or the chunk still holds what was written."""
    file = file_of(store, "hits/samples", 0)
    whole = file.read_bytes()
    hits = cut(EVENTS, EDGES)[0]["hits"]["samples"]
    rng = np.random.default_rng(0)
    n_found = 0
    for place in [*range(20), *rng.integers(0, len(whole), 60).tolist()]:
        data = bytearray(whole)
        data[place] ^= 1 << rng.integers(8)
        file.write_bytes(data)
        damaged = find_damage(PassReader.open(store, "p"))
        n_found += len(damaged)
        if not damaged:
            read = PassReader.open(store, "p").read({"hits": ["samples"]}, [0])["hits"]["samples"]
            np.testing.assert_array_equal(read, hits)
    assert n_found > 60


def test_wrong_values_in_sound_chunks_are_found(tmp_path, store):
    """A chunk that was swapped with another of the same size decodes well, and is not the right one."""
    other = str(tmp_path / "t")
    tables = {**EVENTS, "hits": {**EVENTS["hits"], "samples": EVENTS["hits"]["samples"][::-1].copy()}}
    write_events(other, "p", cut(tables, EDGES))
    file, source = file_of(store, "hits/samples", 2), file_of(other, "hits/samples", 2)
    padded = source.read_bytes()
    if len(padded) != file.stat().st_size:  # references hold the length
        pytest.skip("the two chunks are not of one size")
    file.write_bytes(padded)
    (damage,) = verify(store).damaged
    assert "other values than were written" in damage.reason


def test_all_damage_is_found_at_the_same_time(store):
    for chunk in (0, 1, 2):
        flip(file_of(store, "hits/samples", chunk))
    damaged = verify(store, n_threads=3).damaged
    assert [damage.partition for damage in damaged] == [0, 2, 3]


def test_progress_and_threads(store):
    calls = []
    assert find_damage(PassReader.open(store), n_threads=1, progress=lambda *at: calls.append(at)) == []
    assert calls == [(n, 4) for n in range(1, 5)]


def test_wrong_checksums_are_damage(tmp_path):
    """What a broken memory wrote decodes well; only the checksum tells."""
    path = str(tmp_path / "s")
    writer = begin(path, "p", cut(EVENTS, EDGES))
    place = writer.ledger.columns.index("events/energy")
    writer.ledger.checksums[3, place] ^= 1
    writer.publish({})
    (damage,) = verify(path).damaged
    assert (damage.array, damage.partition) == ("events/energy", 3)
    assert "other values than were written" in damage.reason


def test_lost_manifests_and_snapshots(store):
    manifests = Path(store) / "manifests"
    for file in manifests.iterdir():
        file.unlink()
    damaged = verify(store).damaged
    assert damaged
    assert all(damage.reason for damage in damaged)


@pytest.fixture
def draft(store):
    """The keys of the pass, to be changed without anybody seeing it."""
    session = open_repository(store).writable_session("main")
    return session.store


def reader_of(draft):
    return PassReader.of_store("memory://draft", "", "p", draft)


def value_of(draft, key):
    return bytes(get_each(draft, [key])[0])


@pytest.mark.parametrize("array", list(layout.LEDGER))
def test_every_flipped_byte_of_the_ledger_is_found_or_harmless(draft, array):
    """Nothing else is blamed, and nobody is given wrong numbers."""
    key = f"{array}/c/0/0"
    whole, rng = value_of(draft, key), np.random.default_rng(3)
    before = ledger_of(reader_of(draft))
    n_found = 0
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 1 << rng.integers(8)
        set_keys(draft, {key: bytes(data)})
        damaged = find_damage(reader_of(draft))
        assert {chunk.array for chunk in damaged} <= {array}
        if damaged:
            n_found += 1
            assert ledger_is_lost(damaged)
            with pytest.raises(ChunkError, match=f"array {array}, chunk 0 "):
                ledger_of(reader_of(draft))
        else:
            assert ledger_of(reader_of(draft)) == before
    assert n_found > 0.8 * len(whole)


def ledger_of(reader):
    columns = {**reader.rows, **reader.checksums, "origin": reader.origin}
    return {name: column.tolist() for name, column in columns.items()}


@pytest.mark.parametrize("array", list(layout.LEDGER))
@pytest.mark.parametrize("kept", [None, 1, 20, -1])
def test_a_ledger_that_is_lost_or_cut_is_named(draft, array, kept):
    key = f"{array}/c/0/0"
    whole = value_of(draft, key)
    delete_keys(draft, [key]) if kept is None else set_keys(draft, {key: whole[:kept]})
    (damage,) = find_damage(reader_of(draft))
    assert (damage.array, damage.partition, damage.chunk) == (array, -1, 0)
    assert str(damage).startswith(f"array {array}: ")


def test_all_damaged_arrays_of_the_ledger_are_named(draft):
    delete_keys(draft, [f"{array}/c/0/0" for array in layout.LEDGER])
    assert {chunk.array for chunk in find_damage(reader_of(draft))} == set(layout.LEDGER)


def test_changed_metadata_are_found(draft):
    """Units that are wrong change no number, and only other readers see them."""
    key = "events/energy/zarr.json"
    set_keys(draft, {key: value_of(draft, key).replace(b"TeV", b"GeV")})
    (damage,) = find_damage(reader_of(draft))
    assert (damage.array, damage.chunk) == ("events/energy", -1)
    assert "metadata holds other values than were written" in str(damage)
    assert not ledger_is_lost([damage])


@pytest.mark.parametrize("change", [(b"run1.dat", b"run2.dat"), (b'"attributes"', b'"attribute_"')])
def test_a_changed_root_is_not_read(draft, change):
    set_keys(draft, {"zarr.json": value_of(draft, "zarr.json").replace(*change)})
    with pytest.raises(DamageError, match=r"@p is damaged: snapshots/\w+: the root is not .*older revision"):
        reader_of(draft)


def test_stores_without_these_checksums_are_read(draft):
    """As they were written before there were any."""
    root = json.loads(value_of(draft, "zarr.json"))
    del root["attributes"]["etendue_crc32"]
    for name in ("ledger_checksums", "metadata_checksums"):
        del root["attributes"]["etendue"][name]
    set_keys(draft, {"zarr.json": json.dumps(root).encode()})
    assert find_damage(reader_of(draft)) == []


def test_a_tag_of_another_snapshot(draft):
    damaged = find_damage(PassReader.of_store("memory://draft", "", "q", draft))
    assert [(chunk.array, "pass 'q'" in chunk.reason) for chunk in damaged] == [("", True)]


@pytest.mark.parametrize("folder", ["snapshots", "manifests", "transactions"])
def test_flipped_bytes_of_icechunk_files_are_found_or_harmless(store, folder):
    """Small chunks, references to others, and metadata: these files have no checksums of their own."""
    rng, n_found, before = np.random.default_rng(5), 0, everything(store)
    for file in sorted((Path(store) / folder).iterdir()):
        whole = file.read_bytes()
        for place in rng.integers(0, len(whole), 8).tolist():
            data = bytearray(whole)
            data[place] ^= 1 << rng.integers(8)
            file.write_bytes(data)
            if verify(store, "p").damaged:
                n_found += 1
            else:
                assert everything(store) == before, (file, place)
        file.write_bytes(whole)
    assert n_found > {"snapshots": 3, "manifests": 50, "transactions": -1}[folder]


def everything(path):
    """All that readers are given of a pass, theirs and those of others."""
    reader = PassReader.open(path, "p")
    found = {"attributes": reader.attributes, "facts": reader.facts, "ledger": ledger_of(reader)}
    for table in reader.schema.values():
        parts = np.flatnonzero(reader.chunk_rows(table.name)).tolist()
        columns = reader.read({table.name: table.variables}, parts)[table.name]
        found[table.name] = {name: column.tobytes() for name, column in columns.items()}
    return found, {key: data for key, data in contents(path).items() if key.endswith("zarr.json")}


def test_stores_that_are_not_directories():
    path = f"memory://{uuid.uuid4()}"
    write_events(path, "p", cut(EVENTS, EDGES))
    verdict = verify(path)
    assert (verdict.damaged, verdict.n_chunks) == ([], N_CHUNKS)
    found = collect_garbage(path)
    assert (found.chunks, found.unfinished) == (0, ())
    assert verify(path).damaged == []


def test_damage_is_repaired_by_a_run(tmp_path):
    """Found by `verify`, made anew by the same run: the next revision is whole, and as the first one was."""
    path = str(tmp_path / "s")
    flow = et.open("simulated://gamma?n_showers=500&seed=1", partition_bytes=1 << 20)
    flow = flow.columns("events/*", "simcam/tel_id", "simcam/r0_waveform")
    flow.write(path, "raw", quiet=True)
    before = et.load(path).drop_nodes("failures").compute()
    truncate(file_of(path, "simcam/r0_waveform", 1))
    flip(file_of(path, "simcam/r0_waveform", 3))
    assert [damage.partition for damage in verify(path).damaged] == [1, 3]
    summary = flow.write(path, "raw", quiet=True, repair=True)
    assert summary.rows["events"] < before["events"].sizes["event"]  # only what was lost
    assert verify(path).damaged == []
    after = et.load(path, "raw").drop_nodes("failures").compute()
    for node in before.subtree:
        xr.testing.assert_equal(node.to_dataset(), after[node.path].to_dataset())


def test_errors(store, tmp_path):
    with pytest.raises(StoreError, match="no pass 'q'"):
        verify(store, "q")
    with pytest.raises(FileNotFoundError):
        verify(str(tmp_path / "nowhere"))
