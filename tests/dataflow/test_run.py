"""A run gives the same arrays however it is cut, ordered and scheduled; broken input loses only itself."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import etendue as et
from etendue.dataflow.partition import Partition
from etendue.dataflow.plan import PlanError, make_plan
from etendue.dataflow.source import SourceError
from etendue.schema import Schema, SchemaError, Table, Variable, variables

from .conftest import EVENTS, hits_table


@et.stage(reads=("events/event_id",), writes={"events/selected": ("event", "bool")})
def even(event_id):
    return {"events/selected": event_id % 2 == 0}


@et.stage(reads="@hits/charge", writes={"@hits/selected": ("hit", "bool")})
def positive(charge):
    return {"@hits/selected": charge > 0}


def assert_same(a, b):
    """Two trees hold the same columns, bit for bit."""
    assert set(a.groups) - {"/failures"} == set(b.groups) - {"/failures"}
    for group in a.groups:
        assert set(a[group].variables) == set(b[group].variables)
        for name, variable in a[group].variables.items():
            assert variable.dtype == b[group][name].dtype
            np.testing.assert_array_equal(variable.values, b[group][name].values)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    partition_bytes=st.integers(1, 2000),
    workers=st.integers(1, 4),
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=4),
    data=st.data(),
)
def test_the_result_does_not_depend_on_cuts_order_or_threads(toy, partition_bytes, workers, sizes, data):
    paths = [toy(f"file{n}", f"toy {size} {n} {4 + n % 2}") for n, size in enumerate(sizes)]
    whole = (et.open(*paths, workers=1) | even | positive).compute()
    shuffled = data.draw(st.permutations(paths))
    cut = et.open(*shuffled, workers=workers, partition_bytes=partition_bytes) | even | positive
    assert_same(whole, cut.compute())


def test_selection_drops_rows_with_all_that_they_own(toy):
    path = toy("a", "toy 40 3")
    everything = et.open(path).compute()
    kept = (et.open(path, partition_bytes=100) | even | positive).compute()
    owner = np.repeat(np.arange(40), everything["events/n_hits"].values)
    charge = everything["hits/charge"].values
    mark = (owner % 2 == 0) & (charge > 0)
    np.testing.assert_array_equal(kept["hits/charge"].values, charge[mark])
    np.testing.assert_array_equal(kept["events/event_id"].values, np.arange(0, 40, 2))
    np.testing.assert_array_equal(kept["events/n_hits"].values, np.bincount(owner[mark], minlength=40)[::2])


def test_equal_names_of_different_tables_are_told_apart(toy):
    paths = [toy("a", "toy 3 1 4"), toy("b", "toy 3 1 6"), toy("c", "toy 3 2 4")]
    tree = et.open(*paths).compute()
    assert tree["hits"].sizes["sample"] == 4
    assert tree["hits_2"].sizes["sample"] == 6
    assert tree["events/n_hits"].values[3:6].sum() == 0
    np.testing.assert_array_equal(tree["events/run"].values, np.repeat([0, 1, 2], 3))


def test_columns_that_only_some_inputs_have_are_filled(toy, tmp_path):
    paths = [toy("a", "toy 3 1"), toy("b", "toy 2 2 weighted"), toy("c", "toy 2 3")]
    flow = et.open(*paths)
    flow.write(tmp_path / "s.etendue", "p")
    for tree in (flow.compute(), et.load(tmp_path / "s.etendue", "p")):
        weight, name = tree["events/weight"].values, tree["events/name"].values
        np.testing.assert_array_equal(weight, [np.nan] * 3 + [1.0, 2.0] + [np.nan] * 2)
        assert list(name) == [""] * 3 + ["event 0", "event 1"] + [""] * 2


def test_broken_input_stops_the_run_or_costs_only_its_events(toy):
    paths = [toy("a", "toy 10 1"), toy("b", "toy 10 2 broken 4")]
    with pytest.raises(SourceError, match="event 4: expected a whole event"):
        et.open(*paths, partition_bytes=50).compute()
    tree = et.open(*paths, partition_bytes=50, on_error="skip").compute()
    assert tree.events.sizes["event"] == 19
    assert 4 not in tree["events/event_id"].values[10:]


def test_an_input_of_no_known_kind_is_refused_or_set_aside(toy):
    paths = [toy("a", "toy 10 1"), toy("b", "what is this?")]
    with pytest.raises(SourceError, match="not a kind of file that any source knows"):
        et.open(*paths).compute()
    flow = et.open(*paths, on_error="skip")
    assert flow.compute().events.sizes["event"] == 10
    assert len(flow.inputs.failures) == 1
    with pytest.raises(PlanError, match="none of the inputs can be read"):
        et.open(paths[1], on_error="skip").compute()
    with pytest.raises(SourceError, match="no such file"):
        et.open("nowhere.dat").compute()


def test_a_plan_that_does_not_fit_is_refused_with_the_size_that_would(toy):
    flow = et.open(toy("a", "toy 20000 1 4000"), workers=2, memory_limit=400 << 20)
    with pytest.raises(PlanError, match=r"--partition-bytes (\d+)") as caught:
        flow.plan()
    fits = int(str(caught.value).split("--partition-bytes ")[1].split(")")[0])
    plan = et.open(*flow.paths, workers=2, memory_limit=400 << 20, partition_bytes=fits).plan()
    assert plan.peak_bytes <= 400 << 20
    assert plan.raw_bytes == plan.partitions["bytes"].sum()


def test_a_plan_covers_every_block_once(toy):
    flow = et.open(toy("a", "toy 500 1"), toy("b", "toy 300 2"))
    plan = make_plan(flow.inputs, flow.pipeline, partition_bytes=333)
    for scan in (0, 1):
        cuts = plan.partitions[plan.partitions["scan"] == scan]
        assert cuts["first"][0] == 0
        np.testing.assert_array_equal(cuts["stop"][:-1], cuts["first"][1:])
    assert plan.partitions["stop"][-1] == 300
    assert len(plan.spans) == 2  # streams cannot be split


def test_preview_reads_a_few_events_only(toy):
    assert et.open(toy("a", "toy 500 1")).preview(3).events.sizes["event"] == 3


def test_doors(toy):
    flow = et.open(toy("a", "toy 20 1"))
    tree = flow.compute()
    frame = flow.to_pandas("hits")
    np.testing.assert_array_equal(frame["charge"], tree["hits/charge"])
    lists = flow.to_awkward("hits")
    assert [len(event) for event in lists] == tree["events/n_hits"].values.tolist()
    assert "charge" in flow._repr_html_()
    assert "partitions" in flow.plan()._repr_html_()


@pytest.mark.cluster
def test_processes_and_dask_give_the_same_arrays():
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    flow = (
        et.open("simulated://gamma?n_showers=300&seed=1", partition_bytes=4 << 20)
        | et.iact.Calibrate()
        | et.iact.Integrate()
        | et.iact.Clean(picture=8, boundary=4)
    )
    size = et.Histogram([et.axis.Log("simcam/image", 40, 1, 1e4)], weight="simcam/peak_time")
    threads, sizes = flow.compute(), flow.histograms({"size": size})["size"]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert_same(threads, flow.compute(executor=pool))
        assert flow.histograms({"size": size}, executor=pool)["size"] == sizes
    for where in ("laptop", "processes"):
        with et.connect(where, workers=2) as client:
            assert_same(threads, flow.compute(client=client))
            assert flow.histograms({"size": size}, client=client)["size"] == sizes


@pytest.mark.cluster
def test_a_pass_written_by_a_dask_cluster_is_the_one_that_threads_write(tmp_path):
    flow = et.open("simulated://gamma?n_showers=300&seed=1", partition_bytes=4 << 20)
    flow.write(tmp_path / "s", tag="threads")
    with et.connect("processes", workers=2) as client:
        flow.write(tmp_path / "s", tag="processes", client=client)
    stored = {tag: et.load(tmp_path / "s", tag).compute() for tag in ("threads", "processes")}
    assert_same(stored["threads"], stored["processes"])


def test_partition_tells_whose_rows_are_whose():
    schema = Schema({"events": EVENTS, "hits": hits_table(2)}).with_variables(
        {"events/n_hits": Variable("n_hits", ("event",), "int32")}
    )
    partition = Partition(
        0,
        schema,
        {"events": {"n_hits": np.array([2, 0, 1], np.int32)}, "hits": {"charge": np.zeros(3, np.float32)}},
    )
    np.testing.assert_array_equal(partition.owners("hits"), [0, 0, 2])
    np.testing.assert_array_equal(partition.offsets("hits"), [0, 2, 2, 3])
    with pytest.raises(SchemaError, match="did you mean 'charge'"):
        partition["hits/chrge"]
    with pytest.raises(SchemaError, match="declared but was not read"):
        partition["hits/samples"]


class Pairs(et.Stage):
    """A stage that makes more rows: each event's pairs of hits."""

    reads = ("events/n_hits", "hits/charge")

    def makes(self, schema):
        columns = variables("pair", product=("float32", "pe2", "product of the charges"))
        return [Table("pairs", "pair", columns, parent="events")]

    def __call__(self, partition):
        charge, starts = partition["hits/charge"], partition.offsets("hits")
        lists = [charge[a:b] for a, b in pairwise(starts)]
        products = [np.outer(q, q)[np.triu_indices(len(q), 1)] for q in lists]
        return {
            "pairs/product": np.concatenate([np.empty(0, np.float32), *products]).astype(np.float32),
            "events/n_pairs": np.array([len(p) for p in products], dtype=np.int32),
        }


