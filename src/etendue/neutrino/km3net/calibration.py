"""Calibration of KM3NeT hits: time, position and direction of each hit's photomultiplier.

The time is t = tdc + t0 - slewing(ToT).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from etendue.dataflow.parameters import RequiredFile
from etendue.dataflow.partition import Partition
from etendue.dataflow.source import SourceError
from etendue.dataflow.stage import Stage
from etendue.kernel import kernel
from etendue.neutrino.detector import Detector, read_detector
from etendue.neutrino.km3net.same_detector import DETECTOR_NUMBERS, check_inputs, check_rows
from etendue.neutrino.km3net.slewing import slewing
from etendue.neutrino.schema import DETECTOR, DIRECTION, POSITION, RAW_HIT, calibrated
from etendue.schema import Columns, Schema, Table, Variable, variables

#: Places of a module in the arrays by channel.
CHANNELS = 32


@kernel
def find_keys(wanted: np.ndarray, keys: np.ndarray, rows: np.ndarray, found: np.ndarray) -> int:
    """Look numbers up in a hash table with linear probing.

    Parameters
    ----------
    wanted : int32 array, shape (n,)
        Numbers to look up.
    keys : int32 array, shape (2**k,)
        Numbers known, each in the first free place from its hash on.
    rows : int32 array, shape (2**k,)
        Row of each number; -1 where a place is free. Some are.
    found : int32 array, shape (n,)
        Output: rows; -1 where a number is not known.

    Returns
    -------
    int
        How many numbers are not known.
    """
    mask = np.uint32(keys.size - 1)
    n_unknown = 0
    for i in range(wanted.size):
        number = wanted[i]
        place = hashed(number) & mask
        while rows[place] >= 0 and keys[place] != number:
            place = (place + np.uint32(1)) & mask
        found[i] = rows[place]
        n_unknown += rows[place] < 0
    return n_unknown


@kernel
def hashed(number: int) -> int:
    """Hash of a 32-bit number: multiply by the golden ratio's fraction, fold the high bits down."""
    product = np.uint32(np.uint32(number) * np.uint32(2654435769))
    return product ^ (product >> np.uint32(15))


@kernel
def insert_keys(numbers: np.ndarray, keys: np.ndarray, rows: np.ndarray) -> None:
    """Put numbers into an empty hash table, see `find_keys`; the last of equal ones counts."""
    mask = np.uint32(keys.size - 1)
    for row in range(numbers.size):
        place = hashed(numbers[row]) & mask
        while rows[place] >= 0 and keys[place] != numbers[row]:
            place = (place + np.uint32(1)) & mask
        keys[place] = numbers[row]
        rows[place] = row


@kernel
def calibrate_times(
    module: np.ndarray,
    channel: np.ndarray,
    tdc: np.ndarray,
    tot: np.ndarray,
    t0: np.ndarray,
    slewing_table: np.ndarray,
) -> np.ndarray:
    """Times of hits: t = tdc + t0 - slewing_table[tot].

    Parameters
    ----------
    module : int32 array, shape (n_hits,)
        Row of each hit's module.
    channel, tot : uint8 array, shape (n_hits,)
        Channel, and time over threshold [ns].
    tdc : uint32 array, shape (n_hits,)
        Raw time [ns].
    t0 : float64 array, shape (n_modules, 32)
        Time offset of each photomultiplier [ns]; NaN where a module has none.
    slewing_table : float64 array, shape (256,)
        Slewing by time over threshold [ns].

    Returns
    -------
    float64 array, shape (n_hits,)
        Times [ns]; NaN where the module has no such channel.
    """
    t = np.empty(module.size, dtype=np.float64)
    flat = t0.reshape(t0.size)
    for i in range(module.size):
        if channel[i] < CHANNELS:
            place = np.uint32(module[i]) * np.uint32(CHANNELS) + np.uint32(channel[i])
            t[i] = tdc[i] + flat[place] - slewing_table[tot[i]]
        else:
            t[i] = np.nan
    return t


@kernel
def place_hits(module: np.ndarray, channel: np.ndarray, geometry: np.ndarray, out: np.ndarray) -> None:
    """Positions and axes of the photomultipliers of hits.

    Parameters
    ----------
    module : int32 array, shape (n_hits,)
        Row of each hit's module.
    channel : uint8 array, shape (n_hits,)
        Channel.
    geometry : float32 array, shape (n_modules, 32, 6)
        Position [m] and axis of each photomultiplier; NaN where a module has none.
    out : float32 array, shape (6, n_hits)
        Output: position [m] and axis; NaN where the module has no such channel.
    """
    flat = geometry.reshape(geometry.size)
    x, y, z, u, v, w = out[0], out[1], out[2], out[3], out[4], out[5]
    for i in range(module.size):
        if channel[i] < CHANNELS:
            place = (np.uint32(module[i]) * np.uint32(CHANNELS) + np.uint32(channel[i])) * np.uint32(6)
            x[i] = flat[place]
            y[i] = flat[place + np.uint32(1)]
            z[i] = flat[place + np.uint32(2)]
            u[i] = flat[place + np.uint32(3)]
            v[i] = flat[place + np.uint32(4)]
            w[i] = flat[place + np.uint32(5)]
        else:
            x[i] = y[i] = z[i] = u[i] = v[i] = w[i] = np.nan


