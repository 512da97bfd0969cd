"""Detector descriptions: KM3NeT's files against its own tools' reading of them, and against each other."""

from __future__ import annotations

import hashlib
import struct
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from km3net_testdata import data_path

from etendue.dataflow.source import SourceError
from etendue.neutrino.detector import read_detector, write_detx
from etendue.neutrino.schema import DETECTOR, MODULES

DETX = sorted(p for p in Path(data_path("detx")).glob("*.detx") if "invalid" not in p.name)
DATX = [
    Path(data_path("datx/KM3NeT_00000133_20221025.datx")),
    Path(data_path("detector_geometry/KM3NeT_00000232.detector.datx")),
]

#: Number, version, PMTs, modules, validity and UTM reference, as the first lines of the files say.
FACTS = {
    "detx_v1.detx": (1, 1, 18, 6),
    "detx_v2.detx": (23, 2, 18, 6),
    "detx_v3.detx": (23, 3, 18, 6),
    "detx_v3_whitespace.detx": (23, 3, 18, 6),
    "detx_v4.detx": (44, 4, 2790, 90),
    "detx_v5.detx": (49, 5, 3348, 114),
    "km3net_offline.detx": (44, 2, 2790, 90),
    "D_ORCA006_t.A02181836.p.A02181837.r.A02182001.detx": (49, 3, 3348, 108),
    "KM3NeT_-00000001_20171212.detx": (20, 2, 64170, 2070),
    "KM3NeT_00000133_20221025.detx": (133, 5, 11718, 399),
    "km3net_jul13_90m_r1494_corrected.detx": (-1, 1, 64170, 2070),
    "orca_115strings_av20min17mhorizontal_18OMs_alt9mvertical_v2.detx": (-1, 2, 64170, 2070),
    "orca_115strings_av23min20mhorizontal_18OMs_alt9mvertical_v1.detx": (-1, 1, 64170, 2070),
    "KM3NeT_00000133_20221025.datx": (133, 5, 11718, 399),
    "KM3NeT_00000232.detector.datx": (232, 5, 16709, 569),
}


@pytest.mark.parametrize("path", [*DETX, *DATX], ids=lambda p: p.name)
def test_every_file_reads(path):
    found = read_detector(path)
    assert (found.det_id, found.version, len(found.detector["t0"]), len(found.modules["t0"])) == FACTS[
        path.name
    ]
    assert DETECTOR.validate(found.detector, complete=True) == found.modules["n_pmts"].sum()
    MODULES.validate(found.modules, complete=True)


def test_columns_of_detx_v5_equal_km3pipe(shared):
    expected = np.load(shared / "reference/km3net/detector_133.npz")
    found = read_detector(data_path("detx/KM3NeT_00000133_20221025.detx")).detector
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


@pytest.mark.parametrize("path", DETX, ids=lambda p: p.name)
def test_detx_equals_km3pipe(path):
    hardware = pytest.importorskip("km3pipe.hardware")
    peer = hardware.Detector(str(path))
    found = read_detector(path).detector
    for name in peer.pmts.dtype.names:
        np.testing.assert_array_equal(found[name], peer.pmts[name], err_msg=name)


def test_datx_equals_detx_of_the_same_detector():
    """The text has 3 digits of positions and 6 of directions; everything else is the same."""
    text, binary = read_detector(data_path("detx/KM3NeT_00000133_20221025.detx")), read_detector(DATX[0])
    for name in ("det_id", "version", "valid_from", "valid_until", "utm_grid", "utm_easting", "utm_height"):
        assert getattr(binary, name) == getattr(text, name)
    assert binary.comments == text.comments[: len(binary.comments)]
    for table, peer in ((binary.detector, text.detector), (binary.modules, text.modules)):
        for name, column in table.items():
            tolerance = 5.01e-4 if column.dtype.kind == "f" else 0
            np.testing.assert_allclose(column, peer[name], rtol=0, atol=tolerance, err_msg=name)


