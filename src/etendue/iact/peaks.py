"""Where a pixel's pulse is: the largest of its samples, or of the sum of its neighbours' samples.

Samples are stored [sample, pixel], so that a step over all pixels of one sample is one vector loop. Where
neighbours are summed the samples are turned to [pixel, sample], which asks for no order among the pixels.
Everything of one readout (some 600 kB at most) stays in the core's cache.
"""

from __future__ import annotations

import numpy as np

from etendue.kernel import kernel

#: Most neighbours that a pixel has: those of hexagons.
MAX_NEIGHBOURS = 6

#: Error of one sample in fixed point: truncation, and three float32 roundings of a value below 2**30 / 6.
FIXED_POINT_ERROR = 1 + 3 * 2**30 // (MAX_NEIGHBOURS * 2**24)


@kernel
def _later_maximum(largest: float, where: int, value: float, index: int) -> tuple[float, int]:
    return (value, index) if value > largest else (largest, where)


@kernel
def local_peak(samples: np.ndarray, largest: np.ndarray, peak: np.ndarray) -> None:
    """First largest sample of each pixel.

    Parameters
    ----------
    samples : uint16 or float32 array, shape (n_samples, n_pixels)
        Samples.
    largest : array of the same dtype, shape (n_pixels,)
        Becomes the largest sample.
    peak : int16 array, shape (n_pixels,)
        Becomes its index.
    """
    last = samples.shape[0] - 1
    row = samples[0]
    for pixel in range(peak.size):
        largest[pixel], peak[pixel] = row[pixel], 0
    # Four samples a turn, because reading and writing the running maximum would take as long as comparing.
    for s in range(1, last + 1, 4):
        row_0, row_1 = samples[s], samples[min(s + 1, last)]
        row_2, row_3 = samples[min(s + 2, last)], samples[min(s + 3, last)]
        s_0, s_1, s_2, s_3 = np.int16(s), np.int16(s + 1), np.int16(s + 2), np.int16(s + 3)
        for pixel in range(peak.size):
            value, where = largest[pixel], peak[pixel]
            value, where = _later_maximum(value, where, row_0[pixel], s_0)
            value, where = _later_maximum(value, where, row_1[pixel], s_1)
            value, where = _later_maximum(value, where, row_2[pixel], s_2)
            value, where = _later_maximum(value, where, row_3[pixel], s_3)
            largest[pixel], peak[pixel] = value, where


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
def largest_magnitude(samples: np.ndarray, broken: np.ndarray) -> float:
    """Largest absolute value among the samples [sample, pixel] of all pixels that are not broken."""
    largest = np.zeros(broken.size, dtype=samples.dtype)
    for s in range(samples.shape[0]):
        row = samples[s]
        for pixel in range(broken.size):
            value, known = abs(row[pixel]), largest[pixel]
            largest[pixel] = value if value > known else known
    result = samples.dtype.type(0)
    for pixel in range(broken.size):
        result = max(result, result if broken[pixel] else largest[pixel])
    return result


@kernel
def to_fixed_point(
    samples: np.ndarray,
    pedestal: np.ndarray,
    scale: np.ndarray,
    broken: np.ndarray,
    turned: np.ndarray,
    fixed: np.ndarray,
) -> None:
    """Turn samples to [pixel, sample] and calibrate them as integers, int(scale * (x - pedestal)).

    Parameters
    ----------
    samples : uint16 or float32 array, shape (n_samples, n_pixels)
        Samples.
    pedestal, scale : float32 array, shape (n_pixels,)
        Baseline, and fixed-point units a count.
    broken : bool array, shape (n_pixels,)
        Pixels that become zero.
    turned : array of the dtype of the samples, shape (n_pixels, n_samples)
        Scratch.
    fixed : int32 array, shape (n_pixels + 1, n_samples)
        The result; the last row, which stands for no pixel, is left as it is.
    """
    n_samples, n_pixels = samples.shape
    for pixel in range(n_pixels):
        out = turned[pixel]
        for s in range(n_samples):
            out[s] = samples[s, pixel]
    for pixel in range(n_pixels):
        base, factor = pedestal[pixel], scale[pixel]
        raw, value = turned[pixel], fixed[pixel]
        for s in range(n_samples):
            value[s] = np.int32((np.float32(raw[s]) - base) * factor)
    for pixel in range(n_pixels):  # apart, because a branch would keep the loop above from vectorising
        if broken[pixel]:
            fixed[pixel] = 0


