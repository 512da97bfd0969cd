"""The checks that authors of plug-ins get: our own sources and stages pass them, and broken ones do not."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import etendue as et
from etendue import testing
from etendue.extend import Scan, SourceError, Stage
from etendue.testing import ToySource, Weigh


@pytest.fixture
def toys(tmp_path):
    return [testing.write_toy(tmp_path / f"{seed}.toy", 30, seed) for seed in (1, 2, 3)]


def test_the_toy_passes(toys, tmp_path):
    testing.check_source(ToySource(), toys[0], tmp_path)
    with testing.registered(ToySource):
        testing.check_stage(Weigh(weight=2.0), et.open(toys))
        testing.check_pass(et.open(toys) | Weigh(), tmp_path)


def test_the_toy_stage_sums_charges(toys):
    with testing.registered(ToySource):
        tables = (et.open(toys) | Weigh(weight=2.0)).columns("*").collect()[1]
    edges = np.concatenate([[0], np.cumsum(tables["events"]["n_hits"])])
    charge = tables["hits"]["charge"].astype(np.float64)
    expected = [2 * charge[a:b].sum() for a, b in pairwise(edges)]
    np.testing.assert_allclose(tables["events"]["charge"], expected, rtol=1e-14)


class ByName(ToySource):
    def accepts(self, path):
        return path.endswith(".toy")


class Forgetful(ToySource):
    """Loses what follows a broken event without a word."""

    def scan(self, path, on_error="raise"):
        return replace(super().scan(path, "skip"), failures=())


class FirstOnly(ToySource):
    """Reads what is asked for from the beginning of the file on."""

    def read(self, scan, ranges, columns, on_error="raise"):
        return super().read(scan, [(0, stop - first) for first, stop in ranges], columns, on_error)


class Greedy(ToySource):
    """Ignores which columns are asked for, and gives the first only."""

    def read(self, scan, ranges, columns, on_error="raise"):
        return super().read(scan, ranges, frozenset(sorted(columns)[:1]), on_error)


class Undercounting(ToySource):
    def scan(self, path, on_error="raise"):
        scan = super().scan(path, on_error)
        return replace(scan, rows={**scan.rows, "hits": scan.rows["hits"] // 2})

    def read(self, scan: Scan, ranges, columns, on_error="raise"):
        return super().read(super().scan(scan.path), ranges, columns, on_error)


class Nameless(ToySource):
    def scan(self, path, on_error="raise"):
        try:
            return super().scan(path, on_error)
        except SourceError as error:
            raise SourceError("input", error.failure.place, error.failure.message) from error


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (ByName, "accepts a file|by its name"),
        (Forgetful, "without a word"),
        (FirstOnly, "cut into"),
        (Greedy, "declares columns that do not come"),
        (Undercounting, "the scan counted"),
        (Nameless, "does not name the file"),
    ],
)
def test_sources_that_break_a_contract_are_found(source, words, toys, tmp_path):
    with pytest.raises(AssertionError, match=words):
        testing.check_source(source(), toys[0], tmp_path)


class Grow(Weigh):
    """Depends on the partition that it is given."""

    def __call__(self, partition):
        return {"events/charge": np.full(partition.rows("events"), float(partition.rows("events")))}


class Scale(Weigh):
    """Changes what it is given."""

    def __call__(self, partition):
        partition["hits/charge"][:] *= 2
        return super().__call__(partition)


class NeedsRows(Weigh):
    def __call__(self, partition):
        made = super().__call__(partition)
        return {name: array if len(array) else np.zeros(1) for name, array in made.items()}


@pytest.mark.parametrize(
    ("stage", "words"),
    [(Grow, "one partition a block"), (Scale, "changes what it is given"), (NeedsRows, "without rows")],
)
def test_stages_that_break_a_contract_are_found(stage: type[Stage], words, toys):
    with testing.registered(ToySource), pytest.raises(Exception, match=words):
        testing.check_stage(stage(), et.open(toys))
