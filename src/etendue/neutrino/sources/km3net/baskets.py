"""The bytes of a branch, entry by entry, straight from its baskets.

uproot finds the branches and unpacks; what the bytes mean is no business of this module. A basket is a key
(`TKey`, 18 bytes and names), a header (`TBasket`), the entries one after another, and, where they differ in
length, the position of each. Nothing of what a basket says of itself is believed before it is checked.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from etendue import kernel
from etendue.dataflow.packed import most_bytes
from etendue.dataflow.source import SourceError
from etendue.errors import EtendueError

if TYPE_CHECKING:
    from uproot import ReadOnlyDirectory
    from uproot.behaviors.TBranch import TBranch
    from uproot.source.chunk import Chunk
    from uproot.source.cursor import Cursor

#: fNbytes, fVersion, fObjlen, fDatime, fKeylen, fCycle.
_KEY = struct.Struct(">ihiIhh")
#: fVersion, fBufferSize, fNevBufSize, fNevBuf, fLast; followed by one byte of flags.
_HEADER = struct.Struct(">Hiiii")
#: Bytes before a block of packed data: its kind, method, size and size when unpacked.
_BLOCK = 9
_NO_BYTES, _NO_LENGTHS = np.empty(0, dtype=np.uint8), np.empty(0, dtype=np.int64)


class BasketError(EtendueError, ValueError):
    """A basket that is not what it should be."""


@dataclass(frozen=True)
class Problem:
    """Entries ``first`` to ``stop`` that cannot be read, where, and why."""

    first: int
    stop: int
    place: str
    message: str


@dataclass(frozen=True)
class Entries:
    """Bytes of a range of entries.

    Parameters
    ----------
    data : uint8 array
        All bytes.
    offsets : int64 array
        Start of each entry in ``data``, and the end of the last: shape (n + 1,). Entries of broken baskets
        are empty.
    problems : tuple of Problem
        Baskets that could not be read.
    """

    data: np.ndarray
    offsets: np.ndarray
    problems: tuple[Problem, ...] = ()

    def table(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Entries of ``size`` bytes as rows, shape (n, size), and which entries have that size.

        Entries of another size are rows of zeros.
        """
        ok = np.diff(self.offsets) == size
        if ok.all():
            return self.data[self.offsets[0] : self.offsets[-1]].reshape(-1, size), ok
        rows = np.zeros((len(ok), size), dtype=np.uint8)
        for row in np.flatnonzero(ok):
            rows[row] = self.data[self.offsets[row] : self.offsets[row + 1]]
        return rows, ok


