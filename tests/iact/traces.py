"""Synthetic traces of a small camera for tests, their images by the stages, and by definition."""

import numpy as np

from etendue.iact.calibration import Calibrate
from etendue.iact.camera import Geometry
from etendue.iact.traces import Integrate

from .images import hexagonal_camera
from .readouts import readout_partition

PIXELS = hexagonal_camera(6)
TOY = Geometry.of(PIXELS)
N_PIXELS = len(TOY.pixel_x)
#: A pulse that lies within one sample, so that the correction is 1.
SPIKE = {
    "sampling_rate": np.array([1.0, 1.0]),
    "reference_pulse_sample_width": np.array([0.25, 0.25]),
    "reference_pulse_shape": np.tile(np.repeat([0.0, 1.0, 0.0, 0.0], 4), (2, 1)),
}


def calibration_of(n, n_gains=1, **columns):
    shape = (n, n_gains, N_PIXELS)
    default = {
        "pedestal": np.full(shape, 300, dtype=np.float32),
        "dc_to_pe": np.full(shape, 0.05, dtype=np.float32),
        "time_shift": np.zeros(shape, dtype=np.float32),
        "broken": np.zeros(shape, dtype=bool),
    }
    return default | columns


def traces(n, n_samples=20, n_gains=1, seed=0):
    """Noise with a pulse in each pixel, at any sample."""
    rng = np.random.default_rng(seed)
    sample, shape = np.arange(n_samples)[:, None], (n, n_gains, 1, N_PIXELS)
    pulse = np.exp(-0.5 * ((sample - rng.uniform(0, n_samples, shape)) / 1.5) ** 2)
    counts = rng.normal(300, 5, (n, n_gains, n_samples, N_PIXELS)) + rng.exponential(200, shape) * pulse
    return np.clip(np.rint(counts), 0, 65535).astype(np.uint16)


def random_calibration(n, n_gains=1, seed=0):
    rng = np.random.default_rng(seed)
    shape = (n, n_gains, N_PIXELS)
    return calibration_of(
        n,
        n_gains,
        pedestal=rng.normal(300, 2, shape).astype(np.float32),
        dc_to_pe=rng.uniform(0.04, 0.06, shape).astype(np.float32),
        time_shift=rng.normal(0, 1, shape).astype(np.float32),
        broken=rng.random(shape) < 0.1,
    )


def run(r0, calibration=None, readout=SPIKE, evaluated=False, **options):
    """Image and peak time of raw samples, by the stages."""
    n, n_gains = r0.shape[:2]
    calibration = calibration_of(n, n_gains) if calibration is None else calibration
    partition = readout_partition({"r0_waveform": r0}, calibration, readout, PIXELS)
    partition = partition.with_columns(Calibrate()(partition))
    if evaluated:
        partition = partition.with_columns({"toycam/waveform": np.asarray(partition["toycam/waveform"])})
    made = Integrate(**options)(partition)
    return made["toycam/image"], made["toycam/peak_time"]


def plain(waveform, method="local_peak", window=7, shift=3, weight=0, broken=None):
    """Charge and time of one readout [sample, pixel], by their definition in float64."""
    waveform = waveform.astype(float)
    broken = np.zeros(N_PIXELS, bool) if broken is None else broken
    image, time = np.zeros(N_PIXELS), np.zeros(N_PIXELS)
    for pixel in range(N_PIXELS):
        sought = waveform[:, pixel]
        if method == "neighbor_peak":
            near = TOY.indices[TOY.indptr[pixel] : TOY.indptr[pixel + 1]]
            sought = weight * sought * (not broken[pixel])
            for other in near[~broken[near]]:
                sought = sought + waveform[:, other]
        peak = int(np.argmax(sought))
        s = np.arange(max(peak - shift, 0), max(min(peak - shift + window, len(waveform)), 0))
        x = waveform[s, pixel]
        image[pixel] = x.sum()
        time[pixel] = (s * x)[x > 0].sum() / x[x > 0].sum() if (x > 0).any() else peak
    return image, time
