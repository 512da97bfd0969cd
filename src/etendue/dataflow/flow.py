"""Flows: inputs joined to a pipeline, lazily; the verbs that make something of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etendue.dataflow.look import scan_inputs
from etendue.dataflow.outcome import Outcome
from etendue.dataflow.pipeline import Pipeline
from etendue.dataflow.plan import PARTITION_BYTES, Plan, make_plan
from etendue.dataflow.progress import progress
from etendue.dataflow.run import run
from etendue.dataflow.source import OnError, UnforeseenError
from etendue.dataflow.stage import Stage
from etendue.dataflow.summary import Summary
from etendue.dataflow.unify import Inputs
from etendue.dataflow.warm import compiled_beside
from etendue.reprs import Section, card, cut, some_of
from etendue.schema import Columns, Schema, Table

if TYPE_CHECKING:
    import awkward
    import hist
    import pandas
    import xarray
    from astropy.table import QTable
    from distributed import Client

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Flow:
    """Inputs and the pipeline that they go through. Nothing runs until a verb is called.

    Parameters
    ----------
    paths : tuple of str
        Inputs: raw files, stores, simulations.
    pipeline : Pipeline
        The stages so far; join more with ``|``.
    on_error : {"raise", "skip"}
        What to do about broken input.
    partition_bytes : int
        Raw bytes of a partition. The result does not depend on it.
    workers : int, optional
        Threads; by default one a core.
    memory_limit : int, optional
        Bytes that one process may use; by default 80 % of what is available.
    companions : mapping of str to str
        Files that belong to the inputs, by the names that their sources give them: absolute paths. What is
        in them is as much a part of what a pass is as what is in the inputs. See
        `etendue.dataflow.companions`.
    """

    paths: tuple[str, ...]
    pipeline: Pipeline = field(default_factory=Pipeline)
    on_error: OnError = "raise"
    partition_bytes: int = PARTITION_BYTES
    workers: int | None = None
    memory_limit: int | None = None
    companions: Mapping[str, str] = field(default_factory=dict)

    def __or__(self, other: Stage | type[Stage] | Pipeline) -> Flow:
        return self._with(self.pipeline | other)

    def columns(self, *references: str) -> Flow:
        """The same flow, of which only some columns are written or computed.

        Parameters
        ----------
        *references : str
            ``events/*``, ``@camera/image``; ``*`` for all, raw and calibrated samples too.
        """
        return self._with(self.pipeline.model_copy(update={"write": references}))

    def keyed(self) -> Flow:
        """The same flow, which keeps with named columns also those that name their rows, as exports do."""
        return (
            self if self.pipeline.write is None else self._with(self.pipeline.with_keys(self.inputs.schema))
        )

    def _with(self, pipeline: Pipeline) -> Flow:
        flow = replace(self, pipeline=pipeline.beside(self.companions))
        if "inputs" in self.__dict__:  # scanned once is enough
            flow.__dict__["inputs"] = self.inputs
        return flow

    @cached_property
    def inputs(self) -> Inputs:
        """The inputs, scanned: tables and row counts."""
        return scan_inputs(self.paths, self.on_error, companions=self.companions)

    @property
    def schema(self) -> Schema:
        """All tables and columns that there are at the end of the pipeline."""
        return self.pipeline.check(self.inputs.schema).schema

    def plan(self, *, also_read: Iterable[str] = (), write: bool = True) -> Plan:
        """What a run would do; raises `PlanError` if it does not fit in memory."""
        self.pipeline.check_variables()
        return self._plan(self.inputs, also_read, write)

    def _plan(self, inputs: Inputs, also_read: Iterable[str], write: bool) -> Plan:
        return make_plan(
            inputs,
            self.pipeline,
            also_read=also_read,
            write=write,
            partition_bytes=self.partition_bytes,
            workers=self.workers,
            memory_limit=self.memory_limit,
            on_error=self.on_error,
        )

    def _run[T](
        self,
        execute: Callable[[Plan], T],
        where: Mapping[str, Any],
        *,
        also_read: Iterable[str] = (),
        write: bool = True,
    ) -> T:
        """Plan and execute; streams that were not scanned yet are read without that, if it works."""
        self.pipeline.check_variables()
        with compiled_beside(self, where):
            return self._run_now(execute, also_read, write)

    def _run_now[T](self, execute: Callable[[Plan], T], also_read: Iterable[str], write: bool) -> T:
        if self.on_error == "raise" and "inputs" not in self.__dict__:
            inputs = scan_inputs(self.paths, look=True, companions=self.companions)
            if inputs.counted:
                self.__dict__["inputs"] = inputs
            try:
                return execute(self._plan(inputs, also_read, write))
            except UnforeseenError as error:
                log.warning("%s; all is scanned, and begun anew", error)
        return execute(self._plan(self.inputs, also_read, write))

    def write(
        self,
        store: str | Path,
        tag: str,
        *,
        histograms: Mapping[str, Any] | None = None,
        client: Client | None = None,
        executor: Executor | None = None,
        fresh: bool = False,
        retry_failed: bool = False,
        repair: bool = False,
        take_over: bool = False,
        quiet: bool | None = None,
    ) -> Summary:
        """Write a pass: run the pipeline over all inputs and publish the result at once.

        A pass that was interrupted goes on where it was, if the pipeline, the versions and the inputs are the
        same. To a published pass, inputs that it does not have are added as its next revision.

        Parameters
        ----------
        store : path
            Store to write into; made if it is not there.
        tag : str
            Name of the pass.
        histograms : mapping of str to Request, optional
            Histograms to fill in the same sweep.
        client : distributed.Client, optional
            Dask cluster to run on; by default threads in this process.
        executor : concurrent.futures.Executor, optional
            Pool to run on instead.
        fresh : bool
            Whether to drop what an interrupted run of this name has done, and to begin anew.
        retry_failed : bool
            Whether to read again the inputs in the table ``failures`` of the pass.
        repair : bool
            Whether to verify the pass first and, if it is damaged, to make what is damaged anew.
        take_over : bool
            Whether to take the store from another process that is writing into it, which then stops.
        quiet : bool, optional
            Whether to show no progress; by default if standard error is not a terminal.

        Returns
        -------
        Summary

        Raises
        ------
        SourceError
            If an input is broken and ``on_error`` is ``raise``, or is not what it was when the pass was made.
            Nothing is published then.
        PassExistsError
            If the store has a pass of this name that was made otherwise; says what differs.
        StoreLockedError
            If another process is writing into the store.
        """
        from etendue.dataflow.passes import Options, write_pass

        self.pipeline.check_variables()
        where = {"client": client, "executor": executor}
        options = Options(dict(histograms or {}), fresh, retry_failed, repair, quiet, where, take_over)
        return write_pass(self, str(store), tag, options)

    def collect(
        self, *, client: Client | None = None, executor: Executor | None = None, needed: str | None = None
    ) -> tuple[Plan, dict[str, Columns]]:
        """Run the pipeline and bring the written columns into memory, with the static tables.

        Parameters
        ----------
        client, executor
            As for `write`.
        needed : str, optional
            A table without which there is no use in running.

        Raises
        ------
        SchemaError
            If there is no such table, or nothing of it is written.
        """

        def execute(plan: Plan) -> tuple[Plan, dict[str, Columns]]:
            if needed is not None:
                plan.pipeline.written_schema.table(needed)
            with progress(plan) as advance:
                outcome = run(plan, collect=True, client=client, executor=executor, progress=advance)
            return plan, _joined(plan, outcome)

        return self._run(execute, {"client": client, "executor": executor})

    def compute(self, **where: Any) -> xarray.DataTree:
        """Run the pipeline and return the result in memory.

        Parameters
        ----------
        **where
            ``client`` or ``executor``, as for `write`.
        """
        from etendue.dataflow.doors import to_xarray

        plan, tables = self.collect(**where)
        return to_xarray(plan.pipeline.schema, tables)

    def preview(self, n: int = 10, **where: Any) -> xarray.DataTree:
        """Run the pipeline on as much of the inputs as gives the first rows that survive it.

        Parameters
        ----------
        n : int
            Rows of the top table (events), with all that they own.
        **where
            ``client`` or ``executor``, as for `write`.
        """
        from etendue.dataflow.doors import concatenate, first_rows, to_xarray

        plan = self.plan()
        schema, top = plan.pipeline.written_schema, self.inputs.schema.top.name
        parts: list[dict[str, Columns]] = []
        for head in plan.heads(n):
            found = run(head, collect=True, **where).tables
            parts += [found[number] for number in sorted(found)]
            if sum(len(next(iter(part[top].values()))) for part in parts if part.get(top)) >= n:
                break
        rows = first_rows(schema, concatenate(schema, parts), n)
        return to_xarray(plan.pipeline.schema, {**rows, **plan.static})

    def to_pandas(self, table: str, **where: Any) -> pandas.DataFrame:
        """Run the pipeline and return the one-dimensional columns of one table; units are in ``attrs``.

        Rows that belong to others have the key of the row of the top table that they belong to as well.
        """
        from etendue.dataflow.doors import to_pandas

        return to_pandas(*self._table(table, where))

    def to_astropy(self, table: str, **where: Any) -> QTable:
        """Run the pipeline and return one table as astropy's, with units and descriptions."""
        from etendue.dataflow.doors import to_astropy

        return to_astropy(*self._table(table, where))

    def to_awkward(self, table: str, **where: Any) -> awkward.Array:
        """Run the pipeline and return one table as records, one list an event for child tables."""
        from etendue.dataflow.doors import to_awkward

        plan, tables = self.keyed().collect(**where, needed=table)
        return to_awkward(plan.pipeline.schema, tables, table)

    def _table(self, name: str, where: Mapping[str, Any]) -> tuple[Table, Columns]:
        from etendue.dataflow.owned import with_key

        plan, tables = self.keyed().collect(**where, needed=name)
        return with_key(plan.pipeline.schema, tables, name)

    def to_hdf5(
        self, path: str | Path, *, identity: Sequence[str] | None = None, **where: Any
    ) -> dict[str, int]:
        """Run the pipeline, partition by partition, into an HDF5 file for h5py and pandas.

        Parameters
        ----------
        path : path
            File to write; see `etendue.dataflow.hdf5` for how it is laid out.
        identity : sequence of str, optional
            Columns of the top table that every row repeats; by default its key.
        **where
            ``client`` or ``executor``, as for `write`.

        Returns
        -------
        dict of str to int
            Rows written, by table.
        """
        from etendue.dataflow.export import to_hdf5

        return to_hdf5(self.keyed().plan(), path, identity=identity, **where)

    def to_zarr(
        self, path: str | Path, *, chunk_rows: int | None = None, consolidated: bool = True, **where: Any
    ) -> dict[str, int]:
        """Run the pipeline into plain Zarr with regular chunks, which xarray opens by itself.

        Parameters
        ----------
        path : path
            Directory to write.
        chunk_rows : int, optional
            Rows of a chunk; by default as many as make some megabytes.
        consolidated : bool
            Whether to write consolidated metadata.
        **where
            ``client`` or ``executor``, as for `write`.

        Returns
        -------
        dict of str to int
            Rows written, by table.
        """
        from etendue.dataflow.export import to_zarr

        options = {"chunk_rows": chunk_rows, "consolidated": consolidated}
        return to_zarr(self.keyed().plan(), path, **options, **where)

    def to_parquet(
        self, path: str | Path, *, identity: Sequence[str] | None = None, **where: Any
    ) -> dict[str, int]:
        """Run the pipeline into a directory with a Parquet file for each table.

        Parameters
        ----------
        path : path
            Directory to write; see `etendue.dataflow.parquet` for how rows are joined to events.
        identity : sequence of str, optional
            As of `to_hdf5`.
        **where
            ``client`` or ``executor``, as for `write`.

        Returns
        -------
        dict of str to int
            Rows written, by table.
        """
        from etendue.dataflow.export import to_parquet

        return to_parquet(self.keyed().plan(), path, identity=identity, **where)

    def histogram(
        self,
        *axes: Any,
        weight: str | None = None,
        where: str | None = None,
        client: Client | None = None,
        executor: Executor | None = None,
    ) -> hist.Hist:
        """Fill one histogram over all data.

        Parameters
        ----------
        *axes
            Axes of `etendue.axis`, each over a column ``table/column``.
        weight : str, optional
            Column of weights.
        where : str, optional
            Boolean column of the entries to fill; ``~`` before it for the others.
        client, executor
            As for `write`.
        """
        from etendue.histogram import Request

        request = Request(axes, weight=weight, where=where)
        return self.histograms({"": request}, client=client, executor=executor)[""]

    def histograms(
        self,
        requests: Mapping[str, Any],
        *,
        client: Client | None = None,
        executor: Executor | None = None,
    ) -> dict[str, hist.Hist]:
        """Fill several histograms in one sweep over the data; reads only what they need."""

        def execute(plan: Plan) -> dict[str, hist.Hist]:
            with progress(plan) as advance:
                outcome = run(
                    plan,
                    requests=tuple(requests.values()),
                    client=client,
                    executor=executor,
                    progress=advance,
                )
            return dict(zip(requests, outcome.histograms, strict=True))

        where = {"client": client, "executor": executor}
        return self._run(execute, where, also_read=_reads(requests.values()), write=False)

    def __repr__(self) -> str:
        chain = " | ".join(["open", *(stage.name for stage in self.pipeline.stages)])
        return f"<Flow {cut(chain, 80)} over {len(self.paths)} input(s)>"

    def _repr_html_(self) -> str:
        facts = {"inputs": f"{len(self.paths):,}: {some_of(self.paths, 3)}"}
        stages = [(stage.name, cut(str(stage.model_dump()), 80)) for stage in self.pipeline.stages]
        sections: list[Section] = [("stages", ("stage", "parameters"), stages)]
        if "inputs" in self.__dict__:  # scanned; to look at a flow must not cost more
            sections += self.schema.sections()
        return card(repr(self), facts, sections)


def _joined(plan: Plan, outcome: Outcome) -> dict[str, Columns]:
    from etendue.dataflow.doors import concatenate

    schema = plan.pipeline.written_schema
    rows = concatenate(schema, [outcome.tables[number] for number in sorted(outcome.tables)])
    return {**rows, **plan.static, **plan.settled_static(outcome)}


def _reads(requests: Iterable[Any]) -> list[str]:
    return [reference for request in requests for reference in request.reads]
