"""Stereo reconstruction against exact showers, and what must not change its results."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from etendue.iact.camera import geometry_of
from etendue.iact.directions import (
    direction_to_offset,
    horizon_to_direction,
    offset_to_direction,
    telescope_offset,
)
from etendue.iact.stereo import ReconstructStereo, impact_points
from etendue.schema import SchemaError

from .stereo_partitions import (
    CAMERAS,
    LABEL,
    POSITIONS,
    RESULTS,
    make_random,
    optics,
    random_readouts,
    reconstruct,
    split_by_camera,
)

# --- exact showers


def exact_shower(alt, az, core, height, altitude, azimuth, step):
    """Images of a straight shower: two points on each axis image, the second ``step`` degrees away."""
    direction = np.array(horizon_to_direction(np.deg2rad(alt), np.deg2rad(az)))
    position = np.array(list(POSITIONS.values()))
    brightest = np.array([*core, 0.0]) + direction * height / direction[2]
    pointing = np.deg2rad(altitude), np.deg2rad(azimuth)
    towards = brightest - position
    cog = np.array(direction_to_offset(tuple(towards.T), *pointing))
    normal = np.cross(towards, direction)
    # turn the axis until its second point lies in the plane of the telescope and the shower
    lower, upper = np.full(len(position), -np.pi), np.zeros(len(position))
    for _ in range(60):
        middle = (lower + upper) / 2
        outside = [
            np.sum(normal * np.array(offset_to_direction(*second, *pointing)).T, axis=1)
            for second in (cog + np.deg2rad(step) * np.array([np.cos(a), np.sin(a)]) for a in (lower, middle))
        ]
        same = np.sign(outside[0]) == np.sign(outside[1])
        lower, upper = np.where(same, middle, lower), np.where(same, upper, middle)
    return {
        "event": np.zeros(len(position), dtype=np.int64),
        "tel_id": np.array(list(POSITIONS), dtype=np.int16),
        "pointing_altitude": altitude + np.zeros(len(position)),
        "pointing_azimuth": azimuth + np.zeros(len(position)),
        "fov_lon": np.rad2deg(cog[0]),
        "fov_lat": np.rad2deg(cog[1]),
        "psi": np.rad2deg(lower),
        "intensity": np.full(len(position), 100.0),
        "length": np.full(len(position), 0.3),
        "width": np.full(len(position), 0.1),
        "morphology_n_pixels": np.full(len(position), 20),
    }


def camera_steps():
    """A tenth of each telescope's camera radius, in degrees."""
    conditions = {f"camera/{n}": c[0] for n, c in CAMERAS.items()}
    conditions |= {f"optics/{n}": optics(c[1]) for n, c in CAMERAS.items()}
    return np.array([0.1 * geometry_of(conditions, LABEL[i], "telescope").radius for i in POSITIONS])


@given(
    alt=st.floats(35, 85),
    az=st.floats(0, 360),
    core=st.tuples(st.floats(-300, 300), st.floats(-300, 300)),
    height=st.floats(5e3, 15e3),
    off=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
)
@settings(deadline=None, max_examples=40)
def test_exact_showers_give_their_direction_and_height(alt, az, core, height, off):
    """With any pointing of the telescopes: planes and lines of sight do not depend on it."""
    # the image of a shower that falls on a telescope has no axis
    assume(all(np.hypot(core[0] - x, core[1] - y) > 10 for x, y, _ in POSITIONS.values()))
    divergence = np.array([0.0, 0.5, -0.5, 1.0, -1.0])
    altitude, azimuth = alt + off[0] + divergence, az + off[1] - divergence
    columns = exact_shower(alt, az, core, height, altitude, azimuth, camera_steps())
    events = {"array_altitude": np.array([alt + off[0]]), "array_azimuth": np.array([az + off[1]])}
    result, _ = reconstruct(split_by_camera(events, columns))
    assert result["alt"][0] == pytest.approx(alt, abs=1e-6)
    assert (result["az"][0] - az + 180) % 360 - 180 == pytest.approx(0, abs=1e-6 / np.cos(np.deg2rad(alt)))
    assert result["alt_uncert"][0] < 1e-5
    assert result["h_max"][0] == pytest.approx(2000 + height, rel=1e-6)


