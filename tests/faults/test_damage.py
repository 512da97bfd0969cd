"""Files of a published pass are damaged: `etendue verify` names what, `--repair` makes it anew."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from etendue.store import layout
from etendue.store.fetch import ChunkFiles
from etendue.store.reader import PassReader
from etendue.store.verify import find_damage
from tests.store.ragged import contents

from .harness import assert_same_but_revision, command, tags
from .raw import write_raw


def file_of(store: Path, array: str, chunk: int) -> Path:
    """The file that a chunk is in."""
    files = ChunkFiles(str(store), PassReader.open(str(store)).store)
    files.read(array, chunk)
    return store / "chunks" / files._places[array][chunk][0]


def cut_in_half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip_a_bit(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x10
    file.write_bytes(data)


HARM = [cut_in_half, flip_a_bit, Path.unlink]


@pytest.fixture
def store(undisturbed, tmp_path) -> Path:
    """A copy of a pass, to do harm to."""
    return shutil.copytree(undisturbed, tmp_path / "s.etendue")


@pytest.mark.parametrize("harm", HARM)
def test_a_damaged_chunk_is_found_and_made_anew(site, inputs, forge, undisturbed, store, harm):
    harm(file_of(store, "hits/samples", 4))
    reader = PassReader.open(str(store))
    (partition,) = np.flatnonzero(np.cumsum(reader.rows["hits"] > 0) == 5)[:1]
    number, first, stop = reader.origin[partition]

    ended = forge("verify", store)
    assert ended.code == 3
    assert f"table hits, column samples, partition {partition}" in ended.output
    assert f"redo {inputs[number]} from {first} to {stop}" in ended.output

    forge.succeeds(*command(site, inputs, store))
    assert tags(store) == ["p"]  # without --repair, nobody looks

    forge.succeeds(*command(site, inputs, store, "--repair"))
    assert tags(store) == ["p", "p+1"]
    assert_same_but_revision(store, undisturbed)
    forge.succeeds("verify", store)
    assert forge("verify", store, "--pass", "p+0").code == 3


def test_many_damaged_chunks_are_made_anew_and_the_others_shared(site, inputs, forge, undisturbed, store):
    for n, chunk in enumerate([0, 3, 9, 16]):
        HARM[n % 3](file_of(store, ["hits/samples", "hits/charge"][n % 2], chunk))
    ended = forge("verify", store, "--json")
    assert ended.code == 3
    (found,) = json.loads(ended.output).values()
    damaged = [(chunk["array"], chunk["chunk"]) for chunk in found["damaged"]]
    assert damaged == [("hits/samples", 0), ("hits/charge", 3), ("hits/samples", 9), ("hits/charge", 16)]
    files = {file.name for file in (store / "chunks").iterdir()}
    forge.succeeds(*command(site, inputs, store, "--repair"))
    assert_same_but_revision(store, undisturbed)
    n_new = len({file.name for file in (store / "chunks").iterdir()} - files)
    assert n_new <= 4 * 5 + 5  # chunks of the damaged partitions, and what there is one of
    forge.succeeds(*command(site, inputs, store, "--repair"))
    assert tags(store) == ["p", "p+1"]


@pytest.mark.parametrize("harm", [flip_a_bit, Path.unlink])
def test_damaged_static_tables_are_made_anew(site, forge, tmp_path, harm):
    """Static tables that are larger than what Icechunk keeps in its manifests."""
    inputs = [write_raw(tmp_path / f"run{n:03}.raw", 2, seed=n * 2654435761 % 2**32) for n in range(200)]
    store, other = tmp_path / "s.etendue", tmp_path / "t.etendue"
    forge.succeeds(*command(site, inputs, store))
    shutil.copytree(store, other)
    harm(file_of(store, "observation/seed", 0))
    ended = forge("verify", store)
    assert ended.code == 3
    assert "table observation, column seed" in ended.output
    forge.succeeds(*command(site, inputs, store, "--repair"))
    assert_same_but_revision(store, other)


def test_a_repair_that_is_killed_is_taken_up(site, inputs, forge, undisturbed, store):
    for chunk in range(0, 15, 2):
        flip_a_bit(file_of(store, "hits/samples", chunk))
    for point in ("after branch_off.1", "after begin.1", "after commit.2", "after write_ledger.1"):
        (forge.points / point).touch()
        assert forge(*command(site, inputs, store, "--repair")).code < 0
    forge.succeeds(*command(site, inputs, store, "--repair"))
    assert_same_but_revision(store, undisturbed)
    assert tags(store) == ["p", "p+1"]


def lose(store: Path, array: str, tag: str | None = None) -> None:
    """Delete the manifest of an array, and with it its chunks if they are small."""
    for file in sorted((store / "manifests").iterdir()):
        data = file.read_bytes()
        file.unlink()
        if {chunk.array for chunk in find_damage(PassReader.open(str(store), tag))} == {array}:
            return
        file.write_bytes(data)
    raise LookupError(array)


def contents_but_times(store: Path) -> dict[str, bytes]:
    return {key: data for key, data in contents(str(store)).items() if key != "zarr.json"}


@pytest.mark.parametrize("array", list(layout.LEDGER))
def test_with_a_damaged_ledger_all_is_made_anew(site, inputs, forge, undisturbed, store, array):
    """Nothing is known of the chunks then, so none is kept."""
    lose(store, array)
    ended = forge("verify", store)
    assert ended.code == 3
    assert f"  array {array}: cannot be fetched" in ended.output
    ended = forge.succeeds(*command(site, inputs, store, "--repair"))
    assert "none can be judged, and all are made anew" in ended.output
    assert tags(store) == ["p", "p+1"]
    assert_same_but_revision(store, undisturbed)
    forge.succeeds("verify", store)
    forge.succeeds(*command(site, inputs, store, "--repair"))
    assert tags(store) == ["p", "p+1"]


def test_with_a_damaged_ledger_nothing_is_added(site, inputs, forge, store):
    lose(store, layout.CHECKSUMS)
    more = write_raw(site.parent / "more.raw", 300, seed=9)
    ended = forge(*command(site, [*inputs, more], store))
    assert ended.code == 1
    assert "array checksums, chunk 0 cannot be fetched" in ended.output
    assert tags(store) == ["p"]


def test_making_all_anew_is_taken_up(site, inputs, forge, undisturbed, store):
    lose(store, layout.ORIGIN)
    for point in ("after branch_off.1", "after begin.1", "after commit.2", "after write_ledger.1",
                  "before create_tag.1"):  # fmt: skip
        (forge.points / point).touch()
        assert forge(*command(site, inputs, store, "--repair")).code < 0
    forge.succeeds(*command(site, inputs, store, "--repair"))
    assert_same_but_revision(store, undisturbed)
    assert tags(store) == ["p", "p+1"]


@pytest.mark.parametrize("array", [layout.PARTITIONS, "failures/message"])
def test_a_pass_of_many_revisions_is_made_anew_as_it_was(site, forge, tmp_path, array):
    """Made in two nights, with inputs that could not be read, and one that could be in the end."""
    inputs = [tmp_path / f"run{n}.raw" for n in range(4)]
    for n, path in enumerate(inputs):
        write_raw(path, 500 + 100 * n, seed=n)
    whole = inputs[0].read_bytes()
    inputs[0].write_bytes(whole[: len(whole) // 2])
    inputs[2].write_bytes(b"nothing")
    store, skip = tmp_path / "s.etendue", ("--on-error", "skip")
    assert forge(*command(site, inputs[:2], store, *skip)).code == 3
    assert forge(*command(site, inputs, store, *skip)).code == 3
    inputs[0].write_bytes(whole)
    assert forge(*command(site, inputs, store, *skip, "--retry-failed")).code == 3
    before = contents_but_times(store)
    lose(store, array, "p")
    assert (
        forge(*command(site, inputs, store, *skip, "--repair")).code == 3
    )  # the broken input is told of again
    assert contents_but_times(store) == before
    forge.succeeds("verify", store)
    assert tags(store) == ["p", "p+1", "p+2", "p+3"]
    forge.succeeds(*command(site, inputs, store, *skip, "--repair"))
    assert tags(store) == ["p", "p+1", "p+2", "p+3"]


def test_a_damaged_snapshot_is_named_with_what_to_do(site, inputs, forge, store, tmp_path):
    forge.succeeds(*command(site, inputs[:2], tmp_path / "t.etendue"))
    before = contents(str(tmp_path / "t.etendue"))
    forge.succeeds(*command(site, inputs, tmp_path / "t.etendue"))
    store, snapshot = tmp_path / "t.etendue", PassReader.open(str(tmp_path / "t.etendue")).snapshot
    cut_in_half(store / "snapshots" / snapshot)
    for ended in (forge("verify", store), forge("verify", store, "--pass", "p")):
        assert ended.code == 3
        assert f"is damaged: snapshots/{snapshot}: " in ended.output
    for options in ((), ("--repair",), ("--fresh",)):
        ended = forge(*command(site, inputs, store, *options))
        assert ended.code == 1
        assert f"is damaged: snapshots/{snapshot}: " in ended.output
        assert "an older revision" in ended.output
    assert contents(f"{store}@p+0") == before
    forge.succeeds("verify", store, "--pass", "p+0")


@pytest.mark.parametrize("harm", [cut_in_half, flip_a_bit, Path.unlink])
def test_a_damaged_unfinished_pass_is_begun_anew(site, inputs, forge, undisturbed, tmp_path, harm):
    store = tmp_path / "s.etendue"
    (forge.points / "after commit.2").touch()
    assert forge(*command(site, inputs, store)).code < 0
    newest = max((store / "snapshots").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    harm(newest)
    ended = forge(*command(site, inputs, store))
    if ended.code:  # the flipped bit may be of no importance
        assert ended.code == 1
        assert "Traceback" not in ended.output
        assert "--fresh" in ended.output
        # A bit may leave a snapshot that can be read, but lacks an array, a manifest or its own name.
        told = ("is damaged: ", "pass 'p' is not complete", "cannot be read or written: ")
        assert any(words in ended.output for words in told)
        forge.succeeds(*command(site, inputs, store, "--fresh"))
    assert_same_but_revision(store, undisturbed)


def test_nothing_is_made_anew_from_other_inputs(site, inputs, forge, store, tmp_path):
    """The raw file changed after the pass was made from it, so the pass cannot be made whole from it."""
    flip_a_bit(file_of(store, "hits/samples", 4))
    moved = [Path(shutil.copy(path, tmp_path)) for path in inputs]
    write_raw(moved[0], 1200, seed=77)
    store_of_moved = tmp_path / "moved.etendue"
    moved[0].write_bytes(inputs[0].read_bytes())
    forge.succeeds(*command(site, moved, store_of_moved))
    before = contents(str(store_of_moved))
    flip_a_bit(file_of(store_of_moved, "hits/samples", 1))
    write_raw(moved[0], 1200, seed=77)
    ended = forge(*command(site, moved, store_of_moved, "--repair"))
    assert ended.code == 1
    assert f"{moved[0]}: file: changed since the pass was made from it" in ended.output
    assert tags(store_of_moved) == ["p"]
    write_raw(moved[0], 1200, seed=0)
    forge.succeeds(*command(site, moved, store_of_moved, "--repair"))
    assert contents(str(store_of_moved)) == before
