"""Morphology: the connected groups of pixels of an image."""

from __future__ import annotations

import numpy as np

from etendue.kernel import kernel

#: Most pixels of a small island, and of a medium one.
SMALL_ISLAND, MEDIUM_ISLAND = 2, 50


@kernel
def islands(
    pixels: np.ndarray, indptr: np.ndarray, indices: np.ndarray, member: np.ndarray, stack: np.ndarray
) -> tuple[int, int, int, int]:
    """Count the connected groups of pixels.

    Parameters
    ----------
    pixels : int32 array, shape (n,)
        The pixels.
    indptr, indices : int32 array
        Neighbours of each pixel of the camera, see `Geometry`.
    member : bool array, shape (n_pixels,)
        Scratch: False before and after.
    stack : int32 array, shape (n_pixels,)
        Scratch.

    Returns
    -------
    n_islands, n_small, n_medium, n_large : int
        Small islands have up to 2 pixels, medium ones up to 50.
    """
    n_small, n_medium, n_large = 0, 0, 0
    for pixel in pixels:
        member[pixel] = True
    for first in pixels:
        if not member[first]:
            continue
        member[first] = False
        stack[0] = first
        n_waiting, size = 1, 0
        while n_waiting > 0:
            n_waiting -= 1
            size += 1
            pixel = stack[n_waiting]
            for neighbour in indices[indptr[pixel] : indptr[pixel + 1]]:
                if member[neighbour]:
                    member[neighbour] = False
                    stack[n_waiting] = neighbour
                    n_waiting += 1
        n_small += size <= SMALL_ISLAND
        n_medium += SMALL_ISLAND < size <= MEDIUM_ISLAND
        n_large += size > MEDIUM_ISLAND
    return n_small + n_medium + n_large, n_small, n_medium, n_large
