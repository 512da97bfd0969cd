"""Offline and DST files of KM3NeT: every branch against km3io's and uproot's own reading."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import given, settings
from hypothesis import strategies as st
from km3net_testdata import data_path

import etendue as et
from etendue.dataflow.partition import Partition
from etendue.dataflow.source import Scan, SourceError
from etendue.neutrino.sources.km3net import KM3NeTSource, dst
from etendue.neutrino.sources.km3net.headers import header, header_values
from etendue.neutrino.sources.km3net.streams import opened

FOLDERS = ("offline", "dst", "mupage", "gseagen")
FILES = {
    path.name: f"{path}#{'dst' if folder == 'dst' else 'offline'}"
    for folder in FOLDERS
    for path in sorted(Path(data_path(folder)).glob("*.root"))
    if path.name != "gseagen.root"
}
#: Events, hits, mc_hits, tracks, mc_tracks, as the spec of the files says.
ROWS = {
    "muon_cc_events.root": (1000, 0, 779_382, 0, 8_207),
    "mcv6.0.gsg_muon_highE-CC_50-500GeV.km3sim.jterbr00008357.jorcarec.aanet.905.root": (
        140, 17_923, 26_817, 7_196, 1_306,
    ),
    "mcv5.11r2.gsg_muonCChigherE-CC_50-5000GeV.km3_AAv1.jterbr00004695.jchain.aanet.498.root": (
        307, 11_253, 23_930, 126_082, 2_395,
    ),
    "mcv6.gsg_nue-CCHEDIS_1e4-1e6GeV.sirene.jte.jchain.aanet.1.root": (31, 181_484, 51_513, 1_220, 1_154),
    "orca4_sample.root": (2500, 0, 0, 2500, 0),
    "orca6_sample.root": (2499, 0, 0, 2499, 0),
    "empty_events.root": (0, 0, 0, 0, 0),
}  # fmt: skip

source = KM3NeTSource()


def everything(scan: Scan) -> frozenset[str]:
    return frozenset(f"{table.name}/{column}" for table in scan.schema.values() for column in table.variables)


@cache
def whole(path: str) -> tuple[Scan, Partition]:
    scan = source.scan(path)
    n_events = len(scan.rows["events"])
    return scan, next(iter(source.read(scan, [(0, n_events)], everything(scan))))


def short(name: str) -> str:
    return name[:40]


@pytest.mark.parametrize("name", FILES, ids=short)
def test_every_file_reads(name):
    scan, found = whole(FILES[name])
    for table in scan.schema.values():
        columns = found.tables.get(table.name, scan.static.get(table.name))
        table.validate(columns, complete=True)
        if table.parent:
            assert found.counts(table.name).sum() == found.rows(table.name)
        if table.name in ("events", "hits", "mc_hits", "tracks", "mc_tracks"):
            assert scan.rows[table.name].sum() == found.rows(table.name)
        elif table.role == "rows":
            assert scan.rows[table.name].sum() >= found.rows(table.name)  # an estimate, never too little
    if name in ROWS:
        assert (
            tuple(found.rows(t) for t in ("events", "hits", "mc_hits", "tracks", "mc_tracks")) == ROWS[name]
        )


def test_a_file_without_events_says_so():
    with pytest.raises(SourceError, match="no stream"):
        source.scan(data_path("gseagen/gseagen.root"))


@pytest.mark.parametrize("name", FILES, ids=short)
def test_equals_km3io(name):
    """Every branch that km3io names, value by value."""
    km3io = pytest.importorskip("km3io")
    path = FILES[name].partition("#")[0]
    _, found = whole(FILES[name])
    if not found.rows("events"):
        pytest.skip("no events")
    with km3io.OfflineReader(path) as reader:
        tree = reader._fobj["E/Evt"]
        compared = 0
        for table, branches in {
            "hits": "hits",
            "mc_hits": "mc_hits",
            "tracks": "trks",
            "mc_tracks": "mc_trks",
        }.items():
            for column, branch in km3io.OfflineReader.nested_branches[branches].items():
                if branch not in tree[branches].keys(recursive=False):
                    continue
                compared += _compare(found, table, column, tree[f"{branches}/{branch}"].array())
        for column in (
            "id",
            "det_id",
            "run_id",
            "frame_index",
            "trigger_counter",
            "trigger_mask",
            "overlays",
            "mc_t",
        ):
            np.testing.assert_array_equal(found[f"events/{column}"], tree[column].array(library="np"))
        seconds, rest = (tree[f"t/t.{part}"].array(library="np") for part in ("fSec", "fNanoSec"))
        np.testing.assert_array_equal(found["events/time"], seconds.astype(np.int64) * 10**9 + rest)
    assert compared >= 30


#: Columns of tables of lists: the table and column that a branch of tracks becomes.
LISTS = {"rec_stages": "rec_stage", "fitinf": "value", "hit_ids": "hit_id", "error_matrix": "value"}


def _compare(found: Partition, table: str, column: str, expected) -> int:
    import awkward as ak

    prefix = "mc_tracks_" if table == "mc_tracks" else ""
    if column in ("usr", "usr_names"):
        names = (f"{table}_{column}", "value" if column == "usr" else "name")
    elif column in LISTS and table in ("tracks", "mc_tracks"):
        names = (prefix + column, LISTS[column])
    else:
        names = (table, {"trig": "trigger_mask"}.get(column, column))
        np.testing.assert_array_equal(found.counts(table), ak.num(expected, axis=1))
        np.testing.assert_array_equal(found["/".join(names)], ak.to_numpy(ak.flatten(expected)))
        return 1
    if names[0] not in found.schema:
        return 0
    each = ak.flatten(expected, axis=1)
    np.testing.assert_array_equal(found.counts(names[0]), ak.num(each, axis=1))
    items = ak.flatten(each, axis=1)
    if column == "usr_names":
        assert found["/".join(names)].tolist() == items.tolist()
    else:
        np.testing.assert_array_equal(found["/".join(names)], ak.to_numpy(items))
    return 1


@pytest.mark.parametrize("name", [n for n in FILES if FILES[n].endswith("#dst")], ids=short)
def test_summaries_equal_uproot(name):
    import uproot

    path = FILES[name].partition("#")[0]
    _, found = whole(FILES[name])
    with uproot.open(path) as file:
        tree, compared = file["T"], 0
        for branch in ("sum_hits/nhits", "sum_trig_hits/atot", "sum_jpptrack/max_lik_up", "sum_jgandalf/n_up",
                       "sum_mc_trks/tmuon/tmuon.E", "coords/mjd", "sum_casc/d_aa_jpp", "bdt", "bdt_trk",
                       "feat_Neutrino2020/gandalf_Qup", "cherenkovCond/n_doms"):  # fmt: skip
            if branch in tree:
                column = f"events/{branch.replace('tmuon/tmuon.', 'tmuon_').replace('/', '_')}"
                np.testing.assert_array_equal(found[column], tree[branch].array(library="np"))
                compared += 1
        for branch in ("nhits", "nhits_200m", "closest"):
            if "crkv_hits" in tree:
                expected = np.concatenate(tree[f"crkv_hits/crkv_hits.{branch}[3]"].array().to_list())
                np.testing.assert_array_equal(found[f"crkv_hits/{branch}"], expected)
        if "sum_casc/inertia_tensor_eigenvalues" in tree:
            expected = np.concatenate(tree["sum_casc/inertia_tensor_eigenvalues"].array(library="np"))
            np.testing.assert_array_equal(found["sum_casc_inertia_tensor_eigenvalues/value"], expected)
    assert compared >= 3


def test_dst_is_picked_before_offline():
    assert source.scan(data_path("dst/orca6_sample.root")).schema["events"].variables["sum_hits_nhits"]


def test_inputs_of_a_dst():
    scan, _ = whole(FILES["orca6_sample.root"])
    assert scan.static["dst_inputs"]["runNumber"].tolist() == [9505]
    assert scan.static["dst_inputs"]["livetime_s"].tolist() == [21593.2]
    assert scan.static["observation"]["run_id"].tolist() == [9505]


def test_headers_equal_km3io(shared):
    """As km3io's, but for words that it adds to a tag when an earlier file had more of them (seed)."""
    for path, expected in json.loads((shared / "reference/km3net/headers.json").read_text()).items():
        with opened(data_path(path)) as file:
            found = header_values(header(path, file))
        for tag in expected:
            if isinstance(expected[tag], dict) and tag == "seed":
                expected[tag] = {n: v for n, v in expected[tag].items() if v is not None or n in found[tag]}
        assert found == expected


