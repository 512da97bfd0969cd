"""Real files of KM3NeT, and one way to read all of them."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import km3net_testdata
import numpy as np

from etendue.dataflow.partition import Partition
from etendue.dataflow.source import OnError, Scan
from etendue.neutrino.sources.km3net import KM3NeTSource

MUON_CC = km3net_testdata.data_path("online/muon_cc_daqevents.root")
EVENTS_133 = km3net_testdata.data_path("online/KM3NeT_00000133_JDAQEvent.root")
EVENTS_267 = km3net_testdata.data_path("online/KM3NeT_00000267_00025291_JDAQEvent_JDAQSummaryslice.root")
ONLINE_44 = km3net_testdata.data_path("online/km3net_online.root")
SAMPLE_44 = km3net_testdata.data_path("online/events_sample.root")
L1_267 = km3net_testdata.data_path("online/KM3NeT_00000267_00025291_L1.root")
SN_267 = km3net_testdata.data_path("online/KM3NeT_00000267_00025291_SN.root")
SUMMARIES = km3net_testdata.data_path("online/summaryslices.root")
SUMMARY_49 = km3net_testdata.data_path("online/KM3NeT_00000049_00008456.summaryslice-167941.root")
MUPAGE = km3net_testdata.data_path("mupage/mcv8.1.mupage_tuned_100G.sirene.jterbr00013288.10.root")
#: Frames of `SN_267` stored object by object; written by ROOT, see the script beside it.
OBJECT_WISE = str(Path(__file__).parent / "data/km3net_object_wise.root")
ONLINE = sorted(
    str(path) for path in (*Path(MUON_CC).parent.glob("*.root"), *Path(MUPAGE).parent.glob("*.root"))
)


def all_columns(scan: Scan) -> frozenset[str]:
    """Every column of the tables of rows."""
    return frozenset(
        f"{table.name}/{c}" for table in scan.schema.values() if table.role == "rows" for c in table.variables
    )


def read(
    path: str, cuts: Sequence[int] | None = None, on_error: OnError = "raise"
) -> tuple[Scan, list[Partition]]:
    """All partitions of an input, cut at the given entries."""
    source = KM3NeTSource()
    scan = source.scan(path, on_error)
    n = len(scan.rows[scan.schema.top.name])
    edges = [0, *(cuts or ()), n]
    ranges = [(a, b) for a, b in pairwise(edges) if a < b]
    return scan, list(source.read(scan, ranges, all_columns(scan), on_error))


def whole(path: str) -> Partition:
    """All of an input as one partition, checked against its declarations and the scan."""
    scan, (partition,) = read(path)
    for name, columns in partition.tables.items():
        assert scan.schema[name].validate(columns, complete=True) == scan.rows[name].sum()
    return partition


def joined(partitions: Sequence[Partition]) -> dict[str, np.ndarray]:
    """All columns of all partitions, one after another."""
    return {
        f"{table}/{c}": np.concatenate([p.tables[table][c] for p in partitions])
        for table, columns in partitions[0].tables.items()
        for c in columns
    }
