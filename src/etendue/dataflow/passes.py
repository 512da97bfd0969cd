"""Writing a pass: begun, taken up again, added to, or made anew in part."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from etendue.dataflow.identity import (
    brought_files,
    code_of_sources,
    identity_of,
    refuse_another,
    refuse_another_pass,
    refuse_other_work,
)
from etendue.dataflow.job import Job, addition, repair
from etendue.dataflow.known import Known
from etendue.dataflow.outcome import Collector, Outcome
from etendue.dataflow.progress import progress
from etendue.dataflow.run import run
from etendue.dataflow.source import UnforeseenError
from etendue.dataflow.summary import Summary
from etendue.dataflow.task import Done
from etendue.dataflow.unify import unify
from etendue.dataflow.warm import compiled_beside
from etendue.errors import is_of_icechunk
from etendue.schema import Schema

if TYPE_CHECKING:
    from etendue.dataflow.flow import Flow
    from etendue.dataflow.plan import Plan
    from etendue.store.journal import Entry
    from etendue.store.lock import StoreLock
    from etendue.store.publish import PassWriter
    from etendue.store.verify import DamagedChunk

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How `Flow.write` was called.

    Parameters
    ----------
    requests : mapping of str to Request
        Histograms to fill.
    fresh, retry_failed, repair, take_over : bool
        See `Flow.write`.
    quiet : bool, optional
        Whether to show no progress.
    where : mapping
        ``client`` or ``executor``.
    """

    requests: Mapping[str, Any]
    fresh: bool = False
    retry_failed: bool = False
    repair: bool = False
    quiet: bool | None = None
    where: Mapping[str, Any] | None = None
    take_over: bool = False

    @property
    def also_read(self) -> list[str]:
        """Columns that the histograms read."""
        return [reference for request in self.requests.values() for reference in request.reads]


def write_pass(flow: Flow, store: str, name: str, options: Options) -> Summary:
    """Write a pass, or what is missing of it; see `Flow.write`."""
    from etendue.store import StoreError
    from etendue.store.lock import held
    from etendue.store.tags import check_name

    check_name(name)
    with (
        held(
            store, None, take_over=options.take_over
        ) as lock,  # first, so that a second driver stops at once
        compiled_beside(flow, options.where, quiet=options.quiet is True),
    ):
        try:
            summary = _write(flow, store, name, options, lock, look=flow.on_error == "raise")
        except UnforeseenError as error:
            log.warning("%s; all is scanned, and begun anew", error)
            summary = _write(flow, store, name, replace(options, fresh=True), lock, look=False)
        except BaseException as error:
            if not is_of_icechunk(error):
                raise
            reason = str(error).partition("\n")[0]
            if "timestamp" in reason:
                reason = f"the clock is not what it was when the store was written last ({reason})"
            raise StoreError(
                f"{store} cannot be read or written: {reason}; what was committed of pass {name!r} counts: "
                "mend this, and run it again; if the store itself is damaged, begin anew with --fresh"
            ) from error
        if lock:
            lock.release()
    return summary


def _write(
    flow: Flow, store: str, name: str, options: Options, lock: StoreLock | None, *, look: bool
) -> Summary:
    from etendue.store import PassWriter
    from etendue.store.tags import published, unfinished

    _settle(store, name, fresh=options.fresh)
    begun = unfinished(store, name)
    known = Known(published(store, name))
    job = _job(flow, name, known, begun, options, look=begun["identity"]["look"] if begun else look)
    if begun is not None:
        refuse_other_work(name, begun["identity"], job.identity if job else None, repair=options.repair)
        refuse_another(name, begun["identity"], job.identity)
        collector = _collector(job, known, options)
        writer = PassWriter.resume(store, name, each=partial(_add_entry, collector), lock=lock)
    elif job is None:
        return _nothing_new(flow, store, name, known, told=options.retry_failed)
    else:
        collector = _collector(job, known, options)
        writer = _begin(job, store, name, known, lock)
    return _carry_out(job, writer, collector, store, name, known, options)


