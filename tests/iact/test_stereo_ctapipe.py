"""Stereo reconstruction against ctapipe: its results on real files, and its code on random images."""

import warnings
from functools import cache

import h5py
import numpy as np
import pytest
from eventio import SimTelFile

from .stereo_partitions import (
    CAMERAS,
    COG,
    LABEL,
    POSITIONS,
    PREFIX,
    as_frame,
    hillas_columns,
    make_partition,
    random_readouts,
    reconstruct,
    split_by_camera,
)

REFERENCE = "reference/iact/ctapipe-0.32.h5"


def reference_partition(path, reference):
    """The reference's Hillas parameters with the telescopes and pointings of the simtel file."""
    readouts, cameras = {}, {}
    with warnings.catch_warnings(), SimTelFile(path) as file:
        warnings.filterwarnings("ignore", "File seems to be truncated")
        ids = file.header["tel_id"].tolist()
        positions = dict(zip(ids, file.header["tel_pos"].astype(np.float64), strict=True))
        pixels = {i: file.telescope_descriptions[i]["camera_settings"] for i in ids}
        tracking = [event["tracking_positions"] for event in file]
        azimuth, altitude = np.rad2deg(file.header["direction"].astype(np.float64))
        height = file.mc_run_headers[-1]["obsheight"]
    for label, images in reference["images"].items():
        index, parameters = images["index"], images["params_telescope_frame"]
        event, tel_id = index["event"][:], index["tel_id"][:]
        hillas = parameters["hillas"]
        columns = {n: hillas[n.removeprefix("hillas_")][:] for n in hillas_columns("telescope")}
        columns["hillas_psi"] = np.rad2deg(columns["hillas_psi"])
        pointing = [tracking[e][i] for e, i in zip(event, tel_id, strict=True)]
        readouts[label] = columns | {
            "event": event,
            "tel_id": tel_id.astype(np.int16),
            "pointing_altitude": np.rad2deg([float(p["altitude_raw"]) for p in pointing]),
            "pointing_azimuth": np.rad2deg([float(p["azimuth_raw"]) for p in pointing]),
            "morphology_n_pixels": parameters["morphology/n_pixels"][:],
        }
        cameras[label] = pixels[tel_id[0]], pixels[tel_id[0]]["focal_length"]
    n_events = len(reference["stereo/event/event"])
    events = {"array_altitude": np.full(n_events, altitude), "array_azimuth": np.full(n_events, azimuth)}
    return make_partition(events, readouts, positions, cameras, height)


def test_every_file_is_as_in_ctapipe(shared):
    n_valid = n_files = 0
    with h5py.File(shared / REFERENCE) as reference:
        for name, file in reference.items():
            if "stereo" not in file:
                continue
            path = next((shared / "data/simtel").glob(f"{name}.simtel.*"))
            result, made = reconstruct(reference_partition(path, file))
            check_reference(result, file["stereo/HillasReconstructor"])
            used = file["stereo/HillasReconstructor/tel_used_mask"][:]
            np.testing.assert_array_equal(result["n_telescopes"], used.sum(axis=1))
            is_used = [column for name, column in made.items() if name.endswith("is_used")]
            assert sum(np.count_nonzero(column) for column in is_used) == used.sum()
            n_valid += result["is_valid"].sum()
            n_files += 1
    assert (n_files, n_valid) == (19, 13)


def check_reference(result, expected):
    """Ours against the stored results; directions are in radians there, whatever their ``unit`` says."""
    valid = result["is_valid"]
    np.testing.assert_array_equal(valid, expected["is_valid"][:])
    for name in ("alt", "az"):
        np.testing.assert_allclose(result[name], np.rad2deg(expected[name][:]), rtol=0, atol=1e-5)
        # of one pair of planes there is no spread; the arc cosine in ctapipe makes that up to 2e-6 deg
        uncertainty = result[f"{name}_uncert"]
        np.testing.assert_allclose(uncertainty, expected[f"{name}_uncert"][:], rtol=1e-6, atol=3e-6)
    for name in ("core_x", "core_y", "core_tilted_x", "core_tilted_y", "h_max"):
        np.testing.assert_allclose(result[name], expected[name][:], rtol=0, atol=1e-3)
    np.testing.assert_allclose(result["average_intensity"], expected["average_intensity"][:], rtol=1e-12)


@cache
def ctapipe_reconstructor():
    """ctapipe's reconstructor for the telescopes above."""
    import astropy.units as u
    from astropy.coordinates import EarthLocation
    from ctapipe.coordinates import CameraFrame
    from ctapipe.instrument import (
        CameraDescription,
        CameraGeometry,
        CameraReadout,
        OpticsDescription,
        SizeType,
        SubarrayDescription,
        TelescopeDescription,
    )
    from ctapipe.instrument.optics import ReflectorShape
    from ctapipe.reco.hillas_reconstructor import HillasReconstructor

    def description(label):
        pixels, focal_length = CAMERAS[label]
        frame = CameraFrame(focal_length=focal_length * u.m)
        geometry = CameraGeometry(
            label, np.arange(441), pixels["pixel_x"] * u.m, pixels["pixel_y"] * u.m,
            pixels["pixel_area"] * u.m**2, "rectangular", frame=frame,
        )  # fmt: skip
        readout = CameraReadout(label, 1 / u.ns, np.ones((1, 5)), 1 * u.ns, 1, 40, 1)
        optics_description = OpticsDescription(
            label, SizeType.MST, 1, focal_length * u.m, focal_length * u.m, 100 * u.m**2, 1,
            ReflectorShape.PARABOLIC,
        )  # fmt: skip
        return TelescopeDescription(label, optics_description, CameraDescription(label, geometry, readout))

    types = {label: description(label) for label in CAMERAS}
    subarray = SubarrayDescription(
        "random",
        {i: p * u.m for i, p in POSITIONS.items()},
        {i: types[LABEL[i]] for i in POSITIONS},
        EarthLocation.from_geodetic(0 * u.deg, 0 * u.deg, 2000 * u.m),
    )
    return HillasReconstructor(subarray)


