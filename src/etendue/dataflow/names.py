"""Names of what stages make: none that a parameter gives may take the place of something else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etendue.dataflow.partition import SELECTED
from etendue.dataflow.stage import Stage
from etendue.schema import Schema, Table, Variable, split


def taken_names(
    stage: Stage,
    schema: Schema,
    tables: Sequence[Table],
    made: Mapping[str, Variable],
    makers: Mapping[str, str],
) -> str | None:
    """Why a stage's names cannot be what they are; None if they can.

    A stage that declares a name in its ``writes`` makes that column anew, deliberately; so does one that
    declares a column of the input just as it is there, as the same stage did in the pass that is read. But a
    name that a parameter gives (``output``) takes the place of nothing else: of a fit that the input has, or
    of what an earlier stage made.

    Parameters
    ----------
    stage : Stage
        The stage.
    schema : Schema
        What there is before it.
    tables : sequence of Table
        New tables that it makes.
    made : mapping of str to Variable
        Columns that it makes.
    makers : mapping of str to str
        The columns and tables that earlier stages made, with the names of those.
    """
    given = set(_texts(stage.model_dump()))
    literal = Stage.provides(stage, schema)
    for table in tables:
        if table.name in schema and table.name in given and _differs(schema[table.name], table, makers):
            return _refusal(stage, f"the table {table.name!r}", makers.get(table.name))
    for name, variable in made.items():
        if name not in schema or name in literal:
            continue
        _, column = split(name)
        by_parameter = any(column == text or column.startswith(f"{text}_") for text in given)
        if column != SELECTED and by_parameter and (name in makers or schema.variable(name) != variable):
            return _refusal(stage, f"the column {name!r}", makers.get(name))
    return None


def _differs(there: Table, table: Table, makers: Mapping[str, str]) -> bool:
    """Whether a table is another one than that which is there; counts of children do not matter."""
    own = {name: v for name, v in there.variables.items() if name in table.variables}
    return table.name in makers or own != dict(table.variables) or there.parent != table.parent


def _refusal(stage: Stage, what: str, maker: str | None) -> str:
    whose = f"stage {maker!r} makes" if maker else "the input has"
    output = getattr(stage, "output", None)
    how = f"output={output + '_2'!r}" if output else "another name for what it makes"
    return (
        f"would make {what}, which {whose} already, and one would take the place of the other; give it {how}"
    )


def _texts(value: Any) -> Iterator[str]:
    """All texts among parameters."""
    if isinstance(value, str):
        yield from [value] if value else []
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for inner in value:
            yield from _texts(inner)
