"""Reading the record of a pass: its runs, its inputs, its pipelines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from etendue.provenance.record import INPUT, PASS, RUN, Document, named_pass


@dataclass(frozen=True)
class Activity:
    """One run that made a revision of a pass.

    Parameters
    ----------
    name, hash : str
        Name of the pipeline (``raw`` without one), and the SHA-256 of its configuration.
    toml : str
        The pipeline as text.
    rows, rows_read : dict of str to int
        Rows written and read, by table.
    selected : dict of str to dict of str to tuple of int
        Rows that were selected before and after a stage, by stage and table.
    failures : tuple of str
        What was broken in the inputs.
    events_lost : int
        Events that could not be read.
    versions : dict of str to str
        Versions of Python and of all packages that had a part.
    source_revision : str
        Revision of etendue's own source, where it is known.
    command : str
        Command line.
    host, platform, cpu : str
        The machine that the run was led from.
    cores : int
        Cores that it could use there.
    start, end : datetime
        When, in UTC.
    wall : float
        Seconds that the partitions took: without planning, and without what went before an interruption.
    seconds : dict of str to float
        CPU seconds by stage, and in ``read``, ``write`` and ``fill``.
    brought : tuple of dict
        Of each stage (``stage``) and source (``source``) that brings any: ``files``, with ``path`` and
        ``sha256``, and ``code``, checksums by name.
    """

    name: str
    hash: str
    toml: str
    rows: dict[str, int]
    rows_read: dict[str, int]
    selected: dict[str, dict[str, tuple[int, int]]]
    failures: tuple[str, ...]
    events_lost: int
    versions: dict[str, str]
    source_revision: str
    command: str
    host: str
    platform: str
    cpu: str
    cores: int
    start: datetime
    end: datetime
    wall: float
    seconds: dict[str, float]
    brought: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Input:
    """One input of a pass.

    Parameters
    ----------
    number : int
        Its number in the pass.
    run : int
        Which run read it, the first one if it was read again.
    path : str
        The file, the store with its pass, or the simulation.
    source : str
        What reads it.
    size : int
        Bytes.
    sha256 : str
        Of the file, in hexadecimal; empty if it is none.
    snapshot : str
        Of the pass, if it is one; else empty.
    first_run : int
        What the first of its runs is numbered as in the pass.
    """

    number: int
    run: int
    path: str
    source: str
    size: int
    sha256: str
    snapshot: str
    first_run: int


def activities(record: Mapping[str, Any]) -> list[Activity]:
    """The runs that made a pass, oldest first.

    Parameters
    ----------
    record : mapping
        The attribute ``provenance`` of a pass.
    """
    associations = {entry["prov:activity"]: entry for entry in record["wasAssociatedWith"].values()}
    found = []
    for name, facts in sorted(record["activity"].items(), key=_number):
        plan = record["entity"][associations[name]["prov:plan"]]
        agent = record["agent"][associations[name]["prov:agent"]]
        selected = _value(facts["etendue:selected"])
        found.append(
            Activity(
                name=plan["prov:label"],
                hash=plan["etendue:config_hash"],
                toml=plan["etendue:toml"],
                rows=_value(facts["etendue:rows"]),
                rows_read=_value(facts["etendue:rows_read"]),
                selected={s: {t: tuple(n) for t, n in tables.items()} for s, tables in selected.items()},
                failures=tuple(_value(facts["etendue:failures"])),
                events_lost=facts["etendue:events_lost"],
                versions=_value(agent["etendue:versions"]),
                source_revision=agent["etendue:source_revision"],
                **{key: facts[f"etendue:{key}"] for key in ("command", "host", "platform", "cpu", "cores")},
                start=datetime.fromisoformat(facts["prov:startTime"]),
                end=datetime.fromisoformat(facts["prov:endTime"]),
                wall=facts["etendue:wall_seconds"],
                seconds=_value(facts["etendue:cpu_seconds"]),
                brought=tuple(_value(plan["etendue:brought"])) if "etendue:brought" in plan else (),
            )
        )
    return found


def inputs(record: Mapping[str, Any]) -> list[Input]:
    """The inputs of a pass, by their numbers; argument as of `activities`."""
    runs: dict[str, int] = {}
    for entry in record["used"].values():
        run = int(entry["prov:activity"].removeprefix(RUN))
        runs[entry["prov:entity"]] = min(run, runs.get(entry["prov:entity"], run))
    entities = {name: facts for name, facts in record["entity"].items() if name.startswith(INPUT)}
    return [
        Input(
            number=int(name.removeprefix(INPUT)),
            run=runs[name],
            path=facts["prov:location"],
            source=facts["etendue:source"],
            size=facts["etendue:size"],
            sha256=facts.get("etendue:sha256", ""),
            snapshot=facts.get("etendue:snapshot", ""),
            first_run=facts["etendue:first_run"],
        )
        for name, facts in sorted(entities.items(), key=_number)
    ]


def document(store: str | Path, tag: str | None = None) -> Document:
    """The record of a pass in PROV-JSON, with the names and snapshots of its revisions.

    Parameters
    ----------
    store : path
        The store, or ``store@pass``.
    tag : str, optional
        Name of the pass; without it the newest one.

    Raises
    ------
    FileNotFoundError, StoreError
        If there is no such store or pass.
    """
    from etendue.store import passes
    from etendue.store.reader import PassReader

    reader = PassReader.open(str(store), tag)
    record = deepcopy(reader.attributes["provenance"])
    name = named_pass(reader.place, reader.snapshot).get("etendue:pass")
    for entry in passes(reader.path):
        facts = named_pass(f"{reader.path}@{entry.tag}", entry.snapshot)
        entity = record["entity"].get(f"{PASS}{facts['etendue:revision']}")
        if facts["etendue:pass"] == name and entity is not None:
            entity |= {"prov:label": entry.tag, "prov:location": reader.path, **facts}
    return record


def _number(item: tuple[str, Any]) -> int:
    """Number at the end of an id."""
    return int(item[0].rpartition("/")[2])


def _value(literal: Mapping[str, str]) -> Any:
    """A value that has a structure."""
    return json.loads(literal["$"])
