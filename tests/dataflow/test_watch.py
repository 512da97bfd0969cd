"""Files are processed as they appear; whatever happens, each of them once."""

import logging
import os
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest
import xarray as xr

import etendue as et
from etendue.dataflow import source as source_module
from etendue.dataflow.arrivals import Arrivals
from etendue.dataflow.pipeline import Pipeline
from etendue.dataflow.plan import PlanError
from etendue.dataflow.source import Scan, SourceError
from etendue.dataflow.watch import watch
from etendue.schema import Table, Variable
from etendue.store import PassExistsError, unfinished
from etendue.store.lock import StoreLock, StoreLockedError

from .conftest import EVENTS, ToySource

#: Of the file that is too much.
Z_SEED = 99


@pytest.fixture
def night(toy, tmp_path):
    (tmp_path / "night").mkdir()
    return tmp_path / "night"


@pytest.fixture
def watching(night, tmp_path):
    """Watches a folder, and looks often."""

    def begin(**options):
        options = {"settle": 0.0, "every": 0.01, "until_idle": 0.2, **options}
        return watch(Pipeline(), night, tmp_path / "toy.etendue", "nrt", **options)

    return begin


def tags(store: Path) -> list[str]:
    return [entry.tag for entry in et.passes(store)]


def content(store: Path) -> xr.DataTree:
    """What the pass holds, but for who made it, and when."""
    tree = et.load(store, "nrt").compute()
    tree.attrs = {}
    return tree


def names(batch) -> list[str]:
    return [Path(path).name for path in batch.paths]


def test_each_batch_is_a_revision(toy, night, watching, tmp_path):
    store = tmp_path / "toy.etendue"
    batches = watching()
    toy("night/b.raw", "toy 30 1")
    toy("night/a.raw", "toy 20 2")
    first = next(batches)
    assert names(first) == ["a.raw", "b.raw"]
    assert first.n_events == 50
    assert 0 < first.seconds <= first.latency < 20
    assert tags(store) == ["nrt"]
    toy("night/c.raw", "toy 7 3")
    (second,) = batches
    assert names(second) == ["c.raw"]
    assert second.n_events == 7
    assert " nrt+1: 1 file, 7 events in " in str(second)
    assert tags(store) == ["nrt", "nrt+1"]
    assert et.load(store, "nrt")["events"].sizes["event"] == 57
    assert et.load(store, "nrt+0")["events"].sizes["event"] == 50


def test_a_batch_is_what_a_run_writes(toy, night, watching, tmp_path):
    paths = [toy("night/a.raw", "toy 20 1"), toy("night/b.raw", "toy 30 2 6"), toy("night/c.raw", "toy 9 3")]
    list(watching())
    et.open(*paths).write(tmp_path / "run.etendue", "nrt")
    xr.testing.assert_identical(content(tmp_path / "toy.etendue"), content(tmp_path / "run.etendue"))


def test_started_again_it_goes_on(toy, night, watching, tmp_path):
    toy("night/a.raw", "toy 20 1")
    assert [names(batch) for batch in watching()] == [["a.raw"]]
    assert list(watching()) == []
    toy("night/b.raw", "toy 20 2")
    assert [names(batch) for batch in watching()] == [["b.raw"]]
    assert tags(tmp_path / "toy.etendue") == ["nrt", "nrt+1"]


def test_a_known_file_that_changed_stops_nothing(toy, night, watching, tmp_path, caplog):
    a = toy("night/a.raw", "toy 20 1")
    list(watching())
    toy("night/a.raw", "toy 200 1")
    toy("night/b.raw", "toy 30 1")
    assert [names(batch) for batch in watching()] == [["b.raw"]]
    assert f"{os.path.realpath(a)}: changed after it was processed" in caplog.text
    assert et.load(tmp_path / "toy.etendue", "nrt")["events"].sizes["event"] == 50


def test_broken_files_are_set_aside(toy, night, watching, tmp_path):
    toy("night/a.raw", "toy 20 1 broken 7")
    toy("night/b.raw", "toy 30 1")
    (batch,) = watching()
    assert [failure.events_lost for failure in batch.summary.outcome.failures] == [1]
    assert "1 failure" in str(batch)
    tree = et.load(tmp_path / "toy.etendue", "nrt")
    assert tree["events"].sizes["event"] == 49
    assert [Path(path).name for path in tree["failures"]["path"].values] == ["a.raw"]
    toy("night/c.raw", "toy 5 1")
    (batch,) = watching()
    assert batch.n_events == 5
    toy("night/d.raw", "toy 20 1 broken 7")
    with pytest.raises(SourceError):
        list(watching(on_error="raise"))


