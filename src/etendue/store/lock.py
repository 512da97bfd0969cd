"""The lock beside a local store: Icechunk's commits to a directory are safe from one process only.

A claim is two things. A lock of the operating system on ``<store>.lock``, which ends with its process: it
tells for certain of processes under the same kernel. And a lease, for the others (on another host, of which
some network file systems show no locks): the time of the file, which the living holder renews, by the clock
of the file system.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from errno import EACCES, EAGAIN, EBADF
from functools import cache
from pathlib import Path
from threading import Event, Thread
from time import time
from typing import Any
from weakref import WeakSet, ref

from etendue.errors import EtendueError
from etendue.store import durable
from etendue.store.paths import StoreError, is_local
from etendue.store.places import unwritable, user_name

log = logging.getLogger(__name__)

#: Seconds that the clock may differ from that of the file system. Icechunk notes the time of each change and
#: takes none that is earlier, so that one made with a clock that is ahead shuts the store until then.
_DRIFT = 300
#: Seconds after which a holder elsewhere that has given no sign of life is taken to be dead: some more than
#: clients of network file systems may believe in a file's old time (60 s by default on NFS).
LEASE = 90
#: Seconds between two signs of life.
RENEWAL = 15


@contextmanager
def held(store: str | Path, lock: StoreLock | None, *, take_over: bool = False) -> Iterator[StoreLock | None]:
    """The claim on a store, which the caller has already or which is made now; given up after an error.

    Stores that are not local need none: there, commits of two writers exclude each other.
    """
    lock = lock or (StoreLock(store, take_over=take_over) if is_local(str(store)) else None)
    try:
        if lock:
            with unwritable(store, Path(store, "repo")):
                durable.own(str(store))
        yield lock
    except BaseException:
        if lock:
            lock.release()
        raise


class StoreLockedError(EtendueError, RuntimeError):
    """Another process is writing into the store, or has taken it over; says which."""


class StoreLock:
    """An exclusive claim on a local store, for as long as this process lives or until it is released.

    Parameters
    ----------
    store : str or path
        The store's directory; need not be there yet.
    take_over : bool
        Whether to take the store from a holder that may live: its next commit then fails.

    Raises
    ------
    StoreLockedError
        If the store is claimed.
    StoreError
        If nothing can be written there, or the clock is not that of the file system.
    """

    def __init__(self, store: str | Path, *, take_over: bool = False) -> None:
        self.path = Path(f"{os.path.realpath(store)}.lock")  # one, by whatever links the store is named
        self._store = str(store)
        self._file, self._end = -1, Event()
        with unwritable(store, self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._claim(take_over)
        try:
            self._write_holder()
            self._refuse_drift()
        except (OSError, StoreError):  # as of a full disk
            self.release()
            raise
        _LOCKS.add(self)
        Thread(target=_renew, args=(ref(self), self._end), name="etendue lease", daemon=True).start()

    def release(self) -> None:
        """Give up the claim; harmless if given up before, or if somebody has taken it over."""
        if self._is_current(self._file):
            with suppress(OSError):  # what stays then is the lock of a process that has ended
                self.path.unlink()
        self.drop()

    def drop(self) -> None:
        """Close the file, and leave it where it is: with the last process that has it open ends the lock."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._end.set()

    def __del__(self) -> None:
        self.drop()

    def check(self) -> None:
        """See that nobody has taken the store over; to be called before anything in it is changed.

        Raises
        ------
        StoreLockedError
            If somebody has.
        """
        if not self._is_current(self._file):
            raise StoreLockedError(
                f"{self._store} was taken over by {_told(_read_holder(self.path))}; this run stops, and what "
                "it has committed counts"
            )

    def renew(self) -> bool:
        """Give a sign of life; whether the claim still holds."""
        try:
            if not self._is_current(self._file):
                return False
            os.utime(self._file)
        except OSError as error:  # as of a server that is away: it may come back before the lease has ended
            log.debug("%s: no sign of life could be given: %s", self.path, error)
        return True

    def _claim(self, take_over: bool) -> int:
        """The lock's file, locked, open for writing, and ours."""
        while True:
            file, writable = self._open()
            keep = False
            try:
                alone = file >= 0 and _lock(file)
                if file >= 0 and not self._is_current(file):
                    continue  # its last holder removed it between our opening and locking
                holder = _read_holder(self.path)
                if not (take_over or self._is_void(holder, alone)):
                    raise StoreLockedError(self._refusal(holder))
                if keep := alone and writable:
                    return file
                self.path.unlink(missing_ok=True)
                take_over = False  # whoever is quicker now has a claim of its own
            except FileNotFoundError:  # given up while we looked
                continue
            finally:
                if file >= 0 and not keep:
                    os.close(file)

    def _open(self) -> tuple[int, bool]:
        """The lock's file, and whether it is open for writing; -1 if its owner lets nobody read it."""
        mode = os.stat(self.path.parent).st_mode & 0o666 | 0o600
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
        except PermissionError:
            if not os.path.lexists(self.path):
                raise
            try:
                return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC), False
            except PermissionError:
                return -1, False
        if os.fstat(file).st_uid == os.geteuid():
            with suppress(OSError):  # whoever may write here may see who writes, whatever the umask
                os.fchmod(file, mode)
        return file, True

    def _is_current(self, file: int) -> bool:
        try:
            return file >= 0 and os.path.samestat(os.stat(self.path), os.fstat(file))
        except FileNotFoundError:
            return False

    def _is_void(self, holder: dict[str, Any], alone: bool) -> bool:
        """Whether a claim has ended: with its process if that was under this kernel, else with its lease."""
        if _is_here(holder):
            return alone
        return self._silence() > LEASE

    def _silence(self) -> float:
        """Seconds since the holder's last sign of life, by the clock of the file system."""
        with tempfile.TemporaryFile(dir=self.path.parent) as now:
            return os.fstat(now.fileno()).st_mtime - os.stat(self.path).st_mtime

    def _write_holder(self) -> None:
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(_myself()).encode(), 0)

    def _refuse_drift(self) -> None:
        drift = time() - os.fstat(self._file).st_mtime
        if abs(drift) > _DRIFT:
            side = "ahead of" if drift > 0 else "behind"
            raise StoreError(
                f"the clock is {abs(drift):.0f} s {side} that of the file system of {self._store}: set it "
                "right; nothing was written"
            )

    def _refusal(self, holder: dict[str, Any]) -> str:
        if _is_here(holder):
            remedy = "wait for it to end"
        else:
            remedy = f"wait for it to end or, if it no longer runs there, remove {self.path}"
            remedy += f"; without a sign of life from it the store is free after {LEASE} s"
        remedy += "; --take-over (take_over=True) stops it"
        return f"{self._store} is being written by {_told(holder)}; {remedy}"


