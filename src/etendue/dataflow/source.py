"""Sources: how raw streams become partitions.

A source is found by the entry-point group ``etendue.sources``. It looks at one input (`Source.scan`:
counts rows, decodes no event) and later reads ranges of it (`Source.read`). It numbers its runs from
zero and names its tables as it likes; `etendue.dataflow.unify` fits many scans into one run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from etendue.dataflow.partition import Failure, Partition
from etendue.dataflow.plugins import broken, entries, load, tell, usable
from etendue.reprs import Legible, some_of
from etendue.schema import Columns, Schema

OnError = Literal["raise", "skip"]

#: Column that joins a row to its run; sources count from zero, `unify` adds the offset.
RUN = "run"


class UnforeseenError(ValueError):
    """A stream that goes on otherwise than it began, so that it has to be scanned before it is read."""


class SourceError(ValueError):
    """An input that cannot be read: says which file, where in it, what was expected, what to do."""

    def __init__(self, path: str | Path, place: str, message: str, events_lost: int = 0) -> None:
        super().__init__(path, place, message, events_lost)
        self.failure = Failure(str(path), place, message, events_lost)

    def __str__(self) -> str:
        return str(self.failure)


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
            The ``table/column`` names to read; no others need be decoded. Counts (``n_<table>``) and
            condition tables are always read.
        on_error : {"raise", "skip"}
            What to do with events that cannot be decoded.

        Yields
        ------
        Partition
            With ``number`` zero-based in ``ranges``, and local table names.
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
        If there is no such file, or none of the sources knows its kind.
    """
    for name, source in usable(_registered(), get_source):
        if _accepts(name, source, path):
            return source
    if "://" not in path and not Path(file_of(path)).exists():
        raise SourceError(path, "file", "there is no such file")
    raise SourceError(
        path,
        "first bytes",
        f"not a kind of file that any source knows (there are {', '.join(sorted(_registered()))}); "
        "check that it is raw data and complete, or install the package that reads it"
        f"{broken(_registered(), get_source)}",
    )


def _accepts(name: str, source: Source, path: str) -> bool:
    """Whether a source takes an input; one that fails at it does not, which is told once."""
    try:
        return source.accepts(path)
    except SourceError:
        raise
    except Exception as error:  # whatever the sources of others raise
        tell(f"source {name!r} cannot tell whether an input is its own: {type(error).__name__}: {error}")
        return False


def file_of(path: str) -> str:
    """The file of an input, whose path may name a part of it: ``run.root#L1``."""
    return path if Path(path).exists() else path.rpartition("#")[0] or path


def file_stat(path: str) -> tuple[int, int] | None:
    """Size and time of the last change (ns) of an input's file; None if it is not a file."""
    file = Path(file_of(path))
    if not file.is_file():
        return None
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns


def check_unchanged(scan: Scan) -> None:
    """See that a file, and its companions, are still those that were scanned.

    Raises
    ------
    SourceError
        If it is gone, or has another size or time.
    """
    _check_file(scan.path, scan.stat)
    for name, stat in scan.companion_stats.items():
        _check_file(scan.companions[name], stat)


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
