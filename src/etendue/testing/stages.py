"""What every stage must hold."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from etendue.dataflow.flow import Flow
from etendue.extend import Columns, Partition, Schema, Stage, Table, Variable
from etendue.testing.compare import assert_same

#: Bytes that a partition of many is cut to: one block each, whatever a block has.
SMALL = 1


def check_stage(stage: Stage, flow: Flow) -> None:
    """See that a stage is a pure function of one partition, and makes what it declares.

    - Called twice, it makes the same; what it is given is unchanged.
    - Of a partition without rows it makes columns without rows, of the declared dtypes and shapes.
    - However the input is cut into partitions, it makes the same rows.
    - It can be pickled, and says its parameters as plain values.

    Parameters
    ----------
    stage : Stage
        The stage, with its parameters.
    flow : Flow
        Inputs, with the stages that have to come before it.

    Raises
    ------
    AssertionError
        Says which of these it does not hold.
    """
    assert pickle.loads(pickle.dumps(stage)) == stage, f"{stage.name} is another after pickling"
    assert isinstance(stage.config(), dict), f"{stage.name} does not say its parameters"
    few = (flow | _Watched(inner=stage)).columns("*").collect()[1]
    many = replace(flow | stage, partition_bytes=SMALL).columns("*").collect()[1]
    assert_same(many, few, f"{stage.name}: one partition a block")


class _Watched(Stage):
    """A stage that sees, whenever it is called, that another is pure and knows what to do without rows."""

    inner: Any

    def requires(self, schema: Schema) -> list[str]:
        return self.inner.requires(schema)

    def provides(self, schema: Schema) -> dict[str, Variable]:
        return self.inner.provides(schema)

    def makes(self, schema: Schema) -> list[Table]:
        return self.inner.makes(schema)

    def brings(self) -> dict[str, tuple[Table, Columns]]:
        return self.inner.brings()

    def check(self, schema: Schema, static: Mapping[str, Columns]) -> None:
        self.inner.check(schema, static)

    @property
    def name(self) -> str:
        return self.inner.name

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        before = {
            table: {name: array.copy() for name, array in columns.items()}
            for table, columns in partition.tables.items()
        }
        made, again = self.inner(partition), self.inner(partition)
        assert_same(partition.tables, before, f"{self.name} changes what it is given")
        assert_same({"made": again}, {"made": made}, f"{self.name}, called twice")
        self._check_empty(partition, made)
        return made

    def _check_empty(self, partition: Partition, made: Mapping[str, np.ndarray]) -> None:
        """See what it makes of the same partition without rows."""
        tables = {
            table: {
                name: array[:0] if partition.schema[table].role == "rows" else array
                for name, array in columns.items()
            }
            for table, columns in partition.tables.items()
        }
        for name, array in self.inner(replace(partition, tables=tables)).items():
            expected = made[name][:0] if name in made else array[:0]
            assert array.shape == expected.shape, f"{self.name}: {name} has shape {array.shape} without rows"
            assert array.dtype == expected.dtype, f"{self.name}: {name} has dtype {array.dtype} without rows"