def ctapipe_result(events, columns, event, frame):
    """ctapipe's geometry of one event, and by telescope impact distance and core_psi."""
    import astropy.units as u
    from ctapipe.containers import (
        ArrayEventContainer,
        CameraHillasParametersContainer,
        HillasParametersContainer,
        ImageParametersContainer,
    )

    array_event = ArrayEventContainer()
    array_event.monitoring.pointing.array_altitude = events["array_altitude"][event] * u.deg
    array_event.monitoring.pointing.array_azimuth = events["array_azimuth"][event] * u.deg
    rows = np.flatnonzero(columns["event"] == event)
    array_event.trigger.tels_with_trigger = columns["tel_id"][rows].tolist()
    for row in rows:
        tel_id = int(columns["tel_id"][row])
        named = as_frame({n: c[[row]] for n, c in columns.items()}, frame, LABEL[tel_id])
        unit = u.deg if frame == "telescope" else u.m
        units = dict.fromkeys((*COG[frame], "length", "width"), unit) | {"psi": u.deg, "intensity": 1}
        container = HillasParametersContainer if frame == "telescope" else CameraHillasParametersContainer
        parameters = array_event.dl1.tel[tel_id].parameters = ImageParametersContainer()
        parameters.hillas = container(
            **{n: named[f"{PREFIX[frame]}hillas_{n}"][0] * x for n, x in units.items()}
        )
        parameters.morphology.n_pixels = columns["morphology_n_pixels"][row]
        pointing = array_event.monitoring.tel[tel_id].pointing
        pointing.altitude = columns["pointing_altitude"][row] * u.deg
        pointing.azimuth = columns["pointing_azimuth"][row] * u.deg
    ctapipe_reconstructor()(array_event)
    geometry = array_event.dl2.stereo.geometry["HillasReconstructor"]
    by_telescope = {
        tel_id: (
            array_event.dl2.tel[tel_id].impact["HillasReconstructor"].distance.to_value(u.m),
            array_event.dl1.tel[tel_id].parameters.core.psi.to_value(u.deg),
            tel_id in geometry.telescopes,
        )
        for tel_id in columns["tel_id"][rows].tolist()
    }
    units = {"alt": u.deg, "az": u.deg, "alt_uncert": u.deg, "az_uncert": u.deg}
    units |= dict.fromkeys(("core_x", "core_y", "core_tilted_x", "core_tilted_y", "h_max"), u.m)
    values = {name: getattr(geometry, name).to_value(unit) for name, unit in units.items()}
    return values | {n: getattr(geometry, n) for n in ("average_intensity", "is_valid")}, by_telescope


@pytest.mark.parametrize("frame", ["telescope", "camera"])
@pytest.mark.parametrize("divergence", [0.0, 3.0])
def test_random_events_are_as_in_ctapipe(frame, divergence):
    rng = np.random.default_rng(5)
    events, columns = random_readouts(rng, 25, divergence=divergence)
    columns["width"][::7] = 0.0
    columns["width"][1::13] = np.nan
    columns["intensity"][2::11] = 50.0
    columns["morphology_n_pixels"][3::9] = 3
    partition = split_by_camera(events, columns, frame)
    result, made = reconstruct(partition, frame=frame)
    assert 12 < result["is_valid"].sum() < 25
    ours = {}
    for label in ("near", "wide"):
        names = ("HillasReconstructor_tel_impact_distance", "core_psi", "HillasReconstructor_is_used")
        key = zip(partition.owners(label), partition.tables[label]["tel_id"], strict=True)
        value = zip(*(made[f"{label}/{name}"] for name in names), strict=True)
        ours |= dict(zip(key, value, strict=True))
    for event in range(25):
        expected, by_telescope = ctapipe_result(events, columns, event, frame)
        assert result["is_valid"][event] == expected["is_valid"]
        np.testing.assert_allclose(result["n_telescopes"][event], sum(u for *_, u in by_telescope.values()))
        for name in ("alt", "az", "core_x", "core_y", "core_tilted_x", "core_tilted_y", "h_max"):
            np.testing.assert_allclose(
                result[name][event], expected[name], rtol=1e-9, atol=1e-9, err_msg=name
            )
        np.testing.assert_allclose(result["alt_uncert"][event], expected["alt_uncert"], rtol=1e-9, atol=3e-6)
        np.testing.assert_allclose(result["average_intensity"][event], expected["average_intensity"])
        for tel_id, values in by_telescope.items():
            np.testing.assert_allclose(ours[event, tel_id], values, rtol=1e-9, atol=1e-9)
