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
from etendue.store import PassExistsError, PassWriter, StoreError, load, passes
from etendue.store.lock import StoreLockedError
from etendue.store.repository import open_repository

from .ragged import SCHEMA, STATIC, joined, make_partitions, rows_of, write_pass

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
    chunks = writer.fork()
    chunks.write(number, partitions[number])
    writer.merge([chunks])
    reached(f"merged {{number}}")
    writer.commit("one")
reached("committed")
real = writer._write_partition_table
def last_step(counts):
    real(counts)
    reached("publishing")
writer._write_partition_table = last_step
writer.publish(rows_of(partitions), {{}})
reached("published")
"""
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)


def kill_at(path, tag, point):
    process = start_writer(path, tag, point)
    for line in process.stdout:
        if line.strip() == point:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("point", ["created", "merged 1", "committed", "publishing"])
def test_killed_writer_leaves_the_former_pass_and_the_next_run_works(tmp_path, point, caplog):
    path = tmp_path / "s"
    before = write_pass(path, "old", OTHERS)
    kill_at(path, "new", point)
    assert [(entry.tag, entry.snapshot) for entry in passes(str(path))] == [("old", before)]
    np.testing.assert_array_equal(images(path), joined(OTHERS, "cam", "image"))
    write_pass(path, "new", PARTITIONS)
    assert "unfinished pass 'new'" in caplog.text
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
        chunks = writer.fork()
        chunks.write(number, partition)
        writer.merge([chunks])
        writer.commit("one")
        np.testing.assert_array_equal(images(path), joined(OTHERS, "cam", "image"))
    writer.publish(rows_of(PARTITIONS), {})
    np.testing.assert_array_equal(images(path), joined(PARTITIONS, "cam", "image"))


def test_abandoned_pass_leaves_nothing(tmp_path):
    path = str(tmp_path / "s")
    write_pass(path, "old", OTHERS)
    PassWriter.create(path, "new", SCHEMA, STATIC, 3, {}).abandon()
    assert open_repository(path).list_branches() == {"main"}
    assert sorted(os.listdir(tmp_path)) == ["s"]
    write_pass(path, "new", PARTITIONS)


def test_lost_chunks_are_noticed_before_publication(tmp_path):
    writer = PassWriter.create(str(tmp_path / "s"), "p", SCHEMA, STATIC, 3, {})
    chunks = writer.fork()
    chunks.write(0, PARTITIONS[0])
    writer.merge([chunks])
    with pytest.raises(
        StoreError, match=r"events/run lacks the chunks of 1 partition\(s\) \[2\].*run it again"
    ):
        writer.publish(rows_of(PARTITIONS), {})
    with pytest.raises(StoreError, match=r"no receipt tells of \[0\]"):
        writer.publish({name: 0 * of for name, of in rows_of(PARTITIONS).items()}, {})
    assert passes(str(tmp_path / "s")) == []


def test_pass_names(tmp_path):
    path = str(tmp_path / "s")
    write_pass(path, "p", OTHERS)
    with pytest.raises(PassExistsError, match=r"already has a pass 'p'.*choose another name"):
        write_pass(path, "p", PARTITIONS)
    with pytest.raises(FileExistsError):
        write_pass(path, "p", PARTITIONS)
    for name in ("", " ", "a@b", "a/b"):
        with pytest.raises(StoreError, match="without @ and /"):
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
    else:
        np.testing.assert_array_equal(images(path), joined(OTHERS, "cam", "image"))


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