class AlienSource(ToySource):
    """Toys whose files cannot go into one pass with the others: their times are coarser. Some are torn."""

    name = "alien"

    def accepts(self, path: str) -> bool:
        return Path(path).is_file() and Path(path).read_bytes().startswith(b"alien")

    def scan(self, path: str, on_error: str = "raise") -> Scan:
        if Path(path).read_bytes().startswith(b"alien torn"):
            raise SourceError(path, "header", "expected a whole one")
        return super().scan(path, on_error)

    def _events(self, path: str) -> Table:
        return EVENTS.with_variables([Variable("time", ("event",), "float32", "s", "time")])


@pytest.fixture
def alien(toy, monkeypatch):
    class Entry:
        def load(self) -> type[AlienSource]:
            return AlienSource

    registered = {**source_module._registered(), "alien": Entry()}
    monkeypatch.setattr(source_module, "_registered", lambda: registered)
    return toy


def test_a_file_that_does_not_fit_is_set_aside_alone(alien, night, watching, tmp_path):
    alien("night/a.raw", "toy 20 1")
    assert len(list(watching())) == 1
    for name, text in (("b.raw", "toy 30 1"), ("m.raw", "alien 30 1"), ("z.raw", "toy 10 1")):
        alien(f"night/{name}", text)
    (batch,) = watching()
    assert names(batch) == ["b.raw", "m.raw", "z.raw"]
    (failure,) = batch.summary.outcome.failures
    assert failure.path.endswith("m.raw")
    assert et.load(tmp_path / "toy.etendue", "nrt")["events"].sizes["event"] == 60
    assert list(watching()) == []


def test_broken_files_wait_for_a_pass(alien, night, watching, tmp_path, caplog):
    """Where no file could be read there are no tables, and no pass to enter failures in."""

    def add_one() -> bool:
        if "next batch" in caplog.text and not (night / "c.raw").exists():
            alien("night/c.raw", "toy 5 1")
        return False

    for name in ("a.raw", "b.raw"):
        alien(f"night/{name}", "alien torn")
    (batch,) = watching(until_idle=0.5, stop=add_one)
    assert names(batch) == ["a.raw", "b.raw", "c.raw"]
    assert len(batch.summary.outcome.failures) == 2
    assert caplog.text.count("tried again with the next batch") == 2
    alien("night/d.raw", "alien torn")
    (batch,) = watching()
    assert names(batch) == ["d.raw"]
    assert len(et.load(tmp_path / "toy.etendue", "nrt")["failures"]["path"]) == 3
    assert list(watching()) == []
    assert "3 file(s) could not be read and are left out" in caplog.text


def test_a_file_that_nobody_foresaw_stops_nothing(toy, night, watching):
    toy("night/a.raw", "toy not a number")
    toy("night/b.raw", "toy 5 1")
    (batch,) = watching()
    assert names(batch) == ["a.raw", "b.raw"]
    (failure,) = batch.summary.outcome.failures
    assert failure.path.endswith("a.raw")
    assert "ValueError: invalid literal for int()" in failure.message


@pytest.mark.parametrize("how", [{"until_idle": 0.2}, {"once": True, "until_idle": None}])
def test_empty_files_links_in_circles_and_sealed_folders_are_failures(toy, night, watching, monkeypatch, how):
    toy("night/a.raw", "toy 5 1")
    toy("night/empty.raw", "")
    toy("night/notes.txt", "clouds from midnight on")
    (night / "loop.raw").symlink_to("loop.raw")
    (night / "sealed").mkdir()
    really = os.scandir

    def scandir(path="."):
        if str(path).endswith("sealed"):
            raise PermissionError(13, "Permission denied", str(path))
        return really(path)

    monkeypatch.setattr(os, "scandir", scandir)
    batches = list(watching(**how))
    assert sorted(name for batch in batches for name in names(batch)) == [
        "a.raw", "empty.raw", "loop.raw", "sealed"
    ]  # fmt: skip
    failures = [failure for batch in batches for failure in batch.summary.outcome.failures]
    assert {Path(f.path).name: f.message.partition(":")[0].partition(" (")[0] for f in failures} == {
        "empty.raw": "it is empty",
        "loop.raw": "a symbolic link that leads to itself",
        "sealed": "what is in it cannot be listed",
    }
    assert list(watching(**how)) == []


def test_nothing_but_broken_files_is_told_in_the_end(toy, night, watching):
    toy("night/empty.raw", "")
    with pytest.raises(PlanError, match=r"empty.raw: file: it is empty"):
        list(watching())


