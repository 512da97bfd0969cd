"""A broken plug-in costs only what needs it, and is told once."""

import logging
import os
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from etendue.dataflow import plugins
from etendue.dataflow.plugins import PluginError

ENTRY_POINTS = """
[etendue.sources]
absent = broken_absent:Source
rude = broken_rude:Source
[etendue.stages]
broken.Absent = broken_absent:Stage
broken.NoStage = broken_fine:not_a_stage
[etendue.displays]
absent = broken_absent
[etendue.pipelines]
absent = broken_absent.pipelines
"""

USE = """
import etendue as et
from etendue.dataflow.registry import ConfigError, find_display, find_stage
from etendue.dataflow.registry import registered_stages, shipped_pipelines
from etendue.dataflow.source import SourceError

run = et.open("simulated://gamma?n_showers=3&seed=1")
assert run.inputs.scans[0].source == "simulated"
assert "iact.Clean" in registered_stages() and "broken.Absent" not in registered_stages()
assert "iact" in shipped_pipelines()
for stage in ("broken.Absent", "broken.NoStage"):
    try:
        find_stage(stage)
    except ConfigError as error:
        print("stage:", error)
try:
    et.find_pipeline("theirs")
except ConfigError as error:
    print("pipeline:", error)
try:
    et.open("foreign.dat").inputs
except SourceError as error:
    print("source:", error)
import xarray
try:
    find_display(xarray.DataTree())
except ConfigError as error:
    print("display:", error)
"""


@pytest.fixture
def environment(tmp_path):
    """Where a package with broken plug-ins is installed."""
    facts = tmp_path / "broken-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(ENTRY_POINTS)
    (tmp_path / "broken_absent.py").write_text("import a_module_that_is_missing\n")
    (tmp_path / "broken_fine.py").write_text("not_a_stage = 1\n")
    (tmp_path / "broken_rude.py").write_text(
        "class Source:\n"
        "    name = 'rude'\n"
        "    def accepts(self, path):\n"
        "        raise ZeroDivisionError('of no use')\n"
    )
    (tmp_path / "foreign.dat").write_bytes(b"nobody knows this")
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def test_a_broken_plugin_costs_only_what_needs_it(environment, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", USE],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines() if not line.startswith("stage"))
    for kind in ("pipeline", "source", "display"):
        assert "package broken" in said[kind], kind
        assert "ModuleNotFoundError: No module named 'a_module_that_is_missing'" in said[kind], kind
    absent, none = (line for line in done.stdout.splitlines() if line.startswith("stage"))
    assert "No module named 'a_module_that_is_missing'" in absent
    assert "broken_fine:not_a_stage is none" in none
    told = [line for line in done.stderr.splitlines() if "(broken_absent:Source)" in line]
    assert len(told) == 1
    assert sum("'rude' cannot tell" in line for line in done.stderr.splitlines()) == 1


def test_what_exits_when_it_is_imported_is_guarded_too(monkeypatch, tmp_path):
    (tmp_path / "exiting.py").write_text("raise SystemExit('no licence')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match=r"exiting:Source.*no licence"):
        plugins.load(EntryPoint("e", "exiting:Source", "etendue.sources"))


def test_of_two_with_one_name_ours_is_used_and_that_is_told(monkeypatch, caplog):
    ours = EntryPoint("iact.Clean", "etendue.iact.cleaning:Clean", "etendue.stages")
    theirs = EntryPoint("iact.Clean", "theirs:Clean", "etendue.stages")
    plugins.entries.cache_clear()
    for order in ([ours, theirs], [theirs, ours]):
        with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
            patch.setattr(plugins, "entry_points", lambda group, order=order: order)
            assert plugins.entries("etendue.stages")["iact.Clean"] is ours
        plugins.entries.cache_clear()
    assert caplog.text.count("is used, theirs:Clean is not") == 2
