"""Numbers that describe an event: how many hits where and when.

Names and definitions are those of IceCube's common variables.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from etendue.dataflow.partition import Partition
from etendue.kernel import kernel
from etendue.neutrino.icecube.pulses import (
    EventStage,
    Pulses,
    blank,
    first_pulses,
    largest_gap,
)

#: From the standard deviation to the full width at half maximum of a Gaussian.
FWHM = 2 * np.sqrt(2 * np.log(2))


@kernel
def is_first_of_module(pulses: Pulses, i: int, first: int) -> bool:
    """Whether a pulse is the first of its module in the event that begins with the pulse ``first``."""
    return i == first or pulses.module[i] != pulses.module[i - 1]


@kernel
def count_hits(pulses: Pulses, first: int, stop: int, result: np.void) -> None:
    """Count strings, modules and pulses of an event."""
    string = -1
    for i in range(first, stop):
        result.n_pulses += 1
        if is_first_of_module(pulses, i, first):
            result.n_hit_doms += 1
            if i + 1 == stop or pulses.module[i + 1] != pulses.module[i]:
                result.n_hit_doms_one_pulse += 1
        if pulses.string[i] != string:
            string = pulses.string[i]
            result.n_hit_strings += 1


@kernel
def describe_charge(pulses: Pulses, first: int, stop: int, result: np.void) -> None:
    """Charge of an event: sum, greatest of a module, centre of gravity and its spread in z.

    The spread is the standard deviation weighted by charge, without bias:
    sigma^2 = sum q (z - <z>)^2 / (sum q - sum q^2 / sum q).
    """
    result.q_tot_pulses, result.q_max_doms = 0.0, 0.0
    of_module, squares, x, y, z = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(first, stop):
        q = pulses.charge[i]
        of_module = q if is_first_of_module(pulses, i, first) else of_module + q
        result.q_tot_pulses += q
        result.q_max_doms = max(result.q_max_doms, of_module)
        squares += q * q
        x += q * pulses.x[i]
        y += q * pulses.y[i]
        z += q * pulses.z[i]
    total = result.q_tot_pulses
    result.cog_x, result.cog_y, result.cog_z = x / total, y / total, z / total
    spread = 0.0
    for i in range(first, stop):
        spread += pulses.charge[i] * (pulses.z[i] - result.cog_z) ** 2
    result.cog_z_sigma = np.sqrt(spread / (total - squares / total))


@kernel
def describe_modules(pulses: Pulses, hits: np.ndarray, result: np.void) -> None:
    """Heights and times of the modules of an event, and how the light rises or sinks.

    z_travel is the mean of z minus that of the first quarter of the modules in time. The pattern adds 1
    for each module that is above the one hit before it, and subtracts 1 for each one below.

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    hits : int64 array, shape (n,)
        First pulse of each module, ascending in time.
    result : record
        Output, see `HitStatistics`.
    """
    z, time, n = pulses.z[hits], pulses.time[hits], hits.size
    result.z_min, result.z_max, result.z_mean = np.min(z), np.max(z), np.mean(z)
    result.z_sigma = np.std(z) * np.sqrt(n / (n - 1))
    result.z_travel = np.mean(z) - np.mean(z[: n // 4])
    result.timelength_last_first = time[n - 1] - time[0]
    result.timelength_maxgap = largest_gap(time)
    result.timelength_fwhm = FWHM * np.std(time)
    for k in range(1, n):
        result.zpattern += (z[k] > z[k - 1]) - (z[k] < z[k - 1])


@kernel
def hit_statistics(pulses: Pulses, results: np.ndarray) -> None:
    """Describe the pulses of each event.

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    results : structured array, shape (n_events,)
        Output, see `HitStatistics`.
    """
    for event in range(results.size):
        first, stop = pulses.starts[event], pulses.starts[event + 1]
        if stop > first:
            result = results[event]
            count_hits(pulses, first, stop, result)
            describe_charge(pulses, first, stop, result)
            describe_modules(pulses, first_pulses(pulses, first, stop), result)
            result.min_pulse_time = np.min(pulses.time[first:stop])
            result.max_pulse_time = np.max(pulses.time[first:stop])


class HitStatistics(EventStage):
    """Describe the pulses of each event: multiplicity, charge, heights, times."""

    results: ClassVar = (
        ("n_hit_strings", "int32", "", "strings with pulses"),
        ("n_hit_doms", "int32", "", "modules with pulses"),
        ("n_hit_doms_one_pulse", "int32", "", "modules with just one pulse"),
        ("n_pulses", "int32", "", "pulses"),
        ("q_tot_pulses", "float64", "pe", "charge"),
        ("q_max_doms", "float64", "pe", "greatest charge of a module"),
        ("cog_x", "float64", "m", "centre of gravity of the charge"),
        ("cog_y", "float64", "m", "centre of gravity of the charge"),
        ("cog_z", "float64", "m", "centre of gravity of the charge"),
        ("cog_z_sigma", "float64", "m", "standard deviation of z, weighted by charge"),
        ("min_pulse_time", "float64", "ns", "first pulse"),
        ("max_pulse_time", "float64", "ns", "last pulse"),
        ("z_min", "float64", "m", "lowest module"),
        ("z_max", "float64", "m", "highest module"),
        ("z_mean", "float64", "m", "mean of the modules' z"),
        ("z_sigma", "float64", "m", "standard deviation of the modules' z"),
        ("z_travel", "float64", "m", "mean z above that of the first quarter of the modules"),
        ("timelength_last_first", "float64", "ns", "last module hit after the first"),
        ("timelength_maxgap", "float64", "ns", "longest time between modules; NaN for one"),
        ("timelength_fwhm", "float64", "ns", "width at half maximum of a Gaussian as wide as the times"),
        ("zpattern", "int32", "", "modules hit after a lower one, minus those after a higher one"),
    )

    output: str = Field("HitStatistics", description="what the columns' names begin with")

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        pulses = self.gather(partition)
        results = blank(self.results, len(pulses.starts) - 1)
        hit_statistics(pulses, results)
        return self.columns(results)
