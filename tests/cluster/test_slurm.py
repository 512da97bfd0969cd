"""Passes on a real SLURM (`cluster/slurm-test.sh up`): whatever becomes of jobs, the store is the same."""

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import numpy as np
import pytest

import etendue as et
from etendue.cluster import ClusterError, jobs
from etendue.cluster.profile import SlurmProfile
from etendue.store.reader import PassReader

from .linger import Gate, Linger, double

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(180)]

N_PARTITIONS = 40
ROOT = Path(__file__).parents[2]


def say(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.split()


def wait_until(condition, seconds=40):
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline, "waited in vain"
        sleep(0.2)


@pytest.fixture(scope="module", autouse=True)
def queue():
    """The jobs in the queue; all are cancelled in the end."""
    if "SLURM_CONF" not in os.environ or shutil.which("sbatch") is None:
        pytest.skip("no SLURM here: see cluster/slurm-test.sh")
    yield lambda: say("squeue", "--noheader", "--format=%A")
    subprocess.run(["scancel", "--partition=test"], timeout=30, check=False)


@pytest.fixture(autouse=True)
def look_often(monkeypatch):
    monkeypatch.setattr(jobs, "CHECK_SECONDS", 1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("slurm")


@pytest.fixture(scope="module")
def site(folder):
    """A profile of the test cluster, with changes."""
    scratch = folder / "scratch"
    scratch.mkdir()
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])

    def make(**changes):
        facts = {
            "queue": "test", "memory": "2GB", "interface": "lo", "jobs": 2, "walltime": "10m",
            "local_directory": str(scratch), "shared_directory": folder / "shared",
            "environment": {"PYTHONPATH": path},
        }  # fmt: skip
        return SlurmProfile(**facts | changes)

    return make


@pytest.fixture(scope="module")
def flow(folder):
    """Enough to do for some ten seconds on two nodes."""
    raw = folder / "raw"
    inputs = [f"simulated://gamma?n_showers=10&seed={seed}" for seed in range(N_PARTITIONS)]
    et.open(*inputs).write(raw, "raw", quiet=True)
    flow = et.open(f"{raw}@raw", partition_bytes=1) | Linger(seconds=0.4)
    assert len(flow.plan().partitions) > 0.9 * N_PARTITIONS  # empty ones are not kept
    return flow.columns("*")  # nothing that jobs would have to compile


@pytest.fixture(scope="module")
def undisturbed(flow, folder):
    """The pass as threads write it."""
    flow.write(folder / "threads", "a", quiet=True)
    return folder / "threads"


def assert_same(store, expected):
    one, other = et.load(store, "a").compute(), et.load(expected, "a").compute()
    assert set(one.groups) == set(other.groups)
    for group in one.groups:
        assert set(one[group].data_vars) == set(other[group].data_vars)
        for name, column in one[group].data_vars.items():
            assert column.dtype == other[group][name].dtype
            assert column.values.tobytes() == other[group][name].values.tobytes() or column.equals(
                other[group][name]
            )
    mine, theirs = (PassReader.open(str(path), "a").rows for path in (store, expected))
    assert mine.keys() == theirs.keys()
    for table, rows in mine.items():
        np.testing.assert_array_equal(rows, theirs[table])


def job_of_worker():
    return os.environ["SLURM_JOB_ID"]


def test_a_pass_on_slurm_is_the_one_that_threads_write(site, flow, undisturbed, folder, queue):
    with et.connect(site()) as client:
        client.wait_for_workers(2, timeout=60)
        numbers = set(client.run(job_of_worker).values())
        assert numbers == set(queue())
        assert len(numbers) == 2
        flow.write(folder / "slurm", "a", client=client, quiet=True)
        strangers_are_refused(client.scheduler.address, folder)
        nothing_listens_to_the_world(client)
    assert_same(folder / "slurm", undisturbed)
    wait_until(lambda: not queue())
    assert not list((folder / "shared").glob("credentials-*"))
    wait_until(lambda: not list((folder / "scratch").iterdir()))


