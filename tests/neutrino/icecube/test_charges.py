"""HomogenizedQTot and CausalQTot: against what IceCube stored, and by hand."""

import numpy as np
import pytest

from etendue.neutrino.icecube.charges import HomogenizedQTot
from etendue.neutrino.icecube.cleaning import SelectPulses
from etendue.neutrino.icecube.veto import VHESelfVeto
from tests.neutrino.icecube.events import muon, partition_of, run
from tests.neutrino.icecube.files import realtime, simulated


def test_stored_online_charges(shared):
    series = "SplitUncleanedInIcePulses"
    for event in realtime(shared):
        event = run(SelectPulses(pulses=series, output="hlc", local_coincidence=True), event)
        event = run(VHESelfVeto(pulses=series, mask="hlc"), event)
        event = run(HomogenizedQTot(pulses=series), event)
        causal = HomogenizedQTot(pulses=series, output="CausalQTot", vertex_time="VHESelfVeto_vertex_time")
        event = run(causal, event)
        for name in ("HomogenizedQTot", "CausalQTot"):
            assert event[f"events/{name}"] == pytest.approx(event[f"events/HESE_{name}"], abs=1e-5)


def test_stored_offline_charge(shared):
    series = "SplitInIceDSTPulses"
    name = "oscNext_muongun_level3_v02_first_5_frames.i3.gz"
    events = run(HomogenizedQTot(pulses=series), simulated(shared, name, ("Homogenized_QTot",), (series,)))
    there = events["events/Homogenized_QTot_exists"]
    assert there.sum() == 2
    stored = events["events/Homogenized_QTot"][there]
    assert events["events/HomogenizedQTot"][there] == pytest.approx(stored, abs=1e-5)


def test_deepcore_and_lone_modules_do_not_count():
    event = {
        "string": [1, 2, 3, 3, 4],
        "om": [1, 1, 1, 1, 1],
        "time": [0.0, 1, 2, 3, 4],
        "charge": [1, 2, 1.5, 2.5, 1],
    }
    lone = {**event, "charge": [1, 2, 50, 2.5, 1]}
    dense = {**event, "string": [1, 2, 36, 36, 4], "om": [1, 1, 44, 44, 1]}
    done = run(HomogenizedQTot(), partition_of([event, lone, dense, {"time": []}]))
    # 4 of 8 pe in module (3, 1) are half of the charge: it does not count either
    assert done["events/HomogenizedQTot"] == pytest.approx([4.0, 4.0, 0.0 + 1 + 1, 0.0])


def test_charge_of_icetop_does_not_count():
    event = {"string": [1, 2, 3], "om": [1, 1, 61], "time": [0.0, 1, 2], "charge": [1, 1, 500.0]}
    done = run(HomogenizedQTot(), partition_of([event]))
    assert done["events/HomogenizedQTot"] == pytest.approx([0.0 + 0])  # two modules hold half of it each
    event = {"string": [1, 2, 3, 4], "om": [1, 1, 1, 61], "time": [0.0, 1, 2, 3], "charge": [1, 1, 1, 500.0]}
    done = run(HomogenizedQTot(), partition_of([event]))
    assert done["events/HomogenizedQTot"] == pytest.approx([3.0])


def test_only_charge_after_the_vertex_is_causal():
    event = {"string": [1, 2, 3, 4], "time": [-1.0, 0.0, 5000.0, 5001.0], "charge": [1.0, 2.0, 2.1, 8.0]}
    columns = {"vertex": np.array([0.0, np.nan])}
    done = run(
        HomogenizedQTot(output="Causal", vertex_time="vertex"), partition_of([event, event], **columns)
    )
    assert done["events/Causal"] == pytest.approx([2.0, 0.0])  # (3, 1) holds more than half


def test_no_dependence_on_partitions():
    events = [muon(k) for k in range(4)]
    together = run(HomogenizedQTot(), partition_of(events))["events/HomogenizedQTot"]
    apart = [run(HomogenizedQTot(), partition_of([e]))["events/HomogenizedQTot"][0] for e in events]
    assert together.tolist() == apart


def test_tanks_and_unknown_charges_add_nothing_to_charge_in_the_ice():
    ice = {"string": [1, 2, 3], "om": [60, 60, 1], "time": [0.0, 1, 2], "charge": [1.0, 1, 1]}
    nan = np.nan
    tank = {
        name: [*column, extra] for (name, column), extra in zip(ice.items(), (81, 64, 3.0, nan), strict=True)
    }
    bright = {**tank, "charge": [1.0, 1, 1, 500]}
    unknown = {**tank, "om": [60, 60, 1, 2], "string": [1, 2, 3, 4]}
    done = run(HomogenizedQTot(), partition_of([ice, tank, bright, unknown]))
    assert done["events/HomogenizedQTot"].tolist() == [3.0, 3.0, 3.0, 3.0]