def _settle(store: str, name: str, *, fresh: bool) -> None:
    """Bring to an end what was cut short; drop what is unfinished and not wanted, even if it is damaged."""
    from etendue.store.repository import open_repository
    from etendue.store.seal import DamageError
    from etendue.store.tags import discard, drop_unfinished, settle

    try:
        settle(store, name)
        if fresh:
            discard(store, name)
    except BaseException as error:
        if not fresh or not (isinstance(error, DamageError) or is_of_icechunk(error)):
            raise
        drop_unfinished(open_repository(store), name)


def _job(
    flow: Flow,
    name: str,
    known: Known,
    begun: Mapping[str, Any] | None,
    options: Options,
    *,
    look: bool,
) -> Job | None:
    """What there is to do, with the code of the sources that do it; None if it is nothing."""
    job = _wanted(flow, name, known, begun, options, look=look)
    if job is None:
        return None
    sources = code_of_sources(name, job.plan.inputs.scans, known)
    return replace(job, identity={**job.identity, "sources": sources})


def _wanted(
    flow: Flow, name: str, known: Known, begun: Mapping[str, Any] | None, options: Options, *, look: bool
) -> Job | None:
    """A job whose identity does not tell its sources yet."""
    identity = identity_of(flow, options.requests.values(), look=look)
    if known.reader is not None:
        refuse_another_pass(known, name, identity)
        if options.repair:
            from etendue.store.verify import find_damage

            if damaged := find_damage(known.reader):
                _refuse_unreadable(damaged)
                return repair(flow, identity, known, damaged)
    return addition(
        flow,
        identity,
        known,
        retry_failed=options.retry_failed,
        unreadable=begun["unreadable"] if begun else (),
        also_read=options.also_read,
    )


def _begin(job: Job, store: str, name: str, known: Known, lock: StoreLock | None) -> PassWriter:
    from etendue.store import PassWriter
    from etendue.store.layout import schema_to_json

    plan = job.plan
    attributes = {
        "labels": job.labels,
        "n_runs": job.n_runs,
        "pipeline": plan.pipeline.pipeline.config(),
        "identity": job.identity,
        "source_schema": schema_to_json(plan.inputs.schema),
        "unreadable": job.unreadable,
        "started": datetime.now(UTC).isoformat(),
    }
    schema, static = plan.pipeline.written_schema, plan.static
    if known.reader is None:
        writer = PassWriter.create(store, name, schema, static, len(plan.partitions), attributes, lock=lock)
    elif job.is_anew:
        log.warning(
            "pass %s: what it knows of its partitions is damaged; none can be judged, and all are made anew",
            name,
        )
        writer = PassWriter.create(
            store,
            name,
            Schema({**known.reader.schema, **schema}),
            static,
            len(plan.partitions),
            attributes,
            preset=known.reader.facts["preset"],
            is_anew=True,
            lock=lock,
        )
    else:
        n_more = max(0, int(plan.numbers.max(initial=-1)) + 1 - known.n_partitions)
        writer = PassWriter.revise(
            store, name, schema, static, n_more, attributes, forget=job.forget, retried=job.retried, lock=lock
        )
    writer.note(plan.inputs.failures)
    return writer


def _carry_out(
    job: Job, writer: PassWriter, collector: Collector, store: str, name: str, known: Known, options: Options
) -> Summary:
    """Make what is not made yet, and publish."""
    from etendue.provenance import Record

    plan, requests = job.plan, tuple(options.requests.values())
    earlier = known.reader.attributes["provenance"] if known.reader else None
    record = Record.begin(plan, earlier, job.identity)
    record = replace(record, started=datetime.fromisoformat(writer.attributes["started"]))
    try:
        with progress(plan, quiet=options.quiet) as advance:
            outcome = run(
                _remaining(plan, writer.ledger.seen),
                writer=writer,
                requests=requests,
                progress=advance,
                collector=collector,
                files=brought_files(job.identity),
                **(options.where or {}),
            )
        told = set() if job.is_anew else {f for f in known.failures if f.path not in job.retried}
        outcome.failures = [failure for failure in writer.ledger.failures if failure not in told]
        if "repair" in job.identity and not job.is_anew:
            _refuse_differing(writer, known, job.forget)
        else:
            writer.rewrite_static(plan.settled_static(outcome))
        provenance = record.end(outcome)
        outcome.snapshot = writer.publish(
            {"provenance": provenance, "identity": _with_checksums(job.identity, provenance)}
        )
    except UnforeseenError:
        raise  # all that was made is dropped, under the same lock
    except BaseException:
        writer.suspend()
        raise
    histograms = dict(zip(options.requests, outcome.histograms, strict=True))
    return Summary(plan, outcome, histograms, store, writer.tag)


