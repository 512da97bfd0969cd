"""Watching a folder, from outside: real files that are copied slowly, signals, kills."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from shutil import copy
from time import monotonic, sleep

import numpy as np
import pytest
import xarray as xr

import etendue as et
from etendue.store import unfinished
from etendue.store.reader import PassReader

from ..packed_copies import packed_again

SOON = ("--settle", "0.5", "--every", "0.1")


@pytest.fixture(scope="module")
def files(shared) -> list[Path]:
    """Raw files: with events, without, and with a single one."""
    folder = shared / "data" / "simtel"
    marks = ("ctapipe-extra__lst_muons", "pyeventio__gamma_merged", "pyeventio__lst_with_photons")
    return [next(folder.glob(f"{mark}*")) for mark in marks]


class Watch:
    """A watch in a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.out, self.err = folder / "out", folder / "err"
        command = [sys.executable, "-m", "etendue", "watch", "iact", "night"]
        command += ["--into", "s.etendue", "--pass", "nrt", "--partition-bytes", "2MB", *SOON, *options]
        with self.out.open("a") as out, self.err.open("a") as err:
            self.process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=err)

    def wait(self, code: int = 0) -> str:
        assert self.process.wait(120) == code, self.err.read_text()
        return self.out.read_text()

    def until(self, condition) -> None:
        """Wait for something, as long as the watch runs."""
        deadline = monotonic() + 60
        while not condition():
            assert self.process.poll() is None, self.err.read_text()
            assert monotonic() < deadline, self.err.read_text()
            sleep(0.01)

    def until_it_writes(self) -> None:
        """Wait until a batch is in work: begun, or taken up again, by a commit."""
        before = max(1, n_objects(self.folder, "snapshots"))
        self.until(lambda: n_objects(self.folder, "snapshots") > before)
        sleep(0.1)  # the branch comes after its snapshot

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "night").mkdir()
    return tmp_path


def n_objects(folder: Path, kind: str) -> int:
    objects = folder / "s.etendue" / kind
    return len(os.listdir(objects)) if objects.is_dir() else 0


def copy_slowly(source: Path, target: Path, seconds: float) -> None:
    data = source.read_bytes()
    with target.open("wb", buffering=0) as file:
        for n in range(4):
            file.write(data[n * len(data) // 4 : (n + 1) * len(data) // 4])
            sleep(seconds / 4)


def undisturbed(folder: Path, *batches: list[Path]) -> Path:
    """A store with what runs of the same files leave, batch by batch."""
    store = folder / "undisturbed.etendue"
    for batch in batches:
        flow = et.open(*batch, partition_bytes=2_000_000) | et.find_pipeline("iact")
        flow.write(store, "nrt")
    return store


def assert_same(store: Path, other: Path) -> None:
    """Chunk for chunk, and as it is read."""
    one, two = (PassReader.open(str(path), "nrt") for path in (store, other))
    np.testing.assert_array_equal(one.origin, two.origin)
    np.testing.assert_equal(one.checksums, two.checksums)
    trees = [et.load(path, "nrt").compute() for path in (store, other)]
    for tree in trees:
        tree.attrs = {}  # who made it, and when
    xr.testing.assert_identical(*trees)


def test_killed_at_any_time_it_goes_on(folder, files):
    first = [Path(copy(path, folder / "night")) for path in files[:2]]
    first.append(Path(packed_again(files[0], folder / "night" / "y.zst")))
    third = packed_again(first[-1], folder / "z.zst")  # copies byte for byte are refused
    n_unfinished = 0
    for _ in range(2):
        watch = Watch(folder)
        watch.until_it_writes()
        watch.kill()
        n_unfinished += unfinished(str(folder / "s.etendue"), "nrt") is not None
    assert n_unfinished > 0, "no kill came in the middle of a batch"
    watch = Watch(folder, "--until-idle", "3")
    second = folder / "night" / "z.zst"
    copy_slowly(Path(third), second, 1.5)
    out = watch.wait()
    assert [entry.tag for entry in et.passes(folder / "s.etendue")] == ["nrt", "nrt+1"]
    assert " nrt+1: 1 file, 30 events in " in out.splitlines()[-1]
    assert "were in work, and are finished first" in (folder / "err").read_text()
    assert_same(folder / "s.etendue", undisturbed(folder, first, [second]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_after_the_batch(folder, files, number):
    copy(files[0], folder / "night")
    watch = Watch(folder)
    watch.until_it_writes()
    watch.process.send_signal(number)
    out = watch.wait()
    assert len(out.splitlines()) == 1
    assert [entry.tag for entry in et.passes(folder / "s.etendue")] == ["nrt"]
    assert "a second signal ends it at once" in (folder / "err").read_text()


def test_a_second_signal_ends_it_at_once(folder, files):
    copy(files[0], folder / "night")
    watch = Watch(folder)
    watch.until_it_writes()
    watch.process.send_signal(signal.SIGTERM)
    watch.until(lambda: "a second signal" in (folder / "err").read_text())
    watch.process.send_signal(signal.SIGTERM)
    watch.wait(-signal.SIGTERM)
    assert unfinished(str(folder / "s.etendue"), "nrt") is not None


def test_what_is_lost_is_told(folder, files):
    (folder / "night" / "cut.simtel.zst").write_bytes(files[0].read_bytes()[:-1_000_000])
    copy(files[2], folder / "night")
    out = Watch(folder, "--once").wait(3)
    assert "2 files" in out
    assert "cut.simtel.zst" in (folder / "err").read_text()
    Watch(folder, "--once").wait(0)
    assert [entry.tag for entry in et.passes(folder / "s.etendue")] == ["nrt"]
