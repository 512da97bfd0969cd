"""Reading a pass: its schema, its partition table, and its chunks straight into arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import icechunk
import numpy as np
from isal.isal_zlib import crc32

from etendue.errors import EtendueError, is_of_icechunk
from etendue.kernel import offsets
from etendue.schema import Columns, Schema, Table, Variable
from etendue.store import layout
from etendue.store.codecs import Codec, codec_for
from etendue.store.fetch import LARGE, ChunkFiles, Fetched, get_each, get_together
from etendue.store.paths import StoreError, is_local, locate, revisions_of, split_tag, tag_of
from etendue.store.repository import open_repository
from etendue.store.seal import DamageError, unsealed


class ChunkError(EtendueError, ValueError):
    """A chunk that is missing or cannot be decoded; at the root, also one that holds other values."""

    def __init__(self, array: str, chunk: int, partition: int, reason: str) -> None:
        super().__init__(array, chunk, partition, reason)
        self.array, self.chunk, self.partition, self.reason = array, chunk, partition, reason

    def __str__(self) -> str:
        return f"{self.place} {self.reason}"

    @property
    def place(self) -> str:
        """Where in the store."""
        table, _, column = self.array.rpartition("/")
        return f"{f'table {table}, column {column}' if table else f'array {column}'}, chunk {self.chunk}"


@dataclass(frozen=True)
class Column:
    """A column to read chunks of: its array, the shape of its rows, how it is coded."""

    array: str
    variable: Variable
    inner: tuple[int, ...]
    codec: Codec

    def empty(self, n_rows: int) -> np.ndarray:
        """An array to read rows into; text as objects."""
        dtype = object if self.variable.dtype == "str" else self.variable.dtype
        return np.empty((n_rows, *self.inner), dtype)


@dataclass(frozen=True)
class Piece:
    """One chunk to read, and the rows of an array that it goes into."""

    column: Column
    chunk: int
    partition: int
    out: np.ndarray

    @property
    def key(self) -> str:
        """The chunk's key in the store."""
        return layout.chunk_key(self.column.array, self.chunk, self.out.ndim)


def read_pieces(
    store: icechunk.IcechunkStore, pieces: Iterable[Piece], files: ChunkFiles | None = None
) -> None:
    """Fetch chunks and decode each into its place.

    Parameters
    ----------
    store : icechunk.IcechunkStore
        Snapshot to read.
    pieces : iterable of Piece
        Chunks and places.
    files : ChunkFiles, optional
        The files of the chunks, if the store is local and many chunks are read.

    Raises
    ------
    ChunkError
        If a chunk is missing or cannot be decoded.
    """
    small, large = [], []
    for piece in pieces:
        if piece.out.size:
            (large if piece.out.nbytes >= LARGE else small).append(piece)
    for piece, data in zip(small, get_together(store, [p.key for p in small]), strict=True):
        _decode(piece, data)
    if files:
        fetched = (files.read(piece.column.array, piece.chunk) for piece in large)
    else:
        fetched = get_each(store, [piece.key for piece in large])
    for piece, data in zip(large, fetched, strict=True):
        _decode(piece, get_each(store, [piece.key])[0] if data is None else data)


def _decode(piece: Piece, data: Fetched) -> None:
    if data is None:
        reason = "is missing"
    elif isinstance(data, BaseException):
        reason = f"cannot be fetched: {str(data).partition('\n')[0]}"
    else:
        try:
            piece.column.codec.decode(data, piece.out)
        except (ValueError, RuntimeError) as error:
            reason = f"cannot be decoded: {error}"
        else:
            return
    raise ChunkError(piece.column.array, piece.chunk, piece.partition, reason)


