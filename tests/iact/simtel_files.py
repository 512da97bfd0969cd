"""Reading sim_telarray files, whole or in parts, for the tests of the source."""

import struct
from functools import cache

import numpy as np

from etendue.dataflow import packed
from etendue.iact.sources.simtel import SimtelSource

SOURCE = SimtelSource()
COEFFICIENTS = ("pedestal", "dc_to_pe", "time_shift", "broken")


def find(shared, name):
    """Path of a test file, by the start of its name."""
    return str(next((shared / "data/simtel").glob(f"{name}*")))


@cache
def unpacked(path):
    return b"".join(packed.pieces(path))


def objects(plain):
    """Top-level objects of an unpacked file: (type, bytes)."""
    at, found = 0, []
    while at < len(plain):
        kind, _, length = struct.unpack_from("<III", plain, at + 4)
        end = at + 16 + (length & 0x3FFFFFFF)
        found.append((kind & 0xFFFF, plain[at:end]))
        at = end
    return found


def load(path, mode="raise", ranges=None, columns=None):
    scan = SOURCE.scan(str(path), mode)
    n_events = len(scan.rows["events"])
    if columns is None:
        columns = frozenset(f"{table.name}/{v}" for table in scan.schema.values() for v in table.variables)
    return scan, list(SOURCE.read(scan, ranges or [(0, n_events)], columns, mode))


def readouts(scan, partition):
    """Each event's row, and of each of its readouts the row and the calibration in force, by telescope."""
    events = partition.tables["events"]
    at = dict.fromkeys(scan.labels, 0)
    for k in range(len(events["event_id"])):
        found = {}
        for label in scan.labels:
            table, calibration = partition.tables[label], partition.conditions[f"calibration/{label}"]
            for row in range(at[label], at[label] + events[f"n_{label}"][k]):
                same = calibration["tel_id"] == table["tel_id"][row]
                in_force = np.flatnonzero(same & (calibration["valid_from"] <= events["event_index"][k]))[-1]
                found[int(table["tel_id"][row])] = (
                    {name: column[row] for name, column in table.items()},
                    {name: column[in_force] for name, column in calibration.items()},
                )
            at[label] += events[f"n_{label}"][k]
        yield {name: column[k] for name, column in events.items()}, found


def contents(path, mode="skip"):
    """Everything that a file gives, as comparable bytes by event number; and the events said to be lost."""
    scan, partitions = load(path, mode)
    found = {}
    for partition in partitions:
        for event, by_telescope in readouts(scan, partition):
            names = [name for name in sorted(event) if name[:2] != "n_" and name != "event_index"]
            values = [event[name].tobytes() for name in names]
            for tel_id, (readout, calibration) in by_telescope.items():
                values += [tel_id, *(readout[name].tobytes() for name in sorted(readout))]
                values += [calibration[name].tobytes() for name in COEFFICIENTS]
            found[int(event["event_id"])] = values
    failures = [*scan.failures, *(failure for partition in partitions for failure in partition.failures)]
    return found, sum(failure.events_lost for failure in failures)
