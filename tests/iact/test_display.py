"""Pictures: that shapes are where the geometry says, and that figures hold what they should."""

import matplotlib as mpl
import numpy as np
import pytest
from eventio import SimTelFile
from hypothesis import given, settings
from hypothesis import strategies as st

from etendue.iact import display
from etendue.iact.camera import Geometry
from etendue.iact.display.events import axis_on_ground
from etendue.iact.stereo import ReconstructStereo

from .stereo_partitions import LABEL, random_readouts, reconstruct, split_by_camera


@pytest.fixture(autouse=True)
def off_screen():
    """Draw without a screen, and forget the figures."""
    import matplotlib.pyplot as plt

    with mpl.rc_context():
        plt.switch_backend("agg")
        yield
        plt.close("all")


def square_grid(n):
    x, y = (a.ravel().astype(float) for a in np.meshgrid(np.arange(n), np.arange(n)))
    return {"pixel_x": x, "pixel_y": y, "pixel_area": np.ones(n * n), "pixel_shape": np.full(n * n, 2)}


def hexagonal_grid(n, turn=0.0):
    column, row = np.meshgrid(np.arange(n), np.arange(n))
    x, y = (column + 0.5 * (row % 2)).ravel(), (row * np.sqrt(3) / 2).ravel()
    cos, sin, area = np.cos(turn), np.sin(turn), np.full(n * n, np.sqrt(3) / 2)
    return {
        "pixel_x": cos * x - sin * y,
        "pixel_y": sin * x + cos * y,
        "pixel_area": area,
        "pixel_shape": np.ones(n * n, dtype=int),
    }


def area_of(polygons):
    """Shoelace formula."""
    x, y = polygons[..., 0], polygons[..., 1]
    return 0.5 * np.sum(x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1), axis=1)


def collection(ax, kind):
    (found,) = [c for c in ax.collections if type(c).__name__ == kind]
    return found


# --- shapes


def test_pixels_are_drawn_as_in_ctapipe(shared):
    """Corners and areas, for hexagons and squares of real cameras."""
    import astropy.units as u
    from ctapipe.instrument import CameraGeometry
    from ctapipe.visualization import CameraDisplay

    path = shared / "data/simtel/ctapipe-extra__calib_events.simtel.gz"
    with SimTelFile(path) as file:
        cameras = [d["camera_settings"] for d in file.telescope_descriptions.values()]
    assert len(cameras) == 7
    for raw in cameras:
        rotation = -np.rad2deg(raw["cam_rot"])
        geometry = Geometry.of(raw, "camera", camera_rotation=rotation)
        polygons = display.pixel_polygons(geometry)
        np.testing.assert_allclose(area_of(polygons), geometry.pixel_area, rtol=1e-6)
        shape, pix_rotation = CameraGeometry.simtel_shape_to_type(raw["pixel_shape"][0])
        patches = CameraDisplay.create_patches(
            shape, geometry.pixel_x, geometry.pixel_y, geometry.pixel_width, pix_rotation - rotation * u.deg
        )
        for polygon, patch in zip(polygons[::100], patches[::100], strict=True):
            corners = patch.get_transform().transform(patch.get_path().vertices)[: len(polygon)]
            distance = np.hypot(*(polygon[:, None] - corners[None]).T).min(axis=0)
            assert distance.max() < 1e-3 * geometry.pixel_width[0]


def test_circles_are_round():
    columns = hexagonal_grid(5) | {
        "pixel_area": np.full(25, np.pi / 4),
        "pixel_shape": np.zeros(25, dtype=int),
    }
    polygons = display.pixel_polygons(Geometry.of(columns))
    assert polygons.shape == (25, 24, 2)
    centres = np.stack([columns["pixel_x"], columns["pixel_y"]], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(polygons - centres[:, None], axis=-1), 0.5, rtol=0.01)


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1), turn=st.floats(-3, 3))
@settings(deadline=None, max_examples=40)
@pytest.mark.parametrize("grid", ["square", "hexagonal"])
def test_the_outline_is_the_edges_of_one_masked_pixel_only(grid, seed, share, turn):
    columns = square_grid(7) if grid == "square" else hexagonal_grid(7, turn)
    geometry = Geometry.of(columns)
    mask = np.random.default_rng(seed).random(49) < share
    polygons = display.pixel_polygons(geometry)[mask]
    edges = np.stack([polygons, np.roll(polygons, -1, axis=1)], axis=2).reshape(-1, 2, 2)
    # an edge of two masked pixels is there twice, with its ends exchanged
    middle, n_times = np.unique(np.round(edges.mean(axis=1), 6) + 0.0, axis=0, return_counts=True)
    expected = middle[n_times == 1]
    found = np.round(display.outline(geometry, mask).mean(axis=1), 6) + 0.0
    np.testing.assert_allclose(
        found[np.lexsort(found.T[::-1])], expected[np.lexsort(expected.T[::-1])], atol=2e-6
    )


