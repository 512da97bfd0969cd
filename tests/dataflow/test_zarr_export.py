"""The export to plain Zarr, read back by zarr and xarray without etendue."""

import json
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import etendue as et
from etendue.dataflow.export import to_zarr
from etendue.dataflow.plain_zarr import write_zarr
from tests.store.ragged import STATIC

from .exported import ROWS, SCHEMA, owned_partitions, truth

PARTITIONS = owned_partitions([(3, 4, 0, 1), (0, 0, 0, 0), (5, 6, 2, 0), (2, 0, 0, 1)], seed=1)


@pytest.mark.parametrize("consolidated", [True, False])
def test_xarray_reads_every_column(tmp_path, consolidated):
    path = tmp_path / "run.zarr"
    rows = write_zarr(path, SCHEMA, PARTITIONS, STATIC, {"made": "here"}, consolidated=consolidated)
    tree = xr.open_datatree(path, engine="zarr", consolidated=consolidated)
    assert tree.attrs["made"] == "here"
    for table in SCHEMA.values():
        node = tree[f"/{table.name}"]
        assert node.attrs.get("description", "") == table.description
        for name, variable in table.variables.items():
            expected = truth(PARTITIONS, table.name, name)
            np.testing.assert_array_equal(node[name].values, expected)
            assert node[name].dims == variable.dims
            assert node[name].attrs.get("units", "") == variable.units
            if variable.dtype != "str":
                assert node[name].dtype == variable.dtype
        assert rows[table.name] == len(expected)
    assert tree["/events/n_cam"].attrs["sample_dimension"] == "readout"


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(ROWS, max_size=4), chunk_rows=st.integers(1, 9), seed=st.integers(0, 9))
def test_chunks_are_regular_wherever_the_partitions_end(tmp_path_factory, rows, chunk_rows, seed):
    path = tmp_path_factory.mktemp("z") / "run.zarr"
    partitions = owned_partitions(rows, seed)
    write_zarr(path, SCHEMA, partitions, STATIC, chunk_rows=chunk_rows)
    root = zarr.open_group(path, mode="r")
    for column in ("events/time", "events/comment", "cam/image", "cam/r0_waveform", "other/s"):
        table, name = column.split("/")
        assert root[column].chunks[0] == chunk_rows
        assert json.loads((path / column / "zarr.json").read_text())["chunk_grid"]["name"] == "regular"
        np.testing.assert_array_equal(root[column][:], truth(partitions, table, name))
        n_files = len([p for p in (path / column).rglob("*") if p.is_file()])
        assert n_files <= 1 + -(-root[column].shape[0] // chunk_rows)  # Zarr leaves out chunks of zeros


def test_without_etendue(tmp_path):
    """Another process that could not import etendue reads it, without a warning of lost metadata."""
    path = tmp_path / "run.zarr"
    write_zarr(path, SCHEMA, PARTITIONS, STATIC)
    code = (
        f"import sys; sys.modules['etendue'] = None; import xarray; "
        f"print(int(xarray.open_datatree({str(path)!r}, engine='zarr')['cam/image'].isnull().sum()))"
    )
    out = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert int(out.stdout) == np.isnan(truth(PARTITIONS, "cam", "image")).sum()


def test_a_pass_is_copied_with_its_attributes(tmp_path):
    flow = et.open("simulated://gamma?n_showers=1000&seed=1", partition_bytes=1 << 20)
    flow.columns("events/*", "simcam/true_image", "calibration/*/*").write(tmp_path / "s", "raw", quiet=True)
    plan = et.open(f"{tmp_path / 's'}@raw", partition_bytes=1 << 20).plan()
    assert len(plan.partitions) > 2
    to_zarr(plan, tmp_path / "s.zarr", chunk_rows=100)
    tree, stored = xr.open_datatree(tmp_path / "s.zarr", engine="zarr"), et.load(tmp_path / "s", "raw")
    assert tree.attrs["provenance"] == stored.attrs["provenance"]
    assert {node.path for node in stored.subtree} - {node.path for node in tree.subtree} == {"/failures"}
    for node in tree.subtree:
        repeated = {"run", "obs_id", "event_id"} if node.path == "/simcam" else set()
        assert set(node.data_vars) == set(stored[node.path].data_vars) | repeated
        for name in stored[node.path].data_vars:
            column = node[name]
            np.testing.assert_array_equal(stored[node.path][name].values, column.values)


def test_what_is_there_is_not_written_over(tmp_path):
    path = tmp_path / "run.zarr"
    path.mkdir()
    with pytest.raises(FileExistsError, match="there already, and is not written over"):
        write_zarr(path, SCHEMA, PARTITIONS, STATIC)
    with pytest.raises(ValueError, match="at least one row, not 0"):
        write_zarr(tmp_path / "other.zarr", SCHEMA, PARTITIONS, STATIC, chunk_rows=0)


def test_what_fails_or_was_killed_leaves_nothing(tmp_path):
    path, left = tmp_path / "run.zarr", tmp_path / ".run.zarr.part"
    left.mkdir()
    (left / "junk").write_text("of a killed export")

    def partitions():
        yield PARTITIONS[0]
        assert not (left / "junk").exists()
        assert not path.exists()
        raise RuntimeError("broken input")

    with pytest.raises(RuntimeError, match="broken input"):
        write_zarr(path, SCHEMA, partitions(), STATIC)
    assert list(tmp_path.iterdir()) == []
