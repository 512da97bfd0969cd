"""Variables of pipeline files: declared once, given from outside, missing ones named before anything runs."""

import pickle

import pytest

import etendue as et
from etendue.dataflow.pipeline import Pipeline, PipelineError
from etendue.dataflow.registry import ConfigError, find_pipeline, parse_pipeline, pipeline_text
from etendue.dataflow.variables import VariableError

TEXT = """
name = "mine"
write = ["events/*", "${series}/charge"]

[variables.series]
description = "table of hits"
default = "hits"

[variables.above]
type = "number"
description = "least charge"
required = true

[variables.window]
type = "integer"
default = 7

[[stage]]
use = "Select"
cut = "${series}/charge > ${above}"

[[stage]]
use = "iact.Integrate"
window = "$window"

[[stage]]
use = "iact.Clean"
picture = { "*" = "$above", "LST*" = 8.0 }
"""


def test_defaults_and_values_are_put_in_place():
    pipeline = parse_pipeline(TEXT).set(above=3.5)
    select, integrate, clean = pipeline.stages
    assert select.cut == "hits/charge > 3.5"
    assert integrate.window == 7
    assert clean.picture == {"*": 3.5, "LST*": 8.0}
    assert pipeline.write == ("events/*", "hits/charge")
    again = pipeline.set(series="pulses", window="9", above="4")
    assert again.stages[0].cut == "pulses/charge > 4.0"
    assert again.stages[1].window == 9
    assert again.write == ("events/*", "pulses/charge")


def test_a_required_variable_is_named_before_inputs_are_looked_at():
    pipeline = parse_pipeline(TEXT)
    message = r"pipeline 'mine' needs above \(least charge\): give --set above=NUMBER, or in Python .*above="
    flow = et.open("/nowhere/at/all") | pipeline
    for verb in (flow.plan, flow.compute, flow.preview, lambda: flow.write("/nowhere/s", "p")):
        with pytest.raises(PipelineError, match=message):
            verb()


def test_what_is_set_is_in_the_text_and_in_the_identity():
    pipeline = parse_pipeline(TEXT).set(above=3.5, window=9)
    again = parse_pipeline(pipeline_text(pipeline))
    assert again.config() == pipeline.config()
    assert again.set(above=1).stages[0].cut == "hits/charge > 1.0"
    assert 'cut = "${series}/charge > ${above}"' in pipeline_text(pipeline)
    unset = parse_pipeline(pipeline_text(parse_pipeline(TEXT)))
    assert unset.set(above=3.5, window=9).config() == pipeline.config()
    # A stage that was changed otherwise is written as it is.
    changed = pipeline.model_copy(update={"stages": (*pipeline.stages[:2], et.iact.Clean(picture=2))})
    assert "picture = 2.0" in pipeline_text(changed)
    assert parse_pipeline(pipeline_text(changed)).config() == changed.config()


