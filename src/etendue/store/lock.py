"""The lock beside a local store: Icechunk's commits to a directory are safe from one process only."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import time

from etendue.store.paths import StoreError, is_local

#: Seconds that the clock may differ from that of the file system. Icechunk notes the time of each change and
#: takes none that is earlier, so that one made with a clock that is ahead shuts the store until then.
_DRIFT = 300


@contextmanager
def held(store: str | Path, lock: StoreLock | None) -> Iterator[StoreLock | None]:
    """The claim on a store, which the caller has already or which is made now; given up after an error.

    Stores that are not local need none: there, commits of two writers exclude each other.
    """
    lock = lock or (StoreLock(store) if is_local(str(store)) else None)
    try:
        yield lock
    except BaseException:
        if lock:
            lock.release()
        raise


class StoreLockedError(RuntimeError):
    """Another process is writing into the store; says which."""


class StoreLock:
    """An exclusive claim on a local store, for as long as this process lives or until it is released.

    The claim is a lock of the operating system on ``<store>.lock``: it ends with its process, however
    that ends, so what a killed run leaves is taken over. Some network file systems keep such locks for
    one host only; for these the file says who holds it.

    Parameters
    ----------
    store : str or path
        The store's directory; need not be there yet.

    Raises
    ------
    StoreLockedError
        If the store is claimed.
    StoreError
        If the clock is not that of the file system.
    """

    def __init__(self, store: str | Path) -> None:
        self.path = Path(f"{os.path.realpath(store)}.lock")  # one, by whatever links the store is named
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            self._file = open(self.path, "a+")  # noqa: SIM115, held open: closing gives up the lock
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreLockedError(self._message(store, "wait for it to end")) from None
            if self._is_current():
                break
            self._file.close()  # its last holder removed it between our opening and locking
        host = self._holder().get("host")
        if host not in (None, socket.gethostname()):
            self._file.close()
            remedy = f"wait for it to end or, if it no longer runs there, remove {self.path}"
            raise StoreLockedError(self._message(store, remedy))
        try:
            self._write_holder()
        except OSError:  # as of a full disk
            self.path.unlink(missing_ok=True)
            raise
        self._refuse_drift(store)

    def release(self) -> None:
        """Give up the claim; harmless if given up before."""
        if not self._file.closed:
            self.path.unlink(missing_ok=True)
            self._file.close()

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return False

    def _holder(self) -> dict[str, str]:
        try:
            return json.loads(self.path.read_text())
        except (FileNotFoundError, ValueError):  # not yet written, or killed or without power while writing
            return {}

    def _write_holder(self) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        holder = {"host": socket.gethostname(), "pid": os.getpid(), "since": now}
        self._file.truncate(0)
        json.dump(holder, self._file)
        self._file.flush()

    def _refuse_drift(self, store: str | Path) -> None:
        drift = time() - os.fstat(self._file.fileno()).st_mtime
        if abs(drift) > _DRIFT:
            self.release()
            side = "ahead of" if drift > 0 else "behind"
            raise StoreError(
                f"the clock is {abs(drift):.0f} s {side} that of the file system of {store}: set it right; "
                "nothing was written"
            )

    def _message(self, store: str | Path, remedy: str) -> str:
        holder = {"host": "this host", "pid": "?", "since": "just now", **self._holder()}
        return (
            f"{store} is being written by process {holder['pid']} on {holder['host']} "
            f"(since {holder['since']}); {remedy}"
        )
