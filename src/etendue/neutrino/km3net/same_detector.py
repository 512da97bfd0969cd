"""Whether a detector file is that of the detector that took the data, by their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from etendue.dataflow.partition import Partition
from etendue.dataflow.source import SourceError
from etendue.neutrino.detector import read_detector
from etendue.schema import Columns

#: Columns that say which detector an event or a time slice is of.
DETECTOR_NUMBERS = ("events/det_id", "timeslices/det_id")


def check_inputs(path: str, static: Mapping[str, Columns]) -> None:
    """See that a detector file is of the detector that the inputs name in ``/observation``.

    Raises
    ------
    SourceError
        If it is not.
    """
    _check(path, [static.get("observation", {}).get("det_id", ())])


def check_rows(path: str, partition: Partition) -> None:
    """The same for each event or time slice of a partition: files of several detectors may be joined."""
    _check(path, [partition[name] for name in DETECTOR_NUMBERS if name in partition])


def _check(path: str, numbers: Iterable[np.ndarray]) -> None:
    """Numbers below 1 are none: simulations write 0 or less, and tables of modules have none."""
    own = read_detector(path).det_id
    for found in numbers:
        other = next((int(n) for n in np.unique(found) if n > 0 and n != own), None)
        if other is not None and own != 0:
            raise SourceError(
                path,
                "detector number",
                f"the file is of detector {own}, the data are of detector {other}: times and positions "
                f"would be wrong; give the file of detector {other}, or other_detector=true to take this one",
            )
