"""The end of a process that has just read a store, while threads of Icechunk are not yet done with Python."""

import subprocess
import sys

import pytest

import etendue as et

#: Threads of others that wake an event loop are held there, as on a machine that is busy.
BUSY = """
import threading, time
from asyncio.selector_events import BaseSelectorEventLoop as Loop

def wake(loop, wake=Loop._write_to_self):
    wake(loop)
    if threading.get_ident() not in {thread.ident for thread in threading.enumerate()}:
        time.sleep(0.3)

Loop._write_to_self = wake
"""

READS = """
from etendue.store.repository import chunk_numbers, open_repository
session = open_repository("s.etendue").readonly_session("main")
print(*chunk_numbers(session.store, ["events/event_id"]).values())
"""

#: Leaves calls behind that nobody waits for, as an error of another one does, or Ctrl-C.
ABANDONS = """
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import _get_loop
import asyncio
for _ in range(20):
    asyncio.run_coroutine_threadsafe(session.store.get("zarr.json", default_buffer_prototype()), _get_loop())
raise KeyboardInterrupt
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ending")
    et.open("simulated://gamma?n_showers=10").write(folder / "s.etendue", "raw", quiet=True)
    return folder


def python(code, *arguments, cwd):
    command = [sys.executable, "-X", "faulthandler", "-c", code, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_a_reader_ends_well(folder):
    done = python(BUSY + READS, cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0]\n", "")


def test_calls_that_nobody_waits_for_are_awaited(folder):
    done = python(BUSY + READS + ABANDONS, cwd=folder)
    assert done.returncode == -2  # by the signal, as Python ends by it
    assert done.stdout == "[0]\n"
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("\nKeyboardInterrupt\n")


@pytest.mark.parametrize(
    ("arguments", "code"), [(["log", "s.etendue"], 0), (["info", "s.etendue@nothing"], 1)]
)
def test_the_command_ends_well(folder, arguments, code):
    done = python(BUSY + "from etendue.cli import main; main()", *arguments, cwd=folder)
    assert done.returncode == code, done.stderr
    if code == 0:
        assert "raw" in done.stdout
        assert done.stderr == ""
    else:
        assert done.stderr.startswith("etendue: ")
        assert done.stderr.count("\n") == 1
