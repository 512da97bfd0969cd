"""Processing files as they arrive, for near-real-time use."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from etendue.dataflow.arrivals import PATIENCE, Arrivals, Stamp
from etendue.dataflow.flow import Flow
from etendue.dataflow.pipeline import Pipeline
from etendue.dataflow.plan import PlanError
from etendue.dataflow.source import OnError, SourceError, file_stat
from etendue.dataflow.summary import Summary
from etendue.store.lock import StoreLockedError, held

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)

#: Seconds within which a request to stop is noticed.
NAP = 0.2
#: What files do to a run that are broken in an unforeseen way, or do not fit the pass. Other errors, as of
#: disks, clusters and other commands under the name of the pass, end the watch.
_BAD_DATA = (ValueError, LookupError, TypeError, ArithmeticError)


@dataclass(frozen=True)
class Batch:
    """Files that were processed together: one revision of the pass.

    Parameters
    ----------
    paths : tuple of str
        The files.
    summary : Summary
        What came of them.
    time : datetime
        When they were published, in UTC.
    seconds : float
        How long that took.
    latency : float
        Seconds from the last change of a file until it was published; of the file that waited longest.
    """

    paths: tuple[str, ...]
    summary: Summary
    time: datetime
    seconds: float
    latency: float

    @property
    def n_events(self) -> int:
        """Events read."""
        top = self.summary.plan.pipeline.schema.top.name
        return int(self.summary.outcome.rows_read[top].sum())

    def __str__(self) -> str:
        n_files, n_failures = len(self.paths), len(self.summary.outcome.failures)
        failures = f", {n_failures} failure{'s' * (n_failures != 1)}" if n_failures else ""
        return (
            f"{self.time:%Y-%m-%dT%H:%M:%SZ} {self.summary.tag}: {n_files} file{'s' * (n_files != 1)}, "
            f"{self.n_events:,} events in {self.seconds:.1f} s, latency {self.latency:.1f} s{failures}"
        )


def watch(
    pipeline: Pipeline,
    directory: str | Path,
    store: str | Path,
    tag: str,
    *,
    pattern: str = "*",
    every: float = 5.0,
    settle: float = 10.0,
    once: bool = False,
    until_idle: float | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_error: OnError = "skip",
    client: Client | None = None,
    **options: Any,
) -> Iterator[Batch]:
    """Process the files of a directory as they appear, and add them to a pass.

    All files that are ready are one batch, and each batch is a revision of the pass. May be killed at any
    time: the next call finishes the batch that was in work, leaves out the files that the pass has, and
    goes on. While another process writes into the store, files wait.

    The directory is polled, as kernels do not notify of what other hosts write to network file systems; see
    `etendue.dataflow.arrivals`.

    Parameters
    ----------
    pipeline : Pipeline
        What the files go through.
    directory : path
        Where they appear; also in directories below. Hidden files and stores are left out.
    store : path
        Store to write into; made if it is not there.
    tag : str
        Name of the pass.
    pattern : str
        Of the names of files; or, with a slash, of their paths in the directory.
    every : float
        Seconds from one look at the directory to the next.
    settle : float
        Seconds without a change of size and time after which a file counts as whole.
    once : bool
        Whether to end after what is there now.
    until_idle : float, optional
        Seconds without a new file after which to end; by default, never.
    stop : callable
        Whether to end after the batch in work; asked several times a second.
    on_error : {"raise", "skip"}
        What to do about broken files: end, or enter them in the table ``failures`` of the pass and go on.
    client : distributed.Client, optional
        Dask cluster to run on; by default threads in this process.
    **options
        ``partition_bytes``, ``workers``, ``memory_limit``, ``companions``: see `Flow`.

    Yields
    ------
    Batch
        As soon as it is published.

    Raises
    ------
    SourceError
        If there is no such directory, or a file is broken and ``on_error`` is ``raise``.
    PlanError
        At the end, if files could not be read and there is no pass in which to say so.
    PassExistsError
        If the pass was made by another pipeline, or other versions.
    StoreLockedError
        If another process writes into the store and ``once`` is set.
    """
    if not os.path.isdir(directory):
        raise SourceError(directory, "directory", "there is no such directory")
    target = _Target(pipeline, str(store), tag, on_error, client, options)
    own, patience = os.path.realpath(store), 0 if once else PATIENCE
    arrivals = Arrivals(
        str(directory),
        pattern=pattern,
        settle=settle,
        leave_out=(own, f"{own}.lock"),
        patience=patience,
    )
    resumed, told, last, ends = False, "", monotonic(), False
    for look in count():
        now = monotonic()
        try:
            if not resumed:
                yield from target.resume()
                resumed, arrivals.known = True, target.known()
                now = monotonic()
            ready = {} if stop() else arrivals.ready(now)
            if ready.keys() - target.deferred.keys():
                yield from target.process(ready)
                arrivals.take(ready.keys() - target.deferred.keys())
                last, ends, arrivals.patience = monotonic(), False, patience
        except StoreLockedError as error:
            if once:
                raise
            resumed = False  # who holds the store may leave a batch of this pass unfinished
            if told != str(error):
                told = str(error)
                log.warning("%s; files wait until then", told)
        idle = now - max(last, arrivals.last_change)  # the time that a look takes is no idleness
        if ends or (once and look > 0):
            target.refuse_deferred()
            return
        if until_idle is not None and idle >= max(until_idle, settle):
            ends, arrivals.patience = True, 0  # after a last look, which takes up what has been waited for
        elif not _pause(settle if once else every, stop):
            return


def _pause(seconds: float, stop: Callable[[], bool]) -> bool:
    """Wait, unless asked to stop; returns whether to go on."""
    until = monotonic() + seconds
    while not stop() and (left := until - monotonic()) > 0:
        sleep(min(left, NAP))
    return not stop()


@dataclass(frozen=True)
class _Target:
    """The pass that files are added to; those that are ``deferred``, with why, wait for others."""

    pipeline: Pipeline
    store: str
    tag: str
    on_error: OnError
    client: Client | None
    options: Mapping[str, Any]
    deferred: dict[str, str] = field(default_factory=dict)

    def known(self) -> dict[str, Stamp | None]:
        """The files that the pass has, with size and time in nanoseconds, or could not read."""
        from etendue.store.ledger import read_failures
        from etendue.store.tags import published

        reader = published(self.store, self.tag)
        if reader is None:
            return {}
        stamps = _stamps(reader.attributes)
        unreadable = {failure.path for failure in read_failures(reader)} - stamps.keys()
        if unreadable:
            log.warning(
                "pass %s: %d file(s) could not be read and are left out; etendue run --retry-failed takes "
                "them up again",
                self.tag,
                len(unreadable),
            )
        return {**dict.fromkeys(unreadable), **stamps}

    def resume(self) -> Iterator[Batch]:
        """Finish the batch that was in work when it was interrupted."""
        with held(self.store, None) as lock:  # or it is in work now
            paths = self._interrupted()
            if lock:
                lock.release()
        if paths:
            log.warning("pass %s: %d file(s) were in work, and are finished first", self.tag, len(paths))
            yield from self.process(dict.fromkeys(paths, monotonic()))

    def _interrupted(self) -> list[str]:
        """The files of an unfinished batch. If one of them changed, or is gone, the batch is dropped."""
        from etendue.store import unfinished
        from etendue.store.tags import discard, published

        begun = unfinished(self.store, self.tag)
        if begun is None:
            return []
        earlier = published(self.store, self.tag)
        known = _stamps(earlier.attributes) if earlier else {}
        stamps = {path: stamp for path, stamp in _stamps(begun).items() if path not in known}
        changed = [path for path, stamp in stamps.items() if (file_stat(path) or (None, None)) != stamp]
        if not changed:
            return [*stamps, *begun["unreadable"]]
        log.warning("pass %s: a batch was in work and is dropped, as %s changed since", self.tag, changed[0])
        discard(self.store, self.tag)
        return []

    def refuse_deferred(self) -> None:
        """See that no file is left that waits for others.

        Raises
        ------
        PlanError
            If one is.
        """
        if self.deferred:
            raise PlanError(f"nothing else came; {'; '.join(dict.fromkeys(self.deferred.values()))}")

    def process(self, files: Mapping[str, float], *, fresh: bool = False) -> Iterator[Batch]:
        """Process files together or, if they cannot be, one by one; gives each batch that is published.

        Parameters
        ----------
        files : mapping of str to float
            Paths, each with when it last changed.
        fresh : bool
            Whether to drop an unfinished batch.
        """
        start = monotonic()
        flow = Flow(tuple(files), self.pipeline, on_error=self.on_error, **self.options)
        try:
            summary = flow.write(self.store, self.tag, client=self.client, quiet=True, fresh=fresh)
        except _BAD_DATA as error:
            if self.on_error == "raise":
                raise
            if len(files) > 1:
                for path, since in files.items():
                    yield from self.process({path: since}, fresh=True)
            elif isinstance(error, PlanError):  # as of broken files, while there is no pass to enter them in
                self.deferred.update(dict.fromkeys(files, str(error)))
                log.warning("%s; tried again with the next batch", error)
            else:
                log.error("%s: %s; left out until the watch is started again", *files, error)
            return
        for path in files:
            self.deferred.pop(path, None)
        end = monotonic()
        if summary.plan.inputs.scans or summary.outcome.failures:  # else another process was faster
            yield Batch(tuple(files), summary, datetime.now(UTC), end - start, end - min(files.values()))


def _stamps(attributes: Mapping[str, Any]) -> dict[str, Stamp]:
    """The files that a pass was made from."""
    entries = attributes["identity"]["inputs"]
    return {entry["path"]: (entry["size"], entry["mtime_ns"]) for entry in entries}
