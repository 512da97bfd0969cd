"""The source of sim_telarray files against ctapipe's SimTelEventSource and eventio, on real files."""

import bz2
import gzip
import logging
import struct
import warnings
from dataclasses import replace

import numpy as np
import pytest
import zstandard

from etendue.dataflow.unify import unify
from etendue.iact.camera import Geometry
from etendue.iact.schema import EventType
from etendue.iact.sources.simtel import decode, events
from etendue.iact.sources.simtel.header import read_header
from etendue.iact.sources.simtel.tables import Labels
from etendue.iact.sources.simtel.walk import ObjectWalk

from .simtel_files import COEFFICIENTS, SOURCE, contents, find, load, objects, readouts, unpacked

FILES = [
    "ctapipe-extra__calib_events",
    "ctapipe-extra__lst_muons",
    "digicampipe__1",
    "pyeventio__40k",
    "pyeventio__aux_traces_2029",
    "pyeventio__aux_traces_2030",
    "pyeventio__calib_true",
    "pyeventio__extracted",
    "pyeventio__gamma_merged",
    "pyeventio__gamma_with",
    "pyeventio__history_meta",
    "pyeventio__lst_muons_with",
    "pyeventio__lst_with",
    "pyeventio__n_hv",
    "pyeventio__prod4_pixelsettings",
    "pyeventio__test_lasercal",
    "simtools__b9ff89",
    "simtools__e149fc",
    "simtools__fec07a",
    "simtools__ff-1m",
    "simtools__full",
    "simtools__run201",
    "simtools__run202",
    "simtools__xyzls.",
    "simtools__xyzls_layout",
]
HEADERS = ["ctapipe-extra__calib", "pyeventio__gamma_with", "pyeventio__40k", "simtools__e149fc"]
#: Simulated events (2021) in each of these, counted with eventio.
SIMULATED = {
    "ctapipe-extra__calib": 10,
    "pyeventio__gamma_with": 1,
    "pyeventio__40k": 10,
    "simtools__e149fc": 1000,
}
#: What the header says of the optics, in the same words as ctapipe.
OPTICS = ("equivalent_focal_length", "effective_focal_length", "mirror_area")


@pytest.fixture
def simtel(shared):
    """Path of a test file, by the start of its name."""
    return lambda name: find(shared, name)


def ctapipe_source(path, **options):
    from ctapipe.io import SimTelEventSource

    warnings.simplefilter("ignore")
    options |= {"skip_calibration_events": False, "focal_length_choice": "EQUIVALENT"}
    return SimTelEventSource(path, **options)


def entries_of_all_events(path):
    """Entries of the histogram that ctapipe takes for the distribution of simulated showers."""
    source = ctapipe_source(path)
    assert sum(1 for _ in source) >= 0
    return source.simulated_shower_distributions[source.obs_id].n_entries


def assert_equals_ctapipe(path, mode="raise", n_events=None):
    scan, (partition,) = load(path, mode, ranges=n_events and [(0, n_events)])
    ours = list(readouts(scan, partition))
    theirs = 0
    for event, (row, found) in zip(ctapipe_source(path, max_events=n_events), ours, strict=True):
        theirs += 1
        assert (row["event_id"], row["obs_id"]) == (event.index.event_id, event.index.obs_id)
        assert EventType(row["event_type"]).name == event.trigger.event_type.name
        assert abs(row["time"] - event.trigger.time.unix * 1e9) < 500  # float64 seconds since 1970
        assert_same_shower(row, event)
        assert found.keys() == event.r0.tel.keys()
        for tel_id, (readout, calibration) in found.items():
            assert_same_readout(readout, event, tel_id)
            assert_same_calibration(calibration, event, tel_id)
    assert theirs == len(ours)
    return scan, partition


def assert_same_shower(row, event):
    pointing = event.monitoring.pointing
    assert row["array_altitude"] == pytest.approx(pointing.array_altitude.to_value("deg"), rel=1e-7)
    assert row["array_azimuth"] == pytest.approx(pointing.array_azimuth.to_value("deg"), rel=1e-7)
    shower = event.simulation.shower
    units = {"energy": "TeV", "alt": "deg", "az": "deg", "core_x": "m", "core_y": "m", "h_first_int": "m",
             "x_max": "g cm-2", "starting_grammage": "g cm-2"}  # fmt: skip
    for name, unit in units.items():
        expected = np.nan if shower is None else getattr(shower, name).to_value(unit)
        assert row[f"true_{name}"] == pytest.approx(expected, rel=1e-14, nan_ok=True)
    assert row["true_shower_primary_id"] == (-1 if shower is None else shower.shower_primary_id)


