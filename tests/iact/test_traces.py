"""Charges and times against ctapipe's, and what any window about a peak must give."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from etendue.iact.calibration import Calibrate
from etendue.iact.camera import Geometry
from etendue.iact.traces import Integrate, interpolate
from etendue.schema import SchemaError

from .images import hexagonal_camera
from .readouts import readout_partition, reference_readouts
from .traces import N_PIXELS, PIXELS, SPIKE, TOY, calibration_of, random_calibration, run, traces


def test_images_and_times_are_those_of_ctapipe(shared):
    methods = {"neighbor_peak": "NeighborPeakWindowSum", "local_peak": "LocalPeakWindowSum"}
    n_images = 0
    for group in reference_readouts(shared):
        gain_selected = (group.selected >= 0).all()
        channels = [group] if gain_selected else [group.channel(g) for g in range(group.r0.shape[1])]
        for gain, part in enumerate(channels):
            partition = part.partition()
            partition = partition.with_columns(Calibrate()(partition))
            stages = {"dl1": Integrate()} | {
                f"extract/{name}": Integrate(method=method, apply_time_shift=False, interpolate_broken=False)
                for method, name in methods.items()
                if "extract" in group.group.data
            }
            for name, stage in stages.items():
                made, expected = stage(partition), group.group.data[name]
                image, peak_time = (
                    e if e.ndim == 2 else e[:, gain] for e in (expected["image"][:], expected["peak_time"][:])
                )
                floor = 1e-5 * np.sqrt(np.mean(image**2))
                where = f"{group.group.name} {name}"
                np.testing.assert_allclose(made["toycam/image"], image, rtol=1e-5, atol=floor, err_msg=where)
                samples = 1e-4 / part.readout["sampling_rate"][0]
                np.testing.assert_allclose(
                    made["toycam/peak_time"], peak_time, rtol=0, atol=samples, err_msg=where
                )
        n_images += len(group.r0)
    assert n_images == 152


@pytest.mark.parametrize("weight", [1, 3])
def test_weight_of_the_pixel_itself_is_that_of_ctapipe(weight):
    from ctapipe.image.extractor import extract_around_peak, neighbor_average_maximum

    r0, calibration = traces(4, seed=1), random_calibration(4, seed=1)
    calibration["broken"][:] = False
    calibration["time_shift"][:] = 0
    image, time = run(r0, calibration, method="neighbor_peak", local_weight=weight)
    waveform = (r0 - calibration["pedestal"][:, :, None]) * calibration["dc_to_pe"][:, :, None]
    for row in range(4):
        turned = np.ascontiguousarray(waveform[row].transpose(0, 2, 1))
        unbroken = np.zeros((1, N_PIXELS), dtype=bool)
        peak = neighbor_average_maximum(turned, TOY.indices, TOY.indptr, weight, unbroken)
        charge, centroid = extract_around_peak(turned, peak, 7, 3, 1.0)
        np.testing.assert_allclose(image[row], charge[0], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(time[row], centroid[0], atol=1e-4)


def test_one_sample_is_the_charge():
    r0 = traces(3, n_samples=1)
    calibration = random_calibration(3)
    calibration["broken"][:] = False
    image, time = run(r0, calibration)
    np.testing.assert_array_equal(
        image, ((r0 - calibration["pedestal"][:, :, None]) * calibration["dc_to_pe"][:, :, None])[:, 0, 0]
    )
    assert (time == 0).all()


@pytest.mark.parametrize("method", ["local_peak", "neighbor_peak"])
@given(order=st.permutations(range(6)), cut=st.integers(0, 6))
@settings(max_examples=15, deadline=None)
def test_order_and_partitions_do_not_matter(method, order, cut):
    r0, calibration = traces(6, n_gains=2), random_calibration(6, n_gains=2)
    r0[2, 0, 3, :7] = 5000  # pixels in low gain
    image, time = run(r0, calibration, method=method)
    order = np.array(order)
    for rows in (order[:cut], order[cut:]):
        part = {name: column[rows] for name, column in calibration.items()}
        part_image, part_time = run(r0[rows], part, method=method)
        np.testing.assert_array_equal(part_image, image[rows])
        np.testing.assert_array_equal(part_time, time[rows])


@pytest.mark.parametrize("method", ["local_peak", "neighbor_peak"])
def test_calibrated_waveforms_give_the_same(method):
    r0, calibration = traces(3, n_gains=2), random_calibration(3, n_gains=2)
    r0[1, 0, 3, :7] = 5000
    r0.flags.writeable = False
    expected = run(r0, calibration, method=method)
    made = run(r0, calibration, method=method, evaluated=True)
    np.testing.assert_allclose(made[0], expected[0], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(made[1], expected[1], atol=1e-4)


@pytest.mark.parametrize("method", ["local_peak", "neighbor_peak"])
@pytest.mark.parametrize(
    ("column", "value", "evaluated"),
    [
        ("pedestal", np.nan, False),
        ("dc_to_pe", np.inf, False),
        ("dc_to_pe", -1, False),
        ("pedestal", np.nan, True),
        ("dc_to_pe", np.inf, True),
    ],
)
def test_pixels_without_coefficients_are_broken(method, column, value, evaluated):
    r0, calibration = traces(2), random_calibration(2)
    calibration["broken"][:] = False
    marked = {name: array.copy() for name, array in calibration.items()}
    marked["broken"][0, 0, 14] = True
    calibration[column][0, 0, 14] = value
    expected, times = run(r0, marked, method=method)
    image, peak_time = run(r0, calibration, method=method, evaluated=evaluated)
    np.testing.assert_allclose(image, expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(peak_time, times, atol=1e-4)
    image, _ = run(r0, calibration, method=method, interpolate_broken=False, evaluated=evaluated)
    assert np.isnan(image[0, 14])
    assert np.count_nonzero(np.isnan(image)) == 1


def test_pixel_with_no_gain_has_no_charge():
    r0, calibration = traces(1), calibration_of(1)
    calibration["dc_to_pe"][0, 0, 14] = 0
    image, time = run(r0, calibration, method="local_peak")
    assert (image[0, 14], time[0, 14]) == (0, 0)


def test_interpolation_is_the_mean_of_sound_neighbours():
    rng = np.random.default_rng(0)
    image, time = rng.normal(size=(2, 1, N_PIXELS)).astype(np.float32)
    broken = np.zeros((1, 1, N_PIXELS), dtype=bool)
    near = TOY.indices[TOY.indptr[14] : TOY.indptr[15]]
    broken[0, 0, [14, near[0]]] = True
    corner = TOY.indices[TOY.indptr[0] : TOY.indptr[1]]
    broken[0, 0, [0, *corner]] = True  # pixel 0 has no sound neighbour
    sound = near[~broken[0, 0, near]]
    expected = image[0, sound].astype(float).mean(), time[0, sound].astype(float).mean()
    others = ~broken[0, 0]
    before = image.copy()
    channel, row = np.zeros((1, N_PIXELS), dtype=np.uint8), np.zeros(1, dtype=np.int64)
    interpolate(image, time, channel, row, broken, TOY.indptr, TOY.indices)
    np.testing.assert_allclose((image[0, 14], time[0, 14]), expected, rtol=1e-6)
    assert (image[0, 0], time[0, 0]) == (0, 0)
    np.testing.assert_array_equal(image[0, others], before[0, others])


def test_correction_and_time_follow_each_pixels_gain_channel():
    readout = {
        "sampling_rate": np.array([2.0, 2.0]),
        "reference_pulse_sample_width": np.array([0.5, 0.5]),
        "reference_pulse_shape": np.array([[0, 1, 0, 0, 0, 0, 0, 0.0], [0, 1, 1, 1, 1, 0, 0, 0]]),
    }
    r0 = np.full((1, 2, 10, N_PIXELS), 300, dtype=np.uint16)
    r0[0, :, 4, 3] = 500
    r0[0, 0, 4, 5], r0[0, 1, 4, 5] = 4500, 600
    calibration = calibration_of(1, 2)
    calibration["time_shift"][0, :, 3] = 0.75, 100
    calibration["time_shift"][0, :, 5] = 100, -0.5
    image, time = run(r0, calibration, readout, method="local_peak", window=2, shift=0)
    np.testing.assert_allclose(image[0, [3, 5]], [200 * 0.05, 300 * 0.05 * 2], rtol=1e-6)
    np.testing.assert_allclose(time[0, [3, 5]], [4 / 2 - 0.75, 4 / 2 + 0.5], rtol=1e-6)
    _, time = run(r0, calibration, readout, method="local_peak", apply_time_shift=False)
    np.testing.assert_allclose(time[0, [3, 5]], 2, rtol=1e-6)
    image, _ = run(r0, calibration, readout, method="local_peak", window=2, shift=0, correct=False)
    np.testing.assert_allclose(image[0, [3, 5]], [200 * 0.05, 300 * 0.05], rtol=1e-6)


def test_windows_differ_by_telescope():
    r0 = traces(2)
    partition = readout_partition({"r0_waveform": r0}, calibration_of(2), SPIKE, PIXELS)
    partition.tables["toycam"]["tel_id"][1] = 2
    partition.conditions["calibration/toycam"]["tel_id"][1] = 2
    partition = partition.with_columns(Calibrate()(partition))
    window, shift = {"LST": 5, "MST": 9}, {"*": 2, "tel 2": 4}
    made = Integrate(window=window, shift=shift)(partition)
    for row, (w, s) in enumerate([(5, 2), (9, 4)]):
        expected, _ = run(r0[row : row + 1], window=w, shift=s)
        np.testing.assert_array_equal(made["toycam/image"][row], expected[0])


@pytest.mark.parametrize("n_pixels", [7, 8, 16, 17, 31])
def test_cameras_of_few_pixels(n_pixels):
    """As many pixels as lanes or less: a part of a camera, integrated by each pixel's own peak."""
    r0, calibration = traces(3, n_gains=2), random_calibration(3, n_gains=2)
    r0[1, 0, 3, 2] = 5000
    expected, times = run(r0, calibration, method="local_peak", interpolate_broken=False)
    part = {name: np.ascontiguousarray(column[..., :n_pixels]) for name, column in calibration.items()}
    partition = readout_partition(
        {"r0_waveform": np.ascontiguousarray(r0[..., :n_pixels])}, part, SPIKE, PIXELS
    )
    partition = partition.with_columns(Calibrate()(partition))
    made = Integrate(method="local_peak", interpolate_broken=False)(partition)
    np.testing.assert_array_equal(made["toycam/image"], expected[:, :n_pixels])
    np.testing.assert_array_equal(made["toycam/peak_time"], times[:, :n_pixels])


