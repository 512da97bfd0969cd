"""Passes, on the driver: begun on a branch of their own, committed on the way, published at once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import icechunk
import numpy as np

from etendue.schema import Columns, Schema, Variable
from etendue.store import layout
from etendue.store.codecs import Preset
from etendue.store.lock import StoreLock
from etendue.store.paths import StoreError, is_local, locate
from etendue.store.reader import read_root
from etendue.store.repository import chunk_numbers, create_repository, open_repository, set_keys
from etendue.store.writer import ChunkWriter, encode

log = logging.getLogger(__name__)


class PassExistsError(FileExistsError):
    """The store already holds a pass of that name; passes are never written over."""


@dataclass(frozen=True)
class PassInfo:
    """A published pass.

    Parameters
    ----------
    tag : str
        Its name.
    snapshot : str
        Its snapshot in the repository.
    time : datetime
        When it was published, in UTC.
    message : str
        Message of the commit.
    attributes : dict
        What the run left: provenance, pipeline, labels.
    """

    tag: str
    snapshot: str
    time: datetime
    message: str
    attributes: dict[str, Any]


class PassWriter:
    """A pass that is being written. Make one with `create`; end it with `publish` or `abandon`."""

    def __init__(
        self,
        repository: icechunk.Repository,
        tag: str,
        schema: Schema,
        n_partitions: int,
        attributes: dict[str, Any],
        preset: Preset,
        lock: StoreLock | None,
    ) -> None:
        self.tag = tag
        self.schema = schema
        self.n_partitions = n_partitions
        self._attributes = attributes
        self._preset = preset
        self._repository = repository
        self._branch = _branch(tag)
        self._lock = lock
        self._static_rows: dict[str, int] = {}
        self._session = repository.writable_session(self._branch)

    @classmethod
    def create(
        cls,
        path: str,
        tag: str,
        schema: Schema,
        static: Mapping[str, Columns],
        n_partitions: int,
        attributes: Mapping[str, Any],
        *,
        preset: Preset = "default",
    ) -> PassWriter:
        """Begin a pass: its branch, its arrays, its static tables.

        Parameters
        ----------
        path : str
            Directory of the store, ``s3://bucket/prefix``, or ``memory://name``; made if it is not there.
        tag : str
            Name of the pass.
        schema : Schema
            The tables and columns that are written.
        static : mapping of str to dict of str to array
            Columns of the ``static`` tables.
        n_partitions : int
            Partitions that will be written at most.
        attributes : mapping
            Plain values for JSON; kept at the root. ``labels`` maps labels to fingerprints.
        preset : {"default", "archive"}
            Codecs: fast, or pcodec for waveforms.

        Raises
        ------
        PassExistsError
            If the store has, or had, a pass of that name.
        StoreLockedError
            If another process is writing into the store.
        SchemaError
            If a column has a dtype that a store does not hold, or a static table lacks columns.
        """
        path = str(path)
        if not tag.strip() or "@" in tag or "/" in tag:
            raise StoreError(f"a pass cannot be named {tag!r}: give it a name without @ and /")
        layout.codecs_of(schema, preset)  # what cannot be stored is refused before anything is made
        lock = StoreLock(path) if is_local(path) else None
        try:
            repository = create_repository(path)
            _refuse_known(repository, path, tag)
            _begin_branch(repository, path, tag)
            writer = cls(repository, tag, schema, n_partitions, dict(attributes), preset, lock)
            writer._lay_out(static)
            writer.commit(f"begin pass {tag}")
        except BaseException:
            if lock:
                lock.release()
            raise
        return writer

    def _lay_out(self, static: Mapping[str, Columns]) -> None:
        """Make all groups and arrays, and write the static tables."""
        codecs = layout.codecs_of(self.schema, self._preset)
        metadata, chunks = {}, {}
        for table in self.schema.values():
            is_static = table.role == "static"
            columns = static.get(table.name, {}) if is_static else {}
            edges = np.ones(self.n_partitions, np.int64)
            if is_static:
                columns = {name: columns[name] for name in table.variables if name in columns}
                n_rows = self._static_rows[table.name] = table.validate(columns, complete=True)
                edges = np.full(1 if n_rows else 0, n_rows)
            for array, variable, inner in layout.columns_of(table):
                metadata[f"{array}/zarr.json"] = layout.array_metadata(
                    variable, inner, codecs[array], edges, provisional=not is_static
                )
                if is_static and len(edges) and 0 not in inner:
                    _, data = encode(array, columns[variable.name], variable, codecs[array])
                    chunks[layout.chunk_key(array, 0, len(variable.dims))] = data
        store = self._session.store
        store.sync_clear()
        set_keys(store, layout.group_keys(self.schema, self._root()))
        set_keys(store, metadata)
        set_keys(store, chunks)

    def _root(self) -> dict[str, Any]:
        facts = {
            "format": layout.FORMAT,
            "preset": self._preset,
            "schema": layout.schema_to_json(self.schema),
            "static_rows": self._static_rows,
            "n_partitions": self.n_partitions,
        }
        return {**self._attributes, layout.ROOT: facts}

    def fork(self) -> ChunkWriter:
        """A writer for one task; cheap, and good for the whole pass whatever is committed meanwhile."""
        # Icechunk forks only sessions without changes, so not the one that forks are merged into.
        return ChunkWriter(self._origin.fork(), self.schema, self._preset)

    @cached_property
    def _origin(self) -> icechunk.Session:
        return self._repository.writable_session(self._branch)

    def merge(self, writers: Iterable[ChunkWriter]) -> None:
        """Take in the chunks that tasks have written; they are safe once committed."""
        self._session.merge(*(writer.session for writer in writers))

    def commit(self, message: str) -> str:
        """Commit what was merged to the working branch and return the snapshot's id."""
        snapshot = self._session.commit(message, allow_empty=True)
        self._session = self._repository.writable_session(self._branch)
        return snapshot

    def publish(
        self,
        rows: Mapping[str, np.ndarray],
        attributes: Mapping[str, Any],
        numbers: np.ndarray | None = None,
    ) -> str:
        """Make the pass visible: true grids, attributes, one commit, a tag; ``main`` is set to it.

        Parameters
        ----------
        rows : mapping of str to int64 array
            Rows written of each table that is not static, by partition: shape (n_partitions,).
        attributes : mapping
            Plain values for JSON, added to those that the pass was begun with.
        numbers : int array, optional
            Under which numbers the partitions of ``rows`` were written, ascending, if there are fewer than
            the pass was begun with.

        Returns
        -------
        str
            Id of the snapshot.

        Raises
        ------
        StoreError
            If chunks are missing, or there are others than ``rows`` says. Nothing is published then.
        """
        tables = layout.chunked_tables(self.schema)
        numbers = np.arange(self.n_partitions) if numbers is None else numbers
        counts = np.zeros((self.n_partitions, len(tables)), np.int64)
        for column, table in enumerate(tables):
            counts[numbers, column] = rows[table.name]
        self._check_chunks(counts)
        self._attributes.update(attributes)
        self.n_partitions = len(numbers)
        self._write_true_grids(counts)
        self._write_partition_table(counts[numbers])
        snapshot = self._session.commit(f"pass {self.tag}: {self._summary(counts)}")
        self._repository.create_tag(self.tag, snapshot_id=snapshot)
        self._repository.reset_branch("main", snapshot)
        self.abandon()  # the branch has done its work
        return snapshot

    def _check_chunks(self, counts: np.ndarray) -> None:
        """A chunk that got lost would be read as zeros by other readers, and by nobody noticed."""
        rows_of = {a: rows for a, _, inner, rows in self._chunked_arrays(counts) if 0 not in inner}
        for array, found in chunk_numbers(self._session.store, rows_of).items():
            expected = np.flatnonzero(rows_of[array])
            if not np.array_equal(found, expected):
                lost, strange = np.setdiff1d(expected, found), np.setdiff1d(found, expected)
                raise StoreError(
                    f"pass {self.tag!r} is not complete: {array} lacks the chunks of {len(lost)} "
                    f"partition(s) {lost[:5].tolist()} and has {len(strange)} that no receipt tells of "
                    f"{strange[:5].tolist()}; run it again"
                )

    def _write_true_grids(self, counts: np.ndarray) -> None:
        codecs = layout.codecs_of(self.schema, self._preset)
        keys = {"zarr.json": layout.group_keys(self.schema, self._root())["zarr.json"]}
        for array, variable, inner, rows in self._chunked_arrays(counts):
            self._close_gaps(array, rows)
            edges = rows[rows > 0]
            keys[f"{array}/zarr.json"] = layout.array_metadata(variable, inner, codecs[array], edges)
        set_keys(self._session.store, keys)

    def _chunked_arrays(
        self, counts: np.ndarray
    ) -> Iterator[tuple[str, Variable, tuple[int, ...], np.ndarray]]:
        """Of each array that has a chunk a partition: path, column, shape of a row, rows by partition."""
        for table, rows in zip(layout.chunked_tables(self.schema), counts.T, strict=True):
            for array, variable, inner in layout.columns_of(table):
                yield array, variable, inner, rows

    def _close_gaps(self, array: str, rows: np.ndarray) -> None:
        """Move chunks down over the partitions without rows: Zarr knows no chunks of length zero.

        What is left behind at the old places is outside of the true grid, and dropped by the commit.
        """
        if rows.all():
            return
        moved = (np.cumsum(rows > 0) - 1).tolist()

        def place(index: Iterable[int]) -> list[int]:
            number, *inner = index
            return [moved[number], *inner]

        self._session.reindex_array(f"/{array}", place)

    def _write_partition_table(self, counts: np.ndarray) -> None:
        """The rows of all partitions, in one chunk."""
        variable = layout.PARTITIONS_VARIABLE
        codec = layout.codec_for(variable, self._preset)
        edges = np.full(1 if len(counts) else 0, len(counts))
        metadata = layout.array_metadata(variable, counts.shape[1:], codec, edges)
        set_keys(self._session.store, {f"{layout.PARTITIONS}/zarr.json": metadata})
        if counts.size:
            _, data = encode(layout.PARTITIONS, counts, variable, codec)
            set_keys(self._session.store, {layout.chunk_key(layout.PARTITIONS, 0, 2): data})

    def _summary(self, counts: np.ndarray) -> str:
        names = [table.name for table in layout.chunked_tables(self.schema)]
        totals = dict(zip(names, counts.sum(axis=0).tolist(), strict=True))
        return ", ".join(f"{n:,} {name}" for name, n in totals.items() if n) or "no rows"

    def abandon(self) -> None:
        """Drop the working branch and let others write into the store; harmless after `publish`."""
        if self._branch in self._repository.list_branches():
            self._repository.delete_branch(self._branch)
        if self._lock:
            self._lock.release()


