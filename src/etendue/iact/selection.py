"""Selection of events: marks rows; only writing drops them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field, field_validator

from etendue.dataflow.partition import SELECTED, Partition
from etendue.dataflow.stage import Stage
from etendue.iact.schema import EventType


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
