"""What a call of `Flow.write` has to do: it follows from the command and from what the store holds.

The same command on the same store is the same job, so that an interrupted one goes on where it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from etendue.dataflow.inputs import expand
from etendue.dataflow.known import (
    Known,
    entry_of,
    has_grown,
    pinned,
    refuse_changed,
    same_part,
    without_seen,
)
from etendue.dataflow.look import scan_distinct, scan_each
from etendue.dataflow.partition import Failure
from etendue.dataflow.plan import Plan, PlanError
from etendue.dataflow.settle import settled
from etendue.dataflow.source import Scan, SourceError
from etendue.dataflow.unify import Earlier, Inputs, again, static_tables, unify
from etendue.schema import SchemaError

if TYPE_CHECKING:
    from etendue.dataflow.flow import Flow

#: What a job repairs that knows nothing of the partitions that there were.
ALL = "all"


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
    def is_anew(self) -> bool:
        """Whether all partitions of a published pass are made anew, sharing nothing with it."""
        return self.identity.get("repair") == ALL

    @property
    def unreadable(self) -> list[str]:
        """Inputs that cannot be read at all."""
        readable = {entry["path"] for entry in self.identity["inputs"]}
        return sorted({f.path for f in self.plan.inputs.failures} - readable)


def addition(
    flow: Flow,
    identity: dict[str, Any],
    known: Known,
    *,
    retry_failed: bool,
    unreadable: Collection[str],
    also_read: Sequence[str],
) -> Job | None:
    """The job to process the inputs that the pass does not have; None if there is none that can be read.

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
    named = dict.fromkeys(expand(flow.paths)).keys()  # a set, in order
    if not named:
        raise PlanError("no input: name at least one file")
    numbers, paths = known.broken
    void = [n for n in sorted(numbers) if retry_failed and known.inputs[n]["path"] in named]
    retried = {known.inputs[n]["path"] for n in void} | (paths if retry_failed else set())
    grown = _grown(known, named - retried)
    have = (known.latest.keys() | paths) - retried - grown.keys()
    new = [path for path in named if path not in have and path not in unreadable]
    if not new:
        return None
    found = scan_distinct(new, flow.on_error, identity["look"], flow.companions, known.inputs)
    scans = {
        path: without_seen(scan, grown.get(path))
        for path, scan in zip(new, found, strict=True)
        if isinstance(scan, Scan)
    }
    failures = tuple(failure for failure in found if isinstance(failure, Failure))
    if not scans and known.reader is not None and set(failures) <= set(known.failures):
        return None  # they cannot be read as before
    if not scans and known.reader is None and not unreadable:
        raise PlanError(f"none of the inputs can be read: {'; '.join(map(str, failures))}")
    earlier = known.without(void)
    plan, scans, misfits = _fitting(flow, known, earlier, scans, also_read)
    inputs = replace(plan.inputs, failures=failures + misfits + plan.inputs.failures)
    plan = replace(plan, inputs=inputs)
    plan = plan.placed(known.n_partitions + plan.numbers, len(known.inputs) + plan.input_numbers)
    entries = [{**entry, "void": entry["void"] or n in void} for n, entry in enumerate(known.inputs)]
    entries += [entry_of(*pair, first) for pair, first in zip(scans.items(), inputs.first_run, strict=True)]
    return Job(
        plan,
        {**identity, "inputs": entries},
        {**earlier.labels, **_labels(inputs)},
        earlier.n_runs + sum(scan.n_runs - scan.seen_runs for scan in scans.values()),
        tuple(known.partitions_of(void).tolist()),
        tuple(sorted(paths & named)) if retry_failed else (),
    )


def _grown(known: Known, named: set[str]) -> dict[str, dict[str, Any]]:
    """The inputs that gained partitions since the pass was made from them; others must be what they were."""
    grown = {}
    for path in known.latest.keys() & named:
        entry = known.latest[path]
        refuse_changed(entry)
        if has_grown(entry):
            grown[path] = entry
    return grown


