"""The verb that says what made a pass, or an event of it: provenance."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etendue.cli.event import event_option, row_option, run_of

if TYPE_CHECKING:
    from etendue.provenance import Activity, Input, Step

#: Inputs that are listed; ``--json`` gives all.
_LISTED = 20


@click.command()
@click.argument("store")
@click.option("--pass", "tag", help="Pass to ask about.  [default: the newest]")
@event_option("Event to follow back to the raw file")
@row_option
@click.option(
    "--run",
    "run",
    type=int,
    help="Number (obs_id, run_id) or row of its run, where runs share event numbers.",
)
@click.option("--json", "as_json", is_flag=True, help="W3C PROV-JSON; of an event, its steps as JSON.")
@click.option(
    "--crate", type=click.Path(path_type=Path), help="Write an RO-Crate to this folder or .zip file."
)
def provenance(
    store: str,
    tag: str | None,
    event: Any,
    row: int | None,
    run: int | None,
    as_json: bool,
    crate: Path | None,
) -> None:
    r"""Say what made a pass, or where an event of it came from.

    \b
    etendue provenance crab.etendue --pass 2026.1
    etendue provenance crab.etendue --pass 2026.1 --event 17
    etendue provenance muons.etendue --event run=3,luminosityBlock=7,event=12
    etendue provenance crab.etendue --pass 2026.1 --json > record.json
    etendue provenance crab.etendue --pass 2026.1 --crate crab-crate.zip
    """
    from etendue import load
    from etendue import provenance as prov

    one = event is not None or row is not None
    if one and crate is not None:
        raise click.UsageError(
            "--event (or --row) and --crate do not go together: a crate describes a whole pass"
        )
    if run is not None and not one:
        raise click.UsageError("--run says of which run an event is: give --event as well")
    if crate is not None:
        click.echo(str(prov.write_crate(store, tag, crate)))
    elif one:
        run = None if run is None else run_of(load(store, tag), run)
        steps = prov.lineage(store, tag, event, run, row)
        click.echo(json.dumps([asdict(s) for s in steps], indent=2) if as_json else "\n".join(_told(steps)))
    else:
        record = prov.document(store, tag)
        click.echo(json.dumps(record, indent=2) if as_json else "\n".join(_summary(record)))


def _summary(record: dict[str, Any]) -> Iterable[str]:
    """A record for people."""
    from etendue.provenance import activities, inputs
    from etendue.provenance.record import PASS

    all_inputs = inputs(record)
    for number, activity in enumerate(activities(record)):
        if number:
            yield ""
        made = record["entity"][f"{PASS}{number}"]
        name, snapshot = made.get("prov:label", ""), made.get("etendue:snapshot", "")
        yield f"pass {name}, revision {number} ({snapshot})"
        yield from _indented(_made(activity))
        yield ""
        yield from _inputs([one for one in all_inputs if one.run == number])
        yield ""
        yield from _cut_flow(activity)
        yield ""
        yield from _cpu(activity)
        yield from (f"broken: {failure}" for failure in activity.failures)


def _made(activity: Activity) -> list[tuple[str, str]]:
    seconds = sum(activity.seconds.values())
    revision = f" ({activity.source_revision})" if activity.source_revision else ""
    n_others = len(activity.versions) - 2
    return [
        ("pipeline", f"{activity.name}, hash {activity.hash} (--json and --crate have its text)"),
        ("start", f"{activity.start:%Y-%m-%d %H:%M:%S} UTC"),
        ("end", f"{activity.end:%Y-%m-%d %H:%M:%S} UTC"),
        ("time", f"{activity.wall:,.1f} s for all partitions, {seconds:,.1f} s of CPU"),
        ("command", activity.command),
        ("machine", f"{activity.host}: {activity.cpu}, {activity.cores} cores, {activity.platform}"),
        ("etendue", f"{activity.versions['etendue']}{revision}"),
        ("python", f"{activity.versions['python']}, with {n_others} packages (--json names them)"),
        ("failures", f"{len(activity.failures)} ({activity.events_lost:,} events lost)"),
        *(("brought", text) for brought in activity.brought for text in _brought(brought)),
    ]


def _brought(brought: dict[str, Any]) -> Iterable[str]:
    """What a stage or a source brings: its files, and that its code is not etendue's."""
    name = brought.get("stage", brought.get("source"))
    for file in brought["files"]:
        place = ".".join(map(str, file["place"]))
        yield f"{name}, {place}: {file['path']} ({file['size']:,} bytes, SHA-256 {file['sha256']})"
    if brought["code"]:
        yield f"{name}: code of its own, in {len(brought['code'])} parts (--json has their checksums)"


