"""Triggers: by hand and against their definitions."""

import numpy as np
import pytest

from etendue.neutrino.icecube.triggers import DEEPCORE, FindTriggers, SimpleMultiplicity, String, Volume
from tests.neutrino.icecube.events import SERIES, muon, partition_of, run


def hits(n, step, **columns):
    """Hits in different strings, one after the other."""
    return {"string": np.arange(1, n + 1), "time": step * np.arange(n), **columns}


def test_simple_multiplicity():
    stage = FindTriggers(triggers=(SimpleMultiplicity(),))
    events = [
        hits(8, 700.0),
        hits(8, 720.0),
        hits(7, 1.0),
        hits(8, 1.0, flags=np.array([1] * 7 + [0])),
        {"time": []},
    ]
    done = run(stage, partition_of(events))
    assert done["events/InIceSMT_triggered"].tolist() == [True, False, False, False, False]
    assert done["events/n_found_triggers"].tolist() == [1, 0, 0, 0, 0]
    assert done["found_triggers/length"].tolist() == [4900.0]
    assert done["events/InIceSMT_time"][0] == 0.0
    assert np.isnan(done["events/InIceSMT_time"][1:]).all()


def test_overlapping_windows_are_one_trigger():
    stage = FindTriggers(triggers=(SimpleMultiplicity(n_hits=3, window=100.0),))
    event = {"string": np.arange(1, 9), "time": [0.0, 50, 100, 150, 200, 1000, 1010, 1020]}
    done = run(stage, partition_of([event]))
    assert done["found_triggers/time"].tolist() == [0.0, 1000.0]
    assert done["found_triggers/length"].tolist() == [200.0, 20.0]
    assert done["found_triggers/n_hits"].tolist() == [5, 3]


def test_pulses_of_one_launch_are_one_hit():
    event = {"string": np.repeat([1, 2], 4), "time": np.tile([0.0, 10.0, 20.0, 30.0], 2)}
    assert not run(FindTriggers(), partition_of([event]))["events/InIceSMT_triggered"][0]


def test_volume_and_string():
    stage = FindTriggers(triggers=(Volume(), String()))
    column = {"string": np.full(5, 19), "om": 10 + np.arange(5), "time": 100.0 * np.arange(5)}
    gaps = {**column, "om": 10 + 2 * np.arange(5)}  # 5 of 9 adjacent modules; 136 m high
    late = {**column, "time": 400.0 * np.arange(5)}
    wide = {"string": [1, 12, 24, 37], "om": np.full(4, 30), "time": np.arange(4.0)}
    done = run(stage, partition_of([column, gaps, late, wide]))
    assert done["events/InIceString_triggered"].tolist() == [True, False, False, False]
    assert done["events/Volume_triggered"].tolist() == [True, False, False, False]
    assert done["found_triggers/config_id"].tolist() == [21001, 1007]


def test_deepcore_listens_to_its_modules_only():
    inside = {"string": [26, 27, 35], "om": [20, 20, 20], "time": [0.0, 1000.0, 2400.0]}
    above = {**inside, "om": [20, 20, 5]}
    outside = {**inside, "string": [26, 27, 1]}
    done = run(FindTriggers(triggers=(DEEPCORE,)), partition_of([inside, above, outside]))
    assert done["events/DeepCoreSMT_triggered"].tolist() == [True, False, False]


@pytest.mark.parametrize("trigger", [SimpleMultiplicity(n_hits=5), Volume(), String(n_hits=3)])
def test_invariants(trigger):
    stage = FindTriggers(triggers=(trigger,))
    events = [muon(k, noise=20) for k in range(12)]
    whole = run(stage, partition_of(events))
    came = whole[f"events/{trigger.name}_triggered"]
    assert (whole["events/n_found_triggers"] > 0).tolist() == came.tolist()
    rng = np.random.default_rng(0)
    for k, event in enumerate(events):
        order = rng.permutation(len(event["time"]))
        alone = run(stage, partition_of([{name: c[order] for name, c in event.items()}]))
        assert alone[f"events/{trigger.name}_triggered"][0] == came[k]
        np.testing.assert_array_equal(
            alone[f"events/{trigger.name}_time"][0], whole[f"events/{trigger.name}_time"][k]
        )
    assert run(stage, partition_of([]))["found_triggers/time"].shape == (0,)
    assert whole.rows(SERIES) == sum(len(e["time"]) for e in events)
