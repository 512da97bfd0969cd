"""The uncompressed bytes of an .i3 file, and how they begin."""

from __future__ import annotations

from collections.abc import Iterator

from etendue.dataflow import packed

#: What every frame starts with.
MAGIC = b"[i3]"
#: Packed bytes that are unpacked at once; few, since a file made to harm may unpack to very much.
PACKED_PIECE = 4 << 10


def is_i3(path: str) -> bool:
    """Whether a file, unpacked, starts with a frame."""
    try:
        start = next(pieces(path), b"")
    except (OSError, packed.UnpackError):
        return False
    return start.startswith(MAGIC)


def pieces(path: str) -> Iterator[bytes]:
    """The bytes of a file, unpacked, piece by piece; see `etendue.dataflow.packed.pieces`."""
    return packed.pieces(path, packed_piece=PACKED_PIECE)
