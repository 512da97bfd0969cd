"""What a store on a disk needs to outlive a power failure.

Icechunk writes each file beside its place and renames it, but has none forced to the disk. So the files are
synced before anything refers to them. Its file ``repo``, to which every change is made, it writes and renames
at once; file systems that keep no order between the two (XFS) may be left with a torn one. What it was
before lies in ``overwritten/``.
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import sys
from pathlib import Path

import icechunk
import zstandard

from etendue.store.paths import is_local

log = logging.getLogger(__name__)

#: Bytes of the header of Icechunk's files (its specification, version 2); what follows is a frame of zstd.
_HEADER = 39


def commit(repository: icechunk.Repository, session: icechunk.Session, store: str, message: str) -> str:
    """Commit what a session has changed, also if that is nothing; its branch moves when the disk has it all.

    That it has moved gets to the disk with the next call of this or of `sync`.

    Returns
    -------
    str
        Id of the snapshot.

    Raises
    ------
    icechunk.ConflictError
        If another session has committed to the branch.
    OSError
        If something could not be written.
    """
    if not is_local(store):
        return session.commit(message, allow_empty=True)
    before, branch = session.snapshot_id, session.branch
    snapshot = session.flush(message)
    sync(store)
    repository.reset_branch(branch, snapshot, from_snapshot_id=before)
    return snapshot


def sync(store: str) -> None:
    """Wait until all that processes of this host have written into the file system of a store is on its disk.

    Stores that are not local have what was written into them.

    Raises
    ------
    OSError
        If something could not be written.
    """
    if not is_local(store):
        return
    if sys.platform != "linux":
        os.sync()
        return
    descriptor = os.open(store, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), store)
    finally:
        os.close(descriptor)


def mend(store: str) -> None:
    """Bring back what the ``repo`` of a store was before, if a power failure has torn it.

    Any number of processes may do so at the same time, and one of them may go on and write.
    """
    path = Path(store, "repo")
    with open(path, "rb") as torn:
        fcntl.flock(torn, fcntl.LOCK_EX)
        if not os.path.samestat(os.stat(path), os.fstat(torn.fileno())) or _is_whole(torn.read()):
            return  # somebody else was first
        for before in sorted(Path(store, "overwritten").glob("repo.*"), key=_age):
            if _is_whole(before.read_bytes()):
                new = path.with_name(f"repo.{os.getpid()}")
                try:
                    new.hardlink_to(before)
                except PermissionError:  # of another user's file, which many systems do not link
                    _copy(before, new)
                new.rename(path)
                log.warning("%s was torn, as by a power failure; what it was before is brought back", path)
                return


def own(store: str) -> None:
    """Make the ``repo`` of a store this user's own if another's, who lets nobody write it, made it last.

    To be called under the store's lock, by who may write into the folder. Icechunk keeps what the file was
    before by a link to it, and Linux links no file of another that may not be written
    (``fs.protected_hardlinks``).
    """
    path = Path(store, "repo")
    if path.is_file() and not os.access(path, os.W_OK):
        new = path.with_name(f"repo.{os.getpid()}")
        _copy(path, new)
        new.rename(path)


def _copy(file: Path, to: Path) -> None:
    """Copy a file onto the disk."""
    with open(to, "wb") as new:
        new.write(file.read_bytes())
        new.flush()
        os.fsync(new.fileno())


def _age(before: Path) -> tuple[int, int]:
    """Sorts what the file was before, newest first: the names tell milliseconds, counted backwards."""
    return int(before.name.split(".")[1]), -before.stat().st_mtime_ns


def _is_whole(data: bytes) -> bool:
    """Whether a file of Icechunk has all of its bytes."""
    decoder = zstandard.ZstdDecompressor().decompressobj()
    try:
        decoder.decompress(data[_HEADER:])
    except zstandard.ZstdError:
        return False
    return decoder.eof