def _inputs(listed: Sequence[Input]) -> Iterable[str]:
    """The inputs of a run as a table."""
    rows = [
        (str(i.number), i.path, i.source, f"{i.size:,}", i.sha256 or i.snapshot or "-")
        for i in listed[:_LISTED]
    ]
    yield from _table(("input", "path", "source", "bytes", "SHA-256 or snapshot"), rows, right=(0, 3))
    if len(listed) > _LISTED:
        yield f"... and {len(listed) - _LISTED:,} more (--json names them)"


def _cut_flow(activity: Activity) -> Iterable[str]:
    """Rows read, rows that each selection left, rows written."""
    rows = [("read", table, "", f"{n:,}", "") for table, n in activity.rows_read.items() if n]
    for stage, tables in activity.selected.items():
        for table, (before, after) in tables.items():
            kept = f"{after / before:.1%}" if before else ""
            rows.append((stage, table, f"{before:,}", f"{after:,}", kept))
    rows += [("written", table, "", f"{n:,}", "") for table, n in activity.rows.items() if n]
    yield from _table(("selection", "table", "rows before", "rows after", "kept"), rows, right=(2, 3, 4))


def _cpu(activity: Activity) -> Iterable[str]:
    """CPU time by stage."""
    total = sum(activity.seconds.values()) or 1.0
    rows = [(stage, f"{s:,.3f}", f"{s / total:.1%}") for stage, s in activity.seconds.items()]
    yield from _table(("stage", "CPU seconds", "of all"), rows, right=(1, 2))


def _told(steps: Sequence[Step]) -> Iterable[str]:
    """The steps of an event for people."""
    from etendue.dataflow.source import RUN

    events = [step for step in steps if step.depth == 0]
    if len(events) > 1:
        runs = {step.run for step in events}
        hint = "; --run tells those of different runs apart" if len(runs) > 1 else "; --row chooses one"
        yield f"{len(events)} events have this number{hint}"
    for step in steps:
        if step.depth == 0:
            of_run = "" if step.run is None else f" of run {step.run}"
            numbers = ", ".join(f"{name} {n}" for name, n in step.identity.items() if name != RUN)
            row = "" if step.index is None else f", row {step.index:,}"
            yield f"event {step.event_id}{of_run} ({numbers}){row}"
        yield f"  {'in' if step.depth == 0 else 'from'} {step.place}"
        yield from _indented(_where(step), by=6)


def _where(step: Step) -> list[tuple[str, str]]:
    first, stop = step.blocks
    blocks = f"{first:,}" if stop == first + 1 else f"{first:,} to {stop - 1:,}, one of these"
    row = "" if step.row is None else f", row {step.row}"
    facts = []
    if step.snapshot:
        facts += [("snapshot", step.snapshot), ("partition", f"{blocks}{row}")]
    else:
        facts += [("read by", step.source)]
        facts += [("file", f"{step.size:,} bytes, SHA-256 {step.sha256}")] if step.sha256 else []
        facts += [("block", f"{blocks}{row}")]
    facts += [("offset", step.offset)] if step.offset else []
    facts += [("made by", f"pipeline {step.pipeline}, hash {step.hash}")] if step.hash else []
    facts += [("but", step.remark)] if step.remark else []
    return facts


def _indented(facts: Sequence[tuple[str, str]], by: int = 2) -> Iterable[str]:
    width = max(len(key) for key, _ in facts)
    below = f"\n{' ' * (by + width + 2)}"
    return [f"{' ' * by}{key:<{width}}  {value.replace('\n', below)}" for key, value in facts]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> Iterable[str]:
    """Columns under their heads; those in ``right`` are numbers."""
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = [
            f"{cell:>{width}}" if n in right else f"{cell:<{width}}"
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield f"  {'  '.join(cells)}".rstrip()
