"""Files and folders that appear under their name when they are whole, and replace nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC
from pathlib import Path


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
    OSError
        If the disk is full; says so in the same words, whichever library has met it.
    """
    from etendue.store.lock import StoreLock

    path = Path(path).absolute()
    _refuse(path)
    part = path.with_name(f".{path.name}.part")
    lock = StoreLock(path)
    try:
        _remove(part)
        yield part
        _refuse(path)
        part.rename(path)
    except OSError as error:
        if error.errno not in (ENOSPC, EDQUOT):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
    finally:
        _remove(part)
        lock.release()


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
