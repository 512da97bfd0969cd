"""From raw events to the columns of a partition."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from etendue.iact.directions import impact_distance
from etendue.iact.sources.simtel import decode
from etendue.iact.sources.simtel.events import (
    LASER_CALIBRATION,
    MONITORING,
    has_pedestals,
    telescope_of,
)
from etendue.iact.sources.simtel.header import Header
from etendue.iact.sources.simtel.objects import Object, ObjectError
from etendue.iact.sources.simtel.raw_event import RawEvent, Readout
from etendue.iact.sources.simtel.tables import Labels
from etendue.schema import Columns, Schema, Table

#: Columns that are decoded straight into their arrays; all others are gathered as numbers.
ARRAYS = ("r0_waveform", "true_image")
#: Computed from the shower's axis and the telescope's position when a partition is whole.
DISTANCE = "true_impact_distance"
AXIS = ("true_alt", "true_az", "true_core_x", "true_core_y")


@dataclass
class Calibration:
    """What calibrates one telescope: arrays of shape (n_gains, n_pixels), or None where not known yet."""

    pedestal: np.ndarray | None = None
    dc_to_pe: np.ndarray | None = None
    time_shift: np.ndarray | None = None
    broken: np.ndarray | None = None

    @property
    def complete(self) -> bool:
        return self.pedestal is not None and self.dc_to_pe is not None

    def columns(self) -> tuple[np.ndarray, ...]:
        return self.pedestal, self.dc_to_pe, self.time_shift, self.broken


@dataclass(frozen=True)
class CalibrationRow:
    """One row of a table ``calibration/<label>``."""

    tel_id: int
    valid_from: int
    arrays: tuple[np.ndarray, ...]


@dataclass
class Calibrations:
    """The calibration of all telescopes, as the file gives it along the way.

    Parameters
    ----------
    header : Header
        The file's header.
    labels : Labels
        Which tables the readouts of each telescope are in.
    rows : dict of str to list of CalibrationRow
        Rows so far, by label.
    """

    header: Header
    labels: Labels
    rows: dict[str, list[CalibrationRow]] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = {label: [] for label in self.labels.fingerprints}
        self._now = {tel_id: Calibration() for tel_id in self.header.cameras}
        self._written: dict[int, tuple[np.ndarray, ...]] = {}
        self._new: dict[int, None] = {}
        for tel_id, pixels in self.header.disabled.items():
            self._now[tel_id].broken = self._broken(tel_id, pixels)

    def note(self, found: Object) -> None:
        """Take in new pedestals, laser calibration or disabled pixels; broken ones void what was before."""
        tel_id = telescope_of(found)
        if tel_id not in self._now:
            return
        now, camera = self._now[tel_id], self.header.cameras[tel_id]
        shape = (camera.n_gains, camera.n_pixels)
        self._new[tel_id] = None
        try:
            if found.type == MONITORING:
                if has_pedestals(found):
                    now.pedestal = None
                    now.pedestal = decode.pedestals(found, *shape)
            elif found.type == LASER_CALIBRATION:
                now.dc_to_pe = None
                now.dc_to_pe, now.time_shift = decode.laser_calibration(found, *shape)
            else:
                now.broken = self._broken(tel_id, decode.disabled_pixels(found))
        except ObjectError:
            pass  # told by the events that need it

    def _broken(self, tel_id: int, pixels: np.ndarray) -> np.ndarray:
        camera = self.header.cameras[tel_id]
        broken = np.zeros((camera.n_gains, camera.n_pixels), dtype=bool)
        broken[:, pixels[(pixels >= 0) & (pixels < camera.n_pixels)]] = True
        return broken

    def renew(self, number: int) -> dict[str, list[CalibrationRow]]:
        """Rows for what has changed since the last event, which hold from this one on."""
        renewed: dict[str, list[CalibrationRow]] = {}
        for tel_id in list(self._new):
            now = self._now[tel_id]
            if not now.complete:
                continue
            del self._new[tel_id]
            arrays, before = now.columns(), self._written.get(tel_id)
            if before is None or not all(map(_same, arrays, before)):
                self._written[tel_id] = arrays
                for label in self.labels.labels(tel_id):
                    row = CalibrationRow(tel_id, number, arrays)
                    renewed.setdefault(label, []).append(row)
                    self.rows[label].append(row)
        return renewed

    def check(self, tel_id: int) -> None:
        """Raise if a telescope cannot be calibrated now."""
        if not self._now[tel_id].complete:
            raise ObjectError(f"the pedestals or the laser calibration of telescope {tel_id} are corrupted")


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether arrays are equal bit by bit."""
    return a is b or a.tobytes() == b.tobytes()


