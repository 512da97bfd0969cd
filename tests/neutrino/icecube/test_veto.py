"""VHESelfVeto and DeepCore's veto: against what IceCube stored, and by hand."""

import numpy as np
import pytest

from etendue.neutrino.detector import read_detector
from etendue.neutrino.icecube.cleaning import SeededRT, SelectPulses
from etendue.neutrino.icecube.deepcore_veto import DeepCoreVeto
from etendue.neutrino.icecube.veto import VHESelfVeto, boundary_of
from tests.neutrino.icecube.events import detector, muon, partition_of, run
from tests.neutrino.icecube.files import SIMULATED, realtime, simulated


def test_stored_vertices_and_decisions(shared):
    series, stored = "SplitUncleanedInIcePulses", "events/HESE_VHESelfVeto"
    for event in realtime(shared):
        event = run(SelectPulses(pulses=series, output="hlc", local_coincidence=True), event)
        event = run(VHESelfVeto(pulses=series, mask="hlc"), event)
        assert event["events/VHESelfVeto_vertex_time"] == event[f"{stored}VertexTime"]
        for axis in "xyz":
            assert event[f"events/VHESelfVeto_vertex_{axis}"] == pytest.approx(
                event[f"{stored}VertexPos_{axis}"], abs=5e-3
            )
        assert event["events/VHESelfVeto_vetoed"] == event[stored]


def test_boundary_is_the_outermost_strings(shared):
    geometry = read_detector(shared / "data/icecube/geometry/retro_geo_array.npy")
    boundary = boundary_of(geometry.detector, 90.0, 10.0, -135.0, 80.0)
    outer = [1, 2, 3, 4, 5, 6, 7, 13, 14, 21, 22, 30, 31, 40, 41, 50, 51, 59, 60, 67, 68, *range(72, 79)]
    assert np.flatnonzero(boundary.strings).tolist() == outer
    made_up = boundary_of(detector(), 90.0, 10.0, -135.0, 80.0)
    assert made_up.strings.sum() == 18  # of the three rings around the middle


def light(first_string, first_om):
    """A bright flash in the middle at t = 1000 ns, after 10 pe in one module that a muon hit on its way."""
    early = {"string": [first_string], "om": [first_om], "charge": [10.0]}
    flash = {"string": np.full(30, 19), "om": np.arange(15, 45), "charge": np.full(30, 10.0)}
    event = {name: np.concatenate([early[name], flash[name]]) for name in early}
    return {**event, "time": np.concatenate([[1000.0 - 2500.0], 1000.0 + np.arange(30.0)])}


def test_light_at_the_edge_vetoes():
    events = [light(1, 30), light(19, 2), light(19, 60), light(19, 40), light(20, 30), muon(1)]
    done = run(VHESelfVeto(), partition_of(events))
    assert done["events/VHESelfVeto_exists"].tolist() == [True] * 5 + [False]
    # a string at the edge, the top, the bottom, the dust; not: inside, nor a dim event
    assert done["events/VHESelfVeto_vetoed"].tolist() == [True, True, True, True, False, False]
    assert done["events/VHESelfVeto_veto_charge"][0] == 10.0


def test_light_too_late_to_be_of_the_particle_does_not_veto():
    event = light(1, 30)
    event["time"][0] = 1020.0 - 500.0  # 375 m or more from the vertex: light needs 1250 ns
    assert not run(VHESelfVeto(), partition_of([event]))["events/VHESelfVeto_vetoed"][0]


def test_module_with_most_of_the_charge_makes_no_vertex():
    event = {**light(20, 30), "charge": np.array([1e5, *[10.0] * 30])}
    done = run(VHESelfVeto(), partition_of([event, {"time": []}, {"time": [3.0], "charge": [1e4]}]))
    assert done["events/VHESelfVeto_exists"].tolist() == [True, False, False]
    assert done["events/VHESelfVeto_vertex_time"][0] > 1000.0


def test_stored_deepcore_decisions(shared):
    series, key = "SplitInIceDSTPulses", "FilterMask_DeepCoreFilter_13_condition_passed"
    n_equal = 0
    for name in SIMULATED:
        events = simulated(shared, name, (key,), (series,))
        events = run(SeededRT(pulses=series, seeds="AllHLCHits", iterations=-1), events)
        events = run(DeepCoreVeto(pulses=series, mask="seeded_rt"), events)
        n_equal += (events[f"events/{key}"] == ~events["events/DeepCoreVeto_vetoed"]).sum()
    assert n_equal == 19  # of 20: we veto the last muon for two modules with incoming light


def test_modules_of_unknown_place_do_not_hide_the_edge():
    """NaN compares as neither above nor below: one such module took top and bottom away."""
    known = {name: column.copy() for name, column in detector().items()}
    more = {name: np.append(column, column[:1]) for name, column in known.items()}
    for axis in "xyz":
        more[f"pos_{axis}"][-1] = np.nan
    whole, missing = (boundary_of(columns, 90.0, 10.0, -135.0, 80.0) for columns in (known, more))
    assert missing.strings.tolist() == whole.strings.tolist()
    assert (missing.top, missing.bottom) == (whole.top, whole.bottom)
