"""What a pass says of itself, made so that damage to it is noticed.

Icechunk keeps the metadata of groups and arrays in its snapshot files, and small chunks and the references to
others in its manifests. These are compressed, and have no checksums of their own: a changed byte can go
unnoticed there. So the root holds CRC-32 of the other metadata, of the arrays at the root, and of itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import icechunk
import numpy as np
from isal.isal_zlib import crc32

from etendue.schema import Schema
from etendue.store import layout
from etendue.store.fetch import get_each
from etendue.store.paths import StoreError
from etendue.store.places import kind_of

#: Attribute of the root: CRC-32 of the others, as JSON in their order.
SEAL = "etendue_crc32"


class DamageError(StoreError):
    """A pass, or a store, whose own description is damaged, so that nothing of it can be trusted."""

    def __init__(self, place: str, file: str, reason: object) -> None:
        super().__init__(place, file, reason)
        self.place, self.file, self.reason = place, file, str(reason).partition("\n")[0]

    def __str__(self) -> str:
        if kind_of(self.reason) == "unreadable":
            return (
                f"{self.place} cannot be read: {self.file}: {self.reason}; it may be sound: see to that first"
            )
        if self.file == "repo":
            mend = "bring that file back (the newest in overwritten/ is the state before)"
        else:
            mend = (
                "bring that file back, read an older revision (NAME+0, NAME+1, ...), or process the inputs "
                "into another store; one that is not finished is dropped with fresh=True (--fresh)"
            )
        return f"{self.place} is damaged: {self.file}: {self.reason}; {mend}"


def sealed(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a root with their checksum."""
    return {**attributes, SEAL: _checksum(attributes)}


def unsealed(document: bytes) -> dict[str, Any]:
    """The attributes of a root, from its ``zarr.json``.

    Raises
    ------
    ValueError
        If they are not what was written. Those of stores that have no checksum there are taken as they are.
    """
    try:
        attributes = json.loads(document)["attributes"]
        seal = attributes.pop(SEAL, None)
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        raise ValueError(f"the root is not that of a pass ({error!r})") from error
    if seal is not None and seal != (found := _checksum(attributes)):
        raise ValueError(f"the root is not what was written: CRC-32 {found:08x} instead of {seal}")
    return attributes


def _checksum(attributes: Mapping[str, Any]) -> int:
    return crc32(json.dumps(attributes).encode())


def metadata_checksums(store: icechunk.IcechunkStore, schema: Schema) -> dict[str, int | None]:
    """CRC-32 of the metadata of all groups and arrays but the root, by their paths; None where there is none.

    That of a column of many partitions is large, so one is held at a time.
    """
    return {path: _checksum_of(store, f"{path}/zarr.json") for path in _paths(schema)}


def _paths(schema: Schema) -> Iterator[str]:
    groups = (key.removesuffix("zarr.json").rstrip("/") for key in layout.group_keys(schema, {}))
    yield from filter(None, groups)
    for table in schema.values():
        yield from (array for array, _, _ in layout.columns_of(table))
    yield from layout.LEDGER


def _checksum_of(store: icechunk.IcechunkStore, key: str) -> int | None:
    (data,) = get_each(store, [key])
    return crc32(data) if isinstance(data, np.ndarray) else None
