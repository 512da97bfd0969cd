"""Files as they arrive: when they count as whole, and which of them."""

import os
from pathlib import Path

import pytest

from etendue.dataflow import arrivals as module
from etendue.dataflow.arrivals import Arrivals


@pytest.fixture
def folder(toy, tmp_path):
    """A folder that files arrive in; toy inputs are made in it by ``arrive``."""
    (tmp_path / "night").mkdir()
    return tmp_path


@pytest.fixture
def arrive(toy, folder):
    def make(name: str, text: str = "toy 3 1", seconds: int = 0) -> str:
        path = toy(name, text)
        os.utime(path, (1e9 + seconds, 1e9 + seconds))
        return os.path.realpath(path)

    return make


def test_a_file_is_ready_when_it_has_not_changed_for_a_while(arrive, folder):
    found = Arrivals(folder, settle=10)
    assert found.ready(0) == {}
    a = arrive("a.raw")
    assert found.ready(5) == {}
    assert found.last_change == 5
    b = arrive("night/b.raw")
    assert found.ready(14.9) == {}
    assert found.ready(15.1) == {a: 5}
    assert found.ready(30) == {a: 5, b: 14.9}
    found.take([a])
    assert found.ready(40) == {b: 14.9}
    assert found.last_change == 14.9


def test_a_file_that_grows_is_waited_for(arrive, folder):
    found = Arrivals(folder, settle=10)
    for now, text in ((0, "toy"), (9, "toy 3"), (18, "toy 3 1")):
        arrive("a.raw", text)
        assert found.ready(now) == {}
    assert found.ready(27) == {}
    arrive("a.raw", "toy 4 1", seconds=1)  # as many bytes as before
    assert found.ready(28) == {}
    assert list(found.ready(38).values()) == [28]


def test_no_clock_but_ours_counts(arrive, folder):
    """A file server whose clock is wrong, or a copy that keeps times, make no file look old."""
    arrive("old.raw", seconds=-(10**9))
    arrive("future.raw", seconds=10**9)
    found = Arrivals(folder, settle=10)
    assert found.ready(1000) == {}
    assert len(found.ready(1010)) == 2


def test_a_pattern_is_of_names_or_of_paths(arrive, folder):
    a, b = arrive("a.raw"), arrive("night/b.raw")
    arrive("night/b.tmp")
    assert list(Arrivals(folder, settle=0, pattern="*.raw").ready(0)) == [a, b]
    assert list(Arrivals(folder, settle=0, pattern="night/*.raw").ready(0)) == [b]


def test_hidden_and_left_out_files_are_not_looked_at(arrive, folder):
    a = arrive("a.raw")
    (folder / ".rsync").mkdir()
    for name in (".a.raw.Xy12", ".rsync/b.raw", "night/c.raw", "crab.etendue.lock"):
        arrive(name)
    left_out = (os.path.realpath(folder / "night"), os.path.realpath(folder / "crab.etendue.lock"))
    assert list(Arrivals(folder, settle=0, leave_out=left_out).ready(0)) == [a]


def test_links_are_the_files_that_they_point_to(arrive, folder):
    a = arrive("a.raw")
    (folder / "night" / "again.raw").symlink_to(a)
    (folder / "link").symlink_to(folder / "night")
    found = Arrivals(folder / "link", settle=0)
    assert list(found.ready(0)) == [a]
    found.take([a])
    assert found.ready(1) == {}


def test_what_disappears_is_forgotten(arrive, folder):
    a = arrive("a.raw")
    found = Arrivals(folder, settle=10)
    found.ready(0)
    os.unlink(a)
    assert found.ready(11) == {}
    arrive("a.raw")
    assert found.ready(12) == {}
    assert found.ready(22) == {a: 12}


def test_known_files_are_left_out(arrive, folder, caplog):
    paths = [arrive(name) for name in ("a.raw", "b.raw", "c.raw")]
    found = Arrivals(folder, settle=10)
    found.known = {path: (os.path.getsize(path), os.stat(path).st_mtime_ns) for path in paths[:2]}
    arrive("b.raw", "toy 5 1", seconds=9)
    found.ready(0)
    assert list(found.ready(10)) == paths[2:]
    assert list(found.ready(20)) == paths[2:]
    assert [record.message.partition(": ")[0] for record in caplog.records] == [paths[1]]


def test_a_file_that_changes_after_it_was_taken_is_told_of(arrive, folder, caplog):
    a = arrive("a.raw")
    found = Arrivals(folder, settle=0)
    found.take(found.ready(0))
    arrive("a.raw", "toy 30 1")
    for now in range(0, 2000, 100):
        assert found.ready(now) == {}
    (record,) = caplog.records
    assert f"{a}: changed after it was processed" in record.message


def test_a_file_that_no_source_reads_is_told_of_once_and_looked_at_if_it_changes(arrive, folder, caplog):
    path = arrive("a.raw", "not yet")
    found = Arrivals(folder, settle=10, patience=60)
    for now in range(0, 60, 5):
        assert found.ready(now) == {}
    assert not caplog.records
    for now in range(60, 200, 5):
        assert found.ready(now) == {}
    (record,) = caplog.records
    assert f"{path}: no source reads it" in record.message
    arrive("a.raw", "toy 3 1", seconds=200)
    assert found.ready(200) == {}
    assert found.ready(210) == {path: 200}


def test_sources_look_seldom(arrive, folder, monkeypatch):
    """At what they read once, and at what they do not read twice."""
    looks = []
    accepted = module.accepted
    monkeypatch.setattr(module, "accepted", lambda path: looks.append(Path(path).name) or accepted(path))
    arrive("a.raw")
    arrive("b.log", "nothing")
    found = Arrivals(folder, settle=10, patience=60)
    for now in range(0, 1000, 5):
        found.ready(now)
    assert sorted(looks) == ["a.raw", "b.log", "b.log"]


def test_a_poll_asks_nothing_of_files_that_were_taken(arrive, folder, monkeypatch):
    for n in range(20):
        arrive(f"{n}.raw")
    found = Arrivals(folder, settle=0)
    found.take(found.ready(0))
    asked = []
    look_at = Arrivals._look_at
    monkeypatch.setattr(Arrivals, "_look_at", lambda *a: asked.append(1) or look_at(*a))
    arrive("new.raw")
    assert len(found.ready(1)) == 1
    assert len(asked) == 1
