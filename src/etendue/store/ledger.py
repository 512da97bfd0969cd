"""The ledger of a pass: of each partition its rows, the checksums of its chunks, and where it came from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from etendue.dataflow.partition import Failure, Receipt
from etendue.schema import Columns, Schema, Table, Variable
from etendue.store import layout
from etendue.store.reader import PassReader

#: What could not be read, as a table of the pass.
FAILURES = Table(
    "failures",
    "failure",
    {
        v.name: v
        for v in (
            Variable("path", ("failure",), "str", "", "input that could not be read"),
            Variable("place", ("failure",), "str", "", "where in it"),
            Variable("message", ("failure",), "str", "", "what was expected, and what to do"),
            Variable("events_lost", ("failure",), "int64", "", "events that were not read"),
            Variable("partition", ("failure",), "int64", "", "partition that lacks them; -1 if none was"),
        )
    },
    role="static",
    description="What could not be read of the inputs",
)


class Ledger:
    """What is known of the partitions of a pass.

    Parameters
    ----------
    schema : Schema
        Tables and columns of the pass.
    n_partitions : int
        Numbers of partitions are less than this.

    Attributes
    ----------
    rows : int64 array, shape (n_partitions, n_tables)
        Rows of each chunked table.
    checksums : uint32 array, shape (n_partitions, n_columns)
        CRC-32 of each chunk's bytes before compression; 0 where there is no chunk.
    origin : int64 array, shape (n_partitions, 3)
        Number of the input, its first block, and the one past the last.
    seen : bool array, shape (n_partitions,)
        Whether the partition is done.
    failures : list of Failure
        What could not be read.
    """

    def __init__(self, schema: Schema, n_partitions: int) -> None:
        self.tables = [table.name for table in layout.chunked_tables(schema)]
        self.columns = layout.checksum_columns(schema)
        self._places = {column: n for n, column in enumerate(self.columns)}
        self.rows = np.zeros((n_partitions, len(self.tables)), np.int64)
        self.checksums = np.zeros((n_partitions, len(self.columns)), np.uint32)
        self.origin = np.zeros((n_partitions, 3), np.int64)
        self.seen = np.zeros(n_partitions, bool)
        self.failures: list[Failure] = []

    def add(self, receipt: Receipt, input_number: int) -> None:
        """Enter a partition."""
        number = receipt.number
        if self.seen[number]:
            self.forget(np.array([number]))
        self.rows[number] = [receipt.rows.get(table, 0) for table in self.tables]
        for column, checksum in receipt.checksums.items():
            self.checksums[number, self._places[column]] = checksum
        self.origin[number] = input_number, *receipt.blocks
        self.seen[number] = True
        self.failures += receipt.failures

    def forget(self, numbers: np.ndarray) -> None:
        """Take partitions out again."""
        self.rows[numbers] = 0
        self.checksums[numbers] = 0
        self.seen[numbers] = False
        gone = set(numbers.tolist())
        self.failures = [failure for failure in self.failures if failure.partition not in gone]

    def keep(self, earlier: Ledger) -> None:
        """Enter all partitions of an earlier revision, which has the same columns or fewer."""
        n = len(earlier.seen)
        for name in ("origin", "seen"):
            getattr(self, name)[:n] = getattr(earlier, name)
        for name in ("tables", "columns"):
            mine, theirs = getattr(self, name), getattr(earlier, name)
            places = [mine.index(entry) for entry in theirs]
            array = "rows" if name == "tables" else "checksums"
            getattr(self, array)[:n, places] = getattr(earlier, array)
        self.failures = list(earlier.failures)

    def compact(self) -> None:
        """Leave out the partitions that there are not, which were only foreseen."""
        seen = self.seen
        numbers = np.cumsum(seen) - 1
        self.failures = [
            failure if failure.partition < 0 else replace(failure, partition=int(numbers[failure.partition]))
            for failure in self.failures
        ]
        for name in ("rows", "checksums", "origin", "seen"):
            setattr(self, name, getattr(self, name)[seen])

    def failure_columns(self) -> Columns:
        """What could not be read, as columns of `FAILURES`."""
        columns = {}
        for name, variable in FAILURES.variables.items():
            values = [getattr(failure, name) for failure in self.failures]
            columns[name] = np.array(values, dtype="U" if variable.dtype == "str" else variable.dtype)
        return columns


def ledger_of(reader: PassReader) -> Ledger:
    """The ledger of a published pass."""
    ledger = Ledger(reader.schema, reader.n_partitions)
    for n, table in enumerate(ledger.tables):
        ledger.rows[:, n] = reader.rows[table]
    for n, column in enumerate(ledger.columns):
        ledger.checksums[:, n] = reader.checksums[column]
    ledger.origin = reader.origin
    ledger.seen[:] = True
    ledger.failures = read_failures(reader)
    return ledger


def read_failures(reader: PassReader) -> list[Failure]:
    """The failures of a published pass.

    Raises
    ------
    ChunkError
        If they cannot be read.
    """
    if not reader.facts["static_rows"][FAILURES.name]:
        return []
    columns = reader.read({FAILURES.name: FAILURES.variables}, [0])[FAILURES.name]
    rows = zip(*(columns[name].tolist() for name in FAILURES.variables), strict=True)
    return [Failure(*row) for row in rows]