class Branch:
    """A branch of a tree. Keeps the last basket that was read, as ranges of entries follow one another.

    Parameters
    ----------
    path : str
        The input, for errors.
    tree : str
        Name of the tree, for errors.
    branch : TBranch
        The branch.

    Raises
    ------
    SourceError
        If its list of baskets is broken.
    """

    def __init__(self, path: str, tree: str, branch: TBranch) -> None:
        self._branch, self.place = branch, f"{tree}/{branch.name}"
        try:
            self._n_normal = branch.num_baskets - len(branch.embedded_baskets)
            first = [int(n) for n in branch.member("fBasketEntry")[: self._n_normal + 1]] or [0]
            for basket in branch.embedded_baskets:
                first.append(first[-1] + int(basket.member("fNevBuf")))
        except Exception as error:
            raise SourceError(path, self.place, f"the list of its baskets is broken ({error})") from error
        #: First entry of each basket, and the end of the last.
        self.boundaries = first
        rising = all(a < b for a, b in pairwise(first))
        if first[0] != 0 or not rising or first[-1] != branch.num_entries or len(first) < self._n_normal + 1:
            expected = f"{branch.num_entries} entries in baskets that follow one another"
            raise SourceError(
                path, self.place, f"expected {expected}, found baskets that begin at {first[:8]}"
            )
        self._last: tuple[int, np.ndarray, np.ndarray] | None = None

    @property
    def n_entries(self) -> int:
        return self.boundaries[-1]

    def entries(self, first: int, stop: int) -> Entries:
        """The bytes of entries ``first`` to ``stop``; of one basket without a copy."""
        parts, lengths, problems = [_NO_BYTES], [_NO_LENGTHS], []
        for number in range(self._basket_of(first), len(self.boundaries) - 1):
            begin, end = self.boundaries[number : number + 2]
            a, b = max(first, begin), min(stop, end)
            if a >= b:
                break
            try:
                data, offsets = self._basket(number, end - begin)
            except BasketError as error:
                place = f"{self.place} basket {number} (entries {begin} to {end - 1})"
                problems.append(Problem(a, b, place, str(error)))
                data, offsets = _NO_BYTES, np.zeros(end - begin + 1, dtype=np.int64)
            offsets = offsets[a - begin : b - begin + 1]
            parts.append(data[offsets[0] : offsets[-1]])
            lengths.append(np.diff(offsets))
        starts = kernel.offsets(np.concatenate(lengths))
        data = parts[1].view() if len(parts) == 2 else np.concatenate(parts)
        data.flags.writeable = False  # always, so that kernels are compiled once
        return Entries(data, starts, tuple(problems))

    def bytes_of(self, entry: int) -> tuple[int, int]:
        """Where the basket that holds an entry is in the file: its first byte, and one past its last.

        A basket that is part of the tree's own record has no place but that of this record.
        """
        number = self._basket_of(entry)
        if number >= self._n_normal:
            record = self._branch.tree.parent
            start, size = record.fSeekKey, record.fNbytes
        else:
            start, size = (int(self._branch.member(m)[number]) for m in ("fBasketSeek", "fBasketBytes"))
        return start, start + size

    def place_of(self, entry: int) -> str:
        """Which basket holds an entry, where that is in the file, and which entry of it; for people."""
        number = self._basket_of(entry)
        start, stop = self.bytes_of(entry)
        inside = " in the record of the tree" if number >= self._n_normal else ""
        nth = entry - self.boundaries[number]
        basket = f"basket {number}{inside}, bytes {start:,} to {stop:,}"
        return f"{self._branch.name}: {basket}, entry {nth:,} of it"

    def _basket_of(self, entry: int) -> int:
        return bisect_right(self.boundaries, entry) - 1

    def _basket(self, number: int, n_entries: int) -> tuple[np.ndarray, np.ndarray]:
        """Bytes and offsets of all entries of a basket."""
        if self._last is None or self._last[0] != number:
            self._last = None
            try:
                data, positions = self._embedded(number) if number >= self._n_normal else self._stored(number)
            except BasketError:
                raise
            except Exception as error:  # whatever the unpacking of broken bytes may raise
                raise BasketError(f"cannot be unpacked ({type(error).__name__}: {error})") from error
            self._last = (number, data, _offsets(len(data), positions, n_entries))
        return self._last[1:]

    def _embedded(self, number: int) -> tuple[np.ndarray, np.ndarray | None]:
        """A basket that is part of the tree's own record: of a writer that ended early."""
        basket = self._branch.embedded_baskets[number - self._n_normal]
        return np.asarray(basket.data), basket.byte_offsets

    def _stored(self, number: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Bytes of the entries, and the position of each if they differ in length."""
        chunk, cursor = self._branch.basket_chunk_cursor(number)
        raw = np.asarray(chunk.raw_data)
        try:
            n_bytes, _, length, _, key_length, _ = _KEY.unpack_from(raw)
            last = _HEADER.unpack_from(raw, max(0, key_length - _HEADER.size - 1))[-1]
        except struct.error:
            raise BasketError(f"ends in its header, after {len(raw)} bytes") from None
        border, packed = last - key_length, n_bytes - key_length
        if not (_KEY.size + _HEADER.size < key_length <= n_bytes == len(raw) and 0 <= border <= length):
            raise BasketError(
                f"expected a key of {len(raw)} bytes, found one that says {n_bytes}, of which {key_length} "
                f"are header, with {border} of {length} bytes for the entries"
            )
        if length > most_bytes(packed):
            raise BasketError(f"{packed} bytes cannot unpack to the {length:,} that it claims")
        if packed == length:
            data = raw[key_length:]
        else:
            cursor.skip(key_length)
            data = _unpacked(chunk, cursor, packed, length)
        if border == length:
            return data, None
        if (length - border) % 4 or length - border < 8:
            raise BasketError(
                f"expected positions of 4 bytes each after the entries, found {length - border} bytes"
            )
        # a count, then the position of each entry after the start of the key, then one unused
        positions = data[border:].view(">i4")[1:].astype(np.int64) - key_length
        positions[-1] = border
        return data[:border], positions


def _unpacked(chunk: Chunk, cursor: Cursor, packed: int, length: int) -> np.ndarray:
    """Unpack ``packed`` bytes, a sequence of blocks: all of zlib here, all others by uproot."""
    data = np.asarray(chunk.raw_data)[-packed:]
    blocks, at = [], 0
    while at < packed:
        if packed - at < _BLOCK:
            raise BasketError(f"expected a block of packed data, found {packed - at} bytes")
        head = data[at : at + _BLOCK].tobytes()
        size, unpacked = (int.from_bytes(head[n : n + 3], "little") for n in (3, 6))
        blocks.append((head[:2], at + _BLOCK, at + _BLOCK + size, unpacked))
        at += _BLOCK + size
    if at != packed or sum(n for *_, n in blocks) != length:
        raise BasketError(f"expected {packed} bytes that unpack to {length}, found blocks of other sizes")
    if any(kind != b"ZL" for kind, *_ in blocks):
        from uproot.compression import decompress

        return np.asarray(decompress(chunk, cursor, {}, packed, length).raw_data)
    parts = [_inflated(data[start:stop], n) for _, start, stop, n in blocks]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _inflated(block: np.ndarray, length: int) -> np.ndarray:
    """Unpack a block of zlib, into no more bytes than it should have."""
    from isal import isal_zlib  # twice as fast as zlib

    data = isal_zlib.decompressobj().decompress(block, max_length=length + 1)
    if len(data) != length:
        raise BasketError(f"expected a block of {length} bytes after unpacking, found {len(data)}")
    return np.frombuffer(data, dtype=np.uint8)


def _offsets(size: int, positions: np.ndarray | None, n_entries: int) -> np.ndarray:
    """Start of each entry and the end of the last."""
    if positions is None:
        if n_entries == 0 or size % n_entries:
            raise BasketError(f"expected {n_entries} entries of equal length, found {size} bytes")
        return np.arange(n_entries + 1, dtype=np.int64) * (size // n_entries)
    offsets = positions.astype(np.int64)
    if (
        len(offsets) != n_entries + 1
        or offsets[0] != 0
        or offsets[-1] != size
        or (np.diff(offsets) < 0).any()
    ):
        raise BasketError(f"expected the positions of {n_entries} entries in {size} bytes, found others")
    return offsets


class Tree:
    """A tree by its name; its branches by theirs, however deep they are.

    Raises
    ------
    SourceError
        If it cannot be read, or says that it has more entries than the file has bytes.
    """

    def __init__(self, path: str, file: ReadOnlyDirectory, name: str) -> None:
        self.path, self.name = path, name
        try:
            self._tree = file[name]
            self.n_entries = int(self._tree.num_entries)
            size = file.file.source.num_bytes
        except Exception as error:
            raise SourceError(
                path, name, f"the tree cannot be read ({type(error).__name__}: {error})"
            ) from error
        if not 0 <= self.n_entries <= size:
            raise SourceError(path, name, f"{self.n_entries} entries cannot be in a file of {size} bytes")

    @cached_property
    def _branches(self) -> dict[str, TBranch]:
        """All branches by name; of equal names the first."""
        found: dict[str, TBranch] = {}
        waiting = list(self._tree.branches)
        while waiting:
            branch = waiting.pop(0)
            found.setdefault(branch.name, branch)
            waiting += branch.branches
        return found

    def __contains__(self, name: str) -> bool:
        return name in self._branches

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its branches."""
        return tuple(self._branches)

    def branch(self, name: str) -> Branch:
        """The branch of a name.

        Raises
        ------
        SourceError
            If there is none, or it has not as many entries as the tree.
        """
        if name not in self._branches:
            there = ", ".join(self._branches)
            raise SourceError(self.path, self.name, f"there is no branch {name!r}; there are {there}")
        branch = Branch(self.path, self.name, self._branches[name])
        if branch.n_entries != self.n_entries:
            expected = f"expected {self.n_entries} entries as in the tree, found {branch.n_entries}"
            raise SourceError(self.path, branch.place, expected)
        return branch
