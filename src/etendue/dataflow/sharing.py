"""What many scans have in common, kept once: inputs of one kind declare the same tables and cameras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from etendue.dataflow.source import Scan
from etendue.schema import Columns, Schema


class Sharing:
    """Replaces what a scan has by the equal of the scan before it, table by table.

    Only the last of each is remembered, so that what differs in all inputs costs nothing but a comparison.
    """

    def __init__(self) -> None:
        self._schema = Schema({})
        self._labels: Mapping[str, str] = {}
        self._tables: dict[str, Columns] = {}

    def __call__(self, scan: Scan) -> Scan:
        """The scan with what it shares."""
        self._schema = schema = self._schema if scan.schema == self._schema else scan.schema
        self._labels = labels = self._labels if scan.labels == self._labels else scan.labels
        static = {name: self._table(name, columns) for name, columns in scan.static.items()}
        return replace(scan, schema=schema, labels=labels, static=static)

    def _table(self, name: str, columns: Columns) -> Columns:
        before = self._tables.get(name, {})
        found = {
            column: before[column] if _is_same(before.get(column), values) else values
            for column, values in columns.items()
        }
        if found.keys() == before.keys() and all(found[column] is before[column] for column in found):
            return before
        self._tables[name] = found
        return found


def _is_same(one: np.ndarray | None, other: np.ndarray) -> bool:
    """Whether two arrays are the same to the bit."""
    if one is None or one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype.kind in "OT":
        return bool(np.array_equal(one, other))
    return one.tobytes() == other.tobytes()
