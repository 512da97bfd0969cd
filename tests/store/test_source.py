"""A store as an input: what is accepted, which pass is read, and what a damaged one costs."""

import numpy as np
import pytest

from etendue.dataflow.source import SourceError
from etendue.store import StoreSource
from etendue.store.fetch import ChunkFiles
from etendue.store.reader import PassReader

from .ragged import SCHEMA, joined, make_partitions, write_pass

PARTITIONS = make_partitions([(3, 200, 0, 1), (0, 0, 0, 0), (2, 300, 0, 0), (4, 5, 0, 1)], seed=3)
EVERYTHING = frozenset(f"{t.name}/{c}" for t in SCHEMA.values() for c in t.variables)


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "crab.etendue"
    write_pass(path, "p", PARTITIONS)
    return path


def read(path, ranges, columns=EVERYTHING, on_error="raise"):
    source = StoreSource()
    return list(source.read(source.scan(str(path)), ranges, columns, on_error))


def damage(store, array, chunk, change):
    """Change the file of one chunk."""
    files = ChunkFiles(str(store), PassReader.open(str(store)).store)
    name, _, _ = files._find(array)[chunk]
    file = store / "chunks" / name
    change(file)


def cut(file):
    file.write_bytes(file.read_bytes()[:-3])


def flip(file):
    data = bytearray(file.read_bytes())
    data[16:200] = bytes(255 - byte for byte in data[16:200])
    file.write_bytes(data)


def remove(file):
    file.unlink()


def test_accepts_stores_and_nothing_else(store, tmp_path):
    source = StoreSource()
    assert source.accepts(str(store))
    assert source.accepts(f"{store}@p")
    assert not source.accepts(str(tmp_path))
    assert not source.accepts(str(tmp_path / "nothing"))
    assert not source.accepts(str(store / "repo"))
    assert not source.accepts("https://example.org/crab.etendue")
    assert not source.accepts("memory://never-written")


def test_scan_holds_on_to_its_pass(store):
    source = StoreSource()
    scan = source.scan(str(store))
    assert scan.path == f"{store}@p+0"
    write_pass(store, "q", make_partitions([(1, 1, 0, 0)]))
    (partition,) = source.read(scan, [(0, 4)], frozenset(["cam/image"]))
    np.testing.assert_array_equal(partition.tables["cam"]["image"], joined(PARTITIONS, "cam", "image"))
    assert source.scan(str(store)).path == f"{store}@q+0"
    assert len(source.scan(f"{store}@p").rows["events"]) == 4


def of_one_run(partitions):
    """The same partitions, all rows of run 0."""
    return [
        {
            name: columns | {"run": 0 * columns["run"]} if "run" in columns else columns
            for name, columns in p.items()
        }
        for p in partitions
    ]


def test_conditions_are_those_of_the_runs_that_a_partition_holds(tmp_path):
    partitions = make_partitions([(3, 1, 1, 2), (2, 1, 1, 2)])
    for run, tables in enumerate(partitions):
        for columns in tables.values():
            if "run" in columns:
                columns["run"][:] = run
    write_pass(tmp_path / "s", "p", partitions)
    for run, partition in enumerate(read(tmp_path / "s", [(0, 1), (1, 2)])):
        assert partition.conditions["calibration/cam"]["run"].tolist() == [run, run]
    (both,) = read(tmp_path / "s", [(0, 2)])
    assert both.conditions["calibration/cam"]["run"].tolist() == [0, 0, 1, 1]


def test_a_store_made_anew_at_the_same_path_is_read_anew(store, tmp_path):
    store.rename(tmp_path / "old")
    write_pass(store, "p", of_one_run(PARTITIONS))
    (before,) = read(store, [(0, 4)])
    store.rename(tmp_path / "older")
    write_pass(store, "p", of_one_run(make_partitions([(1, 2, 0, 1)], seed=8)))
    (after,) = read(store, [(0, 1)])
    assert len(before.conditions["calibration/cam"]["run"]) == 2
    assert len(after.conditions["calibration/cam"]["run"]) == 1


def test_unknown_pass_is_a_source_error(store, tmp_path):
    with pytest.raises(SourceError, match="no pass 'r'; there are: p"):
        StoreSource().scan(f"{store}@r")
    with pytest.raises(SourceError, match="there is no store"):
        StoreSource().scan(str(tmp_path / "nothing"))


@pytest.mark.parametrize("change", [cut, flip, remove])
@pytest.mark.parametrize("column", ["r0_waveform", "image"])
def test_damaged_chunk(store, change, column):
    damage(store, f"cam/{column}", 1, change)
    with pytest.raises(SourceError) as caught:
        read(store, [(0, 1), (2, 3)])
    message = str(caught.value)
    assert f"table cam, column {column}, chunk 1" in message
    assert "write the pass again" in message
    first, second = read(store, [(0, 1), (1, 4)], on_error="skip")
    assert not first.failures
    (failure,) = second.failures
    assert failure.events_lost == 2
    assert f"column {column}, chunk 1" in failure.place
    for name in ("image", "r0_waveform", "valid"):
        np.testing.assert_array_equal(second.tables["cam"][name], PARTITIONS[3]["cam"][name])
    np.testing.assert_array_equal(second.tables["events"]["event_id"], PARTITIONS[3]["events"]["event_id"])
    (alone,) = read(store, [(2, 3)], on_error="skip")
    assert alone.tables["cam"]["r0_waveform"].shape == (0, 2, 5, 7)
    assert read(store, [(2, 3)], columns=frozenset(["events/time"]))[0].rows("events") == 2


def test_damaged_conditions_stop_a_run_that_skips(tmp_path):
    """Leaving them out would calibrate other events with the coefficients before."""
    partitions = make_partitions([(1, 1, 0, 100), (1, 1, 0, 100)])
    path = tmp_path / "s"
    write_pass(path, "p", partitions)
    damage(path, "calibration/cam/pedestal", 1, cut)
    with pytest.raises(SourceError, match="table calibration/cam, column pedestal, chunk 1"):
        read(path, [(0, 1)], on_error="skip")
