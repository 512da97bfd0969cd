"""A process that has imported what takes long and forks one for each run, so that runs start at once.

It has one thread only, as what it forks must be able to start threads of its own; so it does not import
icechunk, which starts some. It reads commands from its standard input, a line of JSON each: the ``function``
to call with a list of ``arguments``, a file for the ``output``, and a ``delay`` until the run is killed. It
answers with the run's exit code, negative if a signal ended it, and how long it took.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from importlib import import_module
from time import monotonic

MODULES = (
    "zarr",
    "numba",
    "etendue.cli.process",
    "etendue.dataflow.passes",
    "etendue.histogram.travel",
    "etendue.iact.sources.simulated",
    "etendue.store.layout",
    "tests.faults.raw",
)


def main() -> int | None:
    for module in MODULES:
        import_module(module)
    assert len(os.listdir("/proc/self/task")) == 1, "threads do not live on in what is forked"
    for line in sys.stdin:
        command = json.loads(line)
        start = monotonic()
        child = os.fork()
        if child == 0:
            return run(command)
        code = wait(child, command["delay"])
        print(json.dumps({"code": code, "seconds": monotonic() - start}), flush=True)
    return None


def run(command: dict) -> int:
    """A run, in the forked process."""
    devnull = os.open(os.devnull, os.O_RDONLY)
    os.dup2(devnull, 0)
    output = os.open(command["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    from etendue.store import publish
    from tests.faults import points

    publish.COMMIT_SPANS = 2
    points.mark()
    try:
        module, _, name = command["function"].partition(":")
        getattr(import_module(module), name)(command["arguments"])
    except SystemExit as end:
        return end.code or 0
    return 0


def wait(child: int, delay: float | None) -> int:
    """Wait until a child ends, and kill it after a while."""
    if delay is not None:
        signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, max(delay, 1e-4))
    _, status = os.waitpid(child, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
