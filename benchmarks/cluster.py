"""What encryption costs: a pass on processes that speak TLS, against the same without, in the same run.

python benchmarks/cluster.py [ROUNDS]

Two measures: a pass, whose tasks return receipts (what etendue does), and arrays of 8 MB that are brought
back whole (what encryption costs at the worst; no pass does that).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from common import table


def zeros(n: int, size: int):
    """An array to send back."""
    import numpy as np

    return np.full(size, n, np.uint8)


def measure(client, raw: Path, folder: Path, tag: str) -> tuple[float, float]:
    """Seconds of a pass, and of fetching 64 arrays of 8 MB."""
    import etendue as et

    flow = et.open(f"{raw}@raw", partition_bytes=1 << 24) | et.iact.Calibrate() | et.iact.Integrate()
    start = perf_counter()
    flow.write(folder / "passes", tag, client=client, quiet=True)
    a_pass = perf_counter() - start
    start = perf_counter()
    for future in client.map(zeros, range(64), size=8 << 20, pure=False):
        future.result()
    return a_pass, perf_counter() - start


def main() -> None:
    """Measure alternately, and print medians."""
    import etendue as et

    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        raw = folder / "raw"
        inputs = [f"simulated://gamma?n_showers=100&seed={seed}" for seed in range(24)]
        et.open(*inputs).write(raw, "raw", quiet=True)
        clients = {"TLS": et.connect("processes", workers=2)}
        clients["plain"] = et.connect("processes", workers=2, insecure=True)
        seconds: dict[str, list[tuple[float, float]]] = {kind: [] for kind in clients}
        for round_ in range(rounds + 1):
            for kind, client in clients.items():
                both = measure(client, raw, folder, f"{kind}{round_}")
                if round_ > 0:  # the first compiles
                    seconds[kind].append(both)
        for client in clients.values():
            client.close()
    rows = []
    for number, what in enumerate(
        ("a pass of 24 partitions of 15 MB on two processes", "64 arrays of 8 MB brought back")
    ):
        tls, plain = (median(both[number] for both in seconds[kind]) for kind in ("TLS", "plain"))
        rows.append([what, f"{tls:.2f} s", f"{plain:.2f} s", f"{plain / tls:.2f}"])
    table(["what", "TLS", "plain", "throughput with TLS / plain"], rows)


if __name__ == "__main__":
    main()
