"""What a call of `Flow.write` has to do: it follows from the command and from what the store holds.

The same command on the same store is the same job, so that an interrupted one goes on where it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from etendue.dataflow.inputs import expand
from etendue.dataflow.look import scan_each
from etendue.dataflow.partition import Failure
from etendue.dataflow.plan import Plan, PlanError
from etendue.dataflow.source import RUN, Scan, SourceError, file_stat
from etendue.dataflow.unify import Earlier, Inputs, again, static_tables, unify
from etendue.schema import Columns, Schema, SchemaError

if TYPE_CHECKING:
    from etendue.dataflow.flow import Flow
    from etendue.store.reader import PassReader

#: Packages whose version makes a difference to what is in a pass.
_PACKAGES = ("etendue", "numpy", "numba", "eventio", "uproot", "astropy")


@dataclass(frozen=True)
class Job:
    """What there is to do.

    Parameters
    ----------
    plan : Plan
        The partitions to make.
    identity : dict
        What must be the same for an interrupted job to go on: pipeline, versions, options, inputs.
    labels : dict
        Fingerprints of labels of the whole pass.
    n_runs : int
        Runs of the whole pass.
    forget : tuple of int
        Published partitions that are left out, or made anew.
    retried : tuple of str
        Inputs that could not be read at all and are taken up again.
    """

    plan: Plan
    identity: dict[str, Any]
    labels: dict[str, str]
    n_runs: int
    forget: tuple[int, ...] = ()
    retried: tuple[str, ...] = ()

    @property
    def unreadable(self) -> list[str]:
        """Inputs that cannot be read at all."""
        readable = {entry["path"] for entry in self.identity["inputs"]}
        return sorted({f.path for f in self.plan.inputs.failures} - readable)


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


def identity_of(flow: Flow, histograms: Iterable[Any], *, look: bool) -> dict[str, Any]:
    """What distinguishes a job from others, before its inputs are known."""
    return {
        "pipeline": flow.pipeline.config(),
        "versions": dict(_versions()),
        "options": {
            "partition_bytes": flow.partition_bytes,
            "on_error": flow.on_error,
            "histograms": [repr(histogram) for histogram in histograms],
        },
        "look": look,
        "inputs": [],
    }


def addition(
    flow: Flow,
    identity: dict[str, Any],
    known: Known,
    *,
    retry_failed: bool,
    unreadable: Collection[str],
    also_read: Sequence[str],
) -> Job | None:
    """The job to process the inputs that the pass does not have; None if there are none.

    Parameters
    ----------
    flow : Flow
        Inputs and pipeline.
    identity : dict
        Of `identity_of`.
    known : Known
        What the pass has.
    retry_failed : bool
        Whether inputs that could not be read are taken up again.
    unreadable : collection of str
        Inputs that the job, when it was begun, could not read.
    also_read : sequence of str
        References that histograms read.

    Raises
    ------
    PlanError
        If there is no input that can be read.
    SourceError
        If an input cannot be read and ``on_error`` is ``raise``, or has changed since the pass was made.
    """
    named = expand(flow.paths)
    if not named:
        raise PlanError("no input: name at least one file")
    numbers, paths = known.broken
    void = [n for n in sorted(numbers) if retry_failed and known.inputs[n]["path"] in named]
    have = {entry["path"] for n, entry in enumerate(known.inputs) if n not in void and not entry["void"]}
    have |= set() if retry_failed else paths
    for entry in known.inputs:
        if entry["path"] in have and entry["path"] in named and not entry["void"]:
            refuse_changed(entry)
    new = [path for path in named if path not in have and path not in unreadable]
    if not new:
        return None
    found = scan_each(new, flow.on_error, [identity["look"]] * len(new))
    scans = {path: scan for path, scan in zip(new, found, strict=True) if isinstance(scan, Scan)}
    failures = tuple(failure for failure in found if isinstance(failure, Failure))
    if not scans and known.reader is None and not unreadable:
        raise PlanError(f"none of the inputs can be read: {'; '.join(map(str, failures))}")
    earlier = known.without(void)
    inputs = unify(scans.values(), earlier)
    inputs = replace(inputs, failures=failures + inputs.failures)
    plan = flow._plan(inputs, also_read, True)
    _refuse_new_columns(plan, known)
    plan = plan.placed(known.n_partitions + plan.numbers, len(known.inputs) + plan.input_numbers)
    entries = [{**entry, "void": entry["void"] or n in void} for n, entry in enumerate(known.inputs)]
    entries += [_entry(*pair, first) for pair, first in zip(scans.items(), inputs.first_run, strict=True)]
    return Job(
        plan,
        {**identity, "inputs": entries},
        {**earlier.labels, **_labels(inputs)},
        earlier.n_runs + sum(scan.n_runs for scan in scans.values()),
        tuple(known.partitions_of(void).tolist()),
        tuple(sorted(paths & set(named))) if retry_failed else (),
    )


def repair(flow: Flow, identity: dict[str, Any], known: Known, damaged: Iterable[Any]) -> Job:
    """The job to make damaged partitions anew, from the inputs that they were made from.

    Parameters
    ----------
    damaged : iterable of DamagedChunk
        What `etendue.store.verify` has found.

    Raises
    ------
    SourceError
        If an input cannot be read, or is not what it was.
    """
    reader = known.reader
    damaged = list(damaged)
    lost = np.unique([chunk.partition for chunk in damaged if chunk.partition >= 0]).astype(np.int64)
    wanted = np.unique(reader.origin[lost, 0]).tolist()
    if lost_static := any(chunk.partition < 0 for chunk in damaged):
        wanted = [n for n, entry in enumerate(known.inputs) if not entry["void"]]
    entries = [known.inputs[n] for n in wanted]
    for entry in entries:
        refuse_changed(entry)
    scans = scan_each([entry["path"] for entry in entries], "raise", [False] * len(entries))
    first_runs = [entry["first_run"] for entry in entries]
    attributes = reader.attributes
    earlier = Earlier(known.schema, attributes["labels"], {}, attributes["n_runs"])
    inputs = again(scans, earlier, first_runs)
    static = static_tables(inputs) if lost_static else known.without(()).static
    inputs = replace(inputs, static=static)
    plan = flow._plan(inputs, (), True)
    numbers = known.partitions_of(wanted)
    owners = np.asarray(wanted)[plan.partitions["scan"]]
    if not np.array_equal(owners, reader.origin[numbers, 0]):
        raise SourceError(
            reader.path,
            "partitions",
            "the inputs no longer give the partitions that they gave; process them as a pass of another name",
        )
    plan = plan.placed(numbers, np.asarray(wanted)).only(np.isin(numbers, lost))
    identity = {**identity, "look": False, "inputs": known.inputs, "repair": lost.tolist()}
    return Job(plan, identity, attributes["labels"], attributes["n_runs"], tuple(lost.tolist()))


def refuse_changed(entry: Mapping[str, Any]) -> None:
    """See that an input is what it was when the pass was made from it.

    Raises
    ------
    SourceError
        If it has another size, other contents, or is another snapshot of a store.
    """
    from etendue.provenance import sha256

    path = entry["path"]
    if entry["snapshot"]:
        from etendue.store.reader import PassReader

        if (now := PassReader.open(path).snapshot) != entry["snapshot"]:
            raise SourceError(
                path,
                "pass",
                f"there is a newer revision of it ({now}; the pass was made from {entry['snapshot']}); name "
                "the revision, as in store@name+0, or process the newer one as a pass of another name",
            )
        return
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


def _refuse_new_columns(plan: Plan, known: Known) -> None:
    """A published table keeps its columns; new tables may come."""
    if known.reader is None:
        return
    for name, table in plan.pipeline.written_schema.items():
        before = known.reader.schema.get(name)
        if before is None or table.role == "static":
            continue
        counts = {f"n_{child}" for child in plan.pipeline.written_schema if child not in known.reader.schema}
        if differing := sorted((set(before.variables) ^ set(table.variables)) - counts):
            raise SchemaError(
                f"with these inputs, table {name!r} has other columns than in the pass ({differing}); "
                "write them into a pass of their own"
            )


def _entry(path: str, scan: Scan, first_run: int) -> dict[str, Any]:
    """What is noted of an input."""
    size, mtime_ns = scan.stat or (None, None)
    return {
        "path": path,
        "size": size,
        "mtime_ns": mtime_ns,
        "sha256": scan.sha256,
        "snapshot": scan.snapshot,
        "first_run": first_run,
        "n_runs": scan.n_runs,
        "void": False,
    }


def _labels(inputs: Inputs) -> dict[str, str]:
    """Fingerprints of all labels, under the names that they have in the run."""
    return {
        rename[label]: mark
        for scan, rename in zip(inputs.scans, inputs.renames, strict=True)
        for label, mark in scan.labels.items()
    }


def _rows_without(columns: Columns, runs: list[int]) -> Columns:
    """Rows of a table but those of some runs."""
    if RUN not in columns or not runs:
        return columns
    keep = ~np.isin(columns[RUN], runs)
    return {name: column[keep] for name, column in columns.items()}


def _versions() -> Iterable[tuple[str, str]]:
    for package in _PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue
