"""The tree of datasets that people get: a `xarray.DataTree` that shows itself on one page."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import xarray as xr

from etendue.reprs import Section, card, lines, some_of


class RunTree(xr.DataTree):
    """A run as a tree of datasets, one a table.

    What differs from its base is how it shows itself in notebooks: the base draws each column's chunks and
    unfolds the record of how the pass was made, which comes to megabytes for a large one.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.children:
            return super().__repr__()
        facts = {node.path: f"{_sizes(node)}; {len(node.variables)} columns" for node in _tables(self)}
        return lines(f"<DataTree {self.name or ''}>", facts, most=30)

    def _repr_html_(self) -> str:
        if xr.get_options()["display_style"] == "text":
            return f"<pre>{escape(repr(self))}</pre>"
        tables = _tables(self)
        facts = {
            node.path: f"{_sizes(node)}; {len(node.variables)} columns: {some_of(node.variables)}"
            for node in tables
        }
        return card(f"DataTree {self.name or ''}".rstrip(), facts, [*_columns(tables), *_attributes(self)])


def _tables(tree: xr.DataTree) -> list[xr.DataTree]:
    return [node for node in tree.subtree if node.data_vars or node.coords]


def _sizes(node: xr.DataTree) -> str:
    return ", ".join(f"{dim} {size:,}" for dim, size in node.sizes.items())


def _columns(tables: list[xr.DataTree]) -> Iterator[Section]:
    heads = ("column", "dimensions", "dtype", "units", "about")
    for node in tables:
        yield (
            node.path,
            heads,
            [
                (
                    str(name),
                    ", ".join(map(str, variable.dims)),
                    str(variable.dtype),
                    str(variable.attrs.get("units", "")),
                    str(variable.attrs.get("long_name", "")),
                )
                for name, variable in node.variables.items()
            ],
        )


def _attributes(tree: xr.DataTree) -> Iterator[Section]:
    if tree.attrs:
        rows = [(str(name), str(value)) for name, value in tree.attrs.items()]
        yield "attributes", ("attribute", "value"), rows
