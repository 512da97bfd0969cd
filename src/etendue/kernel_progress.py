"""What is being compiled, told on standard error, since a minute of silence looks like a program that hangs.

A kernel is compiled once, and kept; so this is told on first runs only. Of a few seconds nothing is said.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import monotonic

#: Seconds of compiling before anything is said, and between lines where no terminal is.
QUIET_SECONDS = 1.0
EVERY_SECONDS = 5.0


class Compiling:
    """Counts kernels as they are compiled.

    Parameters
    ----------
    clock : callable
        Seconds; for tests.

    Attributes
    ----------
    total : int
        Kernels that are to be compiled, if known; else 0.
    quiet : bool
        Whether to say nothing.
    show : callable, optional
        Takes what is to be shown (empty: nothing any more), while a bar is drawn.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self.n_done, self.total, self.quiet = 0, 0, False
        self.show: Callable[[str], object] | None = None
        self._first: float | None = None
        self._told = float("-inf")

    def begin(self, name: str) -> None:
        """A kernel is not in the cache, and is compiled now."""
        now = self.clock()
        if self._first is None:
            self._first = now
        if self.quiet or now - self._first < QUIET_SECONDS:
            return
        text = f"kernels, once: {self.n_done + 1}{f' of {self.total}' if self.total > self.n_done else ''}"
        if self.show is not None:
            self.show(text)
        elif sys.stderr is None:
            return
        elif sys.stderr.isatty():
            self._told = now
            sys.stderr.write(f"\r\x1b[2K{text}  {name.removeprefix('etendue.')}")
            sys.stderr.flush()
        elif now - self._told >= EVERY_SECONDS:
            self._told = now
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    def end(self) -> None:
        """The kernel is compiled."""
        self.n_done += 1
        if self.show is not None:
            self.show("")
        elif self._told > float("-inf") and sys.stderr is not None and sys.stderr.isatty():
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


#: Of this process.
compiling = Compiling()
