"""IceCube's triggers in the ice: simple multiplicity, volume and string triggers."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from etendue.dataflow.parameters import IntRange, Name
from etendue.dataflow.partition import Partition
from etendue.kernel import kernel
from etendue.neutrino.icecube.pulses import Pulses, PulseStage
from etendue.schema import Schema, Table, Variable, variables
from etendue.sorting import rows_in_order

#: How long a module reads out after it was launched: pulses in that time are of one hit [ns].
LAUNCH = 6400.0

#: Kinds of triggers, as kernels know them.
MULTIPLICITY, VOLUME, STRING = 0, 1, 2

#: Configuration number of the simple multiplicity trigger of DeepCore.
DEEPCORE_SMT = 1011


class Condition(NamedTuple):
    """What makes a trigger: ``n_hits`` within a ``window`` [ns] that meet the condition of their kind.

    ``extent`` and ``height`` are the radius and height of the cylinder [m] of a volume trigger, or the
    number of adjacent modules (and nothing) of a string trigger.
    """

    kind: int
    n_hits: int
    window: float
    extent: float
    height: float


@kernel
def hits_of_launches(pulses: Pulses, first: int, stop: int, picked: np.ndarray) -> np.ndarray:
    """The picked pulses that begin a launch of their module in local coincidence, ascending in time."""
    hits, n, module, end = np.empty(stop - first, dtype=np.int64), 0, np.int64(-1), 0.0
    for i in range(first, stop):
        if pulses.hlc[i] and picked[i] and (pulses.module[i] != module or pulses.time[i] >= end):
            module, end = pulses.module[i], pulses.time[i] + LAUNCH
            hits[n] = i
            n += 1
    return rows_in_order(hits[:n], pulses.time)


@kernel
def n_together(pulses: Pulses, hits: np.ndarray, centre: int, condition: Condition) -> int:
    """Hits of a window that belong to one of them: in the cylinder around it, or in the modules below it."""
    n = 0
    for j in hits:
        if condition.kind == VOLUME:
            dx, dy = pulses.x[j] - pulses.x[centre], pulses.y[j] - pulses.y[centre]
            across = dx * dx + dy * dy <= condition.extent**2
            n += across and abs(pulses.z[j] - pulses.z[centre]) <= condition.height / 2
        else:
            below = pulses.om[j] - pulses.om[centre]
            n += pulses.string[j] == pulses.string[centre] and 0 <= below < condition.extent
    return n


@kernel
def is_met(pulses: Pulses, hits: np.ndarray, condition: Condition) -> bool:
    """Whether the hits of a window make a trigger."""
    if hits.size < condition.n_hits:
        return False
    if condition.kind == MULTIPLICITY:
        return True
    for i in hits:  # noqa: SIM110 - a loop that compiles
        if n_together(pulses, hits, i, condition) >= condition.n_hits:
            return True
    return False


@kernel
def find_triggers(pulses: Pulses, picked: np.ndarray, condition: Condition) -> tuple:
    """Triggers of one condition in each event.

    A window begins at a hit. Windows that meet the condition and overlap are one trigger, which lasts
    from the first hit of the first of them to the last hit of the last.

    Parameters
    ----------
    pulses : Pulses
        Of many events; those not in local coincidence do not count.
    picked : bool array, shape (n_pulses,)
        Whether a pulse is of a module that the trigger listens to.
    condition : Condition
        What makes a trigger.

    Returns
    -------
    count : int32 array, shape (n_events,)
        Triggers of each event.
    time, length : float64 array, shape (n_triggers,)
        When a trigger begins, and how long it lasts [ns].
    n_hits : int32 array, shape (n_triggers,)
        Hits in that time.
    """
    n_events = pulses.starts.size - 1
    count = np.zeros(n_events, dtype=np.int32)
    time, length = np.empty(pulses.time.size), np.empty(pulses.time.size)
    n_hits = np.empty(pulses.time.size, dtype=np.int32)
    n = 0
    for event in range(n_events):
        hits = hits_of_launches(pulses, pulses.starts[event], pulses.starts[event + 1], picked)
        end, begin, last = 0, -1, -1
        for k in range(hits.size):
            while end < hits.size and pulses.time[hits[end]] <= pulses.time[hits[k]] + condition.window:
                end += 1
            if not is_met(pulses, hits[k:end], condition):
                continue
            if begin >= 0 and k <= last:
                last = end - 1
                n -= 1
            else:
                begin, last = k, end - 1
                count[event] += 1
            time[n] = pulses.time[hits[begin]]
            length[n] = pulses.time[hits[last]] - time[n]
            n_hits[n] = last - begin + 1
            n += 1
    return count, time[:n], length[:n], n_hits[:n]


class _Trigger(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name = Field(description="what the columns' names of events begin with")
    config_id: int = Field(description="number of the trigger's configuration")
    strings: tuple[IntRange, ...] = Field(
        ((1, 86),), min_length=1, description="first and last of the strings"
    )
    modules: IntRange = Field((1, 60), description="first and last module on the strings")


class SimpleMultiplicity(_Trigger):
    """Hits in local coincidence anywhere in the detector."""

    kind: Literal["simple_multiplicity"] = "simple_multiplicity"
    name: str = "InIceSMT"
    config_id: int = 1006
    n_hits: int = Field(8, ge=1, description="hits")
    window: float = Field(5000.0, gt=0, description="time window [ns]")

    def condition(self) -> Condition:
        """As kernels know it."""
        return Condition(MULTIPLICITY, self.n_hits, self.window, 0.0, 0.0)


class Volume(_Trigger):
    """Hits in local coincidence in a cylinder around one of them."""

    kind: Literal["volume"] = "volume"
    name: str = "Volume"
    config_id: int = 21001
    n_hits: int = Field(4, ge=1, description="hits")
    window: float = Field(1000.0, gt=0, description="time window [ns]")
    radius: float = Field(175.0, gt=0, description="of the cylinder [m]")
    height: float = Field(75.0, gt=0, description="of the cylinder [m]")

    def condition(self) -> Condition:
        """As kernels know it."""
        return Condition(VOLUME, self.n_hits, self.window, self.radius, self.height)


class String(_Trigger):
    """Hits in local coincidence in adjacent modules of one string."""

    kind: Literal["string"] = "string"
    name: str = "InIceString"
    config_id: int = 1007
    n_hits: int = Field(5, ge=1, description="hits")
    window: float = Field(1500.0, gt=0, description="time window [ns]")
    span: int = Field(7, ge=1, description="adjacent modules")

    def condition(self) -> Condition:
        """As kernels know it."""
        return Condition(STRING, self.n_hits, self.window, float(self.span), 0.0)


#: DeepCore's simple multiplicity trigger: its own strings and those around it, below the layer of dust.
DEEPCORE = SimpleMultiplicity(
    name="DeepCoreSMT",
    config_id=DEEPCORE_SMT,
    n_hits=3,
    window=2500.0,
    strings=((26, 27), (35, 37), (45, 46), (79, 86)),
    modules=(11, 60),
)

AnyTrigger = Annotated[SimpleMultiplicity | Volume | String, Field(discriminator="kind")]


class FindTriggers(PulseStage):
    """Run the triggers in the ice on the hits of each event.

    Makes a table of triggers, and says of each trigger whether and when it first came, in the columns
    ``<name>_triggered`` and ``<name>_time`` of events. The defaults are those of IceCube in 2016 (M. G.
    Aartsen et al., JINST 12 (2017) P03012, table 3).
    """

    table_columns: ClassVar = {
        "config_id": ("int32", "", "number of the trigger's configuration"),
        "time": ("float64", "ns", "first hit"),
        "length": ("float64", "ns", "last hit after the first"),
        "n_hits": ("int32", "", "hits in that time"),
    }

    output: str = Field("found_triggers", description="name of the table")
    triggers: tuple[AnyTrigger, ...] = Field(
        (SimpleMultiplicity(), DEEPCORE, Volume(), String()), description="the triggers, with their settings"
    )

    def makes(self, schema: Schema) -> list[Table]:
        """The table of triggers."""
        dim = f"{self.output}_row"
        columns = variables(dim, **self.table_columns)
        return [Table(self.output, dim, columns, parent="events", description="one row a trigger")]

    def provides(self, schema: Schema) -> dict[str, Variable]:
        """Whether and when each trigger came."""
        made = {}
        for trigger in self.triggers:
            came, time = f"{trigger.name}_triggered", f"{trigger.name}_time"
            made[f"events/{came}"] = Variable(came, ("event",), "bool", "", "whether the trigger came")
            made[f"events/{time}"] = Variable(time, ("event",), "float64", "ns", "when it first came")
        return made

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        pulses = self.gather(partition)
        n_events = len(pulses.starts) - 1
        made, owner, rows = {}, [], []
        for trigger in self.triggers:
            count, *columns = find_triggers(pulses, _listens(trigger, pulses), trigger.condition())
            came, first = count > 0, np.cumsum(count) - count
            time = np.full(n_events, np.nan)
            time[came] = columns[0][first[came]]
            made[f"events/{trigger.name}_triggered"], made[f"events/{trigger.name}_time"] = came, time
            owner.append(np.repeat(np.arange(n_events), count))
            rows.append((np.full(len(columns[0]), trigger.config_id, dtype=np.int32), *columns))
        order = np.argsort(np.concatenate(owner), kind="stable") if owner else np.empty(0, np.int64)
        for name, parts in zip(self.table_columns, zip(*rows, strict=True), strict=True):
            made[f"{self.output}/{name}"] = np.concatenate(parts)[order]
        counts = np.bincount(np.concatenate(owner), minlength=n_events)
        made[f"events/n_{self.output}"] = counts.astype(np.int32)
        return made


def _listens(trigger: SimpleMultiplicity | Volume | String, pulses: Pulses) -> np.ndarray:
    """Whether each pulse is of a module that a trigger listens to."""
    picked = np.zeros(len(pulses.time), dtype=np.bool_)
    for first, last in trigger.strings:
        picked |= (pulses.string >= first) & (pulses.string <= last)
    return picked & (pulses.om >= trigger.modules[0]) & (pulses.om <= trigger.modules[1])
