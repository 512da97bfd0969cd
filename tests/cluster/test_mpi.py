"""A pass on ranks of MPI, started with mpiexec."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import etendue as et

pytestmark = pytest.mark.cluster

COPY = """
import sys
import etendue as et

raw, copy = sys.argv[1:]
with et.connect("mpi") as client:
    et.open(f"{raw}@raw", partition_bytes=1 << 20).columns("*").write(copy, "copy", client=client)
"""

LISTENING = '''
import etendue as et

def http(dask_worker):
    """Where the worker's own web server listens; MPI has sockets too."""
    return {socket.getsockname()[0] for socket in dask_worker.http_server._sockets.values()}

with et.connect("mpi") as client:
    assert client.scheduler.address.startswith("tls://")
    print(len(client.nthreads()), "workers,", set().union(*client.run(http).values()))
'''


@pytest.fixture
def ranks(tmp_path):
    """Run Python under mpiexec."""
    pytest.importorskip("dask_mpi")
    pytest.importorskip("mpi4py")
    mpiexec = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if mpiexec is None:
        pytest.skip("no mpiexec here: pip install mpich")

    def run(n, *words):
        return subprocess.run(
            [mpiexec, "-n", str(n), sys.executable, *map(str, words)],
            capture_output=True, text=True, timeout=200, check=False,
            env=os.environ | {"XDG_CONFIG_HOME": str(tmp_path)},
        )  # fmt: skip

    return run


def test_a_pass_on_ranks_is_the_one_that_threads_write(ranks, tmp_path):
    raw = tmp_path / "raw"
    et.open("simulated://gamma?n_showers=200&seed=1", partition_bytes=1 << 20).write(raw, "raw", quiet=True)
    (tmp_path / "etendue").mkdir()
    (tmp_path / "etendue" / "mpi.toml").write_text(f'kind = "mpi"\nshared_directory = "{tmp_path}/shared"\n')
    done = ranks(4, "-c", COPY, raw, tmp_path / "copy")
    assert done.returncode == 0, done.stderr
    mine, theirs = et.load(tmp_path / "copy", "copy").compute(), et.load(raw, "raw").compute()
    assert all(mine[table].equals(theirs[table]) for table in ("events", "simcam"))


def test_ranks_speak_tls_and_end(ranks):
    done = ranks(4, "-c", LISTENING)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2 workers, {'127.0.0.1'}\n"


def test_too_few_ranks_are_told(ranks):
    done = ranks(1, "-c", "import etendue; etendue.connect('mpi')")
    assert done.returncode != 0
    assert "start the program with mpiexec -n N, N >= 3" in done.stderr
