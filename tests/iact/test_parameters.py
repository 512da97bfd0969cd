"""Image parameters against ctapipe's on all reference images, and what must not change them."""

from itertools import pairwise

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etendue.iact.camera import Geometry
from etendue.iact.cleaning import Clean
from etendue.iact.parameters import PARAMETERS, Parametrise, statistics

from .images import hexagonal_camera, partition_of, reference_images, shower

PIXELS = hexagonal_camera()
TOY = Geometry.of(PIXELS)
SHOWERS = [shower(TOY, np.random.default_rng(seed)) for seed in range(8)]
COLUMNS = {
    "image": np.array([image for image, _ in SHOWERS]),
    "peak_time": np.array([peak_time for _, peak_time in SHOWERS]),
    "tel_id": np.ones(8, dtype=np.int16),
    "true_image": np.array([np.maximum(image - 4, 0) for image, _ in SHOWERS]).astype(np.int32),
}
COLUMNS["image_mask"] = Clean(picture=8, boundary=4)(partition_of(COLUMNS, [8]))["toycam/image_mask"]


def parametrise(columns=COLUMNS, counts=None, pixels=PIXELS, **options):
    """The columns of the stage, without their table."""
    partition = partition_of(columns, counts or [len(columns["image"])], pixels)
    made = Parametrise(**options)(partition)
    return {name.removeprefix("toycam/"): column for name, column in made.items()}


def camera_frame(image, mask=None, pixels=PIXELS):
    """Hillas parameters in the camera frame, by their short names, of one image."""
    image = np.asarray(image, dtype=np.float32)[np.newaxis]
    mask = image > 0 if mask is None else mask[np.newaxis]
    columns = {"image": image, "peak_time": np.zeros_like(image), "image_mask": mask}
    made = parametrise(columns, pixels=pixels, frame="camera")
    return {name.removeprefix("camera_frame_").removeprefix("hillas_"): c[0] for name, c in made.items()}


# --- the peer


def expected_columns(parameters: h5py.Group, prefix: str):
    """Columns of a parameter group of the reference: names as ctapipe writes them, angles in degrees."""
    for container, datasets in parameters.items():
        group = container.removesuffix("_statistics")
        if "camera_frame" in parameters.name and group in ("hillas", "timing"):
            group = f"camera_frame_{group}"
        for name, dataset in datasets.items():
            values = dataset[:]
            if name in ("phi", "psi", "psi_uncertainty"):
                values = np.rad2deg(values)  # though the attribute is "deg" where the first image has none
            yield f"{prefix}{group}_{name}", values


#: Compared elsewhere: not functions of the image in ctapipe (random starts; see test_timing), or made
#: there in float32 (see test_statistics_are_those_of_ctapipe_in_double_precision).
ELSEWHERE = (
    "timing_",
    "intensity_skewness",
    "intensity_kurtosis",
    "peak_time_skewness",
    "peak_time_kurtosis",
)


def tolerances(name, made):
    """Relative tolerance of a column, for each image."""
    rtol = np.full(len(made[name]), 1e-6)
    if "hillas_width" in name:
        # of pixels in a line the width is what their positions were rounded by
        hillas = name[: name.index("width")]
        rtol[made[f"{hillas}width"] < 1e-4 * made[f"{hillas}length"]] = 1e-4
    return rtol


@pytest.mark.parametrize("frame", ["camera", "telescope"])
def test_parameters_are_those_of_ctapipe(shared, frame):
    n_images, same_slope = 0, []
    for group in reference_images(shared):
        data = group.data
        columns = {name: data[f"dl1/{name}"][:] for name in ("image", "peak_time", "image_mask")}
        if "sim/true_image" in data:
            columns["true_image"] = data["sim/true_image"][:]
        focal_length = group.camera.attrs["equivalent_focal_length_m"]
        partition = partition_of(columns, [len(columns["image"])], group.pixels, focal_length)
        stage = Parametrise(frame=frame, true_images=True)
        made = {name.removeprefix("toycam/"): c for name, c in stage(partition).items()}
        expected = dict(expected_columns(data[f"params_{frame}_frame"], ""))
        if frame == "telescope" and "params_true_telescope_frame" in data:
            expected |= dict(expected_columns(data["params_true_telescope_frame"], "true_"))
        assert set(expected) <= set(made)
        for name, values in expected.items():
            assert made[name].dtype == values.dtype, name
            np.testing.assert_array_equal(np.isnan(made[name]), np.isnan(values), f"{group.name} {name}")
            if not any(part in name for part in ELSEWHERE):
                good = np.abs(made[name] - values) <= tolerances(name, made) * np.abs(values)
                assert (good | np.isnan(values)).all(), f"{group.name} {name}"
        slope = "timing_slope" if frame == "telescope" else "camera_frame_timing_slope"
        fitted = np.isfinite(expected[slope])
        same_slope += np.isclose(made[slope], expected[slope], rtol=1e-6)[fitted].tolist()
        n_images += fitted.sum()
    assert n_images > 120
    assert np.mean(same_slope) > 0.85


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_statistics_are_those_of_ctapipe_in_double_precision(dtype):
    from ctapipe.image import descriptive_statistics

    values = np.random.default_rng(3).gamma(2, 10, 200).astype(dtype).astype(np.float64)
    theirs = descriptive_statistics(values)
    expected = [theirs[name] for name in ("max", "min", "mean", "std", "skewness", "kurtosis")]
    np.testing.assert_allclose(statistics(values), expected, rtol=1e-12)


