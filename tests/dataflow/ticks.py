"""A source whose spans do nothing, for tests and benchmarks of what surrounds the work.

``ticks://1000`` has 1000 blocks of one event, each a span of its own. ``ticks://1000?seconds=2`` waits so
long in each of them, ``&kill=10&marks=FOLDER`` kills its process in the middle of every tenth, once;
``&started=FILE`` makes a file when a block is read, ``&half=500&done=FILE`` one when that block is.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from etendue.dataflow.partition import Partition
from etendue.dataflow.plan import SPAN_BYTES
from etendue.dataflow.source import Scan
from etendue.schema import Schema, Table, variables

EVENTS = Table("events", "event", variables("event", event_id=("int64", "", "number")))

#: Entry points are found in the metadata of installed packages: here, a folder of `PYTHONPATH`.
ENTRY_POINTS = "[etendue.sources]\nticks = ticks:TickSource\n"
METADATA = "Metadata-Version: 2.1\nName: ticks\nVersion: 0\n"


def install(folder: Path) -> dict[str, str]:
    """Install the source in a folder; the environment in which processes find it."""
    facts = folder / "ticks-0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text(METADATA)
    (facts / "entry_points.txt").write_text(ENTRY_POINTS)
    shutil.copy(__file__, folder / "ticks.py")
    return {**os.environ, "PYTHONPATH": str(folder)}


class TickSource:
    """See the module."""

    name = "ticks"

    def accepts(self, path: str) -> bool:
        return path.startswith("ticks://")

    def scan(self, path: str, on_error: str = "raise") -> Scan:
        n_blocks = int(urlsplit(path).netloc)
        # Announced as so large that none shares its span with another.
        rows = np.full(n_blocks, SPAN_BYTES // 8)
        return Scan(path, self.name, Schema({"events": EVENTS}), {}, {"events": rows}, splittable=True)

    def read(self, scan, ranges, columns, on_error="raise") -> Iterator[Partition]:
        facts = dict(parse_qsl(urlsplit(scan.path).query))
        if "started" in facts:
            Path(facts["started"]).touch()
        seconds = float(facts.get("seconds", 0))
        for number, (first, stop) in enumerate(ranges):
            if "kill" in facts and first % int(facts["kill"]) == 0:
                self._die_once(Path(facts["marks"]) / str(first), seconds / 2)
            if first == int(facts.get("half", -1)):
                Path(facts["done"]).touch()
            sleep(seconds)
            yield Partition(number, scan.schema, {"events": {"event_id": np.arange(first, stop)}})

    def _die_once(self, mark: Path, seconds: float) -> None:
        if not mark.exists():
            mark.touch()
            sleep(seconds)
            os.kill(os.getpid(), signal.SIGKILL)
