"""Showers over an array: from primaries to the photo-electrons in every camera."""

from __future__ import annotations

import numpy as np

from etendue.iact.directions import dot
from etendue.iact.showers.cascade import gamma_cascade, proton_cascade
from etendue.iact.showers.eye import Eye
from etendue.iact.showers.muons import add_muon
from etendue.iact.showers.photosphere import (
    REDUCED_WIDTH,
    REDUCED_WIDTH_SPREAD,
    SPEED_OF_LIGHT,
    add_photosphere,
    photosphere,
)
from etendue.kernel import kernel


@kernel
def array_light(
    rng: np.random.Generator,
    is_proton: bool,
    energy: np.ndarray,
    frame: np.ndarray,
    core: np.ndarray,
    telescopes: np.ndarray,
    eye: Eye,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Throw showers, and the photo-electrons that they make in the cameras of an array.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    is_proton : bool
        What the primaries are: protons, or gamma rays.
    energy : float64 array, shape (n_showers,)
        Energies in GeV.
    frame : float64 array, shape (n_showers, 3, 3)
        Two axes across the direction of each shower, and up along it.
    core : float64 array, shape (n_showers, 3)
        Where the axes of the showers meet the ground in m.
    telescopes : float64 array, shape (n_telescopes, 3)
        Positions in m.
    eye : Eye
        How the telescopes look.

    Returns
    -------
    pixels, times : int32 and float32 array, shape (n_photo_electrons,)
        Pixel and arrival time in ns of each photo-electron, by shower and telescope.
    counts : int64 array, shape (n_showers, n_telescopes)
        How many there are of each.
    first, maximum : float64 array, shape (n_showers,)
        Slant depths of the first interaction and of the maximum (mean by energy) in g/cm2.
    """
    n_showers, n_telescopes = len(energy), len(telescopes)
    pixels, times, n = np.empty(4096, np.int32), np.empty(4096, np.float32), 0
    counts = np.zeros((n_showers, n_telescopes), np.int64)
    first, maximum = np.empty(n_showers), np.empty(n_showers)
    for i in range(n_showers):
        axes = frame[i]
        if is_proton:
            showers, muons, first[i] = proton_cascade(rng, energy[i], axes[2, 2], eye.altitude)
        else:
            showers, muons, first[i] = gamma_cascade(rng, energy[i])
        maximum[i] = (showers[:, 0] * showers[:, 1]).sum() / showers[:, 0].sum()
        width = REDUCED_WIDTH * np.exp(REDUCED_WIDTH_SPREAD * rng.standard_normal())
        spheres = [photosphere(shower, width, axes, core[i], eye.altitude) for shower in showers]
        for j in range(n_telescopes):
            before = n
            for sphere in spheres:
                pixels, times, n = add_photosphere(rng, sphere, telescopes[j], eye, pixels, times, n)
            time = dot(core[i] - telescopes[j], axes[2]) / SPEED_OF_LIGHT
            for muon in muons:
                place = core[i] + muon[1] * axes[0] + muon[2] * axes[1]
                axis = axes[2] - muon[3] * axes[0] - muon[4] * axes[1]
                axis /= np.sqrt(dot(axis, axis))
                pixels, times, n = add_muon(
                    rng, muon[0], place, axis, time, telescopes[j], eye, pixels, times, n
                )
            counts[i, j] = n - before
    return pixels[:n], times[:n], counts, first, maximum
