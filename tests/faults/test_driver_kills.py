"""The driver is killed: at points before, in and after each step, and at random times, fifty and more."""

import random
import signal
from collections import Counter

import pytest

from .harness import assert_same, call, command, digest, start, tags, wait_for
from .points import PUBLICATION

KILLED = -signal.SIGKILL

#: Every step of a pass, with how many times it has been come to before the kill.
POINTS = [
    "before job.1",
    "after job.1",
    "before branch_off.1",
    "after branch_off.1",
    "before commit.1",  # of what is begun
    "after begin.1",
    "read.1",
    "compute.5",
    "before write.1",
    "after write.5",
    "before merge.1",
    "after merge.1",
    "before append.1",
    "after append.3",
    "before commit.3",
    "after commit.2",
    "after commit.4",
    "before write_true.1",
    "after write_true.1",
    "before write_ledger.1",
    "after write_ledger.1",
    "before sync.1",
    "before sync.3",
    "after sync.3",
    "after reset_branch.2",
    "before show.1",
    "before create_tag.1",
    "after create_tag.1",
    "before delete_branch.1",
    "after delete_branch.1",
    "before release.1",
    "after release.1",
]


@pytest.mark.cluster
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_point(site, inputs, forge, undisturbed, tmp_path, point):
    store = tmp_path / "s.etendue"
    (forge.points / point).touch()
    ended = forge(*command(site, inputs, store))
    assert ended.code == KILLED, ended.output
    assert not (forge.points / point).exists()
    forge.succeeds(*command(site, inputs, store))
    assert_same(store, undisturbed)
    assert tags(store) == ["p"]


def test_killed_again_and_again_while_it_is_taken_up(site, inputs, forge, undisturbed, tmp_path):
    """Also a run that was taken up can be killed at any point, as often as that happens."""
    store = tmp_path / "s.etendue"
    of_work = ["after commit.3", "before commit.1", "after commit.1", "before append.1", "after merge.2"]
    for point in of_work + PUBLICATION:
        (forge.points / point).touch()
        ended = forge(*command(site, inputs, store))
        assert ended.code == KILLED, (point, ended.output)
    forge.succeeds(*command(site, inputs, store))
    assert_same(store, undisturbed)
    assert tags(store) == ["p"]


def phase(point: str) -> str:
    """What a run was at when it came to a point."""
    _, _, step = point.partition(" ")
    if step in ("merge", "append", "commit", "sync", "reset_branch"):
        return "commit"
    if step in ("write_true", "write_ledger", "show", "create_tag", "delete_branch", "release"):
        return "publish"
    return "work" if point in ("read", "compute") or step == "write" else "plan"


@pytest.mark.cluster
def test_killed_fifty_times_at_random(site, inputs, forge, undisturbed, tmp_path):
    """Killed after a random time and started again until it ends, over and over."""
    rng = random.Random(4)
    kills, n_stores = Counter(), 0
    longest = forge.succeeds(*command(site, inputs, tmp_path / "whole.etendue")).seconds
    store = None
    while kills.total() < 50 or (len(kills) < 4 and kills.total() < 150):
        if store is None:
            store, n_stores = tmp_path / f"s{n_stores}.etendue", n_stores + 1
        ended = forge(*command(site, inputs, store), delay=rng.uniform(0, longest))
        if ended.code == KILLED:
            kills[phase(ended.last)] += 1
            longest *= 1.1
            if (store / "repo").exists() and tags(store):
                assert digest(store) == digest(undisturbed)
            continue
        assert ended.code == 0, ended.output
        assert_same(store, undisturbed)
        assert tags(store) == ["p"]
        longest *= 0.6
        store = None
    print(f"{kills.total()} kills {dict(kills)}, {n_stores} stores")
    assert set(kills) == {"plan", "work", "commit", "publish"}
    assert n_stores > 5


def test_a_command_of_a_user_is_killed_and_started_again(site, inputs, undisturbed, tmp_path):
    """Without anything of the harness in the process, and with its own pace of commits."""
    store = tmp_path / "s.etendue"
    process = start(site, command(site, inputs, store), tmp_path / "output.txt")
    wait_for(store / "chunks", process)
    process.kill()
    process.wait()
    assert call(site, *command(site, inputs, store)).code == 0
    assert_same(store, undisturbed)
