"""The uncompressed bytes of an .i3 file, and how they begin."""

from __future__ import annotations

import re
from collections.abc import Iterator

from etendue.dataflow import packed

#: What every frame starts with.
MAGIC = b"[i3]"
#: Packed bytes that are unpacked at once; few, as an error costs all that they unpack to.
PACKED_PIECE = 4 << 10
#: How a frame of geometry starts, and perhaps something in a blob: mark, six bytes, stream.
_GEOMETRY = re.compile(rb"\[i3\].{6}G", re.DOTALL)
#: Bytes of a file in which a geometry is looked for.
_LOOK = 64 << 20


def is_i3(path: str) -> bool:
    """Whether a file, unpacked, starts with a frame."""
    try:
        return packed.head(path).startswith(MAGIC)
    except (OSError, packed.UnpackError):
        return False


def pieces(path: str) -> Iterator[bytes]:
    """The bytes of a file, unpacked, piece by piece; see `etendue.dataflow.packed.pieces`."""
    return packed.pieces(path, packed_piece=PACKED_PIECE)


def lacks_geometry(path: str) -> bool:
    """Whether a file certainly has no frame of geometry; without kernels, which may not be compiled yet."""
    tail, n_bytes = b"", 0
    try:
        if not is_i3(path):
            return False
        for piece in pieces(path):
            if _GEOMETRY.search(tail + piece):
                return False
            tail, n_bytes = (tail + piece)[-(len(MAGIC) + 6) :], n_bytes + len(piece)
            if n_bytes > _LOOK:
                return False
    except (OSError, packed.UnpackError):
        return False
    return True