@given(
    alt=st.floats(35, 90),
    az=st.floats(0, 360),
    core=st.tuples(st.floats(-300, 300), st.floats(-300, 300)),
)
@settings(deadline=None, max_examples=40)
def test_axes_that_meet_give_the_impact_point(alt, az, core):
    """Axes from the telescopes to the core, in the plane across the pointing."""
    pointing = np.deg2rad([[alt, az]])
    position = np.array(list(POSITIONS.values()))
    x_axis, y_axis = (
        np.array(offset_to_direction(*o, *pointing[0])) for o in ((0, np.pi / 2), (-np.pi / 2, 0))
    )
    towards = np.array([*core, 0.0]) - position
    psi = np.arctan2(towards @ y_axis, -towards @ x_axis)
    tilted, ground = impact_points(np.array([0, len(position)]), psi, position, pointing)
    np.testing.assert_allclose(ground[0], core, atol=1e-6)
    np.testing.assert_allclose(tilted[0], [-x_axis[:2] @ core, y_axis[:2] @ core], atol=1e-6)


# --- what must not change the result


def assert_same(one, other):
    for name in RESULTS:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_order_of_telescopes_and_tables_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    events, columns = random_readouts(rng, 6, divergence=1.0)
    shuffled = rng.permutation(len(columns["event"]))
    other = {name: column[shuffled] for name, column in columns.items()}
    one, _ = reconstruct(split_by_camera(events, columns))
    two, _ = reconstruct(split_by_camera(events, other, labels=("wide", "near")))
    assert_same(one, two)


@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(0, 6))
@settings(deadline=None, max_examples=20)
def test_partitions_do_not_matter(seed, cut):
    events, columns = random_readouts(np.random.default_rng(seed), 6, divergence=1.0)
    whole, _ = reconstruct(split_by_camera(events, columns))
    parts = []
    for first, end in ((0, cut), (cut, 6)):
        inside = (columns["event"] >= first) & (columns["event"] < end)
        rows = {name: column[inside] for name, column in columns.items()} | {
            "event": columns["event"][inside] - first
        }
        parts.append(reconstruct(split_by_camera({n: c[first:end] for n, c in events.items()}, rows))[0])
    assert_same(whole, {name: np.concatenate([part[name] for part in parts]) for name in RESULTS})


@given(seed=st.integers(0, 2**32 - 1), turn=st.floats(-180, 180))
@settings(deadline=None, max_examples=20)
def test_turning_the_array_turns_the_result(seed, turn):
    events, columns = random_readouts(np.random.default_rng(seed), 4, divergence=1.0)
    before, _ = reconstruct(split_by_camera(events, columns))
    partition = split_by_camera(
        events | {"array_azimuth": events["array_azimuth"] + turn},
        columns | {"pointing_azimuth": columns["pointing_azimuth"] + turn},
    )
    array, cos, sin = partition.conditions["array"], np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    x, y = array["pos_x"].copy(), array["pos_y"].copy()
    array["pos_x"], array["pos_y"] = cos * x + sin * y, cos * y - sin * x
    after, _ = reconstruct(partition)
    expected = before | {
        "core_x": cos * before["core_x"] + sin * before["core_y"],
        "core_y": cos * before["core_y"] - sin * before["core_x"],
        "az": after["az"] + (before["az"] + turn - after["az"] + 180) % 360 - 180,
    }
    for name in RESULTS:
        np.testing.assert_allclose(after[name], expected[name], rtol=1e-7, atol=1e-6, err_msg=name)


# --- events that cannot be reconstructed


