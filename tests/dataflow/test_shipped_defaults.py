"""The shipped pipelines and the defaults of their stages: one set of values, unless a reason says why not."""

import pytest

import etendue as et
from etendue.dataflow.registry import find_stage, shipped_pipelines, stage_reference

#: Of each pipeline and parameter (of one stage, or of all that have it), why it is not the stage's default.
DIFFERENT = {
    ("ctapipe", "iact.Clean.picture"): "ctapipe-process 0.32 cleans all telescopes alike, with 10 pe",
    ("ctapipe", "iact.Clean.boundary"): "ctapipe-process 0.32 cleans all telescopes alike, with 5 pe",
    ("ctapipe", "iact.Parametrise.true_images"): "ctapipe-process parametrises simulated images, too",
    ("icecube", "pulses"): "variables of the pipeline name the series of the input",
    ("icecube", "mask"): "each filter has its own cleaning, made by the stages above",
    ("icecube", "output"): "several stages of one class; the names are those that the filters read",
    ("icecube", "seed"): "the seed is what an earlier stage of the pipeline made",
    ("icecube", "icecube.SeededRT.seeds"): "DeepCore's filter grows from all pulses in local coincidence",
    ("icecube", "icecube.SeededRT.iterations"): "DeepCore's filter grows without limit",
    ("icecube", "icecube.SelectPulses.local_coincidence"): "what the filters of cascades and veto are given",
    ("icecube", "icecube.SelectPulses.strings"): "EHE's filter leaves DeepCore's strings out",
    ("icecube", "icecube.SelectPulses.modules"): "the vertical filter looks at the five topmost modules",
    ("icecube", "icecube.LineFit.improved"): "the cascade filter cuts on the speed of the plain fit",
    ("icecube", "icecube.TensorOfInertia.min_hits"): "the cascade filter asks for eight",
    ("icecube", "icecube.FitCascade.where"): "the cascade filter is of events that InIceSMT triggered",
    ("icecube", "icecube.HomogenizedQTot.vertex_time"): "one of three charges is that after the vertex",
    ("icecube", "icecube.OnlineFilters.columns"): "IceCube's files hold columns of the usual names",
}


def different(name):
    """The parameters of a shipped pipeline that are not the defaults of their stages."""
    for stage in et.find_pipeline(name).stages:
        for parameter, field in type(stage).model_fields.items():
            given = not field.is_required()
            if given and getattr(stage, parameter) != field.get_default(call_default_factory=True):
                of_stage = f"{stage_reference(type(stage))}.{parameter}"
                yield (name, parameter) if (name, parameter) in DIFFERENT else (name, of_stage)


def test_pipelines_and_stages_have_one_set_of_defaults():
    assert {found for name in shipped_pipelines() for found in different(name)} == set(DIFFERENT)


@pytest.mark.parametrize("name", ["iact", "km3net"])
def test_the_stages_by_themselves_do_what_the_pipeline_does(name):
    given = {"km3net.CalibrateHits": {"detector": "$detector"}, "neutrino.PointToSky": {"particle": "muon"}}
    for stage in et.find_pipeline(name).stages:
        reference = stage_reference(type(stage))
        assert stage == find_stage(reference)(**given.get(reference, {})), reference


def test_thresholds_of_the_default_cleaning():
    picture, boundary = (
        {"*": 10.0, "LST*": 8.0, "MST*": 8.0, "SST*": 6.0},
        {"*": 5.0, "LST*": 4.0, "MST*": 4.0},
    )
    for clean in (et.iact.Clean(), et.find_pipeline("iact").stages[3]):
        assert clean.picture == picture
        assert clean.boundary == boundary | {"SST*": 3.0}
