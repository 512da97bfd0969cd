"""The pipeline ``ctapipe``, from raw simtel files, against ctapipe 0.32's own results on them."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import etendue as et

#: Where ctapipe-process stops on a file of its own, there is nothing to compare with.
FILES = [
    "ctapipe-extra__calib_events",
    "ctapipe-extra__lst_muons",
    "digicampipe__1_triggered_events_10_TeV",
    "pyeventio__aux_traces_2029",
    "pyeventio__aux_traces_2030",
    "pyeventio__calib_true_pe",
    "pyeventio__extracted_pedestals",
    "pyeventio__gamma_with_obslevel_particles",
    "pyeventio__history_meta_75",
    "pyeventio__lst_muons_with_true_photons",
    "pyeventio__lst_with_photons",
    "pyeventio__prod4_pixelsettings_v3",
    "pyeventio__test_lasercal_v3",
    "simtools__b9ff89_gamma_run000007_za40deg_azm180deg_South_subsystem_lsts_7.0.0_test",
    "simtools__e149fc_proton_run000202_za20deg_azm000deg_North_alpha_6.0.0_test_file",
    "simtools__fec07a_proton_run000201_za20deg_azm000deg_North_alpha_6.0.0_test_file",
    "simtools__ff-1m_flasher",
    "simtools__full_simulation_run000010_North_7.0.0_simulate_flasher",
    "simtools__run201_proton_za20deg_azm0deg-North-Prod5_test-production-5-mini",
    "simtools__run202_proton_za20deg_azm0deg-North-Prod5_test-production-5-mini",
    "simtools__xyzls",
    "simtools__xyzls_layout",
]
TRUNCATED = ["pyeventio__test_lasercal_v3.simtel.gz"]
PHYSICS = 32
#: ctapipe fits timing by least trimmed squares from random starts, so its value is not a function of the
#: image; tests/iact/test_parameters.py compares the two fits by what they minimise.
RANDOM = {"timing_slope", "timing_intercept", "timing_deviation"}
#: In radians, whatever the attribute ``unit`` of the reference says.
ANGLES = ("phi", "psi", "psi_uncertainty")
PREFIX = {"intensity_statistics": "intensity", "peak_time_statistics": "peak_time"}


@pytest.fixture(scope="module")
def reference(shared):
    with h5py.File(shared / "reference/iact/ctapipe-0.32.h5") as file:
        yield file


@pytest.fixture(scope="module")
def processed(shared):
    """Results of the pipeline by file, each computed once."""
    cache = {}

    def process(name):
        if name not in cache:
            (path,) = (shared / "data/simtel").glob(f"{name}.simtel.*")
            # ctapipe, too, reads a file that was cut short up to where it ends.
            flow = et.open(path, on_error="skip") | et.find_pipeline("ctapipe")
            use_equivalent_focal_lengths(flow)
            cache[name] = flow.compute()
        return cache[name]

    return process


def use_equivalent_focal_lengths(flow):
    """What the reference was made with; by default the effective ones are used where they are known."""
    for name, columns in flow.inputs.static.items():
        if name.startswith("optics/"):
            columns["effective_focal_length"] = columns["equivalent_focal_length"]


def readouts(tree):
    """Node and row of each readout by (event_id, tel_id)."""
    return {
        (event, tel): (tree[name], row)
        for name in tree.children
        if f"n_{name}" in tree["events"]
        for row, (event, tel) in enumerate(
            zip(tree[name]["event_id"].values, tree[name]["tel_id"].values, strict=True)
        )
    }


def reference_images(file):
    """Rows of the reference: group, row, key, for physics events whose gain was selected."""
    for group in file["images"].values():
        index = {name: dataset[:] for name, dataset in group["index"].items()}
        for row in np.flatnonzero(index["event_type"] == PHYSICS):
            yield group, row, (int(index["event_id"][row]), int(index["tel_id"][row]))


@pytest.mark.parametrize("name", FILES)
def test_images(name, reference, processed):
    tree = processed(name)
    ours = readouts(tree)
    keys = set()
    for group, row, key in reference_images(reference[name]):
        keys.add(key)
        node, ours_row = ours[key]
        image, peak_time = group["dl1/image"][row], group["dl1/peak_time"][row]
        scale = np.sqrt(np.mean(image**2))
        np.testing.assert_allclose(node["image"].values[ours_row], image, rtol=1e-5, atol=1e-5 * scale)
        np.testing.assert_allclose(node["peak_time"].values[ours_row], peak_time, atol=1e-4)
        np.testing.assert_array_equal(node["image_mask"].values[ours_row], group["dl1/image_mask"][row])
    assert keys == ours.keys()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("frame", "prefix"), [("telescope", ""), ("true_telescope", "true_")])
def test_parameters(name, frame, prefix, reference, processed):
    ours = readouts(processed(name))
    for group, row, key in reference_images(reference[name]):
        node, ours_row = ours[key]
        for container, columns in group.get(f"params_{frame}_frame", {}).items():
            for column, dataset in columns.items():
                ours_name = f"{PREFIX.get(container, container)}_{column}"
                if ours_name in RANDOM:
                    continue
                expected = np.rad2deg(dataset[row]) if column in ANGLES else dataset[row]
                value = node[prefix + ours_name].values[ours_row]
                # ctapipe accumulates these two in float32: near zero only that many digits are right.
                atol = 3e-5 if column in ("skewness", "kurtosis") else 1e-7
                np.testing.assert_allclose(
                    value, expected, rtol=1e-4, atol=atol, err_msg=f"{key} {prefix}{ours_name}"
                )


@pytest.mark.parametrize("name", FILES)
def test_stereo(name, reference, processed):
    events = processed(name)["events"]
    file = reference[name]
    if "stereo/HillasReconstructor" not in file:
        pytest.skip("ctapipe has no stereo reconstruction of this file")
    rows = {event_id: row for row, event_id in enumerate(events["event_id"].values)}
    theirs = file["stereo/HillasReconstructor"]
    for row, event_id in enumerate(file["stereo/event/event_id"][:]):
        if event_id not in rows:
            continue  # a calibration event, which ctapipe-process leaves out too
        ours_row = rows[event_id]
        assert bool(events["HillasReconstructor_is_valid"].values[ours_row]) == theirs["is_valid"][row]
        for column in ("alt", "az"):
            value = events[f"HillasReconstructor_{column}"].values[ours_row]
            np.testing.assert_allclose(value, np.rad2deg(theirs[column][row]), atol=1e-5, rtol=0)
        for column in ("core_x", "core_y", "h_max"):
            value = events[f"HillasReconstructor_{column}"].values[ours_row]
            np.testing.assert_allclose(value, theirs[column][row], rtol=1e-4, atol=1e-3)


def test_all_files_at_once(shared, processed):
    """Every simtel file in one command: all cameras side by side, nothing mixed up."""
    paths = sorted((shared / "data/simtel").glob("*.simtel.*"))
    flow = et.open(*paths, workers=2, on_error="skip") | et.find_pipeline("ctapipe")
    use_equivalent_focal_lengths(flow)
    cameras = [table.name for table in flow.inputs.schema.values() if table.kind == "camera"]
    assert len(cameras) >= 27
    assert [Path(failure.path).name for failure in flow.inputs.failures] == TRUNCATED
    tree = flow.compute()
    together = readouts_by_run(tree)
    for name in FILES[-4:]:
        run = next(n for n, path in enumerate(paths) if path.name.startswith(name))
        for key, (node, row) in readouts(processed(name)).items():
            all_node, all_row = together[(run, *key)]
            for column in ("image", "peak_time", "hillas_length", "morphology_n_pixels"):
                np.testing.assert_array_equal(all_node[column].values[all_row], node[column].values[row])


def test_the_result_does_not_depend_on_cuts_order_or_threads(shared, tmp_path):
    """The same arrays, bit for bit; from the files, and again from the raw store that they make."""
    names = ("*run202*mini*", "*e149fc*", "*lst_muons.*", "*gamma_merged*")
    paths = [path for name in names for path in (shared / "data/simtel").glob(name)]
    pipeline = et.find_pipeline("ctapipe")
    whole = (et.open(*paths, workers=1) | pipeline).compute()
    cut = (et.open(*reversed(paths), workers=2, partition_bytes=1_000_000) | pipeline).compute()
    xr.testing.assert_identical(cut, whole)
    et.open(*paths, partition_bytes=1_500_000).write(tmp_path / "s", tag="raw")
    again = et.open(f"{tmp_path / 's'}@raw", workers=2, partition_bytes=3_000_000) | pipeline
    again.write(tmp_path / "s", tag="dl2")
    xr.testing.assert_identical(again.compute(), whole)
    stored = et.load(tmp_path / "s", "dl2").compute()
    for name in ("events", "flashcam", "lstn_01", "nectarcam"):
        for column, values in whole[name].variables.items():
            np.testing.assert_array_equal(stored[name][column].values, values.values)


def readouts_by_run(tree):
    """Node and row of each readout by (run, event_id, tel_id)."""
    found = {}
    for name in tree.children:
        if f"n_{name}" in tree["events"]:
            run = np.repeat(tree["events/run"].values, tree[f"events/n_{name}"].values)
            keys = zip(run, tree[name]["event_id"].values, tree[name]["tel_id"].values, strict=True)
            found.update({key: (tree[name], row) for row, key in enumerate(keys)})
    return found
