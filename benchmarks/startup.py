"""One command-line call on a small file against ctapipe-process; and what starting costs.

python benchmarks/startup.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from common import simtel, table


def cpu(command: list[str], repeat: int = 4) -> float:
    """Least user and system seconds of several runs of a process; the first one warms caches."""
    times = []
    for _ in range(repeat):
        with tempfile.TemporaryDirectory() as folder:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times[1:])


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


if __name__ == "__main__":
    main(*sys.argv[1:])
