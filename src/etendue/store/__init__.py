"""Zarr on Icechunk: chunks, passes, reading back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etendue.lazy import attach

if TYPE_CHECKING:
    from etendue.store.paths import StoreError
    from etendue.store.publish import PassWriter
    from etendue.store.reader import attributes, read_schema
    from etendue.store.source import StoreSource
    from etendue.store.tags import PassExistsError, PassInfo, passes, unfinished
    from etendue.store.tree import load
    from etendue.store.writer import ChunkWriter

#: Where each public name lives. Imported when first used: the source of this package is looked at for
#: every input, and must not cost an import of Zarr and Icechunk.
_HOMES = {
    "ChunkWriter": "writer",
    "PassExistsError": "tags",
    "PassInfo": "tags",
    "PassWriter": "publish",
    "StoreError": "paths",
    "StoreSource": "source",
    "attributes": "reader",
    "load": "tree",
    "passes": "tags",
    "read_schema": "reader",
    "unfinished": "tags",
}

__all__ = [
    "ChunkWriter",
    "PassExistsError",
    "PassInfo",
    "PassWriter",
    "StoreError",
    "StoreSource",
    "attributes",
    "load",
    "passes",
    "read_schema",
    "unfinished",
]

__getattr__, __dir__ = attach(__name__, _HOMES)
