"""Where a pixel's pulse is: the largest of its samples, or of the sum of its neighbours' samples.

Samples are stored [sample, pixel], so that all pixels of one sample are next to one another. Where neighbours
are summed the samples are turned to [pixel, sample], which asks for no order among the pixels. Everything of
one readout (some 600 kB at most) stays in the core's cache.
"""

from __future__ import annotations

import numpy as np

from etendue.kernel import kernel
from etendue.lanes import BITS, convert, count, fill, largest, load, store, transpose, where

#: Most neighbours that a pixel has: those of hexagons.
MAX_NEIGHBOURS = 6

#: Pixels and samples that are turned together: lanes of 32 bits.
TILE = BITS // 32

#: Error of one sample in fixed point: truncation, and three float32 roundings of a value below 2**30 / 6.
FIXED_POINT_ERROR = 1 + 3 * 2**30 // (MAX_NEIGHBOURS * 2**24)


@kernel
def local_peak(samples: np.ndarray, highest: np.ndarray, peak: np.ndarray) -> None:
    """First largest sample of each pixel.

    Parameters
    ----------
    samples : uint16 or float32 array, shape (n_samples, n_pixels)
        Samples of `MOST_LANES` pixels at least.
    highest : array of the same dtype, shape (n_pixels,)
        Becomes that sample.
    peak : int16 array, shape (n_pixels,)
        Becomes its number.
    """
    n_samples, n_pixels = samples.shape
    n_lanes = BITS // (8 * samples.itemsize)
    for block in range(0, n_pixels, n_lanes):
        start = min(block, n_pixels - n_lanes)
        greatest, first = load(samples[0], start, samples.dtype), fill(0, samples.dtype)
        for s in range(1, n_samples):
            value = load(samples[s], start, samples.dtype)
            later = value > greatest
            greatest, first = where(later, value, greatest), where(later, fill(s, samples.dtype), first)
        store(greatest, highest, start)
        store(first, peak, start)


