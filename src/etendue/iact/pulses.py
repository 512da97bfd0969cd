"""Charge and arrival time of a pulse: sums over a window of samples about its peak.

All samples are read and masked, since a gather of the windows takes longer; everything of one readout stays
in the core's cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from etendue.iact.calibration import select_samples, take_channel
from etendue.iact.peaks import local_peak, neighbour_peak
from etendue.kernel import kernel


class Coefficients(NamedTuple):
    """Calibration of the pixels of one camera, each (n_rows, n_gains, n_pixels); made by `Coefficients.of`.

    Parameters
    ----------
    pedestal : float32 array
        Baseline [adu].
    dc_to_pe : float32 array
        Photo-electrons a count; NaN in pixels that cannot be calibrated.
    time_shift : float32 array
        Nanoseconds, to be subtracted from the peak time.
    broken : bool array
        Pixels that no other pixel's peak is sought in, and which are interpolated.
    limits : float32 array, shape (n_rows, 2)
        Greatest absolute pedestal and greatest dc_to_pe of the pixels that are not broken.
    """

    pedestal: np.ndarray
    dc_to_pe: np.ndarray
    time_shift: np.ndarray
    broken: np.ndarray
    limits: np.ndarray

    @staticmethod
    def of(
        pedestal: np.ndarray, dc_to_pe: np.ndarray, time_shift: np.ndarray, broken: np.ndarray
    ) -> Coefficients:
        """Coefficients in which pixels with a pedestal or dc_to_pe that makes no sense are broken."""
        usable = np.isfinite(pedestal) & np.isfinite(dc_to_pe) & (dc_to_pe >= 0)
        broken = broken | ~usable
        limits = [
            np.max(np.where(broken, 0, np.abs(array)), axis=(1, 2), initial=0)
            for array in (pedestal, dc_to_pe)
        ]
        factor = np.where(usable, dc_to_pe, np.float32(np.nan))
        return Coefficients(pedestal, factor, time_shift, broken, np.stack(limits, axis=1))


class Windows(NamedTuple):
    """How the pulses of each readout are integrated.

    Parameters
    ----------
    width, shift : int64 array, shape (n_readouts,)
        The window is [peak - shift, peak - shift + width), in samples.
    local_weight : int64 array, shape (n_readouts,)
        How many times a pixel itself counts in the sum over its neighbours.
    correction : float32 array, shape (n_readouts, n_gains)
        Factor of the charge, see `integration_correction`.
    """

    width: np.ndarray
    shift: np.ndarray
    local_weight: np.ndarray
    correction: np.ndarray


@kernel
def _add_sample(
    charge: float, weight: float, moment: float, value: float, sample: float, inside: bool
) -> tuple[float, float, float]:
    value = value if inside else np.float32(0)
    positive = max(value, np.float32(0))
    return charge + value, weight + positive, moment + positive * sample


@kernel
def sum_window(
    samples: np.ndarray,
    pedestal: np.ndarray,
    peak: np.ndarray,
    width: int,
    shift: int,
    charge: np.ndarray,
    weight: np.ndarray,
    moment: np.ndarray,
) -> None:
    """Sums over the window [peak - shift, peak - shift + width), cut at the ends of the trace.

    With x_s = samples - pedestal: charge = sum(x_s), weight = sum(max(x_s, 0)) and
    moment = sum(s max(x_s, 0)), so that moment / weight is the centroid of the positive samples.

    Parameters
    ----------
    samples : uint16 or float32 array, shape (n_samples, n_pixels)
        Samples.
    pedestal : float32 array, shape (n_pixels,)
        Baseline.
    peak : int16 array, shape (n_pixels,)
        Sample that the window is set to.
    width, shift : int
        Length of the window, and how far it starts before the peak, in samples.
    charge, weight, moment : float32 array, shape (n_pixels,)
        The results.
    """
    n_samples = samples.shape[0]
    last = n_samples - 1
    start = np.empty(peak.size, dtype=np.int16)
    length = np.empty(peak.size, dtype=np.uint16)
    for pixel in range(peak.size):
        first = min(max(peak[pixel] - shift, 0), n_samples)
        start[pixel] = first
        length[pixel] = max(min(peak[pixel] - shift + width, n_samples) - first, 0)
        charge[pixel] = weight[pixel] = moment[pixel] = 0
    for s in range(0, n_samples, 4):
        row_0, row_1 = samples[s], samples[min(s + 1, last)]
        row_2, row_3 = samples[min(s + 2, last)], samples[min(s + 3, last)]
        s_0, s_1, s_2, s_3 = np.int16(s), np.int16(s + 1), np.int16(s + 2), np.int16(s + 3)
        f_0, f_1, f_2, f_3 = np.float32(s), np.float32(s + 1), np.float32(s + 2), np.float32(s + 3)
        for pixel in range(peak.size):
            q, w, m = charge[pixel], weight[pixel], moment[pixel]
            first, n, base = start[pixel], length[pixel], pedestal[pixel]
            # One comparison for both ends: before the window the unsigned difference is large.
            q, w, m = _add_sample(q, w, m, np.float32(row_0[pixel]) - base, f_0, np.uint16(s_0 - first) < n)
            q, w, m = _add_sample(q, w, m, np.float32(row_1[pixel]) - base, f_1, np.uint16(s_1 - first) < n)
            q, w, m = _add_sample(q, w, m, np.float32(row_2[pixel]) - base, f_2, np.uint16(s_2 - first) < n)
            q, w, m = _add_sample(q, w, m, np.float32(row_3[pixel]) - base, f_3, np.uint16(s_3 - first) < n)
            charge[pixel], weight[pixel], moment[pixel] = q, w, m


@kernel
def integrate(
    r0: np.ndarray,
    channel: np.ndarray,
    row: np.ndarray,
    coefficients: Coefficients,
    windows: Windows,
    neighbours: np.ndarray,
    sampling_rate: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Charge and arrival time of the pulse in a window about each pixel's peak.

    With x_s = (r0_s - pedestal) * dc_to_pe at sample s: charge = correction * sum(x_s) and
    time = sum(s x_s) / sum(x_s) / sampling_rate - time_shift, the latter over positive x_s only; where
    there are none, s is the peak.

    Parameters
    ----------
    r0 : uint16 or float32 array, shape (n_readouts, n_gains, n_samples, n_pixels)
        Samples.
    channel : uint8 array, shape (n_readouts, n_pixels)
        Gain channel of each pixel.
    row : int64 array, shape (n_readouts,)
        Row of the coefficients that holds for each readout.
    coefficients : Coefficients
        Calibration.
    windows : Windows
        Windows of each readout.
    neighbours : uint32 array, shape (n_pixels, 6) or (0, 6)
        As made by `neighbour_table`; empty for the peak of the pixel's own samples.
    sampling_rate : float
        Samples a nanosecond.

    Returns
    -------
    charge : float32 array, shape (n_readouts, n_pixels)
        Photo-electrons; NaN where dc_to_pe is.
    time : float32 array, shape (n_readouts, n_pixels)
        Nanoseconds.

    Notes
    -----
    A pixel's own peak is at sample 0 where dc_to_pe is 0 or NaN, as in a trace of zeros.
    """
    n_readouts, n_gains, n_samples, n_pixels = r0.shape
    by_neighbours = neighbours.shape[0] > 0
    charge = np.empty((n_readouts, n_pixels), dtype=np.float32)
    time = np.empty((n_readouts, n_pixels), dtype=np.float32)
    # Scratch of one readout, used for all.
    selected = np.empty((n_samples, n_pixels), dtype=r0.dtype)
    turned = np.empty((n_pixels if by_neighbours else 0, n_samples), dtype=r0.dtype)
    fixed = np.zeros((n_pixels + 1 if by_neighbours else 0, n_samples), dtype=np.int32)
    largest = np.empty(n_pixels, dtype=r0.dtype)
    peak = np.empty(n_pixels, dtype=np.int16)
    pedestal, factor = np.empty(n_pixels, dtype=np.float32), np.empty(n_pixels, dtype=np.float32)
    delay, weight = np.empty(n_pixels, dtype=np.float32), np.empty(n_pixels, dtype=np.float32)
    broken = np.empty(n_pixels, dtype=np.bool_)
    rate = np.float32(sampling_rate)
    for i in range(n_readouts):
        samples = r0[i, 0]
        if n_gains > 1 and channel[i].any():
            select_samples(r0[i], channel[i], selected)
            samples = selected
        take_channel(coefficients.pedestal[row[i]], channel[i], pedestal)
        take_channel(coefficients.dc_to_pe[row[i]], channel[i], factor)
        take_channel(coefficients.time_shift[row[i]], channel[i], delay)
        if by_neighbours:
            take_channel(coefficients.broken[row[i]], channel[i], broken)
            local_weight, limits = windows.local_weight[i], coefficients.limits[row[i]]
            neighbour_peak(
                samples, pedestal, factor, broken, limits, neighbours, local_weight, turned, fixed, peak
            )
        else:
            local_peak(samples, largest, peak)
            for pixel in range(n_pixels):
                peak[pixel] = peak[pixel] if factor[pixel] > 0 else 0
        sum_window(samples, pedestal, peak, windows.width[i], windows.shift[i], charge[i], weight, time[i])
        for pixel in range(n_pixels):
            centroid = time[i, pixel] / weight[pixel]
            centroid = centroid if weight[pixel] * factor[pixel] > 0 else np.float32(peak[pixel])
            time[i, pixel] = centroid / rate - delay[pixel]
            charge[i, pixel] *= factor[pixel]
        for gain in range(windows.correction.shape[1]):
            correction = windows.correction[i, gain]
            for pixel in range(n_pixels):
                q = charge[i, pixel]
                charge[i, pixel] = q * correction if channel[i, pixel] == gain else q
    return charge, time


