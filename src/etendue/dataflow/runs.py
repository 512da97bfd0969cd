"""Runs by their number: as experiments number them, or as a pass counts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from etendue.dataflow.event import described
from etendue.dataflow.source import RUN
from etendue.errors import EtendueError


class RunError(EtendueError, LookupError):
    """A run that is not there, or a number that several runs have; says which there are."""


def run_row(observation: Mapping[str, Any], number: int) -> int:
    """The row of a run in the table ``observation``, which is what columns ``run`` hold.

    Parameters
    ----------
    observation : mapping of str to array
        The table, shape (n_runs,): the last column of its key is the number that the experiment gave a run.
    number : int
        The number of the run as its pictures and the experiment call it. If no run has it, a row, from 0.

    Raises
    ------
    RunError
        If no run, or more than one, is meant.

    Examples
    --------
    >>> run_row({"obs_id": np.array([201, 202])}, 202)
    1
    """
    key = [name for name in described("observation", observation).identifying if name != RUN]
    named = np.asarray(observation[key[-1]]) if key else None
    n_runs = max((len(np.asarray(column)) for column in observation.values()), default=0)
    rows = np.flatnonzero(named == number) if named is not None else np.empty(0, int)
    if len(rows) == 1:
        return int(rows[0])
    if 0 <= number < n_runs and (number in rows or not len(rows)):
        return number
    if len(rows):
        raise RunError(
            f"{len(rows)} runs have the number {number}: say which by its row, of {rows.tolist()[:10]}"
        )
    there = "" if named is None else f"; there are {np.unique(named)[:10].tolist()}"
    raise RunError(f"no run has the number {number}{there}, and there are {n_runs} rows, counted from 0")
