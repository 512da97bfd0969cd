"""Sources without an entry point, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from etendue.dataflow import source as sources
from etendue.extend import Source


@dataclass(frozen=True)
class _Entry:
    """What stands for an entry point."""

    made: type[Source]
    value: str
    dist: Any = None

    def load(self) -> type[Source]:
        return self.made


@contextmanager
def registered(*kinds: type[Source]) -> Iterator[None]:
    """Have sources found in this process as if a package had registered them.

    Parameters
    ----------
    *kinds : type
        Classes of sources; each is found under its ``name``.
    """
    known = sources._registered()
    before = dict(known)
    known.update({kind.name: _Entry(kind, f"{kind.__module__}:{kind.__qualname__}") for kind in kinds})
    sources.get_source.cache_clear()
    try:
        yield
    finally:
        known.clear()
        known.update(before)
        sources.get_source.cache_clear()
