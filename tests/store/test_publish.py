"""Passes: published at once or not at all, side by side, by one writer at a time."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from etendue.schema import Schema, SchemaError, Table, variables
from etendue.store import PassExistsError, PassWriter, StoreError, load, passes, unfinished
from etendue.store.lock import StoreLockedError
from etendue.store.repository import open_repository
from etendue.store.tags import branch_off, settle

from .ragged import SCHEMA, STATIC, contents, joined, make_partitions, receipt, write_partition, write_pass

PARTITIONS = make_partitions([(3, 4, 0, 1), (0, 0, 0, 0), (2, 5, 0, 0)], seed=1)
OTHERS = make_partitions([(1, 1, 2, 0), (4, 2, 0, 2)], seed=2)


def images(path, tag=None):
    return load(str(path), tag)["cam"]["image"].values


def start_writer(path, tag, stop_at) -> subprocess.Popen:
    """A process that writes PARTITIONS as a pass and stops for ever at a point (or does not)."""
    script = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from ragged import *
from etendue.store import PassWriter
partitions = make_partitions([(3, 4, 0, 1), (0, 0, 0, 0), (2, 5, 0, 0)], seed=1)
def reached(point):
    print(point, flush=True)
    if point == {stop_at!r}:
        time.sleep(600)
writer = PassWriter.create({str(path)!r}, {tag!r}, SCHEMA, STATIC, 3, {{}})
reached("created")
for number in range(3):
    write_partition(writer, number, partitions[number])
    reached(f"taken {{number}}")
    writer.commit()
reached("committed")
from etendue.store import whole
real = whole.write_ledger
def last_step(*arguments):
    checksums = real(*arguments)
    reached("publishing")
    return checksums
whole.write_ledger = last_step
writer.publish({{}})
reached("published")
"""
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)


def kill_at(path, tag, point):
    process = start_writer(path, tag, point)
    assert any(line.strip() == point for line in process.stdout)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("point", ["created", "taken 1", "committed", "publishing"])
def test_killed_writer_leaves_the_former_pass_and_the_next_run_works(tmp_path, point):
    path = tmp_path / "s"
    before = write_pass(path, "old", OTHERS)
    kill_at(path, "new", point)
    assert [(entry.tag, entry.snapshot) for entry in passes(str(path))] == [("old", before)]
    np.testing.assert_array_equal(images(path), joined(OTHERS, "cam", "image"))
    write_pass(path, "new", PARTITIONS)
    np.testing.assert_array_equal(images(path), joined(PARTITIONS, "cam", "image"))
    np.testing.assert_array_equal(images(path, "old"), joined(OTHERS, "cam", "image"))


def test_passes_are_readable_side_by_side(tmp_path):
    path = str(tmp_path / "s")
    write_pass(path, "2025.1", OTHERS)
    write_pass(path, "2026.1", PARTITIONS)
    write_pass(path, "2027.1", [])
    assert [entry.tag for entry in passes(path)] == ["2025.1", "2026.1", "2027.1"]
    np.testing.assert_array_equal(images(path, "2025.1"), joined(OTHERS, "cam", "image"))
    np.testing.assert_array_equal(images(f"{path}@2026.1"), joined(PARTITIONS, "cam", "image"))
    assert images(path).shape == (0, 7)
    assert load(path, "2025.1")["other"]["x"].shape == (2,)


def test_readers_see_the_former_pass_until_publication(tmp_path):
    path = str(tmp_path / "s")
    write_pass(path, "old", OTHERS)
    writer = PassWriter.create(path, "new", SCHEMA, STATIC, 3, {})
    for number, partition in enumerate(PARTITIONS):
        write_partition(writer, number, partition)
        writer.commit()
        np.testing.assert_array_equal(images(path), joined(OTHERS, "cam", "image"))
    writer.publish({})
    np.testing.assert_array_equal(images(path), joined(PARTITIONS, "cam", "image"))


def test_abandoned_pass_leaves_nothing(tmp_path):
    path = str(tmp_path / "s")
    write_pass(path, "old", OTHERS)
    PassWriter.create(path, "new", SCHEMA, STATIC, 3, {}).abandon()
    assert open_repository(path).list_branches() == {"main"}
    assert sorted(os.listdir(tmp_path)) == ["s"]
    write_pass(path, "new", PARTITIONS)


def test_lost_chunks_are_noticed_before_publication(tmp_path):
    path = str(tmp_path / "s")
    writer = PassWriter.create(path, "p", SCHEMA, STATIC, 3, {})
    write_partition(writer, 0, PARTITIONS[0])
    writer.take([receipt(2, PARTITIONS[2], {})])
    with pytest.raises(
        StoreError, match=r"events/run lacks the chunks of 1 partition\(s\) \[2\].*begin anew with --fresh"
    ):
        writer.publish({})
    writer.take([receipt(0, {}, {}), receipt(2, {}, {})])
    with pytest.raises(StoreError, match=r"no receipt tells of \[0\]"):
        writer.publish({})
    assert passes(path) == []


