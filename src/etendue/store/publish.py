"""Passes, on the driver: begun on a branch of their own, committed on the way, published at once.

A pass can be interrupted at any moment and taken up again (`PassWriter.resume`): what is committed on its
working branch counts, and the journal there says what that is. A published pass is never changed; what
is added or made anew becomes its next revision (`PassWriter.revise`), which shares all other chunks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from time import monotonic
from typing import Any

import icechunk
import numpy as np

from etendue.dataflow.partition import Failure, Receipt
from etendue.schema import Columns, Schema
from etendue.store import durable, grids, journal, layout, seal, whole
from etendue.store.codecs import Preset
from etendue.store.collect import forget_the_way
from etendue.store.ledger import FAILURES, Ledger, ledger_of
from etendue.store.lock import StoreLock, held
from etendue.store.paths import StoreError
from etendue.store.reader import PassReader
from etendue.store.repository import create_repository, open_repository, set_keys
from etendue.store.tags import (
    branch_off,
    check_name,
    drop_unfinished,
    refuse_known,
    show,
    working_branch,
    working_reader,
)
from etendue.store.writer import ChunkWriter

log = logging.getLogger(__name__)

#: Finished spans are committed to the working branch in batches of at most this many,
COMMIT_SPANS = 64
#: or when the last commit is this many seconds ago.
COMMIT_SECONDS = 10


class PassWriter:
    """A pass that is being written. Make one with `create`, `revise` or `resume`; end it with `publish`.

    Parameters
    ----------
    repository : icechunk.Repository
        Where.
    path : str
        Where that is.
    name : str
        Name of the pass.
    schema : Schema
        The tables and columns that are written.
    n_partitions : int
        Numbers of partitions are less than this.
    n_earlier : int
        Partitions of the revision before.
    attributes : dict
        Plain values for JSON; kept at the root.
    preset : {"default", "archive"}
        Codecs.
    lock : StoreLock, optional
        The claim on a local store; given up in the end.
    """

    def __init__(
        self,
        repository: icechunk.Repository,
        path: str,
        name: str,
        schema: Schema,
        n_partitions: int,
        n_earlier: int,
        attributes: dict[str, Any],
        preset: Preset,
        lock: StoreLock | None,
    ) -> None:
        self.name = name
        self.schema = Schema({**schema, FAILURES.name: FAILURES})
        self.n_partitions = n_partitions
        self.n_earlier = n_earlier
        self.attributes = attributes
        self.ledger = Ledger(self.schema, n_partitions)
        self._preset = preset
        self._repository = repository
        self._path = path
        self._branch = working_branch(name)
        self._lock = lock
        self._static: dict[str, Any] = {"static_rows": {}, "static_checksums": {}}
        self._forgotten: list[int] = []
        self._retried: list[str] = []
        self._chunks: list[icechunk.ForkSession] = []
        self._entry = journal.Entry()
        self._n_entries = 0
        self._committed = monotonic()
        self._session = repository.writable_session(self._branch)

    @classmethod
    def create(
        cls,
        path: str,
        name: str,
        schema: Schema,
        static: Mapping[str, Columns],
        n_partitions: int,
        attributes: Mapping[str, Any],
        *,
        preset: Preset = "default",
        is_anew: bool = False,
        lock: StoreLock | None = None,
    ) -> PassWriter:
        """Begin a pass: its branch, its arrays, its static tables. An unfinished one of its name is dropped.

        Parameters
        ----------
        path : str
            Directory of the store, ``s3://bucket/prefix``, or ``memory://name``; made if it is not there.
        name : str
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
        is_anew : bool
            Whether it becomes a revision of the published pass of that name, with which it shares nothing.
        lock : StoreLock, optional
            The claim on a local store, if the caller has it.

        Raises
        ------
        PassExistsError
            If the store has, or had, a pass of that name.
        StoreLockedError
            If another process is writing into the store.
        SchemaError
            If a column has a dtype that a store does not hold, or a static table lacks columns.
        """
        check_name(name)
        layout.codecs_of(schema, preset)  # what cannot be stored is refused before anything is made
        with held(path, lock) as claim:
            repository = create_repository(str(path))
            if not is_anew:
                refuse_known(repository, path, name)
            branch_off(repository, name, repository.lookup_branch("main"))
            writer = cls(
                repository, str(path), name, schema, n_partitions, 0, dict(attributes), preset, claim
            )
            writer._session.store.sync_clear()
            writer._lay_out(static)
            writer._begin()
        return writer

    @classmethod
    def revise(
        cls,
        path: str,
        name: str,
        schema: Schema,
        static: Mapping[str, Columns],
        n_more: int,
        attributes: Mapping[str, Any],
        *,
        forget: Sequence[int] = (),
        retried: Sequence[str] = (),
        lock: StoreLock | None = None,
    ) -> PassWriter:
        """Begin the next revision of a published pass. What `create` says holds, and:

        Parameters
        ----------
        schema : Schema
            The tables and columns that are written; new tables may be among them.
        static : mapping
            Static tables of the whole pass.
        n_more : int
            Partitions that will be added at most.
        forget : sequence of int
            Partitions that are left out, or written anew under their numbers.
        retried : sequence of str
            Inputs whose failures are no longer told, as they are read again.
        """
        with held(path, lock) as claim:
            repository = open_repository(str(path))
            earlier = PassReader.open(path, name)
            merged = Schema({**earlier.schema, **schema})
            branch_off(repository, name, earlier.snapshot)
            n_earlier = earlier.n_partitions
            preset = earlier.facts["preset"]
            writer = cls(
                repository,
                str(path),
                name,
                merged,
                n_earlier + n_more,
                n_earlier,
                dict(attributes),
                preset,
                claim,
            )
            writer.ledger.keep(ledger_of(earlier))
            writer._lay_out(static)
            grids.open_gaps(writer._session, earlier.schema, earlier.rows)
            whole.fill_counts(writer._session.store, writer.schema, writer.ledger, earlier, preset)
            grids.delete_chunks(writer._session.store, writer.schema, writer.ledger.rows, forget)
            writer._forget(list(forget), list(retried))
            writer._begin()
        return writer

    @classmethod
    def resume(
        cls,
        path: str,
        name: str,
        *,
        each: Callable[[journal.Entry], None] = lambda entry: None,
        lock: StoreLock | None = None,
    ) -> PassWriter:
        """Take up an unfinished pass. Whoever was writing it, in this moment, can commit no more.

        ``each`` is called with each entry of the journal, which are not kept.
        """
        with held(path, lock) as claim:
            repository = open_repository(str(path))
            reader = working_reader(repository, path, name)
            facts = reader.facts
            writer = cls(
                repository,
                str(path),
                name,
                reader.schema,
                facts["n_partitions"],
                facts["n_published"],
                reader.attributes,
                facts["preset"],
                claim,
            )
            if writer.n_earlier:
                earlier = PassReader.open(path, name)
                writer.ledger.keep(ledger_of(earlier))
                whole.fill_counts(
                    writer._session.store, writer.schema, writer.ledger, earlier, facts["preset"]
                )
            writer._forget(facts["forgotten"], facts["retried"])
            writer._static = {key: facts[key] for key in writer._static}
            for entry in journal.read(reader.store):
                writer.ledger.failures += entry.failures
                for input_number, receipt in entry.receipts:
                    writer.ledger.add(receipt, input_number)
                writer._n_entries += 1
                each(entry)
            writer._commit(f"resume pass {name}")
        return writer

    #: Gives what histograms were filled with since it was called last.
    histograms: Callable[[], bytes] = bytes
    #: Tag of the revision, once it is published.
    tag = ""

    def _begin(self) -> None:
        journal.begin(self._session.store, self.attributes)
        self._write_root(complete=False)
        self._commit(f"begin pass {self.name}")

    def _lay_out(self, static: Mapping[str, Columns]) -> None:
        """Make all groups and arrays, with provisional grids, and write the static tables."""
        set_keys(self._session.store, layout.group_keys(self.schema, {}))
        grids.write_provisional(self._session.store, self.schema, self.n_partitions, self._preset)
        static = {**static, FAILURES.name: self.ledger.failure_columns()}
        for name, table in self.schema.items():
            if table.role == "static":
                self._write_static(name, static.get(name, {}))

    def _write_static(self, name: str, columns: Columns) -> None:
        """Write a static table, and note its rows and checksums."""
        table, known = self.schema[name], self._static["static_checksums"]
        rows, checksums = whole.write_static(self._session.store, table, columns, self._preset)
        self._static["static_rows"][name] = rows
        for array, _, _ in layout.columns_of(table):
            known.pop(array, None)
        known |= checksums

    def rewrite_static(self, static: Mapping[str, Columns]) -> None:
        """Write static tables that have other values in the end than they were begun with."""
        for name in static.keys() & self.schema.keys():
            self._write_static(name, static[name])

    def _write_root(self, *, complete: bool, **checksums: Mapping[str, Any]) -> None:
        facts = {
            "format": layout.FORMAT,
            "name": self.name,
            "preset": self._preset,
            "schema": layout.schema_to_json(self.schema),
            "n_partitions": self.n_partitions,
            "n_published": self.n_partitions if complete else self.n_earlier,
            "complete": complete,
            "forgotten": [] if complete else self._forgotten,
            "retried": [] if complete else self._retried,
            **self._static,
            **checksums,
        }
        attributes = seal.sealed({**(self.attributes if complete else {}), layout.ROOT: facts})
        root = layout.group_keys(self.schema, attributes)["zarr.json"]
        set_keys(self._session.store, {"zarr.json": root})

    def _forget(self, numbers: list[int], paths: list[str]) -> None:
        """Leave out partitions of the revision before, and what was told of inputs that are read again."""
        self._forgotten, self._retried = numbers, paths
        self.ledger.forget(np.array(numbers, np.int64))
        self.ledger.failures = [f for f in self.ledger.failures if f.path not in paths]

    def fork(self) -> ChunkWriter:
        """A writer of chunks; cheap, and good for the whole pass whatever is committed meanwhile."""
        # Icechunk forks only sessions without changes, so not the one that forks are merged into.
        return ChunkWriter(self._origin.fork(), self.schema, self._preset)

    @cached_property
    def _origin(self) -> icechunk.Session:
        return self._repository.writable_session(self._branch)

    def take(
        self,
        receipts: Iterable[Receipt],
        chunks: icechunk.ForkSession | None = None,
        *,
        input_number: int = 0,
        sha256: str = "",
        tallies: Mapping[str, float] | None = None,
    ) -> None:
        """Take in what a task has done: receipts of its partitions, and the session of its `ChunkWriter`."""
        for receipt in receipts:
            self.ledger.add(receipt, input_number)
            self._entry.receipts.append((input_number, receipt))
        if sha256:
            self._entry.sha256[input_number] = sha256
        if tallies:
            self._entry.tallies[input_number] = dict(tallies)
        if chunks is not None:
            self._chunks.append(chunks)

    def note(self, failures: Iterable[Failure]) -> None:
        """Enter inputs that are not read at all."""
        failures = list(failures)
        self.ledger.failures += failures
        self._entry.failures += failures

    @property
    def is_due(self) -> bool:
        """Whether what has been taken in should be committed."""
        late = monotonic() - self._committed > COMMIT_SECONDS
        return len(self._chunks) >= COMMIT_SPANS or (late and bool(self._entry))

    def commit(self) -> None:
        """Commit what was taken in to the working branch; from now on it is safe.

        Raises
        ------
        StoreError
            If another process has committed to this pass meanwhile.
        StoreLockedError
            If another process has taken over the store.
        """
        if not self._entry:
            return
        self._merge()
        self._entry.histograms = self.histograms()
        journal.append(self._session.store, self._n_entries, self._entry)
        n_partitions = len(self._entry.receipts)
        self._n_entries, self._entry = self._n_entries + 1, journal.Entry()
        self._commit(f"{n_partitions} partitions")

    def _merge(self) -> None:
        if self._chunks:
            self._session.merge(*self._chunks)
            self._chunks = []

    def _commit(self, message: str) -> str:
        self._check_lock()
        try:
            snapshot = durable.commit(self._repository, self._session, self._path, message)
        except icechunk.ConflictError:
            raise StoreError(
                f"another process has taken up pass {self.name!r} and commits to it; this one stops"
            ) from None
        self._session = self._repository.writable_session(self._branch)
        self._committed = monotonic()
        return snapshot

    def _check_lock(self) -> None:
        if self._lock:
            self._lock.check()

    def publish(self, attributes: Mapping[str, Any]) -> str:
        """Make the pass visible: true grids, attributes, one commit, a tag; ``main`` is set to it.

        Parameters
        ----------
        attributes : mapping
            Plain values for JSON, added to those that the pass was begun with.

        Returns
        -------
        str
            Id of the snapshot.

        Raises
        ------
        StoreError
            If chunks are missing, or there are others than the receipts say. Nothing is published then.
        """
        self._merge()
        grids.check_chunks(self._session.store, self.schema, self.ledger.rows, self.name)
        grids.write_true(self._session, self.schema, self.ledger.rows, self._preset)
        self.ledger.compact()
        self.n_partitions = len(self.ledger.seen)
        checksums = whole.write_ledger(self._session.store, self.ledger, self._preset)
        self._write_static(FAILURES.name, self.ledger.failure_columns())
        self.attributes.update(attributes)
        metadata = seal.metadata_checksums(self._session.store, self.schema)
        self._write_root(complete=True, ledger_checksums=checksums, metadata_checksums=metadata)
        journal.end(self._session.store)
        snapshot = self._commit(f"pass {self.name}: {self._summary()}")
        self._check_lock()
        self.tag = show(self._repository, self._path, self.name)
        forget_the_way(self._repository, self._path, self._lock)
        self._close()
        return snapshot

    def _summary(self) -> str:
        totals = dict(zip(self.ledger.tables, self.ledger.rows.sum(axis=0).tolist(), strict=True))
        return ", ".join(f"{n:,} {name}" for name, n in totals.items() if n) or "no rows"

    def suspend(self) -> None:
        """Stop here: what was taken in stays for `resume`; a pass in which nothing is done is dropped."""
        try:
            self.commit()
            if not self._n_entries:
                drop_unfinished(self._repository, self.name)
        except Exception as error:  # the disk may be full: what was committed before counts
            reason = str(error).partition("\n")[0]
            log.warning("pass %s: the last partitions could not be committed (%s)", self.name, reason)
        self._close()

    def _close(self) -> None:
        if self._lock:
            self._lock.release()

    def abandon(self) -> None:
        """Drop the unfinished pass, and let others write into the store."""
        drop_unfinished(self._repository, self.name)
        self._close()
