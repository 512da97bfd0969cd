"""The disk is full: the run says so, nothing is half-visible, and with more room it goes on."""

import shutil
import subprocess
from pathlib import Path

import pytest

from .harness import assert_same_but_revision, command, digest, tags


@pytest.fixture
def disk(tmp_path):
    """A file system of a size that can be changed."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this needs the right to mount a file system")

    def resize(n_bytes: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={n_bytes}", str(place)], check=True)

    yield place, resize
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def used(place: Path) -> int:
    return shutil.disk_usage(place).used


@pytest.mark.parametrize("room", [4, 60, 120, 200, 300])
def test_the_disk_is_full(site, inputs, forge, undisturbed, disk, room):
    """With room for none of the pass, or for some of it, in kB."""
    place, resize = disk
    store = place / "s.etendue"
    forge.succeeds(*command(site, inputs[:1], store, "--pass", "old"))
    old = digest(store)
    resize(used(place) + room * 1024)
    for _ in range(2):
        ended = forge(*command(site, inputs, store))
        assert ended.code == 1, ended.output
        assert f"etendue: {store} cannot be read or written: " in ended.output
        assert "No space left on device" in ended.output
        assert "Traceback" not in ended.output
        assert tags(store) == ["old"]
        assert digest(store) == old
    resize(64 << 20)
    forge.succeeds(*command(site, inputs, store))
    assert tags(store) == ["old", "p"]
    assert_same_but_revision(store, undisturbed)


def test_an_addition_when_the_disk_is_full(site, inputs, forge, undisturbed, disk):
    place, resize = disk
    store = place / "s.etendue"
    forge.succeeds(*command(site, inputs[:1], store))
    before = digest(store)
    resize(used(place) + 80 * 1024)
    ended = forge(*command(site, inputs, store))
    assert ended.code == 1
    assert f"etendue: {store} cannot be read or written: " in ended.output
    assert "No space left on device" in ended.output
    assert digest(store) == before
    resize(64 << 20)
    forge.succeeds(*command(site, inputs, store))
    assert_same_but_revision(store, undisturbed)
