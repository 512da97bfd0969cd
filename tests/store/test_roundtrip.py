"""What is written comes back: through `load`, through `StoreSource`, and through Zarr itself."""

import pickle
import uuid
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from etendue.schema import Schema
from etendue.store import PassWriter, StoreSource, load, passes, read_schema
from etendue.store.ledger import FAILURES
from etendue.store.reader import PassReader
from etendue.store.repository import chunk_numbers, open_repository

from .ragged import (
    CHUNKED,
    ROWS,
    SCHEMA,
    STATIC,
    contents,
    joined,
    make_partitions,
    receipt,
    rows_of,
    write_partition,
    write_pass,
)

EVERYTHING = frozenset(f"{t.name}/{c}" for t in SCHEMA.values() for c in t.variables)


def assert_same(actual, expected):
    assert actual.shape == expected.shape
    if expected.dtype.kind in "UOT":
        assert actual.tolist() == expected.tolist()
    else:
        assert actual.dtype == expected.dtype
        np.testing.assert_array_equal(actual, expected)


def plain_zarr(path):
    """All arrays of a pass, as read by Zarr, which knows nothing of etendue."""
    with zarr.config.set({"array.rectilinear_chunks": True}):
        group = zarr.open_group(open_repository(path).readonly_session("main").store, mode="r")
        return {name: node[...] for name, node in group.members(max_depth=None) if hasattr(node, "shape")}


@settings(max_examples=25, deadline=None)
@given(st.lists(ROWS, max_size=6), st.integers(0, 2**32), st.integers(1, 3))
def test_ragged_partitions_come_back(rows, seed, commit_every):
    partitions = make_partitions(rows, seed)
    counts = rows_of(partitions)
    path = f"memory://{uuid.uuid4()}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_pass(path, "p", partitions, commit_every=commit_every)
        tree = load(path)
        in_memory = tree.compute()
        scan = StoreSource().scan(path)
        parts = list(StoreSource().read(scan, [(k, k + 1) for k in range(len(rows))], EVERYTHING))
        (whole,) = StoreSource().read(scan, [(0, len(rows))], EVERYTHING)
        arrays = plain_zarr(path)
        store = PassReader.open(path).store
    for name in CHUNKED:
        for column, variable in SCHEMA[name].variables.items():
            expected = joined(partitions, name, column)
            assert_same(in_memory[name][column].values, expected)
            assert_same(whole.tables[name][column], expected)
            assert_same(arrays[f"{name}/{column}"], expected)
            assert tree[name][column].dims == variable.dims
            if column != "empty":
                array = f"{name}/{column}"
                chunks = chunk_numbers(store, [array])[array]
                np.testing.assert_array_equal(chunks, np.arange(np.count_nonzero(counts[name])))
            if len(expected):
                assert tree[name][column].chunks[0] == tuple(counts[name][counts[name] > 0].tolist())
            for part, written in zip(parts, partitions, strict=True):
                assert_same(part.tables[name][column], written.get(name, {}).get(column, expected[:0]))
    pedestal, run = (joined(partitions, "calibration/cam", name) for name in ("pedestal", "run"))
    for part in [*parts, whole]:
        runs = part.tables["events"]["run"]
        held = np.isin(run, runs) if len(runs) else slice(None)
        assert_same(part.conditions["calibration/cam"]["pedestal"], pedestal[held])
    for name, columns in STATIC.items():
        for column, expected in columns.items():
            assert_same(in_memory[name][column].values, expected)
            assert_same(scan.static[name][column], expected)
    for name, of in scan.rows.items():
        np.testing.assert_array_equal(of, counts[name])


def test_schema_units_and_attributes_come_back(tmp_path):
    snapshot = write_pass(tmp_path / "s", "p", make_partitions([(2, 3, 0, 1)]), labels={"cam": "1234"})
    path = str(tmp_path / "s")
    assert read_schema(path) == Schema({**SCHEMA, "failures": FAILURES})
    assert read_schema(path).top.name == "events"
    tree = load(path)
    assert tree["events"]["time"].attrs == {"units": "ns", "long_name": "since 1970"}
    assert tree["events"].attrs == {"description": "one row an event"}
    assert tree.attrs == {"labels": {"cam": "1234"}, "finished": True}
    (entry,) = passes(path)
    assert (entry.tag, entry.snapshot, entry.attributes) == ("p", snapshot, dict(tree.attrs))
    assert entry.message == "pass p: 2 events, 3 cam, 1 calibration/cam"
    scan = StoreSource().scan(path)
    assert (scan.labels, scan.splittable, scan.n_runs) == ({"cam": "1234"}, True, 2)
    write_pass(path, "q", [], n_runs=5)
    assert StoreSource().scan(path).n_runs == 5
    # 2 events of 4 + 8 + 8 + 4 + 32 bytes, 3 readouts of 140 + 28 + 7 + 1, 1 calibration of 4 + 28
    assert scan.size == 2 * 56 + 3 * 176 + 32


def test_only_wanted_columns_counts_and_runs_are_read(tmp_path):
    write_pass(tmp_path / "s", "p", make_partitions([(2, 3, 2, 1)]))
    scan = StoreSource().scan(str(tmp_path / "s"))
    (partition,) = StoreSource().read(scan, [(0, 1)], frozenset(["cam/image"]))
    found = {name: sorted(columns) for name, columns in partition.tables.items()}
    assert found == {
        "events": ["n_cam", "run"],
        "cam": ["image"],
        "other": [],
        "calibration/cam": ["pedestal", "run"],
    }


