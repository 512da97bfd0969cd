"""The picture of an event of a pass, also of what the pass did not write."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etendue.dataflow.event import Event, only_event
from etendue.dataflow.registry import ConfigError, displays, find_display
from etendue.provenance.again import Again, read_again
from etendue.schema import Schema

if TYPE_CHECKING:
    from types import ModuleType

    from matplotlib.figure import Figure


def show(
    store: str | Path, event: Event, *, tag: str | None = None, run: int | None = None, **options: Any
) -> Figure:
    """Draw one event of a pass.

    What is to be drawn and was not written, such as hits or pulses, is read from the raw file again, by the
    provenance of the pass.

    Parameters
    ----------
    store, tag
        As of `etendue.load`.
    event : int, sequence of int, or mapping of str to int
        Number of the event, or several of its key, as of `etendue.provenance.lineage`.
    run : int, optional
        Row of its run, where runs share event numbers.
    **options
        Of the family's display, such as ``fits`` or ``hits`` of neutrino telescopes.

    Raises
    ------
    ConfigError
        If nothing draws such events, or not with these options.
    NoSuchEventError, NotAgainError
        If there is no such event, or it cannot be read again.
    """
    from etendue import load

    tree = load(store, tag)
    hits = options.get("hits")
    if hits is None or hits in tree.children:
        try:
            display = find_display(tree)
        except ConfigError:
            pass  # what it draws was not written
        else:
            one, number = (tree, event) if isinstance(event, int) else only_event(tree, event, run)
            return _drawn(display, one, number, run, options)
    again = read_again(store, tag, event, run, lambda schema: _needs(schema, options))
    if again is None:
        find_display(tree)  # says what it would need
        raise ConfigError(f"no table {hits!r} of hits or pulses can be placed by the stages of this pass")
    tables = _joined(store, tag, tree, again)
    display = next(display for display in _able() if display.needs(again.partition.schema, **options))
    return _drawn(display, tables, again.place.event_id, run, options)


def _able() -> Iterable[ModuleType]:
    """The displays that can say what they need of an event."""
    return (display for display in displays() if hasattr(display, "needs"))


def _needs(schema: Schema, options: dict[str, Any]) -> list[str]:
    """What the first display that can draw such events needs of them."""
    return next((names for display in _able() if (names := display.needs(schema, **options))), [])


def _drawn(display: ModuleType, tables: Any, event_id: int, run: int | None, options: dict) -> Figure:
    given = {name: value for name, value in options.items() if value is not None}
    known = inspect.signature(display.event).parameters
    if unknown := [name for name in given if name not in known]:
        raise ConfigError(f"pictures of this kind of telescope have no {unknown[0]}")
    return display.event(tables, event_id, run=run, **given)


def _joined(store: str | Path, tag: str | None, tree: Any, again: Again) -> dict[str, dict[str, Any]]:
    """The event's own row of the pass, with all its numbers, and what was read again."""
    from etendue.store.reader import PassReader

    reader = PassReader.open(str(store), tag)
    top, place = reader.schema.top.name, again.place
    row = int(reader.rows[top][: place.blocks[0]].sum()) + place.row
    tables = {
        name: dict(node.dataset.variables) for name, node in tree.children.items() if name not in (top,)
    }
    tables[top] = {name: column[row : row + 1] for name, column in tree[top].dataset.variables.items()}
    for name, columns in again.partition.tables.items():
        tables[name] = tables[top] | dict(columns) if name == top else dict(columns)
    for name, columns in again.partition.conditions.items():
        tables.setdefault(name, dict(columns))
    return tables
