"""How fast sim_telarray files become columns, beside ctapipe and eventio, on one core.

Run it with the files as arguments, or with ``ETENDUE_TEST_DATA`` set to the folder of test data::

    python benchmarks/simtel_read.py [FILE ...]

Prints, for each file with at least ten images, milliseconds an image (best of several rounds, in the
same process): ctapipe's ``SimTelEventSource`` loop as it comes and without its R1 calibration, eventio's
``SimTelFile`` loop, and of etendue the scan, the read of all columns after it, and the stream of them that
needs no scan.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from time import process_time

ROUNDS = 7
LEAST_IMAGES = 10


def read_with_ctapipe(path: str, **options: bool) -> int:
    from ctapipe.io import SimTelEventSource

    options |= {"skip_calibration_events": False, "focal_length_choice": "EQUIVALENT"}
    with SimTelEventSource(path, **options) as source:
        return sum(len(event.r0.tel) for event in source)


def read_with_eventio(path: str) -> int:
    from eventio import SimTelFile

    with SimTelFile(path) as file:
        return sum(len(event["telescope_events"]) for event in file)


def scan(path: str):
    from etendue.iact.sources.simtel import SimtelSource

    return SimtelSource().scan(path, "skip")


def read(path: str, scanned) -> int:
    from etendue.iact.sources.simtel import SimtelSource

    columns = frozenset(
        f"{table.name}/{name}" for table in scanned.schema.values() for name in table.variables
    )
    ranges = [(0, len(scanned.rows["events"]))]
    return sum(
        partition.rows(label)
        for partition in SimtelSource().read(scanned, ranges, columns, "skip")
        for label in scanned.labels
    )


def stream(path: str) -> int:
    from etendue.dataflow.plan import PARTITION_BYTES, row_bytes
    from etendue.iact.sources.simtel import SimtelSource

    looked = SimtelSource().look(path)
    columns = frozenset(
        f"{table.name}/{name}" for table in looked.schema.values() for name in table.variables
    )
    weights = {name: row_bytes(looked.schema, name, columns) for name in looked.rows}
    return sum(
        partition.rows(label)
        for partition in SimtelSource().stream(looked, weights, PARTITION_BYTES, columns)
        for label in looked.labels
    )


def best(*works: Callable[[], object]) -> list[float]:
    """Least CPU seconds of each work; the rounds take turns, so that all see the same machine."""
    least = [float("inf")] * len(works)
    for _ in range(ROUNDS):
        for n, work in enumerate(works):
            start = process_time()
            work()
            least[n] = min(least[n], process_time() - start)
    return least


def measure(path: str) -> str | None:
    try:
        scanned = scan(path)
        stream(path)
    except ValueError:
        return None  # broken
    n_images = sum(int(scanned.rows[label].sum()) for label in scanned.labels)
    if n_images < LEAST_IMAGES:
        return None
    seconds = best(
        lambda: read_with_ctapipe(path),
        lambda: read_with_ctapipe(path, skip_r1_calibration=True),
        lambda: read_with_eventio(path),
        lambda: scan(path),
        lambda: read(path, scanned),
        lambda: stream(path),
    )
    ctapipe, without_r1, eventio, scanning, reading, streaming = (1e3 * s / n_images for s in seconds)
    return (
        f"{Path(path).name[:44]:<44} {n_images:>6} {ctapipe:>8.2f} {without_r1:>8.2f} {eventio:>8.2f} "
        f"{scanning:>6.2f} {reading:>6.2f} {streaming:>7.2f} "
        f"{ctapipe / (scanning + reading):>11.1f} {ctapipe / streaming:>8.1f}"
    )


def main() -> None:
    warnings.simplefilter("ignore")
    folder = Path(os.environ.get("ETENDUE_TEST_DATA", "../shared")) / "data" / "simtel"
    paths = sys.argv[1:] or sorted(str(path) for path in folder.glob("*.simtel.*"))
    print(f"{'file':<44} {'images':>6} {'ctapipe':>8} {'no R1':>8} {'eventio':>8} {'scan':>6} {'read':>6} "
          f"{'stream':>7} {'/(scan+read)':>11} {'/stream':>8}")  # fmt: skip
    for path in paths:
        line = measure(path)
        if line:
            print(line, flush=True)


if __name__ == "__main__":
    main()
