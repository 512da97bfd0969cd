"""Places to run: open schedulers are refused, closed ones refuse strangers."""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep

import pytest

import etendue as et
from etendue.cluster import ClusterError


def test_an_open_scheduler_is_an_explicit_choice():
    with pytest.raises(ClusterError, match="not encrypted"):
        et.connect("tcp://127.0.0.1:1")


def test_an_unknown_place_is_named():
    with pytest.raises(ClusterError, match="unknown place 'moon'"):
        et.connect("moon")


@pytest.mark.cluster
def test_processes_speak_tls_on_loopback_and_refuse_strangers():
    with et.connect("processes", workers=1) as client:
        address = client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        # In a process of its own: a client that is refused closes itself when it is collected.
        stranger = f"from distributed import Client; Client({address!r}, timeout='5s')"
        done = subprocess.run(
            [sys.executable, "-c", stranger], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 1
        assert "TLS expects a `ssl_context`" in done.stderr
        with pytest.raises(ClusterError, match="no scheduler"):
            et.connect(address)
        assert client.submit(pow, 2, 10).result() == 1024


#: Has workers whose interpreters take ten seconds to be taken apart, as with many kernels on a full node.
_SLOW_TO_END = """
import etendue as et, sys, time
from distributed import LocalCluster

def burden():
    import sys, time, types

    class Slow:
        def __del__(self, sleep=time.sleep):
            sleep(10)

    sys.modules["burden"] = types.ModuleType("burden")
    sys.modules["burden"].slow = Slow()

if __name__ == "__main__":
    own = LocalCluster(n_workers=1, dashboard_address="127.0.0.1:0") if sys.argv[1] == "own" else None
    client = et.connect(own or "processes", **({} if own else {"workers": 1}))
    et.open("simulated://gamma?n_showers=3").write("s.etendue", sys.argv[1], client=client, quiet=True)
    client.run(burden)
    start = time.monotonic()
    client.close()
    if own:
        own.close()
    print(time.monotonic() - start)
"""


@pytest.mark.parametrize("whose", ["own", "ours"])
def test_a_pool_of_processes_ends_at_once(tmp_path, whose):
    (tmp_path / "slow.py").write_text(_SLOW_TO_END)
    done = subprocess.run(
        [sys.executable, "slow.py", whose],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "still alive" not in done.stderr
    assert float(done.stdout) < 2


def end(process):
    """Ask a process to end, and do not wait for ever."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture
def scheduler(tmp_path):
    """A scheduler and a worker in processes of their own, with credentials of their own."""
    credentials = tmp_path / "credentials"
    script = Path(__file__).parents[2] / "cluster" / "credentials.py"
    subprocess.run([sys.executable, script, credentials], check=True)
    tls = [f"--tls-{option}={credentials / name}" for option, name in
           (("ca-file", "ca.pem"), ("cert", "cert.pem"), ("key", "key.pem"))]  # fmt: skip
    facts = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    commands = (
        [*dask, "scheduler", *tls, "--host", "tls://127.0.0.1", "--port", "0", "--scheduler-file", facts,
         "--dashboard-address", "127.0.0.1:0"],
        [*dask, "worker", *tls, "--scheduler-file", facts, "--nthreads", "2", "--no-dashboard",
         "--local-directory", tmp_path],
    )  # fmt: skip
    with ExitStack() as stack:
        for command in commands:
            process = subprocess.Popen([*map(str, command)], stderr=subprocess.DEVNULL)
            stack.callback(end, process)
            deadline = monotonic() + 60
            while not facts.exists() and monotonic() < deadline:
                sleep(0.1)
        yield json.loads(facts.read_text())["address"], credentials


@pytest.mark.cluster
def test_a_pass_on_a_cluster_with_credentials(scheduler, tmp_path):
    address, credentials = scheduler
    assert all(path.stat().st_mode & 0o077 == 0 for path in credentials.iterdir())
    command = [sys.executable, "-m", "etendue", "run", "iact", "simulated://gamma?n_showers=200&seed=1"]
    where = ["--into", tmp_path / "s", "--pass", "a", "--on", address]
    done = subprocess.run(
        [*map(str, [*command, *where, "--credentials", credentials])],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    flow = et.open("simulated://gamma?n_showers=200&seed=1") | et.find_pipeline("iact")
    assert et.load(tmp_path / "s", "a").compute()["simcam"].equals(flow.compute()["simcam"])
    foreign = tmp_path / "foreign"
    script = Path(__file__).parents[2] / "cluster" / "credentials.py"
    subprocess.run([sys.executable, script, foreign], check=True)
    with pytest.raises(ClusterError, match="TLS certificate"):
        et.connect(address, credentials=foreign)
