"""Places where nothing can be written or read, in words."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from etendue.store.paths import StoreError


@contextmanager
def unwritable(store: str | Path, file: str | Path) -> Iterator[None]:
    """Tell in words why nothing can be written at a place; other errors, as of a full disk, pass.

    Parameters
    ----------
    store : path
        What the caller asked for.
    file : path
        What is written for it.

    Raises
    ------
    StoreError
        If the place takes no files.
    """
    try:
        yield
    except OSError as error:
        if words := _words(Path(error.filename or file), error.errno):
            raise StoreError(f"{store} cannot be written: {words}") from error
        raise


#: What errors say, in the order of looking, of what may be sound and what is not there.
_SIGNS = {
    "unreadable": ("permission denied", "input/output error", "timed out", "connection", "not permitted"),
    "missing": ("is missing", "not found", "no such file"),
}


def kind_of(reason: str) -> str:
    """What the words of an error say of a file: ``unreadable``, ``missing``, or else ``damaged``.

    Unreadable is what may be sound: its permissions, the disk or the network keep it from being read.
    """
    words = reason.lower()
    return next((kind for kind, signs in _SIGNS.items() if any(sign in words for sign in signs)), "damaged")


def _words(file: Path, number: int | None) -> str:
    if number == errno.ENAMETOOLONG:
        size = len(os.fsencode(file.name))
        return f"the name {file.name[:40]}... that this takes has {size} bytes; give a shorter name"
    if number == errno.EROFS:
        return f"{_standing(file)} is on a file system that is read-only; give a place that can be written"
    if number in (errno.EACCES, errno.EPERM):
        return (
            f"{described(_standing(file))} takes no files of yours; give another place, or for a store of a "
            "group see 'Stores of a group' in docs/stores.md"
        )
    if number in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
        return (
            f"{_standing(file)} is on a file system that keeps no locks (Lustre does if mounted with flock)"
        )
    if number in (errno.ENOTDIR, errno.EEXIST):
        wall = next((path for path in (file, *file.absolute().parents) if path.is_file()), file)
        return f"{wall} is a file; give a path in a folder"
    return ""


def _standing(file: Path) -> Path:
    """The nearest thing above a file that is there."""
    for above in file.absolute().parents:
        try:
            above.stat()
        except OSError:
            continue
        return above
    return Path("/")


def described(path: Path) -> str:
    """A file or folder with its owner and permissions."""
    try:
        about = path.stat()
    except OSError:
        return str(path)
    return (
        f"{path} (of {user_name(about.st_uid)}:{_group_name(about.st_gid)}, {stat.filemode(about.st_mode)})"
    )


def user_name(uid: int) -> str:
    """The name of a user, or its number where it has none, as in many containers."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
