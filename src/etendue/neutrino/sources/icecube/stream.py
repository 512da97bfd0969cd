"""The uncompressed bytes of an .i3 file, and how they begin."""

from __future__ import annotations

from collections.abc import Iterator

from etendue.dataflow import packed

#: What every frame starts with.
MAGIC = b"[i3]"
#: Packed bytes that are unpacked at once; few, as an error costs all that they unpack to.
PACKED_PIECE = 4 << 10


def is_i3(path: str) -> bool:
    """Whether a file, unpacked, starts with a frame."""
    try:
        return packed.head(path).startswith(MAGIC)
    except (OSError, packed.UnpackError):
        return False


def pieces(path: str) -> Iterator[bytes]:
    """The bytes of a file, unpacked, piece by piece; see `etendue.dataflow.packed.pieces`."""
    return packed.pieces(path, packed_piece=PACKED_PIECE)
