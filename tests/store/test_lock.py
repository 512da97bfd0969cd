"""The lock beside a local store."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from etendue.store import lock as locks
from etendue.store import passes
from etendue.store.lock import StoreLock, StoreLockedError
from etendue.store.paths import StoreError
from etendue.store.places import unwritable

from .events import begin, cut, make_events

ELSEWHERE = {"host": "far.away", "pid": 7, "since": "2026-01-01", "user": "anne"}


def silent_for(path, seconds):
    """Let the last sign of life of a lock's holder be so long ago."""
    now = os.stat(path).st_mtime
    os.utime(path, (now - seconds, now - seconds))


def test_lock_of_another_host_is_not_taken_over(tmp_path, monkeypatch):
    lock = tmp_path / "s.lock"
    lock.write_text(json.dumps(ELSEWHERE))
    told = (
        r"process 7 on far.away \(since 2026-01-01, user anne\).*remove .*s\.lock.* after 90 s.*--take-over"
    )
    with pytest.raises(StoreLockedError, match=told):
        StoreLock(tmp_path / "s")
    silent_for(lock, locks.LEASE - 10)
    with monkeypatch.context() as patch:
        patch.setattr(locks, "time", lambda: time.time() + 60)  # it is the file system's clock that counts
        with pytest.raises(StoreLockedError):
            StoreLock(tmp_path / "s")
    silent_for(lock, locks.LEASE + 10)
    StoreLock(tmp_path / "s").release()
    lock.write_text("{")  # killed while writing
    StoreLock(tmp_path / "s").release()


def test_host_of_the_same_name_under_another_kernel(tmp_path):
    """As of a container that was started again on another node."""
    lock = tmp_path / "s.lock"
    lock.write_text(json.dumps({**ELSEWHERE, "host": socket.gethostname(), "boot": "another"}))
    with pytest.raises(StoreLockedError):
        StoreLock(tmp_path / "s")
    lock.write_text(json.dumps({**ELSEWHERE, "boot": locks._boot()}))  # a dead container of this host
    StoreLock(tmp_path / "s").release()


def test_a_living_holder_renews_its_lease(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "RENEWAL", 0.05)
    lock = StoreLock(tmp_path / "s")
    silent_for(lock.path, 3600)
    deadline = time.monotonic() + 10
    while lock.path.stat().st_mtime < time.time() - 600:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    lock.release()


def test_who_was_taken_over_commits_no_more(tmp_path):
    partitions = cut(make_events(60), [0, 30, 60])
    first = begin(tmp_path / "s", "p", partitions)
    second = StoreLock(tmp_path / "s", take_over=True)
    with pytest.raises(
        StoreLockedError, match=f"was taken over by process {os.getpid()} on .*this run stops"
    ):
        first.publish({})
    first.suspend()  # gives up its claim, and not the other's
    second.check()
    assert not passes(str(tmp_path / "s"))
    second.release()
    assert not list(tmp_path.glob("*.lock"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_does_not_keep_the_lock_of_its_dead_parent(tmp_path):
    script = (
        "import os, sys, time\nfrom etendue.store.lock import StoreLock\nlock = StoreLock(sys.argv[1])\n"
        "up, say = os.pipe()\nchild = os.fork()\n"
        "if child == 0: os.write(say, b'.'), time.sleep(60)\n"
        "os.read(up, 1)  # it runs, so it has let go of what is its parent's\n"
        "print(child, flush=True)\nos.kill(os.getpid(), 9)"
    )
    ended = subprocess.Popen([sys.executable, "-c", script, tmp_path / "s"], stdout=subprocess.PIPE)
    child = int(ended.stdout.readline())
    ended.wait()
    try:
        StoreLock(tmp_path / "s").release()
    finally:
        os.kill(child, signal.SIGKILL)


def test_lock_within_one_process(tmp_path):
    first = StoreLock(tmp_path / "s")
    with pytest.raises(StoreLockedError, match=f"process {os.getpid()}"):
        StoreLock(tmp_path / "s")
    first.release()
    first.release()
    StoreLock(tmp_path / "s").release()


def test_store_named_by_a_link(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "s")
    first = StoreLock(tmp_path / "s")
    with pytest.raises(StoreLockedError, match=f"process {os.getpid()}"):
        StoreLock(tmp_path / "link")
    first.release()
    StoreLock(tmp_path / "link").release()
    assert not list(tmp_path.glob("*.lock"))


def test_nothing_stays_of_a_claim_that_cannot_be_written(tmp_path, monkeypatch):
    def full_disk(self: StoreLock) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(StoreLock, "_write_holder", full_disk)
        with pytest.raises(OSError, match="No space left"):
            StoreLock(tmp_path / "s")
    assert not list(tmp_path.iterdir())
    StoreLock(tmp_path / "s").release()


def test_places_that_take_no_store_are_told_in_words(tmp_path):
    partitions = cut(make_events(4), [0, 4])
    with pytest.raises(StoreError, match=r"x cannot be written: the name x.* has 257 bytes; give a shorter"):
        begin(tmp_path / ("x" * 252), "p", partitions)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file is a file; give a path in a folder"):
        begin(tmp_path / "file" / "s", "p", partitions)
    for number, words in ((errno.EROFS, "read-only; give a place"), (errno.ENOLCK, "keeps no locks")):
        with pytest.raises(StoreError, match=words), unwritable("s", tmp_path / "s"):
            raise OSError(number, os.strerror(number))
