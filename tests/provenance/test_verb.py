"""The verb ``etendue provenance``."""

import json
from dataclasses import asdict

import pytest
from click.testing import CliRunner

from etendue.cli.provenance import provenance
from etendue.provenance import activities, document, inputs, lineage


def told(*arguments):
    done = CliRunner().invoke(provenance, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_summary_tells_what_made_a_pass(made):
    text = told(made.raw, "--pass", "raw")
    (activity,) = activities(document(made.raw))
    for one in inputs(document(made.raw)):
        (line,) = (line for line in text.splitlines() if one.path in line)
        assert one.sha256 in line
        assert f"{one.size:,}" in line
    for expected in (activity.hash, activity.host, activity.cpu, activity.versions["etendue"], "CPU seconds"):
        assert expected in text


def test_the_cut_flow_is_a_table(made):
    rows = [line.split() for line in told(made.dl1).splitlines()]
    assert ["SelectEventType", "events", "13", "13", "100.0%"] in rows
    assert ["written", "events", "13"] in rows


def test_json_is_the_record(made):
    assert json.loads(told(made.dl1, "--pass", "dl1", "--json")) == document(made.dl1)


def test_an_event_is_told_step_by_step(made):
    text = told(made.dl1, "--pass", "dl1", "--event", 200, "--run", 1)
    for step in lineage(made.dl1, "dl1", 200, 1):
        assert step.place in text
        assert step.offset in text
        assert step.hash in text
    assert "2 events have this number" in told(made.dl1, "--event", 200)


def test_the_steps_of_an_event_are_json_too(made):
    steps = json.loads(told(made.dl1, "--event", 200, "--json"))
    assert steps == json.loads(json.dumps([asdict(step) for step in lineage(made.dl1, None, 200)]))


def test_a_crate_is_written(made, tmp_path):
    path = told(made.dl1, "--pass", "dl1", "--crate", tmp_path / "crate.zip").strip()
    assert path == str(tmp_path / "crate.zip")


@pytest.mark.parametrize("wrong", [("--run", 1), ("--event", 1, "--crate", "x")])
def test_what_does_not_go_together_is_refused(made, wrong):
    done = CliRunner().invoke(provenance, [str(made.dl1), *map(str, wrong)])
    assert done.exit_code == 2
