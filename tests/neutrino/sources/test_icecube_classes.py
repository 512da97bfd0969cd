"""Classes of IceCube's frames: versions that differ, versions that are not known, containers."""

import logging
import struct

import numpy as np
import pytest

import etendue as et
from etendue.dataflow.source import SourceError
from etendue.neutrino.sources.icecube import names, read_frames

from . import i3_files as i3

PLACES = {(1, 1): (1.0, 2.0, 3.0), (1, 2): (4.0, 5.0, 6.0), (2, 60): (-7.0, 8.0, -9.0)}


@pytest.fixture
def path(tmp_path):
    names._TOLD.clear()
    return tmp_path / "events.i3"


def read(path, *frames, on_error="raise"):
    path.write_bytes(b"".join(frames))
    return i3.scan_and_read(path, on_error)


def event(number=1, **objects):
    return i3.frame("Q", {"I3EventHeader": i3.header(7, number), **objects})


@pytest.mark.parametrize(("version", "om_version"), [(1, 1), (2, 1), (3, 1), (3, 2)])
def test_geometries_of_all_versions(path, version, om_version):
    _, partition = read(
        path, i3.frame("G", {"I3Geometry": i3.geometry(PLACES, version, om_version)}), event()
    )
    table = partition.tables["geometry/I3Geometry"]
    assert list(zip(table["string"].tolist(), table["om"].tolist(), strict=True)) == list(PLACES)
    found = np.stack([table[f"pos_{axis}"] for axis in "xyz"], axis=1)
    np.testing.assert_array_equal(found, list(PLACES.values()))
    assert table["area"].tolist() == [0.0444] * 3
    assert table["pmt_type"].tolist() == [7 if om_version > 1 else 0] * 3


def test_charge_distributions_of_both_versions(path):
    one = {(1, 1): (1.0, 2.0, 3.0, 4.0, 5.0), (1, 2): (6.0, 7.0, 8.0, 9.0, 10.0)}
    _, partition = read(path, i3.frame("C", {"I3CalibrationDiff": i3.calibration(one, 1)}), event())
    table = partition.tables["calibration/I3CalibrationDiff_modules"]
    columns = ("spe_exp_amp", "spe_exp_width", "spe_gaus_amp", "spe_gaus_mean", "spe_gaus_width")
    assert [table[name].tolist() for name in columns] == [[1, 6], [2, 7], [3, 8], [4, 9], [5, 10]]
    two = {(1, 1): tuple(float(k) for k in range(1, 10)), (1, 2): tuple(float(k) for k in range(11, 20))}
    _, partition = read(path, i3.frame("C", {"I3CalibrationDiff": i3.calibration(two, 2)}), event())
    table = partition.tables["calibration/I3CalibrationDiff_modules"]
    columns = ("spe_exp_2_amp", "spe_exp_2_width", "spe_exp_amp", "spe_exp_width", "spe_compensation_factor")
    columns += ("spe_slc_gaus_mean", "spe_gaus_amp", "spe_gaus_mean", "spe_gaus_width")
    assert [table[name].tolist() for name in columns] == [[k, k + 10] for k in range(1, 10)]


def test_an_unknown_version_in_a_calibration_is_kept_as_bytes_and_told_once(path, caplog):
    blob = i3.calibration({(1, 1): (1.0,) * 3}, 3)
    frames = [i3.frame("C", {"I3CalibrationDiff": blob, "n": i3.number(4.0)}), event(1), event(2)]
    with caplog.at_level(logging.WARNING):
        scan, partition = read(path, *frames)
        read(path.with_name("other.i3"), *frames)
    assert partition["events/event_id"].tolist() == [1, 2]
    kept = partition.tables["calibration/I3CalibrationDiff"]
    assert bytes(kept["byte"]) == blob.content
    assert partition.tables["calibration/n"]["value"].tolist() == [4.0]
    listed = scan.static["frame_objects"]
    assert not listed["is_decoded"][listed["key"] == "I3CalibrationDiff"].any()
    told = [m for m in caplog.messages if "SPEChargeDistribution" in m]
    assert len(told) == 1
    assert "version 3 of the class SPEChargeDistribution is not known; its bytes are kept" in told[0]


