"""Stages in a file beside the pipeline file."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

import etendue as et
from etendue.dataflow.fingerprint import Fingerprint
from etendue.dataflow.pipeline import PipelineError
from etendue.dataflow.registry import ConfigError, find_pipeline, pipeline_text, stage_reference
from etendue.dataflow.stage_files import stage_file

SOURCE = '''
import numpy as np
import etendue as et
from etendue.dataflow.stage import TableStage

@et.stage(reads="hits/charge", writes={"hits/scaled": ("hit", "float32", "pe")})
def scaled(charge, *, factor: float = 2.0):
    """Scale charges."""
    if factor == 13:
        raise ZeroDivisionError("thirteen")
    return {"hits/scaled": (factor * charge).astype("float32")}

class Shift(TableStage):
    """Shift charges."""
    kind = "hits"
    reads = ("@hits/charge",)
    writes = {"@hits/shifted": ("hit", "float32", "pe")}
    by: float = 1.0
    def process(self, table, columns, partition):
        return {"shifted": columns["charge"] + np.float32(self.by)}

other = 3
'''
TOML = """
[[stage]]
use = "./my_stages.py:scaled"
factor = 3.0

[[stage]]
use = "my_stages.py:Shift"
"""


@pytest.fixture
def mine(tmp_path):
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    (folder / "my_stages.py").write_text(SOURCE)
    (folder / "mine.toml").write_text(TOML)
    return folder / "mine.toml"


def test_stages_are_found_beside_the_pipeline_file(mine, toy, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # not the folder of the file
    pipeline = find_pipeline("deep/folder/mine.toml")
    tree = (et.open(toy("a", "toy 20 1")) | pipeline).compute()
    charge = tree["hits"]["charge"].values
    np.testing.assert_allclose(tree["hits"]["scaled"].values, 3 * charge, rtol=1e-6)
    np.testing.assert_array_equal(tree["hits"]["shifted"].values, charge + np.float32(1))
    assert stage_file(type(pipeline.stages[0])) == (str(mine.parent / "my_stages.py"), SOURCE)
    assert stage_file(et.iact.Clean) is None
    assert stage_reference(type(pipeline.stages[0])) == f"{mine.parent}/my_stages.py:scaled"
    again = tmp_path / "again.toml"
    again.write_text(pipeline_text(pipeline))
    assert find_pipeline(again) == pipeline


def test_another_process_needs_no_file(mine, tmp_path):
    (tmp_path / "pickle").write_bytes(pickle.dumps(find_pipeline(mine)))
    (mine.parent / "my_stages.py").unlink()
    code = (
        "import pickle, numpy as np\n"
        "pipeline = pickle.load(open('pickle', 'rb'))\n"
        "print([(stage.name, *dict(stage).values()) for stage in pipeline.stages])\n"
        "print(type(pipeline.stages[0]).function(np.ones(1), factor=4.0)['hits/scaled'])"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert told.stdout == "[('scaled', 3.0), ('Shift', 1.0)]\n[4.]\n"


def test_an_edited_file_is_another_stage(mine):
    before = find_pipeline(mine)
    path = mine.parent / "my_stages.py"
    path.write_text(SOURCE.replace("factor * charge", "factor * charge + 1"))
    after = find_pipeline(mine)
    assert type(before.stages[0]) is not type(after.stages[0])
    made = type(after.stages[0]).function(np.ones(1), factor=3.0)
    assert made["hits/scaled"].tolist() == [4.0]
    assert type(before.stages[0]).function(np.ones(1), factor=3.0)["hits/scaled"].tolist() == [3.0]


def test_the_folder_and_comments_are_no_part_of_the_identity(mine, tmp_path):
    before = find_pipeline(mine)
    other = tmp_path / "other"
    other.mkdir()
    (other / "my_stages.py").write_text("# a comment" + SOURCE)
    (other / "mine.toml").write_text(TOML)
    after = find_pipeline(other / "mine.toml")
    assert after.config() == before.config()
    for old, new in zip(before.stages, after.stages, strict=True):
        assert Fingerprint.of(type(new)).parts == Fingerprint.of(type(old)).parts
    (other / "my_stages.py").write_text(SOURCE.replace("factor * charge", "factor * charge + 1"))
    edited = find_pipeline(other / "mine.toml").stages[0]
    function = type(before.stages[0]).function
    assert Fingerprint.of(type(edited).function).parts != Fingerprint.of(function).parts


def test_errors_name_the_line_of_the_file(mine, toy):
    mine.write_text(TOML.replace("3.0", "13"))
    line = 1 + SOURCE.splitlines().index('        raise ZeroDivisionError("thirteen")')
    with pytest.raises(ZeroDivisionError, match=f"'scaled' failed in my_stages.py, line {line}: ZeroDiv"):
        (et.open(toy("a", "toy 20 1")) | find_pipeline(mine)).compute()


@pytest.mark.parametrize(
    ("use", "source", "message"),
    [
        ("./my_stage.py:scaled", SOURCE, r"cannot import the stage './my_stage.py:scaled': there is no file"),
        ("./my_stages.py:scald", SOURCE, "it was not run: .*has no stage 'scald'"),
        ("./my_stages.py:other", SOURCE, "has no stage 'other'"),
        ("./my_stages.py", SOURCE, "unknown stage './my_stages.py'"),
        ("./my_stages.py:scaled", "def scaled(:", "is not Python: .*line 1"),
        ("./my_stages.py:scaled", "\0", "is not Python"),
        (
            "./my_stages.py:scaled",
            "import nothing_such\n" + SOURCE,
            "cannot be run: ModuleNotFoundError",
        ),
        ("./my_stages.py:nothing", "raise SystemExit", "it was not run"),
    ],
)
def test_a_wrong_file_is_told_with_its_place(mine, use, source, message):
    (mine.parent / "my_stages.py").write_text(source)
    mine.write_text(f"[[stage]]\nuse = '{use}'")
    with pytest.raises(ConfigError, match=f"mine.toml: stage 1: .*{message}"):
        find_pipeline(mine)


def test_a_parameter_of_a_stage_in_a_file_is_checked(mine):
    mine.write_text(TOML.replace("factor = 3.0", "factr = 3.0"))
    with pytest.raises(ConfigError, match=r"unknown parameter 'factr'; did you mean 'factor'\?"):
        find_pipeline(mine)
    mine.write_text(TOML)
    with pytest.raises(PipelineError, match=r"'scaled' reads 'hits/charge'.*are of the kind simulated"):
        (et.open("simulated://gamma?n_showers=3&seed=1") | find_pipeline(mine)).plan()


def of_another_user(path, monkeypatch):
    """Let a file be somebody else's: give it away, or be another, who is not root."""
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_another_user_can_change_is_not_run(mine, monkeypatch, what):
    find_pipeline(mine)
    (mine.parent / "my_stages.py").write_text(SOURCE + "raise SystemExit('it has run')\n")
    of_another_user(mine.parent / "my_stages.py" if what == "file" else mine.parent, monkeypatch)
    with pytest.raises(ConfigError, match=r"not run: .*belongs to user .*ETENDUE_TRUST"):
        find_pipeline(mine)
    monkeypatch.setenv("ETENDUE_TRUST", f"/elsewhere:{mine.parent.parent}")
    with pytest.raises(SystemExit, match="it has run"):
        find_pipeline(mine)


def test_what_everyone_can_change_is_not_run(mine):
    for place, mode in ((mine.parent / "my_stages.py", 0o666), (mine.parent, 0o777)):
        before = place.stat().st_mode
        place.chmod(mode)
        with pytest.raises(ConfigError, match="not run: everyone may write to"):
            find_pipeline(mine)
        place.chmod(before)
    mine.parent.chmod(0o1777)  # as /tmp: nobody replaces the files of others
    assert find_pipeline(mine).stages