def calibration_columns(table: Table, rows: list[CalibrationRow]) -> Columns:
    """Columns of a table ``calibration/<label>``."""
    shape = (len(rows), table.sizes["gain"], table.sizes["pixel"])
    columns: Columns = {
        "run": np.zeros(len(rows), dtype=np.uint32),
        "tel_id": np.array([row.tel_id for row in rows], dtype=np.int16),
        "valid_from": np.array([row.valid_from for row in rows], dtype=np.int64),
    }
    for n, name in enumerate(("pedestal", "dc_to_pe", "time_shift", "broken")):
        column = np.empty(shape, dtype=table.variables[name].dtype)
        for row, out in zip(rows, column, strict=True):
            out[...] = row.arrays[n]
        columns[name] = column
    return columns


class Numbers:
    """Columns of numbers in the making: NaN, or -1 in a column of integers, where a row has none.

    Parameters
    ----------
    table : Table
        Their declarations.
    names : iterable of str
        Which columns to make.
    """

    def __init__(self, table: Table, names: Iterable[str]) -> None:
        self._dtypes = {name: np.dtype(table.variables[name].dtype) for name in names}
        self._values = {name: array("d" if d.kind == "f" else "q") for name, d in self._dtypes.items()}
        self.n_rows = 0

    def add(self, row: Mapping[str, float]) -> None:
        """Add a row; what it holds of other columns is left out."""
        for name, values in self._values.items():
            values.append(row.get(name, np.nan if values.typecode == "d" else -1))
        self.n_rows += 1

    def cut(self, n_rows: int) -> None:
        """Forget all rows but the first."""
        for values in self._values.values():
            del values[n_rows:]
        self.n_rows = n_rows

    def columns(self) -> Columns:
        return {name: np.array(values, dtype=self._dtypes[name]) for name, values in self._values.items()}


class ReadoutColumns:
    """The table of one camera in the making.

    Parameters
    ----------
    table : Table
        Its declaration.
    header : Header
        The file's header.
    n_rows : int
        Rows that there will be, at most.
    wanted : iterable of str
        Columns to make.
    """

    def __init__(self, table: Table, header: Header, n_rows: int, wanted: Iterable[str]) -> None:
        wanted = set(wanted)
        self._header = header
        self._numbers = Numbers(table, wanted - {*ARRAYS, DISTANCE})
        self._axes = array("d") if DISTANCE in wanted else None
        self._capacity = n_rows
        self._arrays: Columns = {}
        for name in wanted.intersection(ARRAYS):
            variable = table.variables[name]
            shape = (n_rows, *(table.sizes[dim] for dim in variable.dims[1:]))
            self._arrays[name] = np.empty(shape, dtype=variable.dtype)

    @property
    def n_rows(self) -> int:
        return self._numbers.n_rows

    def add(self, event: RawEvent, readout: Readout, event_row: Mapping[str, float]) -> None:
        """Add a readout, of which the samples and the true image are decoded only if wanted.

        Raises
        ------
        ObjectError
            If it is broken.
        """
        n = self.n_rows
        if n == self._capacity:
            raise ObjectError("more readouts than the scan counted: the file has changed; scan it anew")
        row = event_row | _readout_row(event, readout)
        if "r0_waveform" in self._arrays:
            decode.samples_into(self._arrays["r0_waveform"][n], event.found, readout.adc)
        if "true_image" in self._arrays:
            image = self._arrays["true_image"][n]
            if readout.image is None:
                image[:] = -1
            else:
                decode.image_into(image, event.images, readout.image)
        if self._axes is not None:
            position = self._header.positions[self._header.index[readout.tel_id]]
            self._axes.extend((*(row.get(name, np.nan) for name in AXIS), *position))
        self._numbers.add(row)

    def cut(self, n_rows: int) -> None:
        """Forget all rows but the first."""
        self._numbers.cut(n_rows)
        if self._axes is not None:
            del self._axes[7 * n_rows :]

    def columns(self) -> Columns:
        """The wanted columns, as arrays."""
        columns = self._numbers.columns()
        columns |= {name: values[: self.n_rows] for name, values in self._arrays.items()}
        if self._axes is not None:
            axes = np.array(self._axes).reshape(-1, 7)
            columns[DISTANCE] = impact_distance(*axes[:, :4].T, axes[:, 4:])
        return columns