#: The claims of this process.
_LOCKS: WeakSet[StoreLock] = WeakSet()


def _renew(lock_of: ref[StoreLock], end: Event) -> None:
    """Give signs of life while a lock is held."""
    while not end.wait(RENEWAL):
        lock = lock_of()
        if lock is None or not lock.renew():
            return
        del lock


def _let_go() -> None:
    """Close the locks in a forked child: they are of its parent, and end with that."""
    for lock in list(_LOCKS):
        lock.drop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def _lock(file: int) -> bool:
    """Lock a file; whether nobody else has it locked."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (EAGAIN, EACCES, EBADF):  # the last over NFS, if the file is open for reading only
            return False
        raise
    return True


def _read_holder(path: Path) -> dict[str, Any]:
    """Who holds a lock, as the file says, or its owner where it lets nobody read it; empty if unknown."""
    try:
        holder = json.loads(path.read_text())
        return holder if isinstance(holder, dict) else {}
    except PermissionError:
        return {"user": user_name(path.stat().st_uid), "host": "a host that it does not tell"}
    except (FileNotFoundError, ValueError):  # not yet written, or killed or without power while writing
        return {}


def _myself() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "boot": _boot(),
        "pid": os.getpid(),
        "user": user_name(os.geteuid()),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _is_here(holder: dict[str, Any]) -> bool:
    """Whether a holder is, or was, under this kernel, whose locks tell whether it lives.

    Containers have names of their own, and a restarted one may have its old name under another kernel.
    """
    if holder.get("boot"):
        return holder["boot"] == _boot()
    return holder.get("host") in (None, socket.gethostname())


@cache
def _boot() -> str:
    """What tells this run of this kernel from all others; empty where nothing does."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _told(holder: dict[str, Any]) -> str:
    known = {"host": "this host", "pid": "?", "since": "just now", **holder}
    of = f", user {known['user']}" if "user" in known else ""
    return f"process {known['pid']} on {known['host']} (since {known['since']}{of})"