def test_a_joined_pipeline_keeps_its_variables():
    first = et.iact.Calibrate() | parse_pipeline(TEXT)
    pipeline = (first | et.iact.Parametrise()).set(above=2, series="x")
    assert pipeline.stages[1].cut == "x/charge > 2.0"
    assert pickle.loads(pickle.dumps(pipeline)) == pipeline
    flow = et.open("/nowhere") | et.iact.Calibrate() | parse_pipeline(TEXT)
    with pytest.raises(PipelineError, match="needs above"):
        flow.plan()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"abve": 3}, r"pipeline 'mine': unknown variable 'abve'; did you mean 'above'\?"),
        ({"above": "high"}, "above = 'high': expected a number"),
        ({"above": "nan"}, "above = 'nan': expected a number"),
        ({"above": True}, "above = True: expected a number"),
        ({"above": -1}, r"stage 'Clean': picture.\* = -1.0: Input should be greater"),
        ({"window": 2.5}, "window = 2.5: expected a whole number"),
        ({"window": "7.5"}, "expected a whole number"),
        ({"series": 3}, "series = 3: expected text"),
        ({"above": 1, "series": "("}, "stage .*is not a cut"),
    ],
)
def test_values_are_checked(values, message):
    with pytest.raises(VariableError, match=message):
        parse_pipeline(TEXT).set(**values)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('default = "hits"', 'defalt = "hits"', r"'series': unknown key 'defalt'; did you mean 'default'\?"),
        ('type = "number"', 'type = "nmber"', r"'above': unknown type 'nmber'; did you mean 'number'\?"),
        ("required = true", "", "'above': give either a default or required = true"),
        ("required = true", "required = true\ndefault = 3", "'above': give either"),
        ("required = true", "default = 'x'", "above = 'x': expected a number"),
        (
            'window = "$window"',
            'window = "$windw"',
            r"\$windw: unknown variable 'windw'",
        ),
        ('window = "$window"', "window = 3", "variable 'window' is used nowhere"),
        ("[variables.window]", "[variables.'a b']", "'a b': a name has letters"),
        ('use = "Select"', 'use = "$series"', "use names a stage, and cannot be a variable"),
        ('cut = "${series}/charge > ${above}"', 'ct = "${above}"\ncut = "x>1"', "unknown parameter 'ct'"),
    ],
)
def test_declarations_are_checked(old, new, message):
    assert old in TEXT
    with pytest.raises(ConfigError, match=f"mine.toml: .*{message}"):
        parse_pipeline(TEXT.replace(old, new, 1), "mine.toml")


def test_variables_are_tables():
    with pytest.raises(ConfigError, match=r"variables are tables; write \[variables.NAME\]"):
        parse_pipeline("variables = 3")
    with pytest.raises(ConfigError, match=r"'a': write \[variables.a\] with description"):
        parse_pipeline("variables = { a = 3 }")


def test_files_are_absolute(tmp_path, monkeypatch):
    path = tmp_path / "pipelines" / "mine.toml"
    path.parent.mkdir()
    path.write_text(
        "[variables.detector]\ntype = 'file'\ndefault = 'a.detx'\n"
        "[[stage]]\nuse = 'km3net.CalibrateHits'\ndetector = '$detector'\n"
    )
    monkeypatch.chdir(tmp_path)
    assert find_pipeline("pipelines/mine.toml").stages[0].detector == str(path.parent / "a.detx")
    (tmp_path / "b.detx").touch()
    assert find_pipeline(path, detector="b.detx").stages[0].detector == str(tmp_path / "b.detx")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_pipeline(path, detector="~/b.detx").stages[0].detector == str(tmp_path / "b.detx")
    with pytest.raises(VariableError, match=r"detector = .*/c.detx: there is no such file"):
        find_pipeline(path, detector="c.detx")


def test_a_dollar_sign_may_stand_for_itself():
    text = "[variables.a]\ndefault = 'x'\n[[stage]]\nuse='Select'\ncut = \"${a} == '$$5'\"\n"
    with_dollar = parse_pipeline(text)
    assert with_dollar.stages[0].cut == "x == '$5'"
    assert parse_pipeline(pipeline_text(with_dollar)).config() == with_dollar.config()
    plain = parse_pipeline("[[stage]]\nuse='Select'\ncut = \"x == '$5'\"\n")
    assert plain.stages[0].cut == "x == '$5'"


def test_a_pipeline_without_variables_takes_none():
    with pytest.raises(VariableError, match=r"unknown variable 'detector'; there are none"):
        find_pipeline("iact", detector="x")
    assert Pipeline().set() == Pipeline()


def test_the_shipped_pipelines_say_what_they_need():
    with pytest.raises(PipelineError, match=r"'km3net' needs detector .*--set detector=FILE"):
        find_pipeline("km3net").check_variables()
    icecube = find_pipeline("icecube", pulses="SplitUncleanedInIcePulses")
    pulses = [stage.pulses for stage in icecube.stages if hasattr(stage, "pulses")]
    assert set(pulses) == {"SplitUncleanedInIcePulses", "InIceDSTPulses"}
