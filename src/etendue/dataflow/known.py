"""What a published pass knows of its inputs, and whether they are still what they were."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from etendue.dataflow.partition import Failure
from etendue.dataflow.source import RUN, Scan, SourceError, file_stat
from etendue.dataflow.unify import Earlier
from etendue.schema import Columns, Schema
from etendue.store.paths import locate

if TYPE_CHECKING:
    from etendue.store.reader import PassReader


@dataclass(frozen=True)
class Known:
    """What a published pass holds, as jobs need to know it; of a new pass, nothing."""

    reader: PassReader | None

    @cached_property
    def inputs(self) -> list[dict[str, Any]]:
        """The inputs by their numbers."""
        return self.reader.attributes["identity"]["inputs"] if self.reader else []

    @cached_property
    def failures(self) -> list[Failure]:
        """What could not be read."""
        from etendue.store.ledger import read_failures

        return read_failures(self.reader) if self.reader else []

    @property
    def n_partitions(self) -> int:
        """Partitions."""
        return self.reader.n_partitions if self.reader else 0

    @cached_property
    def schema(self) -> Schema:
        """Tables as they came from the sources."""
        from etendue.store.layout import schema_from_json

        return schema_from_json(self.reader.attributes["source_schema"]) if self.reader else Schema({})

    @cached_property
    def broken(self) -> tuple[set[int], set[str]]:
        """Inputs that could not be read, or not whole: their numbers, and the paths of the others."""
        paths = {failure.path for failure in self.failures if failure.partition < 0}
        numbers = {int(self.reader.origin[f.partition, 0]) for f in self.failures if f.partition >= 0}
        numbers |= {n for n, entry in enumerate(self.inputs) if entry["path"] in paths}
        return numbers, paths

    @cached_property
    def latest(self) -> dict[str, dict[str, Any]]:
        """What is known of each path: the last input of that name that counts."""
        return {entry["path"]: entry for entry in self.inputs if not entry["void"]}

    def partitions_of(self, inputs: Collection[int]) -> np.ndarray:
        """Numbers of the partitions that were made from some inputs."""
        return np.flatnonzero(np.isin(self.reader.origin[:, 0], list(inputs))) if inputs else np.arange(0)

    def without(self, void: Collection[int]) -> Earlier:
        """What more inputs are added to: all but some inputs."""
        if self.reader is None:
            return Earlier(Schema({}), {}, {}, 0)
        runs = [r for n in void for r in self._runs(n)]
        static = {
            name: _rows_without(self.reader.static[name], runs)
            for name, table in self.schema.items()
            if table.role == "static" and name in self.reader.static
        }
        attributes = self.reader.attributes
        return Earlier(self.schema, attributes["labels"], static, attributes["n_runs"])

    def _runs(self, number: int) -> range:
        first = self.inputs[number]["first_run"]
        return range(first, first + self.inputs[number]["n_runs"])


def entry_of(path: str, scan: Scan, first_run: int) -> dict[str, Any]:
    """What is noted of an input, whose first new run has a number in the pass."""
    size, mtime_ns = scan.stat or (None, None)
    return {
        "path": path,
        "size": size,
        "mtime_ns": mtime_ns,
        "sha256": scan.sha256,
        "snapshot": scan.snapshot,
        "first_run": first_run + scan.seen_runs,
        "n_runs": scan.n_runs - scan.seen_runs,
        "seen_blocks": scan.seen_blocks,
        "seen_runs": scan.seen_runs,
        "void": False,
    }


def refuse_changed(entry: Mapping[str, Any]) -> None:
    """See that an input is what it was when the pass was made from it.

    Raises
    ------
    SourceError
        If it has another size, other contents, or is another snapshot of a store.
    """
    from etendue.provenance import sha256

    path = entry["path"]
    stat = file_stat(path)
    if stat is None or stat == (entry["size"], entry["mtime_ns"]):
        return
    if stat[0] == entry["size"] and entry["sha256"] and sha256(path) == entry["sha256"]:
        return
    raise SourceError(
        path,
        "file",
        f"changed since the pass was made from it (it had {entry['size']:,} bytes, and has {stat[0]:,}); "
        "process it under another name, or as a pass of another name",
    )


def has_grown(entry: Mapping[str, Any]) -> bool:
    """Whether an input that is a pass of a store has gained partitions, those before being what they were.

    Raises
    ------
    SourceError
        If it has changed otherwise.
    """
    if not entry["snapshot"]:
        return False
    from etendue.store.reader import PassReader

    now = PassReader.open(entry["path"])
    if now.snapshot == entry["snapshot"]:
        return False
    before = PassReader.open(locate(entry["path"])[0], entry["snapshot"])
    n, columns = before.n_partitions, before.checksums
    if now.n_partitions < n or any(
        not np.array_equal(now.checksums.get(name, ())[:n], checksums) for name, checksums in columns.items()
    ):
        raise SourceError(
            entry["path"],
            "pass",
            f"changed since the pass was made from it (from {entry['snapshot']} to {now.snapshot}), not just "
            "by what was added; process it as a pass of another name",
        )
    return now.n_partitions > n


def pinned(entry: Mapping[str, Any]) -> str:
    """The path of an input that means the same for ever."""
    return f"{locate(entry['path'])[0]}@{entry['snapshot']}" if entry["snapshot"] else entry["path"]


def without_seen(scan: Scan, entry: Mapping[str, Any] | None) -> Scan:
    """The scan of a pass of which the first partitions and runs are known already."""
    if entry is None:
        return scan
    from etendue.store.reader import PassReader

    before = PassReader.open(pinned(entry))
    rows = before.facts["static_rows"]
    n_blocks = before.n_partitions
    static = {
        name: columns
        if name.rpartition("/")[2] in scan.labels
        else {column: values[rows.get(name, 0) :] for column, values in columns.items()}
        for name, columns in scan.static.items()
    }
    return replace(scan, static=static, seen_blocks=n_blocks, seen_runs=before.attributes["n_runs"])


def same_part(scan: Scan, entry: Mapping[str, Any]) -> Scan:
    """A scan of the part of an input that an entry is of."""
    return replace(scan, seen_blocks=entry["seen_blocks"], seen_runs=entry["seen_runs"])


def _rows_without(columns: Columns, runs: list[int]) -> Columns:
    """Rows of a table but those of some runs."""
    if RUN not in columns or not runs:
        return columns
    keep = ~np.isin(columns[RUN], runs)
    return {name: column[keep] for name, column in columns.items()}