def integration_correction(
    pulse: np.ndarray, pulse_step: float, sample_step: float, width: int, shift: int
) -> np.ndarray:
    """Total of a camera's reference pulse over the part that a window about its peak holds.

    Parameters
    ----------
    pulse : float64 array, shape (n_gains, n_pulse_samples)
        Reference pulse of each gain channel.
    pulse_step, sample_step : float
        Step of the reference pulse, and of the readout's samples [ns].
    width, shift : int
        The window is [peak - shift, peak - shift + width), in samples.

    Returns
    -------
    float64 array, shape (n_gains,)
        Factors of the charge; 1 where the window misses the pulse.

    Notes
    -----
    As ctapipe's function of the same name: the pulse is summed into the readout's samples, of which a
    last, incomplete one is left out.
    """
    time = pulse_step * np.arange(pulse.shape[1])
    edges = sample_step * np.arange(np.ceil(pulse.shape[1] * pulse_step / sample_step))
    n_bins = len(edges) - 1
    correction = np.ones(len(pulse))
    if n_bins < 1:
        return correction
    inside = time <= edges[-1]
    position = np.minimum(np.searchsorted(edges, time[inside], side="right") - 1, n_bins - 1)
    for gain, shape in enumerate(pulse):
        sampled = np.bincount(position, weights=shape[inside], minlength=n_bins)
        start = max(int(np.argmax(sampled)) - shift, 0)
        window = sampled[start : min(start + width, n_bins)]
        if window.sum() > 0:
            correction[gain] = sampled.sum() / window.sum()
    return correction
