"""How many simulated showers a file stands for, however it is read and whatever of it is lost."""

import gzip
import logging
import os
from itertools import accumulate

import numpy as np
import pytest

import etendue as et
from etendue.dataflow.partition import Failure
from etendue.dataflow.settle import settled
from etendue.dataflow.source import Scan, SourceError
from etendue.dataflow.unify import unify
from etendue.schema import Schema, Table, variables

from .simtel_files import SOURCE, contents, find, objects, unpacked

ARRAY_EVENT, MC_EVENT, HISTOGRAMS = 2010, 2021, 100
#: Simulated events (2021) as eventio finds them; in `simtools__e149fc` 4 of 1,000 triggered.
COUNTS = {"digicampipe__1": 3, "pyeventio__calib_true": 25, "pyeventio__n_hv": 290, "simtools__e149fc": 1000}
#: A file of ten events, one a shower, with closing histograms.
TEN = "pyeventio__prod4"


@pytest.fixture
def made(shared, tmp_path):
    """Write a file of the objects that a function makes of those of a real one; returns its path."""

    def make(name, change, file="made.simtel"):
        path = tmp_path / file
        path.write_bytes(b"".join(content for _, content in change(objects(unpacked(find(shared, name))))))
        return str(path)

    return make


def nth(parts, kind, n):
    return [position for position, (k, _) in enumerate(parts) if k == kind][n]


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


def simulation_of(flow):
    return {name: column.values for name, column in flow.compute()["simulation"].items()}


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_showers_are_those_in_the_file(shared, name, count, on_error):
    """With ``raise`` the file is read in one go, and its showers are known at the end."""
    simulation = simulation_of(et.open(find(shared, name), on_error=on_error).columns("events/*"))
    assert simulation["n_simulated"] == [count]
    assert simulation["is_closed"] == [name != "pyeventio__n_hv"]
    planned = {"digicampipe__1": 10_000_000, "simtools__e149fc": 50}
    if name in planned:
        assert simulation["n_showers"] == [planned[name]]


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_file_cut_between_objects_is_told(made, caplog, on_error, tmp_path):
    path = made(TEN, lambda parts: parts[: nth(parts, ARRAY_EVENT, 3) + 1])
    flow = et.open(path, on_error=on_error).columns("events/*")
    with caplog.at_level(logging.WARNING):
        summary = flow.write(str(tmp_path / "s.etendue"), "cut")
    assert f"{path}: it lacks the histograms with which sim_telarray closes a run" in caplog.text
    assert "4 simulated events, and 10 were planned" in caplog.text
    assert summary.rows["events"] == 4
    simulation = et.load(str(tmp_path / "s.etendue"), "cut")["simulation"]
    assert simulation["n_simulated"].values == [4]
    assert not simulation["is_closed"].values


def test_file_without_any_event_keeps_its_showers(made, tmp_path):
    def without_events(parts):
        return [part for part in parts if part[0] != ARRAY_EVENT]

    path = made(TEN, without_events)
    for on_error in ("raise", "skip"):
        store = str(tmp_path / f"{on_error}.etendue")
        et.open(path, on_error=on_error).columns("events/*").write(store, "none")
        assert et.load(store, "none")["simulation"]["n_simulated"].values == [10]


def test_events_lost_to_damage_scale_the_showers(made, tmp_path):
    def damaged(parts):
        parts[nth(parts, ARRAY_EVENT, 4)] = (
            ARRAY_EVENT,
            flipped(parts[nth(parts, ARRAY_EVENT, 4)][1], 24),
        )
        return parts

    path, store = made(TEN, damaged), str(tmp_path / "s.etendue")
    summary = et.open(path, on_error="skip").columns("events/*").write(store, "damaged")
    assert summary.outcome.events_lost == 1
    tree = et.load(store, "damaged")
    assert tree["simulation"]["n_simulated"].values == pytest.approx([9])
    assert tree["failures"]["events_lost"].values.tolist() == [1]


def test_events_lost_while_they_are_decoded_scale_the_showers(made, tmp_path):
    """An event whose samples are broken is found when it is decoded, not by the scan."""

    def damaged(parts):
        content = parts[nth(parts, ARRAY_EVENT, 2)][1]
        at = len(content) // 2  # in the samples, which are most of the event
        parts[nth(parts, ARRAY_EVENT, 2)] = (ARRAY_EVENT, content[:at] + b"\xff" * 64 + content[at + 64 :])
        return parts

    path, store = made(TEN, damaged), str(tmp_path / "s.etendue")
    assert SOURCE.scan(path, "skip").static["simulation"]["n_simulated"] == [10]
    flow = et.open(path, on_error="skip", partition_bytes=1).columns("*")
    assert flow.write(store, "damaged").outcome.events_lost == 1
    assert et.load(store, "damaged")["simulation"]["n_simulated"].values == pytest.approx([9])
    assert flow.compute()["simulation"]["n_simulated"].values == pytest.approx([9])


def test_stages_that_fail_scale_the_showers_of_their_input_only(made, shared, tmp_path):
    @et.stage(reads="events/event_index", writes={"events/twice": ("event", "int64")})
    def twice(index):
        if 3 in index:
            raise ValueError("no")
        return {"events/twice": 2 * index}

    other = made(TEN, lambda parts: parts[: nth(parts, ARRAY_EVENT, 1) + 1], "a.simtel")
    flow = et.open(other, find(shared, TEN), on_error="skip", partition_bytes=1) | twice()
    simulation = flow.columns("events/*").compute()["simulation"]
    assert sorted(simulation["n_simulated"].values.tolist()) == pytest.approx([2, 9])


