"""What software a run had."""

import platform
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import etendue
from etendue.provenance.software import machine, packages, source_revision

ROOT = Path(__file__).parents[2]


def test_what_etendue_requires_is_there_and_what_only_tests_need_is_not():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = packages()
    for text in project["dependencies"]:
        name = Requirement(text).name
        assert found[name] == version(name)
    assert found["llvmlite"] == version("llvmlite")  # of numba
    assert found["tornado"] == version("tornado")  # of distributed, which dask has as an extra
    assert found["uproot"] == version("uproot")  # optional, and installed
    assert found["python"] == platform.python_version()
    assert not found.keys() & {"pytest", "hypothesis", "ruff", "ctapipe"}


def test_packages_of_foreign_stages_are_there_with_what_they_need():
    found = packages(["ctapipe.image", "etendue.iact", "__main__"])
    assert found["ctapipe"] == version("ctapipe")
    assert found["traitlets"] == version("traitlets")  # which ctapipe needs, and nothing here does
    assert "traitlets" not in packages()


def test_the_revision_is_that_of_the_checkout():
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    head = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    if Path(etendue.__file__).is_relative_to(ROOT):
        assert head.stdout.strip() in source_revision()
    else:  # installed from there, and what is there now may be something else
        assert source_revision() == ""


def test_the_machine_is_this_one():
    here = machine()
    assert here["host"] == platform.node()
    assert here["cores"] >= 1
    assert here["cpu"]
