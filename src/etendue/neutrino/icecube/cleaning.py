"""Cleaning of pulses: which pulses of an event are of light from a particle, not of noise.

Each stage writes a bool column of the pulse series, which later stages take as ``mask``.
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from etendue.dataflow.parameters import IntRange
from etendue.dataflow.partition import Partition
from etendue.kernel import kernel
from etendue.neutrino.icecube.charges import FIRST_DEEPCORE_STRING
from etendue.neutrino.icecube.pulses import Pulses, PulseStage
from etendue.schema import Schema, Variable
from etendue.sorting import stable_order


class Reach(NamedTuple):
    """How near in space and time two pulses are if they are of the same light.

    Parameters
    ----------
    radius, time : float
        Greatest distance [m] and difference of times [ns].
    dense_radius, dense_time : float
        The same if both modules are of DeepCore.
    same_module : bool
        Whether two pulses of one module count.
    """

    radius: float
    time: float
    dense_radius: float
    dense_time: float
    same_module: bool


@kernel
def are_near(pulses: Pulses, i: int, j: int, reach: Reach) -> bool:
    """Whether two pulses are near each other: |r_i - r_j| <= R and |t_i - t_j| <= T."""
    radius, time = reach.radius, reach.time
    if pulses.string[i] >= FIRST_DEEPCORE_STRING and pulses.string[j] >= FIRST_DEEPCORE_STRING:
        radius, time = reach.dense_radius, reach.dense_time
    if abs(pulses.time[i] - pulses.time[j]) > time:
        return False
    if pulses.module[i] == pulses.module[j]:
        return reach.same_module
    dx, dy, dz = pulses.x[i] - pulses.x[j], pulses.y[i] - pulses.y[j], pulses.z[i] - pulses.z[j]
    return dx * dx + dy * dy + dz * dz <= radius * radius


@kernel
def n_partners(
    pulses: Pulses, i: int, others: np.ndarray, times: np.ndarray, reach: Reach, enough: int
) -> int:
    """Count the pulses near a pulse, up to as many as are ``enough``.

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    i : int
        The pulse.
    others : int64 array, shape (n_others,)
        Pulses of the same event, ascending in time; the pulse itself is no partner.
    times : float64 array, shape (n_others,)
        Their times [ns].
    reach : Reach
        What is near.
    enough : int
        Where counting ends.
    """
    longest = max(reach.time, reach.dense_time)
    count = 0
    for k in range(np.searchsorted(times, pulses.time[i] - longest), times.size):
        if times[k] > pulses.time[i] + longest or count >= enough:
            break
        if others[k] != i and are_near(pulses, i, others[k], reach):
            count += 1
    return count


@kernel
def select_core(
    pulses: Pulses, candidates: np.ndarray, reach: Reach, n_needed: int, kept: np.ndarray
) -> None:
    """Mark the pulses that have at least ``n_needed`` partners among the candidates, of which they are."""
    times = pulses.time[candidates]
    for i in candidates:
        kept[i] = n_partners(pulses, i, candidates, times, reach, n_needed) >= n_needed


@kernel
def grow(pulses: Pulses, ordered: np.ndarray, reach: Reach, iterations: int, kept: np.ndarray) -> None:
    """Add to the kept pulses of an event those near them, again and again.

    S_(k+1) = S_k with all i for which there is a j in S_k near i. Only what the last step added can add
    more, so that each step looks at that alone.

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    ordered : int64 array, shape (n,)
        Pulses of the event, ascending in time.
    reach : Reach
        What is near.
    iterations : int
        Steps at most; negative for as many as add something.
    kept : bool array, shape (n_pulses,)
        Input and output.
    """
    new = ordered[kept[ordered]]
    step = 0
    while new.size > 0 and step != iterations:
        times = pulses.time[new]
        added, n_added = np.empty(ordered.size, dtype=np.int64), 0
        for i in ordered:
            if not kept[i] and n_partners(pulses, i, new, times, reach, 1) > 0:
                added[n_added] = i
                n_added += 1
        new = added[:n_added]
        for i in new:
            kept[i] = True
        step += 1


@kernel
def seeded_rt(
    pulses: Pulses, reach: Reach, only_hlc: bool, n_needed: int, all_if_none: bool, iterations: int
) -> np.ndarray:
    """Keep the pulses that hang together with seeds in space and time (seeded RT cleaning).

    Seeds are the pulses (in local coincidence) with enough partners among themselves; `grow` adds to
    them. Without iterations, of all pulses and with one partner, it is the classical RT cut.

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    reach : Reach
        What is near.
    only_hlc : bool
        Whether seeds are in local coincidence.
    n_needed : int
        Partners that a seed needs.
    all_if_none : bool
        Whether all pulses in local coincidence are seeds if none has partners enough.
    iterations : int
        Steps of growth at most; negative for no limit.

    Returns
    -------
    bool array, shape (n_pulses,)
        Whether each pulse is kept.
    """
    kept = np.zeros(pulses.time.size, dtype=np.bool_)
    for event in range(pulses.starts.size - 1):
        first, stop = pulses.starts[event], pulses.starts[event + 1]
        ordered = first + stable_order(pulses.time[first:stop])
        candidates = ordered[pulses.hlc[ordered]] if only_hlc else ordered
        select_core(pulses, candidates, reach, n_needed, kept)
        if all_if_none and not np.any(kept[first:stop]):
            kept[ordered[pulses.hlc[ordered]]] = True
        grow(pulses, ordered, reach, iterations, kept)
    return kept


@kernel
def densest_window(pulses: Pulses, length: float, by_charge: bool) -> np.ndarray:
    """Keep the pulses of each event in the time window of a length that holds most, or most charge.

    Windows begin at a pulse and hold t0 <= t <= t0 + length; of equal ones the earliest counts.

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    length : float
        Nanoseconds.
    by_charge : bool
        Whether charge counts, not the number of pulses.

    Returns
    -------
    bool array, shape (n_pulses,)
        Whether each pulse is kept.
    """
    kept = np.zeros(pulses.time.size, dtype=np.bool_)
    for event in range(pulses.starts.size - 1):
        first, stop = pulses.starts[event], pulses.starts[event + 1]
        ordered = first + stable_order(pulses.time[first:stop])
        end, content, most, best = 0, 0.0, -np.inf, 0.0
        for i in ordered:
            while end < ordered.size and pulses.time[ordered[end]] <= pulses.time[i] + length:
                content += pulses.charge[ordered[end]] if by_charge else 1.0
                end += 1
            if content > most:
                most, best = content, pulses.time[i]
            content -= pulses.charge[i] if by_charge else 1.0
        for i in ordered:
            kept[i] = best <= pulses.time[i] <= best + length
    return kept


class MaskStage(PulseStage):
    """Base of the stages that mark pulses of a series."""

    output: str = Field(..., description="name of the bool column to write")

    def provides(self, schema: Schema) -> dict[str, Variable]:
        """The mask."""
        dims = tuple(table.dim for table in schema.matching(self.pulses))
        about = f"pulses kept by {self.name}"
        return {f"{self.pulses}/{self.output}": Variable(self.output, dims, "bool", "", about)}

    def mark(self, partition: Partition, pulses: Pulses, kept: np.ndarray) -> dict[str, np.ndarray]:
        """The column that is true for the pulses that are kept."""
        column = np.zeros(partition.rows(self.pulses), dtype=np.bool_)
        column[pulses.rows[kept]] = True
        return {f"{self.pulses}/{self.output}": column}


class SeededRT(MaskStage):
    """Seeded RT cleaning: pulses in local coincidence, and what hangs together with them.

    The defaults are those of IceCube's online filters.
    """

    output: str = Field("seeded_rt", description="name of the bool column to write")
    radius: float = Field(150.0, gt=0, description="how far apart pulses hang together [m]")
    time: float = Field(1000.0, gt=0, description="and how far in time [ns]")
    deepcore_radius: float | None = Field(
        None, gt=0, description="the same between modules of DeepCore, as 75 [m]"
    )
    deepcore_time: float | None = Field(
        None, gt=0, description="the same between modules of DeepCore, as 500 [ns]"
    )
    same_module: bool = Field(True, description="whether pulses of one module are partners")
    seeds: Literal["AllHLCHits", "HLCCoreHits", "AllCoreHits"] = Field(
        "HLCCoreHits",
        description="what the cleaning grows from: pulses in local coincidence; those of them with partners; "
        "all pulses with partners",
    )
    n_hits_threshold: int = Field(2, ge=0, description="partners that a seed needs, but for AllHLCHits")
    iterations: int = Field(3, ge=-1, description="steps of growth at most; -1 for no limit")

    @property
    def settings(self) -> tuple[Reach, bool, int, bool, int]:
        """What `seeded_rt` takes beside the pulses."""
        reach = Reach(
            self.radius,
            self.time,
            self.radius if self.deepcore_radius is None else self.deepcore_radius,
            self.time if self.deepcore_time is None else self.deepcore_time,
            self.same_module,
        )
        needed = 0 if self.seeds == "AllHLCHits" else self.n_hits_threshold
        only_hlc, all_if_none = self.seeds != "AllCoreHits", self.seeds == "HLCCoreHits"
        return reach, only_hlc, needed, all_if_none, self.iterations

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        pulses = self.gather(partition)
        return self.mark(partition, pulses, seeded_rt(pulses, *self.settings))


class ClassicRT(SeededRT):
    """The classical RT cut: pulses that have a partner in space and time."""

    output: str = Field("classic_rt", description="name of the bool column to write")
    seeds: Literal["AllCoreHits"] = Field("AllCoreHits", description="all pulses with partners")
    n_hits_threshold: int = Field(1, ge=0, description="partners that a pulse needs")
    iterations: int = Field(0, ge=-1, description="steps of growth at most; -1 for no limit")


class StaticTimeWindow(MaskStage):
    """Keep the pulses in a time window around a time of the event, such as a trigger's."""

    positions: ClassVar = False

    icetop: bool = Field(True, description="whether pulses of IceTop's tanks can be kept")
    output: str = Field("static_window", description="name of the bool column to write")
    reference: str = Field(..., description="column of events: the time that the window is around [ns]")
    before: float = Field(4000.0, description="how far the window reaches back [ns]")
    after: float = Field(6000.0, description="how far the window reaches forward [ns]")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.before + self.after <= 0:
            raise ValueError(
                f"before = {self.before} and after = {self.after}: the window ends before it begins; "
                "their sum is its length"
            )
        return self

    def requires(self, schema: Schema) -> list[str]:
        """The pulses and the time of reference."""
        return [*super().requires(schema), f"events/{self.reference}"]

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        pulses = self.gather(partition)
        since = pulses.time - np.repeat(partition[f"events/{self.reference}"], np.diff(pulses.starts))
        return self.mark(partition, pulses, (since >= -self.before) & (since <= self.after))