def test_what_streams_count_survives_an_interruption(made, shared, tmp_path, monkeypatch):
    """The first file is done when the second one fails; the run goes on with what it knows of the first."""
    good = made("digicampipe__1", lambda parts: parts, "a.simtel")
    bad = made(TEN, lambda parts: parts, "b.simtel")
    store = str(tmp_path / "s.etendue")
    monkeypatch.setenv("CALLS", "0")  # not a value that the stage holds: that would be part of the pass

    @et.stage(reads="events/obs_id", writes={"events/same": ("event", "int64")})
    def failing(obs_id):
        os.environ["CALLS"] = n_calls = str(int(os.environ["CALLS"]) + 1)
        if n_calls == "2":
            raise ValueError("not yet")
        return {"events/same": obs_id}

    flow = (et.open(good, bad, workers=1) | failing()).columns("events/*")
    with pytest.raises(ValueError, match="not yet"):
        flow.write(store, "p")
    flow.write(store, "p")
    assert et.load(store, "p")["simulation"]["n_simulated"].values.tolist() == [3, 10]
    assert os.environ["CALLS"] == "3"


def test_event_written_twice(made, shared, tmp_path):
    """The second copy comes with its simulated event, or without."""
    for n_before in (0, 3):

        def repeated(parts, n_before=n_before):
            at = nth(parts, ARRAY_EVENT, 5)
            return parts[: at + 1] + parts[at - n_before : at + 1] + parts[at + 1 :]

        path = made(TEN, repeated)
        whole, _ = contents(find(shared, TEN), "raise")
        with pytest.raises(SourceError, match=r"event 600 is written twice, first at byte") as caught:
            SOURCE.scan(path)
        assert "on_error='skip'" in str(caught.value)
        with pytest.raises(SourceError, match="event 600 is written twice"):
            et.open(path).columns("events/*").compute()
        scan = SOURCE.scan(path, "skip")
        assert [failure.events_lost for failure in scan.failures] == [0]
        assert scan.static["simulation"]["n_simulated"] == [10]
        kept, n_lost = contents(path)
        assert (kept, n_lost) == (whole, 0)
        assert len(scan.rows["events"]) == 10


def test_first_copy_that_is_broken_does_not_count(made, shared):
    def repeated(parts):
        at = nth(parts, ARRAY_EVENT, 5)
        broken = (ARRAY_EVENT, flipped(parts[at][1], 24))
        return [*parts[:at], broken, *parts[at - 3 :]]

    kept, n_lost = contents(made(TEN, repeated))
    assert kept == contents(find(shared, TEN), "raise")[0]
    assert n_lost == 1


def test_histogram_counts_showers_that_were_not_written(made):
    """Of the 1,000 simulated events only those with an array event are left, as some sites store them."""

    def only_triggered(parts):
        after = [*(kind for kind, _ in parts[1:]), None]
        return [part for part, following in zip(parts, after, strict=True)
                if part[0] != MC_EVENT or following not in (MC_EVENT, 2020, HISTOGRAMS)]  # fmt: skip

    path = made("simtools__e149fc", only_triggered)
    assert SOURCE.scan(path).static["simulation"]["n_simulated"] == [1000]


def test_scan_of_a_packed_file_with_a_wrong_end_trusts_no_event(shared, tmp_path):
    path = tmp_path / "made.simtel.gz"
    packed = bytearray(gzip.compress(unpacked(find(shared, TEN)), 1))
    packed[-6] ^= 0xFF  # the checksum of all
    path.write_bytes(packed)
    flow = et.open(str(path), on_error="skip").columns("events/*")
    assert flow.compute()["simulation"]["n_simulated"].values == [0]


def scan_of(path, n_rows, count):
    table = Table("events", "event", variables("event", run=("uint32", "", "")))
    sums = Table(
        "sums", "observation",
        variables("observation", run=("uint32", "", ""), n=((), "float64", "", "", False, True)),
        role="static",
    )  # fmt: skip
    static = {"sums": {"run": np.zeros(1, np.uint32), "n": np.array([count])}}
    schema = Schema({}).with_tables([table, sums])
    return Scan(path, "none", schema, static, {"events": np.ones(n_rows, np.int64)})


def test_part_that_was_read():
    """Of input b, the scan lost 10 of 50 events, and reading 10 more: three fifths are left."""
    inputs = unify([scan_of("a", 5, 100.0), scan_of("b", 40, 100.0), scan_of("c", 0, 7.0)])
    failures = [Failure("b", "", "", 10), Failure("b", "", "", 10, partition=3), Failure("z", "", "", 9)]
    found = settled(inputs.static, inputs.schema, inputs, failures, {2: {"sums/n": 8.0}})
    assert found["sums"]["n"].tolist() == pytest.approx([100, 60, 8])
    assert inputs.static["sums"]["n"].tolist() == [100, 100, 7]
    assert settled(inputs.static, inputs.schema, inputs, (), {}) == {}


def test_place_of_an_event_after_a_repeated_one(made):
    def repeated(parts):
        at = nth(parts, ARRAY_EVENT, 5)
        return parts[: at + 1] + parts[at:]

    path = made(TEN, repeated)
    scan = SOURCE.scan(path, "skip")
    starts = [0, *accumulate(len(content) for _, content in objects(unpacked(path)))]
    assert SOURCE.place(scan, 9).endswith(f"to {starts[-2]:,} of the file")
