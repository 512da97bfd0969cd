"""The source ``km3net``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from etendue.dataflow.partition import Partition
from etendue.dataflow.source import OnError, Scan, SourceError, UnknownKindError
from etendue.neutrino.sources.km3net.companion import ABOUT, DETECTOR, with_detector
from etendue.neutrino.sources.km3net.streams import (
    HEADER_BYTES,
    MAGIC,
    STREAMS,
    Stream,
    cut_short,
    opened,
    split_path,
    stream,
)

if TYPE_CHECKING:
    from uproot import ReadOnlyDirectory

#: Objects of another ROOT file that are named.
SHOWN = 8


class KM3NeTSource:
    """ROOT files of KM3NeT: one stream of a file is one input, picked by ``file.root#stream``.

    Without a fragment it is the first with entries of: triggered events (``events``), reconstructed events
    (``offline``), their summaries (``dst``), time slices (``L0``, ``L1``, ``L2``, ``SN``, ``timeslices``),
    summary slices (``summary``), orientations of modules (``compass``), acoustics (``acoustics``). A block
    is one entry of the stream's tree: an event, a slice or a measurement.
    """

    name = "km3net"
    companions: ClassVar = {DETECTOR: ABOUT}

    def accepts(self, path: str) -> bool:
        """Whether the file is a ROOT file with one of the streams."""
        file_path, _ = split_path(path)
        if not Path(file_path).is_file():
            return False
        try:
            with open(file_path, "rb") as file:
                if file.read(len(MAGIC)) != MAGIC:
                    return False
            with opened(path) as file:
                return any(_is_there(name, file) for name in STREAMS)
        except (OSError, SourceError):
            return False

    def why_not(self, path: str) -> SourceError | None:
        """Of a ROOT file: where it is cut short or broken, or what it holds instead of a stream."""
        file_path, _ = split_path(path)
        with open(file_path, "rb") as file:
            start = file.read(HEADER_BYTES)
        if not start.startswith(MAGIC):
            return None
        if error := cut_short(path, start, Path(file_path).stat().st_size):
            return error
        with opened(path) as file:
            found = file.classnames(recursive=False, cycle=False)
        names = list(found)
        listed = ", ".join(f"{name} ({found[name]})" for name in names[:SHOWN]) or "nothing"
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        return UnknownKindError(
            path,
            "trees",
            f"a ROOT file, but none that any source knows: it holds {listed}{more}, and none of the trees of "
            f"KM3NeT's streams ({', '.join(STREAMS)})",
        )

    def scan(
        self, path: str, on_error: OnError = "raise", *, companions: Mapping[str, str] | None = None
    ) -> Scan:
        """Count the rows of a stream; decodes no hit.

        Raises
        ------
        SourceError
            If the file has no such stream, or no stream with entries if none is named, or if what counts
            the rows is broken and ``on_error`` is ``raise``; if the companion ``detector`` is not whole, or
            is of another detector.
        """
        with opened(path) as file:
            found = _pick(path, file).scan(path, file, on_error)
        return with_detector(found, companions)

    def read(
        self,
        scan: Scan,
        ranges: Sequence[tuple[int, int]],
        columns: frozenset[str],
        on_error: OnError = "raise",
    ) -> Iterator[Partition]:
        """Read ranges of entries, one partition each; see `etendue.dataflow.source.Source.read`."""
        with opened(scan.path) as file:
            yield from _pick(scan.path, file).read(scan, file, ranges, columns, on_error)

    def place(self, scan: Scan, block: int) -> str:
        """The entry of the tree, and where in the file its baskets are.

        Raises
        ------
        SourceError
            If the tree cannot be read.
        """
        with opened(scan.path) as file:
            return _pick(scan.path, file).place(scan.path, file, block)


def _is_there(name: str, file: ReadOnlyDirectory) -> bool:
    """Whether the file has a stream; a broken one is there, and the scan will tell what is wrong with it."""
    try:
        return stream(name).entries(file) is not None
    except SourceError:
        return True


def _pick(path: str, file: ReadOnlyDirectory) -> Stream:
    """The stream that a path names, or the first with entries."""
    _, name = split_path(path)
    for known in (name,) if name else STREAMS:
        if known in STREAMS:
            found = stream(known)
            entries = found.entries(file)
            if entries or (name and entries is not None):
                return found
    there = {known: stream(known).entries(file) for known in STREAMS}
    listed = ", ".join(f"{known} ({n} entries)" for known, n in there.items() if n is not None) or "none"
    if name:
        raise SourceError(path, "fragment", f"no stream {name!r} in the file; its streams are: {listed}")
    raise SourceError(path, "trees", f"no stream of the file has entries; its streams are: {listed}")
