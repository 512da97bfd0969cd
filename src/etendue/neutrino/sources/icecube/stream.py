"""The uncompressed bytes of an .i3 file, whatever it is packed in."""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

#: What every frame starts with.
MAGIC = b"[i3]"
#: Packed bytes that are unpacked at once; few, as bzip2 and zstd may unpack them to 30,000 times as many.
PACKED_PIECE = 4 << 10
PLAIN_PIECE = 1 << 20


class UnpackError(Exception):
    """Packed data that cannot be unpacked; all that came before it is whole or fails its checksum."""


class Unpacker(Protocol):
    """What `zlib`, `bz2` and `zstandard` have in common."""

    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes) -> bytes: ...


def _zstandard() -> Unpacker:
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj()


#: Ways of packing: name, first bytes, and what makes an unpacker.
PACKINGS: tuple[tuple[str, bytes, Callable[[], Unpacker]], ...] = (
    ("gzip", b"\x1f\x8b", lambda: zlib.decompressobj(wbits=31)),
    ("zstd", b"\x28\xb5\x2f\xfd", _zstandard),
    ("bzip2", b"BZh", bz2.BZ2Decompressor),
)


def packing(path: str) -> str:
    """Name of the packing of a file; empty if it is not packed."""
    with open(path, "rb") as file:
        start = file.read(4)
    return next((name for name, magic, _ in PACKINGS if start.startswith(magic)), "")


def is_i3(path: str) -> bool:
    """Whether a file, unpacked, starts with a frame."""
    try:
        start = next(pieces(path), b"")
    except (OSError, UnpackError):
        return False
    return start.startswith(MAGIC)


def pieces(path: str) -> Iterator[bytes]:
    """The bytes of a file, unpacked, piece by piece.

    Raises
    ------
    UnpackError
        If packed data is broken or ends too early; all whole pieces before that have been yielded.
    OSError
        If the file cannot be read.
    """
    name = packing(path)
    with open(path, "rb") as file:
        size = PACKED_PIECE if name else PLAIN_PIECE
        read = iter(lambda: file.read(size), b"")
        yield from _unpacked(name, read) if name else read


def _unpacked(name: str, packed: Iterator[bytes]) -> Iterator[bytes]:
    make = next(make for known, _, make in PACKINGS if known == name)
    unpacker, n_members = None, 0
    for data in packed:
        while data:
            if unpacker is None:
                if n_members and not data.strip(b"\0"):
                    break  # padding after the last member
                unpacker, n_members = make(), n_members + 1
            try:
                piece = unpacker.decompress(data)
            except Exception as error:  # each library raises its own kind
                raise UnpackError(f"the {name} data is corrupted ({error})") from error
            data = unpacker.unused_data if unpacker.eof else b""
            if unpacker.eof:
                unpacker = None
            if piece:
                yield piece
    if unpacker is not None:
        raise UnpackError(f"the {name} data ends too early: the file is truncated")
