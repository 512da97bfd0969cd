"""The one face for authors of sources and stages: whatever a package of their own needs of this one.

What is here stays where it is, and means what ``docs/extending.md`` says of it; other modules may move. Test
with `etendue.testing`.

Examples
--------
>>> from etendue.extend import Table, variables
>>> events = Table("events", "event", variables("event", number=("int64", "", "number")), key=("number",))
>>> events.identifying
['number']
"""

from __future__ import annotations

from etendue.dataflow.parameters import BroughtFile
from etendue.dataflow.partition import SELECTED, Failure, Partition
from etendue.dataflow.source import (
    RUN,
    Explaining,
    OnError,
    Scan,
    Source,
    SourceError,
    Stream,
    StreamSource,
    UnforeseenError,
    UnknownKindError,
)
from etendue.dataflow.stage import Stage, TableStage, stage
from etendue.errors import EtendueError
from etendue.kernel import kernel, offsets, owners
from etendue.provenance.lineage import Locating
from etendue.schema import Columns, Schema, SchemaError, Table, Variable, variables

__all__ = [
    "RUN",
    "SELECTED",
    "BroughtFile",
    "Columns",
    "EtendueError",
    "Explaining",
    "Failure",
    "Locating",
    "OnError",
    "Partition",
    "Scan",
    "Schema",
    "SchemaError",
    "Source",
    "SourceError",
    "Stage",
    "Stream",
    "StreamSource",
    "Table",
    "TableStage",
    "UnforeseenError",
    "UnknownKindError",
    "Variable",
    "kernel",
    "offsets",
    "owners",
    "stage",
    "variables",
]
