"""Looking at inputs before anything is planned: several at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from etendue.dataflow import border
from etendue.dataflow.companions import declared, refuse_unused
from etendue.dataflow.copies import Entries, find_copies, refuse, same_pass
from etendue.dataflow.inputs import expand
from etendue.dataflow.memory import reuse_freed_memory
from etendue.dataflow.partition import Failure
from etendue.dataflow.plan import PlanError, cores
from etendue.dataflow.sharing import Sharing
from etendue.dataflow.source import OnError, Scan, SourceError, UnreachableError, file_stat, find_source
from etendue.dataflow.unify import Earlier, Inputs, unify

log = logging.getLogger(__name__)


def scan_inputs(
    inputs: Iterable[str | Path],
    on_error: OnError = "raise",
    *,
    look: bool = False,
    earlier: Earlier | None = None,
    companions: Mapping[str, str] | None = None,
) -> Inputs:
    """Scan inputs and fit them into one run.

    Parameters
    ----------
    inputs : iterable of path
        The inputs; see `etendue.dataflow.inputs.expand`.
    on_error : {"raise", "skip"}
        What to do about broken input.
    look : bool
        Whether to look only at the start of streams; their rows are not counted then.
    earlier : Earlier, optional
        What a pass already holds, that these inputs are added to.
    companions : mapping of str to str, optional
        See `scan_each`.

    Raises
    ------
    PlanError
        If there is no input that can be read.
    SourceError
        If an input cannot be read and ``on_error`` is ``raise``.
    """
    paths = expand(inputs)
    if not paths:
        raise PlanError("no input: name at least one file")
    found = scan_distinct(paths, on_error, look, companions)
    scans = [result for result in found if isinstance(result, Scan)]
    unreadable = tuple(result for result in found if isinstance(result, Failure))
    if not scans and earlier is None:
        raise PlanError(f"none of the inputs can be read: {'; '.join(map(str, unreadable))}")
    inputs = unify(scans, earlier)
    return replace(inputs, failures=unreadable + inputs.failures)


def scan_distinct(
    paths: Sequence[str],
    on_error: OnError,
    look: bool,
    companions: Mapping[str, str] | None = None,
    entries: Entries = (),
) -> list[Scan | Failure]:
    """Scan inputs as `scan_each`, of which none may hold the same as another.

    Parameters
    ----------
    paths : sequence of str
        The inputs.
    on_error : {"raise", "skip"}
        What to do about broken input; with ``skip``, the first of those that are the same is scanned.
    look : bool
        Whether to look only at the start of streams.
    companions : mapping of str to str, optional
        See `scan_each`.
    entries : sequence of mapping, optional
        Inputs that a pass has already, of which none may be the same either.

    Raises
    ------
    SourceError
        If two are the same, or one cannot be read, and ``on_error`` is ``raise``.
    """
    copies = find_copies(paths, entries)
    told = {path: refuse(path, original, on_error) for path, original in copies.items()}
    distinct = [path for path in paths if path not in told]
    found = scan_each(distinct, on_error, [look] * len(distinct), companions)
    told |= {path: refuse(path, original, on_error) for path, original in same_pass(distinct, found).items()}
    scanned = dict(zip(distinct, found, strict=True))
    return [told.get(path) or scanned[path] for path in paths]


def scan_each(
    paths: Sequence[str],
    on_error: OnError,
    look: Sequence[bool],
    companions: Mapping[str, str] | None = None,
) -> list[Scan | Failure]:
    """Scan inputs, several at a time; of those that cannot be read, with ``skip``, why.

    Parameters
    ----------
    paths : sequence of str
        The inputs.
    on_error : {"raise", "skip"}
        What to do about broken input.
    look : sequence of bool
        Whether to look only at the start of each, if it is a stream.
    companions : mapping of str to str, optional
        Files that belong to the inputs, by the names that their sources give them: each input gets those
        that its source declares.

    Raises
    ------
    CompanionError
        If no input takes one of the companions.
    """
    if not paths:
        return []
    reuse_freed_memory()
    companions = companions or {}

    def scan(path: str, look: bool) -> Scan | Failure:
        try:
            stat = file_stat(path)  # before, so that a change while it is scanned is noticed
            source = find_source(path)
            mine = {name: file for name, file in companions.items() if name in declared(source)}
            stats = {name: file_stat(file) for name, file in mine.items()}
            found = border.scan(source, path, on_error, look=look, companions=mine)
            return replace(found, stat=stat, companions=mine, companion_stats=stats)
        except SourceError as error:
            is_file = not isinstance(error, UnreachableError)
            if (on_error == "raise" and is_file) or error.failure.path in companions.values():
                raise  # without a companion nothing can be trusted, which is not to be skipped
            if not is_file:
                log.warning("%s; set aside", error)
            return error.failure

    with ThreadPoolExecutor(min(len(paths), cores())) as pool:
        shared = Sharing()
        found = [shared(one) if isinstance(one, Scan) else one for one in pool.map(scan, paths, look)]
    refuse_unused(companions, found)
    return found
