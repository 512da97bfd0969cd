"""Topological splitting: the particles that a readout of the detector holds, told apart by causality."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from etendue.dataflow.partition import Partition
from etendue.kernel import kernel
from etendue.neutrino.icecube.pulses import C, Pulses, PulseStage
from etendue.schema import Schema, Table, Variable, variables
from etendue.sorting import stable_order


class Connection(NamedTuple):
    """When two pulses are connected, and how many connected pulses make a sub-event.

    Parameters
    ----------
    multiplicity : int
        Modules whose pulses must be connected to one pulse, with its own, to make a sub-event.
    window : float
        Greatest difference of times [ns].
    horizontal : float
        Greatest horizontal distance [m].
    modules : int
        Greatest distance on one string, in modules.
    cone : float
        Greatest deviation of the difference of times from that of light in vacuum [ns].
    """

    multiplicity: int
    window: float
    horizontal: float
    modules: int
    cone: float


@kernel
def are_connected(pulses: Pulses, i: int, j: int, connection: Connection) -> bool:
    """Whether two pulses can be of one particle: near in space, and ||t_i - t_j| - |r_i - r_j| / c| small."""
    if pulses.string[i] == pulses.string[j] and abs(pulses.om[i] - pulses.om[j]) > connection.modules:
        return False
    dx, dy, dz = pulses.x[i] - pulses.x[j], pulses.y[i] - pulses.y[j], pulses.z[i] - pulses.z[j]
    across = dx * dx + dy * dy
    if across > connection.horizontal**2:
        return False
    light = np.sqrt(across + dz * dz) / C
    return abs(abs(pulses.time[i] - pulses.time[j]) - light) <= connection.cone


@kernel
def root_of(parent: np.ndarray, i: int) -> int:
    """The pulse that stands for the cluster of a pulse; shortens the way to it."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@kernel
def places_before(pulses: Pulses, ordered: np.ndarray) -> np.ndarray:
    """Of each pulse, the place in the order of the pulse before it in the same module; -1 for none."""
    before = np.full(ordered.size, -1, dtype=np.int64)
    by_module = stable_order(ordered)  # pulses stand by module and time in the table
    for k in range(1, ordered.size):
        place, last = by_module[k], by_module[k - 1]
        if pulses.module[ordered[place]] == pulses.module[ordered[last]]:
            before[place] = last
    return before


@kernel
def join_connected(
    pulses: Pulses, ordered: np.ndarray, connection: Connection, parent: np.ndarray, n_modules: np.ndarray
) -> None:
    """Join the pulses of an event that are connected into clusters (union-find).

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    ordered : int64 array, shape (n,)
        The event's pulses, ascending in time.
    connection : Connection
        Which pulses are connected.
    parent : int64 array, shape (n,)
        Output: for each place in the order, another of the same cluster, or itself.
    n_modules : int64 array, shape (n,)
        Output: for each place, the modules of the pulses from it on that are connected to it, with its
        own; counted up to the multiplicity.
    """
    before = places_before(pulses, ordered)
    for k in range(ordered.size):
        parent[k], n_modules[k] = k, 1
    for k in range(ordered.size):
        for m in range(k - 1, -1, -1):
            i, j = ordered[k], ordered[m]
            if pulses.time[i] - pulses.time[j] > connection.window:
                break
            one, other = root_of(parent, k), root_of(parent, m)
            # A module counts by its first pulse after m.
            counts = before[k] < m and n_modules[m] < connection.multiplicity
            if (one != other or counts) and are_connected(pulses, i, j, connection):
                parent[max(one, other)] = min(one, other)
                n_modules[m] += counts


