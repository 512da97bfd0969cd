"""Joining and comparing tables, for the checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from etendue.extend import Columns, Partition


def joined(partitions: Iterable[Partition]) -> dict[str, Columns]:
    """The ``rows`` tables of partitions, one after another."""
    parts: dict[str, dict[str, list[np.ndarray]]] = {}
    for partition in partitions:
        for name, columns in partition.tables.items():
            if partition.schema[name].role == "rows":
                for column, array in columns.items():
                    parts.setdefault(name, {}).setdefault(column, []).append(array)
    return {
        table: {column: np.concatenate(arrays) for column, arrays in columns.items()}
        for table, columns in parts.items()
    }


def assert_same(
    found: Mapping[str, Columns], expected: Mapping[str, Columns], where: str, *, columns: bool = True
) -> None:
    """See that tables hold the same, bit for bit but for NaN, which is like any other NaN.

    Parameters
    ----------
    found, expected : mapping of str to dict of str to array
        The tables. One without rows may be left out.
    where : str
        What to say of the difference.
    columns : bool
        Whether all expected columns must be there.
    """
    for table, declared in expected.items():
        there = found.get(table, {})
        for name, array in declared.items():
            if name not in there:
                assert not (columns and len(array)), f"{where}: {table}/{name} is missing"
                continue
            assert there[name].dtype == array.dtype, (
                f"{where}: {table}/{name} has dtype {there[name].dtype}, not {array.dtype}"
            )
            np.testing.assert_array_equal(there[name], array, f"{where}: {table}/{name}")
    extra = {t for t, cols in found.items() if any(map(len, cols.values()))} - expected.keys()
    assert not extra, f"{where}: there are tables that were not expected: {sorted(extra)}"
