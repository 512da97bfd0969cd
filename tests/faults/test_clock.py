"""The clock jumps between interruption and resume; libfaketime shows it to the run.

Icechunk notes the time of each change, and makes none that is before the last one or that is far from the
time of the file system. So a clock that is wrong stops a run with an error, and one that is right goes on.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .harness import assert_same, call, command, environment, tags

_LIBRARY = "faketime/libfaketimeMT.so.1"


@pytest.fixture(scope="module")
def clock():
    """Variables of a process whose clock is off; the times of files are as they are."""
    found = next((p for p in map(Path, ("/usr/lib", "/usr/lib64")) for p in p.glob(f"*/{_LIBRARY}")), None)
    if found is None:
        pytest.skip("this needs libfaketime (Debian: apt install faketime)")

    return lambda by: {"LD_PRELOAD": str(found), "FAKETIME": by, "NO_FAKE_STAT": "1"}


@pytest.fixture
def interrupted(site, inputs, forge, tmp_path):
    store = tmp_path / "s.etendue"
    (forge.points / "after commit.4").touch()
    assert forge(*command(site, inputs, store)).code == -signal.SIGKILL
    return store


@pytest.mark.parametrize(("by", "said"), [("-1d", "86400 s behind"), ("+1d", "86400 s ahead of")])
def test_a_clock_that_is_not_that_of_the_files(
    site, inputs, forge, undisturbed, clock, interrupted, by, said
):
    store = interrupted
    ended = call(site, *command(site, inputs, store), variables=clock(by))
    assert ended.code == 1
    assert f"the clock is {said} that of the file system of {store}: set it right" in ended.output
    assert tags(store) == []
    forge.succeeds(*command(site, inputs, store))
    assert_same(store, undisturbed)


def test_no_store_is_begun_with_a_wrong_clock(site, inputs, forge, undisturbed, clock, tmp_path):
    """It would take no changes until its time has come."""
    store = tmp_path / "s.etendue"
    assert call(site, *command(site, inputs, store), variables=clock("+1d")).code == 1
    assert not store.exists()
    forge.succeeds(*command(site, inputs, store))
    assert_same(store, undisturbed)


def test_a_clock_that_was_set_back(site, inputs, forge, undisturbed, clock, interrupted):
    """With that of the file system, as far as this can be shown: all is a day before the last commit."""
    store = interrupted
    code = "from etendue.store import lock; lock._DRIFT = 1e9; from etendue.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *command(site, inputs, store)],
        env={**os.environ, **environment(site), **clock("-1d")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "the clock is not what it was when the store was written last" in done.stderr
    assert "Traceback" not in done.stderr
    assert tags(store) == []
    forge.succeeds(*command(site, inputs, store))
    assert_same(store, undisturbed)
