"""The streams of a file: which there are, and what each of them must be able to do.

A file holds several things that a run can be a sequence of: triggered events, time slices of several
levels, summary slices, reconstructed events. Each is one stream, picked by ``file.root#stream``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Any, Protocol

from etendue.dataflow.packed import most_bytes
from etendue.dataflow.partition import Partition
from etendue.dataflow.source import OnError, Scan, SourceError, guarded

if TYPE_CHECKING:
    from uproot import ReadOnlyDirectory
    from uproot.reading import ReadOnlyFile, ReadOnlyKey

#: First bytes of a ROOT file.
MAGIC = b"root"

#: Bytes of its header, up to where it says that it ends; the version from which on it says so in 8 bytes.
HEADER_BYTES, _LARGE = 20, 1_000_000

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

#: What was found out of each open file. It holds on to the file, so that it is dropped when that is closed.
_FOUND_OUT: dict[ReadOnlyFile, dict[str, Any]] = {}


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
        raise _not_opened(path, file_path, error) from error
    with file:
        try:
            with guarded(path, "list of objects"):
                check_lengths(path, file)
                _check_classes(path, file)
            yield file
        finally:
            _FOUND_OUT.pop(file.file, None)


def cut_short(path: str, header: bytes, size: int) -> SourceError | None:
    """What is wrong with a ROOT file that ends before its header says that it does.

    Parameters
    ----------
    path : str
        The input.
    header : bytes
        The first `HEADER_BYTES`: the mark, the version, where the first object is, where the file ends.
    size : int
        Bytes of the file.
    """
    if size < HEADER_BYTES:
        return SourceError(path, "file header", f"a ROOT file that ends after {size} bytes; get it anew")
    (version,) = Struct(">i").unpack_from(header, 4)
    (end,) = Struct(">q" if version >= _LARGE else ">i").unpack_from(header, 12)
    if size >= end:
        return None
    message = f"a ROOT file that is cut short: it says that it has {end:,} bytes, and has {size:,}"
    return SourceError(path, "file header", f"{message}; get it anew")


def check_lengths(path: str, folder: ReadOnlyDirectory) -> None:
    """See that no object in a folder of a file claims an absurd length.

    Raises
    ------
    SourceError
        If one does: to unpack it would take that much memory.
    """
    for name in folder.keys(recursive=False):
        with suppress(KeyError):  # of a name that uproot takes for a path; such an object is never read
            _check_length(path, name, folder.key(name))


def _check_length(path: str, name: str, key: ReadOnlyKey) -> None:
    packed, length = int(key.data_compressed_bytes), int(key.fObjlen)
    if not 0 <= length <= most_bytes(packed):
        raise SourceError(path, name, f"{packed} bytes cannot unpack to the {length:,} that they claim")


def _check_classes(path: str, file: ReadOnlyDirectory) -> None:
    """The same for the descriptions of the classes of its objects, which every reading begins with."""
    from uproot.reading import ReadOnlyKey
    from uproot.source.cursor import Cursor

    start = file.file.fSeekInfo
    if start:
        chunk = file.file.chunk(start, start + file.file.fNbytesInfo)
        key = ReadOnlyKey(chunk, Cursor(start), {}, file.file, file, read_strings=True)
        _check_length(path, "descriptions of classes", key)


def _not_opened(path: str, file_path: str, error: Exception) -> SourceError:
    """Why a file cannot be opened as a ROOT file."""
    with open(file_path, "rb") as file:
        header = file.read(HEADER_BYTES)
    if not header.startswith(MAGIC):
        return SourceError(
            path, "file header", f"expected a ROOT file, found one that begins with {header[:8]!r}"
        )
    message = f"a ROOT file that is cut short, or broken ({error})"
    cut = cut_short(path, header, Path(file_path).stat().st_size)
    return cut or SourceError(path, "file header", message)


def found_out(file: ReadOnlyDirectory) -> dict[str, Any]:
    """What was found out of a file that `opened` has opened, by name: to be added to, until it is closed."""
    return _FOUND_OUT.setdefault(file.file, {})


def has(file: ReadOnlyDirectory, name: str) -> bool:
    """Whether the file has an object of a name at its top (``name in file`` would read all its folders)."""
    return name in file.keys(recursive=False, cycle=False)