def repair(flow: Flow, identity: dict[str, Any], known: Known, damaged: Iterable[Any]) -> Job:
    """The job to make damaged partitions anew, from the inputs that they were made from.

    If it is what the pass knows of its partitions that is damaged, all of them are made anew.

    Parameters
    ----------
    damaged : iterable of DamagedChunk
        What `etendue.store.verify` has found.

    Raises
    ------
    SourceError
        If an input cannot be read, or is not what it was.
    """
    from etendue.store.verify import ledger_is_lost

    reader = known.reader
    damaged = list(damaged)
    lost = np.unique([chunk.partition for chunk in damaged if chunk.partition >= 0]).astype(np.int64)
    if lost_static := any(chunk.partition < 0 for chunk in damaged):
        wanted = [n for n, entry in enumerate(known.inputs) if not entry["void"]]
    else:
        wanted = np.unique(reader.origin[lost, 0]).tolist()
    entries = [known.inputs[n] for n in wanted]
    for entry in entries:
        refuse_changed(entry)
    found = scan_each(
        [pinned(entry) for entry in entries], flow.on_error, [False] * len(entries), flow.companions
    )
    if broken := [failure for failure in found if isinstance(failure, Failure)]:
        raise SourceError(broken[0].path, broken[0].place, f"is needed again: {broken[0].message}")
    scans = [same_part(scan, entry) for scan, entry in zip(found, entries, strict=True)]
    first_runs = [entry["first_run"] - entry["seen_runs"] for entry in entries]
    attributes = reader.attributes
    earlier = Earlier(known.schema, attributes["labels"], {}, attributes["n_runs"])
    inputs = again(scans, earlier, first_runs)
    if lost_static:
        static = static_tables(inputs)
        if not ledger_is_lost(damaged):  # or they are settled when all is read anew
            static |= settled(static, known.schema, inputs, known.failures, {})
    else:
        static = known.without(()).static
    inputs = replace(inputs, static=static)
    plan = flow._plan(inputs, (), True)
    identity = {**identity, "look": False, "inputs": known.inputs}
    if ledger_is_lost(damaged):
        failures = _failures_of_inputs(flow, known, scans, damaged)
        plan = replace(plan, inputs=replace(inputs, failures=failures))
        plan = plan.placed(plan.numbers, np.asarray(wanted))
        return Job(plan, {**identity, "repair": ALL}, attributes["labels"], attributes["n_runs"])
    numbers = known.partitions_of(wanted)
    owners = np.asarray(wanted)[plan.partitions["scan"]]
    if not np.array_equal(owners, reader.origin[numbers, 0]):
        raise SourceError(
            reader.path,
            "partitions",
            "the inputs no longer give the partitions that they gave; process them as a pass of another name",
        )
    plan = plan.placed(numbers, np.asarray(wanted)).only(np.isin(numbers, lost))
    identity = {**identity, "repair": lost.tolist()}
    return Job(plan, identity, attributes["labels"], attributes["n_runs"], tuple(lost.tolist()))


def _failures_of_inputs(
    flow: Flow, known: Known, scans: Iterable[Scan], damaged: Iterable[Any]
) -> tuple[Failure, ...]:
    """What could not be read before there were partitions; looked for again if the table of it is damaged."""
    if not any(chunk.array.startswith("failures/") for chunk in damaged):
        return tuple(failure for failure in known.failures if failure.partition < 0)
    others = [path for path in expand(flow.paths) if path not in known.latest]
    found = scan_distinct(others, flow.on_error, False, flow.companions, known.inputs)
    unreadable = tuple(failure for failure in found if isinstance(failure, Failure))
    return unreadable + tuple(failure for scan in scans for failure in scan.failures)


def _plan(
    flow: Flow, known: Known, earlier: Earlier, scans: Iterable[Scan], also_read: Sequence[str]
) -> Plan:
    """The plan for new inputs of a pass; a published table keeps its columns, but new tables may come."""
    plan = flow._plan(unify(scans, earlier), also_read, True)
    if known.reader is None:
        return plan
    written, published = plan.pipeline.written_schema, known.reader.schema
    new = [child for child in written if child not in published]
    new += [child for child in plan.inputs.schema if child not in known.schema]  # written or not
    counts = {f"n_{child}" for child in new}
    for name, table in written.items():
        before = published.get(name)
        if before is None or table.role == "static":
            continue
        if differing := sorted((set(before.variables) ^ set(table.variables)) - counts):
            raise SchemaError(
                f"with these inputs, table {name!r} has other columns than in the pass ({differing}); "
                "write them into a pass of their own"
            )
    return plan


def _fitting(
    flow: Flow, known: Known, earlier: Earlier, scans: dict[str, Scan], also_read: Sequence[str]
) -> tuple[Plan, dict[str, Scan], tuple[Failure, ...]]:
    """The plan for the inputs that fit what the pass has, these and, with ``skip``, why the others do not."""
    try:
        return _plan(flow, known, earlier, scans.values(), also_read), scans, ()
    except SchemaError:
        if flow.on_error == "raise" or known.reader is None:
            raise
    fitting, misfits = {}, []
    for path, scan in scans.items():
        try:
            _plan(flow, known, earlier, [scan], ())
            fitting[path] = scan
        except SchemaError as error:
            misfits.append(Failure(path, "tables", str(error)))
    return _plan(flow, known, earlier, fitting.values(), also_read), fitting, tuple(misfits)


def _labels(inputs: Inputs) -> dict[str, str]:
    """Fingerprints of all labels, under the names that they have in the run."""
    return {
        rename[label]: mark
        for scan, rename in zip(inputs.scans, inputs.renames, strict=True)
        for label, mark in scan.labels.items()
    }
