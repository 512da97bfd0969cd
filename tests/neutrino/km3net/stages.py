"""What the tests of KM3NeT's stages share: real files through stages, and made-up time slices and events."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from km3net_testdata import data_path

from etendue.dataflow.partition import Partition
from etendue.dataflow.pipeline import Pipeline
from etendue.dataflow.stage import Stage
from etendue.neutrino.schema import DAQ_EVENTS, EVENT_HITS, SLICE_FRAMES, SLICE_HITS, TIMESLICES
from etendue.neutrino.sources.km3net.source import KM3NeTSource
from etendue.schema import Schema

DETECTOR_133 = data_path("detx/KM3NeT_00000133_20221025.detx")
DETECTOR_44 = data_path("detx/detx_v4.detx")

SLICES = Schema({}).with_tables([TIMESLICES, SLICE_FRAMES, SLICE_HITS])
EVENTS = Schema({}).with_tables([DAQ_EVENTS, EVENT_HITS])


def run_file(path: str, stages: Stage | Pipeline, cuts: tuple[int, ...] = ()) -> list[Partition]:
    """A stream of a file of km3net-testdata through stages, in partitions that are cut at some entries."""
    source, pipeline = KM3NeTSource(), stages if isinstance(stages, Pipeline) else Pipeline(stages=(stages,))
    scan = source.scan(data_path(path.partition("#")[0]) + "".join(path.partition("#")[1:]))
    checked = pipeline.check(scan.schema)
    edges = (0, *cuts, len(scan.rows[scan.schema.top.name]))
    ranges = list(pairwise(edges))
    return [checked.apply(p).partition for p in source.read(scan, ranges, checked.read)]


def joined(partitions: list[Partition], name: str) -> np.ndarray:
    """A column of all partitions."""
    return np.concatenate([partition[name] for partition in partitions])


def run(partition: Partition, *stages: Stage) -> Partition:
    """A made-up partition through stages."""
    checked = Pipeline(stages=stages).check(partition.schema)
    return checked.apply(partition).partition


def slices(n_frames, n_hits, dom_id, **hits: np.ndarray) -> Partition:
    """Time slices of some frames of some hits, with all status words good."""
    n_slices, total = len(n_frames), len(dom_id)
    good = np.full(total, 1 << 31, dtype=np.uint32)
    tables = {
        "timeslices": {
            "frame_index": np.arange(n_slices, dtype=np.int32) + 1,
            "n_frames": np.asarray(n_frames, dtype=np.int32),
        },
        "frames": {
            "dom_id": np.asarray(dom_id, dtype=np.int32),
            "daq": np.full(total, 1, dtype=np.uint32),
            "status": good,
            "fifo": good,
            "n_hits": np.asarray(n_hits, dtype=np.int32),
        },
        "hits": raw_hits(**hits),
    }
    return Partition(0, SLICES, tables)


def events(n_hits, dom_id, **hits: np.ndarray) -> Partition:
    """Events of some hits."""
    columns = {"n_hits": np.asarray(n_hits, dtype=np.int32)}
    in_hits = {"dom_id": np.asarray(dom_id, dtype=np.int32), **raw_hits(**hits)}
    return Partition(0, EVENTS, {"events": columns, "hits": in_hits})


def raw_hits(channel_id, tdc, tot=None) -> dict[str, np.ndarray]:
    """Columns of raw hits."""
    tdc = np.asarray(tdc, dtype=np.uint32)
    tot = np.full(tdc.size, 26) if tot is None else tot
    return {
        "channel_id": np.asarray(channel_id, dtype=np.uint8),
        "tdc": tdc,
        "tot": np.asarray(tot, dtype=np.uint8),
    }


def reordered(partition: Partition, table: str, order: np.ndarray) -> Partition:
    """The same partition with the rows of one table in another order."""
    columns = {name: column[order] for name, column in partition.tables[table].items()}
    return replace(partition, tables={**partition.tables, table: columns})
