"""Files that inputs need beside them: given when inputs are opened, taken by their source."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from click.testing import CliRunner

import etendue as et
from etendue.cli import main
from etendue.dataflow import source as source_module
from etendue.dataflow.companions import CompanionError
from etendue.dataflow.source import SourceError
from tests.dataflow.conftest import ToySource


class ShiftedToySource(ToySource):
    """Toy events whose times a file shifts by the seconds in it."""

    name = "shifted"
    companions: ClassVar = {"clock": "a text with seconds, which times are later by"}

    def accepts(self, path):
        return Path(path).is_file() and Path(path).read_bytes().startswith(b"shifted")

    def scan(self, path, on_error="raise", *, companions=None):
        if companions:
            _seconds(companions["clock"])
        return super().scan(path, on_error)

    def read(self, scan, ranges, columns, on_error="raise"):
        later = _seconds(scan.companions["clock"]) if scan.companions else 0.0
        for partition in super().read(scan, ranges, columns, on_error):
            partition.tables["events"]["time"] = partition.tables["events"]["time"] + later
            yield partition


def _seconds(path):
    try:
        return float(Path(path).read_text())
    except ValueError:
        raise SourceError(path, "byte 0", "expected a number of seconds") from None


class _Entry:
    def __init__(self, source):
        self.load = lambda: source


@pytest.fixture
def shifted(toy, monkeypatch):
    registered = {**source_module._registered(), "shifted": _Entry(ShiftedToySource)}
    monkeypatch.setattr(source_module, "_registered", lambda: registered)
    source_module.get_source.cache_clear()
    return toy


@pytest.fixture
def data(shifted):
    return shifted("a.raw", "shifted 5 1")


def test_a_companion_reaches_the_source_that_declares_it(shifted, data, tmp_path):
    clock = shifted("clock.txt", "100")
    tree = et.open(data, clock=clock).compute()
    assert tree["events"]["time"].values.tolist() == [100.0, 100.5, 101.0, 101.5, 102.0]
    assert et.open(data).compute()["events"]["time"].values[0] == 0.0


def test_flow_and_scans_name_their_companions(shifted, data, tmp_path, monkeypatch):
    clock = shifted("clock.txt", "100")
    monkeypatch.chdir(tmp_path)
    flow = et.open(data, shifted("b.raw", "toy 5 1"), clock="clock.txt")
    assert flow.companions == {"clock": clock}
    assert [dict(scan.companions) for scan in flow.inputs.scans] == [{"clock": clock}, {}]


def test_an_unknown_name_is_refused_at_once_with_the_nearest(shifted, data):
    with pytest.raises(CompanionError, match=r"'clokc'.*did you mean 'clock'"):
        et.open(data, clokc=data)
    with pytest.raises(CompanionError, match="did you mean 'on_error'"):
        et.open(data, on_eror="skip")


def test_a_file_that_is_not_there_is_told_at_once(shifted, data):
    with pytest.raises(CompanionError, match=r"clock: there is no file nowhere\.txt"):
        et.open(data, clock="nowhere.txt")


def test_a_companion_of_no_use_is_refused(shifted):
    plain = shifted("plain.raw", "toy 5 1")
    with pytest.raises(CompanionError, match=r"of no use to these inputs \(of toy\)"):
        et.open(plain, clock=plain).plan()


def test_a_broken_companion_is_not_skipped(shifted, data):
    clock = shifted("clock.txt", "late")
    with pytest.raises(SourceError, match=r"clock.txt.*expected a number of seconds"):
        et.open(data, clock=clock, on_error="skip").plan()


def test_a_companion_that_changes_during_a_run_is_told(shifted, data):
    clock = shifted("clock.txt", "100")
    flow = et.open(data, clock=clock)
    flow.inputs  # noqa: B018 - scanned
    shifted("clock.txt", "2000")
    with pytest.raises(SourceError, match=r"clock.txt.*changed after the run was planned"):
        flow.compute()


def test_the_command_line_takes_companions(shifted, data, tmp_path):
    clock, store = shifted("clock.txt", "100"), str(tmp_path / "s.etendue")
    (tmp_path / "all.toml").write_text('write = ["events/*"]\n')
    begin = ["run", str(tmp_path / "all.toml"), data, "--into", store, "--quiet", "--pass", "one"]
    done = CliRunner().invoke(main, [*begin, "--with", f"clock={clock}"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert np.array_equal(et.load(store)["events"]["time"].values, 100 + 0.5 * np.arange(5))
    refused = CliRunner().invoke(main, [*begin, "--with", "clock"])
    assert "is not NAME=FILE" in refused.output
