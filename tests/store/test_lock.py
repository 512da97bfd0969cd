"""The lock beside a local store."""

import errno
import json
import os

import pytest

from etendue.store.lock import StoreLock, StoreLockedError


def test_lock_of_another_host_is_not_taken_over(tmp_path):
    lock = tmp_path / "s.lock"
    lock.write_text(json.dumps({"host": "far.away", "pid": 7, "since": "2026-01-01"}))
    with pytest.raises(StoreLockedError, match=r"process 7 on far.away .*remove .*s\.lock"):
        StoreLock(tmp_path / "s")
    lock.write_text("{")  # killed while writing
    StoreLock(tmp_path / "s").release()


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
