"""Likelihood fits of real events, against what the online filter at the South Pole stored with them."""

import numpy as np
import pytest

import etendue as et
from etendue.neutrino.icecube.geometry import PlacePulses
from etendue.neutrino.icecube.likelihood_fit import FitCascade, FitTrack
from etendue.neutrino.sky import angles_to_vectors

SERIES = "SplitUncleanedInIcePulses"
EVENTS = ("event_HESE_2017-11-28", "hese_event_00", "hese_event_02", "hese_event_03")


@et.stage(reads=f"{SERIES}/flags", writes={f"{SERIES}/hlc": (f"{SERIES}_pulse", "bool")})
def mark_hlc(flags):
    """Pulses in local coincidence, which the filter fits."""
    return {f"{SERIES}/hlc": flags & 1 != 0}


@pytest.fixture(scope="module", params=EVENTS)
def event(request, shared):
    """One real event: its row of numbers, with our fits of it, and the likelihood at the stored track."""
    folder = shared / "data/icecube"
    chosen = {"pulses": SERIES, "mask": "hlc"}
    flow = (
        et.open(folder / f"realtime_json/{request.param}.json")
        | PlacePulses(geometry=str(folder / "geometry/retro_geo_array.npy"), pulses=SERIES)
        | mark_hlc
        | FitTrack(**chosen, seed="HESE_MuonImprovedLineFit", output="Track", iterations=8)
        | FitCascade(**chosen, seed="HESE_CascadeLlhVertexFit", output="Cascade")
        | FitTrack(**chosen, seed="HESE_SPEFit2", output="Stored", iterations=0)
    )
    events = flow.to_pandas("events")
    return request.param, events[events["HESE_SPEFit2_exists"]].iloc[0]


def apart(row, a, b):
    """Angle between the directions of two particles, in degrees."""
    u, v = (np.array(angles_to_vectors(row[f"{p}_zenith"], row[f"{p}_azimuth"])) for p in (a, b))
    return np.degrees(np.arccos(np.clip(u @ v, -1, 1)))


def test_the_likelihood_of_the_stored_track_is_the_stored_one(event):
    _, row = event
    assert row["Stored_ndof"] == row["HESE_SPEFit2FitParams_ndof"]
    assert row["Stored_logl"] == pytest.approx(row["HESE_SPEFit2FitParams_logl"], abs=5e-3)


def test_our_track_is_no_less_likely_and_the_same(event):
    name, row = event
    assert row["Track_logl"] < row["HESE_SPEFit2FitParams_logl"] + 0.01
    if name == "hese_event_02":  # the filter's search ended 1.26 above ours, two degrees away
        assert row["Track_logl"] < row["HESE_SPEFit2FitParams_logl"] - 1.2
    else:
        assert apart(row, "Track", "HESE_SPEFit2") < 0.25


def test_our_cascade_is_the_filters_where_the_event_is_one(event):
    # The filter's function is the Pandel function with a patch in place of the Gaussian's fold, and its floor
    # is lower: for events that are tracks, mostly floor, the two have different minima.
    name, row = event
    assert row["Cascade_fit_status"] == 0
    if name == "event_HESE_2017-11-28":
        moved = [row[f"Cascade_pos_{a}"] - row[f"HESE_CascadeLlhVertexFit_pos_{a}"] for a in "xyz"]
        assert np.linalg.norm(moved) < 0.5
        assert row["Cascade_time"] == pytest.approx(row["HESE_CascadeLlhVertexFit_time"], abs=0.5)
        assert row["Cascade_logl"] == pytest.approx(row["HESE_CascadeLlhVertexFitParams_neg_llh"], abs=0.3)
    # Which of the two is likelier decides between track and cascade, as the filter decided.
    assert (row["Cascade_logl"] < row["Track_logl"]) == (row["HESE_llhratio"] < 0)
