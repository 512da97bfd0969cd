"""What names a row: the key that a table declares, used by exports, comparison, lineage and pictures."""

import json
from dataclasses import replace

import awkward as ak
import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from click.testing import CliRunner

import etendue as et
from etendue.cli import main
from etendue.dataflow import source as source_module
from etendue.dataflow.doors import to_astropy, to_awkward, to_pandas
from etendue.dataflow.event import NoSuchEventError, only_event, wanted_of
from etendue.dataflow.hdf5 import write_hdf5
from etendue.dataflow.owned import Ownership, with_key
from etendue.dataflow.parquet import write_parquet
from etendue.dataflow.partition import Partition
from etendue.dataflow.plain_zarr import write_zarr
from etendue.dataflow.runs import run_row
from etendue.dataflow.source import Scan
from etendue.provenance import lineage
from etendue.schema import Schema, SchemaError, Table, variables
from etendue.store.diff import diff
from etendue.store.layout import schema_from_json, schema_to_json
from etendue.store.reader import PassReader
from tests.neutrino.sources.i3_files import frame, header
from tests.neutrino.sources.i3_files import number as number_blob

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
    with pytest.raises(
        NoSuchEventError,
        match=r"2 events have event 12: row 1 \(run 0, luminosityBlock 7, event 12\); row 4 .*--row N",
    ):
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


# --- rows that other rows between own, and keys of text

JETS = Table(
    "jets",
    "jet",
    variables("jet", jet_id=("int16", "", "number in the collision"), name=("str", "", "")),
    parent="collisions",
    key=("jet_id", "name"),
)
PARTS = Table("parts", "part", variables("part", energy=("float32", "GeV", "")), parent="jets")
NESTED = Schema({}).with_tables([COLLISIONS, JETS, PARTS])
#: Of six collisions two have jets: one of parts 0 and 1, and two of parts 2, and 3 to 5.
NESTED_TABLES = {
    "collisions": {c: a for c, a in EVENTS.items() if c != "n_muons"}
    | {"n_jets": np.array([0, 1, 0, 0, 2, 0], np.int32)},
    "jets": {
        "jet_id": np.array([5, 6, 6], np.int16),
        "name": np.array(["a", "a", "b"], np.dtypes.StringDType()),
        "n_parts": np.array([2, 1, 3], np.int32),
    },
    "parts": {"energy": np.arange(6, dtype=np.float32)},
}
#: What names the jet of each part.
OWNERS = {
    "run": [0] * 6,
    "luminosityBlock": [7, 7, 8, 8, 8, 8],
    "event": [12, 12, 12, 12, 12, 12],
    "jet_id": [5, 5, 6, 6, 6, 6],
    "name": ["a", "a", "a", "b", "b", "b"],
}


def exported(form, path, schema, tables, name):
    """The columns of a table, exported in each way."""
    if form == "hdf5":
        write_hdf5(path, schema, [tables])
        with h5py.File(path) as file:
            rows = file[name][:]
        return {c: [v.decode() if isinstance(v, bytes) else v for v in rows[c]] for c in rows.dtype.names}
    if form == "parquet":
        write_parquet(path, schema, [tables])
        return pd.read_parquet(path / f"{name}.parquet").to_dict("list")
    if form == "zarr":
        write_zarr(path, schema, [tables])
        return {str(c): v.values.tolist() for c, v in xr.open_zarr(path, group=name).variables.items()}
    if form == "awkward":
        array = to_awkward(schema, tables, name)
        return {column: array[column] for column in array.fields}
    table, columns = with_key(schema, tables, name)
    frame = {"pandas": to_pandas, "astropy": to_astropy}[form](table, columns)
    return {str(c): list(frame[c]) for c in frame.columns}


FORMS = ("hdf5", "parquet", "zarr", "pandas", "astropy", "awkward")


@pytest.mark.parametrize("form", FORMS)
def test_every_row_carries_the_keys_of_all_its_owners(form, tmp_path):
    found = exported(form, tmp_path / "a", NESTED, NESTED_TABLES, "parts")
    for column, values in OWNERS.items():
        flat = ak.flatten(found[column]).to_list() if form == "awkward" else list(found[column])
        assert flat == values, column
    if form == "awkward":
        assert ak.num(found["jet_id"]).to_list() == [2, 1, 3]


@pytest.mark.parametrize("form", FORMS)
def test_a_key_of_an_owner_between_that_is_something_else_is_refused(form, tmp_path):
    parts = PARTS.with_variables(variables("part", jet_id=("int16", "", "another")).values())
    tables = {**NESTED_TABLES, "parts": {**NESTED_TABLES["parts"], "jet_id": np.arange(6, dtype=np.int16)}}
    with pytest.raises(SchemaError, match="parts/jet_id cannot be exported"):
        exported(form, tmp_path / "a", Schema({}).with_tables([COLLISIONS, JETS, parts]), tables, "parts")


def test_named_columns_are_exported_with_the_key(collisions, tmp_path):
    """Though only ``charge`` was named; a pass holds what was named, and no more."""
    flow = et.open(collisions).columns("muons/charge")
    assert list(flow.to_pandas("muons")) == [*KEY, "charge"]
    assert flow.to_awkward("muons").fields == [*KEY, "charge"]
    flow.to_parquet(tmp_path / "a")
    assert list(pd.read_parquet(tmp_path / "a/muons.parquet")) == ["entry", *KEY, "vector_index", "charge"]
    assert set(flow.compute()["muons"].data_vars) == {"charge"}


