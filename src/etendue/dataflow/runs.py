"""Runs by their number: as experiments number them, or as a pass counts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from etendue.errors import EtendueError

#: Columns of the table ``observation`` that hold the number that an experiment gave to a run.
NUMBERS = ("obs_id", "run_id")


class RunError(EtendueError, LookupError):
    """A run that is not there, or a number that several runs have; says which there are."""


def run_row(observation: Mapping[str, Any], number: int) -> int:
    """The row of a run in the table ``observation``, which is what columns ``run`` hold.

    Parameters
    ----------
    observation : mapping of str to array
        The table: ``obs_id`` or ``run_id``, shape (n_runs,).
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
    named = next((np.asarray(observation[name]) for name in NUMBERS if name in observation), None)
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
