"""The front-end electronics of a camera: from photo-electrons to triggered raw waveforms.

Times are samples, amplitudes photo-electrons a sample: the pulse of one photo-electron sums to one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from etendue.iact.showers.tables import QUANTILE_BITS, SINGLE_PE_WIDTH, TRANSIT_TIME_SPREAD
from etendue.kernel import kernel

#: Samples from the start of a readout window to the median arrival time of the Cherenkov light.
LEAD = 14.0

# SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a sequence of hashed multiples of the golden ratio, of
# which any member can be had by itself, so that loops over it vectorise.
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX_1, MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
SHIFT_1, SHIFT_2, SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)
LANE_BITS, LANE_MASK = np.uint64(16), np.uint64(0xFFFF)
UNUSED_BITS = np.uint64(16 - QUANTILE_BITS)


class Electronics(NamedTuple):
    """What makes signals of photo-electrons in the cameras of an array.

    Parameters
    ----------
    baseline, gain, time_shift : float32 array, shape (n_telescopes, n_gains, n_pixels)
        Counts without light, counts of the sum of a photo-electron's pulse, and delay in ns.
    full_scale : float32
        Largest count.
    noise_table : float32 array, shape (2**QUANTILE_BITS,)
        Quantiles of the electronic noise in counts.
    night_sky : float
        Mean number of the night sky's photo-electrons in a sample.
    night_sky_table : float32 array, shape (2**QUANTILE_BITS,)
        Quantiles of their charge.
    pulses : float32 array, shape (n_phases, n)
        Pulse of a photo-electron: `etendue.iact.showers.tables.pulse_table`.
    n_samples : int
        Samples of a readout, of 1 ns.
    indptr, indices : int32 array
        Neighbours of each pixel.
    threshold : float
        Signal in a pixel and its neighbours that triggers.
    """

    baseline: np.ndarray
    gain: np.ndarray
    time_shift: np.ndarray
    full_scale: np.float32
    noise_table: np.ndarray
    night_sky: float
    night_sky_table: np.ndarray
    pulses: np.ndarray
    n_samples: int
    indptr: np.ndarray
    indices: np.ndarray
    threshold: float


@kernel
def splitmix(key: np.uint64, i: int) -> np.uint64:
    """Member i of the sequence of SplitMix64 from a key on."""
    z = key + np.uint64(i) * GOLDEN
    z = (z ^ (z >> SHIFT_1)) * MIX_1
    z = (z ^ (z >> SHIFT_2)) * MIX_2
    return z ^ (z >> SHIFT_3)


@kernel
def draw(key: np.uint64, quantiles: np.ndarray, out: np.ndarray) -> None:
    """Fill an array with independent numbers from a distribution.

    Parameters
    ----------
    key : uint64
        Place in the sequence of SplitMix64; other keys give other numbers.
    quantiles : float32 array, shape (2**QUANTILE_BITS,)
        Mean of the distribution in each of as many bins of equal probability.
    out : float32 array, shape (n,)
        Filled here.
    """
    quarter = out.size // 4
    for i in range(quarter):
        z = splitmix(key, i)
        out[i] = quantiles[(z & LANE_MASK) >> UNUSED_BITS]
        z >>= LANE_BITS
        out[quarter + i] = quantiles[(z & LANE_MASK) >> UNUSED_BITS]
        z >>= LANE_BITS
        out[2 * quarter + i] = quantiles[(z & LANE_MASK) >> UNUSED_BITS]
        z >>= LANE_BITS
        out[3 * quarter + i] = quantiles[z >> UNUSED_BITS]
    for i in range(4 * quarter, out.size):
        out[i] = quantiles[(splitmix(key, i) & LANE_MASK) >> UNUSED_BITS]


@kernel
def shape(charges: np.ndarray, pulse: np.ndarray, trace: np.ndarray) -> None:
    """Convolve charges on the sampling grid with a pulse: trace[s] = sum_k pulse[k] charges[s + n - 1 - k].

    Parameters
    ----------
    charges : float32 array, shape (n_samples + n - 1, n_pixels)
        Charge that arrives by sample, from n - 1 samples before the first on.
    pulse : float32 array, shape (n,)
        Amplitudes of one charge after it has arrived.
    trace : float32 array, shape (n_samples, n_pixels)
        Filled here.
    """
    n_samples, n_pixels = trace.shape
    n = pulse.size
    for s in range(n_samples):
        row = trace[s]
        row[:] = 0
        for k in range(n):
            amplitude, arriving = pulse[k], charges[s + n - 1 - k]
            for pixel in range(n_pixels):
                row[pixel] += amplitude * arriving[pixel]


@kernel
def add_pulses(
    rng: np.random.Generator, pixels: np.ndarray, times: np.ndarray, pulses: np.ndarray, trace: np.ndarray
) -> None:
    """Add the pulses of single photo-electrons, with the spread of their charges and transit times.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    pixels : int32 array, shape (n_photo_electrons,)
        Where they arrive.
    times : float32 array, shape (n_photo_electrons,)
        When, in samples.
    pulses : float32 array, shape (n_phases, n)
        `etendue.iact.showers.tables.pulse_table`.
    trace : float32 array, shape (n_samples, n_pixels)
        Added to here.
    """
    n_phases, n = pulses.shape
    for i in range(pixels.size):
        charge = max(0.0, 1 + SINGLE_PE_WIDTH * rng.standard_normal())
        time = times[i] + TRANSIT_TIME_SPREAD * rng.standard_normal()
        sample = math.ceil(time)
        phase = min(n_phases - 1, int((sample - time) * n_phases))
        for k in range(max(0, -sample), min(n, trace.shape[0] - sample)):
            trace[sample + k, pixels[i]] += charge * pulses[phase, k]


@kernel
def brightest_patches(
    pixels: np.ndarray, stops: np.ndarray, indptr: np.ndarray, indices: np.ndarray
) -> np.ndarray:
    """Most photo-electrons in a pixel and its neighbours, of each camera.

    Parameters
    ----------
    pixels : int32 array, shape (n_photo_electrons,)
        Where photo-electrons arrive, camera by camera.
    stops : int64 array, shape (n_cameras,)
        Where those of each camera end.
    indptr, indices : int32 array
        Neighbours of each pixel.

    Returns
    -------
    int64 array, shape (n_cameras,)
    """
    brightest = np.zeros(len(stops), np.int64)
    patch = np.zeros(len(indptr) - 1, np.int64)
    start = 0
    for camera in range(len(stops)):
        patch[:] = 0
        for pixel in pixels[start : stops[camera]]:
            patch[pixel] += 1
            for neighbour in indices[indptr[pixel] : indptr[pixel + 1]]:
                patch[neighbour] += 1
        brightest[camera] = patch.max() if stops[camera] > start else 0
        start = stops[camera]
    return brightest


@kernel
def trigger(
    trace: np.ndarray,
    lit: np.ndarray,
    indptr: np.ndarray,
    indices: np.ndarray,
    baseline: float,
    threshold: float,
) -> tuple[int, int]:
    """Analogue sum trigger: a pixel and its neighbours together exceed a threshold in one sample.

    Parameters
    ----------
    trace : float32 array, shape (n_samples, n_pixels)
        Signals.
    lit : bool array, shape (n_pixels,)
        Pixels about which sums are made: those with Cherenkov light.
    indptr, indices : int32 array
        Neighbours of each pixel.
    baseline, threshold : float
        Mean of a signal without light, and least sum above it.

    Returns
    -------
    sample : int
        First sample with such a sum, or -1.
    n_pixels : int
        Pixels in the middle of one.
    """
    n_samples = trace.shape[0]
    first, n_pixels = n_samples, 0
    for pixel in range(lit.size):
        if lit[pixel]:
            neighbours = indices[indptr[pixel] : indptr[pixel + 1]]
            needed = threshold + baseline * (1 + neighbours.size)
            for s in range(n_samples):
                signal = trace[s, pixel]
                for neighbour in neighbours:
                    signal += trace[s, neighbour]
                if signal > needed:
                    first = min(first, s)
                    n_pixels += 1
                    break
    return (first if n_pixels else -1), n_pixels


@kernel
def digitise(
    trace: np.ndarray,
    noise: np.ndarray,
    pedestal: np.ndarray,
    gain: np.ndarray,
    full_scale: float,
    out: np.ndarray,
) -> None:
    """ADC counts of one gain channel: pedestal + gain x signal + noise, rounded and kept in range.

    Parameters
    ----------
    trace : float32 array, shape (n_samples, n_pixels)
        Signals.
    noise : float32 array, shape (n_samples, n_pixels)
        Electronic noise in counts.
    pedestal, gain : float32 array, shape (n_pixels,)
        Counts without a signal, and counts by unit of the signal.
    full_scale : float
        Largest count.
    out : uint16 array, shape (n_samples, n_pixels)
        Filled here.
    """
    for s in range(trace.shape[0]):
        for pixel in range(trace.shape[1]):
            counts = pedestal[pixel] + gain[pixel] * trace[s, pixel] + noise[s, pixel] + np.float32(0.5)
            out[s, pixel] = np.uint16(min(max(counts, np.float32(0)), full_scale))


@kernel
def read_out(
    rng: np.random.Generator,
    pixels: np.ndarray,
    times: np.ndarray,
    span: np.ndarray,
    shower: np.ndarray,
    telescope: np.ndarray,
    least_telescopes: int,
    e: Electronics,
    waveform: np.ndarray,
    image: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Make the waveforms of cameras, and keep those that trigger in showers where enough of them do.

    The night sky's photo-electrons arrive on the sampling grid, which leaves mean, variance and covariance
    of the samples as they are for a pulse that is long against a sample.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    pixels, times : int32 and float32 array, shape (n_photo_electrons,)
        Cherenkov photo-electrons of all cameras; times in ns.
    span : int64 array, shape (n_cameras, 2)
        First and stop of each camera's photo-electrons.
    shower, telescope : int64 array, shape (n_cameras,)
        Shower that each sees, in order, and the row of its coefficients.
    least_telescopes : int
        Telescopes that must trigger.
    e : Electronics
        Of all telescopes.
    waveform : uint16 array, shape (n_cameras, n_gains, n_samples, n_pixels)
        Its first rows are filled here with the raw samples of the cameras that are kept.
    image : int32 array, shape (n_cameras, n_pixels)
        And this with their Cherenkov photo-electrons.

    Returns
    -------
    kept : int64 array, shape (n_kept,)
        Which cameras are kept.
    start : float64 array, shape (n_kept,)
        Time of the first sample in ns.
    sample, n_trigger_pixels : int64 array, shape (n_kept,)
        Sample of the trigger, and pixels in it.
    """
    n = len(span)
    kept, start = np.empty(n, np.int64), np.empty(n)
    sample, n_trigger_pixels = np.empty(n, np.int64), np.empty(n, np.int64)
    n_pixels, pulse = e.gain.shape[2], e.pulses[len(e.pulses) // 2]
    arriving = np.empty((e.n_samples + pulse.size - 1, n_pixels), np.float32)
    trace = np.empty((e.n_samples, n_pixels), np.float32)
    noise = np.empty((e.n_samples, n_pixels), np.float32)
    k, before = 0, 0  # readouts so far, and before this shower
    for i in range(n):
        lit, t = pixels[span[i, 0] : span[i, 1]], times[span[i, 0] : span[i, 1]]
        image[k] = 0
        for pixel in lit:
            image[k, pixel] += 1
        kept[k], start[k] = i, np.median(t) - LEAD - rng.random()
        draw(np.uint64(rng.integers(0, 2**63)), e.night_sky_table, arriving.reshape(-1))
        shape(arriving, pulse, trace)
        delay = e.time_shift[telescope[i], 0]
        add_pulses(rng, lit, (t - start[k] + delay[lit]).astype(np.float32), e.pulses, trace)
        sample[k], n_trigger_pixels[k] = trigger(
            trace, image[k] > 0, e.indptr, e.indices, e.night_sky, e.threshold
        )
        if sample[k] >= 0:
            for channel in range(e.gain.shape[1]):
                draw(np.uint64(rng.integers(0, 2**63)), e.noise_table, noise.reshape(-1))
                baseline, gain = e.baseline[telescope[i], channel], e.gain[telescope[i], channel]
                digitise(trace, noise, baseline, gain, e.full_scale, waveform[k, channel])
            k += 1
        if i + 1 == n or shower[i + 1] != shower[i]:
            if k - before < least_telescopes:
                k = before
            before = k
    return kept[:k], start[:k], sample[:k], n_trigger_pixels[:k]
