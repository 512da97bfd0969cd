"""The stages that there are, as their users see them."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import etendue as et
from etendue.cli import main
from etendue.dataflow.catalogue import markdown, stage_info
from etendue.dataflow.registry import ConfigError, registered_stages

PAGE = Path(__file__).parents[2] / "docs" / "stage-list.md"


def test_every_stage_is_described():
    found = et.stages()
    assert found.keys() == registered_stages().keys()
    for info in found.values():
        assert info.summary.endswith((".", ":"))
        for parameter in info.parameters:
            assert parameter.kind, f"{info.name}.{parameter.name}"
            assert parameter.description, f"{info.name}.{parameter.name}"


def test_facts_are_those_of_the_code():
    clean = et.stages()["iact.Clean"]
    found = {p.name: p for p in clean.parameters}
    assert found["boundary"].default == "{'*': 5.0, 'LST*': 4.0, 'MST*': 4.0, 'SST*': 3.0}"
    assert found["boundary"].kind == "number >= 0 or table of number >= 0"
    assert found["keep_isolated"].kind == "true or false"
    assert "@camera/image" in clean.reads
    assert "bool (readout, pixel)" in clean.writes["@camera/image_mask"]


def test_a_stage_that_is_not_there_names_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown stage 'iact\.Claen'; did you mean 'iact\.Clean'\?"):
        stage_info("iact.Claen")


def test_the_page_is_what_the_code_says():
    """Made anew by ``etendue stages --markdown > docs/stage-list.md``."""
    ours = {
        name: info
        for name, info in et.stages().items()
        if registered_stages()[name].__module__.startswith("etendue.")
    }
    assert PAGE.read_text() == markdown(ours)


def test_the_verb():
    run = CliRunner().invoke(main, ["stages"])
    assert "iact.Clean" in run.output
    run = CliRunner().invoke(main, ["stages", "iact.Integrate"])
    assert "window = 7" in run.output
    assert "length of the window in samples" in run.output
    facts = json.loads(CliRunner().invoke(main, ["stages", "--json"]).output)
    assert facts["iact.Integrate"]["parameters"][1]["name"] == "window"
    run = CliRunner().invoke(main, ["stages", "iact.Claen"])
    assert run.exit_code == 1
    assert "did you mean 'iact.Clean'" in run.output


def test_one_of_your_own():
    @et.stage(reads="toy/x", writes={"toy/y": ("row", "float32", "m", "twice")})
    def double(x, *, factor: float = 2.0):
        """Multiply by a factor."""
        return {"toy/y": np.float32(factor) * x}

    from etendue.dataflow.catalogue import _info

    info = _info("mine", double)
    assert info.summary == "Multiply by a factor."
    assert info.writes == {"toy/y": "float32 (row) [m] twice"}
    assert [(p.name, p.default) for p in info.parameters] == [("factor", "2.0")]