class PartitionColumns:
    """The tables of a range of events in the making.

    Parameters
    ----------
    header : Header
        The file's header.
    schema : Schema
        Declarations of all tables.
    n_rows : dict of str to int
        Rows that there will be of each camera's table, at most, by label.
    columns : frozenset of str
        The ``table/column`` names to make.
    """

    def __init__(
        self, header: Header, schema: Schema, n_rows: dict[str, int], columns: frozenset[str]
    ) -> None:
        def wanted(table: str) -> list[str]:
            return [name for name in schema[table].variables if f"{table}/{name}" in columns]

        self._events = Numbers(schema["events"], wanted("events"))
        self._readouts = {
            label: ReadoutColumns(schema[label], header, n, wanted(label)) for label, n in n_rows.items()
        }
        self._counts = {label: array("i") for label in n_rows}
        self._constant: dict[str, float] = {"run": 0, "obs_id": int(header.run["run"])}
        if header.run["tracking_mode"] == 0:
            azimuth, altitude = header.run["direction"]
            self._constant |= {
                "array_altitude": decode.altitude_of(altitude),
                "array_azimuth": decode.azimuth_of(azimuth),
            }

    def add(self, event: RawEvent, labels: Sequence[str]) -> None:
        """Add an event with its readouts, of which the tables are given, or nothing of it.

        Raises
        ------
        ObjectError
            If it is broken.
        """
        before = {label: readouts.n_rows for label, readouts in self._readouts.items()}
        try:
            row = self._constant | _event_row(event)
            for label, readout in zip(labels, event.readouts, strict=True):
                self._readouts[label].add(event, readout, row)
        except ObjectError:
            for label, readouts in self._readouts.items():
                readouts.cut(before[label])
            raise
        self._events.add(row)
        for label, readouts in self._readouts.items():
            self._counts[label].append(readouts.n_rows - before[label])

    def tables(self) -> dict[str, Columns]:
        """The wanted columns, and how many readouts of each camera each event has."""
        counts = {f"n_{label}": np.array(n, dtype=np.int32) for label, n in self._counts.items()}
        readouts = {label: columns.columns() for label, columns in self._readouts.items()}
        return {"events": self._events.columns() | counts, **readouts}


def _event_row(event: RawEvent) -> dict[str, float]:
    row = {
        "event_id": event.event_id,
        "event_index": event.number,
        "event_type": int(event.event_type),
        "time": event.time,
    }
    if event.shower is None:
        return row
    true_core_x, true_core_y = decode.core(event.core)
    shower = decode.shower(event.shower)
    return row | shower._asdict() | {"true_core_x": true_core_x, "true_core_y": true_core_y}


def _readout_row(event: RawEvent, readout: Readout) -> dict[str, float]:
    altitude, azimuth = decode.pointing(event.found, readout.tracking)
    return {
        "tel_id": readout.tel_id,
        "pointing_altitude": altitude,
        "pointing_azimuth": azimuth,
        "trigger_time": readout.trigger_time,
        "event_type": int(readout.event_type),
        "n_trigger_pixels": decode.n_trigger_pixels(event.found, readout.trigger_pixels),
        "true_image_sum": readout.image_sum,
    }
