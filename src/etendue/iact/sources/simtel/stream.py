"""How a file of EventIO objects begins."""

from __future__ import annotations

from etendue.dataflow.packed import UnpackError, head

#: Marks the start of each top-level object; read as an integer, it tells the byte order.
SYNC = b"\x37\x8a\x1f\xd4"
SYNC_BIG_ENDIAN = SYNC[::-1]


def is_eventio(path: str) -> bool:
    """Whether a file, unpacked, starts with a synchronisation marker."""
    try:
        return head(path).startswith((SYNC, SYNC_BIG_ENDIAN))
    except (OSError, UnpackError):
        return False