def test_header_of_a_merged_file():
    """Each of the 17 headers has the UUID by which the events of its file name it."""
    path = data_path("offline/multiHead.root")
    scan, _ = whole(f"{path}#offline")
    heads = [header_values(scan.static["header"], head=head) for head in range(18)]
    assert len({str(head.get("UUID")) for head in heads[1:]}) == 17
    assert heads[1]["UUID"] == "62f62473-b330-4118-8bb9-042e1d070ef4"  # header_uuid of the first event
    assert heads[17]["cut_nu"] == {"Emin": 100, "Emax": 300, "cosTmin": -1, "cosTmax": 1}
    assert heads[0]["DAQ"] == {"livetime": 0}


def test_broken_header(tmp_path):
    data = Path(data_path("offline/km3net_offline.root")).read_bytes()
    path = tmp_path / "broken.root"
    path.write_bytes(data.replace(b"\x08 21584.6", b"\x28 21584.6"))
    with pytest.raises(SourceError, match=r"Header byte 31: expected 40 bytes, the header has 8 more"):
        source.scan(f"{path}#offline")


NUMUCC = f"{data_path('offline/numucc.root')}#offline"


@pytest.mark.parametrize("cuts", [[0, 10], [0, 1, 2, 9, 10], [0, 4, 4, 10]])
def test_independent_of_partitions(cuts):
    scan, expected = whole(NUMUCC)
    ranges = list(pairwise(cuts))
    parts = list(source.read(scan, ranges, everything(scan)))
    for table, columns in expected.tables.items():
        for name, column in columns.items():
            joined = np.concatenate([part.tables[table][name] for part in parts])
            np.testing.assert_array_equal(joined, column, err_msg=f"{table}/{name}")


