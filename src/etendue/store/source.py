"""A pass as an input: what one pipeline wrote, another one reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from etendue.dataflow.partition import Failure, Partition
from etendue.dataflow.source import RUN, OnError, Scan, SourceError
from etendue.schema import Columns, Schema, Table
from etendue.store.paths import StoreError, is_local, locate, looks_like_store

if TYPE_CHECKING:
    from etendue.store.reader import ChunkError, PassReader

_REMEDY = (
    "the store was damaged after it was written: restore the file from a copy, write the pass again, "
    "or read on without these events (on_error='skip')"
)


class StoreSource:
    """Reads ``crab.etendue`` (the newest pass) or ``crab.etendue@pass-1``. A block is a partition."""

    name = "store"

    def accepts(self, path: str) -> bool:
        """Whether the path is of an Icechunk repository."""
        base, _ = locate(path)
        if is_local(base):
            return looks_like_store(base)
        if not base.startswith(("s3://", "memory://")):
            return False
        from etendue.store.repository import exists

        return exists(base)

    def scan(self, path: str, on_error: OnError = "raise") -> Scan:
        """Look at a pass: its tables, and the rows of its partitions.

        The scan is of the pass that is the newest now; one that is published later does not change it.

        Raises
        ------
        SourceError
            If there is no such pass, or its tables cannot be read.
        """
        from etendue.store.ledger import FAILURES
        from etendue.store.reader import ChunkError, PassReader

        try:
            reader = PassReader.open(path)
            static, rows = dict(reader.static), reader.rows
        except (FileNotFoundError, StoreError) as error:
            raise SourceError(path, "pass", str(error)) from None
        except ChunkError as error:
            raise _source_error(path, error) from error
        # What could not be read then is no business of a pass that is made from this one.
        tables = Schema({name: table for name, table in reader.schema.items() if name != FAILURES.name})
        static.pop(FAILURES.name, None)
        return Scan(
            reader.place,
            self.name,
            tables,
            static,
            {name: rows[name] for name in rows if tables[name].role == "rows"},
            labels=reader.attributes.get("labels", {}),
            splittable=True,
            size=_raw_bytes(tables, rows),
            n_runs=reader.attributes.get("n_runs") or _n_runs(static),
            snapshot=reader.snapshot,
        )

    def read(
        self,
        scan: Scan,
        ranges: Sequence[tuple[int, int]],
        columns: frozenset[str],
        on_error: OnError = "raise",
    ) -> Iterator[Partition]:
        """Read ranges of partitions, as `Source.read`. With ``skip``, broken ones are left out whole.

        Raises
        ------
        SourceError
            If a chunk is missing or cannot be decoded; in any case if it is of a ``conditions`` table,
            which the other partitions need as well.
        """
        from etendue.store.reader import ChunkError

        reader = _shared_reader(locate(scan.path)[0], scan.snapshot)
        wanted = {
            t.name: _wanted(t, scan.schema, columns) for t in scan.schema.values() if t.role != "static"
        }
        try:
            conditions = reader.conditions
        except ChunkError as error:
            raise _source_error(scan.path, error) from error
        for number, (first, stop) in enumerate(ranges):
            # Not bound to a name: it would stay in memory while the next one is read.
            yield _of_its_runs(
                Partition(
                    number,
                    scan.schema,
                    conditions=conditions,
                    **_read_range(reader, scan, wanted, list(range(first, stop)), on_error),
                )
            )


def _of_its_runs(partition: Partition) -> Partition:
    """The partition with the rows of condition tables that are of its runs only; a pass may hold many."""
    runs = np.unique(partition.tables[partition.schema.top.name].get(RUN, []))
    conditions = {}
    for name, columns in partition.conditions.items():
        keep = np.isin(columns[RUN], runs) if RUN in columns and len(runs) else slice(None)
        conditions[name] = {column: array[keep] for column, array in columns.items()}
    return replace(partition, conditions=conditions)


@lru_cache(maxsize=4)
def _shared_reader(path: str, snapshot: str) -> PassReader:
    """One reader of a snapshot for all spans of a process, so that conditions are read once."""
    from etendue.store.reader import PassReader

    return PassReader.open(path, snapshot)


def _read_range(
    reader: PassReader,
    scan: Scan,
    wanted: Mapping[str, list[str]],
    blocks: list[int],
    on_error: OnError,
) -> dict[str, Any]:
    """The ``tables`` and ``failures`` of a partition."""
    from etendue.store.reader import ChunkError

    failures: list[Failure] = []
    while True:
        try:
            return {"tables": reader.read(wanted, blocks), "failures": tuple(failures)}
        except ChunkError as error:
            lost = int(scan.rows[scan.schema.top.name][error.partition])
            failure = _source_error(scan.path, error, lost)
            if on_error == "raise":
                raise failure from error
            failures.append(failure.failure)
            blocks.remove(error.partition)


def _wanted(table: Table, schema: Schema, columns: frozenset[str]) -> list[str]:
    """The columns of a table to read: what is asked for, counts, runs, and all of a condition table."""
    counts = {RUN, *(f"n_{child.name}" for child in schema.children(table.name))}
    return [
        name
        for name in table.variables
        if table.role == "conditions" or name in counts or f"{table.name}/{name}" in columns
    ]


def _source_error(path: str, error: ChunkError, events_lost: int = 0) -> SourceError:
    return SourceError(path, error.place, f"{error.reason}; {_REMEDY}", events_lost)


def _raw_bytes(schema: Schema, rows: Mapping[str, np.ndarray]) -> int:
    """Bytes of a pass before compression; how many are its own on disk is not known."""
    return sum(
        int(n.sum()) * variable.row_bytes(schema[name].sizes)
        for name, n in rows.items()
        for variable in schema[name].variables.values()
    )


def _n_runs(static: Mapping[str, Columns]) -> int:
    """Runs of a pass that does not tell: numbered from zero in the static tables that have rows for each."""
    numbered = [columns[RUN] for columns in static.values() if RUN in columns and len(columns[RUN])]
    return 1 + max((int(runs.max()) for runs in numbered), default=0)