@kernel
def exact_peak(
    pixel: int,
    approximate: np.ndarray,
    limit: int,
    turned: np.ndarray,
    pedestal: np.ndarray,
    dc_to_pe: np.ndarray,
    broken: np.ndarray,
    neighbours: np.ndarray,
    weight: int,
) -> int:
    """First largest sample of a pixel's sum of neighbours in float64, of those with approximate >= limit.

    Samples are calibrated in float32 and added in float64, first the pixel and then its neighbours in
    ascending order, which decides between samples that are equal but for rounding as ctapipe does.
    """
    n_pixels = pedestal.size
    peak, largest = -1, 0.0
    for s in range(approximate.size):
        if approximate[s] < limit:
            continue
        total = 0.0
        if weight > 0 and not broken[pixel]:
            own = (np.float32(turned[pixel, s]) - pedestal[pixel]) * dc_to_pe[pixel]
            total = np.float64(own) * weight
        for other in neighbours[pixel]:
            if other < n_pixels and not broken[other]:
                total += (np.float32(turned[other, s]) - pedestal[other]) * dc_to_pe[other]
        if peak < 0 or total > largest:
            peak, largest = s, total
    return peak


@kernel
def neighbour_peak(
    samples: np.ndarray,
    pedestal: np.ndarray,
    dc_to_pe: np.ndarray,
    broken: np.ndarray,
    limits: np.ndarray,
    neighbours: np.ndarray,
    weight: int,
    turned: np.ndarray,
    fixed: np.ndarray,
    peak: np.ndarray,
) -> None:
    """First largest sample of the sum over each pixel's neighbours: argmax_s(w x_is + sum_j x_js).

    Broken pixels are left out. The sums are made in fixed point, which is exact for any order; samples
    that are within its rounding of the largest are decided by `exact_peak`.

    Parameters
    ----------
    samples : uint16 or float32 array, shape (n_samples, n_pixels)
        Samples.
    pedestal, dc_to_pe : float32 array, shape (n_pixels,)
        Baseline, and photo-electrons a count; finite and not negative unless the pixel is broken.
    broken : bool array, shape (n_pixels,)
        Pixels to leave out.
    limits : float32 array, shape (2,)
        No pixel that is not broken has a greater absolute pedestal, nor a greater dc_to_pe.
    neighbours : uint32 array, shape (n_pixels, 6)
        As made by `neighbour_table`.
    weight : int
        How many times the pixel itself counts.
    turned : array of the dtype of the samples, shape (n_pixels, n_samples)
        Scratch.
    fixed : int32 array, shape (n_pixels + 1, n_samples)
        Scratch, whose last row is zero.
    peak : int16 array, shape (n_pixels,)
        The result.
    """
    n_samples, n_pixels = samples.shape
    terms = MAX_NEIGHBOURS + weight
    bound = (largest_magnitude(samples, broken) + limits[0]) * limits[1]
    unit = 2.0**30 / (terms * max(bound, 1e-30))  # so that no sum reaches 2**30
    scale = (dc_to_pe * unit).astype(np.float32)
    to_fixed_point(samples, pedestal, scale, broken, turned, fixed)
    tolerance = np.int32(2 * terms * FIXED_POINT_ERROR)
    # Samples at the limit or above are counted and their numbers added in one integer.
    code = np.arange(n_samples).astype(np.int32) + np.int32(1 << 16)
    total = np.empty(n_samples, dtype=np.int32)
    for pixel in range(n_pixels):
        near = neighbours[pixel]
        a, b, c = fixed[near[0]], fixed[near[1]], fixed[near[2]]
        d, e, f = fixed[near[3]], fixed[near[4]], fixed[near[5]]
        for s in range(n_samples):
            total[s] = a[s] + b[s] + c[s] + d[s] + e[s] + f[s]
        if weight > 0:
            own = fixed[pixel]
            for s in range(n_samples):
                total[s] += weight * own[s]
        largest = np.int32(-(2**31) + 1)
        for s in range(n_samples):
            largest = max(largest, total[s])
        limit = np.int32(largest - tolerance)
        found = np.int32(0)
        for s in range(n_samples):
            found += code[s] if total[s] >= limit else np.int32(0)
        if found < 1 << 17:
            peak[pixel] = found & 0xFFFF
        else:
            peak[pixel] = exact_peak(
                pixel, total, limit, turned, pedestal, dc_to_pe, broken, neighbours, weight
            )
