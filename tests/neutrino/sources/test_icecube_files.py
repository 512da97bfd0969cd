"""IceCube's real files and messages: all is read, and as icetray read it."""

import json
import os
import sqlite3

import numpy as np
import pytest

from etendue.neutrino.sources.icecube import read_frames
from etendue.neutrino.sources.icecube.events import EventWalk
from etendue.neutrino.sources.icecube.launches import waveforms

from . import i3_files as i3


def files(shared):
    return sorted((shared / "data" / "icecube" / "i3").glob("*.i3*"))


def messages(shared):
    return sorted((shared / "data" / "icecube" / "realtime_json").glob("*.json"))


def test_all_frames_of_all_files_are_whole(shared):
    paths = files(shared) + messages(shared)
    assert len(paths) >= 11
    counts = {path.name: len(read_frames(str(path))) for path in paths}  # raises where a checksum is wrong
    assert counts["oscNext_genie_level7_v02_first_5_frames.i3.gz"] == 139
    assert sum(counts.values()) >= 240


def test_all_objects_end_where_their_blobs_end(shared):
    decoded = 0
    for path in files(shared) + messages(shared):
        scan, partition = i3.scan_and_read(path)
        assert not partition.failures
        for table in scan.schema.values():
            columns = scan.static[table.name] if table.role == "static" else partition.tables[table.name]
            table.validate(columns, complete=True)
        listed = scan.static["frame_objects"]
        decoded += listed["n_objects"][listed["is_decoded"]].sum()
    assert decoded > 3000


def test_no_number_of_different_keys_is_too_great(tmp_path):
    """The index makes room for names and for objects as it needs it, each by itself."""
    path, keys = tmp_path / "keys.i3", [f"key {number}" for number in range(20_000)]
    parts = [keys[:3], keys[3:9_000], keys[9_000:], keys[:3]]
    path.write_bytes(b"".join(i3.frame("Q", {key: key.encode() for key in part}) for part in parts))
    frames = read_frames(str(path))
    assert [frame.keys() for frame in frames] == parts
    assert frames[2].blob("key 19999") == b"key 19999"


def graphnet(shared, name, table):
    path = shared / "data" / "icecube" / "graphnet" / "sqlite" / name / f"{name}_first_5_frames.db"
    path = path if path.exists() else path.with_name(f"{name}.db")
    database = sqlite3.connect(path)
    names = "event_no, string, dom_number, pmt_number, dom_time, charge, width, hlc"
    return database.execute(f"select {names} from {table}").fetchall()


@pytest.mark.parametrize(
    ("name", "table", "sizes"),
    [
        ("oscNext_genie_level7_v02", "SRTInIcePulses", [9, 9, 12, 11, 15]),
        ("upgrade_genie_step4_140028_000998_first_5_frames", "SplitInIcePulses", [145, 94, 85, 167, 134]),
    ],
)
def test_pulses_equal_those_that_icetray_read(shared, name, table, sizes):
    """Masks of masks over a super-DST, and masks over a union of maps."""
    path = next(path for path in files(shared) if path.name.startswith(name))
    _, partition = i3.scan_and_read(path)
    expected = graphnet(shared, name, table)
    event = np.unique([row[0] for row in expected], return_inverse=True)[1]
    assert np.bincount(event).tolist() == sizes == partition[f"events/n_{table}"].tolist()
    assert partition.owners(table).tolist() == event.tolist()
    columns = partition.tables[table]
    for column, i in {"string": 1, "om": 2, "pmt": 3, "time": 4, "charge": 5, "width": 6}.items():
        np.testing.assert_allclose(columns[column], [row[i] for row in expected], rtol=1e-6)
    assert (columns["flags"] & 1).tolist() == [row[7] for row in expected]


