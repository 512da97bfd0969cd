"""One driver at a time: the second stops at once; what a dead one leaves behind is told from a live one."""

import json
import os
import signal
import socket
from pathlib import Path
from time import monotonic

import pytest

from .harness import assert_same, command, start, tags, wait_for
from .raw import PACE


@pytest.mark.parametrize("name", ["p", "q"])
def test_the_second_driver_stops_at_once(site, inputs, forge, undisturbed, tmp_path, name):
    """Of the same pass, and of another one in the same store."""
    store = tmp_path / "s.etendue"
    first = start(site, command(site, inputs, store), tmp_path / "output.txt", **{PACE: "0.2"})
    wait_for(store / "chunks", first)
    begin = monotonic()
    ended = forge(*command(site, inputs, store, "--pass", name))
    assert first.poll() is None
    assert ended.code == 1
    assert monotonic() - begin < 5
    assert (
        f"{store} is being written by process {first.pid} on {socket.gethostname()} (since " in ended.output
    )
    assert "Traceback" not in ended.output
    assert first.wait(60) == 0
    assert_same(store, undisturbed)


def test_a_lock_of_a_dead_process_is_taken_over(site, inputs, forge, undisturbed, tmp_path):
    store = tmp_path / "s.etendue"
    (forge.points / "after commit.3").touch()
    assert forge(*command(site, inputs, store)).code == -signal.SIGKILL
    lock = Path(f"{store}.lock")
    assert json.loads(lock.read_text())["host"] == socket.gethostname()
    forge.succeeds(*command(site, inputs, store))
    assert_same(store, undisturbed)


def test_numbers_of_processes_do_not_count(site, inputs, forge, undisturbed, tmp_path):
    """The number in a stale lock may by now be that of some other process that lives."""
    store = tmp_path / "s.etendue"
    holder = {"host": socket.gethostname(), "pid": os.getpid(), "since": "2026-01-01T00:00:00+00:00"}
    Path(f"{store}.lock").write_text(json.dumps(holder))
    forge.succeeds(*command(site, inputs, store))
    assert_same(store, undisturbed)


def test_a_living_driver_is_taken_over(site, inputs, forge, undisturbed, tmp_path):
    """It commits no more, and the other goes on with what it has committed."""
    store, output = tmp_path / "s.etendue", tmp_path / "output.txt"
    first = start(site, command(site, inputs, store), output, **{PACE: "0.2"})
    wait_for(store / "chunks", first)
    forge.succeeds(*command(site, inputs, store, "--take-over"))
    assert first.wait(60) == 1
    said = output.read_text()
    assert f"{store} was taken over by process " in said or "has taken up pass 'p'" in said
    assert "Traceback" not in said
    assert_same(store, undisturbed)


def test_a_lock_of_another_host_is_respected(site, inputs, forge, undisturbed, tmp_path):
    """Nobody can tell from here whether its process lives, until its lease has ended."""
    store, lock = tmp_path / "s.etendue", Path(f"{tmp_path / 's.etendue'}.lock")
    lock.write_text(json.dumps({"host": "node17", "pid": 4711, "since": "2026-01-01T00:00:00+00:00"}))
    ended = forge(*command(site, inputs, store))
    assert ended.code == 1
    assert "process 4711 on node17 (since 2026-01-01" in ended.output
    assert f"if it no longer runs there, remove {lock}" in ended.output
    os.utime(lock, (0, 0))
    forge.succeeds(*command(site, inputs, store))
    assert tags(store) == ["p"]
    assert_same(store, undisturbed)
