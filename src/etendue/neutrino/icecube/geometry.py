"""Where the pulses of IceCube events were seen: positions from a description of the detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field, field_validator

from etendue.dataflow.parameters import BroughtFile
from etendue.dataflow.partition import Partition
from etendue.dataflow.source import SourceError
from etendue.dataflow.stage import Stage
from etendue.neutrino.detector import read_detector
from etendue.neutrino.detector.shipped import shipped_file
from etendue.neutrino.icecube.pulses import is_icetop, sensor
from etendue.neutrino.schema import DETECTOR, MODULES, PULSES
from etendue.neutrino.sources.icecube.stream import lacks_geometry
from etendue.schema import Columns, Schema, SchemaError, Table, Variable

#: Modules that any geometry of IceCube has: strings 1 to 86, modules 1 to 60 on each.
LAST_STRING, LAST_MODULE = 86, 60

#: The geometry that IceCube's frames have, and the columns that tell such a table from others.
OWN_GEOMETRY = "geometry/I3Geometry"
_OF_GEOMETRY = {"string", "om", "pmt", "pos_x", "pos_y", "pos_z", "om_type", "run", "valid_from"}
#: What to do without a geometry.
ASK = (
    "give the GCD file of the run (gcd=FILE, --with gcd=FILE), a table of modules (geometry=FILE), or, if it "
    "is IceCube with its 86 strings, geometry=shipped://ic86"
)

#: Height [m] that the middle of no detector in IceCube's frame is at: its origin is in the middle of IceCube.
HIGHEST = 1000.0


def positions(
    detector: Columns, string: np.ndarray, om: np.ndarray, pmt: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of photomultipliers [m].

    Parameters
    ----------
    detector : dict of str to array
        Columns of `etendue.neutrino.schema.DETECTOR`.
    string, om, pmt : integer array, shape (n,)
        Photomultipliers.

    Returns
    -------
    x, y, z : float64 array, shape (n,)
        NaN where the detector has no such photomultiplier.
    """
    known = sensor(detector["du"], detector["floor"], detector["channel_id"])
    order = np.argsort(known, kind="stable")
    sensors, of_pulse = np.unique(sensor(string, om, pmt), return_inverse=True)
    row = order[np.minimum(np.searchsorted(known, sensors, sorter=order), len(known) - 1)]
    found = known[row] == sensors
    return tuple(np.where(found, detector[f"pos_{axis}"][row], np.nan)[of_pulse] for axis in "xyz")


