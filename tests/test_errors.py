"""All errors that are written for people have one base, and are told in one line."""

import pkgutil
from importlib import import_module

import pytest
from click.testing import CliRunner

import etendue as et
from etendue import cli
from etendue.dataflow.flow import Flow

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
