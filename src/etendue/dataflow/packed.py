"""The uncompressed bytes of a file, whatever it is packed in: gzip, zstd, bzip2 or not at all.

What is broken or cut off is an `UnpackError`, after all whole pieces before it. A few bytes may unpack to
gigabytes, by chance or ill will: so unpacking goes in bounded steps, and what is inside may claim a length
only as far as `most_bytes` believes it.
"""

from __future__ import annotations

import bz2
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from etendue.errors import EtendueError

#: Packed bytes that are read at once.
PACKED_PIECE = 64 << 10
#: Bytes that are given at once at most, unpacked or never packed; an error costs the step that it is in.
PLAIN_PIECE = 1 << 20
#: Bytes that are enough to recognise a kind of file, and packed bytes that are read at once for them.
HEAD, PACKED_HEAD = 4 << 10, 4 << 10
#: How many bytes a packed one is believed to become on average: raw data do 2 to 20, zeros 1,000 and more;
#: and how many bytes are believed in any case, as what is short may be packed by more.
MOST_RATIO, LEAST_MOST = 200, 32 << 20
#: How far an error in the packed data can stay unnoticed, in unpacked bytes: a few blocks of each packing.
SUSPECT = 1 << 20
#: Whatever precedes an error of this kind may be wrong as well, back to the start of the packed data.
CHECKSUM_ERROR = "checksum"


class UnpackError(EtendueError):
    """Packed data that cannot be unpacked.

    Parameters
    ----------
    message : str
        What is wrong.
    suspect : int
        Bytes, back from the end of what was unpacked, that may be wrong too.
    """

    def __init__(self, message: str, suspect: int = 0) -> None:
        super().__init__(message)
        self.suspect = suspect


class Unpacker(Protocol):
    """What the standard library's unpackers, `isal` and `zstd` have in common."""

    eof: bool
    needs_input: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


@dataclass(frozen=True)
class Packing:
    """A way of packing: its magic bytes, and what unpacks it."""

    name: str
    magic: bytes
    unpacker: Callable[[], Unpacker]


def _gzip() -> Unpacker:
    from isal import igzip_lib  # 2.5 times as fast as zlib

    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)


def _zstandard() -> Unpacker:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd

    return zstd.ZstdDecompressor()


PACKINGS = (
    Packing("gzip", b"\x1f\x8b", _gzip),
    Packing("zstd", b"\x28\xb5\x2f\xfd", _zstandard),
    Packing("bzip2", b"BZh", bz2.BZ2Decompressor),
)


#: Called with the bytes of a file as they are in it, in order.
Note = Callable[[bytes], object]


def ignore(data: bytes) -> None:
    """Note nothing."""


class Checksum:
    """SHA-256 of a file, taken of its bytes as they are read."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.n_bytes = 0

    def add(self, data: bytes) -> None:
        self._digest.update(data)
        self.n_bytes += len(data)

    def of_whole(self, size: int) -> str:
        """In hexadecimal, if so many bytes were read; else empty."""
        return self._digest.hexdigest() if self.n_bytes == size else ""


def packing_of(path: str) -> Packing | None:
    """How a file is packed, by its first bytes; None if it is not.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with open(path, "rb") as file:
        start = file.read(max(len(packing.magic) for packing in PACKINGS))
    return next((packing for packing in PACKINGS if start.startswith(packing.magic)), None)


def head(path: str) -> bytes:
    """The first bytes of a file, unpacked: `HEAD` of them or fewer, whatever the rest is.

    Raises
    ------
    UnpackError
        If not even they can be unpacked.
    OSError
        If the file cannot be read.
    """
    found = b""
    for piece in pieces(path, packed_piece=PACKED_HEAD, plain_piece=HEAD):
        found += piece
        if len(found) >= HEAD:
            break
    return found[:HEAD]


def most_bytes(n_packed: int) -> int:
    """How long something may claim to be that is in so many packed bytes, if it is to be believed."""
    return max(LEAST_MOST, MOST_RATIO * n_packed)


def most_bytes_in(path: str, limit: int) -> int:
    """How long something in a file may claim to be, up to a limit; what is not packed needs no other."""
    try:
        return limit if packing_of(path) is None else min(limit, most_bytes(os.path.getsize(path)))
    except OSError:
        return limit  # whoever reads it will say so


def pieces(
    path: str, note: Note = ignore, packed_piece: int = PACKED_PIECE, plain_piece: int = PLAIN_PIECE
) -> Iterator[bytes]:
    """The bytes of a file, unpacked, piece by piece.

    Parameters
    ----------
    path : str
        The file.
    note : callable, optional
        Called with the bytes as they are in the file, in order.
    packed_piece : int
        Packed bytes that are read at once.
    plain_piece : int
        Bytes of a piece, at most.

    Raises
    ------
    UnpackError
        If packed data is broken or ends too early; all whole pieces before that have been yielded.
    OSError
        If the file cannot be read.
    """
    packing = packing_of(path)
    with open(path, "rb") as file:
        if packing is not None:
            yield from _unpacked(packing, _noted(file, packed_piece, note), plain_piece)
        else:
            yield from _noted(file, plain_piece, note)


def _noted(file: BinaryIO, size: int, note: Note) -> Iterator[bytes]:
    while data := file.read(size):
        note(data)
        yield data


def _unpacked(packing: Packing, packed: Iterator[bytes], step: int) -> Iterator[bytes]:
    unpacker, size = None, 0
    for data in packed:
        while data or not (unpacker is None or unpacker.needs_input):
            if unpacker is None:
                if size and not data.strip(b"\0"):
                    break  # padding after the last member
                unpacker, size = packing.unpacker(), 0
            piece = _unpack(packing, unpacker, data, step, size)
            data = unpacker.unused_data if unpacker.eof else b""
            if unpacker.eof:
                unpacker = None
            size += len(piece)
            if piece:
                yield piece
    if unpacker is not None:
        raise UnpackError(f"the {packing.name} data ends too early: the file is truncated")


def _unpack(packing: Packing, unpacker: Unpacker, data: bytes, step: int, size: int) -> bytes:
    """The next bytes, no more than a step; the unpacker keeps what it has no room for."""
    try:
        return unpacker.decompress(data, step)
    except Exception as error:  # each library raises its own kind
        suspect = size if CHECKSUM_ERROR in str(error) else min(size, SUSPECT)
        raise UnpackError(f"the {packing.name} data is corrupted ({error})", suspect) from error