class DynamicTimeWindow(MaskStage):
    """Keep the pulses in the time window that holds most of the event."""

    positions: ClassVar = False

    icetop: bool = Field(True, description="whether pulses of IceTop's tanks count, and can be kept")
    output: str = Field("dynamic_window", description="name of the bool column to write")
    length: float = Field(6000.0, gt=0, description="length of the window [ns]")
    use_charge: bool = Field(False, description="whether charge counts, not the number of pulses")

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        pulses = self.gather(partition)
        return self.mark(partition, pulses, densest_window(pulses, self.length, self.use_charge))


class SelectPulses(MaskStage):
    """Keep pulses by what they are: of local coincidences, of some strings or modules."""

    positions: ClassVar = False

    icetop: bool = Field(True, description="whether pulses of IceTop's tanks can be kept")
    output: str = Field(..., description="name of the bool column to write")
    local_coincidence: bool | None = Field(None, description="true for HLC pulses only, false for SLC only")
    strings: IntRange | None = Field(None, description="first and last string, as 1 to 78")
    modules: IntRange = Field((1, 60), description="first and last module on the string")

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        pulses = self.gather(partition)
        kept = (pulses.om >= self.modules[0]) & (pulses.om <= self.modules[1])
        if self.strings is not None:
            kept &= (pulses.string >= self.strings[0]) & (pulses.string <= self.strings[1])
        if self.local_coincidence is not None:
            kept &= pulses.hlc == self.local_coincidence
        return self.mark(partition, pulses, kept)
