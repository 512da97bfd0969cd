"""Runs by the number that pictures show, or by their row."""

import numpy as np
import pytest

from etendue.dataflow.runs import RunError, run_row

RUNS = {"run": np.arange(3), "obs_id": np.array([201, 202, 203])}


@pytest.mark.parametrize(("number", "row"), [(201, 0), (203, 2), (0, 0), (2, 2)])
def test_by_number_or_row(number, row):
    assert run_row(RUNS, number) == row


def test_the_number_comes_first():
    assert run_row({"run_id": np.array([2, 1, 0])}, 0) == 2


def test_runs_of_one_number_are_told_by_their_row():
    shared = {"obs_id": np.array([7, 7, 1])}
    with pytest.raises(RunError, match=r"2 runs have the number 7: say which by its row, of \[0, 1\]"):
        run_row(shared, 7)
    assert run_row(shared, 0) == 0
    assert run_row({"obs_id": np.array([1, 1])}, 1) == 1


def test_what_is_not_there_names_what_is():
    with pytest.raises(
        RunError, match=r"no run has the number 9; there are \[201, 202, 203\], and there are 3 rows"
    ):
        run_row(RUNS, 9)
    with pytest.raises(RunError, match="0 rows"):
        run_row({}, 0)
