"""Selection of events and of telescopes: marks rows; only writing drops them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, field_validator

from etendue.dataflow.partition import SELECTED, Partition
from etendue.dataflow.stage import Stage
from etendue.iact.schema import CAMERA, EventType
from etendue.iact.telescopes import array_of, matching, telescope_rows
from etendue.schema import Columns, Schema


class SelectEventType(Stage):
    """Keep events of some types, and drop the others when the result is written."""

    reads: ClassVar = ("events/event_type",)
    marks: ClassVar = ("events",)

    types: tuple[str, ...] = Field(
        ("SUBARRAY",),
        min_length=1,
        description="types of events to keep: SUBARRAY (physics), FLATFIELD, SKY_PEDESTAL, ...",
    )

    @field_validator("types")
    @classmethod
    def _known(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        for name in types:
            if name not in EventType.__members__:
                raise ValueError(
                    f"there is no event type {name!r}; there are {', '.join(EventType.__members__)}"
                )
        return types

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        wanted = [EventType[name].value for name in self.types]
        return {f"events/{SELECTED}": np.isin(partition["events/event_type"], wanted)}


class KeepTelescopes(Stage):
    """Keep some telescopes only: readouts of the others, and events without any of them, are dropped.

    As ctapipe's ``allowed_tels``, but that patterns (``"LST*"``) do as well as numbers, and that the array's
    table stays whole. What reconstructs showers leaves dropped readouts out. An event that keeps one
    telescope is kept.

    Examples
    --------
    >>> KeepTelescopes(telescopes=(1, "MST_*")).telescopes
    (1, 'MST_*')
    """

    reads: ClassVar = ("@camera/tel_id", "events/run")
    marks: ClassVar = ("events", f"@{CAMERA}")

    telescopes: tuple[int | str, ...] = Field(
        min_length=1, description="numbers, or patterns of size class, type or camera: 1, 'LST*', 'tel 7'"
    )

    @field_validator("telescopes", mode="before")
    @classmethod
    def _several(cls, given: Any) -> Any:
        return (given,) if isinstance(given, (int, str)) else given

    def check(self, schema: Schema, static: Mapping[str, Columns]) -> None:
        """See that there are the telescopes."""
        matching(self.telescopes, array_of(static))

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        array, run = array_of(partition.conditions), partition["events/run"]
        wanted = matching(self.telescopes, array)
        made = {f"events/{SELECTED}": np.zeros(len(run), dtype=bool)}
        for table in partition.schema.matching(f"@{CAMERA}"):
            if not partition.tables.get(table.name):
                continue
            owner = partition.owners(table.name)
            kept = wanted[telescope_rows(array, run[owner], partition[f"{table.name}/tel_id"])]
            made[f"{table.name}/{SELECTED}"] = kept
            made[f"events/{SELECTED}"][owner[kept]] = True
        return made
