"""What came of a run: receipts added up on the driver."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from etendue.dataflow.partition import Failure
from etendue.dataflow.task import Done
from etendue.reprs import Legible, some_of
from etendue.schema import Columns

if TYPE_CHECKING:
    from etendue.dataflow.plan import Plan
    from etendue.histogram import Request

log = logging.getLogger(__name__)


@dataclass(repr=False)
class Outcome(Legible):
    """What is known when a run has ended.

    Parameters
    ----------
    rows, rows_read : dict of str to int64 array
        Rows of each table in each partition that there was, as written and as read.
    seconds : dict of str to float
        CPU seconds by stage, and in ``read``, ``write`` and ``fill``.
    selected : dict of str to dict of str to tuple of int
        Rows that were selected before and after each stage that selects, by stage and table.
    failures : list of Failure
        What was broken in the inputs.
    wall : float
        Seconds from start to end.
    histograms : list of hist.Hist
        In the order of the requests.
    tables : dict of int to dict
        Collected partitions by number, if they were asked for.
    snapshot : str
        The store's snapshot, if a pass was written.
    sha256 : dict of int to str
        Checksums of inputs that were taken while they were read, by the number of the input.
    tallies : dict of int to dict of str to number
        Values of static columns that are known when an input was read, by the number of the input.
    """

    rows: dict[str, np.ndarray]
    rows_read: dict[str, np.ndarray]
    seconds: dict[str, float] = field(default_factory=dict)
    selected: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    wall: float = 0.0
    histograms: list[Any] = field(default_factory=list)
    tables: dict[int, dict[str, Columns]] = field(default_factory=dict)
    snapshot: str = ""
    sha256: dict[int, str] = field(default_factory=dict)
    tallies: dict[int, dict[str, float]] = field(default_factory=dict)

    def facts(self) -> dict[str, str]:
        """The outcome in a few lines, for people."""
        return {
            "rows": some_of(f"{int(n.sum()):,} {name}" for name, n in self.rows.items()),
            "time": f"{self.wall:.2f} s wall, {sum(self.seconds.values()):.2f} s CPU in tasks",
            "failures": f"{len(self.failures)} {some_of(self.failures, 2)}".rstrip(),
        }

    @property
    def events_lost(self) -> int:
        """Events that could not be read."""
        return sum(failure.events_lost for failure in self.failures)


class Collector:
    """Adds up what tasks return.

    Parameters
    ----------
    plan : Plan
        What runs.
    requests : tuple of Request
        Histograms that are filled.
    n_partitions : int
        Numbers of partitions are less than this.
    """

    def __init__(self, plan: Plan, requests: tuple[Request, ...], n_partitions: int) -> None:
        names = [table.name for table in plan.pipeline.schema.values() if table.role != "static"]
        self._rows = {name: np.zeros(n_partitions, np.int64) for name in names}
        self._rows_read = {name: np.zeros(n_partitions, np.int64) for name in names}
        self._seen = np.zeros(n_partitions, bool)
        self._outcome = Outcome({}, {}, failures=list(plan.inputs.failures))
        self._accumulator = None
        if requests:
            from etendue.histogram import Accumulator

            self._accumulator = Accumulator(requests, plan.pipeline.schema)

    def add(self, done: Done, input_number: int) -> None:
        """Add what a task returned that read the input of that number."""
        outcome = self._outcome
        if done.sha256:
            outcome.sha256[input_number] = done.sha256
        if done.tallies:
            outcome.tallies[input_number] = done.tallies
        for note in done.notes:
            log.warning(note)
        for receipt in done.receipts:
            self._seen[receipt.number] = True
            for table, n in receipt.rows.items():
                self._rows[table][receipt.number] = n
            for table, n in receipt.rows_read.items():
                self._rows_read[table][receipt.number] = n
            for name, seconds in receipt.seconds.items():
                outcome.seconds[name] = outcome.seconds.get(name, 0.0) + seconds
            for stage, tables in receipt.selected.items():
                sums = outcome.selected.setdefault(stage, {})
                for table, (before, after) in tables.items():
                    n_before, n_after = sums.get(table, (0, 0))
                    sums[table] = n_before + before, n_after + after
            outcome.failures += receipt.failures
        for receipt, tables in zip(done.receipts, done.tables, strict=False):
            outcome.tables[receipt.number] = tables
        if done.payload is not None:
            self._accumulator.add(done.payload)

    def finish(self) -> Outcome:
        """What all tasks came to."""
        self._outcome.rows = {name: rows[self._seen] for name, rows in self._rows.items()}
        self._outcome.rows_read = {name: rows[self._seen] for name, rows in self._rows_read.items()}
        if self._accumulator is not None:
            self._outcome.histograms = self._accumulator.results()
        return self._outcome