def test_a_stage_that_makes_more_rows_makes_a_new_table(toy, tmp_path):
    path = toy("a", "toy 40 3")
    tree = (et.open(path, partition_bytes=100) | Pairs() | even).compute()
    n_hits = et.open(path).compute()["events/n_hits"].values[::2]
    np.testing.assert_array_equal(tree["events/n_pairs"].values, n_hits * (n_hits - 1) // 2)
    assert tree["pairs"].sizes["pair"] == tree["events/n_pairs"].values.sum()
    flow = et.open(path, partition_bytes=100) | Pairs() | even
    flow.write(tmp_path / "s", tag="a")
    assert_same(tree, et.load(tmp_path / "s", "a").compute())


def test_units_go_through_the_doors(toy):
    """As declared: by pandas in attrs, by astropy as quantities, by awkward as parameters."""
    from astropy import units as u

    flow = et.open(toy("a", "toy 20 1"))
    declared = {v.name: v for v in flow.schema["hits"].variables.values()}
    units = {name: v.units for name, v in declared.items() if v.units}
    about = {name: v.description for name, v in declared.items() if v.description}
    assert units
    assert about
    frame = flow.to_pandas("hits")
    flat = set(frame.columns)
    for kind, expected in (("units", units), ("descriptions", about)):
        of_hits = {name: text for name, text in frame.attrs[kind].items() if name in declared}
        assert of_hits == {name: text for name, text in expected.items() if name in flat}
    events = flow.compute()["events"]
    np.testing.assert_array_equal(frame["event_id"], np.repeat(events["event_id"], events["n_hits"]))
    assert set(frame.attrs["left_out"]) == declared.keys() - flat
    table = flow.to_astropy("hits")
    for name, variable in declared.items():
        np.testing.assert_array_equal(np.asarray(table[name]), flow.compute()["hits"][name])
        unit = u.Unit(variable.units, parse_strict="silent") if variable.units else None
        assert getattr(table[name], "unit", None) == unit
        assert table[name].dtype == np.asarray(flow.compute()["hits"][name]).dtype
        assert (table[name].info.description or "") == variable.description
    array = flow.to_awkward("hits")
    assert array.layout.purelist_parameter("units") == units


def test_a_table_that_is_not_there_is_named_before_anything_runs(toy, monkeypatch):
    flow = et.open(toy("a", "toy 20 1"))
    monkeypatch.setattr("etendue.dataflow.flow.run", None)
    for door in (flow.to_pandas, flow.to_astropy, flow.to_awkward):
        with pytest.raises(SchemaError, match=r"no table 'hit'; did you mean 'hits'\? there are \["):
            door("hit")
