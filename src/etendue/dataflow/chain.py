"""Pipelines that fit an input: what they read, make and write, and how their stages are run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from time import thread_time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from etendue.dataflow.partition import SELECTED, Partition
from etendue.dataflow.source import SourceError, UnforeseenError
from etendue.dataflow.stage_error import PipelineError, error_in, stage_error
from etendue.reprs import Legible, Section, some_of
from etendue.schema import Columns, Schema, split

if TYPE_CHECKING:
    from etendue.dataflow.pipeline import Pipeline


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
            before = partition
            try:
                made = self._run(position, replace(partition, wanted=live))
                partition = partition.with_columns(made, self.schema)
                for table in {split(name)[0] for name in made}:
                    self.schema[table].validate(partition.tables[table])
            except (SourceError, UnforeseenError, MemoryError):
                raise  # of the input, or of the machine
            except PipelineError as error:
                raise stage_error(str(error), PipelineError) from error
            except Exception as error:
                raise error_in(stage, error) from error
            if marked := [table for table, column in map(split, made) if column == SELECTED]:
                name = stage.name if stage.name not in selected else f"{stage.name} ({position + 1})"
                selected[name] = {t: (_n_selected(before, t), _n_selected(partition, t)) for t in marked}
            del before
            partition = _keep(partition, live)
            del made  # or what it holds would stay until the next stage has run
            seconds[stage.name] = seconds.get(stage.name, 0.0) + thread_time() - start
        return Applied(_keep(partition, self.kept).selected(), rows_read, seconds, selected)

    def _run(self, position: int, partition: Partition) -> Columns:
        """What a stage makes of a partition: all that it declares, and nothing else."""
        stage = self.pipeline.stages[position]
        made = stage(partition)
        if strange := made.keys() - self.provided[position]:
            raise PipelineError(f"stage {stage.name!r} returned {sorted(strange)}, which it does not declare")
        # A stage may speak of tables that this partition's input does not have.
        there = {table for table, columns in partition.tables.items() if columns}
        there |= {table.name for table in stage.makes(partition.schema)}
        made = {name: column for name, column in made.items() if split(name)[0] in there}
        for name in sorted(self.provided[position]):
            table, column = split(name)
            if name not in made and table in there and (name in partition.wanted or column == SELECTED):
                raise PipelineError(f"stage {stage.name!r} declares {name!r}, and did not return it")
        for name in made:
            table, column = split(name)
            if column == SELECTED and column in partition.tables.get(table, {}):
                # What an earlier stage has dropped does not come back.
                made[name] = made[name] & partition.tables[table][column]
        return made


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
