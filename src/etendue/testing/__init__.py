"""What authors of sources and stages test with: a toy detector, and what every source and stage must hold.

The checks raise `AssertionError` with what was found, and where. They are what this package tests its own
sources and stages with.

Examples
--------
>>> from etendue import testing
>>> from pathlib import Path
>>> from tempfile import TemporaryDirectory
>>> with TemporaryDirectory() as folder:
...     path = testing.write_toy(Path(folder) / "a.toy", n_events=20, seed=1)
...     testing.check_source(testing.ToySource(), path, Path(folder))
"""

from __future__ import annotations

from etendue.testing.passes import check_pass
from etendue.testing.registered import registered
from etendue.testing.sources import (
    check_accepts,
    check_columns,
    check_cuts,
    check_damage,
    check_scan,
    check_source,
    check_stream,
)
from etendue.testing.stages import check_stage
from etendue.testing.toy import ToySource, Weigh, write_toy

__all__ = [
    "ToySource",
    "Weigh",
    "check_accepts",
    "check_columns",
    "check_cuts",
    "check_damage",
    "check_pass",
    "check_scan",
    "check_source",
    "check_stage",
    "check_stream",
    "registered",
    "write_toy",
]
