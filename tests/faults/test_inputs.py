"""Raw files that disappear or change: between plan and run, and between interruption and resume."""

import os
import re
import shutil
from pathlib import Path

import pytest

import etendue as et
from etendue.dataflow import passes as passes_module
from etendue.dataflow.source import SourceError
from etendue.store.reader import PassReader

from .harness import assert_same, command, events_by_run, tags
from .raw import charge, spoil, truncate, write_raw

pytestmark = pytest.mark.usefixtures("toy")


@pytest.fixture
def own(inputs, tmp_path) -> list[Path]:
    """Copies of the raw files, with their times."""
    return [Path(shutil.copy2(path, tmp_path)) for path in inputs]


@pytest.fixture
def meanwhile(monkeypatch):
    """Have something happen after the plan is made, and before anything is read."""

    def arrange(change) -> None:
        begin = passes_module._begin

        def begin_and_change(*arguments, **options):
            writer = begin(*arguments, **options)
            change()
            monkeypatch.setattr(passes_module, "_begin", begin)
            return writer

        monkeypatch.setattr(passes_module, "_begin", begin_and_change)

    return arrange


def flow_of(paths, on_error="raise"):
    return et.open(*paths, partition_bytes=40_000, workers=2, on_error=on_error) | charge


def touch(path: Path) -> None:
    """Another time, the same contents."""
    os.utime(path, ns=(10**18, 10**18))


def other_contents(path: Path) -> None:
    """Other contents of the same size."""
    n_events = 800
    write_raw(path, n_events, seed=99)


CHANGES = [Path.unlink, touch, other_contents, lambda path: truncate(path, 300)]
NAMES = ["gone", "touched", "rewritten", "truncated"]
SAID = r"run1.raw: .*(is gone: bring it back|changed after the run was planned .* run again when nobody)"


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
def test_changed_between_plan_and_run(own, meanwhile, tmp_path, change):
    store, copy = tmp_path / "s.etendue", shutil.copy2(own[1], tmp_path / "copy")
    meanwhile(lambda: change(own[1]))
    with pytest.raises(SourceError, match=SAID):
        flow_of(own).write(store, "p")
    assert tags(store) == []
    shutil.copy2(copy, own[1])
    flow_of(own).write(store, "p")
    flow_of(own).write(tmp_path / "t.etendue", "p")
    assert_same(store, tmp_path / "t.etendue")


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
def test_changed_between_plan_and_run_and_set_aside(own, meanwhile, tmp_path, change):
    """The rest is there; of the file that changed nothing counts, and all once it is read again."""
    store, copy = tmp_path / "s.etendue", shutil.copy2(own[1], tmp_path / "copy")
    meanwhile(lambda: change(own[1]))
    summary = flow_of(own, "skip").write(store, "p")
    assert {failure.path for failure in summary.outcome.failures} == {str(own[1])}
    assert sum(failure.events_lost for failure in summary.outcome.failures) == 800
    assert PassReader.open(str(store)).rows["events"].sum() == 2700
    shutil.copy2(copy, own[1])
    assert flow_of(own, "skip").write(store, "p").outcome.rows["events"].sum() == 0
    summary = flow_of(own, "skip").write(store, "p", retry_failed=True)
    assert summary.outcome.failures == []
    assert_all_events(store, own)


def assert_all_events(store, paths) -> None:
    """A pass has all events of some files, whatever the order of the files in it."""
    other = f"{store}.all"
    flow_of(paths).write(other, "p")
    assert events_by_run(store) == events_by_run(other)
    assert tags(store)[-1] != "p"


