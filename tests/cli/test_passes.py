"""The verbs that look after passes, and export, called in this process."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

import etendue as et
from etendue.cli import main
from etendue.cli.passes import Age
from tests.store.events import cut, make_events, write_events

EVENTS = make_events(200, seed=1)
EDGES = [0, 80, 200]


def call(*arguments, code=0):
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    assert done.exit_code == code, done.output + str(done.exception)
    return done.stdout


@pytest.fixture
def store(tmp_path):
    """A store with pass `one`, and pass `two` of which the energies have moved."""
    path = tmp_path / "s"
    write_events(path, "one", cut(EVENTS, EDGES))
    moved = {**EVENTS["events"], "energy": EVENTS["events"]["energy"] * 2}
    write_events(path, "two", cut({**EVENTS, "events": moved}, EDGES))
    return path


def test_log(store):
    text = call("log", store)
    lines = [line.split() for line in text.splitlines() if line.strip()]
    assert [line[0] for line in lines[2:]] == ["one", "two"]
    assert "200 events" in text
    first, second = json.loads(call("log", store, "--json"))
    assert (first["tag"], second["tag"]) == ("one", "two")
    assert first["rows"]["hits"] == int(EVENTS["events"]["n_hits"].sum())
    assert first["failures"] == []


def test_diff(store, tmp_path):
    text = call("diff", f"{store}@one", "two", "--plot", tmp_path / "moved.png")
    assert "events/energy" in text
    assert "200 of 200" in text
    assert (tmp_path / "moved.png").exists()
    found = json.loads(call("diff", f"{store}@one", f"{store}@two", "--json"))
    (column,) = found["columns"]
    assert column["partitions"] == [0, 1]
    assert column["b"]["mean"] == pytest.approx(2 * column["a"]["mean"])
    assert "differ" in call("diff", f"{store}@one", "two", "--columns", "hits/*")
    assert "no pass 'three'" in str(call_error("diff", f"{store}@one", "three"))


def call_error(*arguments):
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    assert done.exit_code == 1
    return done.output


def test_gc(store):
    assert "would drop 0 bytes" in call("gc", store, "--dry-run")
    assert "dropped 0 bytes" in call("gc", store, "--older-than", "7d")
    assert "is not an age" in CliRunner().invoke(main, ["gc", str(store), "--older-than", "soon"]).output
    convert = Age().convert
    assert convert("1.5h", None, None) == timedelta(minutes=90)
    assert convert("30min", None, None) == timedelta(minutes=30)


def test_verify(store):
    assert "0 damaged" in call("verify", store)
    # Of pass `two`: the samples of the hits are the greatest files.
    largest = sorted((Path(store) / "chunks").iterdir(), key=lambda file: file.stat().st_size)[-1]
    largest.write_bytes(largest.read_bytes()[:-1])
    verdicts = json.loads(call("verify", store, "--all", "--json", code=3))
    damaged = [chunk for verdict in verdicts.values() for chunk in verdict["damaged"]]
    assert {chunk["array"] for chunk in damaged} == {"hits/samples"}
    assert damaged[0]["span"] == ["run1.dat", 80, 200]
    (place,) = [place for place, verdict in verdicts.items() if verdict["damaged"]]
    text = call("verify", store, "--pass", place.rpartition("@")[2], code=3)
    assert "table hits, column samples, partition 1: " in text
    assert "redo run1.dat from 80 to 200" in text
    done = CliRunner().invoke(main, ["verify", str(store), "--all", "--pass", "one"])
    assert "exclude each other" in done.output


def test_verify_looks_at_first_revisions_too(tmp_path):
    for n in (1, 2):
        flow = et.open(*[f"simulated://gamma?n_showers=10&seed={seed}" for seed in range(n)])
        flow.columns("events/*").write(tmp_path / "s", "a")
    verdicts = json.loads(call("verify", tmp_path / "s", "--all", "--json"))
    assert [place.rpartition("@")[2] for place in verdicts] == ["a+0", "a+1"]


@pytest.mark.parametrize(
    ("suffix", "options"),
    [(".h5", ["--identity", "event_id"]), (".zarr", ["--chunk-rows", "50"]), (".parquet", [])],
)
def test_export(store, tmp_path, suffix, options):
    out = tmp_path / f"out{suffix}"
    text = call("export", f"{store}@one", out, *options)
    assert out.exists()
    assert "200 rows" in text
    assert "not written over" in call_error("export", f"{store}@one", out, *options)


def test_export_refuses_what_it_does_not_know(store, tmp_path):
    done = CliRunner().invoke(main, ["export", str(store), str(tmp_path / "out.fits")])
    assert done.exit_code == 2
    assert "must end in one of .h5, .hdf5, .zarr, .parquet" in done.output.replace("\n", " ")
    done = CliRunner().invoke(main, ["export", str(store), str(tmp_path / "out.h5"), "--chunk-rows", "5"])
    assert "--chunk-rows has no meaning for .h5" in done.output
