"""Pulses that fits to bright events leave out: of bright, bad or saturated modules, and of bad times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field

from etendue.dataflow.partition import Partition
from etendue.kernel import kernel
from etendue.neutrino.icecube.cleaning import MaskStage
from etendue.neutrino.icecube.pulses import Pulses, sensor
from etendue.schema import Columns, Schema, Table, Variable

#: What IceCube calls lists of modules and of time windows that are not to be used.
EXCLUSIONS = (
    "BadDomsList",
    "BrightDOMs",
    "SaturatedDOMs",
    "CalibrationErrata",
    "SaturationWindows",
)
_MODULE, _WINDOW = ("string", "om", "pmt"), ("start", "stop")


@kernel
def mark_windows(
    key: np.ndarray,
    time: np.ndarray,
    window: np.ndarray,
    start: np.ndarray,
    stop: np.ndarray,
    marked: np.ndarray,
) -> None:
    """Mark the pulses that are in a time window of their module, its ends included.

    Parameters
    ----------
    key : int64 array, shape (n_pulses,)
        Event and photomultiplier of each pulse, ascending.
    time : float64 array, shape (n_pulses,)
        Nanoseconds.
    window : int64 array, shape (n_windows,)
        Event and photomultiplier of each window.
    start, stop : float64 array, shape (n_windows,)
        Its ends [ns]; an end that is NaN is open.
    marked : bool array, shape (n_pulses,)
        Input and output.
    """
    for w in range(window.size):
        i = np.searchsorted(key, window[w])
        while i < key.size and key[i] == window[w]:
            if not time[i] < start[w] and not time[i] > stop[w]:
                marked[i] = True
            i += 1


@kernel
def bright_modules(pulses: Pulses, threshold: float) -> np.ndarray:
    """Mark the pulses of modules whose charge is above a multiple of the mean of the event's modules.

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    threshold : float
        Multiple of the mean charge of the modules hit.

    Returns
    -------
    bool array, shape (n_pulses,)
    """
    bright = np.zeros(pulses.time.size, dtype=np.bool_)
    for event in range(pulses.starts.size - 1):
        first, stop = pulses.starts[event], pulses.starts[event + 1]
        of_module, module = np.zeros(stop - first), np.empty(stop - first, dtype=np.int64)
        n, total = 0, 0.0
        for i in range(first, stop):
            n += i == first or pulses.module[i] != pulses.module[i - 1]
            module[i - first] = n - 1
            of_module[n - 1] += pulses.charge[i]
            total += pulses.charge[i]
        for i in range(first, stop):
            bright[i] = of_module[module[i - first]] * n > threshold * total
    return bright


class ExcludeModules(MaskStage):
    """Keep the pulses of modules and times that a fit to a bright event can use.

    Left out are the modules and time windows that IceCube stored with the event or the detector's status, as
    far as there are those that ``excluded`` names (lists of modules, I3VectorOMKey, and time windows of
    modules, I3TimeWindowSeriesMap); and modules with more than ``bright`` times the mean charge of the
    event's modules: something next to them shone there. How many that were is written to the events.
    """

    positions: ClassVar = False

    output: str = Field("usable", description="name of the bool column to write")
    excluded: tuple[str, ...] = Field(
        EXCLUSIONS, description="tables of modules, or of time windows of modules, to leave out"
    )
    bright: float | None = Field(
        10.0,
        gt=0,
        description="modules with more than so many times the mean charge are left out; none if not given",
    )
    partial: bool = Field(
        True,
        description="whether of modules with time windows only the pulses in those are left out, not all",
    )

    def check(self, schema: Schema, static: Mapping[str, Columns]) -> None:
        """See that what is named beyond IceCube's usual lists is there, and is of modules."""
        for name in self.excluded:
            if name not in schema and name not in EXCLUSIONS:
                raise ValueError(f"excluded names {name!r}, and the inputs have no such table")
            if name in schema and not set(_MODULE) <= schema[name].variables.keys():
                raise ValueError(f"excluded names {name!r}, which has no columns {', '.join(_MODULE)}")

    def _tables(self, schema: Schema) -> list[Table]:
        return [schema[name] for name in self.excluded if name in schema]

    def requires(self, schema: Schema) -> list[str]:
        """The pulses, and the modules and windows that are stored with events."""
        tables = self._tables(schema)
        of_events = [table for table in tables if table.role == "rows"]
        names = [f"{t.name}/{c}" for t in of_events for c in (*_MODULE, *_WINDOW) if c in t.variables]
        holds = ["events/run", "events/event_index"] if len(of_events) < len(tables) else []
        return [*super().requires(schema), *names, *holds]

    def provides(self, schema: Schema) -> dict[str, Variable]:
        """The mask, and how much was left out of each event."""
        counts = {"modules": "modules with pulses that were left out", "pulses": "pulses that were left out"}
        return super().provides(schema) | {
            f"events/{self.output}_n_{what}_left_out": Variable(
                f"{self.output}_n_{what}_left_out", ("event",), "int32", "", about
            )
            for what, about in counts.items()
        }

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        pulses = self.gather(partition)
        event = np.repeat(np.arange(len(pulses.starts) - 1), np.diff(pulses.starts))
        key = (event << 32) + pulses.module
        out = np.zeros(len(key), dtype=bool) if self.bright is None else bright_modules(pulses, self.bright)
        for table in self._tables(partition.schema):
            of_event, columns = self._listed(partition, table)
            of_module = (of_event << 32) + sensor(*(columns[name] for name in _MODULE))
            if self.partial and set(_WINDOW) <= columns.keys():
                ends = (columns[name].astype(np.float64) for name in _WINDOW)
                mark_windows(key, pulses.time, of_module, *ends, out)
            else:
                out |= np.isin(key, of_module)
        made = self.mark(partition, pulses, ~out)
        n_events = len(pulses.starts) - 1
        left = {"modules": np.unique(key[out]) >> 32, "pulses": event[out]}
        for what, of_event in left.items():
            count = np.bincount(of_event, minlength=n_events).astype(np.int32)
            made[f"events/{self.output}_n_{what}_left_out"] = count
        return made

    @staticmethod
    def _listed(partition: Partition, table: Table) -> tuple[np.ndarray, Columns]:
        """Modules or windows of a table, each with the row of the event that it holds for."""
        if table.role == "rows":
            columns = partition.tables.get(table.name)
            if not columns:
                return np.empty(0, np.int64), {n: np.empty(0, v.dtype) for n, v in table.variables.items()}
            return partition.owners(table.name), columns
        columns = partition.conditions[table.name]
        rows, events = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        run, index = partition["events/run"], partition["events/event_index"]
        for event in range(len(run)):
            before = (columns["run"] == run[event]) & (columns["valid_from"] <= index[event])
            if before.any():
                newest = columns["valid_from"][before].max()
                rows.append(np.flatnonzero(before & (columns["valid_from"] == newest)))
                events.append(np.full(len(rows[-1]), event))
        chosen = np.concatenate(rows)
        return np.concatenate(events), {name: column[chosen] for name, column in columns.items()}
