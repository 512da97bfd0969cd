"""Sources that fail in ways that nobody foresaw: somebody else's, with errors of any kind."""

import numpy as np
import pytest

import etendue as et
from etendue.dataflow import source as source_module
from etendue.dataflow.source import SourceError
from etendue.store.reader import PassReader

from .conftest import ToySource


class WildSource(ToySource):
    """A toy source that fails where its file says so: ``toy 10 1 4 <how>``."""

    def _words(self, path):
        with open(path) as file:
            return file.read().split()

    def accepts(self, path):
        if super().accepts(path) and "accepts" in self._words(path):
            raise KeyError("accepts")
        return super().accepts(path)

    def scan(self, path, on_error="raise"):
        words = self._words(path)
        if "scan" in words:
            raise IndexError("index 7 is out of bounds")
        scan = super().scan(path, on_error)
        if "counts" in words:
            scan.rows["hits"] = scan.rows["hits"][:-1]
        object.__setattr__(scan, "splittable", True)
        return scan

    def read(self, scan, ranges, columns, on_error="raise"):
        words = self._words(scan.path)
        if "call" in words:
            raise ZeroDivisionError
        for partition in super().read(scan, ranges, columns, on_error):
            first, _ = ranges[partition.number]
            hits = partition.tables["hits"]
            if first <= 5 < ranges[partition.number][1]:
                if "read" in words:
                    raise ValueError("buffer size must be a multiple of element size")
                if "unequal" in words:
                    hits["charge"] = hits["charge"][:-1]
                if "short" in words:
                    partition.tables["hits"] = {name: column[:-1] for name, column in hits.items()}
                if "dtype" in words:
                    hits["charge"] = hits["charge"].astype(np.int64)
            yield partition


@pytest.fixture
def wild(toy, monkeypatch):
    class Entry:
        def load(self):
            return WildSource

    monkeypatch.setitem(source_module._registered(), "toy", Entry())
    return toy


WAYS = {
    "accepts": ("first bytes", "KeyError: 'accepts'"),
    "scan": ("scan", "IndexError: index 7 is out of bounds"),
    "counts": ("scan", "the tables are counted in different numbers of blocks"),
    "call": ("blocks", "ZeroDivisionError"),
    "read": ("blocks", "ValueError: buffer size"),
    "unequal": ("blocks", "columns of table 'hits' differ in length"),
    "short": ("blocks", "events/n_hits counts"),
    "dtype": ("blocks", "column hits/charge has dtype int64; declared is float32"),
}


@pytest.mark.parametrize("way", WAYS)
def test_whatever_a_source_raises_names_file_and_place(wild, tmp_path, way):
    place, message = WAYS[way]
    path = wild("wild.toy", f"toy 20 1 4 {way}")
    with pytest.raises(SourceError) as error:
        et.open(path, partition_bytes=200).write(tmp_path / "s", "p")
    assert error.value.failure.path == path
    assert error.value.failure.place.startswith(place)
    assert message in str(error.value)


@pytest.mark.parametrize("way", WAYS)
def test_with_skip_what_could_not_be_read_is_lost_and_no_more(wild, tmp_path, way):
    good, path = wild("good.toy", "toy 20 2 4"), wild("wild.toy", f"toy 20 1 4 {way}")
    summary = et.open(good, path, partition_bytes=200, on_error="skip").write(tmp_path / "s", "p")
    failures = summary.outcome.failures
    assert {failure.path for failure in failures} == {path}
    assert all(WAYS[way][1] in failure.message for failure in failures)
    events = PassReader.open(str(tmp_path / "s")).rows["events"].sum()
    if way in ("accepts", "scan", "counts"):
        assert events == 20
    elif way == "call":
        assert events == 20
        assert sum(failure.events_lost for failure in failures) == 20
    else:
        (failure,) = failures
        assert 1 <= failure.events_lost < 20
        assert events == 40 - failure.events_lost


def test_more_memory_than_there_is_was_claimed_by_the_file(wild, tmp_path, monkeypatch):
    monkeypatch.setattr(WildSource, "read", lambda *arguments: iter([np.empty(1 << 50, np.uint8)]))
    good, bad = wild("a.toy", "toy 5 1 4"), wild("b.toy", "toy 5 2 4")
    with pytest.raises(SourceError, match=r"[ab].toy: blocks 0 to 4: cannot be read: Unable to allocate"):
        et.open(good, bad).write(tmp_path / "s", "p")


def test_memory_that_runs_out_is_no_fault_of_the_file(wild, tmp_path, monkeypatch):
    def read(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(WildSource, "read", read)
    with pytest.raises(MemoryError):
        et.open(wild("a.toy", "toy 5 1 4"), on_error="skip").write(tmp_path / "s", "p")
