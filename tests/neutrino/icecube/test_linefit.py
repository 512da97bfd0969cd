"""LineFit: against what IceCube stored, against analytic tracks, and its invariants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etendue.neutrino.icecube.cleaning import SelectPulses
from etendue.neutrino.icecube.linefit import LineFit, robust_line, without_delayed
from etendue.neutrino.icecube.pulses import C, gather
from tests.neutrino.icecube.events import SERIES, muon, partition_of, run
from tests.neutrino.icecube.files import SIMULATED, realtime, simulated


def angle(partition, one, other):
    """Angle between two directions of events [deg]."""
    directions = []
    for name in (one, other):
        zenith, azimuth = (np.radians(partition[f"events/{name}_{a}"]) for a in ("zenith", "azimuth"))
        across = np.sin(zenith)
        directions.append(np.stack([across * np.cos(azimuth), across * np.sin(azimuth), np.cos(zenith)]))
    return np.degrees(2 * np.arcsin(np.linalg.norm(directions[0] - directions[1], axis=0) / 2))


def test_stored_online_fits(shared):
    for event in realtime(shared):
        series = "SplitUncleanedInIcePulses"
        event = run(SelectPulses(pulses=series, output="hlc", local_coincidence=True), event)
        event = run(LineFit(pulses=series, mask="hlc"), event)
        assert angle(event, "LineFit", "HESE_MuonImprovedLineFit").max() <= 1e-6
        for name, tolerance in (
            ("speed", 6e-9),
            ("pos_x", 1e-6),
            ("pos_y", 1e-6),
            ("pos_z", 1e-6),
            ("time", 1e-6),
        ):
            stored = event[f"events/HESE_MuonImprovedLineFit_{name}"]
            np.testing.assert_allclose(event[f"events/LineFit_{name}"], stored, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("key", "series"), [("LineFit", "SRTInIcePulses"), ("LineFit_DC", "SRTTWOfflinePulsesDC")]
)
@pytest.mark.parametrize("name", SIMULATED)
def test_stored_offline_fits(shared, name, key, series):
    events = simulated(shared, name, (key,), (series,))
    events = run(LineFit(pulses=series, output="Mine"), events)
    assert events["events/Mine_fit_status"].tolist() == events[f"events/{key}_fit_status"].tolist() == [0] * 5
    assert angle(events, "Mine", key).max() < 1e-9
    for column in ("pos_x", "pos_y", "pos_z", "time"):
        np.testing.assert_allclose(
            events[f"events/Mine_{column}"], events[f"events/{key}_{column}"], rtol=0, atol=1e-9
        )
    # Theirs subtracts <r><t> from <rt>, which costs digits: noise events are at up to t = 7e7 ns.
    np.testing.assert_allclose(events["events/Mine_speed"], events[f"events/{key}_speed"], rtol=5e-6)


@pytest.mark.parametrize("improved", [True, False])
def test_hits_on_a_line_give_it_back(improved):
    t = np.linspace(-300.0, 300.0, 9)
    velocity = C * np.array([0.36, -0.48, 0.8])
    xyz = np.array([10.0, -20.0, 30.0]) + t[:, None] * velocity
    event = {
        "string": np.arange(1, 10),
        "time": t + 9000,
        **{f"pos_{a}": xyz[:, k] for k, a in enumerate("xyz")},
    }
    done = run(LineFit(improved=improved), partition_of([event]))
    assert done["events/LineFit_speed"][0] == pytest.approx(C, rel=1e-12)
    assert done["events/LineFit_time"][0] == pytest.approx(9000)
    assert done["events/LineFit_zenith"][0] == pytest.approx(np.degrees(np.arccos(-0.8)))
    assert done["events/LineFit_azimuth"][0] == pytest.approx(np.degrees(np.arctan2(0.48, -0.36)))


def test_delay_cleaning_equals_its_definition():
    pulses = gather(partition_of([muon(seed, noise=60) for seed in range(8)]), SERIES)
    for event in range(8):
        first, stop = pulses.starts[event : event + 2]
        kept = np.empty(stop - first, dtype=np.int64)
        n = without_delayed(pulses, first, stop, 156.0, 778.0, kept)
        r = np.stack([pulses.x, pulses.y, pulses.z], axis=-1)[first:stop]
        t = pulses.time[first:stop]
        near = np.linalg.norm(r[:, None] - r[None], axis=-1) <= 156.0
        late = (near & (t[:, None] - t[None] > 778.0)).any(axis=1)
        assert kept[:n].tolist() == (first + np.flatnonzero(~late)).tolist()
        assert 0 < n < stop - first


def test_robust_line_is_at_the_minimum_of_the_huber_penalty():
    pulses = gather(partition_of([muon(3, noise=40)]), SERIES)
    hits = np.arange(len(pulses.time))
    position, time, velocity = robust_line(pulses, hits, np.empty(len(hits)), 153.0)
    r = np.stack([pulses.x, pulses.y, pulses.z], axis=-1)

    def penalty(r0, v):
        rho = np.linalg.norm(r - r0 - (pulses.time[:, None] - time) * v, axis=1)
        return np.where(rho < 153.0, rho**2, 153.0 * (2 * rho - 153.0)).sum()

    least = penalty(np.array(position), np.array(velocity))
    rng = np.random.default_rng(0)
    for _ in range(50):
        moved = penalty(position + rng.normal(size=3), velocity + 1e-3 * rng.normal(size=3))
        assert moved > least


def test_events_without_a_line():
    same = {"time": [9000.0, 9010.0, 9100.0]}  # one module: the line stands still
    now = {"string": [1, 2], "time": [9000.0, 9000.0]}  # all at once: its speed is infinite
    done = run(LineFit(), partition_of([{"time": []}, {"time": [9000.0]}, same, now, muon(1)]))
    assert done["events/LineFit_fit_status"].tolist() == [20, 20, 20, 20, 0]
    assert np.isnan(done["events/LineFit_zenith"]).tolist() == [True] * 4 + [False]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_order_of_pulses_and_cut_into_partitions_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    events = [muon(seed + k, noise=10) for k in range(3)]
    shuffled = []
    for event in events:
        order = rng.permutation(len(event["time"]))
        shuffled.append({name: column[order] for name, column in event.items()})
    together = run(LineFit(), partition_of(events))
    apart = [run(LineFit(), partition_of([event])) for event in shuffled]
    for name, column in together.tables["events"].items():
        if name.startswith("LineFit"):
            np.testing.assert_array_equal(column, np.concatenate([p[f"events/{name}"] for p in apart]))
