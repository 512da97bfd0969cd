"""Sources: how raw streams become partitions.

A source is found by the entry-point group ``etendue.sources``. It looks at one input (`Source.scan`:
counts rows, decodes no event) and later reads ranges of it (`Source.read`). It numbers its runs from
zero and names its tables as it likes; `etendue.dataflow.unify` fits many scans into one run.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from etendue.dataflow.kinds import Finding, find_out, is_special
from etendue.dataflow.partition import Failure, Partition
from etendue.dataflow.plugins import broken, entries, load, tell, usable
from etendue.errors import EtendueError
from etendue.reprs import Legible, some_of
from etendue.schema import Columns, Schema

OnError = Literal["raise", "skip"]

#: Column that joins a row to its run; sources count from zero, `unify` adds the offset.
RUN = "run"


class UnforeseenError(EtendueError, ValueError):
    """A stream that goes on otherwise than it began, so that it has to be scanned before it is read."""


class SourceError(EtendueError, ValueError):
    """An input that cannot be read: says which file, where in it, what was expected, what to do."""

    def __init__(self, path: str | Path, place: str, message: str, events_lost: int = 0) -> None:
        super().__init__(path, place, message, events_lost)
        self.failure = Failure(str(path), place, message, events_lost)

    def __str__(self) -> str:
        return str(self.failure)


class UnknownKindError(SourceError):
    """A file that seems to be whole, of a kind that no source knows."""


class UnreachableError(SourceError):
    """Something in a directory that cannot be looked into and is no file: a link in a circle, a folder.

    It is told and set aside, whatever is done about broken files: what it would lead to is not known.
    """


class ProcessError(EtendueError, RuntimeError):
    """Something that is wrong with this process and not with an input: no input is set aside for it."""


@contextmanager
def guarded(path: str, place: str) -> Iterator[None]:
    """Have what a source does raise errors of ours only.

    Memory that runs out is no fault of the input, and goes on as it is, unless no machine of this kind would
    have as much as was asked for at once.

    Raises
    ------
    SourceError
        For whatever else was raised; names the file and the place.
    """
    try:
        yield
    except (SourceError, UnforeseenError, ProcessError):
        raise
    except MemoryError as error:
        if not _is_absurd(error):
            raise
        raise SourceError(path, place, f"cannot be read: {error}") from error
    except Exception as error:
        raise SourceError(path, place, f"cannot be read: {told(error)}") from error


def _is_absurd(error: MemoryError) -> bool:
    """Whether NumPy was asked for an array greater than all the memory that there is."""
    shape, dtype = getattr(error, "shape", None), getattr(error, "dtype", None)
    if shape is None or dtype is None:
        return False
    there_is = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return math.prod(shape) * np.dtype(dtype).itemsize > there_is


def told(error: Exception) -> str:
    """An error in words: its message if that is written for people, else what kind of error it is, too."""
    is_told = isinstance(error, EtendueError)
    return str(error) if is_told else f"{type(error).__name__}: {error}".rstrip(": ")


@dataclass(frozen=True, repr=False)
class Scan(Legible):
    """What a look at one input found.

    Parameters
    ----------
    path : str
        The input.
    source : str
        Entry-point name of the source that made this scan.
    schema : Schema
        The tables that the input holds.
    static : mapping of str to dict of str to array
        Contents of the ``static`` tables. One row a run (or more) with a ``run`` column, or shared
        by all runs if the table is named after a label (``camera/lstcam``).
    rows : mapping of str to int64 array
        Rows of each ``rows`` table in each block: shape (n_blocks,). A block is the least that can be
        read by itself: one event of a stream, one chunk of a store.
    labels : mapping of str to str
        Labels that are parts of table names (``lstcam``), each with a fingerprint of what it stands
        for. Equal labels with other fingerprints, in other inputs, are told apart by a suffix.
    splittable : bool
        Whether any block can be reached without reading those before it.
    size : int
        Bytes of the input.
    n_runs : int
        Runs that the input holds.
    failures : tuple of Failure
        What the scan found broken.
    sha256 : str
        SHA-256 of the input in hexadecimal, if the scan has read all of it.
    snapshot : str
        What a store held when it was scanned, by the id of its snapshot.
    expected_bytes : int, optional
        Set by `StreamSource.look`, which counts no rows: about what all columns will have.
    companions : mapping of str to str
        The files that belong to the input, by the names that its source gives them; set by the engine.
    seen_blocks, seen_runs : int
        How many blocks and runs, the first ones, a pass has been made from before; they are left out.
    stat : tuple of int, optional
        Size and time of the last change (ns) of the file before it was looked at; noted by the engine.
    companion_stats : mapping of str to tuple of int
        The same of its companions, by their names.
    """

    path: str
    source: str
    schema: Schema
    static: Mapping[str, Columns]
    rows: Mapping[str, np.ndarray]
    labels: Mapping[str, str] = field(default_factory=dict)
    splittable: bool = False
    size: int = 0
    n_runs: int = 1
    failures: tuple[Failure, ...] = ()
    sha256: str = ""
    snapshot: str = ""
    expected_bytes: int | None = None
    stat: tuple[int, int] | None = None
    companions: Mapping[str, str] = field(default_factory=dict)
    companion_stats: Mapping[str, tuple[int, int] | None] = field(default_factory=dict)
    seen_blocks: int = 0
    seen_runs: int = 0

    def facts(self) -> dict[str, str]:
        """The scan in a few lines, for people."""
        rows = (f"{int(n.sum()):,} {name}" for name, n in self.rows.items())
        return {
            "input": f"{self.path} ({self.source}, {self.size:,} bytes, {self.n_runs} run(s))",
            "rows": some_of(rows) if self.counted else "not counted before they are read",
            "tables": some_of(f"/{name}" for name in self.schema),
            "failures": f"{len(self.failures)} {some_of(self.failures, 2)}".rstrip(),
        }

    @property
    def counted(self) -> bool:
        """Whether ``rows`` are counted; if not, they are empty."""
        return self.expected_bytes is None


@runtime_checkable
class Source(Protocol):
    """A kind of input. Stateless: everything it needs is in the scan.

    A source whose inputs need other files beside them (a geometry, a calibration) declares those as
    ``companions``: a mapping of their names to what they are. If some are given, `scan` (and
    `StreamSource.look`) is called with the keyword ``companions``, a mapping of those names to paths; `read`
    finds it in the scan. See `etendue.dataflow.companions`.
    """

    name: str

    def accepts(self, path: str) -> bool:
        """Whether the input is of this kind, by its first bytes rather than its name.

        False, not an error, if there is no such file.
        """
        ...

    def scan(self, path: str, on_error: OnError = "raise") -> Scan:
        """Look at an input: its tables and how many rows each block has. Decodes no event.

        Raises
        ------
        SourceError
            If the input is not readable, or broken and ``on_error`` is ``raise``.
        """
        ...

    def read(
        self,
        scan: Scan,
        ranges: Sequence[tuple[int, int]],
        columns: frozenset[str],
        on_error: OnError = "raise",
    ) -> Iterator[Partition]:
        """Read ranges of blocks, one partition each, in order.

        Parameters
        ----------
        scan : Scan
            What `scan` returned.
        ranges : sequence of (first, stop)
            Blocks of each partition.
        columns : frozenset of str
            The ``table/column`` names to read; no others need be decoded. The counts (``n_<table>``) of all
            tables are among them whenever a run asks; condition tables are always read.
        on_error : {"raise", "skip"}
            What to do with events that cannot be decoded.

        Yields
        ------
        Partition
            With ``number`` zero-based in ``ranges``, and local table names.
        """
        ...


@runtime_checkable
class Explaining(Protocol):
    """A source that can say more of files that it does not accept."""

    def why_not(self, path: str) -> SourceError | None:
        """What is wrong with a file of this source's kind, or near to it; None if it is of another kind.

        `UnknownKindError` if the file is whole, any other `SourceError` if it is broken.
        """
        ...


class Stream(Protocol):
    """The partitions of a stream, as they come.

    Attributes
    ----------
    sha256 : str
        At their end, that of the input.
    tallies : mapping of str to number
        At their end, values of ``table/column`` of static tables with one row for the run, which are not
        known before.
    notes : sequence of str
        At their end, what people should be told of the input.
    """

    sha256: str
    tallies: Mapping[str, float]
    notes: Sequence[str]

    def __iter__(self) -> Iterator[Partition]: ...


@runtime_checkable
class StreamSource(Source, Protocol):
    """A source that can also read an input from its start to its end without a scan before.

    What is packed is unpacked once then, and not twice. For input that is expected to be whole: with
    ``on_error`` ``skip`` it is scanned, which finds what cannot be trusted.
    """

    def look(self, path: str) -> Scan:
        """Look at the start of an input: its tables, and ``expected_bytes``. Errors as `Source.scan`."""
        ...

    def stream(
        self, scan: Scan, row_bytes: Mapping[str, int], partition_bytes: int, columns: frozenset[str]
    ) -> Stream:
        """Read all blocks, cut into the partitions that a plan would have made of a scan.

        Parameters
        ----------
        scan : Scan
            What `look` returned.
        row_bytes : mapping of str to int
            Bytes that a row of each table counts for.
        partition_bytes : int
            A new partition starts where the bytes so far pass a multiple of this.
        columns : frozenset of str
            See `Source.read`.

        Raises
        ------
        SourceError
            If the input is broken.
        UnforeseenError
            If its tables are others than those of its start.
        """
        ...


@cache
def _registered() -> dict[str, EntryPoint]:
    return dict(entries("etendue.sources"))


def source_names() -> list[str]:
    """Entry-point names of all sources that can be loaded."""
    return [name for name, _ in usable(_registered(), get_source)]


@cache
def get_source(name: str) -> Source:
    """The source registered under an entry-point name.

    Raises
    ------
    PluginError
        If its package is broken.
    """
    return load(_registered()[name], made=True)


def find_source(path: str) -> Source:
    """The source that accepts an input.

    Raises
    ------
    SourceError
        If there is no such file, none of the sources knows its kind, or one failed to look at it.
    """
    if "://" not in path and is_special(file_of(path)):  # to open a pipe is to wait for who writes to it
        raise UnknownKindError(path, "file", "it is neither a file nor a directory; copy it into a file")
    troubles = []
    for name, source in usable(_registered(), get_source):
        try:
            with guarded(path, "first bytes"):
                if source.accepts(path):
                    return source
        except SourceError as error:
            troubles.append(error)
            message = error.failure.message.removeprefix("cannot be read: ")
            tell(f"source {name!r} cannot tell whether an input is its own: {message}")
    if troubles:
        first = troubles[0].failure
        raise SourceError(path, first.place, f"{first.message}{broken(_registered(), get_source)}")
    raise _why_not(path)


def _why_not(path: str) -> SourceError:
    """Why none of the sources accepts an input: an `UnknownKindError` if it is a whole file."""
    finding = Finding("address", "an address", False) if "://" in path else find_out(file_of(path))
    if finding.is_broken:
        kind = SourceError if finding.is_file else UnreachableError
        return kind(path, finding.place, finding.message)
    for _, source in usable(_registered(), get_source) if file_stat(path) else ():
        try:
            with guarded(path, "file"):
                error = source.why_not(path) if isinstance(source, Explaining) else None
        except SourceError as failed:
            error = failed
        if error is not None:
            return error
    return UnknownKindError(
        path,
        finding.place,
        f"not a kind of file that any source knows (there are {', '.join(sorted(_registered()))}): it is "
        f"{finding.message}; check that it is raw data and complete, or install the package that reads it"
        f"{broken(_registered(), get_source)}",
    )


def file_of(path: str) -> str:
    """The file of an input, whose path may name a part of it: ``run.root#L1``."""
    return path if os.path.lexists(path) else path.rpartition("#")[0] or path