def strangers_are_refused(address, folder):
    plain = f"from distributed import Client; Client({address!r}, timeout='5s')"
    done = subprocess.run(
        [sys.executable, "-c", plain], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "TLS expects a `ssl_context`" in done.stderr
    script = ROOT / "cluster" / "credentials.py"
    subprocess.run([sys.executable, script, folder / "foreign"], check=True, timeout=60)
    with pytest.raises(ClusterError, match="TLS certificate"):
        et.connect(address, credentials=folder / "foreign")


def nothing_listens_to_the_world(client):
    def addresses():
        import psutil

        me = psutil.Process()
        return {
            connection.laddr.ip
            for process in (me, me.parent())
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }

    assert set().union(*client.run(addresses).values()) == {"127.0.0.1"}


def test_a_cancelled_job_changes_nothing(site, flow, undisturbed, folder, queue):
    with et.connect(site()) as client:
        client.wait_for_workers(2, timeout=60)
        victim, other = sorted(set(client.run(job_of_worker).values()))

        def cancel():
            sleep(2)
            say("scancel", victim)

        Thread(target=cancel, daemon=True).start()
        flow.write(folder / "cancelled", "a", client=client, quiet=True)
        assert victim not in queue()
        client.wait_for_workers(2, timeout=60)  # another job came in its place
        assert other in queue()
    assert_same(folder / "cancelled", undisturbed)


def test_a_job_that_is_killed_at_its_walltime_changes_nothing(site, flow, undisturbed, folder, queue):
    """The walltime is cut short while the worker has a span in hand; SLURM looks at it twice a minute."""
    gate = folder / "gate"
    gate.mkdir()

    def at(state, job="*"):
        """Jobs and the partitions that wait for them to open the gate, or that they have done."""
        return {tuple(path.stem.split("-")) for path in gate.glob(f"{job}-*.{state}")}

    def end_one():
        try:
            wait_until(lambda: len({job for job, _ in at("waits")}) == 2)
            victim = min(at("waits"))[0]
            say("scontrol", "update", f"JobId={victim}", "EndTime=now+1")
            wait_until(lambda: "JobState=TIMEOUT" in say("scontrol", "show", "job", victim), seconds=60)
            return victim
        finally:
            (gate / "open").touch()

    held = et.open(f"{folder / 'raw'}@raw", partition_bytes=1) | Gate(seconds=0.4, address=f"gate:{gate}")
    with et.connect(site()) as client, ThreadPoolExecutor(1) as pool:
        client.wait_for_workers(2, timeout=60)
        first = set(client.run(job_of_worker).values())
        ended = pool.submit(end_one)
        held.columns("*").write(folder / "walltime", "a", client=client, quiet=True)
        victim = ended.result()
        in_hand = {partition for _, partition in at("waits", victim)}
        assert in_hand
        assert not at("done", victim)
        assert in_hand <= {partition for _, partition in at("done")}  # by others
        client.wait_for_workers(2, timeout=60)
        assert set(client.run(job_of_worker).values()) - first  # another job came in its place
    assert_same(folder / "walltime", undisturbed)


def test_lifetimes_shorter_than_the_run_change_nothing(site, flow, undisturbed, folder):
    logs = folder / "shared" / "logs"
    before = len(list(logs.glob("*.out")))
    with et.connect(site(lifetime="7s", stagger="1s")) as client:
        flow.write(folder / "lifetimes", "a", client=client, quiet=True)
    assert len(list(logs.glob("*.out"))) - before > 2  # more jobs than at a time
    assert_same(folder / "lifetimes", undisturbed)


def test_jobs_that_end_before_a_worker_comes_are_told_with_their_log(site, queue):
    with pytest.raises(ClusterError, match="no module named ctapipe4"):
        et.connect(site(prologue=("echo no module named ctapipe4 >&2", "exit 3")))
    wait_until(lambda: not queue())


def test_a_run_does_not_wait_for_jobs_that_cannot_come(site, flow, folder, queue, monkeypatch, caplog):
    monkeypatch.setattr(jobs, "FAILURES", 0)
    broken = folder / "broken"
    profile = site(jobs=1, prologue=(f"if [ -e {broken} ]; then echo disk is gone >&2; exit 3; fi",))

    def break_all():
        sleep(1)
        broken.touch()
        say("scancel", *queue())

    with et.connect(profile) as client:
        Thread(target=break_all, daemon=True).start()
        with pytest.raises(CancelledError):
            flow.write(folder / "broken-off", "a", client=client, quiet=True)
    assert "disk is gone" in caplog.text


def test_a_refused_job_is_told(site):
    with pytest.raises(ClusterError, match="invalid partition specified: nowhere"):
        et.connect(site(queue="nowhere"))


def test_jobs_end_with_a_driver_that_was_killed(site, folder, queue):
    code = f"""
import etendue as et, time
from etendue.cluster.profile import SlurmProfile
client = et.connect(SlurmProfile(**{site(jobs=1).model_dump(mode="json")!r}))
print("connected", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as driver:
        try:
            assert driver.stdout.readline() == "connected\n"
            assert len(queue()) == 1
        finally:
            driver.send_signal(signal.SIGKILL)
    wait_until(lambda: not queue())
    for left in (folder / "shared").glob("credentials-*"):
        shutil.rmtree(left)


def test_the_command_runs_on_a_site_by_its_name(site, folder, flow, monkeypatch):
    profiles = folder / "config" / "etendue"
    profiles.mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    facts = site()
    (profiles / "slurm.toml").write_text(
        f'kind = "slurm"\nqueue = "test"\nmemory = "2GB"\ninterface = "lo"\n'
        f'local_directory = "{facts.local_directory}"\nshared_directory = "{facts.shared_directory}"\n'
    )
    (folder / "charges.toml").write_text(
        '[[stage]]\nuse = "iact.Calibrate"\n\n[[stage]]\nuse = "iact.Integrate"\n'
    )
    command = [sys.executable, "-m", "etendue", "run", folder / "charges.toml", f"{folder / 'raw'}@raw"]
    where = ["--into", folder / "command", "--pass", "a", "--on", "slurm"]
    done = subprocess.run(
        [*map(str, [*command, *where])], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    flow = et.open(f"{folder / 'raw'}@raw") | et.iact.Calibrate() | et.iact.Integrate()
    assert et.load(folder / "command", "a").compute()["simcam"].equals(flow.compute()["simcam"])


def test_credentials_are_the_owners_only_and_kernels_go_from_job_to_job(site, tmp_path):
    def kernels():
        import numba

        return numba.config.CACHE_DIR, [path.name for path in Path(numba.config.CACHE_DIR).rglob("*.nbc")]

    profile = site(jobs=1, shared_directory=tmp_path)
    for n_kernels in (0, 1):
        with et.connect(profile) as client:
            (held,) = tmp_path.glob("credentials-*")
            assert held.stat().st_mode & 0o777 == 0o700
            assert {path.stat().st_mode & 0o777 for path in held.iterdir()} == {0o600}
            where, names = client.run(kernels).popitem()[1]
            assert Path(where).is_relative_to(profile.local_directory)
            assert len([name for name in names if "double" in name]) == n_kernels
            assert client.submit(double, 3).result(timeout=60) == 6
            wait_until(lambda: list(tmp_path.glob("kernels-*.tar")))