def test_centres_are_where_newer_versions_say():
    """The crossing point of the axes is the position that the file gives for the module."""
    from etendue.neutrino.detector.description import axes_crossings

    found = read_detector(data_path("detx/KM3NeT_00000133_20221025.detx"))
    crossing = axes_crossings(found.modules["n_pmts"], found.detector)
    optical = found.modules["n_pmts"] > 0
    assert optical.sum() == 378
    for name in ("pos_x", "pos_y", "pos_z"):
        np.testing.assert_allclose(crossing[name][optical], found.modules[name][optical], atol=2e-3)
        assert np.isnan(crossing[name][~optical]).all()


def test_unknown_floors_are_counted():
    found = read_detector(data_path("detx/orca_115strings_av20min17mhorizontal_18OMs_alt9mvertical_v2.detx"))
    assert found.modules["floor"].reshape(115, 18).tolist() == [list(range(1, 19))] * 115


@pytest.mark.parametrize("name", ["detx_v1.detx", "detx_v3.detx", "detx_v4.detx", "detx_v5.detx"])
def test_write_and_read_again(name, tmp_path):
    before = read_detector(data_path(f"detx/{name}"))
    write_detx(before, tmp_path / name, version=before.version)
    after = read_detector(tmp_path / name)
    for field in ("det_id", "version", "valid_from", "utm_grid", "utm_easting", "utm_northing", "utm_height"):
        np.testing.assert_equal(getattr(after, field), getattr(before, field))
    assert after.comments == before.comments
    for table, peer in ((after.detector, before.detector), (after.modules, before.modules)):
        for column in peer:
            np.testing.assert_array_equal(table[column], peer[column], err_msg=column)


def test_write_a_newer_version(tmp_path):
    before = read_detector(data_path("detx/km3net_offline.detx"))
    write_detx(before, tmp_path / "new.detx", version=5)
    after = read_detector(tmp_path / "new.detx")
    assert after.version == 5
    for column in before.detector:
        np.testing.assert_array_equal(after.detector[column], before.detector[column])
    assert np.isnan(after.modules["q0"]).all()
    with pytest.raises(ValueError, match="not 6"):
        write_detx(before, tmp_path / "new.detx", version=6)


@pytest.mark.parametrize(
    ("change", "place", "message"),
    [
        (lambda t: t.replace("23 v3", "23 v9"), "line 3", "version from 1 to 5, got 9"),
        (lambda t: t.replace("UTM ", ""), "line 5", "expected UTM"),
        (lambda t: t.replace("21.5", "21.x"), "line 21", "21.x"),
        (lambda t: t.replace("21.5", "nan"), "line 21", "finite number as pos_y"),
        (lambda t: t.replace("\n 11 ", "\n 11.5 "), "line 21", "whole number of 32 bits as pmt_id"),
        (lambda t: t.replace("\n4 2 1 3", "\n4 2 1 -3"), "line 19", "0 to 256 photomultipliers, got -3"),
        (lambda t: t.replace("\n4 2 1 3", "\n3 2 1 3"), "module 3", "more than once"),
        (lambda t: t + "7 3 1 0\n", "line 31", "expected the end after 6 modules"),
        (lambda t: t[: t.index("\n6 2 3")], "end of file", "ends after 5"),
        (lambda t: t[: t.index("\n 18 ")], "line 27", "file ends before"),
        (lambda t: "# only this", "line 1", "no such lines"),
    ],
)
def test_errors_name_the_line(tmp_path, change, place, message):
    path = tmp_path / "broken.detx"
    path.write_text(change(Path(data_path("detx/detx_v3.detx")).read_text()))
    with pytest.raises(SourceError, match=message) as caught:
        read_detector(path)
    assert caught.value.failure.place == place


def test_comment_broken_over_lines():
    with pytest.raises(SourceError, match=r"line 109: .*every line of a comment starts with #"):
        read_detector(data_path("detx/detx_v5_invalid_multiline_comments.detx"))


def test_no_such_file(tmp_path):
    with pytest.raises(SourceError, match="No such file"):
        read_detector(tmp_path / "absent.detx")


def test_a_changed_file_is_read_again(tmp_path):
    path = tmp_path / "some.detx"
    path.write_text("1 1\n7 1 1 0\n")
    assert read_detector(path) is read_detector(path)
    path.write_text("2 1\n7 1 1 0 \n")
    assert read_detector(path).det_id == 2


