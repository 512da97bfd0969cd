"""Names from files: a camera may be called like a table of ours, and takes the place of none."""

from dataclasses import replace

import numpy as np
import pytest

import etendue as et
from etendue.dataflow import border
from etendue.dataflow.source import Scan, SourceError
from etendue.iact.schema import EVENTS, RESERVED
from etendue.iact.sources.simtel import header, source
from etendue.schema import Schema, Table, variables

from .simtel_files import find


@pytest.fixture
def called(monkeypatch):
    """Have all cameras of a file called in another way, as another file's header would."""

    def rename(name):
        read = header.read_header

        def renamed(*args):
            found = read(*args)
            cameras = {tel_id: replace(camera, name=name) for tel_id, camera in found.cameras.items()}
            return replace(found, cameras=cameras)

        monkeypatch.setattr("etendue.iact.sources.simtel.events.read_header", renamed)

    return rename


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_camera_called_like_a_table_of_ours(called, shared, tmp_path, name):
    path = find(shared, "pyeventio__history_meta")
    before = next(iter(source.SimtelSource().scan(path).labels))
    n_rows = et.open(path).compute()[before].sizes["readout"]
    called(name.title())
    et.open(path).write(tmp_path / "s", "p", quiet=True)
    tree = et.load(tmp_path / "s", "p")
    assert tree[f"{name}_camera"].sizes["readout"] == n_rows
    assert tree["events"]["event_id"].sizes == {"event": tree["events"].sizes["event"]}
    assert set(tree["events"].data_vars) >= {"run", f"n_{name}_camera"}
    assert list(tree["observation"]["obs_id"].values)
    assert tree["array"]["tel_id"].size
    assert tree["simulation"].sizes
    assert name not in tree.children or "readout" not in tree[name].sizes


def test_a_source_whose_table_is_called_failures_is_refused():
    table = Table("failures", "row", variables("row", n=("int64", "", "")), parent="events")
    schema = Schema({}).with_tables([EVENTS, table])

    class Other:
        name = "other"

        def scan(self, path, on_error="raise"):
            rows = {name: np.zeros(1, np.int64) for name in schema}
            return Scan(path, self.name, schema, {}, rows)

    with pytest.raises(SourceError, match="a table is called 'failures'"):
        border.scan(Other(), "a", "raise")