def interrupt(forge, site, own, store, *options) -> None:
    (forge.points / "after commit.4").touch()
    assert forge(*command(site, own, store, *options)).code < 0


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize(
    "change",
    [Path.unlink, other_contents, lambda path: truncate(path, 300)],
    ids=["gone", "rewritten", "truncated"],
)
def test_changed_between_interruption_and_resume(site, own, forge, tmp_path, change, on_error):
    """Whatever was made of it already: it is refused until the file is what it was, or all is begun anew."""
    store, copy = tmp_path / "s.etendue", shutil.copy2(own[1], tmp_path / "copy")
    interrupt(forge, site, own, store, "--on-error", on_error)
    change(own[1])
    ended = forge(*command(site, own, store, "--on-error", on_error))
    assert ended.code == 1
    assert re.search(
        r"run1.raw(\.sha256|\.size)?: (was|file: there is no such|byte \d+: ends early)", ended.output
    )
    assert tags(store) == []
    shutil.copy2(copy, own[1])
    forge.succeeds(*command(site, own, store, "--on-error", on_error))
    forge.succeeds(*command(site, own, tmp_path / "t.etendue", "--on-error", on_error))
    assert_same(store, tmp_path / "t.etendue")


def test_gone_between_interruption_and_a_fresh_start(site, own, forge, tmp_path):
    store, copy = tmp_path / "s.etendue", shutil.copy2(own[1], tmp_path / "copy")
    interrupt(forge, site, own, store, "--on-error", "skip")
    own[1].unlink()
    ended = forge(*command(site, own, store, "--on-error", "skip", "--fresh"))
    assert ended.code == 3
    assert f"{own[1]}: file: there is no such file" in ended.output
    assert PassReader.open(str(store)).rows["events"].sum() == 2700
    shutil.copy2(copy, own[1])
    forge.succeeds(*command(site, own, store, "--on-error", "skip", "--retry-failed"))
    assert_all_events(store, own)


def test_copied_back_between_interruption_and_resume(site, own, forge, tmp_path):
    """The same contents with another time, as of a file that was brought back from tape."""
    store, other = tmp_path / "s.etendue", tmp_path / "t.etendue"
    interrupt(forge, site, own, store)
    touch(own[1])
    forge.succeeds(*command(site, own, store))
    forge.succeeds(*command(site, own, other))
    assert_same(store, other)


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_truncated_file_is_replaced_by_the_whole_one(site, own, forge, tmp_path, interrupted):
    store, copy = tmp_path / "s.etendue", shutil.copy2(own[1], tmp_path / "copy")
    truncate(own[1], 300)
    ended = forge(*command(site, own, store))
    assert ended.code == 1
    assert f"{own[1]}: byte" in ended.output
    assert not store.exists() or tags(store) == []

    ended = forge(*command(site, own, store, "--on-error", "skip"))
    assert ended.code == 3
    assert "500 events lost" in ended.output
    assert PassReader.open(str(store)).rows["events"].sum() == 3000
    shutil.copy2(copy, own[1])
    ended = forge(*command(site, own, store, "--on-error", "skip"))
    assert ended.code == 1  # what was made of it is not made of this file
    assert "changed since the pass was made" in ended.output

    retry = command(site, own, store, "--on-error", "skip", "--retry-failed")
    if interrupted:
        for point in ("after branch_off.1", "after commit.2", "before create_tag.1"):
            (forge.points / point).touch()
            assert forge(*retry).code < 0
    forge.succeeds(*retry)
    assert tags(store) == ["p", "p+1"]
    assert_all_events(store, own)
    forge.succeeds(*retry)
    assert tags(store) == ["p", "p+1"]


def test_a_spoiled_event_is_lost_and_comes_back(site, own, forge, tmp_path):
    """The scan finds nothing wrong; a partition lacks the event, and is made anew when it is there again."""
    store, copy = tmp_path / "s.etendue", shutil.copy2(own[2], tmp_path / "copy")
    spoil(own[2], 700)
    ended = forge(*command(site, own, store, "--on-error", "skip"))
    assert ended.code == 3
    assert f"{own[2]}: event 700: wrong checksum" in ended.output
    assert PassReader.open(str(store)).rows["events"].sum() == 3499
    shutil.copy2(copy, own[2])
    forge.succeeds(*command(site, own, store, "--on-error", "skip", "--retry-failed"))
    assert_all_events(store, own)
