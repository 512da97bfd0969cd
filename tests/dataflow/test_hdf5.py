"""The HDF5 export, read back by h5py and pandas."""

import resource
import shutil
import signal
import subprocess
import sys
from errno import EFBIG

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import etendue as et
from etendue.dataflow.hdf5 import _Output, write_hdf5
from etendue.schema import Schema, SchemaError, Table, Variable
from tests.store.ragged import STATIC

from .exported import SCHEMA, owned_partitions

h5py = pytest.importorskip("h5py")

EXPORT = [sys.executable, "-m", "etendue", "export", "simulated://gamma?n_showers=300&seed=1"]


@et.stage(reads="events/event_id", writes={"events/selected": ("event", "bool", "")})
def reject(event_id):
    return {"events/selected": np.zeros(len(event_id), bool)}


@pytest.fixture
def exported(tmp_path):
    """A simulated run of two files' worth, exported, and the same as arrays."""
    flow = et.open(
        "simulated://gamma?n_showers=2000&seed=1",
        "simulated://proton?n_showers=3000&seed=2",
        partition_bytes=1 << 20,
    ).columns("events/*", "simcam/tel_id", "simcam/true_image_sum", "simcam/true_image")
    path = tmp_path / "run.h5"
    rows = flow.to_hdf5(path)
    assert len(flow.plan().partitions) > 2
    return path, rows, flow.compute()


def test_h5py_reads_every_column_with_its_units(exported):
    path, rows, tree = exported
    with h5py.File(path) as file:
        assert rows["events"] == len(file["events"]) == tree["events"].sizes["event"]
        for column in ("event_id", "true_energy", "n_simcam"):
            np.testing.assert_array_equal(file["events"][column], tree[f"events/{column}"].values)
        assert file["events"].attrs["true_energy_units"] == "TeV"
        np.testing.assert_array_equal(file["simcam"]["tel_id"], tree["simcam/tel_id"].values)
        np.testing.assert_array_equal(file["simcam__true_image"][:], tree["simcam/true_image"].values)
        np.testing.assert_array_equal(file["array"]["pos_x"], tree["array/pos_x"].values)
        assert [text.decode() for text in file["array"]["type"]] == list(tree["array/type"].values)


def test_the_index_says_whose_rows_are_whose(exported):
    path, _, tree = exported
    with h5py.File(path) as file:
        index, readouts, events = file["__I3Index__/simcam"][:], file["simcam"][:], file["events"][:]
    assert index["stop"][-1] == len(readouts)
    np.testing.assert_array_equal(index["stop"] - index["start"], tree["events/n_simcam"].values)
    np.testing.assert_array_equal(index["exists"], tree["events/n_simcam"].values > 0)
    for event in (0, 7, len(index) - 1):
        mine = readouts[index["start"][event] : index["stop"][event]]
        assert (mine["event"] == event).all()
        assert (mine["event_id"] == events["event_id"][event]).all()
        assert mine["vector_index"].tolist() == list(range(len(mine)))


def test_pandas_reads_and_joins_the_tables(exported):
    path, _, tree = exported
    readouts, events = pd.read_hdf(path, "simcam"), pd.read_hdf(path, "events")
    joined = readouts.merge(events, on="event")
    assert len(joined) == tree["simcam"].sizes["readout"]
    ends = np.cumsum(tree["events/n_simcam"].values)
    sums = [part.sum() for part in np.split(tree["simcam/true_image_sum"].values, ends[:-1])]
    np.testing.assert_array_equal(joined.groupby("event")["true_image_sum"].sum(), sums)
    np.testing.assert_array_equal(events["true_energy"], tree["events/true_energy"].values)


def test_what_is_there_is_not_written_over(exported):
    path, _, _ = exported
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="there already, and is not written over"):
        et.open("simulated://gamma?n_showers=50&seed=1").to_hdf5(path)
    assert path.read_bytes() == before


def test_a_run_that_fails_leaves_nothing(toy, tmp_path):
    broken = et.open(toy("broken", "toy 5 1 broken 2"))
    with pytest.raises(et.dataflow.source.SourceError):
        broken.to_hdf5(tmp_path / "run.h5")
    assert [entry.name for entry in tmp_path.iterdir()] == ["broken"]


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=4),
        max_size=4,
    )
)
@settings(max_examples=20, deadline=None)
def test_text_is_whole_whatever_came_before(tmp_path_factory, texts):
    texts = [["short"], ["é" * 50], *texts]
    name, number = Variable("name", ("event",), "str"), Variable("event_id", ("event",), "int64", "1")
    schema = Schema({"events": Table("events", "event", {"name": name, "event_id": number})})
    ids = iter(np.split(np.arange(sum(map(len, texts))), np.cumsum([len(part) for part in texts])))
    partitions = [
        {"events": {"name": np.array(part, np.dtypes.StringDType()), "event_id": next(ids)}} for part in texts
    ]
    path = tmp_path_factory.mktemp("text") / "run.h5"
    write_hdf5(path, schema, partitions)
    with h5py.File(path) as file:
        assert list(file) == ["events"]
        assert [text.decode() for text in file["events"]["name"]] == [text for part in texts for text in part]
        np.testing.assert_array_equal(file["events"]["event_id"], np.arange(len(file["events"])))
        assert file["events"].attrs["event_id_units"] == "1"