def passes(path: str) -> list[PassInfo]:
    """The passes of a store, oldest first.

    Raises
    ------
    FileNotFoundError
        If there is no store.
    """
    base, _ = locate(path)
    repository = open_repository(base)
    found = []
    for tag in repository.list_tags():
        snapshot = repository.lookup_snapshot(repository.lookup_tag(tag))
        attributes, _ = read_root(repository.readonly_session(tag=tag).store, f"{base}@{tag}")
        found.append(PassInfo(tag, snapshot.id, snapshot.written_at, snapshot.message, attributes))
    return sorted(found, key=lambda entry: (entry.time, entry.tag))


def _branch(tag: str) -> str:
    return f"wip/{tag}"


def _refuse_known(repository: icechunk.Repository, path: str, tag: str) -> None:
    tags = repository.list_tags()
    if tag in tags:
        raise PassExistsError(
            f"{path} already has a pass {tag!r}, and passes are not written over; choose another name "
            f"(there are {', '.join(sorted(tags))})"
        )
    if tag in repository.inspect_repo_info()["deleted_tags"]:
        raise PassExistsError(f"{path} had a pass {tag!r} that was deleted; its name is not used again")


def _begin_branch(repository: icechunk.Repository, path: str, tag: str) -> None:
    branch = _branch(tag)
    if branch in repository.list_branches():
        last = repository.lookup_snapshot(repository.lookup_branch(branch))
        log.warning(
            "%s: an unfinished pass %r (last commit %s: %s) is dropped and begun anew",
            path, tag, last.written_at.isoformat(timespec="seconds"), last.message,
        )  # fmt: skip
        repository.delete_branch(branch)
    repository.create_branch(branch, repository.lookup_branch("main"))
