"""The source as a whole: which files it takes, which stream it picks, what it says of them."""

import ast
import shutil
from pathlib import Path

import km3net_testdata
import numpy as np
import pytest
import uproot

import etendue as et
from etendue.dataflow import source as source_module
from etendue.dataflow.source import SourceError
from etendue.dataflow.unify import unify
from etendue.neutrino.sources.km3net import KM3NeTSource
from etendue.neutrino.sources.km3net.parameters import read_trigger_parameters
from etendue.neutrino.sources.km3net.streams import STREAMS
from tests.neutrino.sources.km3net_files import (
    L1_267,
    MUON_CC,
    MUPAGE,
    ONLINE,
    ONLINE_44,
    SAMPLE_44,
    SN_267,
    SUMMARIES,
    whole,
)

source = KM3NeTSource()


@pytest.mark.parametrize("path", ONLINE, ids=lambda path: path.rpartition("/")[2])
def test_every_raw_stream_of_every_file_reads_or_says_why_not(path):
    assert source.accepts(path)
    n_read = 0
    for name in [name for name in STREAMS if name not in ("offline", "dst")]:
        try:
            scan = source.scan(f"{path}#{name}")
        except SourceError as error:
            assert f"no stream {name!r} in the file; its streams are: " in str(error)  # noqa: PT017
            continue
        if len(scan.rows[scan.schema.top.name]):
            whole(f"{path}#{name}")
            n_read += 1
    assert n_read >= 1


@pytest.mark.parametrize(
    ("path", "top", "child"),
    [
        (ONLINE_44, "events", "hits"),
        (L1_267, "timeslices", "hits"),
        (SN_267, "timeslices", "hits"),
        (SUMMARIES, "timeslices", "frames"),
    ],
)
def test_without_a_fragment_the_first_stream_with_entries_is_read(path, top, child):
    scan = source.scan(path)
    assert scan.schema.top.name == top
    assert scan.rows[child].sum() > 0
    assert scan.splittable


def test_a_file_whose_name_has_a_hash_sign_is_found(tmp_path):
    path = shutil.copy(ONLINE_44, tmp_path / "run#7.root")
    assert source.accepts(str(path))
    assert source.scan(f"{path}#SN").rows["hits"].sum() == 329


def test_an_unknown_stream_is_refused_with_those_that_there_are():
    with pytest.raises(SourceError, match=r"no stream 'L7'.* events \(3 entries\), .*SN \(3 entries\)"):
        source.scan(f"{ONLINE_44}#L7")


def test_an_empty_stream_has_no_rows():
    scan = source.scan(f"{L1_267}#events")
    assert {name: len(rows) for name, rows in scan.rows.items()} == dict.fromkeys(scan.rows, 0)
    assert list(source.read(scan, [], frozenset())) == []


def test_other_files_are_not_accepted(tmp_path):
    other = tmp_path / "other.root"
    with uproot.recreate(other) as file:
        file["mini"] = {"lep_n": np.arange(3)}
    text = tmp_path / "text.root"
    text.write_text("root of all evil")
    cut = tmp_path / "cut.root"
    with open(ONLINE_44, "rb") as file:
        cut.write_bytes(file.read(100_000))
    for path in (other, text, cut, tmp_path / "none.root", tmp_path):
        assert not source.accepts(str(path))
    with pytest.raises(SourceError, match="no stream of the file has entries; its streams are: none"):
        source.scan(str(other))
    with pytest.raises(SourceError, match="cut short"):
        source.scan(str(cut))
    with pytest.raises(SourceError, match="no such file"):
        source.scan(str(tmp_path / "none.root"))


