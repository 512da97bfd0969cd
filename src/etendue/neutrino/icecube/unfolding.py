"""Pulses from the waveform of a photomultiplier: when how much light came.

A waveform is a sum of photo-electrons at many start times; the amounts are found by least squares under the
condition that none is negative (M. G. Aartsen et al., JINST 9 (2014) P03009, section 4.1, which IceCube's
wavedeform implements).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from etendue.kernel import kernel
from etendue.neutrino.icecube.nnls import nnls

#: Of the photo-electron templates, how long before and after their start they are not negligible [ns].
BEFORE, AFTER = 30.0, 600.0

#: Charge of a photo-electron at the front end: gain 1e7, elementary charge, 43 ohm [mV ns].
PHOTO_ELECTRON = 1e7 * 1.602176634e-19 * 43 * 1e12


class Template(NamedTuple):
    """Shape of a photo-electron: c (exp(-(t - x0) / b1) + exp((t - x0) / b2))^-8, of unit integral.

    Parameters
    ----------
    scale : float
        c, in 1/ns.
    start, rise, fall : float
        x0, b1 and b2 [ns].
    """

    scale: float
    start: float
    rise: float
    fall: float


def _template(start: float, rise: float, fall: float) -> Template:
    t = np.arange(start - 20 * rise, start + 20 * fall, 0.01)
    shape = (np.exp(-(t - start) / rise) + np.exp((t - start) / fall)) ** -8
    return Template(1 / (shape.sum() * 0.01), start, rise, fall)


#: Templates of the digitisers: ATWD channels 0 to 2 with new and with old toroids, and FADC. The
#: constants are those of icetray's pulse templates (icetray-public, ``dataclasses``, BSD-2-Clause).
ATWD = tuple(
    _template(*c) for c in ((-9.24, 5.5, 42.0), (-11.7023, 5.46649, 36.2232), (-10.58782, 3.48331, 42.1087))
)
ATWD_OLD = tuple(
    _template(*c) for c in ((-8.929, 4.7, 39.0), (-10.95782, 4.8602, 30.74827), (-9.68624, 3.50164, 30.9690))
)
FADC = _template(11.27, 30.0, 186.0)


@kernel
def photo_electron(t: float, template: Template) -> float:
    """Height of a photo-electron's waveform at the time t after its start, per integral [1/ns]."""
    x = t - template.start
    if t < -BEFORE or t > AFTER:
        return 0.0
    return template.scale * (np.exp(-x / template.rise) + np.exp(x / template.fall)) ** -8


class Digitiser(NamedTuple):
    """How a waveform was taken.

    Parameters
    ----------
    bin_width : float
        Time of a sample [ns].
    noise : float
        Standard deviation of a sample [mV].
    template : Template
        Photo-electron in it.
    """

    bin_width: float
    noise: float
    template: Template


@kernel
def start_times(
    voltage: np.ndarray,
    begin: float,
    digitiser: Digitiser,
    threshold: float,
    spacing: float,
    times: np.ndarray,
) -> int:
    """Candidates of when photo-electrons came: around all samples above a threshold.

    Parameters
    ----------
    voltage : float64 array, shape (n_samples,)
        Waveform [mV].
    begin : float
        Time of its first sample [ns].
    digitiser : Digitiser
        How it was taken.
    threshold : float
        In standard deviations of the noise.
    spacing : float
        Of the candidates [ns].
    times : float64 array
        Output, ascending.

    Returns
    -------
    int
        How many.
    """
    # A photo-electron is highest near its start x0 + a rise time; it began within two samples of that.
    lead = digitiser.template.start + 2 * digitiser.template.rise + digitiser.bin_width
    n, last = 0, -np.inf
    for i in range(voltage.size):
        if voltage[i] < threshold * digitiser.noise:
            continue
        time = begin + i * digitiser.bin_width
        first = max(time - lead - 2 * digitiser.bin_width, last + spacing)
        while first <= time and n < times.size:
            times[n] = np.round(first / spacing) * spacing
            last = times[n]
            n += 1
            first = last + spacing
    return n


@kernel
def add_rows(
    matrix: np.ndarray,
    data: np.ndarray,
    row: int,
    voltage: np.ndarray,
    begin: float,
    digitiser: Digitiser,
    times: np.ndarray,
) -> None:
    """Fill the rows of a waveform: templates at all start times, and its samples, both over the noise."""
    for i in range(voltage.size):
        data[row + i] = voltage[i] / digitiser.noise
        for j in range(times.size):
            height = photo_electron(begin + i * digitiser.bin_width - times[j], digitiser.template)
            matrix[row + i, j] = PHOTO_ELECTRON * height / digitiser.noise


@kernel
def merge_neighbours(times: np.ndarray, amount: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Join amounts at start times next to each other: they stand for a pulse between them."""
    time, charge, n, last = np.empty(times.size), np.empty(times.size), 0, -np.inf
    for j in range(times.size):
        if amount[j] <= 0:
            continue
        if n > 0 and times[j] - last < reach:
            total = charge[n - 1] + amount[j]
            time[n - 1] += (times[j] - time[n - 1]) * amount[j] / total
            charge[n - 1] = total
        else:
            time[n], charge[n] = times[j], amount[j]
            n += 1
        last = times[j]
    return time[:n], charge[:n]


@kernel
def unfold(
    atwd: np.ndarray,
    fadc: np.ndarray,
    begin: float,
    atwd_digitiser: Digitiser,
    fadc_digitiser: Digitiser,
    fadc_delay: float,
    spacing: float,
    tolerance: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Pulses of one launch, from its ATWD and FADC waveforms together.

    Candidates within reach of the ATWD are ``spacing`` apart, later ones 8 times that.

    Parameters
    ----------
    atwd, fadc : float64 array, shape (n_samples,)
        Waveforms without pedestal [mV]; either may be empty.
    begin : float
        Time of the launch [ns].
    atwd_digitiser, fadc_digitiser : Digitiser
        How they were taken.
    fadc_delay : float
        First sample of the FADC after that of the ATWD [ns].
    spacing : float
        Of the candidates [ns].
    tolerance : float
        Significance at which it ends: how many standard deviations of the noise another pulse would be.

    Returns
    -------
    time, charge : float64 array, shape (n_pulses,)
        Ascending in time [ns]; photo-electrons.
    """
    times = np.empty(1024)
    n = start_times(atwd, begin, atwd_digitiser, 3.0, spacing, times)
    reached = begin + atwd.size * atwd_digitiser.bin_width
    late = np.empty(1024)
    n_late = start_times(fadc, begin + fadc_delay, fadc_digitiser, 3.0, 8 * spacing, late)
    for time in late[:n_late]:
        if n < times.size and time > reached:
            times[n] = time
            n += 1
    if n == 0:
        return np.empty(0), np.empty(0)
    matrix, data = np.empty((atwd.size + fadc.size, n)), np.empty(atwd.size + fadc.size)
    add_rows(matrix, data, 0, atwd, begin, atwd_digitiser, times[:n])
    add_rows(matrix, data, atwd.size, fadc, begin + fadc_delay, fadc_digitiser, times[:n])
    norm = np.sqrt(np.sum(matrix**2, axis=0))
    amount = nnls(matrix / norm, data, tolerance) / norm
    return merge_neighbours(times[:n], amount, 2 * spacing)
