"""Pulses of IceCube events as arrays for kernels, and the base of the stages that work on them.

A pulse series is a table of the kind ``pulses``. A stage works on the pulses of one series, or on those
that a mask picks: a bool column of the table, such as a cleaning stage writes.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from etendue.dataflow.partition import Partition
from etendue.dataflow.stage import Stage
from etendue.kernel import kernel, offsets, owners
from etendue.schema import Schema, Variable
from etendue.sorting import rows_in_order

#: Speed of light in vacuum, in m/ns.
C = 0.299792458

#: Refractive index that light in ice travels with: its group index at 400 nm.
GROUP_INDEX = 1.35634

#: IceTop's tanks, by the numbers of station and module.
ICETOP_STATIONS, ICETOP_MODULES = (1, 81), (61, 64)

#: Bit of a pulse's flags: launched in local coincidence with a neighbour.
LOCAL_COINCIDENCE = 1

#: Parameters that columns are named with, or tables; others may be empty.
NAMES = ("pulses", "output", "seed", "track")

#: States of a fit, as numbered in IceCube's particles.
OK, INSUFFICIENT_HITS, FAILED_TO_CONVERGE = 0, 20, 30


class Pulses(NamedTuple):
    """Pulses of many events, event by event, ordered by module and then time.

    Parameters
    ----------
    starts : int64 array, shape (n_events + 1,)
        First pulse of each event, and the end of the last's.
    rows : int64 array, shape (n_pulses,)
        Row of each pulse in its table.
    time, charge : float64 array, shape (n_pulses,)
        Nanoseconds after the start of the event; photo-electrons, 0 where the charge is not known.
    x, y, z : float64 array, shape (n_pulses,) or (0,)
        Position of the module [m]; empty if the stage needs none.
    string, om : int32 array, shape (n_pulses,)
        String and module.
    module : int64 array, shape (n_pulses,)
        The same for the pulses of one photomultiplier, ascending in an event.
    hlc : bool array, shape (n_pulses,)
        Whether the pulse is of a launch in local coincidence.
    """

    starts: np.ndarray
    rows: np.ndarray
    time: np.ndarray
    charge: np.ndarray
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    string: np.ndarray
    om: np.ndarray
    module: np.ndarray
    hlc: np.ndarray


@kernel
def in_order(starts: np.ndarray, module: np.ndarray, time: np.ndarray) -> bool:
    """Whether the pulses of each event are ordered by module and then time."""
    for event in range(starts.size - 1):
        for i in range(starts[event] + 1, starts[event + 1]):
            if module[i] < module[i - 1] or (module[i] == module[i - 1] and time[i] < time[i - 1]):
                return False
    return True


@kernel
def most_pulses(pulses: Pulses) -> int:
    """Pulses of the event that has most."""
    most = 0
    for event in range(pulses.starts.size - 1):
        most = max(most, pulses.starts[event + 1] - pulses.starts[event])
    return most


@kernel
def largest_gap(values: np.ndarray) -> float:
    """Greatest difference between neighbours of ascending values; NaN of a single one, or if one is NaN."""
    gap = np.nan if values.size < 2 else 0.0
    for i in range(1, values.size):
        difference = values[i] - values[i - 1]
        if difference > gap or np.isnan(difference):
            gap = difference
    return gap


@kernel
def end_of_module(pulses: Pulses, i: int, stop: int) -> int:
    """The pulse after the last of the module that the pulse ``i`` is of, before ``stop``."""
    end = i + 1
    while end < stop and pulses.module[end] == pulses.module[i]:
        end += 1
    return end


@kernel
def first_pulses(pulses: Pulses, first: int, stop: int) -> np.ndarray:
    """The first pulse of each module of an event, ascending in time."""
    firsts, n, i = np.empty(stop - first, dtype=np.int64), 0, first
    while i < stop:
        firsts[n] = i
        n += 1
        i = end_of_module(pulses, i, stop)
    return rows_in_order(firsts[:n], pulses.time)


@kernel
def direction_angles(x: float, y: float, z: float) -> tuple[float, float]:
    """Zenith and azimuth [deg] that something with the direction (x, y, z) comes from."""
    zenith = np.degrees(np.arctan2(np.sqrt(x * x + y * y), -z))
    azimuth = np.degrees(np.arctan2(-y, -x))
    return zenith, azimuth + 360.0 if azimuth < 0 else azimuth


def sensor(string: np.ndarray, om: np.ndarray, pmt: np.ndarray) -> np.ndarray:
    """One number for string, module and photomultiplier: int64, ascending in that order."""
    return (string.astype(np.int64) << 16) | (om.astype(np.int64) << 8) | pmt.astype(np.int64)


def is_icetop(string: np.ndarray, om: np.ndarray) -> np.ndarray:
    """Whether modules are of IceTop's tanks: modules 61 to 64 of the stations 1 to 81."""
    (first, last), (lowest, highest) = ICETOP_STATIONS, ICETOP_MODULES
    return (string >= first) & (string <= last) & (om >= lowest) & (om <= highest)


