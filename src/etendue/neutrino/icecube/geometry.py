"""Where the pulses of IceCube events were seen: positions from a description of the detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field

from etendue.dataflow.parameters import BroughtFile
from etendue.dataflow.partition import Partition
from etendue.dataflow.source import SourceError
from etendue.dataflow.stage import Stage
from etendue.neutrino.detector import read_detector
from etendue.neutrino.icecube.pulses import is_icetop, sensor
from etendue.neutrino.schema import DETECTOR, MODULES, PULSES
from etendue.schema import Columns, Schema, SchemaError, Table, Variable

#: Modules that any geometry of IceCube has: strings 1 to 86, modules 1 to 60 on each.
LAST_STRING, LAST_MODULE = 86, 60

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


class PlacePulses(Stage):
    """Give each pulse the position of its photomultiplier; NaN where the detector has none such.

    A file that does not have a module of IceCube's strings that was hit is of another detector, and an error.
    """

    geometry: BroughtFile = Field(
        "",
        description="file with the detector: a table of modules (Parquet, NumPy); "
        "empty if the input brings its own geometry",
    )
    other_detector: bool = Field(
        False, description="whether the file may be that of another detector, or lack modules with pulses"
    )
    pulses: str = Field(
        f"@{PULSES}", description="pulse series to place: name, pattern, or all tables of a kind"
    )

    writes: ClassVar = {}

    def brings(self) -> dict[str, tuple[Table, Columns]]:
        """The detector, unless the input has it."""
        if not self.geometry:
            return {}
        detector = read_detector(self.geometry)
        return {"detector": (DETECTOR, detector.detector), "modules": (MODULES, detector.modules)}

    def check(self, schema: Schema, static: Mapping[str, Columns]) -> None:
        """See that the file is none of KM3NeT's, and of IceCube's frame: others count in other ways."""
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
        return [f"{t.name}/{name}" for t in schema.matching(self.pulses) for name in ("string", "om", "pmt")]

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
        if "detector" not in partition.conditions:
            raise SchemaError(
                "pulses cannot be placed: the input brings no geometry; "
                "name a file with one, as in PlacePulses(geometry='icecube86.parquet')"
            )
        made = {}
        for table in partition.schema.matching(self.pulses):
            columns = partition.tables.get(table.name)
            if columns and any(f"{table.name}/pos_{axis}" in partition.wanted for axis in "xyz"):
                place = tuple(columns[name] for name in ("string", "om", "pmt"))
                x, y, z = positions(partition.conditions["detector"], *place)
                if self.geometry and not self.other_detector:
                    self._check_known(*place[:2], np.isnan(x))
                made |= {f"{table.name}/pos_{axis}": p for axis, p in zip("xyz", (x, y, z), strict=True)}
        return made

    def _check_known(self, string: np.ndarray, om: np.ndarray, unknown: np.ndarray) -> None:
        """See that no pulse of IceCube's own strings is without a place."""
        of_icecube = (string >= 1) & (string <= LAST_STRING) & (om >= 1) & (om <= LAST_MODULE)
        missing = np.flatnonzero(unknown & of_icecube)
        if missing.size:
            first = missing[0]
            raise SourceError(
                self.geometry,
                f"module ({string[first]}, {om[first]})",
                f"not there, and {missing.size} pulses are of such modules: the file is of another detector; "
                "give IceCube's, or other_detector=true to leave those pulses out",
            )
