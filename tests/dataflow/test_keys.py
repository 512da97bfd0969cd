"""What names a row: the key that a table declares, used by exports, comparison, lineage and pictures."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from click.testing import CliRunner

import etendue as et
from etendue.cli import main
from etendue.dataflow import source as source_module
from etendue.dataflow.event import NoSuchEventError, only_event, wanted_of
from etendue.dataflow.hdf5 import write_hdf5
from etendue.dataflow.owned import Ownership
from etendue.dataflow.parquet import write_parquet
from etendue.dataflow.partition import Partition
from etendue.dataflow.source import Scan
from etendue.provenance import lineage
from etendue.schema import Schema, SchemaError, Table, variables
from etendue.store.diff import diff
from etendue.store.layout import schema_from_json, schema_to_json
from etendue.store.reader import PassReader

KEY = ("run", "luminosityBlock", "event")
COLLISIONS = Table(
    "collisions",
    "entry",
    variables(
        "entry",
        run=("uint32", "", "run"),
        luminosityBlock=("uint32", "", "stretch of a run"),
        event=("uint64", "", "number in the run"),
        true_decay_id=("int32", "", "what was simulated"),
        met=("float32", "GeV", "missing momentum"),
    ),
    key=KEY,
)
MUONS = Table("muons", "muon", variables("muon", charge=("int8", "", "")), parent="collisions")
SCHEMA = Schema({}).with_tables([COLLISIONS, MUONS])
#: Numbers are used again in another stretch.
EVENTS = {
    "run": np.zeros(6, np.uint32),
    "luminosityBlock": np.array([7, 7, 7, 8, 8, 8], np.uint32),
    "event": np.array([11, 12, 13, 11, 12, 13], np.uint64),
    "true_decay_id": np.arange(6, dtype=np.int32),
    "met": np.arange(6, dtype=np.float32),
    "n_muons": np.array([1, 2, 0, 1, 0, 3], np.int32),
}
TABLES = {"collisions": EVENTS, "muons": {"charge": np.array([1, -1, 1, -1, 1, 1, -1], np.int8)}}


class CollisionSource:
    """Six collisions, in any order: ``collisions://012345``."""

    name = "collisions"

    def accepts(self, path):
        return path.startswith("collisions://")

    def scan(self, path, on_error="raise"):
        order = [int(n) for n in path.removeprefix("collisions://")]
        rows = {"collisions": np.ones(6, np.int64), "muons": EVENTS["n_muons"][order].astype(np.int64)}
        return Scan(path, self.name, SCHEMA, {}, rows, splittable=True)

    def read(self, scan, ranges, columns, on_error="raise"):
        order = np.array([int(n) for n in scan.path.removeprefix("collisions://")])
        starts = np.cumsum(EVENTS["n_muons"]) - EVENTS["n_muons"]
        for number, (first, stop) in enumerate(ranges):
            mine = order[first:stop]
            muons = np.concatenate([starts[n] + np.arange(EVENTS["n_muons"][n]) for n in mine]).astype(int)
            tables = {
                "collisions": {c: a[mine] for c, a in EVENTS.items() if f"collisions/{c}" in columns},
                "muons": {c: a[muons] for c, a in TABLES["muons"].items() if f"muons/{c}" in columns},
            }
            yield Partition(number, scan.schema, tables)


@pytest.fixture
def collisions(monkeypatch):
    entry = type("Entry", (), {"load": lambda self: CollisionSource})()
    registered = {**source_module._registered(), "collisions": entry}
    monkeypatch.setattr(source_module, "_registered", lambda: registered)
    source_module.get_source.cache_clear()
    yield "collisions://012345"
    source_module.get_source.cache_clear()


