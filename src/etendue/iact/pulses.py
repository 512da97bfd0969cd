"""Charge and arrival time of a pulse: sums over a window of samples about its peak.

All samples are read and masked, since a gather of the windows takes longer; everything of one readout stays
in the core's cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from etendue.iact.calibration import select_samples, take_channel
from etendue.iact.peaks import TILE, highest_magnitudes, local_peak, neighbour_peak
from etendue.kernel import kernel
from etendue.lanes import BITS, MOST_LANES, fill, load, prefetch, store, where, within


class Coefficients(NamedTuple):
    """Calibration of the pixels of one camera, each (n_rows, n_gains, n_pixels); made by `Coefficients.of`.

    Parameters
    ----------
    pedestal : float32 array
        Baseline [adu]; 0 in pixels that cannot be calibrated.
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
        pedestal = np.where(usable, pedestal, np.float32(0))
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
def sum_window(
    samples: np.ndarray,
    ahead: np.ndarray,
    base: np.ndarray,
    peak: np.ndarray,
    width: int,
    shift: int,
    sums: np.ndarray,
) -> None:
    """Sums over the window [peak - shift, peak - shift + width), cut at the ends of the trace.

    With x_s = samples - base, and k = s - (peak - shift + width // 2) counted from the window's middle, the
    rows of ``sums`` become: sum(x_s); and of positive x_s only, sum(x_s), sum(k x_s), sum(1), sum(k).

    Parameters
    ----------
    samples : uint16 or float32 array, shape (n_samples, n_pixels)
        Samples of `MOST_LANES` pixels at least.
    ahead : array like samples
        Samples of the next readout, which are brought to the cache meanwhile.
    base : float32 array, shape (n_pixels,)
        Baseline without its fraction.
    peak : int16 array, shape (n_pixels,)
        Sample that the window is set to.
    width, shift : int
        Length of the window, and how far it starts before the peak, in samples.
    sums : int16 or float32 array, shape (5, n_pixels)
        The results. Integers wrap on the way, which does not matter if the results fit.
    """
    n_samples, n_pixels = samples.shape
    dtype = sums.dtype
    n_lanes = BITS // (8 * sums.itemsize)
    zero, one, half = fill(0, dtype), fill(1, dtype), fill(width // 2, dtype)
    length, before = fill(width, dtype), fill(shift, dtype)
    for block in range(0, n_pixels, n_lanes):
        start = min(block, n_pixels - n_lanes)
        baseline = load(base, start, dtype)
        place = before - load(peak, start, dtype)
        charge = weight = moment = number = places = zero
        for s in range(n_samples):
            prefetch(ahead[s], start)
            value = load(samples[s], start, dtype) - baseline
            inside = within(place, length)
            positive = inside & (value > zero)
            charge += where(inside, value, zero)
            weight += where(positive, value, zero)
            moment += where(positive, place * value, zero)
            number += where(positive, one, zero)
            places += where(positive, place, zero)
            place += one
        store(charge, sums[0], start)
        store(weight, sums[1], start)
        store(moment - half * weight, sums[2], start)
        store(number, sums[3], start)
        store(places - half * number, sums[4], start)


@kernel
def fits_short(highest: np.ndarray, base: np.ndarray, width: int) -> bool:
    """Whether the sums of `sum_window` fit int16, of samples that are not negative nor above the highest."""
    half = width // 2
    reach = np.float32((2**15 - 1) // max(width, half * (half + 1) // 2))
    n_beyond = 0
    for pixel in range(base.size):
        n_beyond += not (np.float32(highest[pixel]) - base[pixel] <= reach and base[pixel] <= reach)
    return n_beyond == 0


@kernel
def _from_sums(sums, rest, dc_to_pe, peak, width, shift, n_samples, charge, centroid):
    """Charge and centroid from the sums of samples less a baseline that lacked the rest."""
    n, wanted_before, wanted_after = np.float32(n_samples), np.float32(shift), np.float32(width - shift)
    middle = np.float32(width // 2 - shift)
    for pixel in range(charge.size):
        at = np.float32(peak[pixel])
        before, after = min(at, wanted_before), min(n - at, wanted_after)
        n_inside = max(before + after, np.float32(0))
        charge[pixel] = (np.float32(sums[0, pixel]) - n_inside * rest[pixel]) * dc_to_pe[pixel]
        weight = np.float32(sums[1, pixel]) - np.float32(sums[3, pixel]) * rest[pixel]
        moment = np.float32(sums[2, pixel]) - np.float32(sums[4, pixel]) * rest[pixel]
        mean = at + middle + moment / weight
        centroid[pixel] = mean if weight * dc_to_pe[pixel] > 0 else at


@kernel
def charge_and_centroid(
    samples: np.ndarray,
    ahead: np.ndarray,
    highest: np.ndarray,
    pedestal: np.ndarray,
    dc_to_pe: np.ndarray,
    peak: np.ndarray,
    width: int,
    shift: int,
    charge: np.ndarray,
    centroid: np.ndarray,
) -> None:
    """Charge of each pixel in a window about its peak, and centroid of its positive samples.

    Sums are made of the samples less the whole counts of the pedestal: of raw samples as integers, in 16
    bits where they fit, which float32 would give as well; and the pedestal's fraction is subtracted after.

    Parameters
    ----------
    samples, ahead, peak, width, shift
        As for `sum_window`.
    highest : array of the dtype of the samples, shape (n_pixels,)
        Largest sample of each pixel.
    pedestal, dc_to_pe : float32 array, shape (n_pixels,)
        Baseline, and photo-electrons a count.
    charge : float32 array, shape (n_pixels,)
        Becomes the charge [pe].
    centroid : float32 array, shape (n_pixels,)
        Becomes the centroid in samples; the peak where no sample is positive.
    """
    n_samples, n_pixels = samples.shape
    base = np.floor(pedestal)
    rest = pedestal - base
    if samples.itemsize == 2 and fits_short(highest, base, width):
        short = np.empty((5, n_pixels), dtype=np.int16)
        sum_window(samples, ahead, base, peak, width, shift, short)
        _from_sums(short, rest, dc_to_pe, peak, width, shift, n_samples, charge, centroid)
    else:
        sums = np.empty((5, n_pixels), dtype=np.float32)
        sum_window(samples, ahead, base, peak, width, shift, sums)
        _from_sums(sums, rest, dc_to_pe, peak, width, shift, n_samples, charge, centroid)


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
    size = max(n_pixels, MOST_LANES)  # of scratch: a small camera gets pixels without light
    by_neighbours = neighbours.shape[0] > 0
    charge = np.empty((n_readouts, n_pixels), dtype=np.float32)
    time = np.empty((n_readouts, n_pixels), dtype=np.float32)
    # Scratch of one readout, used for all.
    selected = np.zeros((n_samples, size), dtype=r0.dtype)
    highest = np.zeros(size, dtype=r0.dtype)
    n_padded = -(-n_samples // TILE) * TILE
    fixed = np.zeros((size + 1 if by_neighbours else 0, n_padded), dtype=np.int32)
    starts = neighbours.astype(np.int64) * n_padded
    peak = np.zeros(size, dtype=np.int16)
    pedestal, factor = np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.float32)
    delay = np.empty(n_pixels, dtype=np.float32)
    broken = np.zeros(size, dtype=np.bool_)
    rate = np.float32(sampling_rate)
    for i in range(n_readouts):
        samples, ahead = r0[i, 0], r0[min(i + 1, n_readouts - 1), 0]
        if size > n_pixels or (n_gains > 1 and channel[i].any()):
            select_samples(r0[i], channel[i], selected)
            samples = selected
        if i == 0 or n_gains > 1 or row[i] != row[i - 1]:
            take_channel(coefficients.pedestal[row[i]], channel[i], pedestal)
            take_channel(coefficients.dc_to_pe[row[i]], channel[i], factor)
            take_channel(coefficients.time_shift[row[i]], channel[i], delay)
            take_channel(coefficients.broken[row[i]], channel[i], broken)
        if by_neighbours:
            limits = coefficients.limits[row[i]]
            bound = (highest_magnitudes(samples, broken, highest) + limits[0]) * limits[1]
            neighbour_peak(
                samples, pedestal, factor, broken, bound, starts, windows.local_weight[i], fixed, peak
            )
        else:
            local_peak(samples, highest, peak)
            for pixel in range(size):
                peak[pixel] = peak[pixel] if factor[pixel] > 0 else 0
        # Before and after a peak there are no more samples than a trace has.
        shift = min(max(windows.shift[i], -n_samples), n_samples)
        after = min(max(windows.width[i] - windows.shift[i], -n_samples), n_samples)
        width = max(shift + after, 0)
        charge_and_centroid(samples, ahead, highest, pedestal, factor, peak, width, shift, charge[i], time[i])
        for pixel in range(n_pixels):
            time[i, pixel] = time[i, pixel] / rate - delay[pixel]
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
        Factors of the charge; 1 where the window misses the pulse, NaN where there is no pulse: it is empty,
        has no step, or sums to zero.

    Notes
    -----
    As ctapipe's function of the same name: the pulse is summed into the readout's samples, of which a
    last, incomplete one is left out.
    """
    if not (pulse.shape[1] > 0 and pulse_step > 0):
        return np.full(len(pulse), np.nan)
    time = pulse_step * np.arange(pulse.shape[1])
    edges = sample_step * np.arange(np.ceil(pulse.shape[1] * pulse_step / sample_step))
    n_bins = len(edges) - 1
    correction = np.where(pulse.sum(axis=1) == 0, np.nan, 1.0)
    if n_bins < 1:
        return correction
    inside = time <= edges[-1]
    position = np.minimum(np.searchsorted(edges, time[inside], side="right") - 1, n_bins - 1)
    for gain, shape in enumerate(pulse):
        sampled = np.bincount(position, weights=shape[inside], minlength=n_bins)
        start = max(int(np.argmax(sampled)) - shift, 0)
        window = sampled[start : min(start + width, n_bins)]
        if window.sum() > 0:
            correction[gain] *= sampled.sum() / window.sum()
    return correction