def test_an_unknown_version_in_events_is_kept_as_bytes(path, caplog):
    newer = i3.particle().content.replace(b"I3Particle\1\5", b"I3Particle\1\6")
    pulses = i3.pulse_map({(1, 1, 0): [(1.0, 1.0, 1.0, 1)]}).content.replace(b"\1\3", b"\1\4")
    objects = {"fit": newer, "Pulses": pulses, "n": i3.number(1.0), "good": i3.particle(energy=5.0)}
    _, partition = read(path, event(1, **objects), event(2, **objects))
    assert partition["events/n"].tolist() == [1.0, 1.0]
    assert partition["events/good_energy"].tolist() == [5.0, 5.0]
    assert partition["events/fit_exists"].tolist() == [True, True]
    assert bytes(partition["fit/byte"]) == 2 * newer
    assert bytes(partition["Pulses/byte"]) == 2 * pulses
    assert "version 4 of the class I3RecoPulse is not known" in caplog.text


def test_a_version_that_only_some_events_have_loses_those_and_says_why(path):
    newer = i3.particle().content.replace(b"I3Particle\1\5", b"I3Particle\1\6")
    frames = [
        event(1, fit=i3.particle(energy=1.0)),
        event(2, fit=newer),
        event(3, fit=i3.particle(energy=3.0)),
    ]
    with pytest.raises(
        SourceError, match=r"version 6 of the class I3Particle is not known.*use a newer etendue"
    ):
        read(path, *frames)
    _, partition = read(path, *frames, on_error="skip")
    assert partition["events/fit_energy"].tolist() == [1.0, 3.0]


def test_a_corrupted_version_is_not_taken_for_an_unknown_one(path):
    frames = [i3.frame("G", {"I3Geometry": i3.geometry(PLACES)}), event()]
    frames[0] = frames[0].replace(b"I3Geometry\1\1", b"I3Geometry\1\x63")
    with pytest.raises(SourceError, match="checksum"):
        read(path, *frames)


@pytest.mark.parametrize("n", [1, 246, 247, 252, 253, 255, 256, 4000, 70_000])
def test_super_dsts_of_any_length(path, n):
    """Lengths from 247 on are in one byte more than they need."""
    readouts = [(1, 1, True, [(10 * k, k % 60, k % 3) for k in range(n)])]
    _, partition = read(path, event(dst=i3.superdst(readouts)))
    assert partition["dst/time"].tolist() == [10.0 * k for k in range(n)]
    assert partition["dst/width"].tolist() == [2.0 ** (k % 3) for k in range(n)]


def test_triggers_of_super_dsts(path):
    triggers = [(1, 10_000, 57), (15, 10_000, 5000), (0, 11_560, 303), (3, 90_000, 246 * 16 + 3)]
    _, partition = read(
        path, event(1, t=i3.dst_triggers(triggers)), event(2, t=i3.dst_triggers(triggers[1:]))
    )
    assert partition["events/n_t"].tolist() == [4, 3]
    expected = [*triggers, *triggers[1:]]
    for i, column in enumerate(("key_index", "time", "length")):
        assert partition[f"t/{column}"].tolist() == [trigger[i] for trigger in expected]


def test_times_and_texts_and_pairs(path):
    windows, texts = i3.time_windows(10.0, 30.0), i3.texts("one", "")
    pairs = i3.pairs({3: 1, 4_000_000_000: 2_000_000_000})
    _, partition = read(path, event(1, w=windows, s=texts, m=pairs))
    tables = partition.tables
    assert (tables["w"]["start"].tolist(), tables["w"]["stop"].tolist()) == ([10, 30], [15, 35])
    assert tables["s"]["value"].tolist() == ["one", ""]
    assert tables["m"]["key"].tolist() == [3, 4_000_000_000]
    assert tables["m"]["value"].tolist() == [1, 2_000_000_000]