def test_outlines_of_nothing_one_pixel_and_everything():
    geometry = Geometry.of(square_grid(4))
    assert display.outline(geometry, np.zeros(16, dtype=bool)).shape == (0, 2, 2)
    assert len(display.outline(geometry, np.arange(16) == 5)) == 4
    assert len(display.outline(geometry, np.ones(16, dtype=bool))) == 16


# --- one camera, one waveform


HILLAS = {"fov_lon": 3.0, "fov_lat": 2.5, "length": 1.2, "width": 0.4, "psi": 35.0}


def test_the_ellipse_ends_at_length_along_psi():
    ax = display.camera_image(Geometry.of(hexagonal_grid(9)), np.zeros(81), hillas=HILLAS)
    (ellipse,) = ax.patches
    points = ellipse.get_patch_transform().transform(ellipse.get_path().interpolated(50).vertices)
    offset = points - [HILLAS["fov_lon"], HILLAS["fov_lat"]]
    along = np.array([np.cos(np.deg2rad(35)), np.sin(np.deg2rad(35))])
    across = np.array([-along[1], along[0]])
    np.testing.assert_allclose([(offset @ along).max(), (offset @ along).min()], [1.2, -1.2], rtol=1e-3)
    np.testing.assert_allclose([(offset @ across).max(), (offset @ across).min()], [0.4, -0.4], rtol=1e-3)
    (axis,) = ax.lines
    start, end = np.transpose(axis.get_data())
    np.testing.assert_allclose(start + end, [2 * 3.0, 2 * 2.5], atol=1e-12)
    np.testing.assert_allclose(np.cross([*(end - start), 0], [*along, 0])[2], 0, atol=1e-12)


def test_a_camera_image_holds_what_was_given():
    geometry = Geometry.of(hexagonal_grid(9))
    values = np.arange(81.0)
    values[7] = np.nan
    mask = values > 60
    ax = display.camera_image(
        geometry, values, mask=mask, reconstructed=(1.0, 2.0), true=(3.0, 4.0), title="LST 1", units="pe"
    )
    pixels = collection(ax, "PolyCollection")
    assert len(pixels.get_paths()) == 81
    np.testing.assert_array_equal(pixels.get_array().mask, np.isnan(values))
    np.testing.assert_array_equal(pixels.get_array().compressed(), values[np.isfinite(values)])
    assert len(collection(ax, "LineCollection").get_segments()) == len(display.outline(geometry, mask))
    marks = {line.get_label(): np.ravel(line.get_data()).tolist() for line in ax.lines}
    assert marks == {"simulated": [3.0, 4.0], "reconstructed": [1.0, 2.0]}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("fov_lon [deg]", "fov_lat [deg]")
    assert ax.get_title() == "LST 1"
    assert ax.figure.axes[1].get_title(loc="left") == "pe"
    assert ax.get_aspect() == 1
    (low, high), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    corners = display.pixel_polygons(geometry)
    assert (corners.min(axis=(0, 1)) > [low, bottom]).all()
    assert (corners.max(axis=(0, 1)) < [high, top]).all()


def test_what_is_unknown_is_not_drawn():
    ax = display.camera_image(
        Geometry.of(square_grid(5)),
        np.full(25, np.nan),
        hillas=HILLAS | {"psi": np.nan},
        reconstructed=(np.nan, np.nan),
        frame="camera",
    )
    assert not ax.patches
    assert not ax.lines
    assert ax.get_xlabel() == "x [m]"
    ax.figure.canvas.draw()


def test_a_waveform_has_its_samples_and_marks():
    samples = np.array([0.0, 1.0, 5.0, 2.0])
    ax = display.waveform(np.arange(4) * 2.0, samples, peak_time=4.5, window=(2.0, 6.0), units="adu")
    steps = next(p for p in ax.patches if type(p).__name__ == "StepPatch")
    np.testing.assert_array_equal(steps.get_data().values, samples)
    np.testing.assert_array_equal(steps.get_data().edges, [0, 2, 4, 6, 8])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["window", "peak time"]
    assert ax.get_ylabel() == "signal [adu]"


# --- the array from above


