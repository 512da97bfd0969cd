"""What a partition costs when there is nothing to do, and memory as the number of partitions grows.

python benchmarks/overhead.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import process_time

from common import table

N_COLUMNS = 60

MEMORY = """
import resource, sys
import etendue as et
out, *stores = sys.argv[1:]
flow = et.open(*stores, workers=2, partition_bytes=256_000_000) | et.find_pipeline("ctapipe")
summary = flow.write(out, "dl2", quiet=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, len(summary.plan.partitions))
"""


def partition_seconds(folder: Path) -> float:
    """CPU seconds of a partition of one row and sixty columns, in a chain that does nothing."""
    import numpy as np

    from etendue.dataflow.pipeline import Pipeline
    from etendue.schema import Schema, Table, variables
    from etendue.store import PassWriter

    columns = {f"column{n}": ("float64", "m", "nothing") for n in range(N_COLUMNS)}
    schema = Schema({"events": Table("events", "event", variables("event", **columns))})
    checked = Pipeline().check(schema)
    from etendue.dataflow.partition import Partition, Receipt

    n_partitions = 500
    writer = PassWriter.create(str(folder / "empty.etendue"), "a", schema, {}, n_partitions, {"labels": {}})
    fork = writer.fork()
    start = process_time()
    receipts = []
    for number in range(n_partitions):
        tables = {"events": {name: np.full(1, number, np.float64) for name in columns}}
        partition = checked.apply(Partition(number, schema, tables)).partition
        checksums = fork.write(number, partition.tables)
        receipts.append(Receipt(number, {"events": 1}, {"events": 1}, checksums, {}))
    writer.take(receipts, fork.session)
    writer.publish({})
    return (process_time() - start) / n_partitions


def peak_memory(folder: Path, raw: Path, copies: int) -> tuple[int, int]:
    """Peak bytes and number of partitions of a run over copies of a store, on two threads."""
    links = [folder / f"copy{copies}-{n}.etendue" for n in range(copies)]
    for link in links:  # stores of their own, but not on the disk; symbolic links would be one input
        shutil.copytree(raw, link, copy_function=os.link)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, f"{folder}/out{copies}.etendue", *(f"{link}@raw" for link in links)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    peak, partitions = done.stdout.split()
    return int(peak), int(partitions)


def main() -> None:
    """Measure and print."""
    import etendue as et

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [[f"partition of {N_COLUMNS} columns, no work", f"{1e3 * partition_seconds(folder):.1f} ms"]]
        raw = folder / "raw.etendue"
        et.open("simulated://gamma?n_showers=16000&seed=1").write(raw, "raw", quiet=True)
        for copies in (1, 2, 4, 8):
            peak, partitions = peak_memory(folder, raw, copies)
            rows.append(
                [f"peak memory, two threads, {partitions} partitions of 256 MB", f"{peak / 1e9:.2f} GB"]
            )
    table(["what", "measured"], rows)


if __name__ == "__main__":
    main()
