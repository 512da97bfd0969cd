"""Pipelines are checked before they run, and their files are understood or refused by name."""

import numpy as np
import pytest
from pydantic import Field

import etendue as et
from etendue.dataflow.pipeline import Pipeline, PipelineError
from etendue.dataflow.registry import (
    ConfigError,
    find_pipeline,
    parse_pipeline,
    pipeline_text,
    shipped_pipelines,
)
from etendue.dataflow.stage import TableStage


class Scale(TableStage):
    """Multiply charges."""

    kind = "hits"
    reads = ("@hits/charge",)
    writes = {"@hits/scaled": ("hit", "float32", "pe")}  # noqa: RUF012

    factor: float = Field(2.0, description="factor")

    def process(self, table, columns, partition):
        return {"scaled": columns["charge"] * np.float32(self.factor)}


@et.stage(reads="@hits/scaled", writes={"@hits/large": ("hit", "bool")})
def large(scaled, *, above: float = 0.0):
    """Mark large charges."""
    return {"@hits/large": scaled > above}


def test_a_missing_column_is_named_with_who_makes_it(toy):
    flow = et.open(toy("a", "toy 5 1"))
    with pytest.raises(
        PipelineError, match=r"'large' reads 'hits/scaled'.*'Scale' makes it: put that before"
    ):
        (flow | large | Scale()).plan()
    with pytest.raises(
        PipelineError, match=r"stage 'large' reads 'hits/scaled'.*no registered stage makes it"
    ):
        (flow | large).plan()


def test_the_registered_maker_is_named():
    flow = et.open("simulated://gamma?n_showers=10&seed=1")
    with pytest.raises(PipelineError, match=r"'Clean' reads 'simcam/image'.*iact.Integrate would make it"):
        (flow | et.iact.Clean()).plan()


def test_a_missing_table_is_named(toy):
    with pytest.raises(PipelineError, match=r"'Clean' reads '@camera/image'.*no such table.*events, hits"):
        (et.open(toy("a", "toy 5 1")) | et.iact.Clean()).plan()


def test_only_needed_columns_are_read(toy):
    flow = et.open(toy("a", "toy 5 1")) | Scale()
    assert "hits/samples" not in flow.plan().pipeline.read
    assert "hits/samples" in et.open(toy("a", "toy 5 1")).plan().pipeline.read


def test_only_asked_columns_are_written(toy):
    pipeline = Pipeline(write=("@hits/scaled",)) | Scale()
    flow = et.open(toy("a", "toy 5 1")) | pipeline
    checked = (Pipeline(stages=(Scale(),), write=("@hits/scaled",))).check(flow.inputs.schema)
    assert checked.written == {"hits/scaled", "events/n_hits"}
    assert checked.read == {"hits/charge", "events/n_hits"}


def test_a_flow_keeps_the_columns_that_are_named(toy):
    flow = (et.open(toy("a", "toy 5 1")) | Scale()).columns("@hits/scaled", "events/time")
    tree = flow.compute()
    assert set(tree["hits"].data_vars) == {"scaled"}
    assert set(tree["events"].data_vars) == {"time", "n_hits"}
    waveform = et.open("simulated://gamma?n_showers=100&seed=1") | et.iact.Calibrate()
    assert set(waveform.columns("@camera/waveform").compute()["simcam"].data_vars) == {"waveform"}


def test_a_write_that_names_nothing_is_an_error(toy):
    pipeline = Pipeline(stages=(Scale(),), write=("@hits/scald",))
    with pytest.raises(PipelineError, match=r"'@hits/scald' names no column"):
        (et.open(toy("a", "toy 5 1")) | pipeline).plan()


def test_an_undeclared_output_is_an_error(toy):
    @et.stage(reads="@hits/charge", writes={"@hits/a": ("hit", "float32")})
    def liar(charge):
        return {"@hits/b": charge}

    with pytest.raises(PipelineError, match=r"'liar' returned \['hits/b'\]"):
        (et.open(toy("a", "toy 5 1")) | liar).compute()


def test_a_wrong_dtype_is_an_error(toy):
    @et.stage(reads="@hits/charge", writes={"@hits/a": ("hit", "float64")})
    def liar(charge):
        return {"@hits/a": charge}

    with pytest.raises(et.schema.SchemaError, match="hits/a has dtype float32; declared is float64"):
        (et.open(toy("a", "toy 5 1")) | liar).compute()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[stag]]\nuse = 'iact.Clean'", r"unknown key 'stag'; did you mean 'stage'\?"),
        ("[[stage]]\nuse = 'iact.Clear'", r"unknown stage 'iact.Clear'; did you mean 'iact.Clean'\?"),
        (
            "[[stage]]\nuse = 'iact.Clean'\npictur = 3",
            r"unknown parameter 'pictur'; did you mean 'picture'\?",
        ),
        ("[[stage]]\nuse = 'iact.Clean'\npicture = 'high'", "picture"),
        ("[[stage]]\npicture = 3", 'has no key "use"'),
        ("[[stage]]\nuse = 'nowhere:stage'", "cannot import the stage 'nowhere:stage'"),
        ("stage = [", "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_nearest_right_name(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_pipeline(text, "mine.toml")


def test_an_unknown_pipeline_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"unknown pipeline 'iacd'; did you mean 'iact'\?"):
        find_pipeline("iacd")
    with pytest.raises(ConfigError, match="no pipeline file"):
        find_pipeline("nowhere.toml")


@pytest.mark.parametrize("name", list(shipped_pipelines()))
def test_a_shipped_pipeline_survives_its_text(name, tmp_path):
    pipeline = find_pipeline(name)
    path = tmp_path / "mine.toml"
    path.write_text(pipeline_text(pipeline))
    again = find_pipeline(str(path))
    assert again.config_hash == pipeline.config_hash
    for stage in pipeline.stages:
        for field in type(stage).model_fields.values():
            assert field.description


def test_the_hash_tells_parameters_apart():
    assert (Pipeline() | Scale(factor=2)).config_hash != (Pipeline() | Scale(factor=3)).config_hash
    assert (Pipeline() | Scale(factor=2)).config_hash == (Pipeline() | Scale()).config_hash


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[stage]\nuse = "iact.Clean"', r"write \[\[stage\]\] above each"),
        ('stage = ["iact.Clean"]', r"write \[\[stage\]\] above each"),
        ('write = "events/*"', r"write = 'events/\*': expected a list"),
        ("name = 3", "name = 3: expected text"),
        ('[[stage]]\nuse = "qqqq"', "unknown stage 'qqqq'; there are iact.Calibrate"),
    ],
)
def test_values_of_another_kind_are_refused(text, message):
    with pytest.raises(ConfigError, match=f"mine.toml: .*{message}"):
        parse_pipeline(text, "mine.toml")


def test_pipeline_files_are_utf8(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b'name = "\xff"')
    with pytest.raises(ConfigError, match="byte 8 is not UTF-8"):
        find_pipeline(str(path))