def assert_same_readout(readout, event, tel_id):
    waveform = event.r0.tel[tel_id].waveform
    assert readout["r0_waveform"].dtype == waveform.dtype
    np.testing.assert_array_equal(readout["r0_waveform"], waveform.transpose(0, 2, 1))
    simulated = event.simulation.tel[tel_id]
    image = -1 if simulated.true_image is None else simulated.true_image
    np.testing.assert_array_equal(readout["true_image"], np.broadcast_to(image, readout["true_image"].shape))
    image_sum = simulated.true_image_sum
    assert readout["true_image_sum"] == (-1 if np.isnan(image_sum) else image_sum)
    distance = simulated.impact.distance.to_value("m")
    assert readout["true_impact_distance"] == pytest.approx(distance, rel=1e-9, abs=1e-6, nan_ok=True)
    pointing = event.monitoring.tel[tel_id].pointing
    assert readout["pointing_altitude"] == pytest.approx(pointing.altitude.to_value("deg"), rel=1e-7)
    assert readout["pointing_azimuth"] == pytest.approx(pointing.azimuth.to_value("deg"), rel=1e-7)
    trigger = event.trigger.tel[tel_id]
    assert readout["n_trigger_pixels"] == trigger.n_trigger_pixels
    assert EventType(readout["event_type"]).name == trigger.event_type.name
    assert readout["run"] == 0
    time = (trigger.time - event.trigger.time).to_value("ns")
    assert readout["trigger_time"] == pytest.approx(time, abs=0.02)  # float64 days


def assert_same_calibration(calibration, event, tel_id):
    raw = event.meta["simtel_event"]
    monitoring = raw["camera_monitorings"][tel_id]
    coefficients = event.monitoring.tel[tel_id].camera.coefficients
    pedestal = monitoring["pedestal"] / monitoring["n_ped_slices"]
    np.testing.assert_array_equal(calibration["pedestal"], pedestal)
    np.testing.assert_array_equal(calibration["dc_to_pe"], raw["laser_calibrations"][tel_id]["calib"])
    np.testing.assert_array_equal(calibration["time_shift"], coefficients.time_shift)
    np.testing.assert_array_equal(calibration["broken"], coefficients.outlier_mask)


@pytest.mark.parametrize("name", FILES)
def test_every_file_equals_ctapipe(simtel, name):
    mode = "skip" if "lasercal" in name else "raise"  # that file is truncated
    scan, partition = assert_equals_ctapipe(simtel(name), mode)
    for table in partition.tables:
        columns = {c: a for c, a in partition.tables[table].items() if c[2:] not in scan.labels}
        scan.schema[table].validate(columns, complete=True)
        assert table.startswith("calibration") or partition.rows(table) == scan.rows[table].sum()
    for table, columns in scan.static.items():
        scan.schema[table].validate(columns, complete=True)


@pytest.mark.parametrize("name", HEADERS)
def test_header_equals_ctapipe(simtel, name):
    scan, source = SOURCE.scan(simtel(name)), ctapipe_source(simtel(name))
    array, subarray = scan.static["array"], source.subarray
    assert array["tel_id"].tolist() == list(subarray.tel_ids)
    for row, tel_id in enumerate(subarray.tel_ids):
        telescope, position = subarray.tel[tel_id], subarray.positions[tel_id].to_value("m")
        assert [array[f"pos_{axis}"][row] for axis in "xyz"] == pytest.approx(position)
        names = (array["type"][row], array["name"][row], array["camera_name"][row])
        assert names == (telescope.optics.size_type.value, telescope.optics.name, telescope.camera.name)
        label = names[2].lower().replace("-", "_")
        pixels, channels, optics = (
            scan.static[f"{kind}/{label}"] for kind in ("camera", "readout", "optics")
        )
        geometry, readout = telescope.camera.geometry, telescope.camera.readout
        turned = Geometry.of(pixels, camera_rotation=optics["camera_rotation"][0])
        np.testing.assert_allclose(turned.pixel_x, geometry.pix_x.value, atol=1e-12)
        np.testing.assert_allclose(turned.pixel_y, geometry.pix_y.value, atol=1e-12)
        np.testing.assert_array_equal(pixels["pixel_area"], geometry.pix_area.value)
        np.testing.assert_array_equal(channels["reference_pulse_shape"], readout.reference_pulse_shape)
        assert set(channels["sampling_rate"]) == {readout.sampling_rate.value}
        assert set(channels["reference_pulse_sample_width"]) == {readout.reference_pulse_sample_width.value}
        for column in OPTICS:
            np.testing.assert_equal(optics[column][0], getattr(telescope.optics, column).to_value())
        assert optics["n_mirrors"] == telescope.optics.n_mirror_tiles
    config = source.simulation_config[source.obs_id]
    for column, values in scan.static["simulation"].items():
        if hasattr(config, column):
            unit = scan.schema["simulation"].variables[column].units
            expected = getattr(config, column)
            expected = expected.to_value(unit) if hasattr(expected, "unit") else expected
            assert values[0] == pytest.approx(expected)
    simulation = scan.static["simulation"]
    assert simulation["n_simulated"] == SIMULATED[name] == entries_of_all_events(simtel(name))
    assert simulation["is_closed"].all()
    place, observation = subarray.reference_location.geodetic, scan.static["observation"]
    assert observation["latitude"][0] == pytest.approx(place.lat.deg, abs=1e-9)
    assert observation["longitude"][0] == pytest.approx(place.lon.deg, abs=1e-9)
    assert observation["reference_altitude"][0] == pytest.approx(place.height.to_value("m"))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, zstandard.compress])
