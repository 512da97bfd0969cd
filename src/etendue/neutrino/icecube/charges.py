"""Total charge of an event, as IceCube's filters for high energies ask for it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from etendue.dataflow.partition import Partition
from etendue.kernel import kernel
from etendue.neutrino.icecube.pulses import EventStage, Pulses
from etendue.schema import Schema

#: First of the strings of DeepCore, of whose denser modules most have photomultipliers of high efficiency.
FIRST_DEEPCORE_STRING = 79

#: Modules of high efficiency on other strings, as in the geometry table of graphnet (column ``rde``).
EFFICIENT_STRING, EFFICIENT_MODULES = 36, (44, 46, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59)

#: Share of an event's charge from which on a module counts as lit by itself, or by something next to it.
BALLOON = 0.5

#: How long after the vertex charge counts as caused by it: what light, and its afterpulses, take [ns].
CAUSAL_WINDOW = 5000.0


@kernel
def is_homogeneous(string: int, om: int) -> bool:
    """Whether a module is of the regular grid of modules of equal efficiency."""
    return string < FIRST_DEEPCORE_STRING and not (string == EFFICIENT_STRING and om in EFFICIENT_MODULES)


@kernel
def homogenized_charge(pulses: Pulses, begin: np.ndarray, end: np.ndarray, charge: np.ndarray) -> None:
    """Charge of the modules of the regular grid, without modules that hold half of it or more.

    Q = sum of the modules' charges q; those with q >= Q / 2 do not count (IceCube Collaboration,
    Science 342 (2013) 1242856).

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    begin, end : float64 array, shape (n_events,)
        Times from and to which pulses count [ns].
    charge : float64 array, shape (n_events,)
        Output [pe].
    """
    for event in range(charge.size):
        first, stop = pulses.starts[event], pulses.starts[event + 1]
        of_module = np.zeros(stop - first)
        total, n_modules = 0.0, 0
        for i in range(first, stop):
            if i == first or pulses.module[i] != pulses.module[i - 1]:
                n_modules += 1
            if begin[event] <= pulses.time[i] <= end[event] and is_homogeneous(
                pulses.string[i], pulses.om[i]
            ):
                of_module[n_modules - 1] += pulses.charge[i]
                total += pulses.charge[i]
        charge[event] = 0.0
        for q in of_module[:n_modules]:
            if q < BALLOON * total:
                charge[event] += q


class HomogenizedQTot(EventStage):
    """Sum the charge of each event over the modules of the regular grid.

    With the time of a vertex only charge that the vertex can have caused counts: IceCube's
    ``CausalQTot``. Without a vertex in an event that is zero.
    """

    positions: ClassVar = False
    results: ClassVar = (("", "float64", "pe", "charge of the modules of the regular grid"),)

    output: str = Field("HomogenizedQTot", description="name of the column")
    vertex_time: str = Field("", description="column of events: the vertex' time; empty for all charge")

    def requires(self, schema: Schema) -> list[str]:
        """The pulses and, if it is named, the time of the vertex."""
        return [*super().requires(schema), *([f"events/{self.vertex_time}"] if self.vertex_time else [])]

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        pulses = self.gather(partition)
        n_events = len(pulses.starts) - 1
        begin, end = np.full(n_events, -np.inf), np.full(n_events, np.inf)
        if self.vertex_time:
            begin = partition[f"events/{self.vertex_time}"].astype(np.float64)
            end = begin + CAUSAL_WINDOW
        charge = np.empty(n_events)
        homogenized_charge(pulses, begin, end, charge)
        return {self.column(""): charge}