@dataclass(frozen=True, eq=False)
class Photomultipliers:
    """The photomultipliers of a detector, to be found by module and channel or by their number.

    Parameters
    ----------
    path : str
        Where the detector was read from, for messages.
    modules, pmts : tuple of int32 array
        Hash tables, see `find_keys`: from module number, and from photomultiplier number.
    row : int32 array, shape (n_modules, 32)
        Row of ``/detector`` by channel; -1 where a module has no such channel.
    t0 : float64 array, shape (n_modules, 32)
        Time offset [ns]; NaN where a module has no such channel.
    geometry : float32 array, shape (n_modules, 32, 6)
        Position [m] and axis; NaN where a module has no such channel.
    """

    path: str
    modules: tuple[np.ndarray, np.ndarray]
    pmts: tuple[np.ndarray, np.ndarray]
    row: np.ndarray
    t0: np.ndarray
    geometry: np.ndarray

    @classmethod
    def of(cls, detector: Columns, path: str = "detector") -> Photomultipliers:
        """Arrange the columns of ``/detector``.

        Raises
        ------
        SourceError
            If a module has a channel that hits cannot have.
        """
        if detector["channel_id"].max(initial=0) >= CHANNELS:
            raise SourceError(
                path,
                f"channel {detector['channel_id'].max()}",
                f"raw hits know channels below {CHANNELS} only; give a detector file of KM3NeT",
            )
        known, module = np.unique(detector["dom_id"], return_inverse=True)
        place = (module, detector["channel_id"])
        row = np.full((known.size, CHANNELS), -1, dtype=np.int32)
        row[place] = np.arange(module.size)
        t0 = np.full((known.size, CHANNELS), np.nan)
        t0[place] = detector["t0"]
        geometry = np.full((known.size, CHANNELS, 6), np.nan, dtype=np.float32)
        for i, name in enumerate((*POSITION, *DIRECTION)):
            geometry[(*place, i)] = detector[name]
        return cls(path, hash_table(known), hash_table(detector["pmt_id"]), row, t0, geometry)

    def find_modules(self, dom_id: np.ndarray) -> np.ndarray:
        """Row of each module in the arrays by module; int32.

        Raises
        ------
        SourceError
            If a module is not in the detector.
        """
        return self._find(dom_id, self.modules, "module")

    def find_pmts(self, pmt_id: np.ndarray) -> np.ndarray:
        """Row of each photomultiplier in ``/detector``; int32.

        Raises
        ------
        SourceError
            If a photomultiplier is not in the detector.
        """
        return self._find(pmt_id, self.pmts, "photomultiplier")

    def _find(self, wanted: np.ndarray, table: tuple[np.ndarray, np.ndarray], what: str) -> np.ndarray:
        found = np.empty(len(wanted), dtype=np.int32)
        n_unknown = find_keys(wanted, *table, found)
        if n_unknown:
            unknown = np.unique(wanted[found < 0])
            raise SourceError(
                self.path,
                f"{what} {unknown[0]}",
                f"{n_unknown} hits or frames are of {unknown.size} {what}s that this detector does not have; "
                "give the detector file that belongs to the run (the input's det_id names it)",
            )
        return found


