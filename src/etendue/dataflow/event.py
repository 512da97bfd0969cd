"""One event of a run, as people name it: by its number, by the key of its table, or by columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from etendue.errors import EtendueError
from etendue.schema import SchemaError, Table, Variable

if TYPE_CHECKING:
    import xarray


#: An event: its number, its last numbers in the order of the key of its table, or numbers by column.
Event = int | Sequence[int] | Mapping[str, int]


class NoSuchEventError(EtendueError, ValueError):
    """An event that a pass does not hold, or that several have the name of."""


def wanted_of(top: Table, event: Event) -> dict[str, int]:
    """Which numbers an event has, by column.

    Parameters
    ----------
    top : Table
        The table of the events.
    event : int, sequence of int, or mapping of str to int
        See `lineage`.

    Raises
    ------
    SchemaError
        If the table has no such columns.
    """
    if isinstance(event, Mapping):
        for name in event:
            if name not in integers(top):
                raise SchemaError(
                    f"table {top.name!r} has no column {name!r} of whole numbers; its rows are named by "
                    f"{', '.join(top.identifying) or 'nothing'}"
                )
        return dict(event)
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


def numbering(top: Table, wanted: Mapping[str, int]) -> str:
    """The column that an event is called by."""
    return top.numbering if top.numbering in integers(top) else next(reversed(wanted))


def integers(top: Table) -> set[str]:
    """The columns of whole numbers."""
    return {
        v.name
        for v in top.variables.values()
        if len(v.dims) == 1 and v.dtype != "str" and np.dtype(v.dtype).kind in "iu"
    }


def only_event(
    tree: xarray.DataTree,
    event: Sequence[int] | Mapping[str, int],
    run: int | None = None,
    top: str = "events",
) -> tuple[xarray.DataTree, int]:
    """A loaded run with the rows of one event only, and the number of that.

    Parameters
    ----------
    tree : xarray.DataTree
        What `etendue.load` returns.
    event : sequence of int, or mapping of str to int
        See `wanted_of`.
    run : int, optional
        Row of its run.
    top : str
        The table of the events.

    Raises
    ------
    NoSuchEventError
        If there is no such event, or more than one.
    SchemaError
        If the table has no such columns.
    """
    events = tree[top]
    table = _table(top, events)
    wanted = wanted_of(table, event) | ({} if run is None else {"run": run})
    rows = np.flatnonzero(np.logical_and.reduce([np.asarray(events[c]) == n for c, n in wanted.items()]))
    if len(rows) != 1:
        named = ", ".join(f"{name} {number}" for name, number in wanted.items())
        more = f"; rows are named by {', '.join(table.identifying)}" if len(rows) else ""
        raise NoSuchEventError(f"{len(rows) or 'no'} events have {named}{more}")
    row = int(rows[0])
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
        nodes[f"/{name}"] = dataset.isel({_table(name, dataset).dim: of})
    return type(tree).from_dict(nodes, name=tree.name), int(np.asarray(events[numbering(table, wanted)])[row])


def _table(name: str, node: xarray.DataTree | xarray.Dataset) -> Table:
    """The declaration of a loaded table, as far as its key is concerned."""
    columns = {str(c): Variable(str(c), v.dims, _dtype(v.dtype)) for c, v in node.variables.items()}
    dim = next((variable.dims[0] for variable in columns.values()), "")
    return Table(name, dim, columns, key=tuple(node.attrs.get("key", ())))


def _dtype(dtype: np.dtype) -> str:
    return dtype.name if dtype.kind in "biufc" else "str"