def test_calibrated_waveforms(path):
    blob = i3.waveforms({(1, 2): [[1.5, 2.5], [3.5]], (5, 6): [[4.5, 5.5, 6.5]]})
    _, partition = read(path, event(1, w=blob))
    assert partition["w/string"].tolist() == [1, 1, 5]
    assert partition["w/n_w_samples"].tolist() == [2, 1, 3]
    assert partition["w_samples/sample"].tolist() == [1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    assert partition["w_status/stop"].tolist() == [2, 1, 3]
    assert partition["w_status/status"].tolist() == [4, 4, 4]
    assert partition["w/source"].tolist() == [16] * 3


@pytest.mark.parametrize("version", [0, 1, 2])
def test_paraboloids_of_all_versions(path, version):
    _, partition = read(path, event(1, p=i3.paraboloid(version)))
    assert partition["events/p_logl"].tolist() == [50.0]
    np.testing.assert_allclose(partition["events/p_pbf_err_1"], np.degrees(0.2))
    assert partition["events/p_pbf_llh"].tolist() == [pytest.approx(0.6)]
    assert partition["events/p_pbf_covar"].tolist() == [pytest.approx(1.6)]
    assert partition["events/p_pbf_tr_azi"].tolist() == [pytest.approx(np.degrees(4.0) if version else 0)]
    assert partition["events/p_pbf_status"].tolist() == [3 if version > 1 else 0]


def test_frames_of_jobs_are_checked(path):
    whole = [i3.frame("I", {"job 1": i3.job("here")}), event()]
    scan, _ = read(path, *whole)
    assert scan.static["tray_info"]["host"].tolist() == ["here"]
    broken = whole[0].replace(b"here", b"hare")
    with pytest.raises(SourceError, match=r"frame 0 \(I\), byte 0.*checksum"):
        read(path, broken, whole[1])
    scan, partition = read(path, broken, whole[1], on_error="skip")
    assert scan.static["tray_info"]["host"].tolist() == []
    assert ["checksum" in failure.message for failure in scan.failures] == [True]
    assert len(partition["events/event_id"]) == 1
    path.write_bytes(broken)  # no event at all
    with pytest.raises(SourceError, match="checksum"):
        i3.SOURCE.scan(str(path))


def test_names_of_a_corrupted_map_become_no_columns(path):
    frames = [event(1, m=i3.named({"charge": 1.0})), event(2, m=i3.named({"charge": 2.0}))]
    scan, partition = read(path, frames[0], frames[1].replace(b"charge", b"chorge"), on_error="skip")
    assert "m_chorge" not in scan.schema["events"].variables
    assert partition["events/m_charge"].tolist() == [1.0]


def test_triggers_of_real_super_dsts(shared):
    n = 0
    for path in sorted((shared / "data/icecube/i3").glob("oscNext*level*.gz")):
        for frame in read_frames(str(path)):
            if "DSTTriggers" in frame.keys():  # noqa: SIM118
                triggers = frame.decode("DSTTriggers").levels["triggers"]
                assert triggers["time"][0] >= 10_000  # where the data acquisition puts the first
                assert (np.diff(triggers["time"]) >= 0).all()
                assert ((triggers["length"] > 0) & (triggers["length"] < 100_000)).all()
                n += 1
    assert n >= 20


def test_a_frame_is_what_it_is_made_of(path):
    """The numbers in the tests above are those of the format, not of this package."""
    assert i3._few(246) == b"\xf6"
    assert i3._few(247) == b"\xfe\xf7"
    assert i3._few(10_000) == b"\xfd" + struct.pack("<H", 10_000)


def test_keys_called_like_tables_of_ours(tmp_path):
    """Pulse series whose keys are names of tables that a pass or a stage adds."""
    names = ("failures", "observation", "detector", "modules", "detector_file", "events")
    pulses = {name: i3.pulse_map({(1, 1, 0): [(0.0, 1.0, 1.0, 1)]}) for name in names}
    path = tmp_path / "names.i3"
    path.write_bytes(i3.frame("Q", {"I3EventHeader": i3.header(1, 1)}) + i3.frame("P", pulses))
    et.open(str(path)).write(tmp_path / "s", "p", quiet=True)
    tree = et.load(tmp_path / "s", "p")
    for name in names:
        assert tree[f"{name}_I3RecoPulseSeriesMap"]["charge"].values.tolist() == [1.0]
    assert tree["events"]["event_id"].values.tolist() == [1]