def hash_table(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keys and rows of a hash table for `find_keys`, at most a quarter full."""
    size = 4 << max(len(numbers) - 1, 1).bit_length()
    keys, rows = np.zeros(size, dtype=np.int32), np.full(size, -1, dtype=np.int32)
    insert_keys(numbers.astype(np.int32), keys, rows)
    return keys, rows


#: By path, the detector that was read there last, and its photomultipliers.
_ARRANGED: dict[str, tuple[Detector, Photomultipliers]] = {}


def photomultipliers(path: str) -> Photomultipliers:
    """The photomultipliers of a detector file; arranged once, and again when the file has changed."""
    detector = read_detector(path)
    known = _ARRANGED.get(path)
    if known is None or known[0] is not detector:
        known = _ARRANGED[path] = detector, Photomultipliers.of(detector.detector, path)
    return known[1]


#: Tables of raw hits, and of simulated hits, that can be calibrated.
RAW_TABLES = ("hits", "triggered_hits")
MC_TABLE = "mc_hits"

#: What is told of the photomultiplier of a hit, and only written when it is asked for.
ORIGIN = {
    "pmt_id": ("int32", "", "number of the photomultiplier in the whole detector"),
    "du": ("int32", "", "detection unit (string)"),
    "floor": ("int32", "", "floor of the module on its string, 0 for a base module"),
}


class CalibrateHits(Stage):
    """Give each hit its time, and the position and axis of its photomultiplier.

    Works on ``/hits`` and ``/triggered_hits`` of events, on ``/hits`` of time slices (whose module is the
    frame's), and on ``/mc_hits``, which name their photomultiplier and whose times are true ones and stay
    as they are. A file of another detector is an error: its number is not that of the data, which
    ``other_detector`` allows, or it lacks a module of theirs.
    A channel that a known module does not have is a broken hit: all it gets is NaN (see `CheckFrames`).

    The columns ``pmt_id``, ``du`` and ``floor`` are made where a later stage reads them or they are written
    by name.
    """

    reads: ClassVar = (
        *(f"{table}/{c}?" for table in RAW_TABLES for c in ("dom_id", "channel_id", "tdc", "tot")),
        "frames/dom_id?",
        "mc_hits/pmt_id?",
        *(f"{name}?" for name in DETECTOR_NUMBERS),
    )

    detector: RequiredFile = Field(description="detector file: detx or datx")
    other_detector: bool = Field(False, description="whether the file may be that of another detector")
    slewing: Literal[0, 1, 2, 3] = Field(3, description="slewing: 3 the table in use, 1 and 2 older, 0 none")

    def brings(self) -> dict[str, tuple[Table, Columns]]:
        """The detector: its photomultipliers, its modules, and what its file says of the whole."""
        return read_detector(self.detector).brought

    def check(self, schema: Schema, static: Mapping[str, Columns]) -> None:
        """See that the file is that of the inputs' detector, if they have hits."""
        if not self.other_detector and self.provides(schema):
            check_inputs(self.detector, static)

    def provides(self, schema: Schema) -> dict[str, Variable]:
        """Times, positions and axes in each table of hits."""
        made: dict[str, Variable] = {}
        for name in RAW_TABLES:
            if f"{name}/tdc" in schema:
                dim = schema[name].dim
                origin = variables(dim, **{c: (*spec, True) for c, spec in ORIGIN.items()})
                made |= {f"{name}/{c}": v for c, v in (calibrated(dim) | origin).items()}
        if f"{MC_TABLE}/pmt_id" in schema:
            dim = schema[MC_TABLE].dim
            where = variables(dim, **{c: RAW_HIT[c] for c in ("dom_id", "channel_id")})
            placed = where | variables(dim, **POSITION, **DIRECTION)
            made |= {f"{MC_TABLE}/{c}": v for c, v in placed.items()}
        return made

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        """Calibrate the hits of a partition."""
        if not self.other_detector and self.provides(partition.schema):
            check_rows(self.detector, partition)
        detector = photomultipliers(self.detector)
        made = {}
        for name in RAW_TABLES:
            if f"{name}/tdc" in partition:
                made |= self._calibrate(name, detector, partition)
        if f"{MC_TABLE}/pmt_id" in partition:
            made |= _placed_mc_hits(partition, detector)
        return made

    def _calibrate(self, name: str, detector: Photomultipliers, partition: Partition) -> Columns:
        """New columns of one table of raw hits, by reference."""
        if f"{name}/dom_id" in partition:
            module = detector.find_modules(partition[f"{name}/dom_id"])
        else:
            of_frame = detector.find_modules(partition["frames/dom_id"])
            module = np.repeat(of_frame, partition.counts(name))
        channel, tdc, tot = (partition[f"{name}/{c}"] for c in ("channel_id", "tdc", "tot"))
        placed = np.empty((6, len(tdc)), dtype=np.float32)
        place_hits(module, channel, detector.geometry, placed)
        made = {"t": calibrate_times(module, channel, tdc, tot, detector.t0, slewing(self.slewing))}
        made |= dict(zip((*POSITION, *DIRECTION), placed, strict=True))
        described = partition.conditions[DETECTOR.name]
        for column in ORIGIN:
            if f"{name}/{column}" in partition.wanted:
                row = detector.row[module, np.minimum(channel, CHANNELS - 1)]
                made[column] = np.where(row < 0, np.int32(-1), described[column][row])
        return {f"{name}/{column}": array for column, array in made.items()}


def _placed_mc_hits(partition: Partition, detector: Photomultipliers) -> Columns:
    """Module, channel, position and axis of simulated hits, by reference."""
    row = detector.find_pmts(partition[f"{MC_TABLE}/pmt_id"])
    described = partition.conditions[DETECTOR.name]
    made = {name: described[name][row] for name in ("dom_id", "channel_id")}
    made |= {name: described[name][row].astype(np.float32) for name in (*POSITION, *DIRECTION)}
    return {f"{MC_TABLE}/{column}": array for column, array in made.items()}
