"""Trimmed lines against ctapipe's objective on all reference images, and against exhaustive search."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etendue.iact.timing import timing, trimmed_line

from .images import reference_images


def fit(x, t):
    n = len(x)
    return trimmed_line(x.copy(), t.copy(), np.empty((3, n)), np.empty(n, dtype=np.int32))


def objective(x, t, line):
    """Sum of the int(0.85 n) least squared residuals of a line."""
    squared = np.sort((t - line[0] * x - line[1]) ** 2)
    return squared[: int(0.85 * len(x))].sum()


def test_never_worse_than_ctapipe_and_equal_in_the_same_minimum(shared):
    """ctapipe starts from random pairs; its result is compared with ours by what both minimise."""
    from ctapipe.fitting import lts_linear_regression

    rng = np.random.default_rng(0)
    n_images, n_same = 0, 0
    for group in reference_images(shared):
        for frame, x_name, y_name in (("camera", "x", "y"), ("telescope", "fov_lon", "fov_lat")):
            geometry, hillas = group.geometry(frame), group.data[f"params_{frame}_frame/hillas"]
            cog_x, cog_y, psi = (hillas[name][:] for name in (x_name, y_name, "psi"))
            masks, peak_times = group.data["dl1/image_mask"][:], group.data["dl1/peak_time"][:]
            for row in np.flatnonzero(np.isfinite(psi)):
                mask = masks[row]
                x = (geometry.pixel_x[mask] - cog_x[row]) * np.cos(psi[row])
                x += (geometry.pixel_y[mask] - cog_y[row]) * np.sin(psi[row])
                t = peak_times[row][mask].astype(np.float64)
                ours, theirs = fit(x, t), lts_linear_regression(x, t, samples=5, rng=rng)[0]
                if not np.isfinite(theirs[0]):
                    assert not np.isfinite(ours[0])
                    continue
                n_images += 1
                squares, their_squares = objective(x, t, ours), objective(x, t, theirs)
                assert squares == pytest.approx(ours[2], rel=1e-9, abs=1e-9)
                assert squares <= their_squares * (1 + 1e-9) + 1e-9
                # three pixels: two are kept, so that every pair has the sum zero
                if int(0.85 * len(x)) > 2 and squares >= their_squares * (1 - 1e-9) - 1e-9:
                    n_same += 1
                    scale = np.std(t) / np.std(x)
                    assert ours[0] == pytest.approx(theirs[0], rel=1e-6, abs=1e-6 * scale), group.name
    assert n_images > 240
    assert n_same > 0.8 * n_images


def stray_points(n, seed, contamination):
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 0.3, n)
    t = 20 + 8 * x + rng.normal(0, 1, n)
    stray = rng.random(n) < contamination
    t[stray] = rng.uniform(0, 40, stray.sum())
    return x, t


def least_of_all_subsets(x, t):
    least = np.inf
    for kept in combinations(range(len(x)), int(0.85 * len(x))):
        x_kept, t_kept = x[list(kept)], t[list(kept)]
        v_xx, v_xt, v_tt = (
            (a - a.mean()) @ (b - b.mean()) for a, b in ((x_kept,) * 2, (x_kept, t_kept), (t_kept,) * 2)
        )
        least = min(least, v_tt - v_xt**2 / v_xx)
    return least


@settings(deadline=None)
@given(st.integers(3, 6), st.integers(0, 2**32 - 1), st.floats(0, 0.4))
def test_global_minimum_where_one_point_is_trimmed(n, seed, contamination):
    x, t = stray_points(n, seed, contamination)
    assert fit(x, t)[2] == pytest.approx(least_of_all_subsets(x, t), rel=1e-6, abs=1e-9)


def test_global_minimum_nearly_always_where_two_points_are_trimmed():
    found = []
    for seed in range(300):
        x, t = stray_points(7 + seed % 7, seed, 0.2)
        found.append(fit(x, t)[2] <= least_of_all_subsets(x, t) * (1 + 1e-6) + 1e-9)
    assert np.mean(found) > 0.97


@pytest.mark.parametrize("n", [20, 60, 300])
def test_recovers_a_line_under_stray_points(n):
    rng = np.random.default_rng(n)
    x = rng.uniform(-1, 1, n)
    t = 3 * x + 7
    t[: n // 8] = rng.uniform(-30, 30, n // 8)
    slope, intercept, squares = fit(x, t)
    assert (slope, intercept) == pytest.approx((3, 7), rel=1e-9)
    assert squares < 1e-9


@settings(deadline=None)
@given(st.integers(6, 60), st.integers(0, 2**32 - 1), st.floats(-50, 50), st.floats(-20, 20))
def test_follows_a_change_of_the_coordinates(n, seed, offset, tilt):
    rng = np.random.default_rng(seed)
    x, t = rng.normal(0, 1, n), rng.normal(0, 1, n)
    slope, intercept, squares = fit(x, t)
    moved = fit(x, t + offset + tilt * x)
    assert moved[2] == pytest.approx(squares, rel=1e-6)
    if moved[2] == pytest.approx(squares, rel=1e-12):
        assert moved[:2] == pytest.approx((slope + tilt, intercept + offset), abs=1e-6)


@pytest.mark.parametrize(
    ("x", "t"),
    [([], []), ([1.0], [2.0]), ([1.0, 2.0], [3.0, 4.0]), ([1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0])],
)
def test_no_line_through_too_few_points(x, t):
    assert np.isnan(fit(np.array(x), np.array(t))[:2]).all()


def test_equal_times_of_many_pixels():
    """All residuals are equal, which must not make the selection slow or wrong."""
    slope, intercept, squares = fit(np.linspace(-1, 1, 2000), np.full(2000, 12.5))
    assert (slope, intercept, squares) == pytest.approx((0, 12.5, 0), abs=1e-12)


def test_missing_times_are_left_out_of_the_line_but_not_of_the_scatter():
    x = np.linspace(-1, 1, 20)
    t = 3 * x + 7
    scratch = np.empty((5, 20))
    order = np.empty(20, dtype=np.int32)
    assert timing(x, t, scratch, order) == pytest.approx((3, 7, 0), abs=1e-9)
    t[4] = np.nan
    slope, intercept, deviation = timing(x, t, scratch, order)
    assert (slope, intercept) == pytest.approx((3, 7), abs=1e-9)
    assert np.isnan(deviation)
