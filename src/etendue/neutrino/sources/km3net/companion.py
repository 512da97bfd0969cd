"""The description of the detector that took the data, in a file of its own beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from etendue.dataflow.source import Scan, SourceError
from etendue.neutrino.detector import read_detector
from etendue.provenance import sha256

#: Name of the companion.
DETECTOR = "detector"
#: What it is, for people.
ABOUT = "description of the detector that took the data (.detx, .datx)"


def with_detector(scan: Scan, companions: Mapping[str, str] | None) -> Scan:
    """A scan with the static tables of the companion ``detector``, if there is one.

    The tables are shared by all inputs that have the same file beside them: their names are labels.

    Raises
    ------
    SourceError
        If the file cannot be read, or is of another detector than the data.
    """
    if not companions:
        return scan
    path = companions[DETECTOR]
    detector = read_detector(path)
    numbers = np.unique(scan.static.get("observation", {}).get("det_id", ()))
    # Numbers below 1 are none: simulations write 0 or less, and tables of modules have none.
    other = next((int(n) for n in numbers if n > 0 and detector.det_id not in (0, n)), None)
    if other is not None:
        raise SourceError(
            path,
            "detector number",
            f"the file is of detector {detector.det_id}, and {scan.path} of detector {other}: times and "
            f"positions would be wrong; give the file of detector {other}",
        )
    tables = detector.brought
    mark = sha256(path)
    return replace(
        scan,
        schema=scan.schema.with_tables(table for table, _ in tables.values()),
        static={**scan.static, **{name: columns for name, (_, columns) in tables.items()}},
        labels={**scan.labels, **dict.fromkeys(tables, mark)},
    )