# --- plain truths


def test_two_equal_pixels():
    image = np.zeros(144)
    image[[60, 61]] = 50
    made = camera_frame(image)
    assert made["intensity"] == 100
    assert made["length"] == pytest.approx(0.025)
    assert made["width"] == 0
    assert made["psi"] == pytest.approx(0, abs=1e-12)
    assert made["kurtosis"] == pytest.approx(1)
    assert made["concentration_pixel"] == pytest.approx(0.5)
    assert made["concentration_core"] == 0
    assert np.isnan(made["width_uncertainty"])


def test_wide_gaussian_has_its_own_moments():
    pixels = hexagonal_camera(60, 0.01)
    along = pixels["pixel_x"] * np.cos(0.5) + pixels["pixel_y"] * np.sin(0.5)
    across = pixels["pixel_y"] * np.cos(0.5) - pixels["pixel_x"] * np.sin(0.5)
    image = 1e4 * np.exp(-0.5 * ((along / 0.05) ** 2 + (across / 0.03) ** 2)) + 1e-6
    made = camera_frame(image, pixels=pixels)
    assert (made["x"], made["y"]) == pytest.approx((0, 0), abs=1e-9)
    assert (made["length"], made["width"]) == pytest.approx((0.05, 0.03), rel=1e-3)
    assert made["psi"] == pytest.approx(np.rad2deg(0.5), rel=1e-4)
    assert made["kurtosis"] == pytest.approx(3, rel=1e-2)
    # of N photo-electrons of a Gaussian, a standard deviation is known to sigma / sqrt(2 N)
    assert made["length_uncertainty"] == pytest.approx(
        made["length"] / np.sqrt(2 * made["intensity"]), rel=1e-2
    )


def test_islands_and_leakage():
    mask = np.zeros(144, dtype=bool)
    mask[[0, 1, 2, 65, 66, 100]] = True
    made = camera_frame(np.ones(144), mask)
    names = ("n_pixels", "n_islands", "n_small_islands", "n_medium_islands", "n_large_islands")
    assert [made[f"morphology_{name}"] for name in names] == [6, 3, 2, 1, 0]
    assert made["leakage_pixels_width_1"] == pytest.approx(0.5)
    assert made["leakage_intensity_width_1"] == pytest.approx(0.5)
    assert camera_frame(np.ones(144))["morphology_n_large_islands"] == 1


@pytest.mark.parametrize("case", ["no light", "one pixel", "no pixel", "missing charge", "negative charge"])
def test_images_that_cannot_be_parametrised(case):
    image = np.full((1, 144), 10, dtype=np.float32)
    mask = np.zeros((1, 144), dtype=bool)
    mask[0, 60:66] = True
    if case == "no light":
        image[:] = 0
    elif case == "one pixel":
        mask[0, 61:] = False
    elif case == "no pixel":
        mask[:] = False
    else:
        image[0, 62] = np.nan if case == "missing charge" else -1
    columns = {
        "image": image,
        "peak_time": image,
        "image_mask": mask,
        "true_image": np.full((1, 144), -1, np.int32),
    }
    for name, column in parametrise(columns).items():
        assert column[0] == -1 if column.dtype.kind == "i" else np.isnan(column[0]), name


def test_dead_pixels_outside_the_mask_do_not_matter():
    columns = {**COLUMNS, "image": np.where(COLUMNS["image_mask"], COLUMNS["image"], np.nan)}
    for name, column in parametrise(columns).items():
        np.testing.assert_array_equal(column, parametrise()[name])


