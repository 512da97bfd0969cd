"""Icechunk repositories: how they are opened, and setting keys in them."""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from stat import S_IRWXG, S_ISGID, S_IWGRP

import icechunk
import numpy as np
from zarr.core.buffer import default_buffer_prototype

from etendue.store import durable
from etendue.store.ending import await_answers
from etendue.store.forked import answer, refuse_forked
from etendue.store.paths import StoreError, is_local
from etendue.store.places import unwritable

atexit.register(await_answers)
if "ICECHUNK_LOG" not in os.environ:
    # It warns at each opening that local commits need a lock, which `StoreLock` is.
    icechunk.set_logs_filter("error")

#: Chunk references a manifest file, so that a commit rewrites a part of them and not all. A commit costs
#: 0.7 µs for each reference in the files that it rewrites, and 5 µs for each file that there is: this is
#: the best for passes of some 10^5 partitions.
_MANIFEST_CHUNKS = 2_000
#: What is kept in memory of what was read and committed: chunk references (50 bytes and what is inlined), and
#: nodes of snapshots. It should hold what 250 columns need; by default Icechunk keeps 15 million of them,
#: which a pass of 60 columns fills with what its first 100 commits have left.
_CACHED_CHUNKS, _CACHED_NODES = 500_000, 5_000


#: The folders of a store, which Icechunk makes when it first writes into them.
_FOLDERS = ("chunks", "manifests", "overwritten", "snapshots", "transactions")


def open_repository(path: str) -> icechunk.Repository:
    """Open the repository at a path or URL.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    try:
        return _whole(path, lambda: icechunk.Repository.open(_storage(path), config=_config()))
    except icechunk.RepositoryNotFoundError:
        raise FileNotFoundError(
            f"there is no store at {path}; give the path that a pass was written into"
        ) from None


def create_repository(path: str) -> icechunk.Repository:
    """Open the repository at a path or URL, or make it.

    Raises
    ------
    StoreError
        If something else is at the path.
    """
    if not exists(path):
        if not is_local(path):
            return icechunk.Repository.create(_storage(path), config=_config())
        _create_beside(Path(path).resolve())
    return open_repository(path)


def _create_beside(path: Path) -> None:
    """Make a repository in a directory beside its place, so that it is there in one step, whole."""
    new = path.with_name(f"{path.name}.new")
    shutil.rmtree(new, ignore_errors=True)  # of a run that was cut short
    with unwritable(path, new):
        new.mkdir()
    icechunk.Repository.create(_storage(str(new)), config=_config())
    _open_to_group(new)
    durable.sync(str(new))
    try:
        new.rename(path)
    except OSError as error:
        shutil.rmtree(new)
        raise StoreError(
            f"no store can be made at {path} ({error.strerror}): give a path at which nothing is, or an "
            "empty directory"
        ) from None


def _open_to_group(new: Path) -> None:
    """Let the group of a shared folder write into a new store, whatever the umask: files never change.

    A folder is shared if its group may write into it and what is made in it is of the same group (setgid).
    """
    mode = new.parent.stat().st_mode
    if mode & S_ISGID and mode & S_IWGRP:
        for folder in (new, *(new / name for name in _FOLDERS)):
            folder.mkdir(exist_ok=True)
            folder.chmod(folder.stat().st_mode | mode & (S_ISGID | S_IRWXG))


def _config() -> icechunk.RepositoryConfig:
    """How repositories are laid down and opened.

    No manifests are read before they are needed: Icechunk would begin to with each session, which cost
    17 ms of CPU time where opening one costs 1.4.
    """
    axis = icechunk.ManifestSplitDimCondition.Axis(0)
    splitting = {icechunk.ManifestSplitCondition.AnyArray(): {axis: _MANIFEST_CHUNKS}}
    config = icechunk.RepositoryConfig.default()
    config.caching = icechunk.CachingConfig(num_chunk_refs=_CACHED_CHUNKS, num_snapshot_nodes=_CACHED_NODES)
    config.manifest = icechunk.ManifestConfig(
        preload=icechunk.ManifestPreloadConfig(max_total_refs=0),
        splitting=icechunk.ManifestSplittingConfig.from_dict(splitting),
    )
    return config


def exists(path: str) -> bool:
    """Whether there is a repository at a path or URL."""
    return _whole(path, lambda: icechunk.Repository.exists(_storage(path)))


def _whole[Answer](path: str, ask: Callable[[], Answer]) -> Answer:
    """Ask something of a repository, and again once it is mended if a power failure has torn it."""
    refuse_forked()
    try:
        return ask()
    except (icechunk.FormatError, icechunk.StorageError):
        if not is_local(path):
            raise
        with suppress(OSError):  # it cannot be written here; then what is asked tells what is wrong
            durable.mend(path)
        return ask()


def set_keys(store: icechunk.IcechunkStore, values: Mapping[str, bytes]) -> None:
    """Set keys of a store, all at the same time."""
    buffer = default_buffer_prototype().buffer

    async def set_all() -> None:
        await asyncio.gather(*(store.set(key, buffer.from_bytes(value)) for key, value in values.items()))

    answer(set_all)


def delete_keys(store: icechunk.IcechunkStore, keys: Iterable[str]) -> None:
    """Delete keys of a store, all at the same time; those that are not there are passed over."""

    async def delete_all() -> None:
        await asyncio.gather(*map(store.delete, keys))

    answer(delete_all)


def delete_group(store: icechunk.IcechunkStore, path: str) -> None:
    """Delete an array or a group with all that is in it."""
    answer(lambda: store.delete_dir(path))


def chunk_numbers(store: icechunk.IcechunkStore, arrays: Iterable[str]) -> dict[str, np.ndarray]:
    """Positions along the rows at which arrays have chunks, sorted; all arrays at the same time."""

    async def list_one(array: str) -> np.ndarray:
        batches = [batch[0][:, 0] async for batch in store.array_chunk_iterator(array)]
        return np.sort(np.concatenate([np.empty(0, np.uint32), *batches])).astype(np.int64)

    async def list_all() -> dict[str, np.ndarray]:
        names = list(arrays)
        return dict(zip(names, await asyncio.gather(*map(list_one, names)), strict=True))

    return answer(list_all)


def _storage(path: str) -> icechunk.Storage:
    if is_local(path):
        if Path(path).is_file():
            raise StoreError(f"{path} is a file, and stores are directories; give another path")
        return icechunk.local_filesystem_storage(str(Path(path).absolute()))
    scheme, _, rest = path.partition("://")
    if scheme == "memory":
        return _in_memory(rest)
    if scheme == "s3":
        bucket, _, prefix = rest.partition("/")
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        return icechunk.s3_storage(
            bucket=bucket,
            prefix=prefix.rstrip("/") or None,
            from_env=True,
            endpoint_url=endpoint,
            allow_http=endpoint is not None and endpoint.startswith("http://"),
            force_path_style=endpoint is not None,  # servers of one's own have no name for each bucket
        )
    raise StoreError(f"{path}: stores are directories, s3://bucket/prefix, or memory://name")


@cache
def _in_memory(name: str) -> icechunk.Storage:
    """Storage that lives as long as this process, one a name."""
    return icechunk.in_memory_storage()
