"""What static tables say once all inputs are read: sums known at the end, scaled for what was lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from etendue.dataflow.partition import Failure
from etendue.dataflow.source import RUN, Scan
from etendue.dataflow.unify import Inputs
from etendue.schema import Columns, Schema, split

#: Numbers of a run that are known at its end, by ``table/column``.
Tallies = Mapping[str, float]


def settled(
    static: Mapping[str, Columns],
    schema: Schema,
    inputs: Inputs,
    failures: Iterable[Failure],
    tallies: Mapping[int, Tallies],
) -> dict[str, Columns]:
    """Static tables with what streams have counted; ``extensive`` columns scaled by the part that was read.

    Parameters
    ----------
    static : mapping of str to dict of str to array
        Static tables as the scans gave them.
    schema : Schema
        Their declarations.
    inputs : Inputs
        The inputs that were read now; rows of others stay as they are.
    failures : iterable of Failure
        What could not be read of them.
    tallies : mapping of int to mapping
        What streams have counted, by their position among the inputs.

    Returns
    -------
    dict of str to dict of str to array
        The tables that change, whole.
    """
    extensive = [
        f"{name}/{column}"
        for name in static
        for column, variable in schema[name].variables.items()
        if variable.extensive
    ]
    changed: dict[str, Columns] = {}
    lost = _events_lost(failures)
    for number, (scan, first_run) in enumerate(zip(inputs.scans, inputs.first_run, strict=True)):
        part = _part_read(scan, *lost.get(scan.path, (0, 0)))
        values = tallies.get(number, {})
        for name in {*values, *(extensive if part < 1 else ())}:
            table, column = split(name)
            columns = changed.setdefault(table, dict(static[table]))
            if columns[column] is static[table][column]:
                columns[column] = columns[column].copy()
            runs = columns[RUN].astype(np.int64) - first_run
            rows = (runs >= scan.seen_runs) & (runs < scan.n_runs)
            columns[column][rows] = values.get(name, columns[column][rows])
            if name in extensive:
                columns[column][rows] *= part
    return changed


def _events_lost(failures: Iterable[Failure]) -> dict[str, tuple[int, int]]:
    """Events that the scan has not counted, and of those that it has, by the path of the input."""
    lost: dict[str, tuple[int, int]] = {}
    for failure in failures:
        by_scan, by_read = lost.get(failure.path, (0, 0))
        if failure.partition < 0:
            lost[failure.path] = by_scan + failure.events_lost, by_read
        else:
            lost[failure.path] = by_scan, by_read + failure.events_lost
    return lost


def _part_read(scan: Scan, lost_by_scan: int, lost_by_read: int) -> float:
    """Which part of the events of an input could be read."""
    if not (lost_by_scan or lost_by_read):
        return 1.0
    n_counted = int(scan.rows[scan.schema.top.name][scan.seen_blocks :].sum())
    n_all = n_counted + lost_by_scan
    return max(0, n_counted - lost_by_read) / n_all if n_all else 1.0
