"""The picture of an event of a pass, also of what the pass did not write."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etendue.dataflow.event import Event, event_number, event_row, only_event
from etendue.dataflow.registry import ConfigError, displays, find_display
from etendue.provenance.again import Again, read_again
from etendue.schema import Schema

if TYPE_CHECKING:
    from types import ModuleType

    import xarray
    from matplotlib.figure import Figure


def show(
    store: str | Path,
    event: Event | None = None,
    *,
    tag: str | None = None,
    run: int | None = None,
    row: int | None = None,
    **options: Any,
) -> Figure:
    """Draw one event of a pass.

    What is to be drawn and was not written, such as hits or pulses, is read from the raw file again, by the
    provenance of the pass.

    Parameters
    ----------
    store, tag
        As of `etendue.load`.
    event : int, sequence of int, or mapping of str to int or str, optional
        Number of the event, or several of its key, as of `etendue.provenance.lineage`.
    run : int, optional
        Row of its run, where runs share event numbers.
    row : int, optional
        Row of the event in its table, from 0: instead of ``event``, or where several have that name.
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
    from etendue.store.reader import PassReader

    tree, top = load(store, tag), PassReader.open(str(store), tag).schema.top.name
    row = event_row(top, tree[top], event, run, row)
    hits = options.get("hits")
    if hits is None or hits in tree.children:
        try:
            display = find_display(tree)
        except ConfigError:
            pass  # what it draws was not written
        else:
            return _drawn(display, *only_event(tree, None, top=top, row=row), options)
    again = read_again(store, tag, row, lambda schema: _needs(schema, options))
    if again is None:
        find_display(tree)  # says what it would need
        raise ConfigError(f"no table {hits!r} of hits or pulses can be placed by the stages of this pass")
    tables = _joined(tree, again, top, row)
    display = next(display for display in _able() if display.needs(again.partition.schema, **options))
    return _drawn(display, tables, event_number(top, tables[top], row), options)


def _able() -> Iterable[ModuleType]:
    """The displays that can say what they need of an event."""
    return (display for display in displays() if hasattr(display, "needs"))


def _needs(schema: Schema, options: dict[str, Any]) -> list[str]:
    """What the first display that can draw such events needs of them."""
    return next((names for display in _able() if (names := display.needs(schema, **options))), [])


def _drawn(display: ModuleType, tables: Any, event_id: int, options: dict) -> Figure:
    given = {name: value for name, value in options.items() if value is not None}
    known = inspect.signature(display.event).parameters
    if unknown := [name for name in given if name not in known]:
        raise ConfigError(f"pictures of this kind of telescope have no {unknown[0]}")
    return display.event(tables, event_id, **given)


def _joined(tree: xarray.DataTree, again: Again, top: str, row: int) -> dict[str, Any]:
    """The event's own row of the pass, with its key and all its numbers, and what was read again."""
    own = tree[top].to_dataset()
    own = own.isel({own[next(iter(own.data_vars))].dims[0]: slice(row, row + 1)})
    tables: dict[str, Any] = {name: dict(node.dataset.variables) for name, node in tree.children.items()}
    for name, columns in again.partition.tables.items():
        tables[name] = dict(columns)
    for name, columns in again.partition.conditions.items():
        tables.setdefault(name, dict(columns))
    read = {name: array for name, array in again.partition.tables.get(top, {}).items() if array.ndim == 1}
    dim = own[next(iter(own.data_vars))].dims[0]
    tables[top] = own.assign({name: (dim, array) for name, array in read.items()})
    return tables