def test_rows_repeat_the_key_of_their_owner_and_nothing_else(tmp_path):
    owner = [0, 1, 1, 3, 5, 5, 5]
    write_hdf5(tmp_path / "a.h5", SCHEMA, [TABLES])
    with h5py.File(tmp_path / "a.h5") as file:
        muons, index = file["muons"][:], file["__I3Index__/muons"][:]
    write_parquet(tmp_path / "a.parquet", SCHEMA, [TABLES])
    frame = pd.read_parquet(tmp_path / "a.parquet/muons.parquet")
    assert list(muons.dtype.names) == ["entry", *KEY, "vector_index", "charge"]
    assert list(frame) == ["entry", *KEY, "vector_index", "charge"]
    for column in KEY:
        np.testing.assert_array_equal(muons[column], EVENTS[column][owner])
        np.testing.assert_array_equal(frame[column], EVENTS[column][owner])
        np.testing.assert_array_equal(index[column], EVENTS[column])
    np.testing.assert_array_equal(muons["entry"], owner)


@pytest.mark.parametrize("write", [write_hdf5, write_parquet])
def test_a_column_that_is_called_like_the_dimension_is_refused(write, tmp_path):
    """As in NanoAOD, where events have a column ``event``; it took the place of the row's number."""
    table = Table(
        "events", "event", {n: replace(v, dims=("event",)) for n, v in COLLISIONS.variables.items()}
    )
    schema = Schema({}).with_tables([table, replace(MUONS, parent="events")])
    with pytest.raises(SchemaError, match=r"column events/event cannot be exported.*number of the row"):
        write(tmp_path / "a", schema, [{"events": EVENTS, "muons": TABLES["muons"]}])
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("write", [write_hdf5, write_parquet])
@pytest.mark.parametrize("name", ["entry", "vector_index", "event"])
def test_a_column_that_would_take_the_place_of_what_rows_repeat_is_refused(write, name, tmp_path):
    muons = MUONS.with_variables(variables("muon", **{name: ("int64", "", "something else")}).values())
    tables = {**TABLES, "muons": {**TABLES["muons"], name: np.arange(7)}}
    with pytest.raises(SchemaError, match=f"muons/{name} cannot be exported"):
        write(tmp_path / "a", Schema({}).with_tables([COLLISIONS, muons]), [tables])
    assert not (tmp_path / "a").exists()


def test_a_column_that_repeats_the_key_itself_is_the_same_one(tmp_path):
    muons = MUONS.with_variables(variables("muon", event=("uint64", "", "")).values())
    own = EVENTS["event"][[0, 1, 1, 3, 5, 5, 5]]
    tables = {**TABLES, "muons": {**TABLES["muons"], "event": own}}
    write_parquet(tmp_path / "a", Schema({}).with_tables([COLLISIONS, muons]), [tables])
    np.testing.assert_array_equal(pd.read_parquet(tmp_path / "a/muons.parquet")["event"], own)


def test_an_identity_that_is_not_there_is_refused():
    with pytest.raises(SchemaError, match=r"no column 'evnt'.*did you mean 'event'"):
        Ownership(SCHEMA, ["evnt"])


def test_keys_are_kept_with_the_pass(collisions, tmp_path):
    et.open(collisions).write(tmp_path / "s", "p", quiet=True)
    assert PassReader.open(str(tmp_path / "s")).schema.top.key == KEY
    assert tuple(et.load(tmp_path / "s")["collisions"].attrs["key"]) == KEY
    assert tuple(et.open(collisions).compute()["collisions"].attrs["key"]) == KEY
    said = CliRunner().invoke(main, ["info", str(tmp_path / "s")]).output
    assert "rows are named by run, luminosityBlock, event" in said


def events(*names):
    return Table("events", "event", variables("event", **dict.fromkeys(names, ("int64", "", ""))))


def test_a_table_of_before_has_what_is_guessed():
    old = [{k: v for k, v in table.items() if k != "key"} for table in schema_to_json(SCHEMA)]
    assert schema_from_json(old).top.key == ()
    table = events("run", "obs_id", "event_id", "true_primary_id", "n_hits")
    assert table.identifying == ["run", "obs_id", "event_id"]
    table = events("run", "run_id", "frame_index", "trigger_counter")
    assert table.identifying == ["run", "run_id", "frame_index", "trigger_counter"]
    assert table.numbering == "trigger_counter"
    assert Table("hits", "hit", variables("hit", dom_id=("int32", "", "")), parent="events").identifying == [
        "dom_id"
    ]


def test_passes_are_compared_by_the_key(collisions, tmp_path):
    """Rows in another order, and by the key they are the same; by any one of its columns they are not."""
    et.open(collisions).write(tmp_path / "s", "a", quiet=True)
    et.open("collisions://531420").write(tmp_path / "s", "b", quiet=True)
    found = diff(f"{tmp_path / 's'}@a", "b")
    assert [c.matched.different for c in found.columns if c.matched] == [0] * len(found.columns)
    assert {c.matched.rows for c in found.columns if c.name.startswith("collisions/")} <= {6}


@pytest.mark.parametrize(
    "event", [{"luminosityBlock": 8, "event": 12}, (8, 12), (0, 8, 12), {"run": 0, "event": 12, "met": 4}]
)
def test_an_event_is_found_by_its_key(collisions, tmp_path, event):
    et.open(collisions).write(tmp_path / "s", "p", quiet=True)
    if "met" in event:
        with pytest.raises(SchemaError, match=r"no column 'met' of whole numbers.*luminosityBlock"):
            lineage(tmp_path / "s", None, event)
        return
    first, raw = lineage(tmp_path / "s", None, event)
    assert dict(first.identity) == {"run": 0, "luminosityBlock": 8, "event": 12}
    assert (first.row, first.event_id, raw.blocks) == (4, 12, (4, 5))
    tree, number = only_event(et.load(tmp_path / "s"), event, top="collisions")
    assert (number, tree["collisions"].sizes["entry"], tree["muons"].sizes["muon"]) == (12, 1, 0)
    assert tree["collisions"]["met"].values.tolist() == [4.0]


def test_a_number_alone_is_that_of_the_last_column(collisions, tmp_path):
    et.open(collisions).write(tmp_path / "s", "p", quiet=True)
    assert [step.row for step in lineage(tmp_path / "s", None, 12) if step.depth == 0] == [1, 4]
    with pytest.raises(NoSuchEventError, match="2 events have event 12; rows are named by run, lum"):
        only_event(et.load(tmp_path / "s"), {"event": 12}, top="collisions")
    with pytest.raises(NoSuchEventError, match="no events have event 99"):
        only_event(et.load(tmp_path / "s"), {"event": 99}, top="collisions")
    tree, _ = only_event(et.load(tmp_path / "s"), {"true_decay_id": 5}, top="collisions")
    assert tree["muons"]["charge"].values.tolist() == [1, 1, -1]
    with pytest.raises(SchemaError, match="4 numbers were given"):
        wanted_of(COLLISIONS, (1, 2, 3, 4))


@pytest.mark.parametrize("event", ["run=0,luminosityBlock=8,event=12", "0,8,12", "8,12"])
def test_the_verb_takes_the_key(collisions, tmp_path, event):
    et.open(collisions).write(tmp_path / "s", "p", quiet=True)
    done = CliRunner().invoke(main, ["provenance", str(tmp_path / "s"), "--event", event, "--json"])
    assert done.exit_code == 0, done.output
    first, *_ = json.loads(done.output)
    assert (first["row"], first["event_id"]) == (4, 12)
    wrong = CliRunner().invoke(main, ["provenance", str(tmp_path / "s"), "--event", "8,x"])
    assert wrong.exit_code == 2
    assert "expected 17, or 3,7,17, or run=3,event_id=17" in wrong.output


def test_frames_of_rows_below_have_the_key(collisions):
    frame = et.open(collisions).to_pandas("muons")
    assert list(frame) == [*KEY, "charge"]
    assert frame["event"].tolist() == [11, 12, 12, 11, 13, 13, 13]
    assert isinstance(et.open(collisions).compute(), xr.DataTree)
