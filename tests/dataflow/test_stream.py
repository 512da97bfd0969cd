"""Streams read without a scan give what a scan and a read give; what they cannot foresee is scanned."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import etendue as et
from etendue.dataflow import source as source_module
from etendue.dataflow.source import Scan, SourceError, UnforeseenError
from etendue.provenance import inputs
from etendue.store.reader import PassReader

from .conftest import ToySource


class StreamingToy(ToySource):
    """Toy inputs that can be streamed; ``expected`` is a share of the bytes that there are."""

    expected = 1.0
    unforeseen_at = -1
    scans = 0

    def scan(self, path, on_error="raise"):
        type(self).scans += 1
        return super().scan(path, on_error)

    def look(self, path):
        scan = super().scan(path)
        n_bytes = sum(
            int(n.sum()) * sum(v.row_bytes(scan.schema[t].sizes) for v in scan.schema[t].variables.values())
            for t, n in scan.rows.items()
        )
        rows = {name: np.zeros(0, np.int64) for name in scan.rows}
        return Scan(
            path, self.name, scan.schema, {}, rows, scan.labels, size=scan.size,
            expected_bytes=int(self.expected * n_bytes),
        )  # fmt: skip

    def stream(self, scan, row_bytes, partition_bytes, columns):
        return _ToyStream(self, scan, row_bytes, partition_bytes, columns)


class _ToyStream:
    def __init__(self, source, scan, row_bytes, partition_bytes, columns):
        self.sha256 = ""
        self.arguments = source, scan, row_bytes, partition_bytes, columns

    def __iter__(self):
        source, scan, row_bytes, partition_bytes, columns = self.arguments
        counted = ToySource.scan(source, scan.path)
        weight = sum(counted.rows[name] * row_bytes[name] for name in counted.rows)
        first = np.flatnonzero(np.diff((np.cumsum(weight) - weight) // partition_bytes, prepend=-1))
        ranges = (
            list(zip(first.tolist(), [*first[1:].tolist(), len(weight)], strict=True)) if len(weight) else []
        )
        for number, partition in enumerate(source.read(counted, ranges, columns)):
            if number == source.unforeseen_at:
                raise UnforeseenError(f"{scan.path}: a surprise")
            yield partition
        self.sha256 = hashlib.sha256(Path(scan.path).read_bytes()).hexdigest()


@pytest.fixture
def streaming(toy, monkeypatch):
    """Make toy inputs that are streamed, as `toy` does."""

    class Entry:
        def load(self):
            return StreamingToy

    registered = {**source_module._registered(), "toy": Entry()}
    monkeypatch.setattr(source_module, "_registered", lambda: registered)
    monkeypatch.setattr(StreamingToy, "scans", 0)
    return toy


def contents(store):
    """Rows of each partition, and all columns."""
    reader = PassReader.open(str(store))
    tables = reader.read(
        {t.name: t.variables for t in reader.schema.values() if t.role == "rows"},
        list(range(len(reader.rows["events"]))),
    )
    rows = {name: n.tolist() for name, n in reader.rows.items()}
    return rows, {
        f"{t}/{c}": (a.dtype, a.tobytes()) for t, columns in tables.items() for c, a in columns.items()
    }


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=3),
    partition_bytes=st.integers(20, 3000),
    workers=st.integers(1, 3),
    expected=st.sampled_from([0.0, 1.0, 20.0]),
)
def test_the_pass_is_that_of_a_scan(streaming, tmp_path_factory, sizes, partition_bytes, workers, expected):
    StreamingToy.expected = expected
    paths = [streaming(f"file{n}", f"toy {size} {n} {4 + n % 2}") for n, size in enumerate(sizes)]
    flow = et.open(*paths, partition_bytes=partition_bytes, workers=workers)
    folder = tmp_path_factory.mktemp("stores")
    flow.write(folder / "streamed", "a", quiet=True)
    scanned = et.open(*paths, partition_bytes=partition_bytes)
    assert scanned.inputs.scans[0].counted
    scanned.write(folder / "scanned", "a", quiet=True)
    assert contents(folder / "streamed") == contents(folder / "scanned")


def test_a_stream_is_not_scanned_and_its_checksum_is_kept(streaming, tmp_path, monkeypatch):
    monkeypatch.setattr(StreamingToy, "expected", 1.0)
    path = streaming("a", "toy 50 1")
    et.open(path).write(tmp_path / "s", "a", quiet=True)
    assert StreamingToy.scans == 0
    reader = PassReader.open(str(tmp_path / "s"))
    (one,) = inputs(reader.attributes["provenance"])
    assert one.sha256 == hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert reader.facts["n_partitions"] == 1


@pytest.mark.parametrize("surprise", ["more partitions than expected", "a surprise"])
def test_what_was_not_foreseen_is_scanned_and_begun_anew(streaming, tmp_path, monkeypatch, caplog, surprise):
    monkeypatch.setattr(StreamingToy, "expected", 0.0 if "more" in surprise else 1.0)
    monkeypatch.setattr(StreamingToy, "unforeseen_at", -1 if "more" in surprise else 2)
    path = streaming("a", "toy 60 3")
    et.open(path, partition_bytes=100).write(tmp_path / "s", "a", quiet=True)
    assert surprise in caplog.text
    assert StreamingToy.scans == 1
    monkeypatch.setattr(StreamingToy, "unforeseen_at", -1)
    scanned = et.open(path, partition_bytes=100)
    assert len(scanned.inputs.scans[0].rows["events"]) == 60
    scanned.write(tmp_path / "t", "a", quiet=True)
    assert contents(tmp_path / "s") == contents(tmp_path / "t")


def test_a_broken_stream_leaves_nothing_and_is_scanned_where_it_may_be_skipped(
    streaming, tmp_path, monkeypatch
):
    monkeypatch.setattr(StreamingToy, "expected", 1.0)
    path = streaming("a", "toy 30 1 4 broken 17")
    with pytest.raises(SourceError, match="expected a whole event"):
        et.open(path, partition_bytes=100).write(tmp_path / "s", "a", quiet=True)
    assert StreamingToy.scans == 0
    assert et.passes(str(tmp_path / "s")) == []
    summary = et.open(path, partition_bytes=100, on_error="skip").write(tmp_path / "s", "a", quiet=True)
    assert StreamingToy.scans == 1
    assert summary.rows["events"] == 29


def test_histograms_and_arrays_come_of_streams(streaming, monkeypatch):
    monkeypatch.setattr(StreamingToy, "expected", 1.0)
    path = streaming("a", "toy 80 5")
    axis = et.axis.Regular("hits/charge", 20, -3, 3)
    streamed = et.open(path, partition_bytes=150).histogram(axis)
    tree = et.open(path, partition_bytes=150).compute()
    assert StreamingToy.scans == 0
    charge = tree["hits/charge"].values
    expected, _ = np.histogram(charge, np.linspace(-3, 3, 21))
    np.testing.assert_array_equal(streamed.values(), expected)