@kernel
def neighbour_table(indptr: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Neighbours of each pixel, filled up with the number of pixels: uint32, shape (n_pixels, 6)."""
    n_pixels = indptr.size - 1
    table = np.full((n_pixels, MAX_NEIGHBOURS), n_pixels, dtype=np.uint32)
    for pixel in range(n_pixels):
        for k in range(indptr[pixel], indptr[pixel + 1]):
            table[pixel, k - indptr[pixel]] = indices[k]
    return table


@kernel
def highest_magnitudes(samples: np.ndarray, broken: np.ndarray, highest: np.ndarray) -> float:
    """Largest absolute value of each pixel's samples [sample, pixel]; returns that of pixels not broken."""
    for pixel in range(highest.size):
        highest[pixel] = 0
    for s in range(samples.shape[0]):
        row = samples[s]
        for pixel in range(highest.size):
            value, known = abs(row[pixel]), highest[pixel]
            highest[pixel] = value if value > known else known
    result = samples.dtype.type(0)
    for pixel in range(highest.size):
        result = max(result, result if broken[pixel] else highest[pixel])
    return result


@kernel
def _fixed_point_row(samples, s, start, pedestal, scale):
    """Lanes int(scale * (x - pedestal)) of one sample; after the last sample, of the last."""
    value = load(samples[min(s, samples.shape[0] - 1)], start, np.float32)
    return convert((value - pedestal) * scale, np.int32)


@kernel
def to_fixed_point(
    samples: np.ndarray, pedestal: np.ndarray, scale: np.ndarray, broken: np.ndarray, fixed: np.ndarray
) -> None:
    """Turn samples to [pixel, sample] and calibrate them as integers, int(scale * (x - pedestal)).

    Parameters
    ----------
    samples : uint16 or float32 array, shape (n_samples, n_pixels)
        Samples of `TILE` pixels at least.
    pedestal, scale : float32 array, shape (n_pixels,)
        Baseline, and fixed-point units a count.
    broken : bool array, shape (n_pixels,)
        Pixels that become zero.
    fixed : int32 array, shape (at least n_pixels, n_padded)
        The result; n_padded is the next multiple of `TILE`, and what is in samples >= n_samples has no
        meaning.
    """
    n_samples, n_pixels = samples.shape
    for s in range(0, n_samples, TILE):
        for block in range(0, n_pixels, TILE):
            start = min(block, n_pixels - TILE)
            base, factor = load(pedestal, start, np.float32), load(scale, start, np.float32)
            rows = (
                _fixed_point_row(samples, s, start, base, factor),
                _fixed_point_row(samples, s + 1, start, base, factor),
                _fixed_point_row(samples, s + 2, start, base, factor),
                _fixed_point_row(samples, s + 3, start, base, factor),
                _fixed_point_row(samples, s + 4, start, base, factor),
                _fixed_point_row(samples, s + 5, start, base, factor),
                _fixed_point_row(samples, s + 6, start, base, factor),
                _fixed_point_row(samples, s + 7, start, base, factor),
            )
            pixel = start
            for column in transpose(rows):
                store(column, fixed[pixel], s)
                pixel += 1
    for pixel in range(n_pixels):
        if broken[pixel]:
            fixed[pixel] = 0


@kernel
def exact_peak(
    pixel: int,
    least: int,
    samples: np.ndarray,
    pedestal: np.ndarray,
    dc_to_pe: np.ndarray,
    broken: np.ndarray,
    starts: np.ndarray,
    weight: int,
    fixed: np.ndarray,
) -> int:
    """First largest sample of a pixel's sum of neighbours in float64, of those with a fixed sum >= least.

    Samples are calibrated in float32 and added in float64, first the pixel and then its neighbours in
    ascending order, which decides between samples that are equal but for rounding as ctapipe does.
    """
    n_pixels = starts.shape[0]
    neighbours = starts[pixel] // fixed.shape[1]
    peak, highest = -1, 0.0
    for s in range(samples.shape[0]):
        approximate = weight * fixed[pixel, s]
        for other in neighbours:
            approximate += fixed[other, s]
        if approximate < least:
            continue
        total = 0.0
        if weight > 0 and not broken[pixel]:
            own = (np.float32(samples[s, pixel]) - pedestal[pixel]) * dc_to_pe[pixel]
            total = np.float64(own) * weight
        for other in neighbours:
            if other < n_pixels and not broken[other]:
                total += (np.float32(samples[s, other]) - pedestal[other]) * dc_to_pe[other]
        if peak < 0 or total > highest:
            peak, highest = s, total
    return peak


@kernel
def _marks(n_samples: int, n_padded: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Bits of a sum to keep and to set, so that its last ones tell the sample, and how many they tell apart.

    The earlier sample has the greater mark. Sums of samples that there are not become the least integer.
    """
    n_marks = 1
    while n_marks < n_samples:
        n_marks *= 2
    kept, mark = np.zeros(n_padded, dtype=np.int32), np.full(n_padded, -(2**31), dtype=np.int32)
    for s in range(n_samples):
        kept[s], mark[s] = -n_marks, n_marks - 1 - s
    return kept, mark, n_marks


@kernel
def neighbour_peak(
    samples: np.ndarray,
    pedestal: np.ndarray,
    dc_to_pe: np.ndarray,
    broken: np.ndarray,
    bound: float,
    starts: np.ndarray,
    weight: int,
    fixed: np.ndarray,
    peak: np.ndarray,
) -> None:
    """First largest sample of the sum over each pixel's neighbours: argmax_s(w x_is + sum_j x_js).

    Broken pixels are left out. The sums are made in fixed point, which is exact for any order, and carry
    their sample's number in their last bits. Samples that are within the rounding of the largest are
    decided by `exact_peak`.

    Parameters
    ----------
    samples : uint16 or float32 array, shape (n_samples, n_pixels)
        Samples of `MOST_LANES` pixels at least.
    pedestal, dc_to_pe : float32 array, shape (n_pixels,)
        Baseline, and photo-electrons a count; finite and not negative unless the pixel is broken.
    broken : bool array, shape (n_pixels,)
        Pixels to leave out.
    bound : float
        No pixel that is not broken has a greater absolute value of a calibrated sample.
    starts : int64 array, shape (n_pixels, 6)
        Where in the flat ``fixed`` the samples of each neighbour start: `neighbour_table` times n_padded.
    weight : int
        How many times the pixel itself counts.
    fixed : int32 array, shape (n_pixels + 1, n_padded)
        Scratch, whose last row is zero, see `to_fixed_point`.
    peak : int16 array, shape (n_pixels,)
        The result.
    """
    n_samples, n_padded = samples.shape[0], fixed.shape[1]
    terms = MAX_NEIGHBOURS + weight
    unit = 2.0**30 / (terms * max(bound, 1e-30))  # so that no sum reaches 2**30
    scale = (dc_to_pe * unit).astype(np.float32)
    to_fixed_point(samples, pedestal, scale, broken, fixed)
    kept, mark, n_marks = _marks(n_samples, n_padded)
    tolerance = 2 * (terms * FIXED_POINT_ERROR + n_marks)
    flat, own = fixed.reshape(-1), fill(weight, np.int32)
    for pixel in range(starts.shape[0]):
        a, b, c = starts[pixel, 0], starts[pixel, 1], starts[pixel, 2]
        d, e, f = starts[pixel, 3], starts[pixel, 4], starts[pixel, 5]
        first = second = fill(-(2**31), np.int32)  # in each lane, of every eighth sample
        for s in range(0, n_padded, TILE):
            total = load(flat, a + s, np.int32) + load(flat, b + s, np.int32) + load(flat, c + s, np.int32)
            total += load(flat, d + s, np.int32) + load(flat, e + s, np.int32) + load(flat, f + s, np.int32)
            if weight > 0:
                total += own * load(fixed[pixel], s, np.int32)
            total = (total & load(kept, s, np.int32)) | load(mark, s, np.int32)
            lesser = where(total > first, first, total)
            first = where(total > first, total, first)
            second = where(lesser > second, lesser, second)
        highest = largest(first)
        least = highest - tolerance
        near_highest = fill(least, np.int32)
        if count(first > near_highest) + count(second > near_highest) == 1:
            peak[pixel] = n_marks - 1 - (highest & (n_marks - 1))
        else:
            peak[pixel] = exact_peak(pixel, least, samples, pedestal, dc_to_pe, broken, starts, weight, fixed)
