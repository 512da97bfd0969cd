"""IceCube's online filter chain on simulated events, replayed: events a second, on one core and on two.

The events of the .i3 files of the test data are repeated until there are enough. Each of two threads takes
partitions in turn, as the engine does. The South Pole triggers at about 2,700 events a second.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import perf_counter, thread_time

import numpy as np
from common import table

from etendue.dataflow.partition import Partition
from etendue.dataflow.registry import find_pipeline
from etendue.neutrino.icecube.geometry import PlacePulses
from etendue.neutrino.sources.icecube.source import IceCubeSource

DATA = Path(os.environ.get("ETENDUE_TEST_DATA", "../shared")) / "data/icecube"
SERIES, ALL = "SplitInIceDSTPulses", "InIceDSTPulses"
GEOMETRY = str(DATA / "geometry/icecube86.parquet")
REPEAT, N_PARTITIONS = 100, 12


def chain() -> tuple:
    """The stages of the shipped pipeline, with a detector."""
    stages = find_pipeline("icecube").stages
    return tuple(
        stage.model_copy(update={"geometry": GEOMETRY}) if isinstance(stage, PlacePulses) else stage
        for stage in stages
    )


CHAIN = chain()


def events() -> list[Partition]:
    """The events of the files that have the series, one partition a file."""
    source, partitions = IceCubeSource(), []
    for path in sorted((DATA / "i3").glob("oscNext*.i3.gz")):
        scan = source.scan(str(path))
        if SERIES not in scan.schema or not len(scan.rows["events"]):
            continue
        columns = {f"{t}/{v}" for t in (SERIES, ALL) for v in scan.schema[t].variables}
        columns |= {f"events/{c}" for c in ("run", "run_id", "event_id", f"n_{SERIES}", f"n_{ALL}")}
        partitions += source.read(scan, [(0, len(scan.rows["events"]))], frozenset(columns))
    return partitions


def replayed(partitions: list[Partition]) -> Partition:
    """All events, repeated, as one partition with what the chain adds declared."""
    tables = {}
    for name in ("events", SERIES, ALL):
        parts = [p.tables[name] for p in partitions]
        tables[name] = {
            column: np.tile(np.concatenate([part[column] for part in parts]), REPEAT) for column in parts[0]
        }
    tables["events"]["event_id"] = np.arange(len(tables["events"]["event_id"]), dtype=np.uint32)
    schema = partitions[0].schema
    for stage in CHAIN:
        schema = schema.with_tables(stage.makes(schema))
        schema = schema.with_variables(stage.provides(schema))
    brought = {name: columns for stage in CHAIN for name, (_, columns) in stage.brings().items()}
    names = {f"{table}/{column}" for table in schema for column in schema[table].variables}
    return Partition(0, schema, tables, brought, wanted=frozenset(names))


def run_chain(partition: Partition) -> dict[str, float]:
    """CPU seconds of each stage."""
    seconds: dict[str, float] = {}
    for stage in CHAIN:
        start = thread_time()
        partition = partition.with_columns(stage(partition))
        seconds[stage.name] = seconds.get(stage.name, 0.0) + thread_time() - start
    return seconds


def main() -> None:
    """Measure and print."""
    partition = replayed(events())
    n_events, n_pulses = partition.rows("events"), partition.rows(SERIES)
    run_chain(replace(partition))
    stages = run_chain(partition)
    rows = [
        [name, f"{1e6 * s / n_events:.2f}"] for name, s in sorted(stages.items(), key=lambda item: -item[1])
    ]
    print(f"{n_events} events of {n_pulses / n_events:.0f} pulses\n")
    table(["stage", "us an event"], [*rows, ["all", f"{1e6 * sum(stages.values()) / n_events:.2f}"]])
    print()
    rates = []
    for workers in (1, 2):
        with ThreadPoolExecutor(workers) as pool:
            start = perf_counter()
            list(pool.map(run_chain, [partition] * N_PARTITIONS))
            rates.append([str(workers), f"{N_PARTITIONS * n_events / (perf_counter() - start):,.0f}"])
    table(["threads", "events/s"], rates)


if __name__ == "__main__":
    main()