def test_only_what_is_asked_for(monkeypatch):
    from etendue.neutrino.sources.km3net import baskets

    read = set()
    entries = baskets.Branch.entries

    def spy(self, first, stop):
        read.add(self.place)
        return entries(self, first, stop)

    scan = source.scan(NUMUCC)
    monkeypatch.setattr(baskets.Branch, "entries", spy)
    wanted = frozenset({"tracks/E", "rec_stages/rec_stage"})
    found = next(iter(source.read(scan, [(0, 10)], wanted)))
    counts = {f"E/{name}" for name in ("hits", "mc_hits", "trks", "mc_trks")}
    assert read == counts | {"E/trks.E", "E/trks.rec_stages"}
    assert {c for c in found.tables["tracks"] if not c.startswith("n_")} == {"E"}
    assert found.counts("rec_stages").sum() == found.rows("rec_stages") == 827
    assert found.rows("fitinf") == 0  # not asked for, not unpacked, and not counted as none
    assert "tracks/n_fitinf" not in found


def test_vectors_are_counted_also_if_they_are_not_read():
    """``n_rec_stages`` was 0 in a run that did not read the stages themselves."""
    flow = et.open(data_path("offline/km3net_offline.root"))
    with uproot.open(data_path("offline/km3net_offline.root")) as file:
        stages = file["E/Evt/trks/trks.rec_stages"].array(library="ak")
    tables = flow.columns("tracks/E").collect()[1]
    assert tables["tracks"]["n_rec_stages"].tolist() == ak.flatten(ak.num(stages, axis=2)).tolist()
    histogram = flow.histogram(et.axis.Regular("tracks/n_rec_stages", 10, -0.5, 9.5))
    assert (histogram.axes[0].centers * histogram.values()).sum() == ak.count(stages)


def test_broken_basket_costs_its_events(tmp_path):
    """A basket of one column that does not unpack: its events are lost, those of other baskets are not."""
    import uproot

    name = data_path("offline/muon_cc_events.root")
    with uproot.open(name) as file:
        branch = file["E/Evt/mc_hits/mc_hits.t"]
        first = branch.entry_offsets[1]
        seek = branch.member("fBasketSeek")[0]
    data = bytearray(Path(name).read_bytes())
    data[seek + 200 : seek + 260] = bytes(60)
    path = tmp_path / "broken.root"
    path.write_bytes(data)
    scan = source.scan(f"{path}#offline")
    wanted = frozenset({"events/id", "mc_hits/t"})
    with pytest.raises(SourceError, match=r"mc_hits\.t basket 0"):
        list(source.read(scan, [(0, 1000)], wanted))
    found = next(iter(source.read(scan, [(0, 1000)], wanted, on_error="skip")))
    assert found.rows("events") == 1000 - first
    assert [failure.events_lost for failure in found.failures] == [first]
    _, good = whole(f"{name}#offline")
    n_lost = good["events/n_mc_hits"][:first].sum()
    np.testing.assert_array_equal(found["mc_hits/t"], good["mc_hits/t"][n_lost:])


@given(
    name=st.sampled_from(["offline/km3net_offline.root", "offline/usr-sample.root", "dst/mcv5.1"]),
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6),
)
@settings(max_examples=40, deadline=10_000)
def test_broken_bytes_give_source_errors(tmp_path_factory, name, edits):
    if name == "dst/mcv5.1":
        name = "dst/mcv5.1.km3_numuCC.ALL.dst.bdt.10events.root"
    data = bytearray(Path(data_path(name)).read_bytes())
    for place, new in edits:
        at = int(place * (len(data) - 8))
        data[at : at + len(new)] = new
    path = tmp_path_factory.getbasetemp() / "broken.root"
    path.write_bytes(data)
    with suppress(SourceError):
        scan = source.scan(str(path), on_error="skip")
        n_events = len(scan.rows["events"])
        for part in source.read(scan, [(0, n_events)], everything(scan), on_error="skip"):
            for table in scan.schema.values():
                if table.role == "rows":
                    table.validate(part.tables[table.name], complete=True)


def test_branches_of_a_production_called_like_columns_of_ours(monkeypatch):
    """A branch ``run_id`` or ``hits`` of its tree replaces nothing, and neither do two of one plain name."""
    kinds = {"run_id": "column", "hits": "list", "failures": "list", "a.b": "column", "a_b": "column"}
    branch = SimpleNamespace(branches=[], typename="")
    monkeypatch.setattr(dst, "_kind", lambda found: (kinds[found.name], ">f8"))
    branches = SimpleNamespace(
        all={name: SimpleNamespace(**vars(branch), name=name) for name in kinds}, path="", tree="T"
    )
    parts = dst.parts(branches)
    columns = {c.variable.name: c.branches for c in parts[0].columns}
    assert columns == {"run_id_": ("run_id",), "a_b": ("a.b",), "a_b_": ("a_b",)}
    assert [part.table for part in parts[1:]] == ["hits_", "failures_"]