def test_an_interrupted_pass_is_taken_up(tmp_path):
    """What was committed before the kill is there, and the rest can be added."""
    path = str(tmp_path / "s")
    kill_at(path, "new", "taken 1")  # so that only the first partition was committed
    assert unfinished(path, "new") == {}
    entries = []
    writer = PassWriter.resume(path, "new", each=entries.append)
    assert writer.ledger.seen.tolist() == [True, False, False]
    (entry,) = entries
    assert [(number, receipt.number) for number, receipt in entry.receipts] == [(0, 0)]
    for number in (1, 2):
        write_partition(writer, number, PARTITIONS[number])
    writer.publish({})
    assert unfinished(path, "new") is None
    write_pass(tmp_path / "t", "new", PARTITIONS)
    assert contents(path) == contents(str(tmp_path / "t"))


def test_only_one_of_two_drivers_can_commit(tmp_path):
    """Where no lock is held, as on an object store, the first driver finds out at its next commit."""
    first = PassWriter.create("memory://drivers", "p", SCHEMA, STATIC, 3, {})
    write_partition(first, 0, PARTITIONS[0])
    first.commit()
    second = PassWriter.resume("memory://drivers", "p")
    write_partition(first, 1, PARTITIONS[1])
    with pytest.raises(StoreError, match="another process has taken up pass 'p'"):
        first.commit()
    for number in (1, 2):
        write_partition(second, number, PARTITIONS[number])
    second.publish({})
    np.testing.assert_array_equal(images("memory://drivers"), joined(PARTITIONS, "cam", "image"))


def test_revisions_share_what_they_do_not_change(tmp_path):
    path = str(tmp_path / "s")
    first = write_pass(path, "p", PARTITIONS)
    writer = PassWriter.revise(path, "p", SCHEMA, STATIC, 2, {})
    for number, partition in enumerate(OTHERS, start=3):
        write_partition(writer, number, partition)
    writer.publish({})
    assert [(entry.name, entry.revision) for entry in passes(path)] == [("p", 0), ("p", 1)]
    for tag in ("p", "p+1", None):
        np.testing.assert_array_equal(images(path, tag), joined(PARTITIONS + OTHERS, "cam", "image"))
    np.testing.assert_array_equal(images(path, "p+0"), joined(PARTITIONS, "cam", "image"))
    np.testing.assert_array_equal(images(path, first), joined(PARTITIONS, "cam", "image"))
    write_pass(tmp_path / "t", "p", PARTITIONS + OTHERS)
    assert contents(path) == contents(str(tmp_path / "t"))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_partition_can_be_made_anew_or_left_out(tmp_path, number):
    path = str(tmp_path / "s")
    write_pass(path, "p", PARTITIONS)
    writer = PassWriter.revise(path, "p", SCHEMA, STATIC, 0, {}, forget=[number])
    write_partition(writer, number, PARTITIONS[number])
    writer.publish({})
    write_pass(tmp_path / "t", "p", PARTITIONS)
    assert contents(path) == contents(str(tmp_path / "t"))
    PassWriter.revise(path, "p", SCHEMA, STATIC, 0, {}, forget=[number]).publish({})
    rest = [partition for n, partition in enumerate(PARTITIONS) if n != number]
    np.testing.assert_array_equal(images(path), joined(rest, "cam", "image"))


def test_a_pass_cut_short_at_its_very_beginning_is_none(tmp_path):
    """Between the making of its branch and the first commit there."""
    path = str(tmp_path / "s")
    PassWriter.create(path, "p", SCHEMA, STATIC, 3, {}).abandon()
    repository = open_repository(path)
    branch_off(repository, "p", repository.lookup_branch("main"))  # the initial snapshot, without a pass
    assert unfinished(path, "p") is None
    settle(path, "p")
    write_pass(path, "p", PARTITIONS)
    before = write_pass(path, "q", OTHERS)
    for name in ("r", "p"):
        branch_off(repository, name, repository.lookup_tag("p"))
        assert unfinished(path, name) is None
        settle(path, name)
        assert [entry.tag for entry in passes(path)] == ["p", "q"]
        assert open_repository(path).lookup_branch("main") == before
        assert open_repository(path).list_branches() == {"main"}