def two_images(cog, psi):
    """One event seen by telescopes 3 and 4."""
    _, columns = random_readouts(np.random.default_rng(0), 1, tel_ids=(3, 4) * 5)
    columns = {name: column[:2].copy() for name, column in columns.items()}
    columns |= {"tel_id": np.array([3, 4], dtype=np.int16), "intensity": np.array([100.0, 100.0])}
    columns |= {"pointing_altitude": np.full(2, 70.0), "pointing_azimuth": np.zeros(2)}
    columns |= {"fov_lon": np.array(cog[0]), "fov_lat": np.array(cog[1]), "psi": np.array(psi)}
    return {"array_altitude": np.array([70.0]), "array_azimuth": np.zeros(1)}, columns


def assert_invalid(result, made):
    assert not result["is_valid"].any()
    assert not result["n_telescopes"].any()
    for name in set(RESULTS) - {"is_valid", "n_telescopes"}:
        assert np.isnan(result[name]).all(), name
    for name, column in made.items():
        if name.endswith(("core_psi", "impact_distance")):
            assert np.isnan(column).all()
        elif name.endswith("is_used"):
            assert not column.any()


def test_parallel_axes_give_nothing():
    assert_invalid(*reconstruct(split_by_camera(*two_images(([0.5, 0.2], [0.0, 0.0]), [0.0, 0.0]))))


def test_parallel_lines_of_sight_give_no_height():
    result, _ = reconstruct(split_by_camera(*two_images(([0.5, 0.5], [0.2, 0.2]), [10.0, 80.0])))
    assert result["is_valid"].all()
    assert np.isnan(result["h_max"]).all()
    # both planes hold the common line of sight, so that is where they cross
    lon, lat = telescope_offset(result["alt"], result["az"], 70.0, 0.0)
    np.testing.assert_allclose([lon[0], lat[0]], [0.5, 0.2], atol=1e-10)
    assert np.isfinite(result["core_x"]).all()


def test_two_images_have_no_spread():
    result, _ = reconstruct(split_by_camera(*two_images(([0.5, -0.5], [0.2, 0.7]), [10.0, 80.0])))
    assert result["is_valid"].all()
    np.testing.assert_allclose(result["alt_uncert"], 0, atol=1e-12)


@pytest.mark.parametrize("n_images", [0, 1])
def test_fewer_than_two_images_give_nothing(n_images):
    events, columns = two_images(([0.5, -0.5], [0.2, 0.7]), [10.0, 80.0])
    assert_invalid(*reconstruct(split_by_camera(events, {n: c[:n_images] for n, c in columns.items()})))


def test_events_without_readouts_and_no_events_at_all():
    for n_events in (0, 3):
        events, columns = random_readouts(np.random.default_rng(0), n_events, tel_ids=())
        assert_invalid(*reconstruct(split_by_camera(events, columns)))


def test_camera_tables_that_were_not_read_count_as_empty():
    partition = make_random(np.random.default_rng(1), 4)
    alone = make_random(np.random.default_rng(1), 4, labels=("near",))
    partition.tables["events"]["n_wide"][:] = 0
    del partition.tables["wide"]
    assert_same(reconstruct(partition)[0], reconstruct(alone)[0])


def test_images_marked_as_not_selected_do_not_count():
    rng = np.random.default_rng(3)
    events, columns = random_readouts(rng, 8)
    selected = rng.random(len(columns["event"])) < 0.6
    marked, _ = reconstruct(split_by_camera(events, columns | {"selected": selected}))
    dropped, _ = reconstruct(split_by_camera(events, {n: c[selected] for n, c in columns.items()}))
    assert_same(marked, dropped)


def test_an_unknown_telescope_is_named():
    partition = make_random(np.random.default_rng(1), 2)
    array = partition.conditions["array"]
    for name in array:
        array[name] = array[name][1:]
    with pytest.raises(SchemaError, match="telescope 3 of run 0"):
        reconstruct(partition)


def test_each_frame_reads_its_own_columns():
    schema_of = make_random(np.random.default_rng(1), 1).schema
    camera = ReconstructStereo(frame="camera").requires(schema_of)
    telescope = ReconstructStereo().requires(schema_of)
    assert "near/camera_frame_hillas_x" in camera
    assert "wide/hillas_fov_lon" in telescope
    assert not {name for name in camera if "hillas" in name} & set(telescope)
