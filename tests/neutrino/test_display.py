"""Pictures of neutrino events: that figures hold what they should."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

from etendue.dataflow.registry import ConfigError, find_display
from etendue.neutrino import display
from etendue.neutrino.display.events import EventError


@pytest.fixture(autouse=True)
def off_screen():
    """Draw without a screen, and forget the figures."""
    import matplotlib.pyplot as plt

    with mpl.rc_context():
        plt.switch_backend("agg")
        yield
        plt.close("all")


@pytest.fixture
def pulses():
    """Two events of pulses: one along the z axis with a fit, one of a single module."""
    z = np.arange(0.0, 500.0, 50.0)
    events = {
        "event_id": np.array([7, 9]),
        "run": np.array([0, 0]),
        "n_InIcePulses": np.array([10, 2]),
        "LineFit_pos_x": np.array([3.0, np.nan]),
        "LineFit_pos_y": np.array([4.0, np.nan]),
        "LineFit_pos_z": np.array([0.0, np.nan]),
        "LineFit_time": np.array([100.0, np.nan]),
        "LineFit_zenith": np.array([180.0, np.nan]),
        "LineFit_azimuth": np.array([0.0, np.nan]),
    }
    table = {
        "pos_x": np.zeros(12),
        "pos_y": np.zeros(12),
        "pos_z": np.append(z, [5.0, 5.0]),
        "time": np.append(100 + z / 0.3, [50.0, 20.0]),
        "charge": np.append(np.ones(10), [2.0, 3.0]),
    }
    return {"events": events, "InIcePulses": table}


@pytest.fixture
def hits():
    """One event of hits: two photomultipliers of one module in the trigger, one other hit."""
    events = {"trigger_counter": np.array([3]), "n_hits": np.array([4])}
    table = {
        "dom_id": np.array([11, 11, 12, 12]),
        "pos_x": np.array([1.0, 3.0, 100.0, 102.0]),
        "pos_y": np.zeros(4),
        "pos_z": np.array([10.0, 10.0, 20.0, 20.0]),
        "t": np.array([5.0, 4.0, 500.0, 900.0]),
        "tot": np.array([20, 30, 25, 25]),
        "trigger_mask": np.array([16, 16, 16, 0]),
    }
    return {"events": events, "hits": table}


def test_an_event_shows_its_modules_and_its_track(pulses):
    figure = display.event(pulses, 7)
    whole, above, height = figure.axes[:3]
    points = np.column_stack([np.asarray(c) for c in whole.collections[-1]._offsets3d])
    assert sorted(points[:, 2]) == list(np.arange(0.0, 500.0, 50.0))
    (track,) = above.lines
    np.testing.assert_allclose(track.get_xydata(), [[3.0, 4.0], [3.0, 4.0]], atol=1e-9)
    # Zenith 180 degrees: it comes from below, so it rises with the speed of light.
    (x, z) = height.lines[0].get_data()
    assert (z[1] - z[0]) / (x[1] - x[0]) == pytest.approx(0.299792458)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["LineFit"]


def test_pulses_of_one_place_are_one_marker_with_the_first_time(pulses):
    figure = display.event(pulses, 9)
    (marks,) = [c for c in figure.axes[1].collections if len(c.get_offsets())]
    assert len(marks.get_offsets()) == 1
    assert not figure.legends
    assert figure.axes[2].collections[-1].get_offsets().tolist() == [[0.0, 5.0]]


def test_hits_of_the_trigger_stand_out_and_modules_are_one_place(hits):
    figure = display.event(hits, 3)
    marks = figure.axes[1].collections[-1]
    np.testing.assert_allclose(np.sort(marks.get_offsets()[:, 0]), [2.0, 100.0])
    rest, _ = figure.axes[2].collections
    assert rest.get_offsets().tolist() == [[896.0, 20.0]]


@pytest.mark.parametrize(
    ("number", "options", "message"),
    [
        (8, {}, "no event has event_id 8; there are 7, 9"),
        (7, {"hits": "Other"}, "no table 'Other'"),
        (7, {"fits": ["SPEFit"]}, r"'SPEFit' is no track of the events.*LineFit"),
    ],
)
def test_what_is_not_there_is_said(pulses, number, options, message):
    with pytest.raises(EventError, match=message):
        display.event(pulses, number, **options)


def test_the_right_family_draws(pulses):
    def tree(tables):
        return xr.DataTree.from_dict(
            {
                name: xr.Dataset({c: (name if name == "events" else "pulse", a) for c, a in columns.items()})
                for name, columns in tables.items()
            }
        )

    assert find_display(tree(pulses)) is display
    assert display.event(tree(pulses), 7).axes
    with pytest.raises(ConfigError, match="nothing here draws a run with the tables events"):
        find_display(tree({"events": pulses["events"]}))


def test_the_sky_map_puts_right_ascension_to_the_left():
    ax = display.sky_map(np.array([170.0, 190.0, np.nan]), np.array([10.0, -10.0, 0.0]), galactic_plane=False)
    (points,) = ax.collections
    np.testing.assert_allclose(np.degrees(points.get_offsets()), [[10.0, 10.0], [-10.0, -10.0]])
    weighted = display.sky_map(np.array([0.0]), np.array([0.0]), weight=np.array([3.0]), label="log10(E)")
    assert [a.get_ylabel() for a in weighted.figure.axes][-1] == "log10(E)"