def test_missing_time_of_a_surviving_pixel():
    peak_time = COLUMNS["peak_time"].copy()
    peak_time[0, np.flatnonzero(COLUMNS["image_mask"][0])[0]] = np.nan
    made = parametrise({**COLUMNS, "peak_time": peak_time})
    assert np.isfinite(made["timing_slope"][0])
    assert np.isnan([made[f"peak_time_{name}"][0] for name in ("max", "min", "mean", "std")]).all()
    assert np.isfinite(made["peak_time_max"][1:]).all()


# --- what must not change the parameters


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(8)))
def test_order_of_rows(order):
    expected, made = parametrise(), parametrise({name: column[order] for name, column in COLUMNS.items()})
    for name in expected:
        np.testing.assert_array_equal(made[name], expected[name][order])


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 8), max_size=4))
def test_partitioning(cuts):
    edges = [0, *sorted(cuts), 8]
    parts = [
        parametrise({name: column[start:end] for name, column in COLUMNS.items()})
        for start, end in pairwise(edges)
    ]
    for name, expected in parametrise().items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), expected)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 7), st.floats(-180, 180))
def test_turning_the_camera_turns_psi_only(row, angle):
    image, mask = COLUMNS["image"][row], COLUMNS["image_mask"][row]
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    x, y = PIXELS["pixel_x"], PIXELS["pixel_y"]
    turned = camera_frame(image, mask, {**PIXELS, "pixel_x": cos * x - sin * y, "pixel_y": sin * x + cos * y})
    expected = camera_frame(image, mask)
    for name in (
        "r",
        "length",
        "width",
        "length_uncertainty",
        "width_uncertainty",
        "kurtosis",
        "psi_uncertainty",
    ):
        assert turned[name] == pytest.approx(expected[name], rel=1e-9), name
    assert abs(turned["skewness"]) == pytest.approx(abs(expected["skewness"]), rel=1e-6, abs=1e-9)
    difference = np.deg2rad(turned["psi"] - expected["psi"] - angle)
    assert np.sin(difference) == pytest.approx(0, abs=1e-9)
    assert -90 <= turned["psi"] <= 90


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 7), st.sampled_from([0.25, 0.5, 2, 8, 1024]))
def test_more_light_of_the_same_shape(row, factor):
    image, mask = COLUMNS["image"][row], COLUMNS["image_mask"][row]
    made, expected = camera_frame(factor * image, mask), camera_frame(image, mask)
    assert made["intensity"] == factor * expected["intensity"]
    for name in ("x", "y", "length", "width", "psi", "skewness", "kurtosis", "concentration_core"):
        assert made[name] == pytest.approx(expected[name], rel=1e-9, abs=1e-12), name
    for name in ("length_uncertainty", "width_uncertainty"):
        assert made[name] == pytest.approx(expected[name] / np.sqrt(factor), rel=1e-9), name


# --- the stage


def test_declares_what_it_makes():
    for frame in ("camera", "telescope"):
        stage, partition = Parametrise(frame=frame, true_images=True), partition_of(COLUMNS, [8])
        made, declared = stage(partition), stage.provides(partition.schema)
        assert made.keys() == declared.keys()
        schema = partition.schema.with_variables(declared)
        schema["toycam"].validate({name.removeprefix("toycam/"): column for name, column in made.items()})
        prefix = "camera_frame_hillas_x" if frame == "camera" else "hillas_fov_lon"
        assert declared[f"toycam/{prefix}"].units == ("m" if frame == "camera" else "deg")
        assert declared[f"toycam/true_{prefix}"].description
        assert not any("true_timing" in name or "true_peak_time" in name for name in declared)


def test_units_are_ones_that_astropy_parses():
    u = pytest.importorskip("astropy.units")
    with u.add_enabled_units([u.def_unit("pe")]):
        for parameter in PARAMETERS:
            u.Unit(parameter.units.format(length="deg"))


def test_simulated_images_only_where_there_are_any_and_they_are_wanted():
    partition = partition_of(COLUMNS, [8])
    assert "toycam/true_image" in Parametrise(true_images=True).requires(partition.schema)
    stage = Parametrise(true_images=False)
    assert "toycam/true_image" not in stage.requires(partition.schema)
    assert not any("true_" in name for name in stage(partition))
    real = {name: column for name, column in COLUMNS.items() if name != "true_image"}
    assert not any("true_" in name for name in Parametrise()(partition_of(real, [8])))
