"""Runs that are added to a pass, and interrupted while they are."""

import random
import signal

import pytest

from .harness import assert_same_but_revision, command, digest, events_by_run, tags

KILLED = -signal.SIGKILL


def test_added_one_by_one_it_is_the_pass_of_all(site, inputs, forge, undisturbed, tmp_path):
    """Each addition is killed at another place before it gets through."""
    store = tmp_path / "s.etendue"
    points = [["after branch_off.1", "after commit.2"], ["after begin.1", "before create_tag.1"],
              ["before commit.1", "after append.2", "after write_ledger.1"]]  # fmt: skip
    for n, of_addition in enumerate(points, start=1):
        for point in of_addition:
            (forge.points / point).touch()
            assert forge(*command(site, inputs[:n], store)).code == KILLED
        forge.succeeds(*command(site, inputs[:n], store))
    assert tags(store) == ["p", "p+1", "p+2"]
    assert_same_but_revision(store, undisturbed)


def test_the_order_of_additions_numbers_the_runs(site, inputs, forge, undisturbed, tmp_path):
    store = tmp_path / "s.etendue"
    for path in reversed(inputs):
        forge.succeeds(*command(site, [path], store))
    assert tags(store) == ["p", "p+1", "p+2"]
    assert events_by_run(store) == events_by_run(undisturbed)
    assert digest(store) != digest(undisturbed)
    forge.succeeds(*command(site, inputs, store))  # there is nothing new
    assert tags(store) == ["p", "p+1", "p+2"]


def test_an_interrupted_addition_takes_no_other_inputs(site, inputs, forge, undisturbed, tmp_path):
    """What was begun is ended before more is added; readers see the revision before."""
    store = tmp_path / "s.etendue"
    forge.succeeds(*command(site, inputs[:1], store))
    before = digest(store)
    (forge.points / "after commit.2").touch()
    assert forge(*command(site, inputs[:2], store)).code == KILLED
    assert digest(store) == before
    ended = forge(*command(site, inputs, store))
    assert ended.code == 1
    assert f"inputs.{inputs[2]}: was not there" in ended.output
    forge.succeeds(*command(site, inputs[:2], store))
    forge.succeeds(*command(site, inputs, store))
    assert_same_but_revision(store, undisturbed)


def test_another_pass_in_the_store_stays_what_it_was(site, inputs, forge, undisturbed, tmp_path):
    """Working branches begin at the newest pass or the revision before, and must not be taken for them."""
    store = tmp_path / "s.etendue"
    forge.succeeds(*command(site, inputs[:1], store))
    first = digest(store)
    for point in ("after branch_off.1", "before commit.1"):
        (forge.points / point).touch()
        assert forge(*command(site, inputs[:2], store, "--pass", "q")).code == KILLED
        assert tags(store) == ["p"]
    forge.succeeds(*command(site, inputs[:2], store, "--pass", "q"))
    newest = digest(store)
    for point in ("after branch_off.1", "before commit.1"):
        (forge.points / point).touch()
        assert forge(*command(site, inputs, store)).code == KILLED
    assert digest(store) == newest
    assert digest(f"{store}@p") == first
    forge.succeeds(*command(site, inputs, store))
    assert tags(store) == ["p", "q", "p+1"]
    assert_same_but_revision(store, undisturbed)


def test_a_publication_cut_short_and_then_another_pass(site, inputs, forge, undisturbed, tmp_path):
    """The newest pass has no tag yet when the next one begins at it, and that is cut short too."""
    store = tmp_path / "s.etendue"
    (forge.points / "before create_tag.1").touch()
    assert forge(*command(site, inputs, store)).code == KILLED
    (forge.points / "after branch_off.1").touch()
    assert forge(*command(site, inputs[:1], store, "--pass", "q")).code == KILLED
    forge.succeeds(*command(site, inputs[:1], store, "--pass", "q"))
    assert tags(store) == ["q"]
    forge.succeeds(*command(site, inputs, store))
    assert tags(store) == ["q", "p"] or tags(store) == ["p", "q"]
    assert digest(f"{store}@p") == digest(undisturbed)


@pytest.mark.cluster
def test_additions_killed_at_random(site, inputs, forge, undisturbed, tmp_path):
    rng, store, n_kills = random.Random(11), tmp_path / "s.etendue", 0
    for n in range(1, 4):
        longest = 1.0
        while (
            code := forge(*command(site, inputs[:n], store), delay=rng.uniform(0, longest)).code
        ) == KILLED:
            longest *= 1.1
            n_kills += 1
        assert code == 0
    print(f"{n_kills} kills")
    assert tags(store) == ["p", "p+1", "p+2"]
    assert_same_but_revision(store, undisturbed)