def gather(
    partition: Partition, table: str, mask: str = "", *, positions: bool = True, icetop: bool = True
) -> Pulses:
    """The pulses of a table, or those that a mask picks, in the order that kernels expect.

    Pulses without a finite time are left out. A charge that is not a finite number counts as 0, as IceCube's
    common variables do: the pulse is a hit, and adds nothing to a sum.

    Parameters
    ----------
    partition : Partition
        Of events.
    table : str
        Pulse series.
    mask : str
        Bool column of the table; empty for all pulses.
    positions : bool
        Whether positions are needed; pulses of modules without a known position are left out then.
    icetop : bool
        Whether the pulses of IceTop's tanks count; their charge is in other units.
    """
    counts = partition.counts(table)
    if not partition.rows(table):
        return _none(len(counts))
    columns = partition.tables[table]
    module = sensor(columns["string"], columns["om"], columns["pmt"])
    time = columns["time"].astype(np.float64)
    keep = np.ones(len(time), dtype=np.bool_) if not mask else columns[mask].copy()
    keep &= np.isfinite(time)
    if not icetop:
        keep &= ~is_icetop(columns["string"], columns["om"])
    if positions:
        keep &= np.isfinite([columns[f"pos_{axis}"] for axis in "xyz"]).all(axis=0)
    rows = np.flatnonzero(keep)
    event = owners(counts)[rows]
    starts = offsets(np.bincount(event, minlength=len(counts)))
    if not in_order(starts, module[rows], time[rows]):
        rows = rows[np.lexsort((columns["charge"][rows], time[rows], module[rows], event))]
    charge = columns["charge"][rows].astype(np.float64)
    x, y, z = (
        columns[f"pos_{axis}"][rows].astype(np.float64) if positions else np.empty(0) for axis in "xyz"
    )
    return Pulses(
        starts,
        rows,
        time[rows],
        np.where(np.isfinite(charge), charge, 0.0),
        x,
        y,
        z,
        columns["string"][rows].astype(np.int32),
        columns["om"][rows].astype(np.int32),
        module[rows],
        (columns["flags"][rows] & LOCAL_COINCIDENCE) != 0,
    )


def _none(n_events: int) -> Pulses:
    integers, floats, small = np.empty(0, np.int64), np.empty(0), np.empty(0, np.int32)
    return Pulses(
        np.zeros(n_events + 1, np.int64),
        integers,
        *(floats,) * 5,
        small,
        small,
        integers,
        np.empty(0, np.bool_),
    )


class PulseStage(Stage):
    """Base of the stages that compute something from the pulses of each event.

    Subclasses say whether they need ``positions``, which `etendue.neutrino.icecube.geometry.PlacePulses`
    makes, and get the pulses from `gather`. What is computed of light in the ice leaves IceTop's tanks out,
    unless ``icetop`` says otherwise.
    """

    positions: ClassVar[bool] = True

    pulses: str = Field("InIcePulses", description="pulse series: a table of the kind pulses")
    mask: str = Field("", description="bool column of that table that picks pulses; empty for all")
    icetop: bool = Field(False, description="whether pulses of IceTop's tanks count, too")

    @model_validator(mode="after")
    def _named(self) -> Self:
        for name, value in self:
            if name in NAMES and not value:
                raise ValueError(f"{name} is empty: name {type(self).model_fields[name].description}")
        return self

    def requires(self, schema: Schema) -> list[str]:
        """Columns of the pulse series."""
        names = ["time", "charge", "string", "om", "pmt", "flags"]
        names += ["pos_x", "pos_y", "pos_z"] if self.positions else []
        names += [self.mask] if self.mask else []
        return [*super().requires(schema), *(f"{self.pulses}/{name}" for name in names)]

    def gather(self, partition: Partition) -> Pulses:
        """The pulses that this stage works on."""
        return gather(partition, self.pulses, self.mask, positions=self.positions, icetop=self.icetop)


class EventStage(PulseStage):
    """Base of the stages that write numbers of each event, named after their parameter ``output``.

    Subclasses list the ``results``: name, dtype, units, description. A result without a name is
    called as the output itself.
    """

    results: ClassVar[tuple[tuple[str, str, str, str], ...]]

    output: str = Field(..., description="what the columns' names begin with")

    def provides(self, schema: Schema) -> dict[str, Variable]:
        """One column of events for each result."""
        return {
            self.column(name): Variable(split_column(self.column(name)), ("event",), dtype, units, about)
            for name, dtype, units, about in self.results
        }

    def column(self, name: str) -> str:
        """The full name of a result's column."""
        return f"events/{self.output}_{name}" if name else f"events/{self.output}"

    def columns(self, record: np.ndarray) -> dict[str, np.ndarray]:
        """Columns of a structured array that has a field for each result."""
        return {self.column(name): np.ascontiguousarray(record[name or "value"]) for name, *_ in self.results}


def split_column(name: str) -> str:
    """The column of ``table/column``."""
    return name.rpartition("/")[2]


def record_of(results: tuple[tuple[str, str, str, str], ...]) -> np.dtype:
    """The dtype of the structured array that `EventStage.columns` takes apart."""
    return np.dtype([(name or "value", dtype) for name, dtype, *_ in results], align=True)


#: Results of a fit of a track.
TRACK = (
    ("pos_x", "float64", "m", "a point of the track"),
    ("pos_y", "float64", "m", "a point of the track"),
    ("pos_z", "float64", "m", "a point of the track"),
    ("time", "float64", "ns", "time at that point"),
    ("zenith", "float64", "deg", "zenith angle that the particle comes from"),
    ("azimuth", "float64", "deg", "azimuth that the particle comes from"),
    ("speed", "float64", "m ns-1", "speed along the track"),
    ("fit_status", "int32", "", "0 for a good fit, 20 for too few hits, 30 for no convergence"),
)


def blank(results: tuple[tuple[str, str, str, str], ...], n_events: int) -> np.ndarray:
    """A structured array of results: NaN, or zero where they are no floats."""
    record = np.zeros(n_events, dtype=record_of(results))
    for name in record.dtype.names:
        if record.dtype[name].kind == "f":
            record[name] = np.nan
    return record
