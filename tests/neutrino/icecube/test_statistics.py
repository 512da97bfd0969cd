"""Hit statistics, direct hits and track characteristics: against what IceCube stored, and by hand."""

import numpy as np
import pytest

from etendue.neutrino.icecube.pulses import GROUP_INDEX, C
from etendue.neutrino.icecube.statistics import HitStatistics
from etendue.neutrino.icecube.track_statistics import (
    DIRECT_CLASSES,
    PHASE_INDEX,
    DirectHits,
    TrackCharacteristics,
    smoothness,
)
from tests.neutrino.icecube.events import muon, partition_of, place, run
from tests.neutrino.icecube.files import SIMULATED, simulated


def check(events, mine, stored, *, where=None, slack=None):
    """Compare with the columns that IceCube's own values have been read into."""
    names = [
        name.removeprefix(f"{stored}_") for name in events.tables["events"] if name.startswith(f"{stored}_")
    ]
    names = [name for name in names if name != "exists"]
    assert len(names) >= 4
    for name in names:
        ours, theirs = (events[f"events/{key}_{name}"].astype(float) for key in (mine, stored))
        keep = np.ones(len(ours), bool) if where is None else where
        tolerance = (slack or {}).get(name, 1e-6)
        np.testing.assert_allclose(ours[keep], theirs[keep], rtol=1e-6, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("series", ["SplitInIcePulses", "SRTTWOfflinePulsesDC"])
@pytest.mark.parametrize("name", SIMULATED)
def test_stored_hit_statistics(shared, name, series):
    keys = tuple(f"{series}{kind}" for kind in ("HitMultiplicity", "HitStatistics", "TimeCharacteristics"))
    events = run(HitStatistics(pulses=series), simulated(shared, name, keys, (series,)))
    for key in keys:
        # Their pattern has as many steps as there are modules, one of them between we do not know what. Two
        # modules of one event were hit at the same time: either may be of the first quarter.
        check(events, "HitStatistics", key, slack={"zpattern": 1, "timelength_fwhm": 2e-3, "z_travel": 1.6})


@pytest.mark.parametrize("kind", "ABCD")
def test_stored_direct_hits(shared, kind):
    name, series, key = SIMULATED[1], "SRTTWOfflinePulsesDC", f"L5_DirectHits{kind}"
    events = simulated(shared, name, ("L5_SPEFit11", key), (series,))
    events = run(DirectHits(pulses=series, track="L5_SPEFit11", window=DIRECT_CLASSES[kind]), events)
    check(events, "DirectHitsC", key)


@pytest.mark.parametrize("track", ["MPEFit", "SPEFit2"])
@pytest.mark.parametrize("name", SIMULATED[:3])
def test_stored_track_characteristics(shared, name, track):
    key = f"{track}Characteristics"
    events = simulated(shared, name, (track, key), ("SRTInIcePulses",))
    events = run(TrackCharacteristics(pulses="SRTInIcePulses", track=track), events)
    fitted = events[f"events/{track}_fit_status"] == 0
    assert fitted.any()
    # Two modules of one event were hit at the same time: either may be of the last quarter.
    check(events, "TrackCharacteristics", key, where=fitted, slack={"track_hits_separation_length": 0.2})


def vertical_track(n_events):
    """A track straight down along string 19, at z = 0 at t = 9000 ns."""
    x, y, _ = place([19], [1])[0]
    columns = {"pos_x": x, "pos_y": y, "pos_z": 0.0, "time": 9000.0, "zenith": 0.0, "azimuth": 0.0}
    return {f"LineFit_{name}": np.full(n_events, value) for name, value in columns.items()}


def test_cherenkov_light_of_a_track_is_direct():
    om = np.arange(10, 40)
    r = place(np.full(30, 20), om)
    off = np.linalg.norm(r[:, :2] - place([19], [1])[0, :2], axis=1)
    sin = np.sqrt(1 - PHASE_INDEX**-2)
    expected = 9000.0 + (-r[:, 2] - off / PHASE_INDEX / sin + off * GROUP_INDEX / sin) / C
    event = {"string": np.full(30, 20), "om": om}
    events = [{**event, "time": expected + late} for late in (-20.0, 0.0, 74.0, 80.0)]
    done = run(DirectHits(), partition_of(events, **vertical_track(4)))
    assert done["events/DirectHitsC_n_dir_doms"].tolist() == [0, 30, 30, 0]
    assert done["events/DirectHitsC_n_early_doms"].tolist() == [30, 0, 0, 0]
    assert done["events/DirectHitsC_n_late_pulses"].tolist() == [0, 0, 0, 30]
    assert done["events/DirectHitsC_dir_track_length"][1] == pytest.approx(29 * 17.0)
    assert done["events/DirectHitsC_dir_track_hit_distribution_smoothness"][1] == pytest.approx(0.0, abs=1e-9)


def test_lengths_need_two_modules():
    """NaN, as in IceCube's common variables; the first module of two has a gap, and one has none."""
    x, y, z = place([19], [10])[0]
    at = {"string": 19, "om": [10, 12], "pos_x": x, "pos_y": y, "pos_z": [z, z - 34.0]}
    one, two = (
        {**at, "om": [10], "pos_z": [z], "time": [9000.0 - z / C]},
        {**at, "time": 9000.0 - (z - np.array([0, 34])) / C},
    )
    whole = partition_of([one, two, {**at, "om": [], "pos_z": [], "time": []}], **vertical_track(3))
    direct = run(DirectHits(), whole)["events/DirectHitsC_dir_track_length"]
    assert np.isnan(direct[[0, 2]]).all()
    assert direct[1] == pytest.approx(34.0)
    empty = run(TrackCharacteristics(), whole)["events/TrackCharacteristics_empty_hits_track_length"]
    assert np.isnan(empty[[0, 2]]).all()
    assert empty[1] == pytest.approx(34.0)
    gap = run(HitStatistics(), whole)["events/HitStatistics_timelength_maxgap"]
    assert np.isnan(gap[[0, 2]]).all()
    assert gap[1] == pytest.approx(34.0 / C)


def test_class_e_reaches_250_ns():
    assert DIRECT_CLASSES["E"] == (-15.0, 250.0)


def test_nothing_is_near_a_track_that_is_not_known():
    track = {name: np.full(1, np.nan) for name in vertical_track(1)}
    done = run(TrackCharacteristics(), partition_of([muon(1)], **track))
    assert np.isnan(done["events/TrackCharacteristics_avg_dom_dist_q_tot_dom"]).all()


def test_tanks_and_unknown_charges_add_nothing():
    event = {"string": [1, 2, 5, 90], "om": [1, 1, 62, 62], "time": [0.0, 1, 2, 3]}
    event |= {
        "charge": [1.0, np.nan, 7.0, 2.0],
        "pos_x": 0.0,
        "pos_y": 0.0,
        "pos_z": [10.0, 20.0, 1950.0, 40.0],
    }
    ice, all_of_it = (run(HitStatistics(icetop=icetop), partition_of([event])) for icetop in (False, True))
    assert ice["events/HitStatistics_n_pulses"] == [3]  # string 90 is of the upgrade, in the ice
    assert ice["events/HitStatistics_q_tot_pulses"] == [3.0]
    assert ice["events/HitStatistics_cog_z"] == pytest.approx([30.0])
    assert ice["events/HitStatistics_z_max"] == [40.0]
    assert all_of_it["events/HitStatistics_q_tot_pulses"] == [10.0]


def test_smoothness():
    assert smoothness(np.linspace(0, 1, 11)) == pytest.approx(0.0, abs=1e-12)
    assert smoothness(np.array([0.0] * 10 + [1.0])) == pytest.approx(0.9)
    assert smoothness(np.array([0.0] + [1.0] * 10)) == pytest.approx(-0.9)
    assert np.isnan(smoothness(np.array([0.0, 1.0])))


def test_invariants():
    events = [{"time": []}, {"time": [5.0], "charge": [2.0]}, muon(1, noise=5), muon(2)]
    whole = partition_of(events, **vertical_track(4))
    for stage in (HitStatistics(), DirectHits(), TrackCharacteristics()):
        done = run(stage, whole)
        for k, event in enumerate(events):
            order = np.random.default_rng(k).permutation(len(event["time"]))
            shuffled = {name: np.asarray(c)[order] for name, c in event.items()}
            alone = run(stage, partition_of([shuffled], **vertical_track(1)))
            for name in done.tables["events"]:
                if name.startswith(stage.output):
                    np.testing.assert_array_equal(alone[f"events/{name}"], done[f"events/{name}"][k : k + 1])
    counts = run(HitStatistics(), whole)
    assert counts["events/HitStatistics_n_pulses"].tolist() == [len(e["time"]) for e in events]
    assert counts["events/HitStatistics_q_tot_pulses"][1] == 2.0
