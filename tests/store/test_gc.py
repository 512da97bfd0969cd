"""What killed runs have left is dropped; what anything reaches stays."""

import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from etendue.store import PassWriter, passes
from etendue.store.collect import collect_garbage
from etendue.store.lock import StoreLock, StoreLockedError
from etendue.store.repository import open_repository
from etendue.store.verify import verify

from .events import cut, make_events, write_events

EVENTS = make_events(400, seed=3)
PARTITIONS = cut(EVENTS, [0, 100, 250, 400])
OTHERS = cut(make_events(400, seed=4), [0, 100, 250, 400])


def chunk_files(path):
    return {file.name for file in (Path(path) / "chunks").iterdir()}


def size(path, names):
    return sum((Path(path) / "chunks" / name).stat().st_size for name in names)


def killed(path, name, *, committed):
    """A run that is killed: in a process of its own, after its chunks are written."""
    script = f"""
import os, signal
from tests.store.events import begin
from tests.store.test_gc import OTHERS
writer = begin({path!r}, {name!r}, OTHERS)
if {committed}:
    writer.commit()
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.fixture
def store(tmp_path):
    path = str(tmp_path / "s")
    write_events(path, "a", PARTITIONS)
    return path


def test_a_tidy_store_stays_as_it_is(store):
    before = chunk_files(store)
    found = collect_garbage(store)
    assert (found.chunks, found.n_bytes) == (0, 0)
    assert chunk_files(store) == before
    assert verify(store).damaged == []


def test_what_was_never_committed_goes(store):
    before = chunk_files(store)
    killed(store, "b", committed=False)
    left = chunk_files(store) - before
    assert left
    n_bytes = size(store, left)
    tried = collect_garbage(store, dry_run=True)
    assert tried.chunks == len(left)
    assert tried.n_bytes >= n_bytes
    assert chunk_files(store) == before | left
    found = collect_garbage(store)
    assert found.chunks == len(left)
    assert chunk_files(store) == before
    assert found.unfinished == ("b",)
    assert verify(store).damaged == []


def test_an_unfinished_pass_goes_on_afterwards(store):
    killed(store, "b", committed=True)
    there = chunk_files(store)
    found = collect_garbage(store)
    assert (found.chunks, found.unfinished, found.abandoned) == (0, ("b",), ())
    assert chunk_files(store) == there
    writer = PassWriter.resume(store, "b")
    assert writer.ledger.seen.all()
    writer.publish({})
    assert verify(store, "b").damaged == []


def test_abandoned_passes_go_if_told_so(store):
    before = chunk_files(store)
    killed(store, "b", committed=True)
    tried = collect_garbage(store, abandoned=True, dry_run=True)
    assert tried.abandoned == ("b",)
    assert "wip/b" in open_repository(store).list_branches()
    young = collect_garbage(store, abandoned=True, older_than=timedelta(hours=1))
    assert (young.abandoned, young.unfinished, young.chunks) == ((), ("b",), 0)
    found = collect_garbage(store, abandoned=True)
    assert (found.abandoned, found.unfinished) == (("b",), ())
    assert chunk_files(store) == before
    assert open_repository(store).list_branches() == {"main"}
    write_events(store, "b", OTHERS)
    assert [entry.tag for entry in passes(store)] == ["a", "b"]
    assert verify(store, "a").damaged == verify(store, "b").damaged == []


def test_young_files_stay(store):
    before = chunk_files(store)
    killed(store, "b", committed=False)
    left = chunk_files(store)
    assert collect_garbage(store, older_than=timedelta(hours=1)).chunks == 0
    assert chunk_files(store) == left != before


def test_a_store_that_is_written_is_not_touched(store):
    lock = StoreLock(store)
    with pytest.raises(StoreLockedError, match="is being written by"):
        collect_garbage(store)
    lock.release()
    collect_garbage(store)
    collect_garbage(store)  # and it gave its own claim back


def test_no_store(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no store at"):
        collect_garbage(str(tmp_path / "nowhere"))
