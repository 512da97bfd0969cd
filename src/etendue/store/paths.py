"""How a store and its passes are named; light, so that looking at any input stays cheap."""

from __future__ import annotations

from pathlib import Path


class StoreError(ValueError):
    """A store that is not there, is not one, or lacks what was asked for; says what there is."""


def locate(path: str) -> tuple[str, str | None]:
    """Split ``crab.etendue@pass-1`` into the store and the pass; None without one."""
    path = str(path)
    base, at, tag = path.rpartition("@")
    if at and "/" not in tag and not Path(path).exists():
        return base, tag
    return path, None


def is_local(path: str) -> bool:
    """Whether a store is a directory."""
    return "://" not in path


def looks_like_store(path: str) -> bool:
    """Whether a directory is an Icechunk repository, without opening it."""
    return (Path(path) / "repo").is_file() and (Path(path) / "snapshots").is_dir()
