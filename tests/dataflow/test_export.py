"""Runs handed over to a file, partition by partition."""

import time

import numpy as np
import pytest

import etendue as et
from etendue.dataflow.export import _Handover, _partitions, to_zarr
from etendue.dataflow.source import SourceError


def quiet(done):
    pass


def test_partitions_come_in_order(toy):
    flow = et.open(toy("a", "toy 500 1"), toy("b", "toy 300 2"), partition_bytes=1000)
    plan = flow.plan()
    parts = list(_partitions(plan, quiet))
    assert len(parts) == len(plan.partitions) > 10
    tree = flow.compute()
    for name in ("events/event_id", "hits/charge"):
        table, column = name.split("/")
        np.testing.assert_array_equal(np.concatenate([p[table][column] for p in parts]), tree[name].values)


def test_a_slow_consumer_holds_the_run_back(toy, monkeypatch):
    plan = et.open(toy("a", "toy 3000 1"), partition_bytes=1000).plan()
    made = []
    write = _Handover.write

    def counted(self, number, tables):
        made.append(number)
        return write(self, number, tables)

    monkeypatch.setattr(_Handover, "write", counted)
    for n_taken, _ in enumerate(_partitions(plan, quiet), start=1):
        time.sleep(0.002)
        assert len(made) <= n_taken + 2
    assert n_taken == len(made) > 30


def test_a_consumer_that_stops_ends_the_run(toy):
    plan = et.open(toy("a", "toy 3000 1"), partition_bytes=1000).plan()
    done = []
    partitions = _partitions(plan, done.append)
    next(partitions)
    partitions.close()
    assert not done  # the span of the file was given up


def test_broken_input_leaves_nothing(toy, tmp_path):
    plan = et.open(toy("broken", "toy 500 1 broken 400"), partition_bytes=1000).plan()
    with pytest.raises(SourceError, match="event 400"):
        to_zarr(plan, tmp_path / "a.zarr")
    assert [entry.name for entry in tmp_path.iterdir()] == ["broken"]
