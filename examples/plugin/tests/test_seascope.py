"""The example package, as it is installed beside etendue."""

from pathlib import Path

import numpy as np
import pytest
from seascope.source import SeaSource
from seascope.stages import Loudest

import etendue as et
from etendue import testing

DIVE = str(Path(__file__).with_name("dive.sea"))


def test_source_keeps_its_promises(tmp_path):
    testing.check_source(SeaSource(), DIVE, tmp_path)


def test_stage_keeps_its_promises():
    testing.check_stage(Loudest(quietest=0.2), et.open(DIVE))


def test_passes_are_the_same_however_they_came_about(tmp_path):
    other = tmp_path / "other.sea"
    other.write_text("seascope 1\n9 0.25 3:2.5\nend 1")
    testing.check_pass(et.open(DIVE, other) | Loudest(), tmp_path)


def test_the_loudest_clicks():
    tables = (et.open(DIVE) | Loudest(quietest=0.2)).collect()[1]
    np.testing.assert_array_equal(tables["events"]["loudest"], np.float32([1.25, np.nan, np.nan, 3.5]))


def test_a_bad_line_costs_its_event(tmp_path):
    path = tmp_path / "bad.sea"
    path.write_text(Path(DIVE).read_text().replace("1:0.125", "one:0.125"))
    with pytest.raises(et.EtendueError, match=r"bad\.sea: line 4: expected number, time"):
        et.open(path).collect()
    flow = et.open(path, on_error="skip")
    assert flow.collect()[1]["events"]["event_id"].tolist() == [1, 2, 4]


def test_etendue_finds_both():
    assert et.open(DIVE).inputs.scans[0].source == "seascope"
    assert "seascope.Loudest" in et.stages()