def _remaining(plan: Plan, seen: np.ndarray) -> Plan:
    """The plan without what is done; a stream is done if any of its partitions is."""
    done = seen[plan.numbers]
    scans = plan.inputs.scans
    streams = {n for n in np.unique(plan.partitions["scan"][done]).tolist() if not scans[n].counted}
    return plan.only(~(done | np.isin(plan.partitions["scan"], list(streams)))) if done.any() else plan


def _refuse_unreadable(found: Iterable[DamagedChunk]) -> None:
    """Chunks that may be sound are not made anew."""
    from etendue.store import StoreError

    if unread := [chunk for chunk in found if chunk.kind == "unreadable"]:
        raise StoreError(f"nothing is repaired, as {len(unread)} chunk(s) cannot be read: {unread[0]}")


def _collector(job: Job, known: Known, options: Options) -> Collector:
    """What adds up a job."""
    n_earlier = 0 if job.is_anew else known.n_partitions
    n_partitions = max(n_earlier, int(job.plan.numbers.max(initial=-1)) + 1)
    return Collector(job.plan, tuple(options.requests.values()), n_partitions)


def _add_entry(collector: Collector, entry: Entry) -> None:
    """Add up what an interrupted run did between two commits."""
    from etendue.histogram.travel import unpack

    for number, receipt in entry.receipts:
        collector.add(Done(0, [receipt]), number)
    for number, checksum in entry.sha256.items():
        collector.add(Done(0, [], sha256=checksum), number)
    for number, tallies in entry.tallies.items():
        collector.add(Done(0, [], tallies=tallies), number)
    if entry.histograms:
        collector.add(Done(0, [], payload=unpack(entry.histograms)), 0)


def _refuse_differing(writer: PassWriter, known: Known, numbers: tuple[int, ...]) -> None:
    """Partitions that are made anew must come out as they were."""
    from etendue.store import StoreError

    for n, column in enumerate(writer.ledger.columns):
        same = writer.ledger.checksums[list(numbers), n] == known.reader.checksums[column][list(numbers)]
        if not same.all():
            writer.abandon()
            number = numbers[int(np.argmin(same))]
            raise StoreError(
                f"pass {writer.name!r}: column {column} of partition {number} is not what it was when it was "
                "made; process the inputs as a pass of another name"
            )


def _with_checksums(identity: dict[str, Any], provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The identity with the checksums of the inputs, as far as they are known now."""
    from etendue.provenance import inputs

    known = {entry.number: entry.sha256 for entry in inputs(provenance)}
    entries = [
        {**entry, "sha256": entry["sha256"] or known.get(number, "")}
        for number, entry in enumerate(identity["inputs"])
    ]
    return {**identity, "inputs": entries}


def _nothing_new(flow: Flow, store: str, name: str, known: Known, *, told: bool) -> Summary:
    """The pass has all the inputs already, or cannot read them still, which may be told."""
    plan = flow._plan(unify((), known.without(())), (), True)
    tables = [t.name for t in plan.pipeline.schema.values() if t.role != "static"]
    rows = {table: np.zeros(0, np.int64) for table in tables}
    failures = list(known.failures) if told else []
    outcome = Outcome(rows, dict(rows), failures=failures, snapshot=known.reader.snapshot)
    return Summary(plan, outcome, {}, store, known.reader.tag or name)
