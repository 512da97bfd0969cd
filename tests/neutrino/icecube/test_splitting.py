"""Topological splitting: against IceCube's counts, and by hand."""

import numpy as np
import pytest

from etendue.neutrino.icecube.splitting import TopologicalSplit
from tests.neutrino.icecube.events import SERIES, muon, partition_of, run
from tests.neutrino.icecube.files import SIMULATED, simulated


@pytest.mark.parametrize("name", SIMULATED)
def test_stored_counts(shared, name):
    series, key = "SRTInIcePulses", "WIMPrecoTopoSplitSplitCount"
    stage = TopologicalSplit(
        pulses=series, xy_distance=300.0, z_dom_distance=15
    )  # as the record in the file says
    events = run(stage, simulated(shared, name, (key,), (series,)))
    assert events["events/n_subevents"].tolist() == events[f"events/{key}"].tolist()


def two_muons():
    """A muon, and another 8 us later."""
    one, other = muon(1), muon(2, zenith=120.0)
    return {n: np.concatenate([one[n], other[n] + (8000.0 if n == "time" else 0)]) for n in one}


def test_particles_far_apart_in_time_are_told_apart():
    event = two_muons()
    done = run(TopologicalSplit(), partition_of([event, muon(3), {"time": []}]))
    assert done["events/n_subevents"].tolist() == [2, 1, 0]
    assert done["subevents/n_pulses"].sum() == (done[f"{SERIES}/subevent"] >= 0).sum()
    first = len(muon(1)["time"])
    subevent = done[f"{SERIES}/subevent"][: len(event["time"])]
    assert set(subevent[:first]) <= {0, -1}
    assert set(subevent[first:]) <= {1, -1}
    for number in range(2):
        member = subevent == number
        assert done["subevents/time"][number] == event["time"][member].min()
        assert done["subevents/length"][number] == np.ptp(event["time"][member])
        assert done["subevents/charge"][number] == pytest.approx(event["charge"][member].sum())


def test_pulses_of_too_few_modules_are_no_subevent():
    event = {"om": [1, 2, 3, 3, 3, 3], "time": [0.0, 50, 100, 200, 300, 400]}
    done = run(TopologicalSplit(), partition_of([event, {**event, "om": [1, 2, 3, 4, 4, 4]}]))
    assert done["events/n_subevents"].tolist() == [0, 1]
    assert done[f"{SERIES}/subevent"].tolist() == [-1] * 6 + [0] * 6


def test_invariants():
    event = two_muons()
    order = np.random.default_rng(0).permutation(len(event["time"]))
    shuffled = {name: column[order] for name, column in event.items()}
    whole = run(TopologicalSplit(), partition_of([event, muon(3)]))
    alone = run(TopologicalSplit(), partition_of([shuffled]))
    assert alone[f"{SERIES}/subevent"].tolist() == whole[f"{SERIES}/subevent"][: len(order)][order].tolist()
    assert run(TopologicalSplit(), partition_of([]))["subevents/time"].shape == (0,)