@dataclass(frozen=True)
class PassReader:
    """A pass, open for reading.

    Parameters
    ----------
    path : str
        The repository.
    snapshot : str
        Snapshot that is read.
    tag : str or None
        Name of the pass; None if the snapshot has none.
    store : icechunk.IcechunkStore
        The snapshot's keys.
    attributes : dict
        Attributes of the root group, as the run left them.
    facts : dict
        What the store itself keeps there: format, preset, schema, numbers of rows.
    """

    path: str
    snapshot: str
    tag: str | None
    store: icechunk.IcechunkStore
    attributes: dict[str, Any]
    facts: Mapping[str, Any]

    @classmethod
    def open(cls, path: str, tag: str | None = None) -> PassReader:
        """Open a pass.

        Parameters
        ----------
        path : str
            The store, or ``store@pass``.
        tag : str, optional
            Name of the pass for its newest revision, ``name+revision`` (the first is 0), or a
            snapshot's id; without it the pass that was published last.

        Raises
        ------
        FileNotFoundError
            If there is no store.
        StoreError
            If the store has no such pass, or was made by another program.
        DamageError
            If the store or the pass cannot be read, or the pass's root is not what was written.
        """
        base, named = locate(path)
        tag = tag or named
        try:
            repository = open_repository(base)
            tags = {name: repository.lookup_tag(name) for name in repository.list_tags()}
        except icechunk.IcechunkError as error:
            raise DamageError(base, "repo", error) from error
        if tag is None and not tags:
            raise StoreError(f"{base} has no pass that is finished")
        snapshot = repository.lookup_branch("main") if tag is None else tags.get(_named_tag(tag, tags), tag)
        try:
            store = repository.readonly_session(snapshot_id=snapshot).store
        except (icechunk.IcechunkError, ValueError) as error:
            if tag is None or snapshot != tag:
                raise DamageError(f"{base}@{tag or snapshot}", f"snapshots/{snapshot}", error) from error
            known = ", ".join(sorted(tags)) or "none yet"
            raise StoreError(f"{base} has no pass {tag!r}; there are: {known}") from None
        name = next((name for name, of in tags.items() if of == snapshot), None)
        return cls.of_store(base, snapshot, name, store)

    @classmethod
    def of_store(cls, path: str, snapshot: str, tag: str | None, store: icechunk.IcechunkStore) -> PassReader:
        """A reader of a store that is open, which may be of an unfinished pass."""
        attributes, facts = read_root(store, f"{path}@{tag or snapshot}")
        return cls(path, snapshot, tag, store, attributes, facts)

    @cached_property
    def _files(self) -> ChunkFiles | None:
        return ChunkFiles(self.path, self.store) if is_local(self.path) else None

    @property
    def place(self) -> str:
        """The pass as a path that will always mean the same snapshot."""
        if self.tag is None:
            return f"{self.path}@{self.snapshot}"
        name, revision = split_tag(self.tag)
        return f"{self.path}@{name}+{revision or 0}"

    @cached_property
    def schema(self) -> Schema:
        """The tables and columns of the pass."""
        return layout.schema_from_json(self.facts["schema"])

    @cached_property
    def rows(self) -> dict[str, np.ndarray]:
        """Rows of each table that is not static, by partition: shape (n_partitions,)."""
        tables = layout.chunked_tables(self.schema)
        counts = self._ledger(layout.PARTITIONS, len(tables))
        return {table.name: counts[:, n].copy() for n, table in enumerate(tables)}

    @cached_property
    def origin(self) -> np.ndarray:
        """Of each partition the number of its input, its first block, and the one past its last.

        Of streams, a block is an event; shape (n_partitions, 3).
        """
        return self._ledger(layout.ORIGIN, 3)

    @cached_property
    def checksums(self) -> dict[str, np.ndarray]:
        """CRC-32 of each chunk before compression, by ``table/column``: uint32, shape (n_partitions,).

        0 where there is no chunk.
        """
        columns = layout.checksum_columns(self.schema)
        found = self._ledger(layout.CHECKSUMS, len(columns))
        return {column: found[:, n].copy() for n, column in enumerate(columns)}

    @property
    def n_partitions(self) -> int:
        """Partitions of the pass; of one that is unfinished, those of the revision before."""
        return self.facts["n_published"]

    def _ledger(self, name: str, width: int) -> np.ndarray:
        """An array that has a row for each partition.

        Raises
        ------
        ChunkError
            If a chunk is missing, cannot be decoded, or holds something else than was written.
        """
        variable = layout.LEDGER[name]
        column = Column(name, variable, (width,), self._codec(variable))
        whole = column.empty(self.n_partitions)
        edges = np.cumsum([0, *layout.ledger_edges(self.n_partitions)])
        pieces = [Piece(column, n, -1, whole[edges[n] : edges[n + 1]]) for n in range(len(edges) - 1)]
        read_pieces(self.store, pieces)
        known = self.facts.get("ledger_checksums", {}).get(name, ())  # older stores have none
        for piece, checksum in zip(pieces, known, strict=False):
            if (found := crc32(column.codec.pack(piece.out))) != checksum:
                raise ChunkError(name, piece.chunk, -1, other_values(found, checksum))
        return whole

    def chunk_rows(self, table: str) -> np.ndarray:
        """Rows of each partition of a table, or of the single chunk of a static table."""
        if self.schema[table].role == "static":
            return np.array([self.facts["static_rows"][table]])
        return self.rows[table]

    @cached_property
    def chunk_of(self) -> dict[str, np.ndarray]:
        """The chunk of each partition that has rows, by table."""
        return {name: np.cumsum(self.chunk_rows(name) > 0) - 1 for name in self.schema}

    @cached_property
    def static(self) -> dict[str, Columns]:
        """The static tables."""
        return self._read_whole("static")

    @cached_property
    def conditions(self) -> dict[str, Columns]:
        """All rows of the ``conditions`` tables."""
        return self._read_whole("conditions")

    def _read_whole(self, role: str) -> dict[str, Columns]:
        whole = {}
        for table in self.schema.values():
            if table.role == role:
                chunks = np.flatnonzero(self.chunk_rows(table.name)).tolist()
                whole |= self.read({table.name: table.variables}, chunks)
        return whole

    def read(self, columns: Mapping[str, Iterable[str]], partitions: Sequence[int]) -> dict[str, Columns]:
        """Read columns of some partitions, joined in the order given.

        Parameters
        ----------
        columns : mapping of str to names
            Columns of each table.
        partitions : sequence of int
            Partitions; of static tables there is one.

        Returns
        -------
        dict of str to dict of str to array
            Columns by table; text in NumPy's fixed-width ``U``.

        Raises
        ------
        ChunkError
            If a chunk is missing or cannot be decoded.
        """
        tables: dict[str, Columns] = {}
        pieces: dict[int, list[Piece]] = {partition: [] for partition in partitions}
        for name, wanted in columns.items():
            all_rows = self.chunk_rows(name)
            static = self.schema[name].role == "static"
            chunks = [0] * len(partitions) if static else self.chunk_of[name][list(partitions)].tolist()
            ends = offsets(all_rows[list(partitions)]).tolist()
            tables[name] = {}
            for variable in wanted:
                column = self.column(self.schema[name], variable)
                out = tables[name][variable] = column.empty(ends[-1])
                for n, partition in enumerate(partitions):
                    part = out[ends[n] : ends[n + 1]]
                    pieces[partition].append(Piece(column, chunks[n], partition, part))
        for of_partition in pieces.values():  # one partition's compressed chunks in memory at a time
            read_pieces(self.store, of_partition, self._files)
        return {
            name: {column: as_text(array) for column, array in columns.items()}
            for name, columns in tables.items()
        }

    def column(self, table: Table, name: str) -> Column:
        """What it takes to read a column."""
        variable = table.variables[name]
        return Column(
            f"{table.name}/{name}", variable, layout.inner_shape(variable, table), self._codec(variable)
        )

    def _codec(self, variable: Variable) -> Codec:
        return codec_for(variable, self.facts["preset"])


