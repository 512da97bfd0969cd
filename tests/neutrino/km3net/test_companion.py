"""The detector's description as a companion of KM3NeT's data."""

import numpy as np
import pytest
from click.testing import CliRunner
from km3net_testdata import data_path

import etendue as et
from etendue.cli import main
from etendue.dataflow.source import SourceError
from etendue.neutrino import read_detector
from etendue.store import PassExistsError

DATA = data_path("online/KM3NeT_00000133_JDAQEvent.root")
MORE = data_path("online/km3net_online.root")  # of detector 44
DETECTOR = data_path("detx/KM3NeT_00000133_20221025.detx")


def test_the_data_bring_the_detector_once_for_all_inputs(tmp_path):
    copy = tmp_path / "other.root"
    copy.write_bytes(_with_other_id(DATA))
    flow = et.open(DATA, copy, detector=DETECTOR)
    described = read_detector(DETECTOR).detector
    assert len(flow.inputs.scans) == 2
    for name in ("dom_id", "t0", "pos_z"):
        np.testing.assert_array_equal(flow.inputs.static["detector"][name], described[name])
    assert flow.inputs.static["detector_file"]["det_id"].tolist() == [133]


def test_the_shipped_pipeline_takes_it(tmp_path):
    flow = et.open(DATA, detector=DETECTOR) | et.find_pipeline("km3net")
    assert flow.pipeline.stages[0].detector == DETECTOR
    by_name = et.open(DATA) | et.find_pipeline("km3net", detector=DETECTOR)
    assert flow.pipeline.config() == by_name.pipeline.config()
    given = et.open(DATA, detector=DETECTOR) | et.find_pipeline("km3net", detector=DATA)
    assert given.pipeline.stages[0].detector == DATA
    done = CliRunner().invoke(main, ["plan", "km3net", DATA, "--with", f"detector={DETECTOR}"])
    assert done.exit_code == 0, done.output
    refused = CliRunner().invoke(main, ["plan", "km3net", DATA])
    assert refused.exit_code == 1
    assert "needs detector" in refused.stderr


def test_a_file_of_another_detector_is_refused_even_with_skip():
    with pytest.raises(SourceError, match=r"detector 133, and .*km3net_online.root of detector 44"):
        et.open(MORE, detector=DETECTOR, on_error="skip").plan()


def test_a_pass_has_one_state_of_the_file(tmp_path):
    mine, store = tmp_path / "mine.detx", tmp_path / "s.etendue"
    with open(DETECTOR) as file:
        text = file.read()
    mine.write_text(text)
    et.open(DATA, detector=mine).columns("events/*").write(store, "p", quiet=True)
    more = tmp_path / "more.root"
    more.write_bytes(_with_other_id(DATA, 2))
    et.open(DATA, more, detector=mine).columns("events/*").write(store, "p", quiet=True)
    tree = et.load(store, "p")
    assert tree["events"].sizes["event"] == 2 * len(et.open(DATA).compute()["events"]["run"])
    assert tree["detector"].sizes["pmt"] == 11_718  # once, whatever the number of inputs and revisions
    mine.write_text(text.rstrip("\n") + "\n#  a comment more\n")
    other = tmp_path / "other.root"
    other.write_bytes(_with_other_id(DATA))
    with pytest.raises(PassExistsError, match=r"companions.detector: was .*mine.detx with SHA-256"):
        et.open(DATA, other, detector=mine).columns("events/*").write(store, "p", quiet=True)


def _with_other_id(path, number=1):
    with open(path, "rb") as file:
        contents = bytearray(file.read())
    contents[50] ^= number  # of the id of the file, which nobody reads
    return contents
