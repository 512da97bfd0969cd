"""Pipelines: chains of stages, checked against a schema before anything runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ConfigDict, SerializeAsAny

from etendue.dataflow.chain import CheckedPipeline
from etendue.dataflow.declarations import declared, fit
from etendue.dataflow.names import taken_names
from etendue.dataflow.partition import SELECTED
from etendue.dataflow.registry import registered_stages, stage_reference
from etendue.dataflow.stage import Stage
from etendue.dataflow.stage_error import PipelineError
from etendue.schema import Columns, Schema, Table, Variable


class Pipeline(BaseModel):
    """A chain of stages, and what of its columns is written.

    Parameters
    ----------
    stages : tuple of Stage
        In the order in which they run.
    write : tuple of str, optional
        References to the columns that are written (``events/*``, ``@camera/image``; ``*`` for all).
        Without it: what the stages make and what the source gives, except ``bulk`` columns (raw
        samples); and everything if there are no stages.
    name, description : str
        For people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    stages: tuple[SerializeAsAny[Stage], ...] = ()
    write: tuple[str, ...] | None = None
    name: str = ""
    description: str = ""

    def __or__(self, other: Stage | type[Stage] | Pipeline) -> Pipeline:
        if isinstance(other, type) and issubclass(other, Stage):
            other = other()
        if isinstance(other, Stage):
            return self.model_copy(update={"stages": (*self.stages, other)})
        if isinstance(other, Pipeline):
            return other.model_copy(update={"stages": (*self.stages, *other.stages)})
        return NotImplemented

    def config(self) -> dict[str, Any]:
        """Everything that determines the result, as plain values."""
        stages = [{"use": stage_reference(type(s)), **s.config()} for s in self.stages]
        return {"write": None if self.write is None else list(self.write), "stage": stages}

    @property
    def config_hash(self) -> str:
        """SHA-256 of `config`, in hexadecimal."""
        return hashlib.sha256(json.dumps(self.config(), sort_keys=True).encode()).hexdigest()

    def check(
        self,
        schema: Schema,
        also_read: Iterable[str] = (),
        *,
        write: bool = True,
        static: Mapping[str, Columns] | None = None,
    ) -> CheckedPipeline:
        """Check the chain against the tables of an input.

        Parameters
        ----------
        schema : Schema
            What the source gives.
        also_read : iterable of str
            References that something after the last stage reads (histograms).
        write : bool
            Whether columns are written at all; if not, only what ``also_read`` names is computed.
        static : mapping of str to dict of str to array, optional
            Contents of the static tables of the input. With them, stages also see that their parameters
            fit, see `Stage.check`.

        Raises
        ------
        PipelineError
            If a stage reads a column that neither the source nor an earlier stage provides; the
            message names the stage, the column and who could provide it. If a parameter does not fit, or
            gives a name that something else has, see `etendue.dataflow.names`.
        """
        full, provided, required = schema, [], []
        makers: dict[str, str] = {}
        for position, stage in enumerate(self.stages):
            brought = stage.brings()
            full = full.with_tables(table for table, _ in brought.values())
            with _naming(stage):
                required.append(frozenset(self._requirements(position, full)))
            if static is not None:
                static = {**static, **{name: columns for name, (_, columns) in brought.items()}}
                with _naming(stage):
                    stage.check(full, static)
            before, tables = full, stage.makes(full)
            full = full.with_tables(tables)
            with _naming(stage):
                made = self._made(stage, full)
            if reason := taken_names(stage, before, tables, made, makers):
                raise PipelineError(f"stage {stage.name!r} {reason}")
            makers |= dict.fromkeys([*made, *(table.name for table in tables)], stage.name)
            full = full.with_variables(made)
            provided.append(frozenset(made) | _columns_of(tables))
        extra = frozenset(name for reference in also_read for name in full.resolve(reference))
        if missing := sorted(name for name in extra if name not in full):
            raise PipelineError(f"there is no column {missing[0]!r}; {_providers(missing[0], full)}")
        written = _written(self, full) if write else frozenset()
        needed = frozenset().union(*required, written, extra)
        return CheckedPipeline(
            pipeline=self,
            schema=full,
            read=frozenset(n for n in needed if _source_gives(n, schema, provided, required))
            | _counts(schema),
            written=written,
            kept=written | extra | _counts(full),
            required=tuple(required),
            provided=tuple(provided),
        )

    def _made(self, stage: Stage, schema: Schema) -> dict[str, Variable]:
        """The columns that a stage makes, which have to fit their tables."""
        made = stage.provides(schema)
        for name, variable in made.items():
            declared(name, variable)
        fit(made, schema)
        return made

    def _requirements(self, position: int, schema: Schema) -> list[str]:
        stage = self.stages[position]
        for reference in stage.reads:
            if not reference.endswith("?") and not schema.resolve(reference):
                raise PipelineError(
                    f"stage {stage.name!r} reads {reference!r}, and the input has no such table; "
                    f"it has {', '.join(schema)}"
                )
        names = stage.requires(schema)
        for name in names:
            if name not in schema:
                later = [s.name for s in self.stages[position:] if name in s.provides(schema)]
                hint = f"{later[0]!r} makes it: put that before" if later else _providers(name, schema)
                raise PipelineError(
                    f"stage {stage.name!r} reads {name!r}, which neither the input nor an earlier stage "
                    f"provides; {hint}"
                )
        return names


@contextmanager
def _naming(stage: Stage) -> Iterator[None]:
    """Name the stage in what is wrong with it."""
    try:
        yield
    except PipelineError:
        raise  # names it already
    except ValueError as error:
        raise PipelineError(f"stage {stage.name!r}: {error}") from error


def _columns_of(tables: list[Table]) -> frozenset[str]:
    """Names of all columns of new tables, with their counts."""
    columns = {f"{table.name}/{column}" for table in tables for column in table.variables}
    return frozenset(columns | {f"{table.parent}/n_{table.name}" for table in tables if table.parent})


def _counts(schema: Schema) -> frozenset[str]:
    """Names of the count columns, without which rows cannot be told to whom they belong."""
    return frozenset(f"{table.parent}/n_{table.name}" for table in schema.values() if table.parent)


def _source_gives(
    name: str, schema: Schema, provided: list[frozenset[str]], required: list[frozenset[str]]
) -> bool:
    """Whether a column of the source is read before a stage makes it anew."""
    if name not in schema:
        return False
    for needs, makes in zip(required, provided, strict=True):
        if name in needs:
            return True
        if name in makes:
            return False
    return True


def _written(pipeline: Pipeline, full: Schema) -> frozenset[str]:
    """Names of the columns to write, by the pipeline's references or the default rule."""
    rows = [table for table in full.values() if table.role == "rows"]
    if pipeline.write is None:
        everything = not pipeline.stages
        tables: Iterable[Table] = rows if pipeline.stages else full.values()
        names = {
            f"{table.name}/{v.name}"
            for table in tables
            if table.role != "static"
            for v in table.variables.values()
            if everything or not v.bulk
        }
    else:
        names = set()
        for reference in pipeline.write:
            found = _resolve_write(reference, full)
            if not found:
                raise PipelineError(f"write = {reference!r} names no column; {_providers(reference, full)}")
            names |= found
    return frozenset(n for n in names if not n.endswith(f"/{SELECTED}")) | _counts(full)


def _resolve_write(reference: str, schema: Schema) -> set[str]:
    if reference == "*":
        return {f"{t.name}/{v}" for t in schema.values() if t.role != "static" for v in t.variables}
    return {name for name in schema.resolve(reference) if name in schema}


def _providers(name: str, schema: Schema) -> str:
    """Say which registered stages would make a column, or what there is instead."""
    makers = [
        stage_name
        for stage_name, stage in registered_stages().items()
        for reference in stage.writes
        if name in schema.resolve(reference) or reference == name
    ]
    if makers:
        return f"{' or '.join(makers)} would make it"
    known: Mapping[str, Variable] = {
        f"{t.name}/{v}": variable for t in schema.values() for v, variable in t.variables.items()
    }
    from difflib import get_close_matches

    close = get_close_matches(name, list(known), n=3)
    return f"no registered stage makes it; near it are {close}" if close else "no registered stage makes it"
