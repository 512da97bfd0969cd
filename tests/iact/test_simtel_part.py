"""What a path says after its file: showers, and another number of the observation."""

import numpy as np
import pytest
from ctapipe.io import SimTelEventSource

import etendue as et
from etendue.dataflow.source import SourceError
from etendue.provenance.lineage import lineage

from .simtel_files import find

NUMBER = 90_210


@pytest.fixture
def path(shared):
    return find(shared, "pyeventio__prod4")


def columns_of(flow):
    """The schema, and all columns."""
    plan, tables = flow.collect()
    return plan.inputs.schema, {
        f"{table}/{name}": column for table, columns in tables.items() for name, column in columns.items()
    }


def test_numbers_are_ctapipes_with_override_obs_id(path):
    with SimTelEventSource(path, override_obs_id=NUMBER) as source:
        theirs = [(event.index.obs_id, event.index.event_id) for event in source]
        assert source.obs_ids == [NUMBER]
    plan, tables = et.open(f"{path}#obs_id={NUMBER}").collect()
    ours = zip(tables["events"]["obs_id"].tolist(), tables["events"]["event_id"].tolist(), strict=True)
    assert list(ours) == theirs
    assert plan.static["observation"]["obs_id"].tolist() == [NUMBER]


def test_nothing_else_changes(path):
    schema, own = columns_of(et.open(path))
    _, found = columns_of(et.open(f"{path}#obs_id={NUMBER}"))
    assert found.keys() == own.keys()
    cameras = [table.name for table in schema.matching("@camera")]
    assert cameras
    for name, column in own.items():
        if name.endswith("/obs_id"):
            assert (column != NUMBER).all()
            column = np.full_like(column, NUMBER)
        np.testing.assert_array_equal(found[name], column, err_msg=name)
    assert {f"{table}/obs_id" for table in ("events", *cameras)} <= own.keys()


def test_showers_get_the_same_number(path):
    _, tables = et.open(f"{path}#showers,obs_id={NUMBER}").collect()
    assert len(tables["showers"]["obs_id"]) == 10
    assert set(tables["showers"]["obs_id"].tolist()) == {NUMBER}


def test_a_pass_keeps_the_number_and_the_path(path, tmp_path):
    store = str(tmp_path / "a.etendue")
    given = f"{path}#obs_id={NUMBER}"
    et.open(given).write(store, "one")
    tree = et.load(store, "one")
    assert set(tree["events"]["obs_id"].values.tolist()) == {NUMBER}
    *_, raw = lineage(store, "one", {"obs_id": NUMBER, "event_id": int(tree["events"]["event_id"][0])})
    assert (raw.place, raw.identity["obs_id"]) == (given, NUMBER)
    assert raw.offset.startswith("bytes ")


def test_a_file_is_in_a_pass_once_whatever_its_number(path, tmp_path):
    with pytest.raises(SourceError, match="obs_id=2"):
        et.open([f"{path}#obs_id=1", f"{path}#obs_id=2"]).write(str(tmp_path / "a.etendue"), "one")


@pytest.mark.parametrize(
    "part", ["obsid=3", "obs_id=", "obs_id=-3", "obs_id=3.5", "shower", "obs_id=3;showers"]
)
def test_what_cannot_be_asked_for(path, part):
    with pytest.raises(SourceError, match="expected 'showers', or 'obs_id=' and a number"):
        et.open(f"{path}#{part}").collect()
