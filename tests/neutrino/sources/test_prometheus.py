"""Parquet files of Prometheus: made here, and one of graphnet's."""

import json

import numpy as np
import pytest

import etendue as et
from etendue.dataflow.source import SourceError
from etendue.neutrino import display
from etendue.neutrino.sources.prometheus import PrometheusSource

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def photons(times):
    n = len(times)
    return {
        "sensor_pos_x": [1.0] * n, "sensor_pos_y": [2.0] * n, "sensor_pos_z": [-9.0 * k for k in range(n)],
        "string_id": [3] * n, "sensor_id": list(range(n)), "t": times, "id_idx": [1] * n,
    }  # fmt: skip


def truth(energy, particles):
    return {
        "initial_state_energy": energy, "initial_state_type": 14, "initial_state_zenith": np.pi / 2,
        "final_state_energy": [energy / 2] * particles, "final_state_type": [13.0] * particles,
    }  # fmt: skip


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "photons.parquet"
    rows = {
        "mc_truth": [truth(10.0, 2), truth(20.0, 1), truth(30.0, 0)],
        "photons": [photons([5.0, 7.0]), photons([]), photons([1.0])],
    }
    pq.write_table(pa.table(rows), path)
    return path


def test_events_own_photons_and_particles(path):
    tree = et.open(path).compute()
    events, hits = tree["events"], tree["hits"]
    assert events["event_id"].values.tolist() == [0, 1, 2]
    assert events["n_hits"].values.tolist() == [2, 0, 1]
    assert events["n_mc_tracks"].values.tolist() == [2, 1, 0]
    assert events["mc_initial_state_energy"].values.tolist() == [10.0, 20.0, 30.0]
    assert events["mc_initial_state_zenith"].values == pytest.approx([90.0] * 3)
    assert hits["t"].values.tolist() == [5.0, 7.0, 1.0]
    assert hits["pos_z"].values.tolist() == [0.0, -9.0, 0.0]
    assert hits["charge"].values.tolist() == [1.0] * 3
    assert tree["mc_tracks"]["energy"].values.tolist() == [5.0, 5.0, 10.0]
    assert display.event(tree, 0).axes


def test_ranges_are_what_the_whole_is_cut_into(path):
    source = PrometheusSource()
    scan = source.scan(str(path))
    assert scan.rows["hits"].tolist() == [2, 0, 1]
    parts = list(source.read(scan, [(0, 1), (1, 3)], frozenset({"hits/t", "events/event_id"})))
    assert [part["hits/t"].tolist() for part in parts] == [[5.0, 7.0], [1.0]]
    assert [part["events/event_id"].tolist() for part in parts] == [[0], [1, 2]]


def test_other_files_are_refused(path, tmp_path):
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"x": [1]}), other)
    assert PrometheusSource().accepts(str(path))
    assert not PrometheusSource().accepts(str(other))
    assert not PrometheusSource().accepts(str(tmp_path))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert not PrometheusSource().accepts(str(path))
    with pytest.raises(SourceError, match="not a Parquet file that is whole"):
        PrometheusSource().scan(str(path))
    uneven = photons([1.0, 2.0]) | {"string_id": [3]}
    pq.write_table(pa.table({"mc_truth": [truth(1.0, 1)], "photons": [uneven]}), path)
    with pytest.raises(SourceError, match="not as long as those of the other fields"):
        PrometheusSource().scan(str(path))


def test_files_that_awkward_wrote_are_read_where_awkward_is_there(path):
    """Prometheus writes with Awkward, which puts types of its own around Arrow's once it is imported."""
    ak = pytest.importorskip("awkward")
    plain = et.open(path).compute()["hits"]["t"].values.tolist()
    pq.write_table(ak.to_arrow_table(ak.from_parquet(path), extensionarray=True), path)
    assert str(pq.read_table(path)["photons"].type).startswith("ak:")
    assert et.open(path).compute()["hits"]["t"].values.tolist() == plain == [5.0, 7.0, 1.0]


def test_a_real_file(shared):
    """Ten events in ARCA's geometry; against pyarrow's own reading."""
    path = shared / "data/icecube/graphnet/22980001_photons.parquet"
    tree = et.open(path).compute()
    table = pq.read_table(path)
    rows = table["photons"].to_pylist()
    assert tree["events"]["n_hits"].values.tolist() == [len(row["t"]) for row in rows]
    np.testing.assert_array_equal(tree["hits"]["t"].values, [t for row in rows for t in row["t"]])
    np.testing.assert_array_equal(tree["hits"]["om"].values, [t for row in rows for t in row["sensor_id"]])
    assert (
        json.loads(table.schema.metadata[b"config_prometheus"])["run"]["nevents"]
        == tree["events"].sizes["event"]
    )
