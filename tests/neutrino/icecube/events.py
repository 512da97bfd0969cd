"""Partitions of IceCube events for tests: made up on a small detector, or read from real files."""

from functools import cache
from types import MappingProxyType

import numpy as np

from etendue.dataflow.partition import Partition
from etendue.neutrino.icecube.pulses import C
from etendue.neutrino.schema import DETECTOR, POSITION, pulse_table
from etendue.schema import Schema, Table, variables

EVENTS = Table("events", "event", variables("event", run_id=("uint32", "", ""), event_id=("uint32", "", "")))
SERIES = "InIcePulses"

#: Distance of strings and of modules on a string, and modules on a string, as IceCube's.
SPACING, STEP, N_MODULES = 125.0, 17.0, 60


@cache
def detector():
    """Columns of a detector of 37 strings on a triangular grid, as IceCube's."""
    rings = [(q, r) for q in range(-3, 4) for r in range(-3, 4) if abs(q + r) <= 3]
    x = np.array([SPACING * (q + r / 2) for q, r in rings])
    y = np.array([SPACING * r * np.sqrt(3) / 2 for _, r in rings])
    string, om = (
        a.ravel() for a in np.meshgrid(np.arange(1, 38), np.arange(1, N_MODULES + 1), indexing="ij")
    )
    n = len(om)
    columns = {name: np.zeros(n) for name in DETECTOR.variables}
    columns |= {
        "du": string, "floor": om, "dom_id": 100 * string + om, "efficiency": np.ones(n),
        "pos_x": x[string - 1], "pos_y": y[string - 1], "pos_z": 500.0 - STEP * om,
    }  # fmt: skip
    return MappingProxyType(
        {name: columns[name].astype(variable.dtype) for name, variable in DETECTOR.variables.items()}
    )


def place(string, om):
    """Positions of modules of the made-up detector, shape (n, 3); NaN for modules that it does not have."""
    string, om = np.asarray(string), np.asarray(om)
    known = (string >= 1) & (string <= 37) & (om >= 1) & (om <= N_MODULES)
    row = np.where(known, (string - 1) * N_MODULES + om - 1, 0)
    return np.where(known, [detector()[f"pos_{axis}"][row] for axis in "xyz"], np.nan).T


def partition_of(events, **columns):
    """A partition of events; each is a dict of columns of pulses: string, om, time, and what is not usual."""
    table = pulse_table(SERIES)
    dim = table.dim
    table = table.with_variables(
        variables(
            dim, **{n: ("float64", *s[1:]) for n, s in POSITION.items()}, mask=("bool", "", "")
        ).values()
    )
    counts = np.array([len(e["time"]) for e in events], dtype=np.int32)

    def column(name, default):
        parts = [np.broadcast_to(np.asarray(e.get(name, default)), len(e["time"])) for e in events]
        return np.concatenate([np.empty(0), *parts])

    pulses = {
        "string": column("string", 1), "om": column("om", 1), "pmt": column("pmt", 0),
        "time": column("time", 0), "charge": column("charge", 1.0), "width": column("width", 1.0),
        "flags": column("flags", 1), "mask": column("mask", 1),
    }  # fmt: skip
    xyz = place(pulses["string"].astype(int), pulses["om"].astype(int))
    pulses |= {f"pos_{axis}": xyz[:, k] for k, axis in enumerate("xyz")}
    pulses |= {
        f"pos_{axis}": column(f"pos_{axis}", 0) for axis in "xyz" if events and f"pos_{axis}" in events[0]
    }
    pulses = {name: array.astype(table.variables[name].dtype) for name, array in pulses.items()}
    top = {"run_id": np.full(len(events), 7, np.uint32), "event_id": np.arange(len(events), dtype=np.uint32)}
    top |= {name: np.asarray(array) for name, array in columns.items()}
    schema = Schema({}).with_tables([EVENTS, table])
    schema = schema.with_variables(
        {
            f"events/{n}": s
            for n, s in variables("event", **{n: (a.dtype.name, "", "") for n, a in top.items()}).items()
        }
    )
    top[f"n_{SERIES}"] = counts
    return Partition(0, schema, {"events": top, SERIES: pulses}, {"detector": detector()})


def run(stage, partition):
    """The columns that a stage makes, checked against what it declares."""
    schema = partition.schema.with_tables(stage.makes(partition.schema))
    declared = stage.provides(schema)
    schema = schema.with_variables(declared)
    assert set(stage.requires(partition.schema)) <= {
        f"{table}/{name}" for table, columns in partition.tables.items() for name in columns
    }
    made = stage(partition)
    assert declared.keys() <= made.keys()
    done = partition.with_columns(made, schema)
    for name in {name.rpartition("/")[0] for name in made}:
        schema[name].validate(done.tables[name])
    return done


def muon(seed, *, zenith=60.0, azimuth=30.0, speed=C, noise=0, offset=(0.0, 0.0, 0.0)):
    """Pulses of a track through the detector: those of modules near it, and some noise."""
    rng = np.random.default_rng(seed)
    zenith, azimuth = np.radians(zenith), np.radians(azimuth)
    direction = -np.array(
        [np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)]
    )
    string, om = (a.ravel() for a in np.meshgrid(np.arange(1, 38), np.arange(1, 61), indexing="ij"))
    r = place(string, om) - np.asarray(offset)
    along = r @ direction
    off = np.linalg.norm(r - along[:, None] * direction, axis=1)
    hit = rng.random(len(om)) < np.exp(-off / 25.0)
    time = along / speed + off * 0.88 / C + rng.exponential(0.3 * off + 1.0) + 10000.0
    hits = {
        "string": string[hit],
        "om": om[hit],
        "time": time[hit],
        "charge": 0.5 + rng.exponential(1.0, hit.sum()),
    }
    hits["flags"] = np.ones(hit.sum(), int)
    dark = {
        "string": rng.integers(1, 38, noise), "om": rng.integers(1, 61, noise),
        "time": rng.uniform(5000, 15000, noise), "charge": np.full(noise, 0.8), "flags": np.zeros(noise, int),
    }  # fmt: skip
    both = {name: np.concatenate([hits[name], dark[name]]) for name in hits}
    order = np.lexsort((both["time"], both["om"], both["string"]))
    return {name: column[order] for name, column in both.items()}