def test_packing_and_name_do_not_matter(simtel, tmp_path, pack):
    path = tmp_path / "renamed.txt"
    path.write_bytes(pack(unpacked(simtel("digicampipe__1"))))
    assert SOURCE.accepts(str(path))
    assert contents(path, "raise") == contents(simtel("digicampipe__1"), "raise")


@pytest.mark.parametrize(
    "content", [b"", b"\x37", b"SIMPLE  =", gzip.compress(b"other", mtime=0), b"\x1f\x8b\x08 cut"]
)
def test_other_files_are_not_accepted(tmp_path, content):
    path = tmp_path / "run.simtel.gz"
    path.write_bytes(content)
    assert not SOURCE.accepts(str(path))
    assert not SOURCE.accepts(str(tmp_path))


@pytest.mark.parametrize("name", ["pyeventio__prod4", "pyeventio__extracted"])
def test_result_does_not_depend_on_the_ranges(simtel, name):
    path = simtel(name)
    scan, (whole,) = load(path)
    n = len(scan.rows["events"])
    _, parts = load(path, ranges=[(0, 1), (1, 1), (1, n - 1), (n - 1, n)])
    assert [part.number for part in parts] == [0, 1, 2, 3]
    for table, columns in whole.tables.items():
        for column, values in columns.items():
            np.testing.assert_array_equal(
                np.concatenate([part[f"{table}/{column}"] for part in parts]), values
            )
    _, (last,) = load(path, ranges=[(n - 1, n)])
    table = f"calibration/{next(iter(scan.labels))}"
    assert last.rows(table) == 0
    for column in COEFFICIENTS:  # what earlier events brought still holds
        np.testing.assert_array_equal(last.conditions[table][column], whole[f"{table}/{column}"])


def test_only_wanted_columns_are_decoded(simtel, monkeypatch):
    def refuse(*_):
        raise AssertionError("decoded what nobody wants")

    monkeypatch.setattr(decode, "samples_into", refuse)
    monkeypatch.setattr(decode, "image_into", refuse)
    wanted = frozenset({"lstcam/tel_id", "lstcam/true_image_sum", "events/true_energy"})
    scan, (partition,) = load(simtel("ctapipe-extra__lst_muons"), columns=wanted)
    assert partition.tables["lstcam"].keys() == {"tel_id", "true_image_sum"}
    assert partition.tables["events"].keys() == {"true_energy", "n_lstcam"}
    assert (partition["lstcam/true_image_sum"] > 1000).all()
    assert partition.rows("calibration/lstcam") == 1
    assert scan.schema["lstcam"].variables["r0_waveform"].bulk


def test_headers_without_events(simtel, caplog):
    with caplog.at_level(logging.WARNING):
        scan, (partition,) = load(simtel("pyeventio__gamma_merged"))
    assert "194 telescopes in the header, but no events" in caplog.text
    assert (len(scan.static["array"]["tel_id"]), len(scan.labels), scan.failures) == (194, 5, ())
    assert all(partition.rows(table) == 0 for table in partition.tables)


