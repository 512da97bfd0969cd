"""Pictures of neutrino events: that figures hold what they should."""

import shutil
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from km3net_testdata import data_path

import etendue as et
from etendue.cli import main
from etendue.dataflow.event import NoSuchEventError
from etendue.dataflow.pipeline import Pipeline
from etendue.dataflow.registry import ConfigError, find_display
from etendue.neutrino import display
from etendue.neutrino.display.events import EventError
from etendue.neutrino.display.fits import fits_of
from etendue.neutrino.km3net.calibration import CalibrateHits
from etendue.provenance.again import NotAgainError
from etendue.provenance.showing import show


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
        (8, {}, r"no events have event_id 8; the nearest event_id are \[7, 9\]"),
        (7, {"hits": "Other"}, "no table 'Other'"),
        (7, {"fits": ["SPEFit"]}, r"'SPEFit' is no track of the events.*LineFit"),
    ],
)
def test_what_is_not_there_is_said(pulses, number, options, message):
    with pytest.raises((EventError, NoSuchEventError), match=message):
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


def fit(name, **columns):
    return {f"{name}_{part}": np.array([value]) for part, value in columns.items()}


AT = {"pos_x": 1.0, "pos_y": 2.0, "pos_z": 300.0, "time": 50.0}
ALONG = {"zenith": 30.0, "azimuth": 10.0}


@pytest.mark.parametrize(
    ("name", "columns", "is_cascade"),
    [
        ("CascadeLlh", AT, True),  # a vertex
        ("CLast", AT | ALONG | {"energy": 10.0}, True),
        ("CascadeLineFit", AT | ALONG | {"speed": 0.2}, False),
        ("DipoleFit", AT | ALONG, False),
        ("Stored", AT | ALONG | {"shape": 30, "speed": 0.3, "energy": 1.0, "length": 1.0}, True),
        ("CscdL3", AT | ALONG | {"shape": 40, "speed": 0.3, "energy": 1.0, "length": 1.0}, False),
        (
            "shower",
            {"pos_x": 1.0, "pos_y": 2.0, "pos_z": 3.0, "t": 5.0, "dir_x": 0.0, "dir_y": 0.0, "dir_z": 1.0},
            True,
        ),
        ("muon", AT | ALONG | {"E": 1.0, "len": 30.0}, False),
    ],
)
def test_what_is_a_cascade(name, columns, is_cascade):
    (found,) = fits_of(fit(name, **columns), 0, None)
    assert found.is_cascade == is_cascade


def test_cascades_are_stars_and_tracks_end_in_the_picture(pulses):
    pulses["events"] |= {name: np.append(c, np.nan) for name, c in fit("Vertex", **AT).items()}
    figure = display.event(pulses, 7, fits=["Vertex", "LineFit"])
    star, track = figure.axes[2].lines
    assert (star.get_marker(), star.get_linestyle()) == ("*", "None")
    np.testing.assert_allclose(star.get_xydata(), [[-50.0, 300.0]])
    low, high = figure.axes[2].get_ylim()
    assert low <= min(track.get_ydata()) < max(track.get_ydata()) <= high
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["Vertex", "LineFit"]


def test_our_fits_come_before_those_of_the_input():
    stored = {f"Stored{k}": AT | ALONG | {"shape": 40} for k in range(8)}
    events = {}
    for name, columns in (stored | {"Ours": AT | ALONG}).items():
        events |= fit(name, **columns)
    assert [found.name for found in fits_of(events, 0, None)] == ["Ours", *list(stored)[:5]]
    assert [found.name for found in fits_of(events, 0, ["Stored7", "Ours"])] == ["Stored7", "Ours"]


def test_a_fit_far_away_stretches_nothing(pulses):
    box = display.event(pulses, 7).axes[1].get_xlim()
    pulses["events"]["LineFit_pos_x"] = np.array([1e5, np.nan])
    figure = display.event(pulses, 7)
    assert figure.axes[1].get_xlim() == box
    assert figure.legends[0].get_texts()[0].get_text() == "LineFit (passes by)"


def test_tanks_and_late_noise_stretch_nothing(pulses):
    table = pulses["InIcePulses"]
    more = {
        "pos_x": [0.0, 9.0],
        "pos_y": [0.0, 9.0],
        "pos_z": [1950.0, 100.0],
        "time": [100.0, 9e5],
        "charge": 1.0,
    }
    numbers = {"string": 1, "om": 1, "pmt": 0, "flags": 1}
    grown = {
        name: np.concatenate([column[:10], np.broadcast_to(more[name], 2), column[10:]])
        for name, column in table.items()
    }
    grown |= {name: np.full(14, value) for name, value in numbers.items()}
    grown["om"][10] = 62
    pulses["events"]["n_InIcePulses"] = np.array([12, 2])
    figure = display.event(pulses | {"InIcePulses": grown}, 7)
    height = figure.axes[2]
    assert height.get_ylim()[1] < 700.0
    assert height.get_xlim()[1] < 3000.0
    assert "1 hits of IceTop not drawn" in figure.get_suptitle()


@et.stage(reads="events/n_hits", writes={"events/brightness": ("event", "int64")})
def count_hits(n_hits):
    """A stage that the picture does not need."""
    return {"events/brightness": n_hits.astype(np.int64)}


def test_events_of_a_pass_without_hits_are_read_again(tmp_path):
    """The shipped pipeline writes no hits: they come from the raw file, by the provenance of the pass."""
    store = tmp_path / "muons.etendue"
    raw = shutil.copy(data_path("online/KM3NeT_00000133_JDAQEvent.root"), tmp_path / "raw.root")
    calibrate = CalibrateHits(detector=data_path("detx/KM3NeT_00000133_20221025.detx"))
    flow = et.open(raw) | calibrate | count_hits
    whole = flow.compute()
    (flow | Pipeline(write=("events/*",))).write(store, "first")
    number = int(whole["events"]["trigger_counter"][3])
    result = CliRunner().invoke(
        main, ["show", str(store), "--event", str(number), "--out", str(tmp_path / "a.png")]
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "a.png").stat().st_size > 10_000
    again = show(store, number).axes[1].collections[-1].get_offsets()
    np.testing.assert_allclose(again, display.event(whole, number).axes[1].collections[-1].get_offsets())
    with pytest.raises(EventError, match="'SPEFit' is no track"):
        show(store, number, fits=["SPEFit"])
    Path(raw).unlink()
    with pytest.raises(NotAgainError, match="the file is gone"):
        show(store, number)
