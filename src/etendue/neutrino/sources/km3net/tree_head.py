"""The first lines of a tree's record: what can be known of it before all its branches are understood.

To understand the branches of one tree of offline events takes uproot 60 ms, and a file of raw data holds an
empty one beside eight more trees. How many entries each has says which of them is worth that.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uproot import ReadOnlyDirectory

#: Byte count with this bit set, and version: how each class begins.
_COUNT, _MARK = Struct(">I"), 0x4000_0000
_VERSION, _ENTRIES = Struct(">h"), Struct(">q")
#: The bases of a tree before its own members: its name, and attributes of lines, areas and markers.
_N_BASES = 4
#: Versions of ``TTree`` of which the number of entries is the first member, in eight bytes.
_VERSIONS = range(16, 21)


@dataclass(frozen=True)
class TreeHead:
    """What the record of a tree says first.

    Parameters
    ----------
    n_entries : int
        Entries.
    record : bytes
        All of the record, unpacked.
    """

    n_entries: int
    record: bytes

    def mentions(self, name: str) -> bool:
        """Whether the name, as ROOT writes names, is in the record: if not, no branch is called so."""
        return bytes([len(name)]) + name.encode() in self.record


def tree_head(file: ReadOnlyDirectory, name: str) -> TreeHead | None:
    """The head of a tree at the top of a file; None if it is not as expected, and must be read whole."""
    try:
        key = file.key(name)
        if key.fClassName != "TTree":
            return None
        chunk, cursor = key.get_uncompressed_chunk_cursor()
        record = bytes(chunk.raw_data[cursor.index - chunk.start :])
        (version,) = _VERSION.unpack_from(record, _COUNT.size)
        at = _COUNT.size + _VERSION.size
        for _ in range(_N_BASES):
            (count,) = _COUNT.unpack_from(record, at)
            if not count & _MARK:
                return None
            at += _COUNT.size + (count & ~_MARK)
        (n_entries,) = _ENTRIES.unpack_from(record, at)
        size = int(file.file.source.num_bytes)
    except Exception:  # whatever uproot raises for broken bytes, it does again, and is told, when all is read
        return None
    return TreeHead(n_entries, record) if version in _VERSIONS and 0 <= n_entries <= size else None