def test_superdst_against_the_pulses_that_it_was_made_of(shared):
    """Times within half a step of 1 ns, charges of 0.05 pe, widths rounded up to a power of two."""
    n = 0
    for path in messages(shared):
        _, partition = i3.scan_and_read(path)
        tables = partition.tables
        if "UncleanedInIcePulses" not in tables:
            continue
        real, packed = tables["UncleanedInIcePulses"], tables["InIceDSTPulses"]
        assert real["string"].tolist() == packed["string"].tolist()
        assert real["om"].tolist() == packed["om"].tolist()
        assert abs(real["time"] - packed["time"]).max() <= 0.5
        assert abs(real["charge"] - packed["charge"]).max() <= 0.0251
        np.testing.assert_array_equal(2 ** np.ceil(np.log2(real["width"])), packed["width"])
        assert ((real["flags"] ^ packed["flags"]) & 1 == 0).all()
        n += len(real["time"])
    assert n == 635 + 1157 + 955


def test_messages_hold_the_stored_results(shared):
    path = next(path for path in messages(shared) if path.name == "event_HESE_2017-11-28.json")
    _, partition = i3.scan_and_read(path)
    events = partition.tables["events"]
    assert events["run_id"].tolist() == [130322]
    np.testing.assert_allclose(events["HESE_HomogenizedQTot"], [7539.3], atol=0.1)
    assert events["HESE_VHESelfVeto"].tolist() == [False]
    sent = np.datetime64(json.loads(path.read_text())["time"]).astype("datetime64[ns]").astype("i8")
    assert 0 < sent - events["time"][0] < 300e9
    calibration = partition.tables["calibration/I3CalibrationDiff_modules"]
    assert len(calibration["string"]) == 329
    assert set(calibration["valid_from"].tolist()) == {0}
    assert partition.tables["geometry/I3GeometryDiff"]["base_filename"].tolist() == ["baseline_gcd_129523.i3"]


def test_charge_stamps_are_the_waveforms_samples(shared):
    n = 0
    for path in files(shared):
        frames = read_frames(str(path))
        for frame in frames:
            if "InIceRawData" not in frame.keys():  # noqa: SIM118
                continue
            launches = frame.decode("InIceRawData")
            stamps = launches.levels["charge_stamp"]["sample"].reshape(-1, 3)
            fadc = launches.levels["launches"]["n_samples_fadc"] > 0
            highest = launches.levels["launches"]["charge_stamp_highest_sample"].astype(int)[fadc]
            tables, good = waveforms(launches)
            assert good.all()
            samples = tables["fadc"][0]["waveform"]
            around = np.take_along_axis(samples, highest[:, None] + np.arange(-1, 2), axis=1)
            np.testing.assert_array_equal(around, stamps[fadc])
            n += len(around)
    assert n >= 19


def particles(path, *energies):
    """Write physics frames with a particle each."""
    path.write_bytes(b"".join(i3.frame("P", {"fit": i3.particle(energy=energy)}) for energy in energies))


def test_scan_and_read_share_one_index(tmp_path, monkeypatch):
    path = tmp_path / "events.i3"
    particles(path, 1.0, 2.0)
    walks, walk = [], EventWalk.__iter__
    monkeypatch.setattr(EventWalk, "__iter__", lambda self: walks.append(self.path) or walk(self))
    i3.scan_and_read(path)
    i3.scan_and_read(path)
    assert walks == [str(path)]


@pytest.mark.parametrize("in_place", [True, False])
def test_no_index_of_a_file_that_was_changed(tmp_path, in_place):
    """Changed in place at another time, or replaced by a file that has the same size and time."""
    path = tmp_path / "events.i3"
    particles(path, 1.0, 2.0)
    _, partition = i3.scan_and_read(path)
    assert partition["events/fit_energy"].tolist() == [1.0, 2.0]
    time = path.stat().st_mtime_ns
    new = path if in_place else path.with_suffix(".new")
    particles(new, 3.0, 4.0)
    os.utime(new, ns=(time, time + in_place))
    new.rename(path)
    _, partition = i3.scan_and_read(path)
    assert partition["events/fit_energy"].tolist() == [3.0, 4.0]