def test_a_file_with_a_broken_tree_is_accepted_and_the_scan_says_what_is_wrong(tmp_path):
    with uproot.open(ONLINE_44) as file:
        start = file.key("KM3NET_EVENT").fSeekKey
    data = bytearray(Path(ONLINE_44).read_bytes())
    data[start + 150 : start + 400] = b"\xff" * 250
    broken = tmp_path / "broken.root"
    broken.write_bytes(data)
    assert source.accepts(str(broken))
    with pytest.raises(SourceError, match="KM3NET_EVENT: the tree cannot be read"):
        source.scan(str(broken))
    assert source.scan(f"{broken}#SN").rows["hits"].sum() == 329


def test_what_a_file_says_of_itself():
    scan = source.scan(MUON_CC)
    assert {name: column.tolist() for name, column in scan.static["observation"].items()} == {
        "run": [0],
        "det_id": [133],
        "run_id": [13339],
    }
    meta = dict(zip(scan.static["meta"]["name"].tolist(), scan.static["meta"]["text"].tolist(), strict=True))
    assert meta["JMeta"] == "JConvert"
    assert meta["JConvert"].startswith("GIT=18.4.0\nROOT=6.22/06\napplication=JConvert\n")


def test_static_tables_of_files_with_and_without_parameters_fit_together():
    inputs = unify(source.scan(path) for path in (SAMPLE_44, MUON_CC, MUPAGE))
    parameters = inputs.static["trigger_parameters"]
    assert parameters["run"].tolist() == [0, 2]
    assert parameters["trigger3DMuon_roadWidth_m"].tolist() == [43.0, 120.0]
    assert parameters["TMaxEvent_ns"].tolist() == [1000.0, 4102.130249126104]
    assert np.isnan(parameters["NB_ctMin"]).tolist() == [True, False]
    assert inputs.static["observation"]["run_id"].tolist() == [6884, 13339, 13288]


@pytest.fixture
def registered(monkeypatch):
    """The source as it is found when the package is installed."""

    class Entry:
        def load(self):
            return KM3NeTSource

    entries = {**source_module._registered(), "km3net": Entry()}
    monkeypatch.setattr(source_module, "_registered", lambda: entries)
    source_module.get_source.cache_clear()
    yield
    source_module.get_source.cache_clear()


@pytest.mark.usefixtures("registered")
def test_a_flow_of_a_stream_gives_its_columns_however_it_is_cut(tmp_path):
    path = f"{SAMPLE_44}#L1"
    expected = whole(path)
    for partition_bytes in (1 << 16, 1 << 20, 1 << 30):
        tree = et.open(path, partition_bytes=partition_bytes).compute()
        for table in ("timeslices", "frames", "hits"):
            for name, column in expected.tables[table].items():
                np.testing.assert_array_equal(tree[table][name].values, column)
    assert tree["trigger_parameters"]["trigger3DMuon_DMax_m"].item() == 164.897
    et.open(path, partition_bytes=1 << 20).write(tmp_path / "l1.etendue", tag="raw", quiet=True)
    stored = et.load(tmp_path / "l1.etendue", tag="raw")
    np.testing.assert_array_equal(stored["hits"]["tdc"].values, expected["hits/tdc"])
    assert stored["meta"]["name"].values.tolist() == source.scan(path).static["meta"]["name"].tolist()


def test_trigger_parameters_equal_the_reference(shared):
    def numbers(values):
        """Without the list of photomultipliers, and the versions of classes within."""
        return {
            name: {n: v for n, v in value.items() if n not in ("_v", "pmts", "write")}
            if isinstance(value, dict)
            else value
            for name, value in values.items()
        }

    lines = (shared / "reference/km3net/trigger_parameters.txt").read_text().splitlines()
    assert len(lines) == 3
    for line in lines:
        name, _, text = line.partition(" ")
        expected = ast.literal_eval(text.replace("nan", "None"))
        found = read_trigger_parameters(km3net_testdata.data_path(name))
        assert numbers(found) == numbers(expected)


def test_trigger_parameters_of_a_file_without_are_refused():
    with pytest.raises(SourceError, match="has no trigger parameters"):
        read_trigger_parameters(MUON_CC)
