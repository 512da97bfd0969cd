"""What every source and pipeline must hold together: a pass is the same, however it came about."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import etendue
from etendue.dataflow.flow import Flow
from etendue.dataflow.inputs import expand
from etendue.extend import Columns
from etendue.store.verify import verify
from etendue.testing.compare import assert_same


class _Stopped(BaseException):
    """Stands for Ctrl-C."""


class _Stopping(ThreadPoolExecutor):
    """A pool that is stopped by hand after its first task."""

    def __init__(self) -> None:
        super().__init__(1)
        self.is_first = True

    def submit(self, function: Any, /, *args: Any, **options: Any) -> Future[Any]:
        if not self.is_first:
            raise _Stopped
        self.is_first = False
        future = super().submit(function, *args, **options)
        future.result()
        return future


def check_pass(flow: Flow, folder: Path) -> None:
    """See that a pass is the same in one go, after an interruption, and night after night.

    Parameters
    ----------
    flow : Flow
        At least two inputs, and the pipeline.
    folder : path
        Where stores are written.

    Raises
    ------
    AssertionError
        Says which column differs, and in which of these.
    """
    paths = expand(flow.paths)
    assert len(paths) > 1, "give two inputs or more, so that there is something between them"
    flow.write(folder / "whole", "p")
    expected = _contents(folder / "whole")
    try:
        with _Stopping() as pool:
            flow.write(folder / "stopped", "p", executor=pool)
    except _Stopped:
        pass
    flow.write(folder / "stopped", "p")
    assert_same(_contents(folder / "stopped"), expected, "stopped, and taken up")
    for number in range(len(paths)):
        replace(flow, paths=tuple(paths[: number + 1])).write(folder / "nights", "p")
    assert_same(_contents(folder / "nights"), expected, "one input after another")
    for name in ("whole", "stopped", "nights"):
        verdict = verify(str(folder / name), "p")
        assert not verdict.damaged, f"{name}: {verdict.damaged[0]}"


def _contents(store: Path) -> dict[str, Columns]:
    return etendue.open(f"{store}@p").columns("*").collect()[1]
