"""Camera geometry against ctapipe's, on every camera of the reference, and against plain truths."""

import logging
import time

import h5py
import numpy as np
import pytest
from eventio import SimTelFile
from hypothesis import given
from hypothesis import strategies as st

from etendue.iact.camera import Geometry, geometry_of
from etendue.schema import SchemaError

from .images import REFERENCE, hexagonal_camera


def settings(path):
    """Pixel tables of a simtel file as the static tables hold them, with optics, by tel_id."""
    with SimTelFile(path) as file:
        for tel_id, description in file.telescope_descriptions.items():
            raw = description["camera_settings"]
            pixels = {name: raw[name] for name in ("pixel_x", "pixel_y", "pixel_area", "pixel_shape")}
            optics = {
                "equivalent_focal_length": np.array([raw["focal_length"]]),
                "effective_focal_length": np.array([raw.get("effective_focal_length", np.nan)]),
                "camera_rotation": np.array([-np.rad2deg(raw["cam_rot"])]),
            }
            yield tel_id, pixels, optics


def simtel_path(shared, name):
    return next((shared / "data/simtel").glob(f"{name}.simtel.*"))


def square_grid(n):
    x, y = (a.ravel().astype(float) for a in np.meshgrid(np.arange(n), np.arange(n)))
    return {"pixel_x": x, "pixel_y": y, "pixel_area": np.full(n * n, 0.81), "pixel_shape": np.full(n * n, 2)}


def test_every_camera_is_as_in_ctapipe(shared):
    n_cameras = 0
    with h5py.File(shared / REFERENCE) as reference:
        for name, file in reference.items():
            types = dict(zip(file["subarray/tel_id"][:], file["subarray/tel_type"].asstr()[:], strict=True))
            for tel_id, pixels, optics in settings(simtel_path(shared, name)):
                camera = next(
                    (c for c in file["cam"] if types[tel_id].endswith("_" + c.partition("#")[0])), None
                )
                if camera is None:
                    continue
                n_cameras += 1
                # the reference was made with the equivalent focal lengths, which every file has
                optics["effective_focal_length"][:] = optics["equivalent_focal_length"]
                conditions = {"camera/c": pixels, "optics/c": optics}
                check_camera_frame(geometry_of(conditions, "c"), file["cam"][camera]["geometry"])
                check_telescope_frame(
                    geometry_of(conditions, "c", "telescope"), file["cam"][camera]["geometry_telescope_frame"]
                )
    assert n_cameras > 100


def check_camera_frame(geometry, expected):
    for ours, theirs in [
        ("pixel_x", "pix_x_m"),
        ("pixel_y", "pix_y_m"),
        ("pixel_area", "pix_area_m2"),
        ("pixel_width", "pixel_width_m"),
    ]:
        np.testing.assert_allclose(getattr(geometry, ours), expected[theirs][:], rtol=1e-12, atol=1e-15)
    indptr, indices = expected["neighbor_indptr"][:], expected["neighbor_indices"][:]
    np.testing.assert_array_equal(geometry.indptr, indptr)
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    np.testing.assert_array_equal(geometry.indices, indices[np.lexsort((indices, rows))])
    np.testing.assert_array_equal(geometry.border_1, expected["border_mask_w1"][:])
    np.testing.assert_array_equal(geometry.border_2, expected["border_mask_w2"][:])


def check_telescope_frame(geometry, expected):
    for ours, theirs in [
        ("pixel_x", "fov_lon_deg"),
        ("pixel_y", "fov_lat_deg"),
        ("pixel_area", "pix_area_deg2"),
    ]:
        np.testing.assert_allclose(getattr(geometry, ours), expected[theirs][:], rtol=1e-10, atol=1e-13)


def test_cameras_without_reference_have_symmetric_neighbours(shared):
    """The 194 telescopes of one header-only file, a camera of 40,000 pixels and one of 7,987."""
    names = ("pyeventio__gamma_merged", "pyeventio__40k_pixels", "pyeventio__n_hv_disabled")
    for name in names:
        for _, pixels, optics in settings(simtel_path(shared, name)):
            geometry = geometry_of({"camera/c": pixels, "optics/c": optics}, "c")
            rows = np.repeat(np.arange(len(geometry.pixel_x)), np.diff(geometry.indptr))
            transposed = np.lexsort((rows, geometry.indices))
            np.testing.assert_array_equal(rows, geometry.indices[transposed])
            np.testing.assert_array_equal(geometry.indices, rows[transposed])
            assert np.diff(geometry.indptr).max() == (4 if pixels["pixel_shape"][0] == 2 else 6)