def test_north_is_up_and_west_is_left():
    positions = np.array([[100.0, 0.0, 5.0], [0.0, 50.0, 6.0], [-30.0, -40.0, 7.0]])
    ax = display.array_view(
        positions, names=["north", "west", "east"], triggered=np.array([True, True, False]),
        sizes=np.array([10.0, 40.0, 0.0]), core=(10.0, 20.0), uncertainty=15.0, true_core=(500.0, -20.0),
        lines=np.array([[0.0, 0.0, 1.0, 1.0]]),
    )  # fmt: skip
    dark, lit = ax.collections
    np.testing.assert_array_equal(dark.get_offsets(), [[40.0, -30.0]])
    np.testing.assert_array_equal(lit.get_offsets(), [[0.0, 100.0], [-50.0, 0.0]])
    assert lit.get_sizes()[0] < lit.get_sizes()[1]
    assert [text.get_text() for text in ax.texts] == ["north", "west", "east"]
    marks = {line.get_label(): np.ravel(line.get_data()).tolist() for line in ax.lines}
    assert marks["reconstructed"] == [-20.0, 10.0]
    assert marks["simulated"] == [20.0, 500.0]
    (circle,) = ax.patches
    assert (circle.center, circle.radius) == ((-20.0, 10.0), 15.0)
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert left < -50 < 40 < right
    assert bottom < -30 < 500 < top
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("east [m]", "north [m]")


def test_two_axes_on_the_ground_meet_at_the_impact_point():
    events, columns = random_readouts(np.random.default_rng(4), 20, tel_ids=(3, 12))
    partition = split_by_camera(events, columns)
    result, made = reconstruct(partition)
    array = partition.conditions["array"]
    positions = np.stack([array["pos_x"], array["pos_y"], array["pos_z"]], axis=-1)
    assert np.count_nonzero(result["is_valid"]) > 5
    for event in np.flatnonzero(result["is_valid"]):
        core = np.array([result["core_x"][event], result["core_y"][event]])
        for label in ("near", "wide"):
            row = np.flatnonzero(partition.owners(label) == event)[0]
            where = positions[array["tel_id"] == partition.tables[label]["tel_id"][row]][0]
            pointing = events["array_altitude"][event], events["array_azimuth"][event]
            line = axis_on_ground(where, made[f"{label}/core_psi"][row], *pointing)
            across = np.cross([*(core - line[:2]), 0], [*line[2:], 0])[2] / np.hypot(*line[2:])
            assert abs(across) < 1e-7 * (1 + np.hypot(*core))


# --- an event


def make_event(reconstructed=True):
    """Random images of a few events, with charges in the pixels."""
    events, columns = random_readouts(np.random.default_rng(8), 3)
    partition = split_by_camera(events, columns)
    if reconstructed:
        partition = partition.with_columns(ReconstructStereo()(partition))
    tables = {name: dict(table) for name, table in (partition.conditions | partition.tables).items()}
    tables["events"] |= {"event_id": np.array([11, 12, 13]), "obs_id": np.array([5, 5, 5])}
    tables["events"] |= {"true_alt": events["array_altitude"], "true_az": events["array_azimuth"]}
    tables["events"] |= {"true_core_x": np.full(3, 30.0), "true_core_y": np.full(3, -60.0)}
    tables["array"]["type"] = np.array(["LST"] * len(LABEL))
    rng = np.random.default_rng(0)
    for label in set(LABEL.values()):
        n_readouts = len(tables[label]["tel_id"])
        tables[label]["image"] = rng.poisson(2, (n_readouts, 441)).astype(np.float32)
        tables[label]["image_mask"] = tables[label]["image"] > 5
        tables[f"optics/{label}"]["type"] = np.array(["LST"])
    return tables


def as_tree(tables):
    import xarray as xr

    def dataset(name, columns):
        rows = f"{name}_row"
        return xr.Dataset(
            {n: ((rows, *(f"{n}_{k}" for k in range(1, np.ndim(c)))), c) for n, c in columns.items()}
        )

    return xr.DataTree.from_dict({f"/{name}": dataset(name, columns) for name, columns in tables.items()})


@pytest.mark.parametrize("door", [dict, as_tree])
def test_an_event_shows_its_images_and_the_array(door):
    tables = make_event()
    figure = display.event(door(tables), 12)
    figure.canvas.draw()
    images = [ax for ax in figure.axes if any(type(c).__name__ == "PolyCollection" for c in ax.collections)]
    n_images = tables["events"]["n_near"][1] + tables["events"]["n_wide"][1]
    assert len(images) == n_images
    assert len(figure.axes) == 2 * n_images + 2  # with their colour bars; the array, the numbers
    first = tables["events"]["n_near"][0]
    of_event = slice(first, first + tables["events"]["n_near"][1])
    for tel_id, image in zip(
        tables["near"]["tel_id"][of_event], tables["near"]["image"][of_event], strict=True
    ):
        (ax,) = [ax for ax in images if ax.get_title().startswith(f"LST {tel_id}:")]
        np.testing.assert_array_equal(collection(ax, "PolyCollection").get_array(), image)
        assert {"simulated", "reconstructed"} <= {line.get_label() for line in ax.lines}
        simulated = next(line for line in ax.lines if line.get_label() == "simulated")
        np.testing.assert_allclose(simulated.get_data(), 0, atol=1e-12)  # it points at the shower
    (array,) = [ax for ax in figure.axes if ax.get_xlabel() == "east [m]"]
    assert sorted(text.get_text() for text in array.texts) == sorted(f"LST {i}" for i in LABEL)
    assert figure.get_suptitle() == "run 5, event 12"
    written = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert f"{tables['events']['HillasReconstructor_alt'][1]:.3f}" in written