def _named_tag(tag: str, tags: Mapping[str, str]) -> str:
    """The tag that a name means: of a pass without a revision, the newest one."""
    name, revision = split_tag(tag)
    if revision is not None:
        return tag_of(name, revision)
    return next(reversed(revisions_of(tags, name)), tag)


def other_values(found: int, expected: int) -> str:
    """What is wrong with a chunk that has another checksum."""
    return f"holds other values than were written: CRC-32 {found:08x} instead of {expected:08x}"


def as_text(array: np.ndarray) -> np.ndarray:
    """Text objects as NumPy's own text, which compares and hashes by value."""
    return array.astype("U") if array.dtype == object else array


def read_root(store: icechunk.IcechunkStore, place: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Attributes of a pass's root group: those of the run, and those that the store itself keeps.

    Raises
    ------
    StoreError
        If the root is not one that this version reads.
    DamageError
        If it cannot be read, or is not what was written.
    """
    try:
        (data,) = get_each(store, ["zarr.json"])
        if isinstance(data, BaseException):
            raise data
        attributes = {} if data is None else unsealed(data.tobytes())
    except BaseException as error:
        if not (isinstance(error, ValueError) or is_of_icechunk(error)):
            raise
        raise DamageError(place, f"snapshots/{store.session.snapshot_id}", error) from error
    facts = attributes.pop(layout.ROOT, None)
    if facts is None:
        raise StoreError(f"{place} is an Icechunk repository, but not of etendue's making")
    if facts["format"] != layout.FORMAT:
        raise StoreError(
            f"{place} has format {facts['format']}, this version of etendue reads format {layout.FORMAT}; "
            "read it with the version that wrote it (see its provenance)"
        )
    return attributes, facts


def read_schema(path: str, tag: str | None = None) -> Schema:
    """The tables and columns of a pass; errors as `PassReader.open`."""
    return PassReader.open(path, tag).schema


def attributes(path: str, tag: str | None = None) -> dict[str, Any]:
    """What the run left with a pass: provenance, pipeline, labels; errors as `PassReader.open`."""
    return PassReader.open(path, tag).attributes
