"""Collecting garbage: chunk files and metadata that no pass and no working branch reaches."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import icechunk

from etendue.store.durable import sync
from etendue.store.lock import StoreLock, held
from etendue.store.paths import is_local, locate
from etendue.store.repository import open_repository
from etendue.store.tags import drop_unfinished, unfinished, working_branch

log = logging.getLogger(__name__)

#: Age from which on files are dropped of stores that have no lock, whose writers we cannot see: longer
#: than any span takes between writing its chunks and being committed.
REMOTE_AGE = timedelta(days=7)

#: Passes, with their revisions, of a store that is looked through in no time.
FEW = 16


@dataclass(frozen=True)
class Collected:
    """What was dropped, or would be.

    Parameters
    ----------
    n_bytes, chunks, metadata : int
        Bytes, chunk files, and files of metadata.
    abandoned : tuple of str
        Unfinished passes that were dropped.
    unfinished : tuple of str
        Unfinished passes that were kept.
    dry_run : bool
        Whether nothing was touched; the files of ``abandoned`` are not counted then.
    """

    n_bytes: int
    chunks: int
    metadata: int
    abandoned: tuple[str, ...]
    unfinished: tuple[str, ...]
    dry_run: bool


def collect_garbage(
    path: str,
    *,
    older_than: timedelta | None = None,
    abandoned: bool = False,
    dry_run: bool = False,
    take_over: bool = False,
) -> Collected:
    """Drop the files that no pass and no unfinished pass reaches.

    Published passes and all their revisions stay as they are.

    Parameters
    ----------
    path : str
        The store.
    older_than : timedelta, optional
        Age from which on files, and unfinished passes, are dropped. By default any age, since the lock
        tells that nobody writes; seven days for stores that are not local and have no lock.
    abandoned : bool
        Whether to drop unfinished passes, of which the last commit is old enough; by default they stay,
        to be taken up again.
    dry_run : bool
        Whether only to say what would be dropped.
    take_over : bool
        Whether to take the store from another process that is writing into it, which then stops.

    Raises
    ------
    FileNotFoundError
        If there is no store.
    StoreLockedError
        If another process is writing into the store.
    """
    base, _ = locate(str(path))
    repository = open_repository(base)
    if older_than is None:
        older_than = timedelta(0) if is_local(base) else REMOTE_AGE
    limit = datetime.now(UTC) - older_than
    with held(base, None, take_over=take_over) as lock:
        names = _unfinished(repository)
        dropped = [name for name in names if abandoned and _is_old(repository, base, name, limit, dry_run)]
        if not dry_run:
            for name in dropped:
                drop_unfinished(repository, name)
        sync(base)  # or a power failure could bring back what refers to files that are gone
        if lock:
            lock.check()
        found = repository.garbage_collect(limit, dry_run=dry_run)
        if lock:
            lock.release()
    return Collected(
        found.bytes_deleted,
        found.chunks_deleted,
        found.manifests_deleted
        + found.snapshots_deleted
        + found.attributes_deleted
        + found.transaction_logs_deleted,
        tuple(dropped),
        tuple(name for name in names if name not in dropped),
        dry_run,
    )


def forget_the_way(repository: icechunk.Repository, path: str, lock: StoreLock | None) -> None:
    """Drop what only unfinished passes needed, once one is published: the commits on the way to it.

    They go from its history, and on local stores their files go, too: in a store of more than a few passes
    when these are as many, so that it is not looked through each time. To be called under the store's lock.
    """
    try:
        repository.expire_snapshots(datetime.now(UTC))
        if lock and _n_left(repository, path) >= max(1, len(repository.list_tags()) - FEW):
            sync(path)
            lock.check()
            repository.garbage_collect(datetime.now(UTC))
    except (icechunk.IcechunkError, OSError) as error:  # the pass is there; `gc` drops them another time
        log.warning("%s keeps files that nothing needs: %s", path, str(error).partition("\n")[0])


def _n_left(repository: icechunk.Repository, path: str) -> int:
    """Snapshots but for the first, passes (``main`` shows one) and the last commits of unfinished ones."""
    needed = len(repository.list_tags()) + len(repository.list_branches())
    return sum(1 for _ in Path(path, "snapshots").iterdir()) - needed


def _unfinished(repository: icechunk.Repository) -> list[str]:
    prefix = working_branch("")
    return sorted(b.removeprefix(prefix) for b in repository.list_branches() if b.startswith(prefix))


def _is_old(repository: icechunk.Repository, path: str, name: str, limit: datetime, dry_run: bool) -> bool:
    """Whether the last commit of an unfinished pass is before a time.

    One that only lacks its tag is brought to its end instead, and was not unfinished.
    """
    if not dry_run and unfinished(path, name) is None:
        return False
    last = repository.lookup_snapshot(repository.lookup_branch(working_branch(name)))
    return last.written_at <= limit
