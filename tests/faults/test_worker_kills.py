"""Workers are killed, while they read, compute and write, and at random; the run goes on without them."""

import random
import signal
import subprocess
from contextlib import suppress
from time import monotonic, sleep

import psutil
import pytest

from .harness import assert_same, command, start
from .raw import PACE

pytestmark = pytest.mark.cluster


def workers_of(process: subprocess.Popen) -> list[psutil.Process]:
    """The worker processes of a run on a local cluster."""
    found = []
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if any("spawn_main" in word for word in child.cmdline()):
                    found.append(child)
    return found


def test_killed_while_they_read_compute_and_write(site, inputs, undisturbed, tmp_path):
    """Each point is met once by some worker: before and in the middle of its work."""
    store, output = tmp_path / "s.etendue", tmp_path / "output.txt"
    points = tmp_path / "points"
    points.mkdir()
    for point in ("read.1", "compute.2", "before write.3", "after write.4"):
        (points / point).touch()
    variables = {"ETENDUE_TEST_POINTS": str(points)}
    process = start(site, command(site, inputs, store, "--on", "processes"), output, **variables)
    assert process.wait(120) == 0, output.read_text()
    assert [entry.name for entry in points.iterdir()] == ["last"]
    assert_same(store, undisturbed)


def test_killed_at_random(site, inputs, undisturbed, tmp_path):
    """Also both at the same time, so that what was sent to them is lost with them."""
    store, output = tmp_path / "s.etendue", tmp_path / "output.txt"
    arguments = command(site, inputs, store, "--on", "processes")
    process = start(site, arguments, output, **{PACE: "0.4"})
    rng = random.Random(5)
    n_kills, deadline = 0, monotonic() + 60
    while process.poll() is None and monotonic() < deadline:
        sleep(rng.uniform(0.0, 1.2))
        workers = workers_of(process)
        if (store / "chunks").exists() and n_kills < 12 and workers:
            for worker in rng.sample(workers, rng.randint(1, len(workers))):
                with suppress(psutil.NoSuchProcess):
                    worker.send_signal(signal.SIGKILL)
                    n_kills += 1
    assert process.wait(60) == 0, output.read_text()
    assert n_kills >= 2
    assert_same(store, undisturbed)