@kernel
def split(pulses: Pulses, connection: Connection) -> tuple[np.ndarray, np.ndarray]:
    """Assign the pulses of each event to sub-events: clusters of connected pulses.

    A cluster is a sub-event if one of its pulses is connected to later ones of enough modules.

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    connection : Connection
        Which pulses are connected, and how many make a sub-event.

    Returns
    -------
    subevent : int32 array, shape (n_pulses,)
        Number of the sub-event in its event, ascending in the time of their first pulses; -1 for none.
    count : int32 array, shape (n_events,)
        Sub-events of each event.
    """
    subevent = np.full(pulses.time.size, -1, dtype=np.int32)
    count = np.zeros(pulses.starts.size - 1, dtype=np.int32)
    for event in range(count.size):
        first, stop = pulses.starts[event], pulses.starts[event + 1]
        ordered = first + stable_order(pulses.time[first:stop])
        parent, n_modules = np.empty(ordered.size, dtype=np.int64), np.empty(ordered.size, dtype=np.int64)
        join_connected(pulses, ordered, connection, parent, n_modules)
        # A root is the first of its cluster in time: clusters come in the order of their first pulses.
        roots = np.array([root_of(parent, k) for k in range(ordered.size)], dtype=np.int64)
        by_cluster = stable_order(roots)
        begin = 0
        while begin < ordered.size:
            end = begin + 1
            while end < ordered.size and roots[by_cluster[end]] == roots[by_cluster[begin]]:
                end += 1
            members = by_cluster[begin:end]
            if np.max(n_modules[members]) >= connection.multiplicity:
                subevent[ordered[members]] = count[event]
                count[event] += 1
            begin = end
    return subevent, count


class TopologicalSplit(PulseStage):
    """Split the pulses of each event into sub-events, and make a table of them.

    The column ``subevent`` of the pulse series says which sub-event of its event a pulse is of. The
    defaults are those of IceCube's splitter. All clusters that have a pulse in common are one.
    """

    table_columns: ClassVar = {
        "time": ("float64", "ns", "first pulse"),
        "length": ("float64", "ns", "last pulse after the first"),
        "n_pulses": ("int32", "", "pulses"),
        "charge": ("float64", "pe", "charge"),
    }

    output: str = Field("subevents", description="name of the table")
    multiplicity: int = Field(4, ge=1, description="connected modules that make a sub-event")
    time_window: float = Field(4000.0, gt=0, description="window for that, and for connections [ns]")
    xy_distance: float = Field(
        500.0, gt=0, description="greatest horizontal distance of connected pulses [m]"
    )
    z_dom_distance: int = Field(30, ge=0, description="greatest distance on one string, in modules")
    time_cone: float = Field(1000.0, ge=0, description="greatest deviation from the speed of light [ns]")

    def makes(self, schema: Schema) -> list[Table]:
        """The table of sub-events."""
        dim = f"{self.output}_row"
        columns = variables(dim, **self.table_columns)
        return [Table(self.output, dim, columns, parent="events", description="one row a sub-event")]

    def provides(self, schema: Schema) -> dict[str, Variable]:
        """Which sub-event each pulse is of."""
        dims = tuple(table.dim for table in schema.matching(self.pulses))
        about = "number of the pulse's sub-event in its event; -1 for none"
        return {f"{self.pulses}/subevent": Variable("subevent", dims, "int32", "", about)}

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        pulses = self.gather(partition)
        limits = (self.time_window, self.xy_distance, self.z_dom_distance, self.time_cone)
        subevent, count = split(pulses, Connection(self.multiplicity, *limits))
        column = np.full(partition.rows(self.pulses), -1, dtype=np.int32)
        column[pulses.rows] = subevent
        member = subevent >= 0
        first = np.cumsum(count) - count
        row = np.repeat(first, np.diff(pulses.starts))[member] + subevent[member]
        n_rows = int(count.sum())
        time, end = np.full(n_rows, np.inf), np.full(n_rows, -np.inf)
        np.minimum.at(time, row, pulses.time[member])
        np.maximum.at(end, row, pulses.time[member])
        rows = {
            "time": time,
            "length": end - time,
            "n_pulses": np.bincount(row, minlength=n_rows).astype(np.int32),
            "charge": np.bincount(row, pulses.charge[member], minlength=n_rows).astype(np.float64),
        }
        made = {f"{self.output}/{name}": array for name, array in rows.items()}
        return {**made, f"events/n_{self.output}": count, f"{self.pulses}/subevent": column}