def test_neighbours_in_a_camera_of_nine_pixels():
    pixels = hexagonal_camera(3)
    geometry = Geometry.of(pixels)
    r0 = traces(2)[..., :9].copy()
    calibration = {name: column[..., :9].copy() for name, column in calibration_of(2).items()}
    calibration["dc_to_pe"][:] = 1 / 16  # so that no sums differ by rounding alone
    partition = readout_partition({"r0_waveform": r0}, calibration, SPIKE, pixels)
    partition = partition.with_columns(Calibrate()(partition))
    image = Integrate(correct=False)(partition)["toycam/image"]
    waveform = (r0[:, 0].astype(float) - 300) / 16
    for pixel in range(9):
        near = geometry.indices[geometry.indptr[pixel] : geometry.indptr[pixel + 1]]
        peak = waveform[:, :, near].sum(axis=2).argmax(axis=1)
        for row in range(2):
            window = waveform[row, max(peak[row] - 3, 0) : peak[row] + 4, pixel]
            assert image[row, pixel] == pytest.approx(window.sum(), rel=1e-5, abs=1e-4)


def test_no_readouts():
    for method in ("local_peak", "neighbor_peak"):
        image, time = run(traces(0), calibration_of(0), method=method)
        assert image.shape == time.shape == (0, N_PIXELS)


def test_errors_say_what_is_wrong():
    partition = readout_partition({"r0_waveform": traces(1)}, calibration_of(1), SPIKE, PIXELS)
    partition = partition.with_columns(Calibrate()(partition))
    del partition.conditions["readout/toycam"]
    with pytest.raises(SchemaError, match="no table 'readout/toycam'"):
        Integrate()(partition)
    with pytest.raises(ValidationError, match="greater than 0"):
        Integrate(window=0)