def positions_of_modules(
    detector: Columns,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """String and position [m] of each photomultiplier in the ice whose position is known."""
    in_ice = ~is_icetop(detector["du"], detector["floor"])
    in_ice &= np.isfinite([detector[f"pos_{axis}"] for axis in "xyz"]).all(axis=0)
    return tuple(detector[name][in_ice] for name in ("du", "pos_x", "pos_y", "pos_z"))


def geometry_table(schema: Schema) -> str | None:
    """The table of what the input's own geometry frames, or its GCD file, hold; None if there is none."""
    names = [t.name for t in schema.matching("geometry/*") if t.variables.keys() >= _OF_GEOMETRY]
    return OWN_GEOMETRY if OWN_GEOMETRY in names else names[0] if names else None


def geometries(partition: Partition) -> list[tuple[np.ndarray, Columns]]:
    """The detectors that hold for the events of a partition, and for which of them each does.

    Returns
    -------
    list of (bool array, shape (n_events,), dict of str to array)
        Events, and the columns that `positions` takes: from a file that a stage brings, or else from the
        geometry frames, of which the last before an event holds for it.

    Raises
    ------
    SchemaError
        If the input brings no geometry.
    """
    n_events = partition.rows("events")
    if "detector" in partition.conditions:
        return [(np.ones(n_events, np.bool_), partition.conditions["detector"])]
    table = geometry_table(partition.schema)
    if table is None or not len(partition.conditions.get(table, {}).get("valid_from", ())):
        raise SchemaError(f"pulses cannot be placed: the input brings no geometry; {ASK}")
    rows = partition.conditions[table]
    runs, since = rows["run"].astype(np.int64), rows["valid_from"].astype(np.int64)
    sets = sorted(set(zip(runs.tolist(), since.tolist(), strict=True)))
    if len(sets) == 1:
        return [(np.ones(n_events, np.bool_), _as_detector(rows))]
    run, index = (partition[f"events/{name}"].astype(np.int64) for name in ("run", "event_index"))
    last = np.full(n_events, -1)
    for number, (of_run, first) in enumerate(sets):
        last[(run == of_run) & (index >= first)] = number
    return [
        (
            last == number,
            _as_detector({name: v[(runs == of_run) & (since == first)] for name, v in rows.items()}),
        )
        for number, (of_run, first) in enumerate(sets)
        if (last == number).any()
    ]


def detector_of(partition: Partition) -> Columns:
    """The one detector of all events of a partition; see `geometries`.

    Raises
    ------
    SchemaError
        If there is none, or if modules move between its events.
    """
    found = [detector for _, detector in geometries(partition)]
    for other in found[1:]:
        if any(not np.array_equal(other[name], column) for name, column in found[0].items()):
            raise SchemaError(f"the geometry changes between events that are read together; {ASK}")
    return found[0]


def _as_detector(rows: Columns) -> Columns:
    """Columns of geometry frames under the names that detector descriptions have.

    Of frames that hold from the same event on, the last counts: those of the data after a GCD file's.
    """
    number = sensor(rows["string"], rows["om"], rows["pmt"])[::-1]
    last = np.sort(len(number) - 1 - np.unique(number, return_index=True)[1])
    names = {"string": "du", "om": "floor", "pmt": "channel_id"} | {f"pos_{a}": f"pos_{a}" for a in "xyz"}
    return {new: rows[old][last] for old, new in names.items()}


class PlacePulses(Stage):
    """Give each pulse the position of its photomultiplier; NaN where the detector has none such.

    A file that does not have a module of IceCube's strings that was hit is of another detector, and an error.
    """

    geometry: BroughtFile = Field(
        "",
        description="file with the detector: a table of modules (Parquet, NumPy), or shipped://ic86; "
        "empty if the input brings its own geometry",
    )
    other_detector: bool = Field(
        False, description="whether the file may be that of another detector, or lack modules with pulses"
    )
    pulses: str = Field(
        f"@{PULSES}", description="pulse series to place: name, pattern, or all tables of a kind"
    )

    writes: ClassVar = {}

    @field_validator("geometry")
    @classmethod
    def _found(cls, geometry: str) -> str:
        return shipped_file(geometry)

    def brings(self) -> dict[str, tuple[Table, Columns]]:
        """The detector, unless the input has it."""
        if not self.geometry:
            return {}
        detector = read_detector(self.geometry)
        return {"detector": (DETECTOR, detector.detector), "modules": (MODULES, detector.modules)}

    def check_first(self, sources: Mapping[str, str], companions: Mapping[str, str]) -> None:
        """See that there can be a geometry: a file, a companion, or a frame of it in some input."""
        if self.geometry or companions or set(sources.values()) != {"icecube"}:
            return
        if all(lacks_geometry(path) for path in sources):
            raise ValueError(f"the input brings no geometry; {ASK}")

    def check(self, schema: Schema, static: Mapping[str, Columns]) -> None:
        """See that the file is none of KM3NeT's, and of IceCube's frame: others count in other ways."""
        if not self.geometry and "detector" not in static and geometry_table(schema) is None:
            raise ValueError(f"the input brings no geometry; {ASK}")
        if not self.geometry or self.other_detector:
            return
        detector = read_detector(self.geometry)
        ask = "give IceCube's, or other_detector=true to take this one"
        if detector.version or detector.det_id:
            message = f"expected a table of IceCube's modules, got KM3NeT's detector {detector.det_id}; {ask}"
            raise SourceError(self.geometry, "header", message)
        height = np.median(positions_of_modules(detector.detector)[3])
        if not abs(height) < HIGHEST:
            message = f"modules at {height:.0f} m in the middle, not around 0 as in IceCube's frame; {ask}"
            raise SourceError(self.geometry, "positions", message)

    def requires(self, schema: Schema) -> list[str]:
        """String, module and photomultiplier of each pulse."""
        own = ("events/run", "events/event_index") if geometry_table(schema) and not self.geometry else ()
        names = ("string", "om", "pmt")
        return [*own, *(f"{t.name}/{name}" for t in schema.matching(self.pulses) for name in names)]

    def provides(self, schema: Schema) -> dict[str, Variable]:
        """The position of each pulse."""
        return {
            f"{table.name}/pos_{axis}": Variable(
                f"pos_{axis}", (table.dim,), "float64", "m", "position of the photomultiplier"
            )
            for table in schema.matching(self.pulses)
            for axis in "xyz"
        }

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        made = {}
        found = geometries(partition)
        for table in partition.schema.matching(self.pulses):
            columns = partition.tables.get(table.name)
            if columns and any(f"{table.name}/pos_{axis}" in partition.wanted for axis in "xyz"):
                place = tuple(columns[name] for name in ("string", "om", "pmt"))
                where = np.full((3, len(place[0])), np.nan)
                event = partition.owners(table.name)
                for events, detector in found:
                    mine = events[event]
                    where[:, mine] = positions(detector, *(column[mine] for column in place))
                own = "detector" not in partition.conditions
                if (self.geometry or own) and not self.other_detector:
                    self._check_known(*place[:2], np.isnan(where[0]))
                made |= {f"{table.name}/pos_{axis}": p for axis, p in zip("xyz", where, strict=True)}
        return made

    def _check_known(self, string: np.ndarray, om: np.ndarray, unknown: np.ndarray) -> None:
        """See that no pulse in the ice is without a place: also none of other strings than IceCube's."""
        in_ice = (string > LAST_STRING) | ((string >= 1) & (om >= 1) & (om <= LAST_MODULE))
        missing = np.flatnonzero(unknown & in_ice)
        if missing.size:
            first = missing[0]
            raise SourceError(
                self.geometry or "the input's own geometry",
                f"module ({string[first]}, {om[first]})",
                f"not there, and {missing.size} pulses are of such modules: it is of another detector; "
                "give IceCube's, or other_detector=true to leave those pulses out",
            )
