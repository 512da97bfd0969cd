"""What made a pass: its record in W3C PROV, an RO-Crate of it, and where each event came from."""

from etendue.provenance.checksum import checksums, sha256
from etendue.provenance.crate import write_crate
from etendue.provenance.lineage import NoSuchEventError, Step, lineage
from etendue.provenance.reading import Activity, Input, activities, document, inputs
from etendue.provenance.record import Record
from etendue.provenance.software import packages

__all__ = [
    "Activity",
    "Input",
    "NoSuchEventError",
    "Record",
    "Step",
    "activities",
    "checksums",
    "document",
    "inputs",
    "lineage",
    "packages",
    "sha256",
    "write_crate",
]
