"""Kernels compiled side by side, in processes: one compiler can do only one at a time.

A crew is one process that imports what all need and then forks, as many as there are cores. Each takes the
next kernel from a pipe, compiles it into Numba's cache, and says so. Who needs a kernel that the crew has
still to do waits for it, and loads it. If the crew fails in any way, nobody waits, and what is missing is
compiled where it is needed, as without a crew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from threading import Event, Thread
from typing import IO, TYPE_CHECKING

from etendue.kernel_list import Wanted
from etendue.kernel_progress import Compiling, compiling

if TYPE_CHECKING:
    from etendue.compiler import Kernel

#: Bytes of the number of a unit in the pipe.
_NUMBER = 4

#: Crews at work.
_crews: list[Crew] = []


class Crew:
    """Processes that compile kernels.

    Parameters
    ----------
    wanted : iterable of Wanted
        What is to be compiled. Signatures of one kernel are compiled by one process, one after another, since
        they share a file of Numba's cache.
    n_processes : int
        Processes, at least one.
    told : Compiling
        Takes what begins and ends.
    """

    def __init__(self, wanted: Iterable[Wanted], n_processes: int, told: Compiling = compiling) -> None:
        units: dict[str, list] = defaultdict(list)
        for one in wanted:
            units[one.kernel].append(one.signature)
        self.names = list(units)
        self.errors: list[str] = []
        self._told = told
        self._left = {name: len(signatures) for name, signatures in units.items()}
        self._done = {name: Event() for name in self.names}
        told.total = told.n_done + sum(self._left.values())
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import work; work()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for who started it, and stops it
            text=True,
        )
        _crews.append(self)
        self._reader = Thread(target=self._listen, name="etendue-kernels", daemon=True)
        self._reader.start()
        with suppress(OSError), self._process.stdin as orders:
            json.dump({"n_processes": n_processes, "units": list(units.items())}, orders)

    def _listen(self) -> None:
        for line in self._process.stdout:
            number, begins, error = json.loads(line)
            name = self.names[number]
            if begins:
                self._told.begin(name.replace(":", "."))
                continue
            self._told.end()
            if error:
                self.errors.append(f"{name}: {error}")
            self._left[name] -= 1
            if not self._left[name]:
                self._done[name].set()
        for done in self._done.values():  # or it never will be
            done.set()
        self._process.wait()
        _crews.remove(self)

    def wait(self, name: str) -> None:
        """Wait until a kernel is done, if it is one of the crew's."""
        if name in self._done:
            self._done[name].wait()

    def wait_for_errors(self) -> list[str]:
        """Wait until all is done; returns what went wrong, one a kernel."""
        try:
            self._reader.join()
        finally:
            self.stop()
        lost = [f"{name}: the process that compiled it has died" for name, n in self._left.items() if n]
        return self.errors + lost

    def stop(self) -> None:
        """End the processes, whatever they do."""
        if hasattr(os, "killpg") and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, 9)
        else:
            self._process.kill()
        self._reader.join()


def await_kernel(kernel: Kernel) -> None:
    """Wait until the crews at work have done a kernel, if they have to."""
    if _crews:
        from etendue.kernel_list import name_of

        for crew in tuple(_crews):
            crew.wait(name_of(kernel))


def work() -> None:
    """What the processes of a crew do: orders on standard input, news on standard output, one a line."""
    orders, news = json.load(sys.stdin), os.dup(sys.stdout.fileno())
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    units = [(name, [Wanted(name, one) for one in signatures]) for name, signatures in orders["units"]]
    queue, entrance = os.pipe()
    order = sorted(range(len(units)), key=lambda number: -_weight(units[number][1]))
    with open(entrance, "wb") as pipe:
        pipe.write(b"".join(number.to_bytes(_NUMBER) for number in order))
    _prepare()
    children = []
    for _ in range(orders["n_processes"] - 1 if hasattr(os, "fork") else 0):
        if not (child := os.fork()):
            children = None
            break
        children.append(child)
    try:
        with open(news, "w") as said:
            _compile_all(units, queue, said)
    finally:
        if children is None:
            os._exit(0)
    for child in children:
        os.waitpid(child, 0)


def _compile_all(units: Sequence[tuple[str, list[Wanted]]], queue: int, news: IO[str]) -> None:
    """Compile what comes next in the queue, until nothing does."""

    def say(number: int, *, begins: bool, error: str = "") -> None:
        news.write(json.dumps([number, begins, error]) + "\n")
        news.flush()  # one write of less than a pipe takes at once, so lines do not mix

    while number := os.read(queue, _NUMBER):
        at = int.from_bytes(number)
        for wanted in units[at][1]:
            say(at, begins=True)
            try:
                wanted.find().compile(wanted.types)
                error = ""
            except Exception as failed:  # a list of another version: then it is compiled where it is needed
                error = f"{type(failed).__name__}: {failed}"[:200]
            say(at, begins=False, error=error)


def _prepare() -> None:
    """Have Numba load what every kernel needs, before it is needed in several processes."""
    from numba.core.registry import cpu_target

    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()


def _weight(wanted: Sequence[Wanted]) -> int:
    """About how long kernels take: the longest are begun first, so that all processes end together."""
    from etendue.kernel_cache import size

    with suppress(ImportError, AttributeError):
        return len(wanted) * size(wanted[0].find().py_func)
    return 0
