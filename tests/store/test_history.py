"""What `etendue log` tells."""

import json
from pathlib import Path

import etendue as et
from etendue.dataflow.partition import Failure
from etendue.store.history import history
from etendue.store.repository import open_repository, set_keys

from .events import begin, cut, make_events, write_events

EVENTS = make_events(50, seed=1)


def test_runs_are_told_from_their_record(tmp_path):
    path = str(tmp_path / "s")
    flow = et.open("simulated://gamma?n_showers=200&seed=1")
    flow.columns("events/*").write(path, "raw", quiet=True)
    (revision,) = history(path)
    assert revision.pipeline == "raw"
    assert len(revision.config_hash) == 64
    assert revision.versions["etendue"] == et.__version__
    assert revision.rows["events"] == et.load(path)["events"].sizes["event"]
    assert revision.seconds > 0
    assert revision.failures == []


def test_failures_and_what_is_unfinished(tmp_path):
    path = str(tmp_path / "s")
    writer = begin(path, "a", cut(EVENTS, [0, 50]))
    writer.note([Failure("b.dat", "event 3", "expected more", 7)])
    writer.publish({})
    begin(path, "b", cut(EVENTS, [0, 50])).abandon()
    left = begin(path, "c", cut(EVENTS, [0, 50]))
    left.commit()
    write = history(path)
    assert [(revision.tag, revision.published) for revision in write] == [("a", True), ("c", False)]
    (failure,) = write[0].failures
    assert failure["path"] == "b.dat"
    assert write[0].events_lost == 7
    assert json.loads(json.dumps([revision.to_json() for revision in write]))[0]["rows"]["events"] == 50
    left.abandon()


def test_revisions_are_in_order(tmp_path):
    path = str(tmp_path / "s")
    for name in ("b", "a"):
        write_events(path, name, cut(EVENTS, [0, 50]))
    assert [revision.tag for revision in history(f"{path}@a")] == ["b", "a"]


def test_what_is_damaged_is_told_and_the_rest_as_well(tmp_path, caplog):
    path = str(tmp_path / "s")
    for name in ("a", "b", "c"):
        write_events(path, name, cut(EVENTS, [0, 50]))
    whole = history(path)
    file = Path(path, "snapshots", whole[0].snapshot)
    file.write_bytes(file.read_bytes()[:-20])
    writer = open_repository(path).writable_session("main")  # that of c
    set_keys(writer.store, {"partitions/c/0/0": b"nonsense"})
    writer.commit("damage")
    tag = open_repository(path)
    tag.create_tag("d", snapshot_id=tag.lookup_branch("main"))
    told = history(path)
    assert [(revision.tag, revision.rows == whole[0].rows) for revision in told] == [
        ("b", True),
        ("c", True),
        ("d", False),
    ]
    assert "pass a is left out: " in caplog.text
    assert "@d+0: array partitions, chunk 0 cannot be decoded" in caplog.text
