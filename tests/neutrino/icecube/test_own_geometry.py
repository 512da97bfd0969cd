"""Pulses placed by the geometry that the data or a GCD file hold."""

import numpy as np
import pytest
from click.testing import CliRunner

import etendue as et
from etendue.cli import main
from etendue.dataflow.companions import CompanionError
from etendue.dataflow.pipeline import PipelineError
from etendue.dataflow.source import SourceError
from etendue.neutrino.icecube.geometry import PlacePulses
from tests.neutrino.sources import i3_files as i3

HERE = {(1, 1): (1.0, 2.0, 3.0), (1, 2): (4.0, 5.0, 6.0)}
THERE = {key: tuple(10 * value for value in where) for key, where in HERE.items()}
PULSES = i3.pulse_map({(1, 1, 0): [(1.0, 1.0, 1.0, 1)], (1, 2, 0): [(2.0, 1.0, 1.0, 1)]})


def event(number):
    return i3.frame("Q", {"I3EventHeader": i3.header(7, number), "P": PULSES})


def frame_of(places, *versions):
    return i3.frame("G", {"I3Geometry": i3.geometry(places, *versions)})


@pytest.fixture
def write(tmp_path):
    def write(name, *frames):
        (tmp_path / name).write_bytes(b"".join(frames))
        return str(tmp_path / name)

    return write


def placed(flow):
    """Positions of the pulses, an event after the other."""
    pulses = (flow | PlacePulses(pulses="P")).compute()["P"]
    return np.stack([pulses[f"pos_{axis}"].values for axis in "xyz"], axis=-1).reshape(-1, 2, 3).tolist()


def listed(places):
    return [list(where) for where in places.values()]


@pytest.mark.parametrize("versions", [(1, 1), (2, 1), (3, 2)])
def test_geometry_frames_of_the_data(write, versions):
    path = write("a.i3", frame_of(HERE, *versions), event(1), event(2))
    assert placed(et.open(path)) == [listed(HERE)] * 2


def test_the_geometry_that_holds_for_each_event(write):
    path = write("a.i3", frame_of(THERE), frame_of(HERE), event(1), frame_of(THERE), event(2), event(3))
    assert placed(et.open(path)) == [listed(HERE), listed(THERE), listed(THERE)]
    apart = et.open(path, partition_bytes=1)
    assert placed(apart) == [listed(HERE), listed(THERE), listed(THERE)]


def test_a_gcd_file(write):
    calibration = i3.Blob("I3Calibration", 18)
    gcd = write(
        "gcd.i3", frame_of(HERE, 3, 2), i3.frame("C", {"I3Calibration": calibration}), i3.frame("D", {})
    )
    flow = et.open(write("a.i3", event(1)), write("b.i3", event(2)), gcd=gcd)
    assert placed(flow) == [listed(HERE)] * 2
    assert "calibration/I3Calibration" not in flow.schema


def test_frames_of_the_data_take_the_place_of_the_gcd_files(write):
    gcd = write("gcd.i3", frame_of(HERE))
    path = write("a.i3", event(1), frame_of(THERE), event(2))
    assert placed(et.open(path, gcd=gcd)) == [listed(HERE), listed(THERE)]
    path = write("b.i3", frame_of(THERE), event(1))
    assert placed(et.open(path, gcd=gcd)) == [listed(THERE)]


def test_without_a_geometry_it_is_told_before_the_run_what_to_give(write):
    flow = et.open(write("a.i3", event(1))) | PlacePulses(pulses="P")
    with pytest.raises(PipelineError, match=r"brings no geometry; give the GCD file .*--with gcd=FILE"):
        flow.plan()


def test_files_that_are_no_gcd_are_refused(write):
    path = write("a.i3", event(1))
    with pytest.raises(SourceError, match=r"a.i3: frames: expected frames of geometry"):
        et.open(path, gcd=path).plan()
    broken = write("gcd.i3", frame_of(HERE).replace(b"stations", b"statiens"))
    with pytest.raises(SourceError, match=r"gcd.i3: frame 0 \(G\), byte 0: .*checksum"):
        et.open(path, gcd=broken, on_error="skip").plan()
    with pytest.raises(CompanionError, match="did you mean 'gcd'"):
        et.open(path, gdc=broken)


def test_a_geometry_of_another_detector_is_refused(write):
    gcd = write("gcd.i3", frame_of({(1, 1): (0.0, 0.0, 0.0)}))
    with pytest.raises(Exception, match=r"module \(1, 2\): not there"):
        placed(et.open(write("a.i3", event(1)), gcd=gcd))


def test_the_command_line_takes_a_gcd_file(write, tmp_path):
    (tmp_path / "p.toml").write_text(
        'write = ["P/*"]\n[[stage]]\nuse = "icecube.PlacePulses"\npulses = "P"\n'
    )
    gcd, data, store = write("gcd.i3", frame_of(HERE)), write("a.i3", event(1)), str(tmp_path / "s.etendue")
    begin = ["run", str(tmp_path / "p.toml"), data, "--into", store, "--pass", "one", "--quiet"]
    refused = CliRunner().invoke(main, begin)
    assert refused.exit_code == 1
    assert "--with gcd=FILE" in refused.output
    done = CliRunner().invoke(main, [*begin, "--with", f"gcd={gcd}"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert et.load(store)["P"]["pos_z"].values.tolist() == [3.0, 6.0]
