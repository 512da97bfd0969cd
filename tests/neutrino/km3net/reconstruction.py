"""What the tests of the reconstruction share: simulated light of a track, angles, partitions of hits."""

from __future__ import annotations

import numpy as np

from etendue.dataflow.partition import Partition
from etendue.neutrino.km3net.cherenkov import hypothesis
from etendue.neutrino.schema import DAQ_EVENTS, EVENT_HITS, calibrated
from etendue.schema import Schema

EVENTS = Schema({}).with_tables([DAQ_EVENTS, EVENT_HITS.with_variables(calibrated("hit").values())])


def angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angles between unit vectors [deg]."""
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(axis=-1)))


def vectors(columns, prefix: str) -> np.ndarray:
    """Columns ``prefix_x``, ``_y``, ``_z`` as an array of shape (n, 3)."""
    return np.column_stack([columns[f"{prefix}_{c}"] for c in "xyz"])


def grid_detector(n: int = 6, spacing: float = 25.0) -> tuple[np.ndarray, np.ndarray]:
    """Positions and axes of a cubic grid of modules, each with six photomultipliers along the axes."""
    edge = (np.arange(n) - (n - 1) / 2) * spacing
    modules = np.stack(np.meshgrid(edge, edge, edge), axis=-1).reshape(-1, 3)
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    return np.repeat(modules, 6, axis=0), np.tile(axes, (len(modules), 1))


def track_hits(rng: np.random.Generator, position, direction, time: float, reach: float = 40.0) -> dict:
    """Hits of the photomultipliers of the grid that face a track's light within reach, 1.5 ns smeared."""
    place, axis = grid_detector()
    _, rho, arrival, _, impact = hypothesis(position, direction, time, place, axis)
    lit = np.flatnonzero((rho < reach) & (impact < -0.3))
    t = arrival[lit] + rng.normal(0, 1.5, len(lit))
    return hit_columns(lit, t, place, axis, np.ones(len(lit), np.uint64))


def hit_columns(pmt, t, place, axis, mask) -> dict:
    """Columns of the table ``hits`` for photomultipliers of the grid."""
    columns = {"dom_id": (pmt // 6).astype(np.int32), "channel_id": (pmt % 6).astype(np.uint8), "t": t}
    columns |= {f"pos_{c}": place[pmt, j].astype(np.float32) for j, c in enumerate("xyz")}
    columns |= {f"dir_{c}": axis[pmt, j].astype(np.float32) for j, c in enumerate("xyz")}
    return columns | {"trigger_mask": mask}


def partition_of(events: list[dict]) -> Partition:
    """A partition of events of some hits each; of events without hits for empty columns."""
    counts = np.array([len(event["t"]) for event in events], dtype=np.int32)
    hits = {name: np.concatenate([event[name] for event in events]) for name in events[0]}
    return Partition(0, EVENTS, {"events": {"n_hits": counts}, "hits": hits})
