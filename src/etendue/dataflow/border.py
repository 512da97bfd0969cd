"""The border between the engine and the sources: bad input comes across it as `SourceError`, nothing else.

Whatever a source is made of (libraries, kernels, somebody else's package) may fail on bytes that nobody
foresaw. Here, once for all of them, such a failure gets the file and the place in it, so that it is told like
any other and, with ``on_error`` ``skip``, costs what could not be read and no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np

from etendue.dataflow.partition import Partition
from etendue.dataflow.source import (
    OnError,
    Scan,
    Source,
    Stream,
    StreamSource,
    guarded,
)
from etendue.schema import Columns, Schema, SchemaError, Table

#: The table that every pass adds: what could not be read.
FAILURES = "failures"


def scan(
    source: Source,
    path: str,
    on_error: OnError,
    *,
    look: bool = False,
    companions: Mapping[str, str] | None = None,
) -> Scan:
    """Scan an input or, of a stream, ``look`` at its start only; see `Source.scan`."""
    more = {"companions": companions} if companions else {}
    with guarded(path, "scan"):
        if look and isinstance(source, StreamSource):
            found = source.look(path, **more)
        else:
            found = source.scan(path, on_error, **more)
            _check_counts(found)
        _check_names(found.schema)
        return found


def partitions(
    given: Iterator[Partition] | Stream, scan: Scan, ranges: Sequence[tuple[int, int]] | None = None
) -> Iterator[Partition]:
    """The partitions that a source gives, one by one; each is what the tables are declared to be.

    Parameters
    ----------
    given : iterator or Stream
        What `Source.read` or `StreamSource.stream` returned.
    scan : Scan
        The scan that it was given.
    ranges : sequence of (first, stop), optional
        The blocks of each partition, if they were asked for.

    Raises
    ------
    SourceError
        If one cannot be read, or is not as declared; names the blocks.
    """
    iterator, declared = iter(given), _Declared()
    number = 0
    while True:
        with guarded(scan.path, _place(ranges, number)):
            found = [declared.checked(partition) for partition in islice(iterator, 1)]
        if not found:
            return
        number += 1
        yield found.pop()  # nothing here holds on to it while it is worked on


def read(
    source: Source,
    scan: Scan,
    ranges: Sequence[tuple[int, int]],
    columns: frozenset[str],
    on_error: OnError = "raise",
) -> Iterator[Partition]:
    """Read ranges of blocks; see `Source.read`, and `partitions` for what is raised."""
    with guarded(scan.path, _place(ranges, 0)):
        given = source.read(scan, ranges, columns, on_error)
    return partitions(given, scan, ranges)


def _place(ranges: Sequence[tuple[int, int]] | None, number: int) -> str:
    if ranges is None or number >= len(ranges):
        return f"partition {number}" if number else "its start"
    first, stop = ranges[number]
    return f"block {first}" if stop == first + 1 else f"blocks {first} to {stop - 1}"


class _Declared:
    """The tables as they are declared, with the counts of their children."""

    def __init__(self) -> None:
        self._given, self._schema = Schema({}), Schema({})

    def checked(self, partition: Partition) -> Partition:
        """The partition, if its columns are as declared and its counts are those of the rows there are."""
        if partition.schema is not self._given:
            self._given = partition.schema
            self._schema = Schema({}).with_tables(partition.schema.values())
        for name, columns in partition.tables.items():
            table = self._schema[name]
            table.validate({column: columns[column] for column in table.variables if column in columns})
            if table.parent:
                _check_children(table, columns, partition.tables.get(table.parent, {}))
        return partition


def _check_children(table: Table, columns: Columns, parents: Columns) -> None:
    """See that the rows of a table are as many as the rows that own them say."""
    counts = parents.get(f"n_{table.name}")
    if counts is None or not columns:
        return
    n_rows, n_counted = len(next(iter(columns.values()))), int(counts.sum(dtype=np.int64))
    if n_counted != n_rows or counts.min(initial=0) < 0:
        raise SchemaError(f"{table.parent}/n_{table.name} counts {n_counted} rows, and there are {n_rows}")


def _check_counts(found: Scan) -> None:
    """See that a scan counts every table in the same blocks."""
    lengths = {name: len(counts) for name, counts in found.rows.items()}
    if len(set(lengths.values())) > 1:
        raise SchemaError(f"the tables are counted in different numbers of blocks: {lengths}")
    if negative := [name for name, counts in found.rows.items() if counts.min(initial=0) < 0]:
        raise SchemaError(f"the rows of {negative} are negative in some blocks")


def _check_names(schema: Schema) -> None:
    """See that no table has the name of one that every pass adds, or of a column of another table."""
    if FAILURES in schema:
        raise SchemaError(
            f"a table is called {FAILURES!r}, as that of a pass which lists what could not be read; its "
            "source must give it another name"
        )
    for table in schema.values():
        parent, _, name = table.name.rpartition("/")
        if parent in schema and name in schema[parent].variables:
            raise SchemaError(f"the table {table.name!r} has the name of a column of {parent!r}")
