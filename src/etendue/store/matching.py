"""Rows of two passes that are the same thing: by their event's numbers, and by their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from etendue.dataflow.source import RUN
from etendue.kernel import owners
from etendue.schema import Columns, Schema, Table
from etendue.store.reader import PassReader

#: Partitions of one pass that may hold the events of one of the other, on average; beyond, the events
#: are in no order that would let few partitions at a time be matched.
MAX_OVERLAP = 8

#: The least and the greatest key of a partition; None without rows.
Ends = tuple[tuple[int | str, ...], tuple[int | str, ...]] | None


@dataclass(frozen=True)
class Matched:
    """How a column differs in the rows that both passes have; add two up with ``+``.

    Parameters
    ----------
    rows : int
        Rows that were compared.
    different : int
        Rows in which any value differs; NaN equals NaN.
    shift : float
        Sum of the differences, second pass less first, of the values that are finite in both.
    values : int
        Number of these values.
    largest : float
        Greatest magnitude of these differences.
    """

    rows: int = 0
    different: int = 0
    shift: float = 0.0
    values: int = 0
    largest: float = 0.0

    @classmethod
    def of(cls, a: np.ndarray, b: np.ndarray) -> Matched:
        """Compare rows of two columns that stand side by side."""
        same = np.asarray(a == b)
        is_number = a.dtype.kind in "biuf" and b.dtype.kind in "biuf"
        if a.dtype.kind == b.dtype.kind == "f":
            same |= np.isnan(a) & np.isnan(b)
        changed = ~same.all(axis=tuple(range(1, same.ndim)))
        if not is_number:
            return cls(len(a), int(changed.sum()))
        change = b[changed].astype(np.float64) - a[changed].astype(np.float64)
        n_same = int(np.isfinite(a[~changed]).sum())
        change = change[np.isfinite(change)]
        largest = float(np.abs(change).max(initial=0.0))
        return cls(len(a), int(changed.sum()), float(change.sum()), n_same + change.size, largest)

    @property
    def mean_shift(self) -> float:
        """Mean difference; NaN without values."""
        return self.shift / self.values if self.values else np.nan

    def __add__(self, other: Matched) -> Matched:
        return Matched(
            self.rows + other.rows,
            self.different + other.different,
            self.shift + other.shift,
            self.values + other.values,
            max(self.largest, other.largest),
        )


def event_key(a: PassReader, b: PassReader) -> list[str]:
    """Columns of the top table that together say which event a row is, in both passes.

    The key of the table, without the row of the run among the inputs if that means something else in the
    other. Empty if the passes are of different kinds.
    """
    first, second = a.schema.top, b.schema.top
    if first.name != second.name:
        return []
    found = _common_key(first, second)
    if RUN in found and not _same_runs(a, b):
        found.remove(RUN)
    return [] if found == [RUN] else found


def _common_key(a: Table, b: Table) -> list[str]:
    """Columns of the key that both tables have: as integers, or as text."""
    return [
        name
        for name in (a if a.key or not b.key else b).identifying
        if any(
            all(name in of.variables and of.variables[name].dtype.startswith(kind) for of in (a, b))
            for kind in (("int", "uint"), "str")
        )
    ]


def names_rows(schema: Schema, table: str, column: str) -> bool:
    """Whether a column is of the key of its table, or repeats one of the rows that own its rows."""
    of: Table | None = schema[table]
    while of is not None:
        if column in of.identifying:
            return True
        of = schema.get(of.parent)
    return False


def _same_runs(a: PassReader, b: PassReader) -> bool:
    """Whether both passes number the runs that both have alike: by the static tables with a row a run."""
    for name, columns in a.static.items():
        others = b.static.get(name, {})
        if RUN not in columns or RUN not in others:
            continue
        n_runs = min(_n_runs(columns), _n_runs(others))
        for column in columns.keys() & others.keys():
            one, other = (of[column][of[RUN] < n_runs] for of in (columns, others))
            if len(one) != len(other) or Matched.of(one, other).different:
                return False
    return True


def _n_runs(columns: Columns) -> int:
    return 1 + max(columns[RUN].tolist(), default=-1)


def to_read(
    schema: Schema, other: Schema, key: Sequence[str], changed: Mapping[str, Iterable[str]]
) -> dict[str, list[str]]:
    """Columns to read, by table, so that `walk` gets to all tables with changed columns.

    Empty if these are all of tables whose rows belong to no event.
    """
    top = schema.top.name
    columns: dict[str, dict[str, None]] = {}

    def visit(table: str) -> bool:
        """Enter the columns of a table if it, or one below it, has changed; whether it was."""
        below = [
            child.name
            for child in schema.children(table)
            if child.name in other
            and all(f"n_{child.name}" in of[table].variables for of in (schema, other))
            and visit(child.name)
        ]
        if not below and table not in changed:
            return False
        own = key if table == top else child_key(schema, other, table)
        names = [*own, *(f"n_{child}" for child in below), *changed.get(table, [])]
        columns[table] = dict.fromkeys(names)
        return True

    visit(top)
    return {table: list(names) for table, names in columns.items()}


def key_ends(columns: Columns) -> Ends:
    """The least and the greatest key of a partition; None without rows."""
    keys = list(columns.values())
    if len(keys[0]) == 0:
        return None
    order = np.lexsort(keys[::-1])
    whole = [key.dtype.kind in "iu" for key in keys]
    first, last = (
        tuple(int(key[row]) if is_int else str(key[row]) for key, is_int in zip(keys, whole, strict=True))
        for row in order[[0, -1]]
    )
    return first, last


def overlapping(a: Sequence[Ends], b: Sequence[Ends]) -> list[np.ndarray]:
    """Partitions of the second pass that may hold events of each of the first: by ranges of keys.

    Returns
    -------
    list of int array
        One a partition of ``a``.
    """
    rank = {key: n for n, key in enumerate(sorted({key for ends in (*a, *b) if ends for key in ends}))}
    of_a, of_b = (
        np.array([[rank[key] for key in ends] if ends else [-1, -1] for ends in of], np.int64).reshape(-1, 2)
        for of in (a, b)
    )
    there = of_b[:, 0] >= 0
    return [np.flatnonzero(there & (of_b[:, 0] <= last) & (of_b[:, 1] >= first)) for first, last in of_a]


def match_rows(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two tables with equal keys; among several with one key, by their order.

    Rows whose key occurs in one table more often than in the other are left out: which of them belong
    together is not known.

    Parameters
    ----------
    a, b : sequence of int array
        Columns of the key: of each table, all of one length.

    Returns
    -------
    tuple of int64 array
        Rows of ``a``, and the rows of ``b`` that match them.
    """
    n_a = len(a[0])
    codes = _codes([np.concatenate([x, y]) for x, y in zip(a, b, strict=True)])
    of_a, of_b = codes[:n_a], codes[n_a:]
    n_codes = int(codes.max(initial=-1)) + 1
    count_a, count_b = np.bincount(of_a, minlength=n_codes), np.bincount(of_b, minlength=n_codes)
    good = count_a == count_b
    rows_a, rows_b = np.argsort(of_a, kind="stable"), np.argsort(of_b, kind="stable")
    return rows_a[good[of_a[rows_a]]], rows_b[good[of_b[rows_b]]]