@pytest.fixture
def split(monkeypatch, tmp_path):
    """Two physics frames of each DAQ frame, that only their splitter tells apart, and their passes."""
    objects = lambda n, stream, value: {  # noqa: E731
        "I3EventHeader": header(1, n, 0, stream),
        "Value": number_blob(value),
    }
    frames = [
        frame(stop, objects(n, stream, value))
        for n in (3, 4)
        for stop, stream, value in (("Q", "", 0.0), ("P", "InIceSplit", n + 0.5), ("P", "NullSplit", -n))
    ]
    path = tmp_path / "split.i3"
    path.write_bytes(b"".join(frames))
    return path


def test_physics_frames_of_one_event_have_keys_of_their_own(split, tmp_path):
    et.open(str(split)).write(tmp_path / "s", "p", quiet=True)
    top = PassReader.open(str(tmp_path / "s")).schema.top
    events = et.load(tmp_path / "s")["events"]
    keys = list(zip(*(events[name].values.tolist() for name in top.key), strict=True))
    assert len(keys) == len(set(keys)) == 4
    with pytest.raises(NoSuchEventError, match=r"2 events have event_id 4: row 2 .*InIceSplit.*row 3 .*Null"):
        only_event(et.load(tmp_path / "s"), 4)
    one = {"event_id": 4, "sub_event_stream": "NullSplit"}
    tree, event_id = only_event(et.load(tmp_path / "s"), one)
    assert (event_id, tree["events"]["Value"].values.tolist()) == (4, [-4.0])
    found = lineage(tmp_path / "s", None, one)
    assert [step.row for step in found] == [3, 0]
    assert found[0].identity["sub_event_stream"] == "NullSplit"
    args = ["provenance", str(tmp_path / "s"), "--event", "event_id=4,sub_event_stream=NullSplit", "--json"]
    assert json.loads(CliRunner().invoke(main, args).output)[0]["index"] == 3
    with pytest.raises(SchemaError, match="holds whole numbers, not 'four'"):
        lineage(tmp_path / "s", None, {"event_id": "four"})


def times(factor, table, column):
    """A stage that makes a column ``scaled``."""
    dim = "event" if table == "events" else "entry"

    @et.stage(reads=[f"{table}/{column}"], writes={f"{table}/scaled": (dim, "float64")})
    def scaled(values):
        return {f"{table}/scaled": values.astype(np.float64) * factor}

    return scaled


def test_passes_are_compared_by_keys_of_text(split, tmp_path):
    """A row is matched with that of its own splitter: without it, rows of one key could not be told apart."""

    flow = et.open(str(split), partition_bytes=1)
    (flow | times(2.0, "events", "Value")).write(tmp_path / "s", "a", quiet=True)
    (flow | times(3.0, "events", "Value")).write(tmp_path / "s", "b", quiet=True)
    (column,) = diff(f"{tmp_path / 's'}@a", "b").columns
    assert (column.matched.rows, column.matched.different) == (4, 4)
    assert column.matched.mean_shift == pytest.approx((3.5 - 3 + 4.5 - 4) / 4)


def test_a_row_stands_for_an_event(collisions, tmp_path):
    et.open(collisions).write(tmp_path / "s", "p", quiet=True)
    first, raw = lineage(tmp_path / "s", None, row=4)
    assert (first.index, first.event_id, raw.blocks) == (4, 12, (4, 5))
    assert lineage(tmp_path / "s", None, 12, row=1)[0].identity["luminosityBlock"] == 7
    with pytest.raises(NoSuchEventError, match="no event with event 12, row 2"):
        lineage(tmp_path / "s", None, 12, row=2)
    with pytest.raises(NoSuchEventError, match="no row 6 of collisions: it has 6"):
        lineage(tmp_path / "s", None, row=6)
    done = CliRunner().invoke(main, ["provenance", str(tmp_path / "s"), "--row", "4", "--json"])
    assert json.loads(done.output)[0]["row"] == 4
    tree, number = only_event(et.load(tmp_path / "s"), 12, top="collisions", row=1)
    assert (number, tree["collisions"]["luminosityBlock"].values.tolist()) == (12, [7])


def test_what_names_rows_comes_after_what_differs(collisions, tmp_path):
    """A pass of half the events: event_id moved most, and what matters is what differs in rows of both."""

    met = ("collisions", "met")
    (et.open(collisions) | times(1.0, *met)).write(tmp_path / "s", "a", quiet=True)
    few = et.open(collisions) | times(1.01, *met) | et.Select("luminosityBlock == 8")
    few.write(tmp_path / "s", "b", quiet=True)
    names = [column.name for column in diff(f"{tmp_path / 's'}@a", "b").columns]
    assert "collisions/luminosityBlock" in names
    assert names.index("collisions/scaled") < names.index("collisions/luminosityBlock")
    assert {n.rpartition("/")[2] for n in names[-2:]} <= set(KEY)


def test_runs_are_numbered_by_their_declared_key():
    runs = xr.Dataset(
        {"run": ("o", [0, 1]), "night_id": ("o", [7, 7]), "number": ("o", [41, 42])},
        attrs={"key": ["run", "number"]},
    )
    assert run_row(runs, 42) == 1
