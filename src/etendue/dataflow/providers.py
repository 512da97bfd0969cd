"""Who could make a column that is missing, of the stages that are registered."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from etendue.dataflow.registry import registered_stages
from etendue.dataflow.stage import Stage
from etendue.schema import Schema, Variable, split


def providers(name: str, schema: Schema) -> str:
    """Say which registered stages would make a column, or what there is instead.

    Parameters
    ----------
    name : str
        ``table/column``, or a reference such as ``@camera/image``.
    schema : Schema
        The tables that there are.
    """
    here, elsewhere = [], []
    for stage_name, cls in registered_stages().items():
        stage = _by_default(cls)
        if name in _made(cls, stage, schema):
            lacking = _lacking(cls, stage, schema)
            (elsewhere if lacking else here).append(f"{stage_name}{lacking}")
        elif "/" in name and (table := _table_of(cls, split(name)[1], schema)):
            elsewhere.append(f"{stage_name}, of {table}, which the inputs do not have")
    if here:
        return f"{' or '.join(here)} would make it"
    if elsewhere:
        return f"stages for other inputs make it: {'; '.join(elsewhere[:3])}"
    known: Mapping[str, Variable] = {
        f"{t.name}/{v}": variable for t in schema.values() for v, variable in t.variables.items()
    }
    close = get_close_matches(name, list(known), n=3)
    return f"no registered stage makes it; near it are {close}" if close else "no registered stage makes it"


def _by_default(cls: type[Stage]) -> Stage | None:
    """The stage with its default parameters, if they are all that it needs."""
    try:
        return cls()
    except (TypeError, ValueError):
        return None


def _references(cls: type[Stage]) -> list[str]:
    """What a class says that it writes; some stages can only say it of their parameters."""
    return list(cls.writes) if isinstance(cls.writes, Mapping) else []


def _made(cls: type[Stage], stage: Stage | None, schema: Schema) -> set[str]:
    """The columns that a stage makes of these tables."""
    names = {name for reference in _references(cls) for name in (reference, *schema.resolve(reference))}
    try:
        return names | set(stage.provides(schema)) if stage else names
    except (ValueError, LookupError):
        return names


def _lacking(cls: type[Stage], stage: Stage | None, schema: Schema) -> str:
    """Which table that a stage reads there is not; nothing if all are there."""
    try:
        names = stage.requires(schema) if stage else []
    except (ValueError, LookupError):
        return ", which the inputs do not fit"
    reads = cls.reads if isinstance(cls.reads, tuple) else ()
    tables = [split(name)[0] for name in names]
    tables += [split(r)[0] for r in reads if not r.endswith("?") and not schema.matching(split(r)[0])]
    missing = [table for table in tables if table not in schema]
    return f" from {missing[0]}, which the inputs do not have" if missing else ""


def _table_of(cls: type[Stage], column: str, schema: Schema) -> str:
    """The table or kind in which a stage would make a column of this name, if there were one."""
    for reference in _references(cls):
        table, made = split(reference)
        if made == column and not schema.matching(table):
            return f"tables of the kind {table[1:]}" if table.startswith("@") else f"table {table}"
    return ""
