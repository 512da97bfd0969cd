"""What the benchmarks share: where the data are, one core, CPU seconds, tables."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from time import process_time

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # one core each side: set before NumPy is imported


def simtel(name: str) -> Path:
    """A simtel file of the test data, by the beginning of its name."""
    folder = Path(os.environ.get("ETENDUE_TEST_DATA", "../shared")) / "data/simtel"
    found = sorted(folder.glob(f"{name}*"))
    if not found:
        raise SystemExit(f"no file {name}* in {folder}: set ETENDUE_TEST_DATA to the folder of test data")
    return found[0]


def best(function: Callable[[], object], repeat: int = 5) -> float:
    """Least CPU seconds of several calls, after one that warms up."""
    function()
    times = []
    for _ in range(repeat):
        start = process_time()
        function()
        times.append(process_time() - start)
    return min(times)


def table(header: list[str], rows: list[list[str]]) -> None:
    """Print a Markdown table."""
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")
