"""Charges and centroids in windows about peaks: by their definition, and whatever the numbers."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from etendue.iact.pulses import integration_correction

from .traces import N_PIXELS, calibration_of, plain, random_calibration, run, traces


@pytest.mark.parametrize("method", ["local_peak", "neighbor_peak"])
@given(
    n_samples=st.integers(2, 33),
    amplitude=st.sampled_from([1, 3, 50]),
    window=st.integers(1, 12),
    shift=st.integers(-3, 6),
    weight=st.integers(0, 2),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_definition(method, n_samples, amplitude, window, shift, weight, seed):
    """Small counts and equal gains, so that many samples are equally large: the first of them is taken."""
    rng = np.random.default_rng(seed)
    r0 = rng.integers(300 - amplitude, 300 + amplitude, (2, 1, n_samples, N_PIXELS)).astype(np.uint16)
    calibration = calibration_of(2, broken=rng.random((2, 1, N_PIXELS)) < 0.2)
    calibration["dc_to_pe"][:] = 0.25  # so that sums are exact in float64
    options = {"method": method, "window": window, "shift": shift, "local_weight": weight}
    image, time = run(r0, calibration, interpolate_broken=False, correct=False, **options)
    for row in range(2):
        waveform = (r0[row, 0].astype(float) - 300) * 0.25
        expected = plain(waveform, method, window, shift, weight, calibration["broken"][row, 0])
        np.testing.assert_allclose(image[row], expected[0], rtol=1e-6, atol=1e-5)
        np.testing.assert_allclose(time[row], expected[1], rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("at", [0, 1, 2, 3, 10, 16, 17, 18, 19])
@pytest.mark.parametrize(("window", "shift"), [(7, 3), (5, 0), (4, 6), (3, -1)])
def test_spike_on_a_step_gives_the_truncated_window(at, window, shift):
    r0 = np.full((1, 1, 20, N_PIXELS), 310, dtype=np.uint16)
    r0[0, 0, at] = 400
    start, stop = max(at - shift, 0), min(max(at - shift + window, 0), 20)
    n = max(stop - start, 0)
    expected = 0.05 * (10 * n + 90 * (start <= at < stop))
    for method in ("local_peak", "neighbor_peak"):
        image, _ = run(r0, method=method, window=window, shift=shift)
        np.testing.assert_allclose(image, expected, rtol=1e-6)


@pytest.mark.parametrize("method", ["local_peak", "neighbor_peak"])
@pytest.mark.parametrize("counts", [300, 200, 420])
def test_flat_traces_have_their_peak_at_the_first_sample(counts, method):
    image, time = run(np.full((1, 1, 20, N_PIXELS), counts, dtype=np.uint16), method=method)
    np.testing.assert_allclose(image, (counts - 300) * 0.05 * 4, rtol=1e-6)  # samples 0 to 3
    np.testing.assert_allclose(time, 1.5 if counts > 300 else 0, rtol=1e-6)


def test_light_elsewhere_does_not_change_a_pixel():
    """Sums of a faint readout are made in 16 bits, those of one with a bright pixel in float32."""
    faint, calibration = traces(4), random_calibration(4)
    bright = faint.copy()
    bright[:, 0, 5, 3] = 65535
    expected, times = run(faint, calibration, method="local_peak", interpolate_broken=False)
    image, time = run(bright, calibration, method="local_peak", interpolate_broken=False)
    others = np.arange(N_PIXELS) != 3
    np.testing.assert_array_equal(image[:, others], expected[:, others])
    np.testing.assert_array_equal(time[:, others], times[:, others])
    assert (image[:, 3] > 2000).all()


@pytest.mark.parametrize("method", ["local_peak", "neighbor_peak"])
@pytest.mark.parametrize(
    ("pedestal", "counts", "window", "shift"),
    [
        (300, 65535, 7, 3),
        (300, 65535, 60, 30),
        (-0.5, 40, 7, 3),
        (-1e6, 40, 7, 3),
        (60000.25, 65535, 7, 3),
        (300, 4000, 40000, 20000),
        (300, 4000, 7, 50000),
        (300, 4000, 7, -50000),
    ],
)
def test_extremes_are_as_defined(method, pedestal, counts, window, shift):
    rng = np.random.default_rng(1)
    r0 = rng.integers(0, counts, (1, 1, 64, N_PIXELS), endpoint=True).astype(np.uint16)
    calibration = calibration_of(1)
    calibration["pedestal"][:] = pedestal
    calibration["dc_to_pe"][:] = 1 / 16  # so that no sums differ by rounding alone
    image, time = run(r0, calibration, method=method, window=window, shift=shift, correct=False)
    expected = plain((r0[0, 0] - np.float64(pedestal)) / 16, method, window, shift)
    np.testing.assert_allclose(image[0], expected[0], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(time[0], expected[1], atol=1e-4)


@given(
    width=st.integers(1, 40),
    shift=st.integers(-2, 10),
    pulse_step=st.sampled_from([0.1, 0.25, 0.2, 0.5, 1.0]),
    rate=st.sampled_from([0.25, 0.5, 1.0, 1.024, 2.0]),
    n=st.integers(30, 250),
    seed=st.integers(0, 50),
)
@settings(max_examples=100, deadline=None)
def test_correction_is_that_of_ctapipe(width, shift, pulse_step, rate, n, seed):
    from ctapipe.image.extractor import integration_correction as reference

    rng = np.random.default_rng(seed)
    time = np.arange(n) * pulse_step
    pulse = np.exp(-0.5 * ((time - rng.uniform(2, 12, (2, 1))) / rng.uniform(1, 3, (2, 1))) ** 2)
    assume(n * pulse_step > 2 / rate)  # ctapipe cannot make a histogram without a whole sample,
    assume(len(np.arange(0, n * pulse_step, pulse_step)) == n)  # or where rounding adds a sample
    with np.errstate(divide="ignore"):
        expected = reference(pulse, pulse_step, 1 / rate, width, shift)
    expected[np.isinf(expected)] = 1  # the window misses the pulse
    assume(expected.max() < 1e5)  # a window with less holds what is left of differences of running sums
    np.testing.assert_allclose(
        integration_correction(pulse, pulse_step, 1 / rate, width, shift), expected, rtol=1e-9
    )