def test_four_threads_write_the_same_bytes_as_one(tmp_path):
    partitions = make_partitions([(3, 5, 0, 0), (0, 0, 0, 0), (2, 0, 2, 1), (4, 40, 0, 0)] * 6, seed=5)

    def write(path, threads):
        writer = PassWriter.create(str(path), "p", SCHEMA, STATIC, len(partitions), {})
        forks = [writer.fork() for _ in range(threads)]

        def work(thread):
            numbers = range(thread, len(partitions), threads)
            return {number: forks[thread].write(number, partitions[number]) for number in numbers}

        with ThreadPoolExecutor(threads) as pool:
            sums = {number: of for part in pool.map(work, range(threads)) for number, of in part.items()}
        for thread, fork in enumerate(forks):
            numbers = range(thread, len(partitions), threads)
            writer.take([receipt(n, partitions[n], sums[n]) for n in numbers], fork.session)
        writer.publish({})
        return sums

    serial, threaded = write(tmp_path / "one", 1), write(tmp_path / "four", 4)
    assert serial == threaded
    one, four = (contents(str(tmp_path / s)) for s in ("one", "four"))
    assert len(one) > 100
    assert one == four
    image = partitions[3]["cam"]["image"]
    assert serial[3]["cam/image"] == zlib.crc32(image.tobytes())
    assert serial[1] == {}


def test_writers_and_lazy_arrays_travel_by_pickle(tmp_path):
    partitions = make_partitions([(2, 3, 0, 0), (1, 9, 0, 0)])
    path = str(tmp_path / "s")
    writer = PassWriter.create(path, "p", SCHEMA, STATIC, 2, {})
    for number, partition in enumerate(partitions):
        there = pickle.loads(pickle.dumps(writer.fork()))
        done = receipt(number, partition, there.write(number, partition))
        writer.take([done], pickle.loads(pickle.dumps(there)).session)
    writer.publish({})
    lazy = pickle.loads(pickle.dumps(load(path)["cam"]["r0_waveform"]))
    assert_same(lazy.compute().values, joined(partitions, "cam", "r0_waveform"))


def test_input_layouts_do_not_matter(tmp_path):
    """Columns that are views, big-endian, or text of another kind are stored by value."""
    (partition,) = make_partitions([(4, 6, 0, 0)])
    strange = {name: dict(columns) for name, columns in partition.items()}
    strange["cam"]["image"] = np.asfortranarray(partition["cam"]["image"])
    strange["events"]["time"] = np.repeat(partition["events"]["time"], 2)[::2]
    strange["events"]["comment"] = partition["events"]["comment"].astype(np.dtypes.StringDType())
    strange["events"]["undeclared"] = np.zeros(4)
    write_pass(tmp_path / "a", "p", [partition])
    writer = PassWriter.create(str(tmp_path / "b"), "p", SCHEMA, STATIC, 1, {})
    write_partition(writer, 0, strange)
    writer.publish({})
    for name in ("events", "cam"):
        a, b = (load(str(tmp_path / s))[name].ds.load() for s in "ab")
        assert a.identical(b)


def test_large_chunks_are_read_from_their_files(tmp_path):
    """Chunks above the size that is read past Icechunk, with one that it keeps inline (all zeros)."""
    partitions = make_partitions([(1, 3000, 0, 0), (1, 4000, 0, 0)])
    partitions[1]["cam"]["r0_waveform"][:] = 0
    write_pass(tmp_path / "s", "p", partitions)
    scan = StoreSource().scan(str(tmp_path / "s"))
    (partition,) = StoreSource().read(scan, [(0, 2)], frozenset(["cam/r0_waveform"]))
    assert_same(partition.tables["cam"]["r0_waveform"], joined(partitions, "cam", "r0_waveform"))


def test_archive_preset(tmp_path):
    pytest.importorskip("pcodec", reason="pcodec is not installed")
    partitions = make_partitions([(1, 30, 0, 0), (0, 0, 0, 0), (1, 4, 0, 0)])
    path = str(tmp_path / "s")
    write_pass(path, "p", partitions, preset="archive")
    expected = joined(partitions, "cam", "r0_waveform")
    assert_same(load(path)["cam"]["r0_waveform"].values, expected)
    scan = StoreSource().scan(path)
    (partition,) = StoreSource().read(scan, [(0, 3)], EVERYTHING)
    assert_same(partition.tables["cam"]["r0_waveform"], expected)
    assert_same(plain_zarr(path)["cam/r0_waveform"], expected)


def test_archive_preset_says_what_to_install(tmp_path, monkeypatch):
    from etendue.store import codecs

    monkeypatch.setitem(__import__("sys").modules, "numcodecs.pcodec", None)
    codecs._pcodec.cache_clear()
    codecs.codec_for.cache_clear()
    with pytest.raises(ImportError, match="pip install pcodec"):
        PassWriter.create(str(tmp_path / "s"), "p", SCHEMA, STATIC, 1, {}, preset="archive")
    assert not (tmp_path / "s").exists()
