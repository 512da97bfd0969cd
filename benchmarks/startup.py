"""One command-line call on a small file against ctapipe-process; what starting costs, and first runs.

python benchmarks/startup.py
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from common import simtel, table


def measured(command: list[str], folder: str | Path, **options: Any) -> tuple[float, float]:
    """Wall seconds of a process, and user and system seconds of it and its children."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True, **options)
    wall, after = perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cpu(command: list[str], repeat: int = 4) -> float:
    """Least user and system seconds of several runs of a process; the first one warms caches."""
    times = []
    for _ in range(repeat):
        with tempfile.TemporaryDirectory() as folder:
            times.append(measured(command, folder)[1])
    return min(times[1:])


def cold(command: list[str]) -> list[str]:
    """Wall and CPU seconds of a first run, which compiles the kernels, and of the next one."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": f"{folder}/kernels"}
        for name in ("first", "next"):
            place = Path(folder, name)
            place.mkdir()
            wall, spent = measured(command, place, env=environment)
            found.append(f"{wall:.0f} s ({spent:.0f} s of CPU)")
    return found


def first_runs(command: str) -> None:
    """Measure first runs, with nothing compiled, and print."""
    where = ("--into", "out.etendue", "--pass", "a")
    muons = simtel("ctapipe-extra__lst_muons").resolve()
    icecube = muons.parents[1] / "icecube"
    frames = icecube / "i3/oscNext_genie_level3_v02_first_5_frames.i3.gz"
    geometry = f"geometry={icecube / 'geometry/icecube86.parquet'}"
    runs = {
        "demo": ["demo"],
        "run iact, lst_muons": ["run", "iact", str(muons), *where],
        "run icecube, 5 events": ["run", "icecube", str(frames), "--set", geometry, *where],
    }
    rows = [[name, *cold([command, *words])] for name, words in runs.items()]
    table(["wall (CPU)", "first", "next"], rows)


def main(command: str | None = None) -> None:
    """Measure and print."""
    file = str(simtel("ctapipe-extra__lst_muons").resolve())
    scripts = Path(sys.executable).parent
    command = command or f"{scripts}/etendue"
    ours = cpu([command, "run", "ctapipe", file, "--into", "out.etendue", "--pass", "a"])
    theirs = cpu(
        [
            f"{scripts}/ctapipe-process",
            *("-i", file, "-o", "out.h5", "--write-images", "--write-parameters", "--write-showers"),
            "--SimTelEventSource.focal_length_choice=EQUIVALENT",
        ]
    )
    rows = [
        ["one call on lst_muons (30 events)", f"{ours:.2f} s", f"{theirs:.2f} s", f"{ours / theirs:.2f}"],
        ["import etendue", f"{cpu([sys.executable, '-c', 'import etendue']):.3f} s", "", ""],
        ["etendue --help", f"{cpu([command, '--help']):.3f} s", "", ""],
    ]
    table(["what (CPU)", "etendue", "ctapipe-process", "ratio"], rows)
    first_runs(command)


if __name__ == "__main__":
    main(*sys.argv[1:])
