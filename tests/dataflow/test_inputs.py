"""What people name as inputs, and what it stands for."""

import contextlib
import errno
import gzip
import os
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import etendue as et
from etendue.dataflow.inputs import expand
from etendue.dataflow.source import SourceError


@pytest.fixture
def tree(toy, tmp_path):
    """Raw files in directories, with what lies around in directories of raw files."""
    for folder in ("night1", "night2/late", ".trash", "empty"):
        (tmp_path / folder).mkdir(parents=True)
    files = ("night1/b.raw", "night1/a.raw", "night2/late/c.raw", ".trash/old.raw", "night1/.a.raw.part")
    for seed, name in enumerate(files):
        toy(name, f"toy 3 {seed}")
    (tmp_path / "night1" / "run.log").write_text("all is well")
    return tmp_path


def names(folder: Path, *inputs: str) -> list[str]:
    """What inputs stand for, relative to a folder."""
    return [os.path.relpath(path, os.path.realpath(folder)) for path in expand(inputs)]


def test_files_are_named_absolutely_each_once_in_one_order(tree, monkeypatch):
    monkeypatch.chdir(tree / "night1")
    (tree / "link.raw").symlink_to("night1/a.raw")
    paths = [tree / "night1/b.raw", "a.raw", "../night1/a.raw", tree / "link.raw", "../link.raw"]
    expected = [str(tree.resolve() / "night1" / name) for name in ("a.raw", "b.raw")]
    assert expand(paths) == expected
    assert expand(reversed(paths)) == expected
    assert expand(expected) == expected


def test_a_directory_is_its_raw_files(tree, caplog):
    assert names(tree, tree) == ["night1/a.raw", "night1/b.raw", "night2/late/c.raw"]
    assert "night1/run.log" in caplog.text


def test_a_directory_may_hold_links_in_circles(tree):
    (tree / "night1" / "again").symlink_to("..")
    (tree / "night1" / "gone.raw").symlink_to("nowhere")
    (tree / "elsewhere").symlink_to("night2")
    assert names(tree, tree) == ["night1/a.raw", "night1/b.raw", "night2/late/c.raw"]


def test_a_directory_without_raw_files_is_refused(tree):
    with pytest.raises(SourceError, match="empty: directory: there is no file in it that a source reads"):
        expand([tree / "empty"])
    with pytest.raises(SourceError, match="directory"):
        expand([tree / "night1", tree / "empty"])


