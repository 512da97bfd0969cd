"""The power fails: what is on the disk is enough to go on, and all that was published is there, whole."""

import os
import random
import shutil
import signal
import subprocess
from pathlib import Path
from time import sleep

import pytest

from etendue.store.repository import create_repository, open_repository
from etendue.store.verify import verify

from .harness import assert_same, command, tags

KILLED = -signal.SIGKILL
#: Steps of a pass that is taken up again and again.
POINTS = [
    "after job.1",
    "after branch_off.1",
    "after begin.1",
    "before reset_branch.1",
    "after append.2",
    "after commit.2",
    "before reset_branch.3",
    "after write_true.1",
    "after write_ledger.1",
    "before create_tag.1",
    "after create_tag.1",
]


class Disk:
    """A file system in a file, to which it writes what is synced; by itself, every ten minutes only.

    Parameters
    ----------
    folder : path
        Where the file is, and where the file system is mounted, in ``disk``.
    options : str
        With ``data=writeback,noauto_da_alloc`` there is no order, as in XFS, between what is written into a
        file and that the file is renamed.
    """

    def __init__(self, folder: Path, options: str) -> None:
        self.place, self._image, self._options = folder / "disk", folder / "image", options
        self.place.mkdir()
        _make_ext4(self._image)
        self._mount()

    def _mount(self) -> None:
        options = f"loop,commit=600,{self._options}"
        subprocess.run(["mount", "-t", "ext4", "-o", options, self._image, self.place], check=True)

    def fail(self, *, after_sync: bool) -> None:
        """Lose what is not in the file, and go on with what is.

        Parameters
        ----------
        after_sync : bool
            Whether some other program syncs a file of its own just before. That has the names of all files
            written, but not what is in them.
        """
        if after_sync:
            with open(self.place / "other", "w") as other:
                os.fsync(other.fileno())
        left = self._image.with_name("left")
        subprocess.run(["cp", "--sparse=always", self._image, left], check=True)
        self.unmount()
        left.rename(self._image)
        self._mount()

    def unmount(self) -> None:
        subprocess.run(["umount", self.place], check=True)


def _make_ext4(image: Path) -> None:
    image.touch()
    os.truncate(image, 32 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", image], check=True)


@pytest.fixture(scope="module")
def room():
    """A folder in memory, for files with file systems."""
    folder = Path("/dev/shm", f"etendue-{os.getpid()}")
    reason = "this needs mkfs.ext4, /dev/shm, loop devices, and the right to mount"
    if not all(map(shutil.which, ("mkfs.ext4", "mount", "umount"))) or not folder.parent.is_dir():
        pytest.skip(reason)
    (folder / "tried").mkdir(parents=True)
    try:
        _make_ext4(folder / "image")
        mount = ["mount", "-t", "ext4", "-o", "loop", folder / "image", folder / "tried"]
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            pytest.skip(reason)
        subprocess.run(["umount", folder / "tried"], check=True)
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(params=["data=ordered", "data=writeback,noauto_da_alloc"])
def disk(request, room):
    folder = room / "one"
    folder.mkdir()
    disk = Disk(folder, request.param)
    yield disk
    disk.unmount()
    shutil.rmtree(folder)


@pytest.mark.parametrize("after_sync", [pytest.param(False, marks=pytest.mark.cluster), True])
def test_the_power_fails_again_and_again(site, inputs, forge, undisturbed, disk, after_sync):
    store = disk.place / "s.etendue"
    for point in POINTS:
        (forge.points / point).touch()
        ended = forge(*command(site, inputs, store))
        assert ended.code == KILLED, (point, ended.output)
        disk.fail(after_sync=after_sync)
    forge.succeeds(*command(site, inputs, store))
    assert_same(store, undisturbed)
    assert tags(store) == ["p"]


@pytest.mark.parametrize("after_sync", [False, pytest.param(True, marks=pytest.mark.cluster)])
def test_what_is_published_is_on_the_disk(site, inputs, forge, undisturbed, disk, after_sync):
    """Right after the run has ended; and also while the next one, an addition, is under way."""
    store = disk.place / "s.etendue"
    forge.succeeds(*command(site, inputs[:2], store))
    disk.fail(after_sync=after_sync)
    _assert_whole(store, ["p"])
    for point in ("after commit.2", "before create_tag.1"):
        (forge.points / point).touch()
        assert forge(*command(site, inputs, store)).code == KILLED
        disk.fail(after_sync=after_sync)
        _assert_whole(store, ["p"])
    forge.succeeds(*command(site, inputs, store))
    disk.fail(after_sync=after_sync)
    _assert_whole(store, ["p", "p+1"])


@pytest.mark.cluster
def test_the_power_fails_at_random(site, inputs, forge, undisturbed, disk):
    rng = random.Random(4)
    longest = forge.succeeds(*command(site, inputs, disk.place / "whole.etendue")).seconds
    store, n_kills, n_stores = disk.place / "s.etendue", 0, 0
    while n_kills < 15 or not n_stores:
        ended = forge(*command(site, inputs, store), delay=rng.uniform(0, longest))
        disk.fail(after_sync=rng.random() < 0.7)
        n_kills, longest = n_kills + 1, longest * 1.1
        if ended.code == 0:
            Path(f"{store}.lock").unlink(missing_ok=True)  # it may be back; nobody holds it
            assert_same(store, undisturbed)
            _assert_whole(store, ["p"])
            shutil.rmtree(store)
            n_stores, longest = n_stores + 1, longest * 0.5


@pytest.mark.parametrize("left", [b"", bytes(1000), b"half"])
def test_a_torn_file_of_the_repository_is_what_it_was_before(tmp_path, left):
    """Whatever of it reached the disk."""
    store = str(tmp_path / "s.etendue")
    repository = create_repository(store)
    repository.create_branch("first", repository.lookup_branch("main"))
    sleep(0.01)
    repository.create_branch("second", repository.lookup_branch("main"))
    torn = tmp_path / "s.etendue" / "repo"
    data = torn.read_bytes()
    torn.write_bytes(data[: len(data) // 2] if left == b"half" else left)
    assert open_repository(store).list_branches() == {"main", "first"}
    assert not [path for path in torn.parent.iterdir() if path.name.startswith("repo.")]


def _assert_whole(store: Path, expected: list[str]) -> None:
    assert tags(store) == expected
    for tag in expected:
        verdict = verify(f"{store}@{tag}")
        assert verdict.n_chunks
        assert not verdict.damaged
