"""sim_telarray files that are read without a scan give what they give with one."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

import etendue as et
from etendue.dataflow.plan import row_bytes
from etendue.dataflow.source import SourceError, UnforeseenError
from etendue.iact.sources.simtel import source

from .simtel_files import SOURCE, find, load, unpacked


def columns_of(scan):
    return frozenset(f"{table.name}/{name}" for table in scan.schema.values() for name in table.variables)


def stream(path, partition_bytes):
    """What `look` finds, the stream, and its partitions."""
    looked = SOURCE.look(path)
    columns = columns_of(looked)
    weights = {name: row_bytes(looked.schema, name, columns) for name in looked.rows}
    made = SOURCE.stream(looked, weights, partition_bytes, columns)
    return looked, made, list(made)


def assert_same_tables(a, b):
    assert a.keys() == b.keys()
    for table in a:
        assert a[table].keys() == b[table].keys()
        for name, column in a[table].items():
            np.testing.assert_array_equal(column, b[table][name], err_msg=f"{table}/{name}")
            assert column.dtype == b[table][name].dtype


@pytest.mark.parametrize("partition_bytes", [1, 1 << 20, 128 << 20])
@pytest.mark.parametrize(
    "name",
    ["pyeventio__prod4", "pyeventio__gamma_merged", "ctapipe-extra__calib", "simtools__xyzls.", "digicam"],
)
def test_partitions_are_those_of_a_plan(shared, name, partition_bytes):
    path = find(shared, name)
    looked, made, partitions = stream(path, partition_bytes)
    plan = et.open(path, partition_bytes=partition_bytes).plan()
    ranges = list(zip(plan.partitions["first"].tolist(), plan.partitions["stop"].tolist(), strict=True))
    scan, read = load(path, ranges=ranges) if ranges else (SOURCE.scan(path), [])
    assert looked.schema == scan.schema
    assert looked.labels == scan.labels
    assert len(partitions) == len(read)
    for streamed, counted in zip(partitions, read, strict=True):
        assert streamed.number == counted.number
        assert_same_tables(streamed.tables, counted.tables)
        assert_same_tables(streamed.conditions, counted.conditions)
    assert made.sha256 == scan.sha256 == hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_what_is_expected_is_near_what_comes(shared):
    for name in ("ctapipe-extra__lst", "pyeventio__prod4", "simtools__run202"):
        path = find(shared, name)
        scan, looked = SOURCE.scan(path), SOURCE.look(path)
        columns = columns_of(scan)
        n_bytes = sum(int(n.sum()) * row_bytes(scan.schema, table, columns) for table, n in scan.rows.items())
        assert n_bytes / 2 < looked.expected_bytes < 4 * n_bytes


def test_events_that_are_not_as_the_header_says_are_scanned(shared, tmp_path, monkeypatch, caplog):
    """As if a camera had first been seen after the look: how many samples are kept only events tell."""
    monkeypatch.setattr(source, "LOOK", 0)
    path = find(shared, "pyeventio__40k_pixels")
    with pytest.raises(UnforeseenError, match="samples, which is not what the file begins with"):
        stream(path, 1 << 20)
    et.open(path).write(tmp_path / "store", "a", quiet=True)
    assert "all is scanned, and begun anew" in caplog.text
    monkeypatch.setattr(source, "LOOK", 4)
    assert_same_tree(et.load(tmp_path / "store"), et.open(path).compute())


def assert_same_tree(a, b):
    for group in b.groups:
        for name, variable in b[group].data_vars.items():
            np.testing.assert_array_equal(a[group][name].values, variable.values)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.999])
def test_a_cut_file_is_refused_and_nothing_published(shared, tmp_path, share):
    content = unpacked(find(shared, "pyeventio__extracted"))
    path = tmp_path / "cut.simtel"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(SourceError, match="truncated"):
        et.open(path).write(tmp_path / "store", "a", quiet=True)
    with pytest.raises(SourceError, match="truncated"):
        et.open(path).plan()
    store = tmp_path / "store"
    assert not store.exists() or et.passes(str(store)) == []