def test_guess_radius_as_in_ctapipe():
    u = pytest.importorskip("astropy.units")
    from ctapipe.instrument import CameraGeometry

    columns = hexagonal_camera(20)
    theirs = CameraGeometry(
        "toy",
        np.arange(400),
        columns["pixel_x"] * u.m,
        columns["pixel_y"] * u.m,
        columns["pixel_area"] * u.m**2,
        "hexagon",
    )
    assert Geometry.of(columns).radius == pytest.approx(theirs.guess_radius().value, rel=1e-12)


def test_squares_have_no_diagonal_neighbours():
    geometry = Geometry.of(square_grid(5))
    centre = slice(geometry.indptr[12], geometry.indptr[13])
    np.testing.assert_array_equal(geometry.indices[centre], [7, 11, 13, 17])
    assert geometry.border_1.sum() == 16
    np.testing.assert_allclose(geometry.pixel_width, 0.9)


def test_forty_thousand_pixels_take_less_than_a_second():
    Geometry.of(square_grid(3))  # compiled
    start = time.process_time()
    geometry = Geometry.of(square_grid(200))
    assert time.process_time() - start < 1
    assert len(geometry.indices) == 4 * 200 * 199


def test_one_pixel():
    geometry = Geometry.of(square_grid(1))
    assert len(geometry.indices) == 0
    assert not geometry.border_1[0]


@given(st.integers(2, 9), st.booleans(), st.randoms(use_true_random=False))
def test_neighbours_follow_a_permutation_of_the_pixels(n, square, random):
    columns = square_grid(n) if square else hexagonal_camera(n)
    order = list(range(n * n))
    random.shuffle(order)
    geometry = Geometry.of(columns)
    shuffled = Geometry.of({name: column[order] for name, column in columns.items()})
    for pixel, was in enumerate(order):
        now = shuffled.indices[shuffled.indptr[pixel] : shuffled.indptr[pixel + 1]]
        before = geometry.indices[geometry.indptr[was] : geometry.indptr[was + 1]]
        assert {order[i] for i in now} == set(before)
    np.testing.assert_array_equal(shuffled.border_2, geometry.border_2[order])


@given(st.floats(-180, 180))
def test_rotation_keeps_neighbours_of_hexagons(angle):
    geometry, turned = (
        Geometry.of(hexagonal_camera(7)),
        Geometry.of(hexagonal_camera(7), camera_rotation=angle),
    )
    np.testing.assert_array_equal(turned.indptr, geometry.indptr)
    np.testing.assert_array_equal(turned.indices, geometry.indices)


def test_telescope_frame_swaps_the_axes_and_scales():
    columns = square_grid(4)
    geometry = Geometry.of(columns, "telescope", focal_length=180 / np.pi)
    np.testing.assert_allclose(geometry.pixel_x, columns["pixel_y"])
    np.testing.assert_allclose(geometry.pixel_y, columns["pixel_x"])
    np.testing.assert_allclose(geometry.pixel_width, 0.9)


def test_equal_content_is_computed_once():
    assert Geometry.of(square_grid(6)) is Geometry.of(square_grid(6))
    assert Geometry.of(square_grid(6)) != Geometry.of(square_grid(6), camera_rotation=10)
    assert len({Geometry.of(square_grid(6)), Geometry.of(square_grid(6))}) == 1


def test_effective_focal_length_is_preferred():
    optics = {
        "equivalent_focal_length": np.array([16.0]),
        "effective_focal_length": np.array([18.0]),
        "camera_rotation": np.array([5.0]),
    }
    geometry = geometry_of({"camera/c": square_grid(3), "optics/c": optics}, "c", "telescope")
    assert geometry is Geometry.of(square_grid(3), "telescope", 18.0, 5.0)


def test_missing_focal_length_and_camera_are_explained(caplog):
    with pytest.raises(ValueError, match="focal length"):
        Geometry.of(square_grid(3), "telescope")
    optics = {
        "equivalent_focal_length": np.array([16.0]),
        "effective_focal_length": np.array([np.nan]),
        "camera_rotation": np.array([0.0]),
    }
    conditions = {"camera/toycam": square_grid(3), "optics/toycam": optics}
    with pytest.raises(SchemaError, match="toycam"):
        geometry_of(conditions, "othercam")
    with caplog.at_level(logging.WARNING):
        geometry_of(conditions, "toycam", "telescope")
        geometry_of(conditions, "toycam", "telescope")
    assert len(caplog.records) == 1