def _codes(columns: Sequence[np.ndarray]) -> np.ndarray:
    """One number for each different key, from zero."""
    codes = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        _, digit = np.unique(column, return_inverse=True)
        _, codes = np.unique(codes * (int(digit.max(initial=0)) + 1) + digit, return_inverse=True)
    return codes


def walk(
    schema: Schema, other: Schema, a: Mapping[str, Columns], b: Mapping[str, Columns], key: Sequence[str]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Matching rows of two partitions: of the top table, and of those below it.

    A row below is known by its owner and by its own key.

    Yields
    ------
    tuple of str, int array, int array
        Table, rows of the first, rows of the second.
    """
    top = schema.top.name
    rows = match_rows([a[top][name] for name in key], [b[top][name] for name in key])
    yield top, *rows
    yield from _below(schema, other, a, b, top, rows)


def _below(
    schema: Schema,
    other: Schema,
    a: Mapping[str, Columns],
    b: Mapping[str, Columns],
    parent: str,
    rows: tuple[np.ndarray, np.ndarray],
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    for child in schema.children(parent):
        name, count = child.name, f"n_{child.name}"
        if name not in other or not all(count in of[parent] and name in of for of in (a, b)):
            continue
        keys, places = [], []
        names = child_key(schema, other, name)
        for of, matched in zip((a, b), rows, strict=True):
            number = np.full(len(of[parent][count]), -1, np.int64)
            number[matched] = np.arange(len(matched))
            owner = number[owners(of[parent][count])]
            mine = np.flatnonzero(owner >= 0)
            places.append(mine)
            keys.append([owner[mine], *(of[name][column][mine] for column in names)])
        found = match_rows(*keys)
        found = places[0][found[0]], places[1][found[1]]
        yield name, *found
        yield from _below(schema, other, a, b, name, found)


def child_key(schema: Schema, other: Schema, table: str) -> list[str]:
    """Columns that tell apart the rows of a table that one row owns."""
    return _common_key(schema[table], other[table])
