"""What surrounds the work of a pass: the driver, workers that are killed, a restart, two processes.

    python benchmarks/passes.py [overhead] [kills] [restart] [processes]

The spans of the first three do nothing, or wait (`tests/dataflow/ticks.py`). Both sides run in turns, several
times; a ratio is that of the medians, with the least and the greatest of single turns behind it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time, sleep, time

from common import table

sys.path.append(str(Path(__file__).parents[1]))
from tests.dataflow import ticks

#: Where a pass goes on, in a process of its own, until its first new span says when it began.
RESUME = "import sys, etendue as et; et.open(sys.argv[2], memory_limit=1 << 50).write(sys.argv[1], 'p')"


def nothing(number: int) -> None:
    """What Dask does in the time of a span that does nothing."""


def spans(address: str):
    """A flow over a `ticks` source."""
    import etendue as et

    return et.open(address, memory_limit=1 << 50)


def seconds(function: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of a call; the scheduler of a local cluster is in this process."""
    wall, cpu = perf_counter(), process_time()
    function()
    return perf_counter() - wall, process_time() - cpu


def ratio(ours: list[float], theirs: list[float]) -> str:
    """Ratio of medians, and the range of single ones."""
    single = [a / b for a, b in zip(ours, theirs, strict=True)]
    return f"{median(ours) / median(theirs):.2f} ({min(single):.2f} to {max(single):.2f})"


def overhead(folder: Path, n_spans: int = 3000, repeat: int = 5) -> list[list[str]]:
    """Wall and CPU time of driver and scheduler a span, against `client.map` of as many tasks."""
    import etendue as et
    from etendue.dataflow.run import run

    flow = spans(f"ticks://{n_spans}")
    plan = flow.plan()
    with et.connect("processes", workers=2) as client:
        sides: dict[str, Callable[[int], object]] = {
            "client.map": lambda _: client.gather(client.map(nothing, range(n_spans), pure=False)),
            "run": lambda _: run(plan, client=client),
            "write": lambda turn: flow.write(folder / f"overhead{turn}", "p", client=client, quiet=True),
        }
        times = {name: [] for name in sides}
        for turn in range(repeat + 1):
            for name, side in sides.items():
                times[name].append(seconds(lambda side=side, turn=turn: side(turn)))
    bare = list(zip(*times.pop("client.map")[1:], strict=True))
    rows = []
    for name, turns in times.items():
        for what, ours, theirs in zip(("wall", "CPU"), zip(*turns[1:], strict=True), bare, strict=True):
            figures = [f"{1e3 * median(side) / n_spans:.2f} ms" for side in (ours, theirs)]
            rows.append([f"a span, {name}, {what}", *figures, ratio(ours, theirs)])
    return rows


def kills(folder: Path, n_spans: int = 100, wait: float = 3.0, workers: int = 4) -> list[list[str]]:
    """A pass of spans that wait, with each tenth killed half-way, against the same undisturbed."""
    import etendue as et

    times = {"disturbed": [], "undisturbed": []}
    for turn in range(2):
        marks = folder / f"marks{turn}"
        marks.mkdir()
        addresses = {
            "undisturbed": f"ticks://{n_spans}?seconds={wait}",
            "disturbed": f"ticks://{n_spans}?seconds={wait}&kill=10&marks={marks}",
        }
        for name, address in addresses.items():
            with et.connect("processes", workers=workers) as client:
                store = folder / f"{name}{turn}"
                flow = spans(address)
                times[name].append(
                    seconds(lambda s=store, f=flow, c=client: f.write(s, "p", client=c, quiet=True))[0]
                )
        assert len(list(marks.iterdir())) == n_spans // 10
    figures = [f"{median(times[name]):.1f} s" for name in ("disturbed", "undisturbed")]
    what = f"{n_spans} spans of {wait:g} s on {workers} workers, 10 % killed"
    return [[what, *figures, ratio(times["disturbed"], times["undisturbed"])]]


def restart(folder: Path, n_spans: int = 10_000, repeat: int = 3) -> list[list[str]]:
    """Time from the start of a process to the first new span of a pass that was killed half-way."""
    times = []
    for turn in range(repeat):
        half, started = folder / f"half{turn}", folder / f"started{turn}"
        address = f"ticks://{n_spans}?half={n_spans // 2}&done={half}&started={started}"
        command = [sys.executable, "-c", RESUME, str(folder / f"restart{turn}"), address]
        kill_at(half, command)
        started.unlink()
        begin = time()
        kill_at(started, command)
        times.append(started.stat().st_mtime - begin)
    figure = f"{median(times):.2f} s ({min(times):.2f} to {max(times):.2f})"
    return [[f"first new span of a half-done pass of {n_spans:,}", figure, "", ""]]


def kill_at(mark: Path, command: list[str]) -> None:
    """Run a command until a file is there, and kill it."""
    with subprocess.Popen(command) as process:
        while not mark.exists() and process.poll() is None:
            sleep(0.01)
        process.kill()


def processes(folder: Path, n_showers: int = 60_000, copies: int = 3, repeat: int = 4) -> list[list[str]]:
    """Store to DL2 on two processes against one, each on a core of its own, and each on any.

    On any core, a single process has help from the others: its chunk files are written by threads beside it.
    """
    import etendue as et

    raw = folder / "raw"
    et.open(f"simulated://gamma?n_showers={n_showers}&seed=1").write(raw, "raw", quiet=True)
    stores = [raw, *(folder / f"raw{n}" for n in range(1, copies))]
    for store in stores[1:]:
        shutil.copytree(raw, store, copy_function=os.link)
    flow = et.open(*stores, partition_bytes=64 << 20) | et.find_pipeline("ctapipe")
    rows = []
    for where, on_one_core in (("each on one core", True), ("on any core", False)):
        with et.connect("processes", workers=1) as one, et.connect("processes", workers=2) as two:
            for client in (one, two) if on_one_core else ():
                for core, worker in enumerate(client.scheduler_info()["workers"]):
                    client.run(stay_on, core, workers=[worker])
            times: dict[int, list[float]] = {1: [], 2: []}
            for _ in range(repeat + 1):
                for n, client in ((1, one), (2, two)):
                    write = partial(flow.write, folder / "dl2", "dl2", client=client, quiet=True)
                    times[n].append(seconds(write)[0])
                    shutil.rmtree(folder / "dl2")
        one_took, two_took = times[1][1:], times[2][1:]  # the first loads the kernels
        figures = [f"{median(side):.1f} s" for side in (two_took, one_took)]
        speed = f"{ratio(one_took, two_took)} times as fast"
        rows.append([f"store to DL2, two processes against one, {where}", *figures, speed])
    return rows


def stay_on(core: int) -> None:
    """Keep the threads of this process, and those that they start, on one core."""
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), {core})


def main(*names: str) -> None:
    """Measure and print."""
    measures = {"overhead": overhead, "kills": kills, "restart": restart, "processes": processes}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= ticks.install(folder / "installed")
        sys.path.append(str(folder / "installed"))
        rows = [row for measure in names or measures for row in measures[measure](folder)]
    table(["what", "etendue", "against", "ratio"], rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
