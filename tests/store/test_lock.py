"""The lock beside a local store."""

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
