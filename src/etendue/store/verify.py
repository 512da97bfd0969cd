"""Looking for damage: every chunk of a pass, decoded and compared with its checksum."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import icechunk
import numpy as np
from isal.isal_zlib import crc32

from etendue.dataflow.plan import cores
from etendue.dataflow.threads import in_order
from etendue.reprs import Legible, some_of
from etendue.store import layout
from etendue.store.fetch import ChunkFiles
from etendue.store.ledger import FAILURES
from etendue.store.paths import StoreError, is_local, locate, split_tag
from etendue.store.places import kind_of
from etendue.store.reader import ChunkError, PassReader, Piece, other_values, read_pieces
from etendue.store.repository import open_repository
from etendue.store.seal import DamageError, metadata_checksums


@dataclass(frozen=True)
class DamagedChunk:
    """A chunk that is missing, cannot be decoded, or holds something else than was written.

    Parameters
    ----------
    array : str
        ``table/column``; an array at the root of the pass, such as ``checksums``; empty for the
        snapshot as a whole.
    partition : int
        Partition that has to be made anew; -1 if it is of none: of a static table, or at the root.
    reason : str
        What is wrong.
    chunk : int
        Number of the chunk in its array; -1 if it is the metadata of the array, or of a group.
    span : tuple of (str, int, int), optional
        Input, first block and the one past the last that the partition was made from; None if it was
        made from no part of the inputs.
    """

    array: str
    partition: int
    reason: str
    chunk: int = 0
    span: tuple[str, int, int] | None = None

    @property
    def kind(self) -> str:
        """``missing``, ``unreadable`` if it may be sound (permissions, disk, network), or ``damaged``."""
        return kind_of(self.reason)

    def __str__(self) -> str:
        table, _, column = self.array.rpartition("/")
        place = f"table {table}, column {column}" if table else f"array {self.array}"
        text = f"{place if self.array else 'snapshot'}"
        if self.partition >= 0:
            text += f", partition {self.partition}"
        text += f": {self.reason}"
        if self.kind == "unreadable":
            text += "; it may be sound: see that it can be read, and look again"
        elif self.span:
            text += "; redo {} from {} to {}".format(*self.span)
        return text


@dataclass(frozen=True, repr=False)
class Verdict(Legible):
    """What came of looking at a pass.

    Parameters
    ----------
    place : str
        The pass, as a path.
    n_chunks : int
        Chunks that were looked at.
    damaged : list of DamagedChunk
        Those that are damaged.
    """

    place: str
    n_chunks: int
    damaged: list[DamagedChunk]

    def facts(self) -> dict[str, str]:
        """The verdict in a few lines, for people."""
        return {
            "pass": self.place,
            "chunks": f"{self.n_chunks:,}",
            "damaged": f"{len(self.damaged):,} {some_of(self.damaged, 3)}".rstrip(),
        }

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "chunks": self.n_chunks,
            "damaged": [{**vars(chunk), "kind": chunk.kind} for chunk in self.damaged],
        }


#: Called with the numbers of partitions that are done, and of all.
Progress = Callable[[int, int], None]


def verify(
    path: str,
    tag: str | None = None,
    *,
    n_threads: int | None = None,
    progress: Progress = lambda done, total: None,
) -> Verdict:
    """Look for damage in a pass.

    Parameters
    ----------
    path : str
        The store, or ``store@pass``.
    tag : str, optional
        Name of the pass; without it the newest.
    n_threads, progress
        See `find_damage`.

    Raises
    ------
    FileNotFoundError
        If there is no store.
    StoreError
        If the store has no such pass.
    """
    base, named = locate(str(path))
    tag = tag or named
    try:
        reader = PassReader.open(base, tag)
    except DamageError as error:
        return Verdict(error.place, 0, [DamagedChunk("", -1, f"cannot be read: {error}")])
    except StoreError as error:
        if tag is None or {tag, tag.removesuffix("+0")}.isdisjoint(tags_of(base)):
            raise
        return Verdict(f"{base}@{tag}", 0, [DamagedChunk("", -1, f"cannot be read: {error}")])
    damaged = find_damage(reader, n_threads=n_threads, progress=progress)
    return Verdict(reader.place, _count_chunks(reader), damaged)


def tags_of(path: str) -> list[str]:
    """The tags of all passes and revisions of a store, readable or not."""
    return sorted(open_repository(locate(str(path))[0]).list_tags())


def find_damage(
    reader: PassReader,
    *,
    n_threads: int | None = None,
    progress: Progress = lambda done, total: None,
) -> list[DamagedChunk]:
    """Decode every chunk of a pass and compare its CRC-32 with the one that was written down.

    A damaged file that still decodes to the same numbers is not damage. If the arrays at the root are
    damaged there is nothing to compare the chunks of partitions with, and these are not looked at.

    Parameters
    ----------
    reader : PassReader
        The pass.
    n_threads : int, optional
        Partitions that are looked at at the same time; by default one a core.
    progress : callable
        Called with the number of partitions that are done, and of all.

    Returns
    -------
    list of DamagedChunk
        By partition, metadata, static tables and the arrays at the root first; empty if the pass is whole.
    """
    name = split_tag(reader.tag or reader.facts["name"])[0]
    if reader.facts["name"] != name or not reader.facts["complete"]:
        return [
            DamagedChunk(
                "", -1, f"is not that of pass {name!r}, of which it has the tag: the file repo is damaged"
            )
        ]
    look = _Look(reader)
    damaged = [*_damaged_metadata(reader), *look.at(look.static_pieces())]
    if damaged_ledger := list(_damaged_ledger(reader)):
        return damaged + damaged_ledger
    looked_at = in_order(look.at_partition, range(reader.n_partitions), n_threads or cores())
    for done, found in enumerate(looked_at, start=1):
        damaged += found
        progress(done, reader.n_partitions)
    return damaged


def ledger_is_lost(damaged: Iterable[DamagedChunk]) -> bool:
    """Whether what is known of all partitions is damaged, so that none of them can be judged."""
    arrays = {chunk.array for chunk in damaged if chunk.chunk >= 0}
    return any(array in layout.LEDGER or array.startswith(f"{FAILURES.name}/") for array in arrays)


def _damaged_metadata(reader: PassReader) -> Iterator[DamagedChunk]:
    """The groups and arrays whose metadata are not what was written; stores made before have no checksums."""
    known = reader.facts.get("metadata_checksums", {})
    found = metadata_checksums(reader.store, reader.schema) if known else {}
    for path, checksum in known.items():
        if found.get(path) is None:
            yield DamagedChunk(path, -1, "its metadata cannot be read", -1)
        elif found[path] != checksum:
            yield DamagedChunk(path, -1, f"its metadata {other_values(found[path], checksum)}", -1)


def _damaged_ledger(reader: PassReader) -> Iterator[DamagedChunk]:
    """The damaged arrays at the root; what is whole is read here, and used by all threads."""
    for name, read in (
        (layout.PARTITIONS, lambda: reader.chunk_of),
        (layout.ORIGIN, lambda: reader.origin),
        (layout.CHECKSUMS, lambda: reader.checksums),
    ):
        try:
            read()
        except ChunkError as error:
            yield DamagedChunk(error.array, -1, error.reason, error.chunk)
        except icechunk.IcechunkError as error:
            yield DamagedChunk(name, -1, _unreachable(error))


#: A chunk to look at, and the checksum that it should have.
Expected = tuple[Piece, int]


class _Look:
    """Looks at the chunks of a pass; used by several threads."""

    def __init__(self, reader: PassReader) -> None:
        self.reader = reader
        self.files = ChunkFiles(reader.path, reader.store) if is_local(reader.path) else None

    def static_pieces(self) -> Iterator[Expected]:
        """The chunks of the static tables."""
        for table in self.reader.schema.values():
            if table.role == "static":
                (n_rows,) = self.reader.chunk_rows(table.name).tolist()
                for name in table.variables:
                    column = self.reader.column(table, name)
                    checksum = self.reader.facts["static_checksums"].get(column.array)
                    if checksum is not None:
                        yield Piece(column, 0, -1, column.empty(n_rows)), checksum

    def pieces(self, partition: int) -> Iterator[Expected]:
        """The chunks of a partition."""
        for table in layout.chunked_tables(self.reader.schema):
            n_rows = int(self.reader.rows[table.name][partition])
            chunk = int(self.reader.chunk_of[table.name][partition])
            for name in table.variables if n_rows else ():
                column = self.reader.column(table, name)
                if 0 not in column.inner:
                    checksum = int(self.reader.checksums[column.array][partition])
                    yield Piece(column, chunk, partition, column.empty(n_rows)), checksum

    def at_partition(self, partition: int) -> list[DamagedChunk]:
        """The damaged chunks of a partition."""
        return list(self.at(self.pieces(partition)))

    def at(self, expected: Iterable[Expected]) -> Iterator[DamagedChunk]:
        """Read chunks, all together if nothing is wrong, and compare checksums."""
        expected = list(expected)
        try:
            read_pieces(self.reader.store, [piece for piece, _ in expected], self.files)
            reasons = [""] * len(expected)
        except (ChunkError, icechunk.IcechunkError, MemoryError):
            reasons = [self._reason(piece) for piece, _ in expected]
        for (piece, checksum), reason in zip(expected, reasons, strict=True):
            column = piece.column
            if not reason:
                found = crc32(column.codec.pack(piece.out))
                if found == checksum:
                    continue
                reason = other_values(found, checksum)
            span = span_of(self.reader, piece.partition)
            yield DamagedChunk(column.array, piece.partition, reason, piece.chunk, span)

    def _reason(self, piece: Piece) -> str:
        """What is wrong with one chunk; empty if it can be read."""
        try:
            read_pieces(self.reader.store, [piece], self.files)
        except ChunkError as error:
            return error.reason
        except icechunk.IcechunkError as error:
            return _unreachable(error)
        except MemoryError:
            return "cannot be decoded: claims to be larger than the memory"
        return ""


def _unreachable(error: BaseException) -> str:
    return f"cannot be found: {str(error).partition('\n')[0]}"


def input_paths(reader: PassReader) -> dict[int, str]:
    """Paths of the inputs of a pass, by their number in it."""
    inputs = reader.attributes.get("identity", {}).get("inputs", [])
    return {number: entry["path"] for number, entry in enumerate(inputs)}


def span_of(reader: PassReader, partition: int) -> tuple[str, int, int] | None:
    """Input, first block and the one past the last of a partition; None for -1."""
    if partition < 0:
        return None
    number, first, stop = reader.origin[partition].tolist()
    return input_paths(reader).get(number, f"input {number}"), first, stop


def _count_chunks(reader: PassReader) -> int:
    static = len(reader.facts["static_checksums"])
    try:
        reader.rows  # noqa: B018
    except (ChunkError, icechunk.IcechunkError):
        return static
    return static + sum(
        int(np.count_nonzero(reader.rows[table.name]))
        for table in layout.chunked_tables(reader.schema)
        for _, _, inner in layout.columns_of(table)
        if 0 not in inner
    )
