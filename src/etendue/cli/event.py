"""How an event, and its run, are named on the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import xarray


class EventParameter(click.ParamType):
    """An event by its number, by several in the order of its key, or by columns."""

    name = "event"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | list[int] | dict[str, int | str]:
        parts = [part.strip() for part in str(value).split(",")]
        try:
            if all("=" in part for part in parts):
                named = [part.split("=", 1) for part in parts]
                return {name.strip(): _value(text.strip()) for name, text in named}
            numbers = [int(part) for part in parts]
        except ValueError:
            self.fail(f"{value!r}: expected 17, or 3,7,17, or run=3,event_id=17", param, ctx)
        return numbers[0] if len(numbers) == 1 else numbers


def _value(text: str) -> int | str:
    """What a column is to have: a whole number, or text where it is none."""
    try:
        return int(text)
    except ValueError:
        return text


def event_option(what: str, **options: Any) -> Callable[[Callable], Callable]:
    """The option ``--event``; ``what`` begins its help."""
    return click.option(
        "--event",
        type=EventParameter(),
        metavar="N|A,B,N|COLUMN=N,...",
        help=f"{what}: its number (event_id, or the last number in the key of its table), its last numbers "
        "in the order of the key, which info lists, or values by column.",
        **options,
    )


def row_option(function: Callable) -> Callable:
    """The option ``--row``."""
    about = "Row of the event in its table, from 0: instead of --event, or where several have that name."
    return click.option("--row", type=click.IntRange(0), help=about)(function)


def file_name(event: int | list[int] | dict[str, int | str] | None, row: int | None) -> str:
    """An event as a part of a file's name."""
    if event is None:
        return f"row-{row}"
    if isinstance(event, dict):
        return "-".join(f"{name}-{number}" for name, number in event.items())
    return "-".join(map(str, event)) if isinstance(event, list) else str(event)


def run_of(tree: xarray.DataTree, number: int) -> int:
    """The row of a run by its number; that itself, if the pass has no table of runs."""
    from etendue.dataflow.runs import run_row

    return run_row(tree["observation"], number) if "observation" in tree.children else number