def test_icecube_tables(shared):
    """graphnet's table, Prometheus' and retro's array place the same modules at the same positions."""
    folder = shared / "data/icecube/geometry"
    pytest.importorskip("pyarrow")
    graphnet, retro = (
        read_detector(folder / "icecube86.parquet"),
        read_detector(folder / "retro_geo_array.npy"),
    )
    in_ice = graphnet.modules["floor"] <= 60
    _, mine, theirs = np.intersect1d(
        graphnet.modules["dom_id"][in_ice], retro.modules["dom_id"], return_indices=True
    )
    assert len(mine) == in_ice.sum() == 5083
    for name in ("pos_x", "pos_y", "pos_z"):
        np.testing.assert_allclose(
            graphnet.modules[name][in_ice][mine], retro.modules[name][theirs], atol=1e-4, err_msg=name
        )
    assert set(np.unique(graphnet.detector["efficiency"])) == {1.0, np.float64(np.float32(1.35))}
    assert (retro.detector["dir_z"] == -1).all()


def test_upgrade_table(shared):
    pytest.importorskip("pyarrow")
    found = read_detector(shared / "data/icecube/geometry/icecube_upgrade.parquet")
    assert (len(found.detector["t0"]), len(found.modules["t0"])) == (15634, 6110)
    n_pmts, modules = np.unique(found.modules["n_pmts"], return_counts=True)
    assert dict(zip(n_pmts.tolist(), modules.tolist(), strict=True)) == {1: 5430, 2: 278, 24: 402}
    axis = np.hypot(np.hypot(found.detector["dir_x"], found.detector["dir_y"]), found.detector["dir_z"])
    np.testing.assert_allclose(axis, 1, rtol=1e-6)


def test_parquet_of_something_else(shared):
    pytest.importorskip("pyarrow")
    with pytest.raises(SourceError, match=r"expected dom_x.*got depth, scattering_len"):
        read_detector(shared / "data/icecube/geometry/ice_transparency.parquet")


@cache
def seeds() -> tuple[bytes, ...]:
    """Small real files: whole text files, and the first modules of a text and of a binary one."""
    small = [Path(data_path(f"detx/detx_v{v}.detx")).read_bytes() for v in (1, 2, 3)]
    text = Path(data_path("detx/KM3NeT_00000133_20221025.detx")).read_bytes()
    text = text[text.index(b"133 V5") :].replace(b"\n399\n", b"\n2\n")
    third = [i for i, line in enumerate(text.split(b"\n")) if len(line.split()) == 13][2]
    binary = DATX[0].read_bytes()
    start = binary.index(b"\x85\0\0\0\x02\0\0\0V5")
    header = 73
    modules = binary[start + header + 4 :][: 2 * 84 + 31 * 64]
    binary = binary[:46] + binary[start : start + header] + struct.pack("<i", 2) + modules
    return (*small, b"\n".join(text.split(b"\n")[:third]), binary)


def test_seeds_are_whole(tmp_path):
    for i, seed in enumerate(seeds()):
        (tmp_path / f"{i}").write_bytes(seed)
        assert len(read_detector(tmp_path / f"{i}").modules["t0"]) in (2, 6)


@given(
    seed=st.integers(0, 4),
    edits=st.lists(
        st.tuples(
            st.floats(0, 1),
            st.integers(0, 12),
            st.one_of(
                st.binary(max_size=12),
                st.sampled_from([b"\xff\xff\xff\x7f", b"9" * 400, b" -1 ", b"#", b"\n"]),
            ),
        ),
        min_size=1,
        max_size=4,
    ),
)
@settings(max_examples=300, deadline=2000)
def test_broken_bytes_give_source_errors(tmp_path_factory, seed, edits):
    data = seeds()[seed]
    for place, cut, new in edits:
        at = int(place * len(data))
        data = data[:at] + new + data[at + cut :]
    # a name of its own, as the clock of files is too coarse to tell that it has been written anew
    path = tmp_path_factory.getbasetemp() / hashlib.sha1(data).hexdigest()
    path.write_bytes(data)
    with suppress(SourceError):
        found = read_detector(path)
        assert len(found.detector["t0"]) == found.modules["n_pmts"].sum()
