"""The HDF5 export, read back by h5py and pandas."""

import numpy as np
import pandas as pd
import pytest

import etendue as et

h5py = pytest.importorskip("h5py")


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
