"""KM3NeT's hit-level stages on one core: calibration (beside km3pipe's, in one run), coincidences, triggers.

Needs km3pipe and km3net-testdata (``pip install km3pipe km3net-testdata``).

    python benchmarks/km3net_stages.py
"""

from __future__ import annotations

import numpy as np
from common import best, table
from km3net_testdata import data_path

from etendue.dataflow.partition import Partition
from etendue.dataflow.pipeline import Pipeline
from etendue.neutrino.km3net.calibration import CalibrateHits
from etendue.neutrino.km3net.coincidences import NO_AXES, FindCoincidences, find_coincidences, usable_times
from etendue.neutrino.km3net.frames import CheckFrames, DecodeRates
from etendue.neutrino.km3net.triggers import data_filter
from etendue.neutrino.sources.km3net.source import KM3NeTSource

DETECTOR = data_path("detx/KM3NeT_00000133_20221025.detx")
EVENTS = data_path("online/muon_cc_daqevents.root")
L1 = data_path("online/KM3NeT_00000267_00025291_L1.root") + "#L1"
SUMMARY = data_path("online/summaryslices.root") + "#summary"
ORCA = data_path("online/events_sample.root")

#: Bytes that calibration reads and writes of a hit: module, channel, tdc, tot; time, position, axis.
BYTES_READ, BYTES_WRITTEN = 4 + 1 + 4 + 1, 8 + 6 * 4


def read(path: str, pipeline: Pipeline) -> Partition:
    """All of a stream, with the columns that a pipeline reads, as one partition."""
    source = KM3NeTSource()
    scan = source.scan(path)
    n_blocks = len(scan.rows[scan.schema.top.name])
    (partition,) = source.read(scan, [(0, n_blocks)], pipeline.check(scan.schema).read)
    return partition


def seconds(path: str, *stages) -> tuple[float, Partition]:
    """CPU seconds of the last stage, on what those before it make of a file."""
    checked = Pipeline(stages=stages).check(KM3NeTSource().scan(path).schema)
    before = Pipeline(stages=stages[:-1]).check(KM3NeTSource().scan(path).schema)
    partition = read(path, checked.pipeline)
    if stages[:-1]:
        partition, *_ = before.apply(partition)
    brought = {**partition.conditions, **checked.brought}
    partition = Partition(0, checked.schema, partition.tables, brought)
    return best(lambda: stages[-1](partition)), partition


def km3pipe_seconds(partition: Partition) -> float:
    """CPU seconds of km3pipe's ``Calibration.apply`` on all hits at once, which must give our times."""
    import km3pipe
    from km3pipe.calib import Calibration

    hits = partition.tables["hits"]
    columns = {name: hits[name] for name in ("dom_id", "channel_id", "tot")}
    rows = km3pipe.Table({**columns, "time": hits["tdc"].astype(np.float64)}, h5loc="/hits")
    calibration = Calibration(filename=DETECTOR)
    ours = CalibrateHits(detector=DETECTOR)(partition)["hits/t"]
    np.testing.assert_allclose(calibration.apply(rows)["time"], ours, rtol=0, atol=0.02)
    return best(lambda: calibration.apply(rows))


def calibration_rows() -> list[list[str]]:
    stage = CalibrateHits(detector=DETECTOR)
    spent, partition = seconds(EVENTS, stage)
    hits = {"events": partition.tables["events"], "hits": partition.tables["hits"]}
    partition = Partition(0, partition.schema, hits, partition.conditions)
    spent, n = best(lambda: stage(partition)), partition.rows("hits")
    theirs = km3pipe_seconds(partition)
    rate = f"{(BYTES_READ + BYTES_WRITTEN) * n / spent / 1e9:.1f} GB/s"
    return [
        ["km3pipe Calibration.apply", f"{n / theirs / 1e6:.1f} Mhit/s", "1.0"],
        [f"CalibrateHits ({rate} in and out)", f"{n / spent / 1e6:.1f} Mhit/s", f"{theirs / spent:.1f}"],
    ]


def search(partition: Partition, stage: FindCoincidences) -> None:
    """The search alone: from columns of hits in frames to columns of coincidences and the hits' marks."""
    tdc, channel = partition["hits/tdc"], partition["hits/channel_id"]
    starts, order = partition.offsets("hits"), np.arange(tdc.size)
    frames, t = np.arange(starts.size - 1), usable_times(tdc, channel)
    parameters = stage.within, stage.min_pmts, stage.min_cos
    find_coincidences(starts, frames, order, t, channel, NO_AXES, *parameters)


def coincidence_rows() -> list[list[str]]:
    rows = []
    for label, stage in {
        "L1, 25 ns, 2 photomultipliers": FindCoincidences(time="tdc"),
        "L2, 10 ns, 2 photomultipliers": FindCoincidences(time="tdc", within=10),
        "multiplicities, 10 ns": FindCoincidences(time="tdc", within=10, min_pmts=1),
    }.items():
        spent, partition = seconds(L1, stage)
        n = partition.rows("hits")
        kernel = best(lambda: search(partition, stage))  # noqa: B023
        rows.append([f"{label}: search", f"{n / kernel / 1e6:.1f} Mhit/s", ""])
        rows.append([f"{label}: stage (table, marks)", f"{n / spent / 1e6:.1f} Mhit/s", ""])
    return rows


def other_rows() -> list[list[str]]:
    rows = []
    spent, partition = seconds(L1, CheckFrames())
    rows.append(["CheckFrames", f"{partition.rows('hits') / spent / 1e6:.1f} Mhit/s", ""])
    spent, partition = seconds(SUMMARY, DecodeRates())
    rows.append(["DecodeRates", f"{partition.rows('frames') / spent / 1e6:.2f} Mframe/s", ""])
    stages = (CalibrateHits(detector=DETECTOR), *data_filter("ARCA21").stages)
    spent, partition = seconds(EVENTS, *stages)
    rows.append(["Trigger, events of ARCA", f"{partition.rows('events') / spent:.0f} events/s", ""])
    stages = (CalibrateHits(detector=data_path("detx/detx_v4.detx")), *data_filter("ORCA-2019").stages)
    spent, partition = seconds(ORCA + "#L1", *stages)
    live = 0.1 * partition.rows("timeslices") / spent
    rows.append(["Trigger, L1 slices of ORCA", f"{live:.1f} s of data a second", ""])
    return rows


def main() -> None:
    table(["stage", "rate", "times km3pipe"], calibration_rows() + coincidence_rows() + other_rows())


if __name__ == "__main__":
    main()
