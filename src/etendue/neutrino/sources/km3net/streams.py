"""The streams of a file: which there are, and what each of them must be able to do.

A file holds several things that a run can be a sequence of: triggered events, time slices of several
levels, summary slices, reconstructed events. Each is one stream, picked by ``file.root#stream``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from etendue.dataflow.partition import Partition
from etendue.dataflow.source import OnError, Scan, SourceError

if TYPE_CHECKING:
    from uproot import ReadOnlyDirectory

#: First bytes of a ROOT file.
MAGIC = b"root"

#: Streams in the order in which one with entries is picked, and the class that reads each of them.
STREAMS = {
    "events": "events:EventStream",
    "offline": "offline:OfflineStream",
    "dst": "dst:DSTStream",
    "L0": "timeslices:L0Stream",
    "L1": "timeslices:L1Stream",
    "L2": "timeslices:L2Stream",
    "SN": "timeslices:SNStream",
    "timeslices": "timeslices:TimesliceStream",
    "summary": "summaries:SummaryStream",
    "compass": "calibrations:CompassStream",
    "acoustics": "calibrations:AcousticsStream",
}


class Stream(Protocol):
    """One stream of a file. Stateless, as a source is."""

    name: str

    def entries(self, file: ReadOnlyDirectory) -> int | None:
        """Entries of the stream; None if the file has no such stream. Cheap: reads no basket."""
        ...

    def scan(self, path: str, file: ReadOnlyDirectory, on_error: OnError) -> Scan:
        """Count rows, decode nothing; ``path`` is the input's name, with its fragment."""
        ...

    def read(
        self,
        scan: Scan,
        file: ReadOnlyDirectory,
        ranges: Sequence[tuple[int, int]],
        columns: frozenset[str],
        on_error: OnError,
    ) -> Iterator[Partition]:
        """Read ranges of entries, one partition each, as `etendue.dataflow.source.Source.read`."""
        ...

    def place(self, path: str, file: ReadOnlyDirectory, entry: int) -> str:
        """Where in the file an entry is, for people."""
        ...


def stream(name: str) -> Stream:
    """The stream of a name in `STREAMS`."""
    module, _, cls = STREAMS[name].partition(":")
    return getattr(import_module(f"etendue.neutrino.sources.km3net.{module}"), cls)()


def split_path(path: str) -> tuple[str, str]:
    """The file and the stream (empty if there is none) of ``file.root#stream``."""
    if Path(path).is_file():
        return path, ""
    file, _, fragment = path.rpartition("#")
    return (file, fragment) if file else (path, "")


@contextmanager
def opened(path: str) -> Iterator[ReadOnlyDirectory]:
    """The ROOT file of ``file.root#stream``.

    Raises
    ------
    SourceError
        If it is not there, or its list of keys cannot be read, or uproot is not installed.
    """
    file_path, _ = split_path(path)
    try:
        import uproot
    except ImportError as error:
        message = "reading ROOT files needs uproot: pip install 'etendue[km3net]'"
        raise SourceError(path, "file", message) from error
    try:
        trees = uproot.cache.LRUCache(len(STREAMS))  # of this file only, as the trees hold on to it
        file = uproot.open(
            {file_path: None}, handler=uproot.MemmapSource, object_cache=trees, array_cache=None
        )
    except FileNotFoundError:
        raise SourceError(path, "file", "there is no such file") from None
    except Exception as error:
        raise SourceError(path, "file header", f"not a ROOT file, or cut short ({error})") from error
    with file:
        yield file


def has(file: ReadOnlyDirectory, name: str) -> bool:
    """Whether the file has an object of a name at its top (``name in file`` would read all its folders)."""
    return name in file.keys(recursive=False, cycle=False)
