"""PointToSky: the site follows from the inputs, and nobody's detector is the default."""

import numpy as np
import pytest

from etendue.dataflow.partition import Partition
from etendue.dataflow.pipeline import Pipeline, PipelineError
from etendue.neutrino import sky
from etendue.neutrino.pointing import PointToSky, sites_of_inputs
from etendue.neutrino.schema import DETECTOR_FILE
from etendue.schema import Schema, Table, variables

TIME = np.datetime64("2017-11-28T12:00:00", "ns").astype(np.int64)
EVENTS = Table(
    "events",
    "event",
    variables(
        "event",
        run=("uint32", "", ""),
        time=("int64", "ns", ""),
        **{f"muon_dir_{axis}": ("float64", "", "") for axis in "xyz"},
    ),
)
#: What a detector file of ORCA says of its origin.
ORCA_FILE = {
    "det_id": 49, "version": 5, "valid_from": 0.0, "valid_until": 1.0, "utm_grid": "WGS84 32N",
    "utm_easting": 256500.0, "utm_northing": 4743000.0, "utm_height": -2440.0,
}  # fmt: skip


def observation(*det_ids):
    return {"run": np.arange(len(det_ids), dtype=np.uint32), "det_id": np.array(det_ids, np.int32)}


def detector_file(**facts):
    made = {n: np.array([(ORCA_FILE | facts)[n]], dtype=v.dtype) for n, v in DETECTOR_FILE.variables.items()}
    return {"detector_file": made}


def pointed(static, runs=(0,), stage=None):
    """Right ascension of particles that go along the same direction of the frame."""
    n = len(runs)
    columns = {"run": np.array(runs, np.uint32), "time": np.full(n, TIME)}
    columns |= {
        f"muon_dir_{axis}": np.full(n, part) for axis, part in zip("xyz", (0.6, 0.0, -0.8), strict=True)
    }
    schema = Schema({}).with_tables([EVENTS])
    stage = stage or PointToSky()
    Pipeline(stages=(stage,)).check(schema, static=static)
    made = stage(Partition(0, schema, {"events": columns}, static))
    return made["events/muon_ra"]


def expected(site):
    return sky.to_equatorial(tuple(np.array([part]) for part in (0.6, 0.0, -0.8)), TIME, sky.site(site))[0]


def test_icecube_events_are_seen_from_the_pole():
    """By hand: at the pole, a particle from the azimuth phi comes from the longitude 90 deg - phi."""
    azimuth = 180.0  # it goes along x
    days = (TIME - np.datetime64("2000-01-01T12:00:00", "ns").astype(np.int64)) / 86_400e9
    sidereal = 280.46061837 + 360.98564736629 * days
    ra = pointed({"frame_objects": {}, "observation": {"run": np.zeros(1, np.uint32)}})
    off = (ra - (sidereal + 90.0 - azimuth) + 180.0) % 360.0 - 180.0
    assert abs(off) < 1.0  # the Earth's axis moved by 0.1 degrees since 2000


@pytest.mark.parametrize(("det_id", "site"), [(49, "orca"), (44, "orca"), (133, "arca")])
def test_known_detectors(det_id, site):
    assert pointed({"observation": observation(det_id)}) == pytest.approx(expected(site), abs=1e-9)


def test_each_input_has_its_own_site():
    ra = pointed({"observation": observation(133, 49)}, runs=(1, 0, 1))
    assert ra == pytest.approx([*expected("orca"), *expected("arca"), *expected("orca")], abs=1e-9)


@pytest.mark.parametrize("det_id", [-1, 0, 4711])
def test_unknown_detectors_are_asked_for(det_id):
    static = {"observation": observation(det_id)}
    with pytest.raises(PipelineError, match="does not say where its detector is: give site"):
        pointed(static)
    assert pointed(static, stage=PointToSky(site="orca")) == pytest.approx(expected("orca"), abs=1e-9)
    # ... but for the file that the hits were calibrated with, which knows its place
    assert pointed(static | detector_file()) == pytest.approx(expected("orca"), abs=1e-6)
    no_place = detector_file(det_id=4711, utm_grid="", utm_easting=np.nan)
    with pytest.raises(PipelineError, match="give site"):
        pointed(static | no_place)


@pytest.mark.parametrize("static", [{"frame_objects": {}}, {"observation": observation(49)}, detector_file()])
def test_another_site_than_the_inputs_is_refused(static):
    with pytest.raises(PipelineError, match=r"site is 'arca', but input 0 is of .*: leave site out"):
        pointed(static, stage=PointToSky(site="arca"))


def test_detector_files_give_the_sites_that_are_known_by_name():
    (site,) = sites_of_inputs(detector_file()).values()
    assert site.is_near(sky.site("orca"))
    assert not site.is_near(sky.site("antares"))
    assert not site.is_near(sky.site("arca"))
