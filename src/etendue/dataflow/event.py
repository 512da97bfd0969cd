"""One event of a run, as people name it: by its number, by its key, by columns, or by its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from etendue.errors import EtendueError
from etendue.schema import SchemaError, Table, Variable

if TYPE_CHECKING:
    import xarray


#: An event: its number, its last numbers in the order of the key of its table, or values by column.
Event = int | Sequence[int] | Mapping[str, int | str]

#: Events that a message lists.
_LISTED = 10


class NoSuchEventError(EtendueError, ValueError):
    """An event that a pass does not hold, or that several have the name of."""


def wanted_of(top: Table, event: Event) -> dict[str, int | str]:
    """Which values an event has, by column.

    Parameters
    ----------
    top : Table
        The table of the events.
    event : int, sequence of int, or mapping of str to int or str
        See `lineage`.

    Raises
    ------
    SchemaError
        If the table has no such columns.
    """
    if isinstance(event, Mapping):
        return {name: _value_of(top, name, value) for name, value in event.items()}
    key = [name for name in top.identifying if name in integers(top)]
    if isinstance(event, Sequence):
        if len(event) > len(key):
            raise SchemaError(
                f"{len(event)} numbers were given, and rows of {top.name!r} are named by {len(key)}: "
                f"{', '.join(key)}"
            )
        return dict(zip(key[len(key) - len(event) :], event, strict=True))
    if top.numbering not in key:
        raise SchemaError(
            f"table {top.name!r} has no column that numbers its rows, so none can be followed; write the "
            "columns of its key too, or name others (--event COLUMN=NUMBER)"
        )
    return {top.numbering: event}


def _value_of(top: Table, name: str, value: int | str) -> int | str:
    """The value of a column of whole numbers or of text, as that."""
    if name in texts(top):
        return str(value)
    if name not in integers(top):
        raise SchemaError(
            f"table {top.name!r} has no column {name!r} of whole numbers or text; its rows are named by "
            f"{', '.join(top.identifying) or 'nothing'}"
        )
    if isinstance(value, str):
        raise SchemaError(f"column {top.name}/{name} holds whole numbers, not {value!r}")
    return value


def numbering(top: Table, wanted: Mapping[str, int | str]) -> str | None:
    """The column that an event is called by; None if no column is."""
    known = integers(top)
    if top.numbering in known:
        return top.numbering
    return next((name for name in reversed(wanted) if name in known), None)


def integers(top: Table) -> set[str]:
    """The columns of whole numbers."""
    return {
        v.name
        for v in top.variables.values()
        if len(v.dims) == 1 and v.dtype != "str" and np.dtype(v.dtype).kind in "iu"
    }


def texts(top: Table) -> set[str]:
    """The columns of text."""
    return {v.name for v in top.variables.values() if len(v.dims) == 1 and v.dtype == "str"}


def event_row(
    name: str, columns: Any, event: Event | None, run: int | None = None, row: int | None = None
) -> int:
    """The one row of a table that is an event.

    Parameters
    ----------
    name : str
        Name of the table.
    columns : xarray.DataTree, xarray.Dataset or mapping of str to array
        The table, all rows; its key is that which its attributes declare.
    event : int, sequence of int, or mapping of str to int or str, optional
        See `wanted_of`.
    run : int, optional
        Row of its run.
    row : int, optional
        The row itself, from 0: tells events apart that have one name, or stands for it.

    Raises
    ------
    NoSuchEventError
        If there is no such event, or more than one; names those that there are.
    SchemaError
        If the table has no such columns.
    """
    table = described(name, columns)
    wanted = {} if event is None else wanted_of(table, event)
    if run is not None and "run" in table.variables:
        wanted |= {"run": run}
    n_rows = next((len(columns[column]) for column in table.variables), 0)
    found = np.arange(n_rows)
    if wanted:
        found = np.flatnonzero(
            np.logical_and.reduce([np.asarray(columns[c]) == v for c, v in wanted.items()])
        )
    if row is not None and not 0 <= row < n_rows:
        raise NoSuchEventError(f"there is no row {row} of {name}: it has {n_rows:,}, counted from 0")
    named = ", ".join(f"{column} {value}" for column, value in wanted.items())
    if row is not None and row not in found:
        raise NoSuchEventError(f"row {row} of {name} has not {named}")
    if row is not None:
        return row
    if len(found) == 1:
        return int(found[0])
    if len(found):
        raise NoSuchEventError(several(table, columns, found, named or "no name"))
    raise NoSuchEventError(f"no events have {named}{_nearest(table, columns, wanted)}")


def several(table: Table, columns: Mapping[str, Any], rows: np.ndarray, named: str) -> str:
    """Which rows have the name of an event that is asked for, and how to choose one."""
    key = {name: np.asarray(columns[name]) for name in table.identifying}
    listed = "; ".join(
        f"row {row} ({', '.join(f'{name} {array[row]}' for name, array in key.items())})"
        for row in rows[:_LISTED].tolist()
    )
    more = f" and {len(rows) - _LISTED:,} more" if len(rows) > _LISTED else ""
    return (
        f"{len(rows)} events have {named}: {listed}{more}; choose one by more of its key "
        f"({', '.join(table.identifying)}) or by its row (--row N, row=N)"
    )


def _nearest(table: Table, columns: Mapping[str, Any], wanted: Mapping[str, int | str]) -> str:
    """The numbers next to one that no event has."""
    name = numbering(table, wanted)
    if name not in wanted:
        return ""
    known = np.unique(np.asarray(columns[name])).astype(object)
    near = sorted(known.tolist(), key=lambda number: abs(number - wanted[name]))[:5]
    return f"; the nearest {name} are {near}" if near else "; there are no events at all"


def only_event(
    tree: xarray.DataTree,
    event: Event | None,
    run: int | None = None,
    top: str = "events",
    row: int | None = None,
) -> tuple[xarray.DataTree, int]:
    """A loaded run with the rows of one event only, and the number of that.

    Parameters
    ----------
    tree : xarray.DataTree
        What `etendue.load` returns.
    event, run, row
        See `event_row`.
    top : str
        The table of the events.

    Raises
    ------
    NoSuchEventError, SchemaError
        As `event_row` does.
    """
    row = event_row(top, tree[top], event, run, row)
    kept = {top: slice(row, row + 1)}
    pending = [top]
    while pending:
        name = pending.pop()
        for child in [c[2:] for c in tree[name].data_vars if c.startswith("n_") and c[2:] in tree]:
            counts = np.asarray(tree[name][f"n_{child}"], dtype=np.int64)
            first = int(counts[: kept[name].start].sum())
            kept[child] = slice(first, first + int(counts[kept[name]].sum()))
            pending.append(child)
    nodes = {node.path: node.to_dataset() for node in tree.subtree}
    for name, of in kept.items():
        dataset = nodes[f"/{name}"]
        nodes[f"/{name}"] = dataset.isel({described(name, dataset).dim: of})
    return type(tree).from_dict(nodes, name=tree.name), event_number(top, nodes[f"/{top}"], row)


def event_number(name: str, columns: Any, row: int) -> int:
    """What an event of a table is called in pictures: its number, or its row if it has none."""
    number = described(name, columns).numbering
    return row if number is None else int(np.asarray(columns[number]).reshape(-1)[0])


def described(name: str, columns: Any) -> Table:
    """The declaration of a table in memory, as far as its key is concerned.

    Parameters
    ----------
    name : str
        Its name.
    columns : xarray.DataTree, xarray.Dataset or mapping of str to array
        Its columns; the attribute ``key`` declares the key.
    """
    found = columns.variables if hasattr(columns, "variables") else columns
    declared = {
        str(column): Variable(str(column), getattr(array, "dims", ("row",)), _dtype(array.dtype))
        for column, array in found.items()
        if getattr(array, "ndim", 1)
    }
    dim = next((variable.dims[0] for variable in declared.values()), "")
    return Table(name, dim, declared, key=tuple(getattr(columns, "attrs", {}).get("key", ())))


def _dtype(dtype: np.dtype) -> str:
    return dtype.name if dtype.kind in "biufc" else "str"
