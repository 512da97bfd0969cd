"""No stage takes a parameter that makes no sense."""

import math

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

import etendue as et
from etendue.dataflow.registry import ConfigError, parse_pipeline, registered_stages

#: What stages need that have parameters without a default.
NEEDED = {"output": "made", "reference": "trigger_time", "detector": "a.detx", "file": "a.root"}


def made(cls, **given):
    needed = {n: NEEDED.get(n, "x") for n, f in cls.model_fields.items() if f.is_required()}
    return cls(**{**needed, **given})


def floats(cls):
    """The parameters that are numbers or hold some, each with a value that has a NaN where a number is."""
    for name, value in made(cls):
        if isinstance(value, float):
            yield name, math.nan
        elif isinstance(value, tuple) and value and isinstance(value[0], float):
            yield name, (*value[:-1], math.nan)
        elif isinstance(value, BaseModel):
            for field, number in value:
                if isinstance(number, float):
                    yield name, {field: math.nan}


@pytest.mark.parametrize(
    ("stage", "parameter", "value"),
    [(name, *found) for name, cls in registered_stages().items() for found in floats(cls)],
)
def test_no_parameter_of_any_stage_is_nan(stage, parameter, value):
    with pytest.raises(ValidationError, match=parameter):
        made(registered_stages()[stage], **{parameter: value})


@pytest.mark.parametrize(
    ("stage", "parameters"),
    [
        ("iact.ReconstructStereo", {"min_intensity": -1}),
        ("iact.ReconstructStereo", {"min_pixels": -1}),
        ("iact.SelectEventType", {"types": []}),
        ("icecube.DeepCoreVeto", {"speeds": (0.4, 0.25)}),
        ("icecube.DirectHits", {"window": (75, -15)}),
        ("icecube.ExtractPulses", {"atwd_scale": (0.1, 0, 7)}),
        ("icecube.FindTriggers", {"triggers": [{"kind": "string", "modules": (60, 1)}]}),
        ("icecube.FindTriggers", {"triggers": [{"kind": "string", "strings": []}]}),
        ("icecube.FitTrack", {"seed": ""}),
        ("icecube.LineFit", {"output": ""}),
        ("icecube.OnlineFilters", {"filters": []}),
        ("icecube.OnlineFilters", {"prescales": {"MuonFilter_13": -1}}),
        ("icecube.SeededRT", {"deepcore_radius": 0}),
        ("icecube.SelectPulses", {"modules": (5, 1)}),
        ("icecube.SelectPulses", {"strings": (78, 1)}),
        ("icecube.StaticTimeWindow", {"before": -10, "after": 5}),
        ("km3net.BestTrack", {"minmax": (5, 1)}),
        ("km3net.BestTrack", {"stages": ()}),
        ("km3net.CalibrateHits", {"detector": ""}),
        ("km3net.FindCoincidences", {"table": ""}),
    ],
)
def test_a_value_that_fits_nothing_is_refused(stage, parameters):
    with pytest.raises(ValidationError, match=next(iter(parameters))):
        made(registered_stages()[stage], **parameters)


def test_a_prescale_of_no_filter_is_named():
    with pytest.raises(ValidationError, match=r"'MuonFilter_12'; did you mean 'MuonFilter_13'\?"):
        registered_stages()["icecube.OnlineFilters"](prescales={"MuonFilter_12": 3})


def test_parameters_of_any_kind_are_looked_through():
    @et.stage(reads="hits/charge", writes={"hits/a": ("hit", "float32")})
    def anything(charge, *, options=None, scale=1.0):
        return {}

    for given in ({"scale": math.nan}, {"scale": np.float64("inf")}, {"options": {"a": [1, -math.inf]}}):
        with pytest.raises(ValidationError, match="expected a finite number"):
            anything(**given)
    assert anything(options={"a": [1, 2]}).options == {"a": [1, 2]}


def test_the_nearest_parameter_is_named():
    with pytest.raises(ValidationError, match=r"unknown parameter 'pictur'; did you mean 'picture'\?"):
        et.iact.Clean(pictur=3)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nan", "picture = nan: Input should be greater than or equal to 0$"),
        ("{ '*' = -1 }", r"picture.\* = -1: Input should be greater than or equal to 0$"),
        ("{ '*' = inf }", r"picture\['\*'\] = inf: expected a finite number$"),
        ("'high'", "picture = 'high': Input should be a valid number"),
    ],
)
def test_a_pipeline_file_names_parameter_and_value(value, message):
    with pytest.raises(ConfigError, match=rf"^mine.toml: stage 1 \(iact.Clean\): {message}"):
        parse_pipeline(f"[[stage]]\nuse = 'iact.Clean'\npicture = {value}", "mine.toml")
