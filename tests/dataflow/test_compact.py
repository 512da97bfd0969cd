"""A pass of many small files, written once more in large partitions."""

import pytest
from click.testing import CliRunner

import etendue as et
from etendue import testing
from etendue.cli import main
from etendue.dataflow.compact import compact
from etendue.dataflow.plan import PlanError
from etendue.provenance.lineage import lineage
from etendue.store.reader import PassReader
from etendue.store.verify import verify
from etendue.testing.compare import assert_same


@pytest.fixture
def store(tmp_path):
    """A pass over twelve files of 20 events, of which the third cannot be read."""
    paths = [testing.write_toy(tmp_path / f"{seed:02}.toy", 20, seed) for seed in range(12)]
    (tmp_path / "02.toy").write_bytes(b"TOY1 cut")
    path = tmp_path / "s.etendue"
    with testing.registered(testing.ToySource):
        (et.open(paths, on_error="skip") | testing.Weigh()).columns("*").write(path, "p", quiet=True)
        yield str(path)


def contents(path):
    return et.open(path).columns("*").collect()[1]


def test_the_rows_are_the_same_in_one_partition(store):
    result = CliRunner().invoke(main, ["compact", f"{store}@p", "--pass", "q"])
    assert result.exit_code == 0, result.output
    assert_same(contents(f"{store}@q"), contents(f"{store}@p"), "compacted")
    assert (PassReader.open(store, "p").n_partitions, PassReader.open(store, "q").n_partitions) == (11, 1)
    assert not verify(store, "q").damaged
    assert len(et.load(store, tag="p")["failures"]["path"]) == 1


def test_partitions_are_as_large_as_they_may_be(store):
    result = CliRunner().invoke(
        main, ["compact", store, "--pass", "q", "--partition-bytes", "3kB", "--quiet"]
    )
    assert (result.exit_code, result.output) == (0, "")
    assert 1 < PassReader.open(store, "q").n_partitions < 11
    assert_same(contents(f"{store}@q"), contents(f"{store}@p"), "compacted")


def test_what_cannot_be_joined_is_said(store):
    CliRunner().invoke(main, ["compact", f"{store}@p", "--pass", "q"])
    with pytest.raises(PlanError, match="none of its 1 partitions can be joined"):
        compact(f"{store}@q", "r")
    assert {entry.tag for entry in et.passes(store)} == {"p", "q"}


def test_provenance_leads_through_it_to_the_raw_file(store):
    CliRunner().invoke(main, ["compact", f"{store}@p", "--pass", "q"])
    steps = lineage(store, "q", 7, run=4)
    assert [step.source for step in steps] == ["store", "store", "toy"]
    assert steps[-1].place.endswith("04.toy")
    assert steps[-1].offset.startswith("bytes ")
