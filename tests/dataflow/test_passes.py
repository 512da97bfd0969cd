"""Writing again under the name of a pass: what goes on, what is added, what is refused."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import etendue as et
from etendue.dataflow.difference import differences
from etendue.dataflow.passes import _remaining
from etendue.dataflow.source import SourceError
from etendue.schema import SchemaError
from etendue.store import PassExistsError, passes, unfinished
from etendue.store.ledger import ledger_of
from etendue.store.reader import PassReader
from etendue.store.verify import DamagedChunk, find_damage

from ..store.ragged import contents
from .test_run import assert_same


@et.stage(reads="hits/charge", writes={"hits/double": ("hit", "float32", "pe")})
def double(charge):
    return {"hits/double": 2 * charge}


@et.stage(reads="hits/charge", writes={"hits/half": ("hit", "float32", "pe")})
def half(charge):
    return {"hits/half": charge / 2}


@et.stage(reads="events/event_id", writes={"events/selected": ("event", "bool", "")})
def odd(event_id):
    return {"events/selected": event_id % 2 == 1}


@et.stage(reads="events/event_id", writes={"events/checked": ("event", "int64", "")})
def no_thirteen(event_id):
    if 13 in event_id:
        raise ZeroDivisionError("thirteen")
    return {"events/checked": event_id}


class Killed(BaseException):
    """What nothing catches, as a kill."""


def kill_after(n_spans, monkeypatch):
    """Let a run die when so many spans are committed, without a word."""
    from etendue.dataflow import run as run_module
    from etendue.store import publish

    monkeypatch.setattr(publish, "COMMIT_SPANS", 1)
    real, done = run_module._Books.enter, []

    def enter(self, *args):
        if len(done) == n_spans:
            raise Killed
        done.append(args)
        real(self, *args)

    monkeypatch.setattr(run_module._Books, "enter", enter)
    monkeypatch.setattr(publish.PassWriter, "suspend", lambda self: self._close())


def flow_of(*paths, stages=double, **options):
    return et.open(*paths, partition_bytes=100, workers=1, **options) | stages


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n_spans=st.lists(st.integers(0, 6), max_size=3))
def test_an_interrupted_run_goes_on_where_it_was(toy, tmp_path_factory, n_spans):
    folder = tmp_path_factory.mktemp("s")
    paths = [toy(f"file{n}", f"toy {10 + 7 * n} {n}") for n in range(3)]
    flow_of(*paths).write(folder / "whole", "a")
    for n in n_spans:
        with pytest.MonkeyPatch.context() as patch:
            kill_after(n, patch)
            try:
                flow_of(*paths).write(folder / "s", "a")
            except Killed:
                assert not passes(folder / "s")
    summary = flow_of(*paths).write(folder / "s", "a")
    whole = flow_of(*paths).write(folder / "whole", "a")
    assert contents(str(folder / "s")) == contents(str(folder / "whole"))
    assert unfinished(folder / "s", "a") is None
    if len(summary.plan.partitions):  # it was not finished before
        assert summary.rows["events"] == 10 + 17 + 24
        assert "nothing new" in str(whole)


def test_what_is_done_is_not_done_again(toy, tmp_path, monkeypatch):
    paths = [toy(f"file{n}", f"toy 10 {n}") for n in range(4)]
    with monkeypatch.context() as patch:
        kill_after(1, patch)
        with pytest.raises(Killed):
            flow_of(*paths).write(tmp_path / "s", "a")
    from etendue.dataflow import passes as module

    left = []
    monkeypatch.setattr(module, "_remaining", lambda *a: left.append(_remaining(*a)) or left[0])
    summary = flow_of(*paths).write(tmp_path / "s", "a")
    assert 0 < len(left[0].partitions) < len(summary.plan.partitions)
    assert summary.rows["events"] == 40


def test_histograms_of_an_interrupted_run_are_whole(toy, tmp_path, monkeypatch):
    paths = [toy(f"file{n}", f"toy 30 {n}") for n in range(3)]
    requests = {
        "charge": et.Histogram((et.axis.Regular("hits/charge", 10, -3, 3),)),
        "weighted": et.Histogram((et.axis.Regular("hits/charge", 10, -3, 3),), weight="hits/double"),
    }
    with monkeypatch.context() as patch:
        kill_after(1, patch)
        with pytest.raises(Killed):
            flow_of(*paths).write(tmp_path / "s", "a", histograms=requests)
    with pytest.raises(PassExistsError, match=r"options.histograms\[0\]: was .*, is not there"):
        flow_of(*paths).write(tmp_path / "s", "a")
    again = flow_of(*paths).write(tmp_path / "s", "a", histograms=requests).histograms
    once = flow_of(*paths).histograms(requests)
    assert again == once
    assert once["charge"].sum() > 50


def test_another_pipeline_is_refused_with_the_difference(toy, tmp_path, monkeypatch):
    paths = [toy("a", "toy 30 1"), toy("b", "toy 10 1")]
    with monkeypatch.context() as patch:
        kill_after(1, patch)
        with pytest.raises(Killed):
            flow_of(*paths).write(tmp_path / "s", "a")
    with pytest.raises(PassExistsError, match=r"stage\[0\] \(.*:half\): was not there"):
        flow_of(*paths, stages=half).write(tmp_path / "s", "a")
    with pytest.raises(PassExistsError, match=r"inputs\..*/c: was not there"):
        flow_of(*paths, toy("c", "toy 3 1")).write(tmp_path / "s", "a")
    with pytest.raises(PassExistsError, match=r"options\.partition_bytes: was 100, is 1000"):
        (et.open(*paths, partition_bytes=1000) | double).write(tmp_path / "s", "a")
    with pytest.raises(PassExistsError, match=r"options\.on_error: was 'raise', is 'skip'"):
        flow_of(*paths, on_error="skip").write(tmp_path / "s", "a")
    summary = flow_of(*paths, stages=half).write(tmp_path / "s", "a", fresh=True)
    assert summary.rows["events"] == 40
    with pytest.raises(PassExistsError, match=r"pipeline\.stage"):
        flow_of(*paths).write(tmp_path / "s", "a")


def test_other_versions_are_refused(toy, tmp_path, monkeypatch):
    from etendue.dataflow import identity

    path = toy("a", "toy 30 1")
    flow_of(path).write(tmp_path / "s", "a")
    real = identity.version
    monkeypatch.setattr(identity, "version", lambda name: "0.0" if name == "numba" else real(name))
    with pytest.raises(PassExistsError, match=r"versions.numba: was '.*', is '0.0'"):
        flow_of(path).write(tmp_path / "s", "a")


def interrupt(monkeypatch, write):
    with monkeypatch.context() as patch:
        kill_after(0, patch)
        with pytest.raises(Killed):
            write()


def test_what_is_open_is_told_when_something_else_is_asked_for(toy, tmp_path, monkeypatch):
    path, store = toy("a", "toy 60 1"), tmp_path / "s"
    flow, more = flow_of(path), flow_of(path, toy("b", "toy 9 2"))
    flow.write(store, "a")
    damaged = [DamagedChunk("hits/double", 1, "cut short")]
    monkeypatch.setattr("etendue.store.verify.find_damage", lambda reader: damaged)
    flow.write(store, "a", repair=True)
    # The same partition again, so that both repairs have the same identity.
    interrupt(monkeypatch, lambda: flow.write(store, "a", repair=True))
    for other in (flow, more):
        with pytest.raises(
            PassExistsError, match=r"repair of pass 'a' is not finished \(partitions 1\).*--repair"
        ):
            other.write(store, "a")
    assert flow.write(store, "a", repair=True).rows["events"] < 60

    interrupt(monkeypatch, lambda: more.write(store, "a"))
    with pytest.raises(PassExistsError, match=r"not finished.*/b.*without repair=True"):
        more.write(store, "a", repair=True)
    with pytest.raises(PassExistsError, match=r"not finished.*/b.*name these inputs again"):
        flow.write(store, "a")
    flow.write(store, "a", repair=True, fresh=True)
    assert more.write(store, "a").rows["events"] == 9


def test_a_pass_that_was_begun_wants_the_inputs_that_can_be_read(toy, tmp_path, monkeypatch):
    good, bad = toy("a", "toy 20 1"), toy("b", "no toy")
    both = flow_of(good, bad, on_error="skip")
    interrupt(monkeypatch, lambda: both.write(tmp_path / "s", "a"))
    with pytest.raises(PassExistsError, match="name these inputs again"):
        flow_of(bad, on_error="skip").write(tmp_path / "s", "a")
    assert both.write(tmp_path / "s", "a").rows["events"] == 20


def test_new_inputs_are_a_revision(toy, tmp_path):
    first, second = toy("a", "toy 20 1"), toy("b", "toy 15 2 8")  # the second with a table of its own
    flow_of(first).write(tmp_path / "s", "a")
    summary = flow_of(first, second).write(tmp_path / "s", "a")
    assert (summary.tag, summary.rows["events"]) == ("a+1", 15)
    assert [entry.tag for entry in passes(tmp_path / "s")] == ["a", "a+1"]
    both = flow_of(first, second).compute()
    assert_same(both, et.load(tmp_path / "s").compute())
    assert_same(flow_of(first).compute(), et.load(tmp_path / "s", "a+0").compute())
    assert "nothing new" in str(flow_of(second, first).write(tmp_path / "s", "a"))
    with pytest.raises(SchemaError, match="other columns than in the pass"):
        flow_of(toy("c", "toy 5 1 weighted")).write(tmp_path / "s", "a")


def test_new_inputs_may_have_tables_that_are_not_written(toy, tmp_path):
    first, second = toy("a", "toy 20 1"), toy("b", "toy 15 2 8")
    flow_of(first).columns("events/*").write(tmp_path / "s", "a")
    flow = flow_of(first, second).columns("events/*")
    flow.write(tmp_path / "s", "a")
    assert_same(flow.compute(), et.load(tmp_path / "s").compute())
    assert find_damage(PassReader.open(str(tmp_path / "s"))) == []


def test_an_interrupted_addition_of_a_new_table_goes_on(toy, tmp_path, monkeypatch):
    first, *others = toy("a", "toy 20 1"), toy("b", "toy 15 2 8"), toy("c", "toy 9 3 8")
    flow_of(first).write(tmp_path / "s", "a")
    with monkeypatch.context() as patch:
        kill_after(1, patch)
        with pytest.raises(Killed):
            flow_of(first, *others).write(tmp_path / "s", "a")
    assert_same(flow_of(first).compute(), et.load(tmp_path / "s").compute())
    flow_of(first, *others).write(tmp_path / "s", "a")
    assert_same(flow_of(first, *others).compute(), et.load(tmp_path / "s").compute())
    assert find_damage(PassReader.open(str(tmp_path / "s"))) == []


def test_an_input_that_does_not_fit_is_set_aside(toy, tmp_path):
    """One telescope more than the pass knows must not stop a night."""
    flow_of(toy("a", "toy 20 1")).write(tmp_path / "s", "a")
    strange, good = toy("b", "toy 5 1 weighted"), toy("c", "toy 7 3")
    summary = flow_of(strange, good, on_error="skip").write(tmp_path / "s", "a")
    assert summary.rows["events"] == 7
    (failure,) = summary.outcome.failures
    assert (failure.path, failure.place) == (strange, "tables")
    assert "other columns than in the pass (['name', 'weight'])" in failure.message


def test_one_after_the_other_is_the_same_as_all_at_once(toy, tmp_path):
    paths = [toy(name, f"toy {n} {n}") for name, n in (("a", 20), ("b", 0), ("c", 15))]
    for n in range(1, 4):
        flow_of(*paths[:n]).write(tmp_path / "s", "a")
    flow_of(*paths).write(tmp_path / "t", "a")
    assert contents(str(tmp_path / "s")) == contents(str(tmp_path / "t"))


def test_what_was_added_to_a_pass_is_added_to_those_made_from_it(toy, tmp_path):
    """Night after night, raw to raw store to reduced store."""
    paths = [toy(name, f"toy {n} {n}") for name, n in (("a", 20), ("b", 9), ("c", 15))]
    raw = f"{tmp_path}/raw@raw"
    for n in range(1, 4):
        et.open(*paths[:n], partition_bytes=100).write(tmp_path / "raw", "raw")
        summary = flow_of(raw).write(tmp_path / "s", "a")
        assert summary.rows["events"] == (20, 9, 15)[n - 1]
    assert "nothing new" in str(flow_of(raw).write(tmp_path / "s", "a"))
    assert_same(flow_of(*paths).compute(), et.load(tmp_path / "s").compute())
    reader = PassReader.open(str(tmp_path / "s"))
    assert reader.origin[:, 0].tolist() == sorted(reader.origin[:, 0].tolist())


def test_an_input_that_changed_is_refused(toy, tmp_path):
    path = toy("a", "toy 20 1")
    flow_of(path).write(tmp_path / "s", "a")
    os.utime(path)  # the same contents at another time are the same
    assert "nothing new" in str(flow_of(path).write(tmp_path / "s", "a"))
    Path(path).write_text("toy 20 2")
    with pytest.raises(SourceError, match="changed since the pass was made from it"):
        flow_of(path).write(tmp_path / "s", "a")


def test_what_fails_is_set_aside_and_can_be_retried(toy, tmp_path):
    good, bad = toy("a", "toy 20 1"), str(tmp_path / "b")
    Path(bad).write_text("not a toy")
    summary = flow_of(good, bad, on_error="skip").write(tmp_path / "s", "a")
    (failure,) = summary.outcome.failures
    assert failure.path == bad
    table = et.load(tmp_path / "s", "a")["failures"]
    assert table["path"].values.tolist() == [bad]
    assert table["partition"].values.tolist() == [-1]
    summary = flow_of(good, bad, on_error="skip").write(tmp_path / "s", "a", retry_failed=True)
    assert summary.outcome.failures == [failure]  # it was retried in vain, and that is told
    assert [entry.tag for entry in passes(str(tmp_path / "s"))] == ["a"]
    toy("b", "toy 10 2")
    assert "nothing new" in str(flow_of(good, bad, on_error="skip").write(tmp_path / "s", "a"))
    summary = flow_of(good, bad, on_error="skip").write(tmp_path / "s", "a", retry_failed=True)
    assert summary.rows["events"] == 10
    assert_same(flow_of(good, bad).compute(), et.load(tmp_path / "s").compute())
    assert et.load(tmp_path / "s")["failures"].sizes["failure"] == 0


def test_a_retried_input_replaces_what_was_read_of_it(toy, tmp_path):
    good, broken = toy("a", "toy 20 1"), toy("b", "toy 10 2 broken 3")
    flow_of(good, broken, on_error="skip").write(tmp_path / "s", "a")
    reader = PassReader.open(str(tmp_path / "s"))
    (failure,) = ledger_of(reader).failures
    assert reader.origin[failure.partition, 0] == 1
    assert et.load(tmp_path / "s")["events"].sizes["event"] == 29
    toy("b", "toy 10 2")
    with pytest.raises(SourceError, match="changed since"):
        flow_of(good, broken, on_error="skip").write(tmp_path / "s", "a")
    flow_of(good, broken, on_error="skip").write(tmp_path / "s", "a", retry_failed=True)
    tree = et.load(tmp_path / "s").compute()
    assert tree["events"]["event_id"].values.tolist() == [*range(20), *range(10)]
    assert np.unique(tree["events"]["run"].values).tolist() == [0, 2]


def test_a_stage_that_fails_costs_its_partition_only(toy, tmp_path):
    path = toy("a", "toy 40 1")
    with pytest.raises(ZeroDivisionError):
        flow_of(path, stages=no_thirteen).write(tmp_path / "s", "a")
    assert unfinished(tmp_path / "s", "a") is None  # nothing was done, so nothing stays
    summary = flow_of(path, stages=no_thirteen, on_error="skip").write(tmp_path / "s", "a")
    (failure,) = summary.outcome.failures
    assert "ZeroDivisionError: thirteen" in failure.message
    kept = et.load(tmp_path / "s")["events/event_id"].values
    assert 13 not in kept
    assert len(kept) == 40 - failure.events_lost
    assert 0 < failure.events_lost < 20


def test_partitions_know_where_they_came_from(toy, tmp_path):
    paths = [toy("a", "toy 20 1"), toy("b", "toy 15 2")]
    (flow_of(*paths, stages=odd)).write(tmp_path / "s", "a")
    reader = PassReader.open(str(tmp_path / "s"))
    for number, n_events in ((0, 20), (1, 15)):
        of = reader.origin[reader.origin[:, 0] == number]
        assert of[0, 1] == 0
        assert of[-1, 2] == n_events
        np.testing.assert_array_equal(of[1:, 1], of[:-1, 2])


def test_rows_that_enter_and_leave_a_selection_are_counted(toy, tmp_path):
    summary = flow_of(toy("a", "toy 21 1"), stages=odd).write(tmp_path / "s", "a")
    assert summary.outcome.selected == {"odd": {"events": (21, 10)}}


def test_checksums_are_of_what_is_stored(toy, tmp_path):
    from isal.isal_zlib import crc32

    flow_of(toy("a", "toy 21 1")).write(tmp_path / "s", "a")
    reader = PassReader.open(str(tmp_path / "s"))
    for number in range(reader.n_partitions):
        columns = reader.read({"hits": ["double"]}, [number])["hits"]
        if len(columns["double"]):
            assert crc32(columns["double"].tobytes()) == reader.checksums["hits/double"][number]


def test_differences():
    assert list(differences({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}, 4], "c": None})) == [
        "a[1].b: was 2, is 3",
        "a[2]: was not there, is 4",
        "c: was not there, is None",
    ]
    assert list(differences({"a": 1}, {"a": 1})) == []


def test_stages_are_compared_by_what_they_are_and_not_by_position():
    a, b, c = {"use": "A", "x": 1}, {"use": "B", "x": [1.0, 2.0]}, {"use": "C"}
    assert list(differences([a, b], [a, c, b], "stage")) == ["stage[1] (C): was not there, is there"]
    assert list(differences([a, b, c], [a, c], "stage")) == ["stage[1] (B): was there, is not there"]
    assert list(differences([a, b], [c, {**a, "x": 2}, b], "stage")) == [
        "stage[0] (C): was not there, is there",
        "stage[1] (A).x: was 1, is 2",
    ]
    assert list(differences([a, b], [b, a], "stage")) == ["stage[1] (B): is now stage[0]"]
    assert list(differences([a, {**a, "x": 2}], [{**a, "x": 2}], "stage")) == [
        "stage[0] (A): was there, is not there"
    ]
    assert list(differences([b], [{**b, "x": [1.0, 3.0]}], "s")) == ["s[0] (B).x[1]: was 2.0, is 3.0"]
    assert list(differences(["a", "b", "c"], ["b", "c"], "write")) == ["write[0]: was 'a', is not there"]
    assert list(differences([float("nan")], [float("nan")])) == []
