"""Files and folders that appear under their name when they are whole, and replace nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC
from pathlib import Path

from etendue.schema import Schema, SchemaError


@contextmanager
def draft(path: str | Path) -> Iterator[Path]:
    """A name to write under, which becomes ``path`` at the end of the block.

    What an earlier attempt that was killed has left under that name is removed first. If the block
    fails, nothing is left.

    Parameters
    ----------
    path : path
        File or folder to make.

    Yields
    ------
    Path
        ``.<name>.part`` beside it; nothing is there yet.

    Raises
    ------
    FileExistsError
        If there is something at ``path``, before or after.
    StoreLockedError
        If another process is writing it.
    StoreError
        If no file can be made there; says why.
    OSError
        If the disk is full; says so in the same words, whichever library has met it.
    """
    from etendue.store.lock import StoreLock
    from etendue.store.places import unwritable

    path = Path(path).absolute()
    with unwritable(path, path):
        _refuse(path)
    part = path.with_name(f".{path.name}.part")
    lock = StoreLock(path)
    try:
        with unwritable(path, part):
            _remove(part)
            part.touch()
            part.unlink()
        with _removed_at_the_end(part):
            yield part
            _refuse(path)
            part.rename(path)
    except OSError as error:
        if error.errno not in (ENOSPC, EDQUOT):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
    finally:
        lock.release()


@contextmanager
def _removed_at_the_end(part: Path) -> Iterator[None]:
    try:
        yield
    finally:
        _remove(part)


def refuse_outside(schema: Schema) -> None:
    """Refuse tables and columns whose names, which a foreign store brings, are no names of files in a folder.

    Raises
    ------
    SchemaError
        If the name of a table has parts such as ``..``, or that of a column is a path.
    """
    for table in schema.values():
        names = [*table.name.split("/"), *table.variables]
        strange = [name for name in names if name in ("", ".", "..") or not name.isprintable() or "/" in name]
        if strange or any("\\" in name for name in names):
            raise SchemaError(
                f"table {table.name!r} is not exported: its name, or that of a column ({strange or names}), "
                "leads out of the folder, or names no file; take other columns (--columns)"
            )


def _refuse(path: Path) -> None:
    if path.exists():
        raise FileExistsError(
            f"{path} is there already, and is not written over: remove it, or choose another name"
        )


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