def test_labels_of_many_files(simtel):
    """Cameras of one name share a table where all of their readout is the same, and only there."""
    names = (
        "ctapipe-extra__lst_muons",
        "pyeventio__lst_with",
        "pyeventio__prod4",
        "pyeventio__test_lasercal",
    )
    inputs = unify([SOURCE.scan(simtel(name), "skip") for name in names])
    assert [rename["lstcam"] for rename in inputs.renames] == ["lstcam", "lstcam_2", "lstcam_3", "lstcam_4"]
    same = unify([SOURCE.scan(simtel(name)) for name in ("simtools__run201", "simtools__run202")])
    assert set(same.renames[1].items()) == {("lstcam", "lstcam"), ("flashcam", "flashcam")}


def test_labels_in_one_file(simtel):
    path = simtel("simtools__xyzls.")
    (camera,) = read_header(iter(ObjectWalk(path)), path).cameras.values()
    turned = replace(camera, camera_rotation=1.0)
    labels = Labels.of({1: camera, 2: turned, 3: camera, 4: turned, 5: turned}, [(2, 60), (4, 1), (4, 1)])
    assert labels.n_samples == {"nectarcam": 60, "nectarcam_2": 1, "nectarcam_3": 60}
    assert labels.labels(5) == ["nectarcam_2", "nectarcam_3"]  # as its likes
    assert (labels.label(3, 60), labels.label(4, 1), labels.label(3, 1)) == ("nectarcam", "nectarcam_2", None)


def test_calibration_is_renewed_when_it_changes(simtel, tmp_path):
    """Monitoring data comes again before the third event, and new before the last."""
    parts = objects(unpacked(simtel("pyeventio__extracted")))
    monitoring = next(content for kind, content in parts if kind == events.MONITORING)
    laser = next(content for kind, content in parts if kind == events.LASER_CALIBRATION)
    first = next(n for n, (kind, _) in enumerate(parts) if kind == 2010)
    contents = [content for _, content in parts]
    changed = laser[:24] + struct.pack("<f", 0.5) + laser[28:]
    path = tmp_path / "renewed.simtel"
    again = [*contents[: first + 2], monitoring, laser, *contents[first + 2 : first + 4]]
    path.write_bytes(b"".join([*again, changed, *contents[first + 4 :]]))
    _, partitions = load(path, ranges=[(0, 2), (2, 5)])
    table = "calibration/lstcam"
    assert [partition[f"{table}/valid_from"].tolist() for partition in partitions] == [[0], [4]]
    assert [len(partition.conditions[table]["tel_id"]) for partition in partitions] == [1, 2]
    assert partitions[1][f"{table}/dc_to_pe"][0, 0, 0] == 0.5
    assert_equals_ctapipe(path)


def patched(simtel, tmp_path, name, kind, edit):
    """A copy of a file in which the objects of one type are edited (or left out: None)."""
    parts = [edit(bytearray(c)) if k == kind else c for k, c in objects(unpacked(simtel(name)))]
    path = tmp_path / "patched.simtel"
    path.write_bytes(b"".join(part for part in parts if part))
    return path


def test_telescopes_that_did_not_trigger_are_left_out(simtel, tmp_path):
    def drop_first(event):
        at = event.index(struct.pack("<I", 2009 | 3 << 20)) + 12 + 24
        struct.pack_into("<h", event, at + 2, 99)  # the first of the telescopes that triggered
        return event

    path = patched(simtel, tmp_path, "simtools__run202", 2010, drop_first)
    scan, _ = assert_equals_ctapipe(path, n_events=3)
    whole = SOURCE.scan(simtel("simtools__run202"))
    n, n_whole = (sum(scan.rows[label][:3].sum() for label in scan.labels) for scan in (scan, whole))
    assert n == n_whole - 3


@pytest.mark.parametrize(("n_electrons", "n_readouts"), [(1_000_000, 1), (1_000_001, 0)])
def test_bright_event_without_true_image_is_left_out(simtel, tmp_path, n_electrons, n_readouts):
    """As in ctapipe: the simulation kept true images, so that this one was lost."""

    def brighten(sums):
        struct.pack_into("<i", sums, 24, n_electrons)
        return sums

    path = patched(simtel, tmp_path, "digicampipe__1", events.PHOTOELECTRON_SUMS, brighten)
    plain = b"".join(content for kind, content in objects(path.read_bytes()) if kind != events.TELESCOPE_DATA)
    path.write_bytes(plain)
    _, partition = assert_equals_ctapipe(path)
    assert partition.rows("digicam") == n_readouts
    assert n_readouts == 0 or (partition["digicam/true_image"] == -1).all()
