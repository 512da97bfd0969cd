"""Cleaning against ctapipe's masks, and what any tail cut must do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from etendue.iact.camera import Geometry
from etendue.iact.cleaning import Clean, pixels_above, tailcuts

from .images import hexagonal_camera, partition_of, reference_images, shower

#: Name in the reference: picture, boundary, min_neighbors, keep_isolated.
VARIANTS = {
    "tailcuts_7_5": (7, 5, 0, False),
    "tailcuts_10_5_min1": (10, 5, 1, False),
    "tailcuts_10_5_min2": (10, 5, 2, False),
    "tailcuts_8_4_isolated": (8, 4, 0, True),
}
TOY = Geometry.of(hexagonal_camera())
IMAGES = np.array([shower(TOY, np.random.default_rng(seed))[0] for seed in range(6)])


def clean(images, picture=10, boundary=5, min_neighbors=2, keep_isolated=False, geometry=TOY):
    n = len(images)
    return tailcuts(
        images,
        np.full(n, picture, images.dtype),
        np.full(n, boundary, images.dtype),
        np.full(n, min_neighbors),
        keep_isolated,
        geometry.indptr,
        geometry.indices,
    )


def plain_tailcuts(image, picture, boundary, min_neighbors, keep_isolated):
    """The definition, pixel by pixel."""
    neighbours = [TOY.indices[TOY.indptr[p] : TOY.indptr[p + 1]] for p in range(len(image))]
    bright, lit = image >= picture, image >= boundary
    if keep_isolated:
        in_picture = bright
    else:
        in_picture = bright & [bright[near].sum() >= min_neighbors for near in neighbours]
    next_to_picture = np.array([in_picture[near].any() for near in neighbours])
    next_to_lit = np.array([lit[near].any() for near in neighbours])
    return (lit & next_to_picture) | (in_picture & (keep_isolated | next_to_lit))


def test_masks_are_those_of_ctapipe(shared):
    n_images = 0
    for group in reference_images(shared):
        geometry, images = group.geometry("camera"), group.data["dl1/image"][:]
        for name, parameters in VARIANTS.items():
            expected = group.data["cleaning"][name][:]
            np.testing.assert_array_equal(clean(images, *parameters, geometry=geometry), expected, group.name)
        n_images += len(images)
    assert n_images > 130


@settings(deadline=None)
@given(
    arrays(np.float32, TOY.pixel_x.size, elements=st.sampled_from([0, 4, 5, 6, 9, 10, 11, np.nan])),
    st.sampled_from([(10, 5), (5, 10), (8, 8)]),
    st.integers(0, 6),
    st.booleans(),
)
def test_masks_follow_the_definition(image, thresholds, min_neighbors, keep_isolated):
    mask = clean(image[np.newaxis], *thresholds, min_neighbors, keep_isolated)[0]
    np.testing.assert_array_equal(mask, plain_tailcuts(image, *thresholds, min_neighbors, keep_isolated))


@settings(deadline=None)
@given(arrays(np.float32, st.integers(1, 200), elements=st.floats(-5, 20, width=32) | st.just(np.nan)))
def test_pixels_above(image):
    pixels = np.empty(image.size, dtype=np.int32)
    n = pixels_above(image, np.float32(4), pixels)
    np.testing.assert_array_equal(pixels[:n], np.flatnonzero(image >= 4))


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(len(IMAGES))), st.integers(0, len(IMAGES)))
def test_rows_do_not_know_each_other(order, cut):
    masks = clean(IMAGES)
    np.testing.assert_array_equal(clean(IMAGES[order]), masks[order])
    parts = [clean(IMAGES[:cut]), clean(IMAGES[cut:])]
    np.testing.assert_array_equal(np.concatenate(parts), masks)


def test_dark_dead_and_single_pixels():
    images = np.zeros((3, TOY.pixel_x.size), dtype=np.float32)
    images[1] = np.nan
    images[2, 70] = 50
    assert not clean(images).any()
    assert clean(images, min_neighbors=0, keep_isolated=True).sum() == 1


def test_dead_pixel_takes_only_itself_and_what_it_held():
    image = np.full((1, TOY.pixel_x.size), 20, dtype=np.float32)
    image[0, 70] = np.nan
    assert np.flatnonzero(~clean(image)[0]).tolist() == [70]


def stage_columns(rows=slice(None)):
    tel_id = np.array([1, 2, 1, 1, 2, 2], dtype=np.int16)
    return {"image": IMAGES[rows], "tel_id": tel_id[rows]}


def test_stage_takes_thresholds_by_telescope():
    stage = Clean("tailcuts", picture={"*": 10, "LST": 6}, boundary={"*": 5, "LST": 3}, min_neighbors=1)
    partition = partition_of(stage_columns(), np.array([2, 0, 3, 1]))
    mask = stage(partition)["toycam/image_mask"]
    lst = stage_columns()["tel_id"] == 1
    np.testing.assert_array_equal(mask[lst], clean(IMAGES[lst], 6, 3, 1))
    np.testing.assert_array_equal(mask[~lst], clean(IMAGES[~lst], 10, 5, 1))
    partition.schema.with_variables(stage.provides(partition.schema))["toycam"].validate({"image_mask": mask})


def test_stage_is_independent_of_partitioning():
    stage = Clean(picture={"*": 8, "MST": 12})
    whole = stage(partition_of(stage_columns(), np.array([2, 4])))["toycam/image_mask"]
    parts = [
        stage(partition_of(stage_columns(rows), np.array([n])))["toycam/image_mask"]
        for rows, n in ((slice(0, 2), 2), (slice(2, 2), 0), (slice(2, 6), 4))
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_stage_from_its_parameters():
    stage = Clean("tailcuts", picture=8)
    assert Clean.model_validate(stage.model_dump()) == stage
    assert Clean.model_validate_json(stage.model_dump_json()) == stage
    with pytest.raises(ValidationError, match="method"):
        Clean("wavelets")
