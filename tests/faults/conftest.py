"""Toy files, a warm process to run from, and what an undisturbed run makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from etendue.dataflow import plugins
from etendue.dataflow import source as source_module

from .harness import Forge, command, environment
from .raw import write_raw


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """A folder with three raw files, a pipeline, and the place of the toy source."""
    folder = tmp_path_factory.mktemp("faults")
    environment(folder)
    for n, n_events in enumerate([1200, 800, 1500]):
        write_raw(folder / f"run{n}.raw", n_events, seed=n)
    return folder


@pytest.fixture(scope="session")
def inputs(site) -> list[Path]:
    return sorted(site.glob("*.raw"))


@pytest.fixture(scope="session")
def forge(site):
    forge = Forge(site)
    yield forge
    forge.close()


@pytest.fixture(autouse=True)
def no_points(site):
    """A test that failed must not have runs of the next one killed."""
    yield
    for point in (site / "points").iterdir():
        point.unlink()


@pytest.fixture(scope="session")
def undisturbed(site, inputs, forge) -> Path:
    """The store that a run writes when nothing goes wrong."""
    store = site / "undisturbed.etendue"
    forge.succeeds(*command(site, inputs, store))
    return store


@pytest.fixture
def toy(site, monkeypatch):
    """The toy source, in this process and in those that it starts."""
    monkeypatch.syspath_prepend(site / "plugin")
    _forget_plugins()
    yield
    monkeypatch.undo()
    _forget_plugins()


def _forget_plugins():
    for cached in (plugins.entries, source_module._registered, source_module.get_source):
        cached.cache_clear()
