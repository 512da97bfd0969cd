"""Stages: pure functions of one partition that declare what they read and write.

A stage is a pydantic model (its fields are its parameters), or a plain function under `stage`. It never
changes how many rows a table has. Stages are joined with ``|``.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, create_model, model_validator

from etendue.dataflow.declarations import declared, places
from etendue.dataflow.fingerprint import plain
from etendue.dataflow.parameters import check_finite, check_known
from etendue.dataflow.partition import SELECTED, Partition
from etendue.dataflow.stage_files import restore, stage_file
from etendue.schema import Columns, Schema, SchemaError, Table, Variable, split

if TYPE_CHECKING:
    from etendue.dataflow.pipeline import Pipeline


_MARK = "whether the row, and all that it owns, is written"


class Stage(BaseModel):
    """One step of a pipeline.

    Subclasses declare ``reads`` (references, see `etendue.schema`) and ``writes`` (references with the
    `Variable` they make), name the tables (or ``@kind``) of which they mark the rows to keep (``marks``:
    they return a bool column ``selected`` of each), give their parameters as pydantic fields with
    descriptions, and compute in ``__call__``. What they read of ``conditions`` tables is not declared: it
    is always at hand.

    No parameter is NaN or infinite: a comparison with NaN is false without a word, and a pass could not
    hold it. A stage whose parameters have to fit the inputs says so in `check`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[Mapping[str, Variable | tuple]] = {}
    marks: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        super().__pydantic_init_subclass__(**options)
        if isinstance(cls.__dict__.get("writes"), Mapping):
            for reference, spec in cls.writes.items():
                declared(reference, spec)

    @model_validator(mode="before")
    @classmethod
    def _only_known(cls, given: Any) -> Any:
        if isinstance(given, Mapping):
            check_known(given, cls.model_fields)
        return given

    @model_validator(mode="after")
    def _only_finite(self) -> Self:
        check_finite(self)
        return self

    def requires(self, schema: Schema) -> list[str]:
        """The ``table/column`` names that this stage reads from tables of this schema."""
        return [name for reference in self.reads for name in schema.resolve(reference)]

    def provides(self, schema: Schema) -> dict[str, Variable]:
        """The ``table/column`` names that this stage writes, with their declarations."""
        columns = {
            name: Variable.of(split(name)[1], spec)
            for reference, spec in self.writes.items()
            for name in schema.resolve(reference)
        }
        return columns | {
            f"{table.name}/{SELECTED}": Variable(SELECTED, (table.dim,), "bool", "", _MARK)
            for pattern in self.marks
            for table in schema.matching(pattern)
        }

    def check(self, schema: Schema, static: Mapping[str, Columns]) -> None:
        """See, before anything runs, that the parameters fit the inputs; by default they do.

        Parameters
        ----------
        schema : Schema
            Tables of the inputs, with what earlier stages add.
        static : mapping of str to dict of str to array
            Contents of the static tables: of the inputs, and what stages up to this one bring.

        Raises
        ------
        ValueError
            If they do not; names the parameter, what there is, and what to do. The pipeline names the stage.
        """

    def check_first(self, sources: Mapping[str, str], companions: Mapping[str, str]) -> None:
        """See what a look at the inputs tells before kernels are compiled to read them; by default nothing.

        Parameters
        ----------
        sources : mapping of str to str
            Names of the sources of the inputs, by path; none if there are more than are looked at.
        companions : mapping of str to str
            Files that belong to the inputs, by name.

        Raises
        ------
        ValueError
            If it is certain that `check` will refuse the inputs.
        """

    def makes(self, schema: Schema) -> list[Table]:
        """New tables that this stage makes, for results that are more rows than there were.

        The stage returns all their columns, and the counts ``<parent>/n_<table>``.
        """
        return []

    def brings(self) -> dict[str, tuple[Table, Columns]]:
        """Static tables that this stage brings into the run from outside, such as a detector description.

        They are among the partition's ``conditions`` from this stage on, and are stored with the pass.
        """
        return {}

    @abstractmethod
    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        """Compute the columns that this stage writes, as ``{"table/column": array}``."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        file = stage_file(type(self))
        if file is None:
            return super().__reduce_ex__(protocol)
        return restore, (file, type(self).__qualname__), self.__getstate__()

    @property
    def name(self) -> str:
        """How errors and receipts call this stage."""
        return type(self).__name__

    def config(self) -> dict[str, Any]:
        """The parameters as plain values; arrays and objects by the checksum of their contents."""
        return self.model_dump(mode="json", fallback=plain, warnings=False)

    def __or__(self, other: Stage | Pipeline) -> Pipeline:
        from etendue.dataflow.pipeline import Pipeline

        return Pipeline(stages=(self,)) | other


class TableStage(Stage):
    """A stage that treats each table of one kind by itself, the same way.

    Subclasses name the kind (``kind = "camera"``), list ``reads`` and ``writes`` as for any stage, and
    compute in `process`.
    """

    kind: ClassVar[str]

    @abstractmethod
    def process(self, table: str, columns: Columns, partition: Partition) -> Columns:
        """Compute new columns of one table from its columns."""

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        made = {}
        for table in partition.schema.matching(f"@{self.kind}"):
            columns = partition.tables.get(table.name)
            if columns:
                new = self.process(table.name, columns, partition)
                made.update({f"{table.name}/{name}": array for name, array in new.items()})
        return made


class FunctionStage(Stage):
    """A stage made of a plain function by `stage`."""

    function: ClassVar[Callable[..., Mapping[str, np.ndarray] | np.ndarray]]

    def check(self, schema: Schema, static: Mapping[str, Columns]) -> None:
        """See that there are the tables that the function writes into."""
        places([*self.writes, *(f"{table}/{SELECTED}" for table in self.marks)], schema)

    @property
    def name(self) -> str:
        """Name of the function."""
        return type(self).function.__name__

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        """Call the function with the arrays that it reads; once a table for ``@kind`` references."""
        kinds = {split(r)[0] for r in self.reads if r.startswith("@")}
        tables = [t.name for kind in kinds for t in partition.schema.matching(kind)] or [None]
        made: dict[str, np.ndarray] = {}
        for table in tables:
            names = [_in_table(reference, table) for reference in self.reads]
            if not all(name in partition for name in names):
                continue  # a table that this partition's input does not have
            arrays = [partition[name] for name in names]
            result = self._named(type(self).function(*arrays, **dict(self)))
            made.update({_in_table(name, table): np.asarray(array) for name, array in result.items()})
        return made

    def _named(self, result: Mapping[str, np.ndarray] | np.ndarray) -> Mapping[str, np.ndarray]:
        """What the function returned by column; a single array is the only column that it declares."""
        if isinstance(result, Mapping):
            return result
        names = [*self.writes, *(f"{table}/{SELECTED}" for table in self.marks)]
        if len(names) != 1 or result is None:
            raise SchemaError(
                f"it returned {type(result).__name__}; expected {{'table/column': array}} with "
                f"{', '.join(names) or 'nothing'}"
            )
        return {names[0]: result}


def _in_table(reference: str, table: str | None) -> str:
    return f"{table}/{split(reference)[1]}" if reference.startswith("@") else reference


def stage(
    *,
    reads: str | tuple[str, ...],
    writes: Mapping[str, Variable | tuple] | None = None,
    marks: str | tuple[str, ...] = (),
) -> Callable[[Callable], Any]:
    """Make a stage of a plain function.

    Parameters
    ----------
    reads : str or tuple of str
        References to the columns that are passed to the function, in order.
    writes : mapping, optional
        References to the columns that it returns, each with ``(dims, dtype[, units[, description]])``.
    marks : str or tuple of str, optional
        Tables, or ``@kind``, of which it selects rows: it returns a bool column ``selected`` of each, true
        for the rows to keep.

    Returns
    -------
    callable
        A stage class; call it with values for the function's keyword-only parameters. The function may
        return the array itself if it makes one column.

    Raises
    ------
    SchemaError
        If a declaration cannot be right: dimensions, dtype or units that are none, a misspelt mark, or a
        function that takes another number of columns than it reads.

    Examples
    --------
    >>> @stage(reads="lstcam/image", writes={"lstcam/brightest": ("readout", "float32", "pe")})
    ... def brightest(image):
    ...     return {"lstcam/brightest": image.max(axis=1)}
    >>> brightest().name
    'brightest'
    """
    references = (reads,) if isinstance(reads, str) else tuple(reads)
    tables = (marks,) if isinstance(marks, str) else tuple(marks)

    def decorate(function: Callable) -> type[FunctionStage]:
        _check_function(function, references)
        parameters = {
            p.name: (
                Any if p.annotation is p.empty else p.annotation,
                ... if p.default is p.empty else p.default,
            )
            for p in inspect.signature(function, eval_str=True).parameters.values()
            if p.kind is p.KEYWORD_ONLY
        }
        made = create_model(
            function.__name__, __base__=FunctionStage, __module__=function.__module__, **parameters
        )
        made.__doc__ = function.__doc__
        made.reads = references
        made.writes = dict(writes or {})
        made.marks = tables
        for reference, spec in made.writes.items():
            declared(reference, spec)
        made.function = staticmethod(function)
        return made

    return decorate


def _check_function(function: Callable, references: tuple[str, ...]) -> None:
    """See that a function takes as many arrays as it is given."""
    try:
        inspect.signature(function).bind_partial(*references)
        needed = [
            p.name
            for p in inspect.signature(function).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
        ]
        good = len(needed) <= len(references)
    except TypeError:
        good = False
    if not good:
        raise SchemaError(
            f"{function.__name__}{inspect.signature(function)} is given {len(references)} columns, "
            f"{', '.join(references)}; it must take as many (parameters are keyword-only, after *)"
        )
