"""What made a pass: a first record in W3C PROV-JSON, and what is needed to repeat it.

The record names the input files with their sizes and checksums, the pipeline with its hash, the
versions of the packages that had a part in it, the machine, and when it ran.
"""

from __future__ import annotations

import hashlib
import platform
import socket
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etendue.dataflow.source import file_of

if TYPE_CHECKING:
    from etendue.dataflow.plan import Plan
    from etendue.dataflow.run import Outcome

_PACKAGES = ("etendue", "numpy", "numba", "zarr", "icechunk", "eventio", "dask", "hist")


def sha256(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal; empty if it is not a file."""
    if not Path(path).is_file():
        return ""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class Record:
    """Provenance of a run that has begun."""

    plan: Plan
    started: datetime

    @classmethod
    def begin(cls, plan: Plan) -> Record:
        """Note the time."""
        return cls(plan, datetime.now(UTC))

    def end(self, outcome: Outcome) -> dict[str, Any]:
        """The record of the run that has ended, as PROV-JSON.

        Parameters
        ----------
        outcome : Outcome
            What came of it.

        Returns
        -------
        dict
            Keys ``prefix``, ``entity``, ``activity``, ``agent``, ``used``, ``wasAssociatedWith``.
        """
        pipeline = self.plan.pipeline.pipeline
        inputs = {
            f"etendue:input/{n}": {
                "prov:location": scan.path,
                "etendue:source": scan.source,
                "etendue:size": scan.size,
                "etendue:sha256": outcome.sha256.get(n) or scan.sha256 or sha256(file_of(scan.path)),
                "etendue:snapshot": scan.snapshot,
            }
            for n, scan in enumerate(self.plan.inputs.scans)
        }
        activity = {
            "prov:startTime": self.started.isoformat(),
            "prov:endTime": datetime.now(UTC).isoformat(),
            "etendue:pipeline": pipeline.config(),
            "etendue:pipeline_name": pipeline.name,
            "etendue:config_hash": pipeline.config_hash,
            "etendue:command": sys.argv,
            "etendue:host": socket.gethostname(),
            "etendue:platform": platform.platform(),
            "etendue:cpu_seconds": outcome.seconds,
            "etendue:rows": {name: int(rows.sum()) for name, rows in outcome.rows.items()},
            "etendue:failures": [str(failure) for failure in outcome.failures],
            "etendue:events_lost": outcome.events_lost,
        }
        return {
            "prefix": {"etendue": "https://pypi.org/project/etendue/", "prov": "http://www.w3.org/ns/prov#"},
            "entity": inputs,
            "activity": {"etendue:run": activity},
            "agent": {
                "etendue:software": {"prov:type": "prov:SoftwareAgent", "etendue:versions": versions()}
            },
            "used": {
                f"_:u{n}": {"prov:activity": "etendue:run", "prov:entity": name}
                for n, name in enumerate(inputs)
            },
            "wasAssociatedWith": {"_:a0": {"prov:activity": "etendue:run", "prov:agent": "etendue:software"}},
        }
