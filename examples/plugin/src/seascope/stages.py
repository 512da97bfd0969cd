"""The loudest click of each event."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from etendue.extend import Partition, Stage, kernel


@kernel
def loudest(starts: np.ndarray, pressure: np.ndarray, quietest: float, out: np.ndarray) -> None:
    """Write the highest pressure of each event that is at least ``quietest``; NaN if there is none.

    Parameters
    ----------
    starts : int64 array
        First click of each event, and the end: shape (n_events + 1,).
    pressure : float32 array
        Pressure of each click in Pa.
    quietest : float
        In Pa.
    out : float32 array
        Filled: shape (n_events,).
    """
    for event in range(len(out)):
        out[event] = np.nan
        for click in range(starts[event], starts[event + 1]):
            if pressure[click] >= quietest and not out[event] >= pressure[click]:
                out[event] = pressure[click]


class Loudest(Stage):
    """Highest pressure of each event's clicks."""

    reads: ClassVar = ("clicks/pressure",)
    writes: ClassVar = {"events/loudest": ("event", "float32", "Pa", "highest pressure of a click")}

    quietest: float = Field(0.0, ge=0, description="pressure below which a click does not count, Pa")

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        """Call the kernel on all events of a partition."""
        out = np.empty(partition.rows("events"), np.float32)
        loudest(partition.offsets("clicks"), partition["clicks/pressure"], self.quietest, out)
        return {"events/loudest": out}