@pytest.fixture
def interrupted(toy, night, watching, tmp_path, monkeypatch):
    """Half of a batch: the last file was too much."""
    draw = np.random.default_rng

    def exhausting(seed):
        if seed == Z_SEED + 1:  # of what is read, not of what is scanned
            raise MemoryError
        return draw(seed)

    for n in range(5):
        toy(f"night/{n}.raw", f"toy 10 {n}")
    toy("night/z.raw", f"toy 10 {Z_SEED}")
    with monkeypatch.context() as patch:
        patch.setattr(np.random, "default_rng", exhausting)
        with pytest.raises(MemoryError):
            list(watching(workers=1))
    assert unfinished(str(tmp_path / "toy.etendue"), "nrt") is not None


def test_a_batch_that_was_interrupted_is_finished_first(interrupted, toy, watching, tmp_path, caplog):
    toy("night/a.raw", "toy 5 1")
    first, second = watching()
    assert names(first) == ["0.raw", "1.raw", "2.raw", "3.raw", "4.raw", "z.raw"]
    assert names(second) == ["a.raw"]
    assert "6 file(s) were in work, and are finished first" in caplog.text
    assert first.n_events == 60
    assert et.load(tmp_path / "toy.etendue", "nrt")["events"].sizes["event"] == 65


@pytest.mark.parametrize("text", ["toy 25 1", None])
def test_an_interrupted_batch_whose_files_changed_is_dropped(
    interrupted, toy, night, watching, tmp_path, caplog, text
):
    if text is None:
        (night / "z.raw").unlink()
    else:
        toy("night/z.raw", text)
    (batch,) = watching()
    assert batch.n_events == (50 if text is None else 75)
    assert "z.raw changed since" in caplog.text
    assert tags(tmp_path / "toy.etendue") == ["nrt"]


def test_another_pipeline_is_refused(toy, night, watching, tmp_path):
    toy("night/a.raw", "toy 20 1")
    list(watching())
    toy("night/b.raw", "toy 20 1")
    other = Pipeline(write=("events/*",))
    with pytest.raises(PassExistsError, match="write"):
        list(watch(other, night, tmp_path / "toy.etendue", "nrt", settle=0, once=True))


def test_on_a_cluster(toy, night, watching):
    toy("night/a.raw", "toy 20 1")
    with et.connect("laptop", workers=1) as client:
        (batch,) = watching(client=client)
    assert batch.n_events == 20


def test_it_ends_when_asked(toy, night, watching):
    toy("night/a.raw", "toy 20 1")
    asked = []
    batches = watching(until_idle=None, stop=lambda: bool(asked))
    assert names(next(batches)) == ["a.raw"]
    asked.append(True)
    toy("night/b.raw", "toy 20 1")
    begin = monotonic()
    assert list(batches) == []
    assert monotonic() - begin < 1


def test_once_is_what_is_there(toy, night, watching):
    assert list(watching(once=True)) == []
    toy("night/a.raw", "toy 20 1")
    begin = monotonic()
    (batch,) = watching(once=True, settle=0.5, until_idle=None)
    assert names(batch) == ["a.raw"]
    assert batch.latency > 0.5
    assert monotonic() - begin < 10
    assert list(watching(once=True)) == []


def test_while_another_process_writes_files_wait(toy, night, watching, tmp_path, caplog):
    toy("night/a.raw", "toy 20 1")
    lock = StoreLock(tmp_path / "toy.etendue")
    with pytest.raises(StoreLockedError, match="is being written by process"):
        list(watching(once=True))
    assert list(watching(until_idle=0.5)) == []
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert f"is being written by process {os.getpid()}" in record.message
    looks = iter(range(30))
    batches = watching(until_idle=3, stop=lambda: next(looks, None) is None and lock.release())
    assert names(next(batches)) == ["a.raw"]


def test_a_store_in_the_folder_is_no_input(toy, night, tmp_path):
    toy("night/a.raw", "toy 20 1")
    options = {"settle": 0.0, "every": 0.01, "until_idle": 0.2}
    for expected in (1, 0):
        found = list(watch(Pipeline(), night, night / "toy.etendue", "nrt", **options))
        assert len(found) == expected


def test_no_folder(tmp_path):
    with pytest.raises(SourceError, match="there is no such directory"):
        next(watch(Pipeline(), tmp_path / "none", tmp_path / "s", "nrt"))


def test_a_slow_look_is_no_idleness(watching, alien, monkeypatch):
    """As at directories of many files on a network: what was seen there still settles, and is processed."""
    alien("night/a.raw", "toy 5 1")
    look = Arrivals.ready

    def slow_look(self: Arrivals, now: float) -> dict[str, float]:
        found = look(self, now)
        sleep(0.5)
        return found

    monkeypatch.setattr(Arrivals, "ready", slow_look)
    (batch,) = watching(settle=0.2, until_idle=0.3)
    assert names(batch) == ["a.raw"]
