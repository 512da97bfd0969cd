"""Reading an event again: what a pass did not write of it, from the raw file that it came from."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from etendue.dataflow.partition import SELECTED, Partition
from etendue.dataflow.pipeline import Pipeline
from etendue.dataflow.registry import ConfigError, find_stage
from etendue.dataflow.source import get_source
from etendue.dataflow.stage import Stage
from etendue.errors import EtendueError
from etendue.provenance.lineage import Step, lineage
from etendue.provenance.reading import Activity, activities, document
from etendue.schema import Schema, split


class NotAgainError(EtendueError, ValueError):
    """An event that cannot be read again: its raw file is gone or is not what it was."""


@dataclass(frozen=True)
class Again:
    """An event of a pass, read from its raw file once more.

    Parameters
    ----------
    partition : Partition
        The event alone: the columns that were wanted, made by the stages of the pass that they need.
    place : Step
        Where the event stands in the pass.
    """

    partition: Partition
    place: Step


def read_again(
    store: str | Path,
    tag: str | None,
    row: int,
    wanted: Callable[[Schema], Iterable[str]],
) -> Again | None:
    """Read columns of one event that a pass did not write.

    The event is followed back to the raw file, which must be what it was, and read with those stages of the
    pass, and of the passes before it, that make the columns.

    Parameters
    ----------
    store, tag
        As of `etendue.provenance.lineage`.
    row : int
        Row of the event in the top table of the pass.
    wanted : callable
        From the tables, with all columns that the stages make, to the ``table/column`` names to read.

    Returns
    -------
    Again or None
        None if nothing is wanted.

    Raises
    ------
    NoSuchEventError
        If there is no such row.
    NotAgainError
        If the raw file is gone or has changed.
    """
    *passes, raw = lineage(store, tag, row=row)
    if raw.snapshot or raw.remark or raw.row is None:
        raise NotAgainError(f"event {raw.event_id} cannot be read again from {raw.place}: {raw.remark}")
    made_by = [_activity(store, step) for step in reversed(passes)]
    source = get_source(raw.source)
    beside = _companions(made_by[0])
    scan = source.scan(raw.place, "skip", **({"companions": beside} if beside else {}))
    stages, names = _needed([s for one in made_by for s in _stages(one.toml)], scan.schema, wanted)
    if not names:
        return None
    checked = Pipeline(stages=tuple(stages), write=names).check(scan.schema)
    (partition,) = source.read(scan, [raw.blocks], checked.read, "skip")
    conditions = {**scan.static, **partition.conditions}
    whole = checked.apply(replace(partition, conditions=conditions)).partition
    top = whole.schema.top.name
    only = np.arange(whole.rows(top)) == raw.row
    return Again(whole.with_columns({f"{top}/{SELECTED}": only}).selected(), passes[0])


def _activity(store: str | Path, step: Step) -> Activity:
    """The run that made an event of a pass, which has the pipeline's text."""
    path = step.place.rpartition("@")[0] or str(store)
    return next(one for one in activities(document(path, step.snapshot)) if one.hash == step.hash)


def _companions(made_by: Activity) -> dict[str, str]:
    """The files that were given beside the raw inputs, by the names that their source gives them."""
    return {
        file["place"][0]: file["path"]
        for brought in made_by.brought
        if brought.get("stage") == "the inputs"
        for file in brought["files"]
    }


def _stages(text: str) -> Iterable[Stage]:
    """The stages of a pipeline's text, but for those that cannot be had here, such as a notebook's."""
    for entry in tomllib.loads(text).get("stage", ()):
        parameters: dict[str, Any] = dict(entry)
        try:
            yield find_stage(parameters.pop("use"))(**parameters)
        except (ConfigError, ImportError, ValidationError):
            continue


def _needed(
    stages: Sequence[Stage], schema: Schema, wanted: Callable[[Schema], Iterable[str]]
) -> tuple[list[Stage], tuple[str, ...]]:
    """The stages that make wanted columns or what these need, in order, and the names of the columns."""
    full, known = schema, []
    for stage in stages:
        with_tables = full.with_tables(table for table, _ in stage.brings().values())
        if not all(name in with_tables for name in stage.requires(with_tables)):
            continue  # it reads what a stage made that cannot be had here
        full = with_tables.with_tables(stage.makes(with_tables))
        made = stage.provides(full)
        full = full.with_variables(made)
        known.append((stage, frozenset(made), frozenset(stage.requires(with_tables))))
    names = tuple(wanted(full))
    needs, kept = set(names), []
    for stage, made, required in reversed(known):
        if needs & made or {split(name)[0] for name in needs} & {t.name for t in stage.makes(full)}:
            kept.insert(0, stage)
            needs |= required
    return kept, names
