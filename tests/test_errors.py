"""All errors that are written for people have one base, and are told in one line."""

import pkgutil
from importlib import import_module
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

import etendue as et
from etendue import cli
from etendue.dataflow.flow import Flow
from etendue.store.reader import read_root
from etendue.store.seal import DamageError

MODULES = [m.name for m in pkgutil.walk_packages(et.__path__, "etendue.") if not m.name.endswith("__main__")]


@pytest.mark.parametrize("name", MODULES)
def test_every_error_of_a_module_has_the_base(name):
    others = [
        value.__name__
        for value in vars(import_module(name)).values()
        if isinstance(value, type)
        and issubclass(value, Exception)
        and not issubclass(value, (et.EtendueError, Warning))
        and value.__module__ == name
    ]
    assert others == []


class PluginFault(et.EtendueError):
    """An error of a package that is none of ours."""


@pytest.mark.parametrize("error", [PluginFault("give a map of the sea"), RuntimeError("index 3")])
def test_the_command_line_tells_errors_with_the_base_and_no_others(error, monkeypatch):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr(Flow, "plan", fail)
    result = CliRunner().invoke(cli.main, ["plan", "iact", "simulated://gamma?n_showers=2&seed=1"])
    if isinstance(error, et.EtendueError):
        assert (result.exit_code, result.output) == (1, "etendue: give a map of the sea\n")
    else:
        assert result.exception is error


class PanicException(BaseException):
    """As of Icechunk's Rust code, which cannot be imported."""

    __module__ = "pyo3_runtime"


def panicking(words):
    """A function that panics."""

    def panic(*_):
        raise PanicException(words)

    return panic


def test_a_panic_of_icechunk_is_told(tmp_path, monkeypatch):
    panic = panicking("Bug in flush function, no manifest file found in snapshot")
    monkeypatch.setattr("etendue.store.durable.commit", panic)
    flow = et.open("simulated://gamma?n_showers=3&seed=1").columns("events/*")
    with pytest.raises(et.EtendueError, match=r"no manifest file found.*what was committed.*--fresh"):
        flow.write(tmp_path / "s.etendue", "a")
    where = ["--into", str(tmp_path / "t.etendue"), "--pass", "a"]
    told = CliRunner().invoke(cli.main, ["run", "iact", "simulated://gamma?n_showers=3&seed=1", *where])
    assert told.exit_code == 1
    assert "no manifest file found" in told.stderr
    assert "Traceback" not in told.output


def test_a_panic_while_a_root_is_read_is_damage(monkeypatch):
    monkeypatch.setattr("etendue.store.reader.get_each", panicking("unknown error"))
    store = SimpleNamespace(session=SimpleNamespace(snapshot_id="X1"))
    with pytest.raises(DamageError, match=r"s@p is damaged: snapshots/X1: unknown error"):
        read_root(store, "s@p")


def test_fresh_drops_what_makes_icechunk_panic(tmp_path, monkeypatch):
    flow = et.open("simulated://gamma?n_showers=3&seed=1").columns("events/*")
    flow.write(tmp_path / "s.etendue", "b")
    monkeypatch.setattr("etendue.store.tags.settle", panicking("unknown error"))
    with pytest.raises(et.EtendueError, match=r"unknown error.*--fresh"):
        flow.write(tmp_path / "s.etendue", "a")
    flow.write(tmp_path / "s.etendue", "a", fresh=True)
    assert [one.name for one in et.passes(tmp_path / "s.etendue")] == ["b", "a"]
