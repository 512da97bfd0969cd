"""Trees of passes of many small partitions."""

import json
import subprocess
import sys

import numpy as np
import pytest

from etendue.store import load, tree

from .events import cut, make_events, write_events

EVENTS = make_events(120, seed=4)
PLAIN = """
import json, sys
import icechunk, xarray, zarr
zarr.config.set({"array.rectilinear_chunks": True})
repository = icechunk.Repository.open(icechunk.local_filesystem_storage(sys.argv[1]))
store = repository.readonly_session(tag="p").store
hits = xarray.open_zarr(store, group="hits", consolidated=False)
assert "etendue" not in sys.modules
print(json.dumps([float(hits.charge.mean()), len(hits.charge.chunks[0])]))
"""


@pytest.fixture
def store(tmp_path):
    """Forty partitions, of which some have no events and some no hits."""
    edges = [0, *np.arange(3, 118, 3).tolist(), 117, 120]
    write_events(tmp_path / "s", "p", cut(EVENTS, edges))
    return tmp_path / "s"


@pytest.mark.parametrize("blocks", [1, 7, 13, 1000])
def test_small_neighbours_share_a_block(store, monkeypatch, blocks):
    monkeypatch.setattr(tree, "BLOCKS", blocks)
    found = load(str(store))
    for table, columns in (("events", EVENTS["events"]), ("hits", EVENTS["hits"])):
        chunks = found[table].dataset.chunks[
            {"events": "event", "hits": "hit"}[table]
        ]  # alike in all columns
        assert len(chunks) <= blocks
        for name, values in columns.items():
            assert found[table][name].values.tolist() == values.tolist()
    part = found["hits/charge"][5:-7]
    np.testing.assert_array_equal(part.values, EVENTS["hits"]["charge"][5:-7])


def test_blocks_stay_small(store, monkeypatch):
    monkeypatch.setattr(tree, "BLOCKS", 1)
    monkeypatch.setattr(tree, "BLOCK_BYTES", 40 * 80)  # of samples, 80 bytes a hit
    samples = load(str(store))["hits/samples"]
    assert max(samples.chunks[0]) <= 40
    assert len(samples.chunks[0]) > 1


def test_plain_xarray_reads_a_store_as_the_page_says(store):
    done = subprocess.run([sys.executable, "-c", PLAIN, store], capture_output=True, text=True, check=True)
    mean, n_chunks = json.loads(done.stdout)
    assert mean == pytest.approx(float(EVENTS["hits"]["charge"].mean(dtype=np.float64)), rel=1e-5)
    assert n_chunks > 30
