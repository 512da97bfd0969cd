"""Compiled kernels of workers, taken along from one job to the next."""

import os
import subprocess
import sys

import pytest

from etendue.cluster.kernels import count, pack, unpack


@pytest.fixture
def folder(tmp_path):
    """A folder as Numba fills it."""
    code = "import numba\n@numba.njit(cache=True)\ndef double(x): return 2 * x\nassert double(3) == 6\n"
    (tmp_path / "doubling.py").write_text(code)
    cache = tmp_path / "numba"
    for _ in range(2):
        subprocess.run(
            [sys.executable, "doubling.py"], cwd=tmp_path, check=True, timeout=60,
            env=os.environ | {"NUMBA_CACHE_DIR": str(cache)},
        )  # fmt: skip
    return cache


def test_kernels_go_from_folder_to_folder(folder, tmp_path):
    archive, other = tmp_path / "shared" / "kernels.tar", tmp_path / "other"
    assert unpack(archive, other) == 0
    pack(folder, archive)
    assert [path.name for path in archive.parent.iterdir()] == ["kernels.tar"]
    assert unpack(archive, other) == count(folder) == 1
    mine, theirs = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*.nb?")} for f in (folder, other))
    assert mine == theirs


def test_kernels_that_others_could_have_written_are_not_taken(folder, tmp_path):
    archive = tmp_path / "kernels.tar"
    pack(folder, archive)
    archive.chmod(0o666)
    assert unpack(archive, tmp_path / "other") == 0
    archive.chmod(0o600)
    archive.write_bytes(archive.read_bytes()[:700])
    assert unpack(archive, tmp_path / "third") == 0
