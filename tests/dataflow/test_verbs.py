"""Every verb of a flow takes the same places to run on, and a preview shows what survives."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pyarrow.parquet
import pytest
import xarray
from distributed import LocalCluster

import etendue as et
from etendue.cluster import ClusterError
from etendue.dataflow.plan import PlanError


@et.stage(reads=("hits/charge",), writes={"hits/squared": ("hit", "float32", "pe2")})
def squared(charge):
    return charge**2


@pytest.fixture(scope="module")
def client():
    with et.connect("laptop", workers=2) as client:
        yield client


@pytest.fixture
def flow(toy):
    return (
        et.open(*(toy(name, f"toy 60 {n}") for n, name in enumerate("abc", 1)), partition_bytes=300) | squared
    )


def exported(flow, folder, **where):
    """Rows of hits, and their sum, by way of each verb that there is."""
    axis = et.axis.Regular("hits/squared", 50, 0, 100)
    histogram = flow.histogram(axis, **where)
    many = flow.histograms({"a": et.Histogram([axis])}, **where)["a"]
    np.testing.assert_array_equal(many.values(), histogram.values())
    yield histogram.sum()
    yield flow.compute(**where)["hits"]["squared"].values
    yield flow.collect(**where)[1]["hits"]["squared"]
    yield flow.to_pandas("hits", **where)["squared"].to_numpy()
    yield np.concatenate([event["squared"].to_numpy() for event in flow.to_awkward("hits", **where)])
    yield np.asarray(flow.to_astropy("hits", **where)["squared"].value)
    flow.to_hdf5(folder / "a.h5", **where)
    with h5py.File(folder / "a.h5") as file:
        yield file["hits/squared" if "hits/squared" in file else "hits"][...]
    flow.to_zarr(folder / "a.zarr", **where)
    yield xarray.open_zarr(folder / "a.zarr", group="hits")["squared"].values
    flow.to_parquet(folder / "a.parquet", **where)
    yield pyarrow.parquet.read_table(folder / "a.parquet" / "hits.parquet")["squared"].to_numpy()
    flow.write(folder / "s", "p", **where)
    yield et.load(folder / "s")["hits"]["squared"].values
    yield flow.preview(7, **where)["hits"]["squared"].values


@pytest.mark.parametrize("place", ["client", "executor"])
def test_every_verb_takes_a_client_and_an_executor(flow, client, tmp_path, place):
    with ThreadPoolExecutor(2) as pool:
        where = {"client": client} if place == "client" else {"executor": pool}
        folders = [tmp_path / name for name in ("here", "there")]
        for folder in folders:
            folder.mkdir()
        for here, there in zip(exported(flow, folders[0]), exported(flow, folders[1], **where), strict=True):
            np.testing.assert_array_equal(there, here)
            assert np.size(here)


def test_places_are_checked(flow, client):
    with pytest.raises(PlanError, match="a client or an executor, not both"):
        flow.compute(client=client, executor=ThreadPoolExecutor(1))
    with pytest.raises(PlanError, match="client is of the type str; expected what"):
        flow.compute(client="laptop")
    with pytest.raises(PlanError, match="executor is of the type ClusterClient; expected one of concurrent"):
        flow.compute(executor=client)


def test_a_cluster_that_was_started_is_taken_and_left_running(flow):
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        with et.connect(cluster) as client:
            there = flow.compute(client=client)
        assert cluster.status.name == "running"
        with et.connect(cluster) as client:
            assert client.submit(sum, [1, 2]).result() == 3
    assert there.equals(flow.compute())
    with pytest.raises(ClusterError, match="where is of the type int; expected a name"):
        et.connect(3)


@pytest.mark.parametrize("cut", ["event_id >= 50", "event_id == 59", "event_id > 3"])
def test_a_preview_shows_the_first_events_that_survive(flow, cut):
    whole, shown = (flow | et.Select(cut)).compute(), (flow | et.Select(cut)).preview(4)
    n = min(4, whole["events"].sizes["event"])
    np.testing.assert_array_equal(shown["events"]["event_id"], whole["events"]["event_id"][:n])
    np.testing.assert_array_equal(shown["events"]["run"], whole["events"]["run"][:n])
    n_hits = int(whole["events"]["n_hits"][:n].sum())
    assert shown["hits"].sizes["hit"] == n_hits
    np.testing.assert_array_equal(shown["hits"]["charge"], whole["hits"]["charge"][:n_hits])


def test_a_preview_goes_on_to_the_next_inputs(flow):
    shown = (flow | et.Select("run == 2 and event_id > 57")).preview()
    assert shown["events"]["event_id"].values.tolist() == [58, 59]


def test_a_preview_of_nothing_is_empty(flow):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (flow | et.Select("event_id > 100")).preview()["events"].sizes["event"] == 0


def test_a_preview_reads_no_more_than_it_needs(flow, monkeypatch):
    from etendue.dataflow import flow as module

    read = []
    run = module.run
    monkeypatch.setattr(
        module, "run", lambda plan, **o: read.append(plan.partitions.tolist()) or run(plan, **o)
    )
    flow.preview(3)
    assert [(scan, first, stop) for ((scan, first, stop, _),) in read] == [(0, 0, 3)]
    read.clear()
    (flow | et.Select("event_id > 4")).preview(3)
    assert sum(stop - first for parts in read for _, first, stop, _ in parts) < 40
