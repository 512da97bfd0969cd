"""Passes by name: tags of what is published, a working branch for what is not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import icechunk

from etendue.errors import EtendueError
from etendue.reprs import Legible, Section
from etendue.store.durable import sync
from etendue.store.journal import begun_with
from etendue.store.paths import StoreError, locate, revisions_of, split_tag, tag_of
from etendue.store.reader import PassReader, read_root
from etendue.store.repository import exists, open_repository
from etendue.store.seal import DamageError

log = logging.getLogger(__name__)


class PassExistsError(EtendueError, FileExistsError):
    """The store already holds a pass of that name that is another one; passes are never written over."""


@dataclass(frozen=True, repr=False)
class PassInfo(Legible):
    """A revision of a pass.

    Parameters
    ----------
    tag : str
        Its tag: the name of the pass and, but for the first revision, ``+`` and its number.
    snapshot : str
        Its snapshot in the repository.
    time : datetime
        When it was published, in UTC.
    message : str
        Message of the commit.
    attributes : dict
        What the run left: provenance, pipeline, labels.
    """

    tag: str
    snapshot: str
    time: datetime
    message: str
    attributes: dict[str, Any]

    def facts(self) -> dict[str, str]:
        """The pass in a few lines, for people."""
        return {
            "pass": self.tag,
            "when": f"{self.time:%Y-%m-%d %H:%M:%S} UTC",
            "snapshot": self.snapshot,
            "message": self.message,
        }

    @property
    def name(self) -> str:
        """Name of the pass."""
        return split_tag(self.tag)[0]

    @property
    def revision(self) -> int:
        """Number of the revision, from 0."""
        return split_tag(self.tag)[1] or 0


class Passes(Legible, list[PassInfo]):
    """The passes of a store with all their revisions, oldest first."""

    def facts(self) -> dict[str, str]:
        """The passes, a line each, the newest first, for people."""
        return {one.tag: f"{one.time:%Y-%m-%d %H:%M} UTC, {one.snapshot}" for one in reversed(self)}

    def sections(self) -> Iterator[Section]:
        """All of them."""
        yield f"{len(self)} revisions", ("pass", "when"), list(self.facts().items())


def passes(path: str) -> Passes:
    """The passes of a store with all their revisions, oldest first; a warning names those that are damaged.

    Raises
    ------
    FileNotFoundError
        If there is no store.
    """
    base, _ = locate(path)
    repository = open_repository(base)
    found = Passes()
    for tag in repository.list_tags():
        try:
            snapshot = repository.lookup_snapshot(repository.lookup_tag(tag))
            attributes, _ = read_root(repository.readonly_session(tag=tag).store, f"{base}@{tag}")
        except (DamageError, icechunk.IcechunkError) as error:
            log.warning("pass %s is left out: %s", tag, str(error).partition("\n")[0])
            continue
        found.append(PassInfo(tag, snapshot.id, snapshot.written_at, snapshot.message, attributes))
    found.sort(key=lambda entry: (entry.time, entry.name, entry.revision))
    return found


def unfinished(path: str | Path, name: str) -> dict[str, Any] | None:
    """The attributes that an unfinished pass, or revision, was begun with; None if there is none."""
    path = str(path)
    if not exists(path):
        return None
    repository = open_repository(path)
    if working_branch(name) not in repository.list_branches() or not _is_begun(repository, path, name):
        return None
    reader = working_reader(repository, path, name)
    return None if reader.facts["complete"] else reader.attributes


def settle(path: str, name: str) -> None:
    """Bring what was cut short at its very beginning or end to where it counts; under the store's lock.

    A working branch on which nothing was committed is dropped. A pass whose last commit was made, but which
    was not shown any more, is shown.
    """
    if not exists(path):
        return
    repository = open_repository(path)
    if working_branch(name) not in repository.list_branches():
        return
    if not _is_begun(repository, path, name):
        repository.delete_branch(working_branch(name))
    elif working_reader(repository, path, name).facts["complete"]:
        show(repository, path, name)


def _is_begun(repository: icechunk.Repository, path: str, name: str) -> bool:
    """Whether something of a pass was committed to its branch, which starts at another pass or at nothing."""
    tip = repository.lookup_branch(working_branch(name))
    published = {repository.lookup_tag(tag) for tag in repository.list_tags()}
    if tip in published or repository.lookup_snapshot(tip).parent_id is None:
        return False
    # What main shows has no tag yet if its publication was cut short just there.
    return working_reader(repository, path, name).facts["name"] == name


def published(path: str, name: str) -> PassReader | None:
    """The newest revision of a pass; None if there is none."""
    if not exists(path) or not revisions_of(open_repository(path).list_tags(), name):
        return None
    return PassReader.open(path, name)


def check_name(name: str) -> None:
    """Refuse names that could not be told from other things.

    Raises
    ------
    StoreError
        If the name is empty, has a character that paths of passes give a meaning, or cannot be told from
        another when it is printed.
    """
    if not name or name != name.strip() or not name.isprintable() or set(name) & set("@/+"):
        raise StoreError(
            f"a pass cannot be named {name!r}: give it a name without @, / and +, line breaks, and blanks at "
            "its ends"
        )


def working_branch(name: str) -> str:
    """The branch that a pass is written on."""
    return f"wip/{name}"


def working_reader(repository: icechunk.Repository, path: str, name: str) -> PassReader:
    """A reader of an unfinished pass, as it was committed last."""
    session = repository.readonly_session(branch=working_branch(name))
    reader = PassReader.of_store(str(path), session.snapshot_id, None, session.store)
    if reader.facts["complete"]:
        return reader
    begun = begun_with(session.store, f"{path}@{session.snapshot_id}")
    return replace(reader, attributes={**reader.attributes, **begun})


def refuse_known(repository: icechunk.Repository, path: str, name: str) -> None:
    """Refuse the name of a pass that is there, or was.

    Raises
    ------
    PassExistsError
        If there is one.
    """
    tags = repository.list_tags()
    if revisions_of(tags, name):
        raise PassExistsError(
            f"{path} already has a pass {name!r}, and passes are not written over; choose another name "
            f"(there are {', '.join(sorted(tags))})"
        )
    if revisions_of(repository.inspect_repo_info()["deleted_tags"], name):
        raise PassExistsError(f"{path} had a pass {name!r} that was deleted; its name is not used again")


def branch_off(repository: icechunk.Repository, name: str, snapshot: str) -> None:
    """Begin the working branch of a pass; one that is there is dropped."""
    drop_unfinished(repository, name)
    repository.create_branch(working_branch(name), snapshot)


def drop_unfinished(repository: icechunk.Repository, name: str) -> None:
    """Delete the working branch of a pass, if there is one."""
    if working_branch(name) in repository.list_branches():
        repository.delete_branch(working_branch(name))


def discard(path: str, name: str) -> None:
    """Drop the unfinished pass of a name, if there is one."""
    if unfinished(path, name) is not None:
        drop_unfinished(open_repository(path), name)


def show(repository: icechunk.Repository, path: str, name: str) -> str:
    """Publish what was committed last to a working branch: set ``main`` to it, tag it, delete the branch.

    It can be cut short anywhere: until there is the tag, it is done again, and then only the branch is left.
    Returns the tag, which then outlives a power failure.
    """
    snapshot = repository.lookup_branch(working_branch(name))
    tag = tag_of(name, len(revisions_of(repository.list_tags(), name)))
    repository.reset_branch("main", snapshot)
    repository.create_tag(tag, snapshot_id=snapshot)
    repository.delete_branch(working_branch(name))
    sync(path)
    return tag
