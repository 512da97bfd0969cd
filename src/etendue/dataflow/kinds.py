"""What a file is that no source accepts: broken, or whole but of another kind. For error messages."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

from etendue.dataflow.packed import PACKINGS, UnpackError, head, packing_of

_ANEW = "get the file anew"

#: How other kinds of files begin, and what they are.
_KINDS = (
    (b"root", "a ROOT file"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"SIMPLE  =", "a FITS file"),
    (b"PAR1", "a Parquet file"),
    (b"PK\x03\x04", "a zip archive, or NumPy's arrays"),
    (b"\xfd7zXZ\x00", "packed with xz, which is not read (unpack it, or pack it with zstd)"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a picture"),
)


@dataclass(frozen=True)
class Finding:
    """What a file is.

    Parameters
    ----------
    place, message : str
        Where in it, and what it is or what is wrong with it.
    is_broken : bool
        Whether it is broken, not there, or cannot be reached; else it may be whole.
    is_file : bool
        False for directories and links that cannot be looked into.
    """

    place: str
    message: str
    is_broken: bool = True
    is_file: bool = True


def find_out(path: str) -> Finding:
    """What is at a path, of a file by its first bytes."""
    try:
        facts = os.stat(path)
        if stat.S_ISDIR(facts.st_mode):
            return unlistable(path) or Finding("directory", "a directory that is not a store", False)
        return _contents(path, facts.st_size)
    except UnpackError as error:
        return Finding("first bytes", f"{error}; {_ANEW}")
    except FileNotFoundError:
        link = "a symbolic link to nothing: remove it, or mend it"
        return Finding("file", link if os.path.islink(path) else "there is no such file")
    except OSError as error:
        if error.errno == errno.ELOOP:
            return Finding(
                "link", "a symbolic link that leads to itself: remove it, or mend it", is_file=False
            )
        return Finding("file", f"it cannot be read ({_reason(error)}): see who may read it, and the disk")


def is_special(path: str) -> bool:
    """Whether it is there and is neither a file nor a directory: a pipe, a device, a socket."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def unlistable(path: str) -> Finding | None:
    """Why what is in a directory cannot be listed; None if it can."""
    try:
        with os.scandir(path):
            return None
    except OSError as error:
        message = f"what is in it cannot be listed ({_reason(error)}): see who may read it, and the disk"
        return Finding("directory", message, is_file=False)


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _contents(path: str, size: int) -> Finding:
    if size == 0:
        return Finding("file", f"it is empty (0 bytes): it was not written or copied to its end; {_ANEW}")
    with open(path, "rb") as file:
        start = file.read(1 << 12)
    if not start.strip(b"\0"):
        message = f"it begins with {len(start)} zeros: it was not copied to its end, or the disk is damaged"
        return Finding("first bytes", f"{message}; {_ANEW}")
    magics = [packing.magic for packing in PACKINGS] + [magic for magic, _ in _KINDS]
    if any(len(start) < len(magic) and magic.startswith(start) for magic in magics):
        return Finding("file", f"it is cut short, in the mark that it begins with ({size} bytes); {_ANEW}")
    if packing_of(path) is None:
        return Finding("first bytes", _kind(start), False)
    if not (start := head(path)):
        return Finding("file", f"it is packed, and there is nothing in it; {_ANEW}")
    return Finding("first bytes", f"packed, and in it {_kind(start)}", False)


def _kind(start: bytes) -> str:
    for magic, kind in _KINDS:
        if start.startswith(magic):
            return kind
    text = start[:512].decode("utf-8", errors="ignore")
    is_whole = len(text.encode()) >= min(len(start), 512) - 3  # a character may be cut at the end
    is_text = is_whole and all(character.isprintable() or character.isspace() for character in text)
    return "a text" if is_text else f"a file that begins with {start[:8].hex(' ')}"
