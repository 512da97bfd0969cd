"""A pipeline or a stage on inputs of another family: told with what the inputs are and whose the stage is."""

import pytest
from km3net_testdata import data_path

import etendue as et
from etendue.dataflow.pipeline import Pipeline, PipelineError
from etendue.dataflow.registry import find_stage
from tests.neutrino.sources import i3_files as i3

GAMMAS = "simulated://gamma?n_showers=2&seed=1"
HITS = data_path("online/KM3NeT_00000133_JDAQEvent.root")
DETECTOR = data_path("detx/KM3NeT_00000133_20221025.detx")
GAMMA_SOURCES = "simtel or simtel_showers or simulated"
OTHERS = "the inputs are of the kind {}, and {} is a stage of the family '{}', for inputs of the kind {}"


@pytest.fixture
def pulses(tmp_path):
    series = i3.pulse_map({(1, 1, 0): [(1.0, 1.0, 1.0, 1)]})
    event = i3.frame("Q", {"I3EventHeader": i3.header(7, 1), "InIcePulses": series})
    (tmp_path / "a.i3").write_bytes(event)
    return str(tmp_path / "a.i3")


@pytest.mark.parametrize(
    ("stage", "data", "told"),
    [
        ("icecube.SeededRT", GAMMAS, ("simulated", "icecube.SeededRT", "icecube", "icecube")),
        ("icecube.LineFit", HITS, ("km3net", "icecube.LineFit", "icecube", "icecube")),
        ("iact.Clean", HITS, ("km3net", "iact.Clean", "iact", GAMMA_SOURCES)),
        ("iact.Integrate", "pulses", ("icecube", "iact.Integrate", "iact", GAMMA_SOURCES)),
        ("km3net.ReconstructMuon", "pulses", ("icecube", "km3net.ReconstructMuon", "km3net", "km3net")),
        ("km3net.FindCoincidences", GAMMAS, ("simulated", "km3net.FindCoincidences", "km3net", "km3net")),
    ],
)
def test_a_stage_of_another_family(stage, data, told, pulses):
    flow = et.open(pulses if data == "pulses" else data) | find_stage(stage)()
    with pytest.raises(PipelineError) as raised:
        flow.plan()
    assert str(raised.value).startswith(OTHERS.format(*told))


@pytest.mark.parametrize(
    ("name", "given", "data", "told"),
    [
        ("icecube", {}, GAMMAS, ("simulated", "icecube.PlacePulses", "icecube", "icecube")),
        ("icecube", {}, HITS, ("km3net", "icecube.PlacePulses", "icecube", "icecube")),
        ("iact", {}, HITS, ("km3net", "iact.SelectEventType", "iact", GAMMA_SOURCES)),
        ("iact", {}, "pulses", ("icecube", "iact.SelectEventType", "iact", GAMMA_SOURCES)),
        ("ctapipe", {}, "pulses", ("icecube", "iact.SelectEventType", "iact", GAMMA_SOURCES)),
        ("km3net", {"detector": DETECTOR}, "pulses", ("icecube", "km3net.CalibrateHits", "km3net", "km3net")),
        ("km3net", {"detector": DETECTOR}, GAMMAS, ("simulated", "km3net.CalibrateHits", "km3net", "km3net")),
    ],
)
def test_a_shipped_pipeline_of_another_family(name, given, data, told, pulses):
    flow = et.open(pulses if data == "pulses" else data) | et.find_pipeline(name, **given)
    with pytest.raises(PipelineError) as raised:
        flow.plan()
    assert str(raised.value).startswith(OTHERS.format(*told))


def test_a_pass_and_inputs_of_the_family_itself_are_told_nothing_of_it(pulses, tmp_path):
    (et.open(pulses) | Pipeline()).write(tmp_path / "s.etendue", "p", quiet=True)
    for data in (pulses, f"{tmp_path}/s.etendue@p"):
        with pytest.raises(PipelineError, match="'SplitPulses") as raised:
            (et.open(data) | find_stage("icecube.SeededRT")(pulses="SplitPulses")).plan()
        assert "family" not in str(raised.value)
