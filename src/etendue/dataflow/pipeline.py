"""Pipelines: chains of stages, checked against a schema before anything runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ConfigDict, SerializeAsAny, ValidationError

from etendue.dataflow.chain import CheckedPipeline
from etendue.dataflow.declarations import declared, fit
from etendue.dataflow.names import taken_names
from etendue.dataflow.parameters import unknown
from etendue.dataflow.partition import SELECTED
from etendue.dataflow.providers import providers
from etendue.dataflow.registry import explain, make_stage, stage_label
from etendue.dataflow.stage import Stage
from etendue.dataflow.stage_error import MissingError, PipelineError
from etendue.dataflow.variables import (
    Bound,
    PipelineVariable,
    VariableError,
    is_unset,
    substitute,
    used,
)
from etendue.schema import Columns, Schema, Table, Variable, split


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
    variables : tuple of PipelineVariable
        What its file declares to be given; see `set`.
    bound : tuple of Bound
        Which parameters they give.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    stages: tuple[SerializeAsAny[Stage], ...] = ()
    write: tuple[str, ...] | None = None
    name: str = ""
    description: str = ""
    variables: tuple[PipelineVariable, ...] = ()
    bound: tuple[Bound, ...] = ()

    def __or__(self, other: Stage | type[Stage] | Pipeline) -> Pipeline:
        if isinstance(other, type) and issubclass(other, Stage):
            other = other()
        if isinstance(other, Stage):
            return self.model_copy(update={"stages": (*self.stages, other)})
        if isinstance(other, Pipeline):
            moved = tuple(b._replace(stage=b.stage + len(self.stages)) for b in other.bound if b.stage >= 0)
            moved += tuple(b for b in other.bound if b.stage < 0)
            return other.model_copy(
                update={
                    "stages": (*self.stages, *other.stages),
                    "variables": (*self.variables, *other.variables),
                    "bound": (*(b for b in self.bound if b.stage >= 0), *moved),
                }
            )
        return NotImplemented

    def set(self, **values: Any) -> Pipeline:
        """The same pipeline with values of its variables.

        Parameters
        ----------
        **values
            Of each variable its type, or text that says it: ``detector="detector.detx"``.

        Raises
        ------
        VariableError
            If there is no such variable, a value is not of its type, or no value for what it is used for.
        """
        names = [variable.name for variable in self.variables]
        for name in values:
            if name not in names:
                raise VariableError(f"pipeline {self.name!r}: {unknown('variable', name, names)}")
        variables = tuple(v.given(values[v.name]) if v.name in values else v for v in self.variables)
        known, stages, write = {v.name: v for v in variables}, list(self.stages), self.write
        for position, parameter, template in self.bound:
            if used(template).isdisjoint(values):
                continue
            if position < 0:
                write = substitute(template, known)
                continue
            stage = stages[position]
            try:
                stages[position] = make_stage(
                    type(stage), {**dict(stage), parameter: substitute(template, known)}
                )
            except ValidationError as error:
                raise VariableError(f"stage {stage.name!r}: {explain(error)}") from None
        return self.model_copy(update={"stages": tuple(stages), "write": write, "variables": variables})

    def beside(self, files: Mapping[str, str]) -> Pipeline:
        """The same pipeline for inputs with some files beside them (`etendue.dataflow.companions`).

        A file that is required, and was not given, is the one of its name.
        """
        waiting = {v.name for v in self.variables if v.type == "file" and is_unset(v.current)}
        mine = {name: file for name, file in files.items() if name in waiting}
        return self.set(**mine) if mine else self

    def templates(self) -> dict[int, dict[str, Any]]:
        """How parameters that variables give are written, by stage; only where they still are as given."""
        known = {variable.name: variable for variable in self.variables}
        found: dict[int, dict[str, Any]] = {}
        for position, parameter, template in self.bound:
            stage = self if position < 0 else self.stages[position]
            if _same(substitute(template, known), getattr(stage, parameter)):
                found.setdefault(position, {})[parameter] = template
        return found

    def check_variables(self) -> None:
        """See that all variables that are required have been given.

        Raises
        ------
        PipelineError
            If one has not; names it, and how to give it.
        """
        waiting = {
            name
            for position, parameter, template in self.bound
            if is_unset(getattr(self if position < 0 else self.stages[position], parameter))
            for name in used(template)
        }
        missing = [v for v in self.variables if v.name in waiting and is_unset(v.current)]
        if missing:
            listed = "; ".join(f"{v.name} ({v.description or v.type})" for v in missing)
            python = ", ".join(f"{v.name}=..." for v in missing)
            raise PipelineError(
                f"pipeline {self.name!r} needs {listed}: give {' '.join(v.how for v in missing)}, or in "
                f"Python find_pipeline(..., {python})"
            )

    def with_keys(self, schema: Schema) -> Pipeline:
        """The same pipeline, which writes with the columns also those that name their rows, for exports.

        Parameters
        ----------
        schema : Schema
            What the source gives.
        """
        if self.write is None:
            return self
        checked = self.check(schema)
        keys = _keys_of(checked.written, checked.schema) - checked.written
        return self.model_copy(update={"write": (*self.write, *sorted(keys))}) if keys else self

    def config(self) -> dict[str, Any]:
        """Everything that determines the result, as plain values."""
        stages = [{"use": stage_label(type(s)), **s.config()} for s in self.stages]
        return {"write": None if self.write is None else list(self.write), "stage": stages}

    @property
    def config_hash(self) -> str:
        """SHA-256 of `config`, in hexadecimal."""
        return hashlib.sha256(json.dumps(self.config(), sort_keys=True).encode()).hexdigest()

    def check_first(self, sources: Mapping[str, str], companions: Mapping[str, str]) -> None:
        """Look for what is missing before kernels are compiled to read the inputs; see `Stage.check_first`.

        Parameters
        ----------
        sources : mapping of str to str
            Names of the sources of inputs, by path.
        companions : mapping of str to str
            Files that belong to the inputs.

        Raises
        ------
        PipelineError
            If the inputs lack what a stage needs.
        SourceError
            If a file that a stage brings cannot be read.
        """
        self.check_variables()
        for position, stage in enumerate(self.stages):
            stage.brings()
            with self._naming(position):
                stage.check_first(sources, companions)

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
        self.check_variables()
        full, provided, required = schema, [], []
        makers: dict[str, str] = {}
        for position, stage in enumerate(self.stages):
            brought = stage.brings()
            full = full.with_tables(table for table, _ in brought.values())
            with self._naming(position):
                required.append(frozenset(self._requirements(position, full)))
            if static is not None:
                static = {**static, **{name: columns for name, (_, columns) in brought.items()}}
                with self._naming(position):
                    stage.check(full, static)
            before, tables = full, stage.makes(full)
            full = full.with_tables(tables)
            with self._naming(position):
                made = self._made(stage, full)
            with self._naming(position):
                if reason := taken_names(stage, before, tables, made, makers):
                    raise PipelineError(f"stage {stage.name!r} {reason}")
            makers |= dict.fromkeys([*made, *(table.name for table in tables)], stage.name)
            full = full.with_variables(made)
            provided.append(frozenset(made) | _columns_of(tables))
        extra = frozenset(name for reference in also_read for name in full.resolve(reference))
        if missing := sorted(name for name in extra if name not in full):
            raise PipelineError(f"there is no column {missing[0]!r}; {providers(missing[0], full)}")
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

    @contextmanager
    def _naming(self, position: int) -> Iterator[None]:
        """Name the stage in what is wrong with it, and the variables that it takes."""
        stage = self.stages[position]
        names = {name for b in self.bound if b.stage == position for name in used(b.template)}
        how = ", ".join(f"{v.how} ({v.description})" for v in self.variables if v.name in names)
        hint = f"; the pipeline takes {how}" if how else ""
        try:
            yield
        except PipelineError as error:  # names the stage already
            raise type(error)(f"{error}{hint}") from None
        except ValueError as error:
            raise PipelineError(f"stage {stage.name!r}: {error}{hint}") from error

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
                raise MissingError(
                    f"stage {stage.name!r} reads {reference!r}, and the input has no such table; "
                    f"it has {', '.join(schema)}; {providers(reference, schema)}"
                )
        names = stage.requires(schema)
        for name in names:
            if name not in schema:
                later = [s.name for s in self.stages[position:] if name in s.provides(schema)]
                hint = f"{later[0]!r} makes it: put that before" if later else providers(name, schema)
                raise MissingError(
                    f"stage {stage.name!r} reads {name!r}, which neither the input nor an earlier stage "
                    f"provides; {hint}"
                )
        return names


def _same(a: Any, b: Any) -> bool:
    """Whether two parameters are equal, be they lists or tuples."""
    return json.dumps(a, default=str, sort_keys=True) == json.dumps(b, default=str, sort_keys=True)


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
                raise PipelineError(f"write = {reference!r} names no column; {providers(reference, full)}")
            names |= found
    return frozenset(n for n in names if not n.endswith(f"/{SELECTED}")) | _counts(full)


def _keys_of(names: Iterable[str], schema: Schema) -> set[str]:
    """The columns that name the rows of which columns are written, and the rows that own those."""
    found = set()
    for name in {split(name)[0] for name in names} | {schema.top.name}:
        table: Table | None = schema[name]
        while table is not None and table.role == "rows":
            found |= {f"{table.name}/{column}" for column in table.identifying}
            table = schema[table.parent] if table.parent else None
    return found


def _resolve_write(reference: str, schema: Schema) -> set[str]:
    if reference == "*":
        return {f"{t.name}/{v}" for t in schema.values() if t.role != "static" for v in t.variables}
    return {name for name in schema.resolve(reference) if name in schema}
