"""Pipelines: chains of stages, checked against a schema before anything runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from time import thread_time
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, SerializeAsAny

from etendue.dataflow.partition import SELECTED, Partition
from etendue.dataflow.registry import registered_stages, stage_reference
from etendue.dataflow.stage import Stage
from etendue.reprs import Legible, Section, some_of
from etendue.schema import Columns, Schema, Table, Variable, split


class PipelineError(ValueError):
    """A pipeline that cannot work: says which stage, which column, and what to do."""


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
        stages = [{"use": stage_reference(type(s)), **s.model_dump(mode="json")} for s in self.stages]
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
            message names the stage, the column and who could provide it. If a parameter does not fit.
        """
        full, provided, required = schema, [], []
        for position, stage in enumerate(self.stages):
            brought = stage.brings()
            full = full.with_tables(table for table, _ in brought.values())
            required.append(frozenset(self._requirements(position, full)))
            if static is not None:
                static = {**static, **{name: columns for name, (_, columns) in brought.items()}}
                _check_fit(stage, full, static)
            tables = stage.makes(full)
            full = full.with_tables(tables)
            made = stage.provides(full)
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


class Applied(NamedTuple):
    """What a chain made of a partition.

    Parameters
    ----------
    partition : Partition
        With the kept columns only, and without rows that a stage marked as not selected.
    rows_read : dict of str to int
        Rows of each table before any was dropped.
    seconds : dict of str to float
        CPU seconds of this thread in each stage.
    selected : dict of str to dict of str to tuple of int
        Of each stage that selects, and each table that it marks: rows selected before and after it.
    """

    partition: Partition
    rows_read: dict[str, int]
    seconds: dict[str, float]
    selected: dict[str, dict[str, tuple[int, int]]]


@dataclass(frozen=True, repr=False)
class CheckedPipeline(Legible):
    """A pipeline that fits an input: what it reads, makes, keeps and writes.

    Parameters
    ----------
    pipeline : Pipeline
        The chain.
    schema : Schema
        Tables of the input with all columns that stages add.
    read : frozenset of str
        ``table/column`` names to read from the source.
    written : frozenset of str
        Names that are written.
    kept : frozenset of str
        Names that must still be there after the last stage.
    required, provided : tuple of frozenset of str
        Names that each stage reads and writes.
    """

    pipeline: Pipeline
    schema: Schema
    read: frozenset[str]
    written: frozenset[str]
    kept: frozenset[str]
    required: tuple[frozenset[str], ...]
    provided: tuple[frozenset[str], ...]

    def facts(self) -> dict[str, str]:
        """What the pipeline does with its inputs in a few lines, for people."""
        return {
            "stages": some_of(stage.name for stage in self.pipeline.stages),
            "reads": f"{len(self.read)} columns: {some_of(sorted(self.read), 4)}",
            "writes": f"{len(self.written)} columns: {some_of(sorted(self.written), 4)}",
        }

    def sections(self) -> Iterator[Section]:
        """What each stage reads and makes."""
        rows = [
            (stage.name, some_of(sorted(needs)), some_of(sorted(makes)))
            for stage, needs, makes in zip(self.pipeline.stages, self.required, self.provided, strict=True)
        ]
        yield "stages", ("stage", "reads", "makes"), rows

    @cached_property
    def written_schema(self) -> Schema:
        """The tables as they are written: only written columns, and only tables that have some."""
        tables = {}
        for table in self.schema.values():
            columns = {c: v for c, v in table.variables.items() if f"{table.name}/{c}" in self.written}
            if columns or table.role == "static":
                tables[table.name] = replace(table, variables=columns or table.variables)
        return Schema(tables)

    @property
    def brought(self) -> dict[str, Columns]:
        """The static tables that stages bring in."""
        stages = self.pipeline.stages
        return {name: columns for stage in stages for name, (_, columns) in stage.brings().items()}

    @cached_property
    def live_after(self) -> tuple[frozenset[str], ...]:
        """Of each stage, the names that later stages, or the output, still need."""
        return tuple(
            frozenset().union(self.kept, *self.required[position + 1 :])
            for position in range(len(self.required))
        )

    def apply(self, partition: Partition) -> Applied:
        """Run the chain on one partition.

        Columns are let go after the last stage that reads them, so the caller keeps no reference to
        the partition that it passes.

        Returns
        -------
        Applied
        """
        seconds: dict[str, float] = {}
        selected: dict[str, dict[str, tuple[int, int]]] = {}
        rows_read = {name: partition.rows(name) for name in partition.tables}
        for position, stage in enumerate(self.pipeline.stages):
            start = thread_time()
            live = self.live_after[position]
            brought = {name: columns for name, (_, columns) in stage.brings().items()}
            partition = replace(partition, conditions={**partition.conditions, **brought})
            made = stage(replace(partition, wanted=live))
            if strange := made.keys() - self.provided[position]:
                raise PipelineError(
                    f"stage {stage.name!r} returned {sorted(strange)}, which it does not declare"
                )
            # A stage may speak of tables that this partition's input does not have.
            new_tables = {table.name for table in stage.makes(partition.schema)}
            made = {n: c for n, c in made.items() if split(n)[0] in partition.tables.keys() | new_tables}
            before = partition
            partition = partition.with_columns(made, self.schema)
            if marked := [table for table, column in map(split, made) if column == SELECTED]:
                name = stage.name if stage.name not in selected else f"{stage.name} ({position + 1})"
                selected[name] = {t: (_n_selected(before, t), _n_selected(partition, t)) for t in marked}
            del before
            for table in {split(name)[0] for name in made}:
                self.schema[table].validate(partition.tables[table])
            partition = _keep(partition, live)
            del made  # or what it holds would stay until the next stage has run
            seconds[stage.name] = seconds.get(stage.name, 0.0) + thread_time() - start
        return Applied(_keep(partition, self.kept).selected(), rows_read, seconds, selected)


def _check_fit(stage: Stage, schema: Schema, static: Mapping[str, Columns]) -> None:
    """See that the parameters of a stage fit the inputs."""
    try:
        stage.check(schema, static)
    except ValueError as error:
        raise PipelineError(f"stage {stage.name!r}: {error}") from error


def _n_selected(partition: Partition, table: str) -> int:
    """Rows of a table that no stage has marked as not selected."""
    mark = partition.tables.get(table, {}).get(SELECTED)
    return partition.rows(table) if mark is None else int(np.count_nonzero(mark))


def _keep(partition: Partition, names: frozenset[str]) -> Partition:
    """Let go of columns that nobody needs any more; marks stay."""
    dead = frozenset(
        f"{table}/{column}"
        for table, columns in partition.tables.items()
        for column in columns
        if f"{table}/{column}" not in names and column != SELECTED and partition.schema[table].role == "rows"
    )
    return partition.without_columns(dead) if dead else partition


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
