"""How a store and its passes are named; light, so that looking at any input stays cheap."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from etendue.errors import EtendueError


class StoreError(EtendueError, ValueError):
    """A store that is not there, is not one, or lacks what was asked for; says what there is."""


def locate(path: str) -> tuple[str, str | None]:
    """Split ``crab.etendue@pass-1`` into the store and the pass; None without one."""
    path = str(path)
    base, at, tag = path.rpartition("@")
    if at and "/" not in tag and not Path(path).exists():
        return base, tag
    return path, None


def split_tag(tag: str) -> tuple[str, int | None]:
    """Name of a pass and number of a revision of ``2026.1+2``; None if the tag does not say which."""
    name, plus, revision = tag.rpartition("+")
    return (name, int(revision)) if plus and revision.isdecimal() else (tag, None)


def tag_of(name: str, revision: int) -> str:
    """The tag that a revision of a pass is published under."""
    return f"{name}+{revision}" if revision else name


def revisions_of(tags: Iterable[str], name: str) -> list[str]:
    """The tags of all revisions of a pass, oldest first."""
    found = {revision or 0: tag for tag in tags for base, revision in [split_tag(tag)] if base == name}
    return [found[revision] for revision in sorted(found)]


def is_local(path: str) -> bool:
    """Whether a store is a directory."""
    return "://" not in path


def looks_like_store(path: str) -> bool:
    """Whether a directory is an Icechunk repository, without opening it."""
    return (Path(path) / "repo").is_file() and (Path(path) / "snapshots").is_dir()
