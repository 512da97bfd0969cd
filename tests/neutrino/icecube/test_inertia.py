"""Tensor of inertia, CLast and dipole fit: against what IceCube stored, and analytic truths."""

import numpy as np
import pytest

from etendue.neutrino.icecube.clast import CLast, agreed_time
from etendue.neutrino.icecube.inertia import DipoleFit, TensorOfInertia, principal_axes
from etendue.neutrino.icecube.pulses import GROUP_INDEX, C
from tests.neutrino.icecube.events import muon, partition_of, place, run
from tests.neutrino.icecube.files import SIMULATED, simulated
from tests.neutrino.icecube.test_linefit import angle

SERIES = "SRTTWOfflinePulsesDC"
#: What IceCube's low-energy processing gives CLast, as the record in the files says.
ENERGY = (-0.431, 1.842, -0.49199, 0.07499)


def check(events, mine, stored, columns):
    """Compare where IceCube has a fit; and that we have none where it has none."""
    good = events[f"events/{stored}_fit_status"] == 0
    assert (events[f"events/{mine}_fit_status"] == 0).tolist() == good.tolist()
    assert np.all(angle(events, mine, stored)[good] < 2e-6)
    for column in columns:
        ours, theirs = (events[f"events/{name}_{column}"][good] for name in (mine, stored))
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SIMULATED)
def test_stored_fits(shared, name):
    events = simulated(shared, name, ("ToI_DC", "CascadeLast_DC", "DipoleFit_DC"), (SERIES,))
    for stage in (
        TensorOfInertia(pulses=SERIES),
        CLast(pulses=SERIES, energy=ENERGY),
        DipoleFit(pulses=SERIES),
    ):
        events = run(stage, events)
    position = ("pos_x", "pos_y", "pos_z")
    check(events, "TensorOfInertia", "ToI_DC", position)
    check(events, "CLast", "CascadeLast_DC", (*position, "time", "energy"))
    check(events, "DipoleFit", "DipoleFit_DC", (*position, "time"))


def test_principal_axes_equal_numpys():
    rng = np.random.default_rng(0)
    for _ in range(100):
        a = rng.normal(size=(3, 3)) * 10.0 ** rng.integers(-3, 6)
        tensor, vectors = a @ a.T, np.empty((3, 3))
        values = tensor.copy()
        principal_axes(values, vectors)
        np.testing.assert_allclose(
            np.sort(np.diag(values)), np.linalg.eigvalsh(tensor), rtol=1e-9, atol=1e-9 * np.abs(tensor).max()
        )
        np.testing.assert_allclose(
            vectors @ np.diag(np.diag(values)) @ vectors.T, tensor, rtol=0, atol=1e-9 * np.abs(tensor).max()
        )


def flash(string, om, t0=9000.0):
    """Light of a point at one module: every module nearby sees it when it comes, with equal charge."""
    centre = place([string], [om])[0]
    strings, oms = (
        a.ravel() for a in np.meshgrid(np.arange(1, 38), np.arange(om - 8, om + 9), indexing="ij")
    )
    r = np.linalg.norm(place(strings, oms) - centre, axis=1)
    near = r < 200.0
    event = {"string": strings[near], "om": oms[near], "time": t0 + r[near] * GROUP_INDEX / C}
    return {**event, "charge": np.full(near.sum(), 2.0)}, centre


def test_clast_finds_a_flash():
    event, centre = flash(19, 30)
    done = run(CLast(), partition_of([event]))
    for axis, value in zip("xyz", centre, strict=True):
        assert done[f"events/CLast_pos_{axis}"][0] == pytest.approx(value, abs=1e-9)
    assert done["events/CLast_time"][0] == pytest.approx(9000.0)
    x = np.log10(event["charge"].sum())
    energy = 10 ** (1.069 + 1.842 * x - 0.492 * x**2 + 0.075 * x**3)
    assert done["events/CLast_energy"][0] == pytest.approx(energy)


def test_agreed_time():
    assert agreed_time(np.array([300.0, 100.0, 250.0, 290.0, 200.0]), 200.0, 3) == 100.0
    assert agreed_time(np.array([0.0, 1000.0, 1100.0]), 200.0, 3) == 1000.0  # most agree with it
    assert agreed_time(np.array([5.0]), 200.0, 3) == 5.0
    assert np.isnan(agreed_time(np.empty(0), 200.0, 3))


def test_a_line_of_light_is_its_axis():
    om = np.arange(10, 50)
    event = {"string": np.full(40, 7), "om": om, "time": 9000.0 + om * 17.0 / C}  # going down
    done = run(TensorOfInertia(), run(DipoleFit(), partition_of([event])))
    for name in ("TensorOfInertia", "DipoleFit"):
        assert done[f"events/{name}_zenith"][0] == pytest.approx(0.0, abs=1e-5)
    assert done["events/TensorOfInertia_sphericity"][0] == pytest.approx(0.0, abs=1e-12)
    assert done["events/DipoleFit_moment"][0] == pytest.approx(1.0)
    up = {**event, "time": -event["time"]}
    assert run(TensorOfInertia(), partition_of([up]))["events/TensorOfInertia_zenith"][0] == pytest.approx(
        180.0
    )


@pytest.mark.parametrize("stage", [TensorOfInertia(), CLast(), DipoleFit()])
def test_invariants(stage):
    rng = np.random.default_rng(1)
    events = [{"time": []}, {"time": [5.0]}, {"time": [5.0, 6.0, 7.0]}, muon(1, noise=5), muon(2)]
    done = run(stage, partition_of(events))
    assert done[f"events/{stage.output}_fit_status"].tolist() == [20, 20, 20, 0, 0]
    for k, event in enumerate(events):
        order = rng.permutation(len(event["time"]))
        alone = run(stage, partition_of([{name: np.asarray(c)[order] for name, c in event.items()}]))
        for name in done.tables["events"]:
            if name.startswith(stage.output):
                np.testing.assert_array_equal(alone[f"events/{name}"], done[f"events/{name}"][k : k + 1])


def test_events_without_known_charge_have_no_centre():
    event = {"string": [1, 2, 3, 4, 5], "om": [1, 2, 3, 4, 5], "time": np.arange(5.0), "charge": np.nan}
    for stage in (TensorOfInertia(), CLast()):
        done = run(stage, partition_of([event]))
        assert done[f"events/{stage.output}_fit_status"].tolist() == [20]
        assert np.isnan(done[f"events/{stage.output}_zenith"]).all()


def test_two_photomultipliers_of_a_module_make_no_dipole():
    """Their distance is zero, and the direction from one to the other NaN."""
    event = {"string": [1] * 6, "om": [1, 1, 2, 2, 3, 3], "pmt": [0, 1] * 3, "time": np.arange(6.0) * 57}
    done = run(DipoleFit(step=1), partition_of([event]))
    assert done["events/DipoleFit_n_pairs"].tolist() == [2]
    assert done["events/DipoleFit_moment"] == pytest.approx([1.0])
    assert done["events/DipoleFit_zenith"] == pytest.approx([0.0])