def test_an_event_without_reconstruction_has_its_images():
    tables = make_event(reconstructed=False)
    for label in set(LABEL.values()):
        for name in [n for n in tables[label] if n.startswith(("hillas", "image_mask"))]:
            del tables[label][name]
    figure = display.event(tables, 11)
    figure.canvas.draw()
    assert not [
        line
        for ax in figure.axes
        for line in ax.lines
        if line.get_label() == "reconstructed" and ax.get_xlabel()
    ]


def test_of_many_images_the_brightest_are_shown(monkeypatch):
    monkeypatch.setattr("etendue.iact.display.events.MOST_IMAGES", 2)
    tables = make_event()
    figure = display.event(tables, 12)
    n_images = tables["events"]["n_near"][1] + tables["events"]["n_wide"][1]
    assert figure.get_suptitle() == f"run 5, event 12 (2 brightest of {n_images} images)"
    charges = np.concatenate([
        tables[label]["hillas_intensity"][np.repeat([0, 1, 2], tables["events"][f"n_{label}"]) == 1]
        for label in ("near", "wide")
    ])  # fmt: skip
    titles = {ax.get_title().partition(": ")[2] for ax in figure.axes if ": " in ax.get_title()}
    assert titles == {f"{charge:,.0f} pe" for charge in np.sort(charges)[-2:]}


def test_unknown_and_ambiguous_events_are_refused():
    tables = make_event()
    with pytest.raises(ValueError, match=r"no event with event_id 99; .* \[13, 12, 11\]"):
        display.event(tables, 99)
    with pytest.raises(ValueError, match="no event with event_id 12, obs_id 6"):
        display.event(tables, 12, 6)
    tables["events"]["event_id"][:] = 7
    tables["events"]["obs_id"][:] = [1, 1, 3]
    tables["events"]["run"][:] = [0, 1, 2]
    tables["array"]["run"][:] = 1
    with pytest.raises(ValueError, match=r"3 events have event_id 7; .*\[1, 1, 3\].*\[0, 1, 2\]"):
        display.event(tables, 7)
    with pytest.raises(ValueError, match="2 events have event_id 7, obs_id 1"):
        display.event(tables, 7, obs_id=1)
    assert display.event(tables, 7, run=1).get_suptitle() == "run 1, event 7"


# --- many events


def test_theta_squared_counts():
    on, off = np.array([0.001, 0.004, 0.012, 0.2, 9.0]), np.array([0.005, 0.015, 0.1])
    ax = display.theta_squared(on, off, alpha=0.5, cut=0.01, maximum=0.3, n_bins=30)
    assert ax.get_title() == "N on = 2,  α N off = 0.5"
    background = ax.patches[0].get_data().values
    assert background.sum() == pytest.approx(1.5)
    assert background[0] == pytest.approx(0.5)
    points = ax.containers[-1].lines[0].get_ydata()
    assert points.sum() == 4
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("θ² [deg²]", "events per 0.01 deg²")


def test_distributions_compare_the_columns_that_there_are():
    rng = np.random.default_rng(1)
    samples = {
        name: {
            "hillas_intensity": rng.lognormal(5, 2, 1000),
            "hillas_width": np.append(rng.normal(0.1, 0.02, 999), np.nan),
            "morphology_n_islands": rng.integers(1, 5, 1000),
        }
        for name in ("gamma", "proton")
    }
    figure = display.distributions(samples)
    panels = [ax for ax in figure.axes if ax.get_xlabel()]
    assert [ax.get_xlabel() for ax in panels] == ["intensity [pe]", "width [deg]", "islands"]
    assert [ax.get_xscale() for ax in panels] == ["log", "linear", "linear"]
    for ax in panels:
        assert len(ax.patches) == 4
        assert 0.98 <= ax.patches[0].get_data().values.sum() <= 1 + 1e-12
    np.testing.assert_allclose(panels[2].patches[0].get_data().edges, [0.5, 1.5, 2.5, 3.5, 4.5])
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["gamma", "proton"]
    with pytest.raises(ValueError, match="no sample has any"):
        display.distributions(samples, {"absent": "absent"})


def test_weights_scale_the_shares():
    samples = {"gamma": {"hillas_width": np.array([0.1, 0.1, 0.3, 0.3])}}
    figure = display.distributions(samples, weights={"gamma": np.array([1.0, 2.0, 0.5, 0.5])}, n_bins=2)
    np.testing.assert_allclose(figure.axes[0].patches[0].get_data().values, [0.75, 0.25])
