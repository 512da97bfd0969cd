"""Histograms of a run that was interrupted are those of one that was not, bit for bit."""

import pickle
import signal
from pathlib import Path

import numpy as np
import pytest

import etendue as et

from .harness import assert_same
from .raw import charge


def write(arguments: list[str]) -> None:
    """Write a pass and histograms of it, which go into a file; runs in a process of its own."""
    store, file, *paths = arguments
    flow = et.open(*paths, partition_bytes=40_000, workers=2) | charge | thirds
    keep(flow.write(store, "p", histograms=requests()).histograms, file)


def fill(arguments: list[str]) -> None:
    """Fill the same histograms from a pass."""
    store, file = arguments
    keep(et.open(f"{store}@p").histograms(requests()), file)


def keep(histograms, file: str) -> None:
    Path(file).write_bytes(pickle.dumps({name: h.view(flow=True) for name, h in histograms.items()}))


def requests() -> dict[str, et.Histogram]:
    return {
        "charge": et.Histogram([et.axis.Regular("hits/charge", 50, 0, 160_000)], weight="hits/charge"),
        "both": et.Histogram(
            [et.axis.Regular("hits/charge", 8, 5e4, 1e5), et.axis.Regular("hits/thirds", 7, 0, 1e5)],
            weight="hits/thirds",
        ),
        "n": et.Histogram([et.axis.Integer("events/n_hits", 0, 5)]),
    }


@et.stage(reads="hits/charge", writes={"hits/thirds": ("hit", "float64", "adu")})
def thirds(charge):
    """Numbers whose sums depend on their order, if they are just added."""
    return {"hits/thirds": charge / 3}


@pytest.fixture(scope="module")
def whole(site, inputs, forge) -> tuple[Path, dict]:
    """A store and histograms of a run that nothing disturbed."""
    store, file = site / "histograms.etendue", site / "histograms.pickle"
    forge.succeeds(store, file, *inputs, function=f"{__name__}:write")
    return store, pickle.loads(file.read_bytes())


def assert_equal(file: Path, expected: dict) -> None:
    found = pickle.loads(file.read_bytes())
    assert found.keys() == expected.keys()
    for name in expected:
        assert found[name].tobytes() == expected[name].tobytes(), name
    assert np.sum(found["n"]) == 3500


@pytest.mark.parametrize(
    "points", [["after commit.2"], ["compute.9"], ["after merge.3", "after append.2", "after write_true.1"]]
)
def test_killed_and_taken_up(inputs, forge, whole, tmp_path, points):
    store, file = tmp_path / "s.etendue", tmp_path / "h.pickle"
    for point in points:
        (forge.points / point).touch()
        assert forge(store, file, *inputs, function=f"{__name__}:write").code == -signal.SIGKILL
    forge.succeeds(store, file, *inputs, function=f"{__name__}:write")
    undisturbed, histograms = whole
    assert_same(store, undisturbed)
    assert_equal(file, histograms)


def test_killed_when_all_was_committed(inputs, forge, whole, tmp_path):
    """The pass is there, and its histograms are gone with the process; the pass gives the same ones."""
    store, file = tmp_path / "s.etendue", tmp_path / "h.pickle"
    (forge.points / "before create_tag.1").touch()
    assert forge(store, file, *inputs, function=f"{__name__}:write").code == -signal.SIGKILL
    forge.succeeds(store, file, *inputs, function=f"{__name__}:write")
    undisturbed, histograms = whole
    assert_same(store, undisturbed)
    assert pickle.loads(file.read_bytes()) == {}
    forge.succeeds(store, file, function=f"{__name__}:fill")
    assert_equal(file, histograms)
