"""Pipelines of somebody else: what they name is looked at before it is imported."""

import sys

import pytest

from etendue.dataflow.foreign import why_no_stage, why_no_stage_in
from etendue.dataflow.registry import ConfigError, find_stage, parse_pipeline

STAGE = """
import etendue as et

@et.stage(reads="toy/x", writes={"toy/y": ("row", "float64")})
def twice(x):
    return {"toy/y": 2 * x}
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module that leaves a trace when it is imported."""
    trace = tmp_path / "imported"
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def write(name, text):
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"open({str(trace)!r}, 'a').write(__name__)\n{text}")
        made.append(name)
        return trace

    yield write
    for name in list(sys.modules):
        if name in made or name.partition(".")[0] in made:
            del sys.modules[name]


@pytest.mark.parametrize("reference", ["os:system", "subprocess:Popen", "shutil:rmtree", "antigravity:fly"])
def test_what_is_no_stage_of_the_standard_library(reference):
    with pytest.raises(ConfigError, match="not a stage"):
        parse_pipeline(f'[[stage]]\nuse = "{reference}"\n')
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    "text",
    [
        "def twice(x): return 2 * x",
        "twice = 7",
        "class twice: pass",
        "from os import system as twice",
        "import os as twice",
        "def other(): pass",
        "twice = __import__('os').system",
        "from os import *",
        "def twice(:",
        "from .. import twice",
        "from . import *",
    ],
)
def test_what_is_no_stage_is_not_imported(module, text):
    trace = module("harmless", text)
    with pytest.raises(ConfigError, match=r"'harmless:twice' is not a stage, and was not imported"):
        find_stage("harmless:twice")
    assert not trace.exists()


@pytest.mark.parametrize(
    "text",
    [
        STAGE,
        STAGE.replace("import etendue as et", "from etendue import stage").replace("et.stage", "stage"),
        STAGE.replace("def twice", "def other") + "\ntwice = other",
        f"if True:\n{'\n'.join('    ' + line for line in STAGE.splitlines())}",
        f"try:\n{'\n'.join('    ' + line for line in STAGE.splitlines())}\nexcept ImportError:\n    raise",
        "import etendue as et\nf = lambda x: {'toy/y': x}\nf.__name__ = 'f'\n"
        "twice = et.stage(reads='toy/x', writes={'toy/y': ('row', 'float64')})(f)",
        "from etendue import Stage\nclass twice(Stage):\n    def __call__(self, partition): return {}",
        "from etendue.iact import Clean as twice",
        "from etendue.iact.cleaning import Clean\ntwice = Clean",
    ],
)
def test_stages_are_found(module, text):
    trace = module("honest", text)
    assert find_stage("honest:twice").model_fields is not None
    assert trace.exists()


def test_packages_are_not_imported_for_a_look(module):
    module("outer.__init__", "from outer.inner import twice")
    trace = module("outer.inner", "twice = 7")
    for reference in ("outer:twice", "outer.inner:twice"):
        with pytest.raises(ConfigError, match="was not imported"):
            find_stage(reference)
    assert not trace.exists()
    module("outer.inner", STAGE)
    module("outer.__init__", "from .inner import *")
    assert find_stage("outer:twice").__name__ == "twice"


def test_a_circle_of_imports_ends(module):
    module("one", "from two import twice")
    module("two", "from one import twice")
    assert "no stage 'twice'" in why_no_stage("one", "twice")


def test_what_there_is_not():
    assert why_no_stage("no_such_module_at_all", "x") == "there is no module 'no_such_module_at_all'"
    assert "no source" in why_no_stage("math", "sin")
    assert "no source" in why_no_stage("sys", "exit")
    assert why_no_stage("etendue.iact.cleaning", "Clean") == ""
    assert "has no stage 'x'" in why_no_stage_in(STAGE, "x", "mine.py")
    assert why_no_stage_in(STAGE, "twice", "mine.py") == ""


def test_every_registered_stage_passes():
    from etendue.dataflow.registry import registered_stages

    for cls in registered_stages().values():
        assert why_no_stage(cls.__module__, cls.__name__) == ""
