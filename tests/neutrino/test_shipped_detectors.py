"""Detectors that come with the package, against the tables that are public."""

import numpy as np
import pytest

import etendue as et
from etendue.dataflow.source import SourceError
from etendue.neutrino.detector import read_detector
from etendue.neutrino.detector.shipped import shipped_file
from etendue.neutrino.icecube.geometry import PlacePulses, positions

IC86 = "shipped://ic86"
I3 = "data/icecube/i3/oscNext_genie_level3_v02_first_5_frames.i3.gz"


@pytest.fixture(scope="module")
def ic86():
    return read_detector(shipped_file(IC86)).detector


def test_ic86_is_built_as_its_paper_says(ic86):
    """60 modules a string, 17 m apart, 125 m from string to string: JINST 12 (2017) P03012, section 1.1."""
    assert len(ic86["du"]) == 86 * 60
    assert set(zip(ic86["du"].tolist(), ic86["floor"].tolist(), strict=True)) == {
        (string, om) for string in range(1, 87) for om in range(1, 61)
    }
    place = np.stack([ic86[f"pos_{axis}"] for axis in "xyz"], axis=-1).reshape(86, 60, 3)
    assert np.median(-np.diff(place[:78, :, 2], axis=1)) == pytest.approx(17.02, abs=0.01)
    top = place[:78, 0, :2]
    nearest = np.sort(np.hypot(*(top[:, None] - top[None]).T), axis=1)[:, 1]
    assert np.median(nearest) == pytest.approx(125, abs=2)
    dense = -np.diff(place[78:, 10:, 2], axis=1)  # modules 11 to 60 of DeepCore
    assert np.median(dense) == pytest.approx(7, abs=0.05)
    assert (place[:, :, 2].max() < 550) & (place[:, :, 2].min() > -550)


@pytest.mark.parametrize("name", ["icecube86.parquet", "retro_geo_array.npy"])
def test_ic86_is_what_others_publish(ic86, shared, name):
    theirs = read_detector(shared / "data/icecube/geometry" / name).detector
    in_ice = theirs["floor"] <= 60
    du, floor = theirs["du"][in_ice], theirs["floor"][in_ice]
    assert len(du) >= 5083  # GraphNeT's lacks those that never answered
    for axis, mine in zip("xyz", positions(ic86, du, floor, np.zeros_like(du)), strict=True):
        published = theirs[f"pos_{axis}"][in_ice]
        np.testing.assert_array_equal(mine.astype(np.float32), published.astype(np.float32), err_msg=axis)


def test_the_pipeline_runs_with_it_as_with_a_table(shared):
    path = shared / I3
    table = str(shared / "data/icecube/geometry/retro_geo_array.npy")
    one, other = (
        (et.open(path) | et.find_pipeline("icecube", geometry=geometry)).compute()["events"]
        for geometry in (IC86, table)
    )
    assert np.isfinite(one["MuonLineFit_zenith"]).any()
    assert one.identical(other)


def test_pulses_of_other_strings_are_told(shared):
    (path,) = (shared / "data/icecube/i3").glob("upgrade_genie*")
    flow = et.open(path) | PlacePulses(geometry=IC86, pulses="SplitInIcePulsesCleaned")
    with pytest.raises(SourceError, match=r"pulses are of such modules: it is of another detector"):
        flow.columns("SplitInIcePulsesCleaned/pos_x").collect()


def test_a_name_that_is_none():
    with pytest.raises(ValueError, match="unknown shipped detector 'ic68'; did you mean 'ic86'"):
        PlacePulses(geometry="shipped://ic68")