def test_patterns(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert names(tree, "**/*.raw") == ["night1/a.raw", "night1/b.raw", "night2/late/c.raw"]
    assert names(tree, "night?/*.raw") == ["night1/a.raw", "night1/b.raw"]
    assert names(tree, "night*") == ["night1/a.raw", "night1/b.raw", "night2/late/c.raw"]
    assert names(tree, "**", "night1/run.log") == [
        "night1/a.raw", "night1/b.raw", "night1/run.log", "night2/late/c.raw"
    ]  # fmt: skip
    for pattern in ("night3/*.raw", "emp*"):
        with pytest.raises(SourceError, match="pattern: it matches no file"):
            expand([pattern])


def test_a_file_may_be_called_like_a_pattern(toy, tmp_path):
    assert names(tmp_path, toy("run[1]*.raw", "toy 1 1")) == ["run[1]*.raw"]
    assert names(tmp_path, toy("run#1@x.raw", "toy 1 1")) == ["run#1@x.raw"]


def test_what_is_not_a_path_is_left_as_it_is(tree, monkeypatch):
    monkeypatch.chdir(tree)
    others = ["s3://bucket/crab.etendue@2026.1", "simulated://gamma?n_showers=10&seed=[1]"]
    assert expand(others) == others
    assert expand(["night1/none.raw", "none@pass", "none#SN"]) == ["night1/none.raw", "none#SN", "none@pass"]


@pytest.fixture
def store(toy, tmp_path):
    et.open(toy("raw", "toy 5 1")).write(tmp_path / "products" / "toy.etendue", "2026.1")
    return tmp_path / "products" / "toy.etendue"


def test_a_store_is_one_input(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(store)
    assert names(tmp_path, store, "link", "products/toy.etendue/") == ["products/toy.etendue"]
    assert names(tmp_path, "link@2026.1") == ["products/toy.etendue@2026.1"]
    assert names(tmp_path, "products/*.etendue") == ["products/toy.etendue"]
    assert names(tmp_path, "products/*.etendue@2026.1") == ["products/toy.etendue@2026.1"]
    assert names(tmp_path, "**/*") == ["products/toy.etendue", "raw"]


def test_a_directory_is_not_the_stores_in_it(store, tmp_path):
    assert names(tmp_path, tmp_path) == ["raw"]
    with pytest.raises(SourceError, match="stores in it have to be named"):
        expand([store.parent])


def test_parts_of_files(shared, tmp_path):
    km3net_testdata = pytest.importorskip("km3net_testdata")
    path = Path(km3net_testdata.data_path("online/km3net_online.root"))
    (tmp_path / "a.root").symlink_to(path)
    real = os.path.realpath(path)
    assert expand([f"{tmp_path}/a.root#SN", f"{path}#SN"]) == [f"{real}#SN"]
    assert expand([f"{tmp_path}/*.root#SN", path]) == [real, f"{real}#SN"]
    assert expand([f"{tmp_path}#L1"]) == [f"{real}#L1"]


def run_list(folder: Path, text: str, name: str = "runs.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_run_list(tree, caplog):
    text = (
        "\ufeff# the good runs\n\nobs_id, path , quality\n1,b.raw,good\n# 2,c.raw,bad\n\n"
        '3,../night2/late,good\n4,"a.raw",x\n'
    )
    path = run_list(tree / "night1", text)
    expected = ["night1/a.raw", "night1/b.raw", "night2/late/c.raw"]
    assert names(tree, path) == expected
    assert "obs_id, path, quality" in caplog.text
    text = f"file\n{tree}/night1/a.raw\nsimulated://gamma?seed=1\nnight2/**/*.raw\nnight1/?.raw\n"
    *found, simulated = expand([run_list(tree, text), path])
    assert [os.path.relpath(p, tree.resolve()) for p in found] == expected
    assert simulated == "simulated://gamma?seed=1"


def test_a_run_list_in_parquet(tree):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    def write(name: str, **columns: list) -> Path:
        parquet.write_table(pyarrow.table(columns), tree / name)
        return tree / name

    runs = write("runs.parquet", obs_id=[1, 2], path=["night1/b.raw", "night2"])
    assert names(tree, runs) == ["night1/b.raw", "night2/late/c.raw"]
    with pytest.raises(SourceError, match=r"row 1: .*none.raw: file: there is no such file"):
        expand([write("lost.parquet", path=["night1/a.raw", "none.raw"])])
    with pytest.raises(
        SourceError, match="columns: expected a column 'path' or 'file' of inputs; there are obs"
    ):
        expand([write("other.parquet", obs=[1])])
    with pytest.raises(SourceError, match="row 0: it names no input"):
        expand([write("null.parquet", path=[None, "night1/a.raw"])])
    with pytest.raises(SourceError, match="it names no input"):
        expand([write("empty.parquet", path=pyarrow.array([], pyarrow.string()))])
    with pytest.raises(SourceError, match="Parquet: expected a run list"):
        expand([run_list(tree, "PAR1", "broken.parquet")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "run list: it is empty"),
        ("# nothing\n\n", "run list: it is empty"),
        (
            "# runs\nobs_id,name\n1,a.raw\n",
            "line 2: expected a column 'path' or 'file'.*there are obs_id, name",
        ),
        ("path\n\n", "run list: it names no input"),
        ("id,path\n1,night1/a.raw\n\n2\n", "line 4: it names no input"),
        ("id,path\n1,night1/a.raw\n2, \n", "line 3: it names no input"),
        (
            "path\nnight1/a.raw\n# b\nnight1/none.raw\n",
            "line 4: .*night1/none.raw: file: there is no such file",
        ),
        ("path\nempty\n", "line 2: .*empty: directory"),
        ("path\nnight1/*.fits\n", r"line 2: .*night1/\*.fits: pattern: it matches no file"),
        ("path\nruns.csv\n", "line 2: .*a run list cannot be an entry of another one"),
    ],
)
def test_what_is_wrong_in_a_run_list_is_said_with_its_line(tree, text, message):
    with pytest.raises(SourceError, match=message):
        expand([run_list(tree, text)])


def test_a_run_list_that_is_not_text(tree):
    (tree / "runs.csv").write_bytes(b"path\n\xff\xfe\x00")
    with pytest.raises(SourceError, match="byte 5: expected a run list in UTF-8"):
        expand([tree / "runs.csv"])


def test_files_that_no_source_reads_are_found_by_whoever_reads_them(tree):
    assert names(tree, tree / "night1/run.log") == ["night1/run.log"]


def test_what_is_named_twice_is_read_once(tree, monkeypatch):
    monkeypatch.chdir(tree)
    run_list(tree, "path\nnight1\n")
    flow = et.open("night1", "night1/a.raw", "**/a.raw", "runs.csv", tree / "night2/late/c.raw")
    assert flow.compute()["events"].sizes["event"] == 9


@pytest.fixture(scope="module")
def nested(tmp_path_factory):
    """A folder with a file, below two that have nothing else in them."""
    folder = tmp_path_factory.mktemp("any") / "a" / "a"
    (folder / "a").mkdir(parents=True)
    (folder / "b").write_text("b")
    return folder


@given(st.lists(st.sampled_from(["*", "[", "@", "#", ".", "a", "b", "a/", "s3://", ".csv"]), max_size=5))
def test_any_text_is_resolved_or_refused(nested, parts):
    with contextlib.chdir(nested):
        try:
            found = expand(["".join(parts)])
        except SourceError as error:
            assert error.failure.place in ("directory", "pattern")  # noqa: PT017
        else:
            assert found == expand(found)


def test_lists_homes_and_relative_paths_are_those_of_the_moment(tree, monkeypatch):
    monkeypatch.chdir(tree / "night1")
    monkeypatch.setenv("HOME", str(tree / "night2"))
    a, b, c = (str(tree / name) for name in ("night1/a.raw", "night1/b.raw", "night2/late/c.raw"))
    flow = et.open(["a.raw", Path("b.raw")], iter(("~/late/c.raw", "simulated://gamma?seed=1")))
    monkeypatch.chdir(tree / "empty")
    monkeypatch.setenv("HOME", "/nowhere")
    assert flow.paths == (a, b, c, "simulated://gamma?seed=1")
    assert et.open(*flow.paths[:3]).inputs.counted
    assert et.open([[a], b], c).paths == (a, b, c)


@pytest.mark.parametrize("given", [(), ([],), ((), [])])
def test_no_input_is_told_at_once(given):
    with pytest.raises(SourceError, match="no input: paths: name at least one file"):
        et.open(*given)


def test_what_is_no_path_is_told_at_once():
    with pytest.raises(SourceError, match="None: paths: expected a path, or a list of paths, got NoneType"):
        et.open("a.raw", [None])


def test_a_link_to_itself_and_a_folder_that_cannot_be_listed_stop_nothing(
    tree, tmp_path_factory, monkeypatch
):
    """They are told and set aside, whatever is done about broken files; all else is processed."""
    (tree / "night1" / "loop.raw").symlink_to("loop.raw")
    (tree / "sealed").mkdir()
    really = os.scandir

    def scandir(path="."):
        if str(path).endswith("sealed"):  # who runs this may be root, who may list anything
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return really(path)

    monkeypatch.setattr(os, "scandir", scandir)
    loop, sealed = str(tree / "night1" / "loop.raw"), str(tree / "sealed")
    for on_error in ("raise", "skip"):
        store = tmp_path_factory.mktemp("stores") / "s.etendue"
        summary = et.open(tree, on_error=on_error).write(store, "p")
        assert summary.outcome.rows["events"].sum() == 9
        failures = {failure.path: failure.message for failure in summary.outcome.failures}
        assert failures.keys() == {loop, sealed}
        assert "leads to itself" in failures[loop]
        assert "cannot be listed (Permission denied)" in failures[sealed]


BROKEN = {
    "empty.raw": (b"", "it is empty (0 bytes)"),
    "zeros.raw": (bytes(5000), "it begins with 4096 zeros"),
    "packed.gz": (b"\x1f\x8b" + b"x" * 20, "the gzip data is corrupted"),
    "nothing.gz": (gzip.compress(b""), "there is nothing in it"),
    "cut.zst": (b"\x28\xb5", "it is cut short, in the mark that it begins with (2 bytes)"),
    "cut.root": (
        b"root" + struct.pack(">iii", 62400, 100, 5000) + bytes(100),
        "a ROOT file that is cut short",
    ),
}


def test_empty_and_broken_files_of_a_directory_are_failures_like_named_ones(tree, tmp_path):
    """Files of other kinds, and logs that nobody wrote to, are left out."""
    for name, (content, _) in BROKEN.items():
        (tree / "night1" / name).write_bytes(content)
    for name in ("stderr.log", "transfer.done"):
        (tree / "night1" / name).touch()
    (tree / "night1" / "other.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    summary = et.open(tree, on_error="skip").write(tmp_path / "s.etendue", "p")
    assert summary.outcome.rows["events"].sum() == 9
    failures = {Path(failure.path).name: failure.message for failure in summary.outcome.failures}
    assert failures.keys() == BROKEN.keys()
    for name, (_, message) in BROKEN.items():
        assert message in failures[name]
        with pytest.raises(SourceError, match=re.escape(message)):
            et.open(tree / "night1" / name).plan()
    with pytest.raises(SourceError, match="night1"):
        et.open(tree).write(tmp_path / "t.etendue", "p")


def test_a_pipe_is_not_waited_for(tree):
    os.mkfifo(tree / "night1" / "pipe.raw")
    assert names(tree, tree / "night1") == ["night1/a.raw", "night1/b.raw"]
    with pytest.raises(SourceError, match="neither a file nor a directory"):
        et.open(tree / "night1" / "pipe.raw").plan()
