"""What `etendue log` tells."""

import json

import etendue as et
from etendue.dataflow.partition import Failure
from etendue.store.history import history

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
