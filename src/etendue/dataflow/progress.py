"""Progress of a run on standard error: rate and time to go, and nothing where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etendue.dataflow.plan import Plan
    from etendue.dataflow.run import Done


def somebody_looks() -> bool:
    """Whether standard error is a terminal; it may also be closed."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def progress(plan: Plan, *, quiet: bool | None = None) -> Iterator[Callable[[Done], None]]:
    """Show a bar while a plan runs.

    Parameters
    ----------
    plan : Plan
        What runs.
    quiet : bool, optional
        Whether to show nothing; by default, if standard error is not a terminal.

    Yields
    ------
    callable
        To be called with each finished span.
    """
    if quiet if quiet is not None else not somebody_looks():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    top = plan.inputs.schema.top.name
    total = plan.rows(top) if plan.inputs.counted else None
    of_total = "/{task.total:,.0f}" if plan.inputs.counted else ""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn(f"{{task.completed:,.0f}}{of_total} {top}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(plan.pipeline.pipeline.name or "run", total=total, rate="")

        def advance(done: Done) -> None:
            bar.advance(task, sum(receipt.rows_read.get(top, 0) for receipt in done.receipts))
            speed = bar.tasks[0].speed
            bar.update(task, rate=f"{speed:,.0f}/s" if speed else "")

        yield advance