@pytest.mark.parametrize("step", ["create_tag", "reset_branch", "delete_branch"])
def test_a_publication_cut_short_is_finished(tmp_path, monkeypatch, step):
    """Between its commit and the last of the steps that show it."""
    import icechunk

    path, reset = str(tmp_path / "s"), icechunk.Repository.reset_branch

    def killed(repository, name, *args, **kwargs):
        if name.startswith("wip/") and step == "reset_branch":  # commits do that, too
            return reset(repository, name, *args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(icechunk.Repository, step, killed)
    with pytest.raises(KeyboardInterrupt):
        write_pass(path, "p", PARTITIONS)
    monkeypatch.undo()
    assert unfinished(path, "p") is None
    settle(path, "p")
    assert open_repository(path).list_branches() == {"main"}
    assert [entry.tag for entry in passes(path)] == ["p"]
    np.testing.assert_array_equal(images(path), joined(PARTITIONS, "cam", "image"))


def test_pass_names(tmp_path):
    path = str(tmp_path / "s")
    write_pass(path, "p", OTHERS)
    with pytest.raises(PassExistsError, match=r"already has a pass 'p'.*choose another name"):
        write_pass(path, "p", PARTITIONS)
    with pytest.raises(FileExistsError):
        write_pass(path, "p", PARTITIONS)
    for name in ("", " ", "a@b", "a/b", "a+1", "a ", "a\nb", "a\udcff"):
        with pytest.raises(StoreError, match="without @, / and"):
            write_pass(path, name, PARTITIONS)
    open_repository(path).delete_tag("p")
    with pytest.raises(PassExistsError, match="deleted"):
        write_pass(path, "p", PARTITIONS)
    write_pass(path, "q", PARTITIONS)  # a refused pass keeps no lock


def test_errors_of_readers(tmp_path):
    path = str(tmp_path / "s")
    with pytest.raises(FileNotFoundError, match="there is no store at"):
        load(path)
    PassWriter.create(path, "p", SCHEMA, STATIC, 3, {}).abandon()
    with pytest.raises(StoreError, match="no pass that is finished"):
        load(path)
    write_pass(path, "p", OTHERS)
    with pytest.raises(StoreError, match="no pass 'r'; there are: p"):
        load(path, "r")
    with pytest.raises(StoreError, match="directories, s3://"):
        load("ftp://x")


def test_foreign_repositories_are_refused(tmp_path):
    import icechunk
    import zarr

    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "s")))
    session = repository.writable_session("main")
    zarr.create_group(session.store)
    repository.create_tag("theirs", session.commit("theirs"))
    with pytest.raises(StoreError, match="not of etendue's making"):
        load(str(tmp_path / "s"))


def test_wrong_columns_are_refused(tmp_path):
    path = str(tmp_path / "s")
    writer = PassWriter.create(path, "p", SCHEMA, STATIC, 3, {})
    chunks = writer.fork()
    (good,) = make_partitions([(2, 2, 0, 0)])
    for change, message in [
        ({"time": np.zeros(2)}, "events/time has dtype float64; declared is int64"),
        ({"time": np.zeros(3, np.int64)}, "differ in length"),
        ({"comment": np.zeros(2)}, "events/comment has dtype float64; declared is text"),
    ]:
        with pytest.raises(SchemaError, match=message):
            chunks.write(0, {"events": {**good["events"], **change}})
    missing = {name: column for name, column in good["events"].items() if name != "time"}
    with pytest.raises(SchemaError, match=r"lacks the columns \['time'\]"):
        chunks.write(0, {"events": missing})
    writer.abandon()
    with pytest.raises(SchemaError, match=r"'array' lacks the columns"):
        PassWriter.create(path, "p", SCHEMA, {}, 3, {})
    complex_schema = Schema({"e": Table("e", "e", variables("e", z=("complex128", "", "")))})
    with pytest.raises(SchemaError, match=r"complex128; a store holds"):
        PassWriter.create(path, "p", complex_schema, {}, 3, {})


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1])
def test_killed_at_any_moment(tmp_path, delay):
    """Wherever the blow falls, the pass is there as a whole or not at all."""
    path = tmp_path / "s"
    before = write_pass(path, "old", OTHERS)
    process = start_writer(path, "new", "")
    process.stdout.readline()
    time.sleep(delay)
    process.kill()
    process.wait()
    process.stdout.close()
    found = {entry.tag: entry.snapshot for entry in passes(str(path))}
    assert found["old"] == before
    if "new" in found:
        np.testing.assert_array_equal(images(path, "new"), joined(PARTITIONS, "cam", "image"))
    else:  # between the two steps that show it, it is the newest pass already
        shown = images(path)
        wanted = [joined(of, "cam", "image") for of in (OTHERS, PARTITIONS)]
        assert any(np.array_equal(shown, image, equal_nan=True) for image in wanted)


def test_one_writer_at_a_time(tmp_path):
    path = tmp_path / "s"
    process = start_writer(path, "p", "created")
    assert process.stdout.readline().strip() == "created"
    with pytest.raises(StoreLockedError, match=f"process {process.pid} on .*wait for it to end"):
        write_pass(path, "q", OTHERS)
    process.kill()
    process.wait()
    process.stdout.close()
    write_pass(path, "q", OTHERS)
    assert not Path(f"{path}.lock").exists()
