"""The veto of DeepCore's filter: light outside that moves into DeepCore as a muon would."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from etendue.dataflow.parameters import FloatRange
from etendue.dataflow.partition import Partition
from etendue.kernel import kernel
from etendue.neutrino.icecube.pulses import GROUP_INDEX, C, EventStage, Pulses, blank, first_pulses

#: DeepCore's own strings and the modules on them below the layer of dust.
OWN_STRINGS, OWN_MODULES = (79, 86), (11, 60)

#: Strings around DeepCore, and the modules on them that are part of its volume: those that the processing
#: records in IceCube's files list for the filter.
NEAR_STRINGS, NEAR_MODULES = (25, 26, 27, 34, 35, 36, 37, 44, 45, 46, 47, 54), (39, 60)


@kernel
def is_fiducial(string: int, om: int) -> bool:
    """Whether a module is of DeepCore's volume."""
    if OWN_STRINGS[0] <= string <= OWN_STRINGS[1]:
        return OWN_MODULES[0] <= om <= OWN_MODULES[1]
    return string in NEAR_STRINGS and NEAR_MODULES[0] <= om <= NEAR_MODULES[1]


@kernel
def centre_of_first_light(pulses: Pulses, hits: np.ndarray, centre: np.ndarray) -> None:
    """Where and when there was light in DeepCore: the mean over its modules without outliers in time.

    Hits within a standard deviation of the mean time count. The time is the mean of what each of them
    says of the light's start: t - r n / c.

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    hits : int64 array, shape (n,)
        First pulses of DeepCore's modules; one at least.
    centre : float64 array, shape (4,)
        Output: position [m] and time [ns].
    """
    times = pulses.time[hits]
    near = hits[np.abs(times - np.mean(times)) <= np.std(times)]
    if near.size == 0:
        near = hits
    x, y, z = np.mean(pulses.x[near]), np.mean(pulses.y[near]), np.mean(pulses.z[near])
    time = 0.0
    for i in near:
        r = np.sqrt((pulses.x[i] - x) ** 2 + (pulses.y[i] - y) ** 2 + (pulses.z[i] - z) ** 2)
        time += pulses.time[i] - r * GROUP_INDEX / C
    centre[0], centre[1], centre[2], centre[3] = x, y, z, time / near.size


@kernel
def deepcore_veto(
    pulses: Pulses, slowest: float, fastest: float, n_allowed: int, results: np.ndarray
) -> None:
    """Count the modules outside DeepCore whose light came into it with the speed of a particle.

    The speed is |r_c - r| / (t_c - t) towards the centre of the light in DeepCore; positive if it came
    before (R. Abbasi et al., Astropart. Phys. 35 (2012) 615, section 5).

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    slowest, fastest : float
        Speeds of a particle [m/ns].
    n_allowed : int
        Modules that make no veto.
    results : structured array, shape (n_events,)
        Output, see `DeepCoreVeto`.
    """
    centre = np.empty(4)
    for event in range(results.size):
        result = results[event]
        hits = first_pulses(pulses, pulses.starts[event], pulses.starts[event + 1])
        inside = np.array([is_fiducial(pulses.string[i], pulses.om[i]) for i in hits], dtype=np.bool_)
        result.vetoed = True
        if not np.any(inside):
            continue
        centre_of_first_light(pulses, hits[inside], centre)
        for i in hits[~inside]:
            dx, dy, dz = centre[0] - pulses.x[i], centre[1] - pulses.y[i], centre[2] - pulses.z[i]
            speed = np.sqrt(dx * dx + dy * dy + dz * dz) / (centre[3] - pulses.time[i])
            result.n_incoming += slowest <= speed <= fastest
        result.vetoed = result.n_incoming > n_allowed


class DeepCoreVeto(EventStage):
    """Veto events with light that came into DeepCore from outside, or none in it.

    IceCube's filter gives it the pulses of the seeded RT cleaning that grows from all pulses in local
    coincidence without limit.
    """

    results: ClassVar = (
        ("n_incoming", "int32", "", "modules outside whose light came into DeepCore"),
        ("vetoed", "bool", "", "whether there are too many of them, or no light in DeepCore"),
    )

    output: str = Field("DeepCoreVeto", description="what the columns' names begin with")
    speeds: FloatRange = Field((0.25, 0.40), description="slowest and fastest particle [m/ns]")
    min_hits_to_veto: int = Field(1, ge=0, description="modules with incoming light that make no veto")

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        pulses = self.gather(partition)
        results = blank(self.results, len(pulses.starts) - 1)
        deepcore_veto(pulses, *self.speeds, self.min_hits_to_veto, results)
        return self.columns(results)