def part_words(path: str) -> list[str]:
    """What an input's path says after its file, between commas: ``run.zst#showers,obs_id=3`` two words."""
    if "#" not in path:  # nearly always; the file system need not be asked
        return []
    file = file_of(path)
    return path[len(file) + 1 :].split(",") if file != path else []


def file_stat(path: str) -> tuple[int, int] | None:
    """Size and time of the last change (ns) of an input's file; None if it is not a file."""
    try:
        facts = os.stat(file_of(path))
    except OSError:
        return None
    return (facts.st_size, facts.st_mtime_ns) if stat.S_ISREG(facts.st_mode) else None


def check_unchanged(scan: Scan) -> None:
    """See that a file, and its companions, are still those that were scanned.

    Raises
    ------
    SourceError
        If it is gone, or has another size or time.
    """
    _check_file(scan.path, scan.stat)
    for name, facts in scan.companion_stats.items():
        _check_file(scan.companions[name], facts)


def _check_file(path: str, stat: tuple[int, int] | None) -> None:
    if stat is None:
        return
    now = file_stat(path)
    if now is None:
        raise SourceError(path, "file", "was there when the run was planned, and is gone: bring it back")
    if now != stat:
        raise SourceError(
            path,
            "file",
            f"changed after the run was planned (it had {stat[0]:,} bytes, and has {now[0]:,}); run again "
            "when nobody writes to it",
        )