def test_all_events_are_rejected(tmp_path):
    flow = et.open("simulated://gamma?n_showers=100&seed=1").columns("events/*", "simcam/t*") | reject
    flow.write(tmp_path / "s.etendue", "none")
    some, none = tmp_path / "some.h5", tmp_path / "none.h5"
    et.open("simulated://gamma?n_showers=100&seed=1").columns("events/*", "simcam/t*").to_hdf5(some)
    rows = et.open(f"{tmp_path / 's.etendue'}@none").to_hdf5(none)
    assert rows["events"] == rows["simcam"] == 0
    with h5py.File(none) as file, h5py.File(some) as other:
        for name in ("events", "simcam", "__I3Index__/simcam", "simcam__true_image"):
            assert len(other[name]) > 0
            assert file[name].shape == (0, *other[name].shape[1:])
            columns = file[name].dtype.names or ()
            assert set(columns) - {"selected"} == set(other[name].dtype.names or ())
            for column in set(columns) - {"selected"}:
                assert file[name].dtype[column] == other[name].dtype[column]
            assert dict(file[name].attrs) == dict(other[name].attrs)
        assert file["events"].attrs["true_energy_units"] == "TeV"
    events, readouts = pd.read_hdf(none, "events"), pd.read_hdf(none, "simcam")
    assert len(readouts.merge(events, on="event")) == 0
    assert events["true_energy"].dtype == np.float64


@pytest.mark.parametrize("rows", [[], [(0, 0, 0, 0)], [(2, 0, 0, 0), (0, 0, 0, 1)]])
def test_tables_without_rows_are_as_those_with_some(tmp_path, rows):
    few, full = tmp_path / "few.h5", tmp_path / "full.h5"
    write_hdf5(few, SCHEMA, owned_partitions(rows), STATIC)
    write_hdf5(full, SCHEMA, owned_partitions([(3, 4, 2, 1)]), STATIC)
    with h5py.File(few) as file, h5py.File(full) as other:
        names = []
        other.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in names:
            assert file[name].dtype == other[name].dtype
            assert file[name].shape[1:] == other[name].shape[1:]
            assert dict(file[name].attrs) == dict(other[name].attrs)
        assert len(file["cam"]) == len(pd.read_hdf(few, "cam")) == 0


@pytest.fixture
def disk(tmp_path):
    """Makes file systems of a size."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = False

    def mount(options: str) -> None:
        nonlocal mounted
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if not shutil.which("mount") or subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("this needs the right to mount a file system")
        mounted = True

    yield place, mount
    if mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_the_disk_is_full(disk):
    place, mount = disk
    path = place / "out.h5"
    for size in ("8k", "600k", "2m"):
        mount(f"size={size}" if size == "8k" else f"remount,size={size}")
        ended = subprocess.run([*EXPORT, str(path)], check=False, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 1, ended.stderr
        assert ended.stderr == f"etendue: [Errno 28] No space left on device: '{path}'\n"
        assert list(place.iterdir()) == []
    mount("remount,size=200m")
    subprocess.run([*EXPORT, str(path)], check=True, capture_output=True)
    assert [entry.name for entry in place.iterdir()] == ["out.h5"]
    flow = et.open(EXPORT[-1])
    with h5py.File(path) as file:
        np.testing.assert_array_equal(
            file["events"]["true_energy"], flow.to_pandas("events")["true_energy"].values
        )


@settings(max_examples=50, deadline=None)
@given(
    room=st.integers(0, 60),
    writes=st.lists(st.tuples(st.integers(0, 50), st.binary(min_size=1, max_size=20)), max_size=12),
    place=st.integers(0, 60),
)
def test_what_cannot_be_written_is_read_back(tmp_path_factory, room, writes, place):
    """With a limit of the system on the sizes of files, which ends a write in its midst."""
    expected = bytearray(200)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with _Output(tmp_path_factory.mktemp("o") / "file") as output:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
            for start, data in writes:
                output.seek(start)
                assert output.write(data) == len(data)
                expected[start : start + len(data)] = data
            output.truncate(100)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        read = bytearray(b"?" * 70)
        output.seek(place)
        assert output.readinto(read) == 70
        assert read == expected[place : place + 70]
        with pytest.raises(OSError, match=f"Errno {EFBIG}"):  # of `truncate` at the latest
            output.check()


def wide(n_columns):
    names = [f"LineFit_with_a_long_name_as_real_ones_have_{n:04d}" for n in range(n_columns)]
    columns = {name: Variable(name, ("event",), "float64", "m", "a fit") for name in names}
    schema = Schema({"events": Table("events", "event", columns)})
    return schema, {name: np.array([n, -n], "float64") for n, name in enumerate(names)}


def test_a_table_of_many_columns_is_whole(tmp_path):
    schema, columns = wide(900)
    write_hdf5(tmp_path / "wide.h5", schema, [{"events": columns}])
    with h5py.File(tmp_path / "wide.h5") as file:
        for name, column in columns.items():
            np.testing.assert_array_equal(file["events"][name], column)
            assert file["events"].attrs[f"{name}_units"] == "m"


def test_more_columns_than_hdf5_holds_are_refused_with_words(tmp_path):
    schema, columns = wide(3000)
    with pytest.raises(SchemaError, match=r"/events has 3,00\d columns.*64 kB.*Parquet"):
        write_hdf5(tmp_path / "wide.h5", schema, [{"events": columns}])
    assert not list(tmp_path.iterdir())
