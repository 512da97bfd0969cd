"""The source ``simtel_showers``: all simulated showers of a file, for trigger efficiencies."""

from __future__ import annotations

import logging
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from math import inf

import numpy as np

from etendue.dataflow.packed import Checksum, Note, ignore
from etendue.dataflow.partition import Failure, Partition
from etendue.dataflow.source import OnError, Scan, SourceError, file_of
from etendue.iact.schema import ARRAY, OBSERVATION, SHOWERS, SIMULATION
from etendue.iact.sources.simtel import decode
from etendue.iact.sources.simtel.events import MC_SHOWER
from etendue.iact.sources.simtel.header import ARRAY_EVENT, HISTOGRAMS, RUN_HEADER, read_header
from etendue.iact.sources.simtel.objects import MC_EVENT, Object, ObjectError, unpack
from etendue.iact.sources.simtel.part import asks_for_showers
from etendue.iact.sources.simtel.showers import ShowerCount
from etendue.iact.sources.simtel.stream import is_eventio
from etendue.iact.sources.simtel.tables import Labels, static
from etendue.iact.sources.simtel.walk import Damage, ObjectWalk
from etendue.schema import Columns, Schema

#: Showers of a block.
BLOCK = 4096
_ADVICE = "get the file anew, or leave out what cannot be read with on_error='skip'"

log = logging.getLogger(__name__)


class ShowerSource:
    """All simulated showers of a file of sim_telarray, triggered or not: ``run.simtel.zst#showers``.

    A row is a simulated event (object 2021) with its shower (2020), as eventio reads them; of several in a
    row with one number the last. It is triggered if an array event with readouts follows, as of a row of
    ``/events``. A block is `BLOCK` rows.
    """

    name = "simtel_showers"

    def accepts(self, path: str) -> bool:
        """Whether the path asks for showers, and its file starts with EventIO's marker."""
        return asks_for_showers(path) and is_eventio(file_of(path))

    def scan(self, path: str, on_error: OnError = "raise") -> Scan:
        """Read the header, and count the showers.

        Raises
        ------
        SourceError
            If the header cannot be read, or if anything is broken and ``on_error`` is ``raise``.
        """
        checksum = Checksum()
        walk = ShowerWalk(path, on_error, checksum.add)
        ends = [row["end"] for row in walk]
        size, n_showers = os.path.getsize(file_of(path)), bisect_right(ends, walk.trusted)
        if not walk.count.is_closed:
            log.warning("%s: it lacks the histograms that close a run, so it may have been cut short", path)
        edges = np.append(np.arange(0, n_showers, BLOCK), n_showers)
        n_simulated = walk.count.total(is_whole=not walk.failures)
        return Scan(
            path=path,
            source=self.name,
            schema=Schema({table.name: table for table in (SHOWERS, ARRAY, OBSERVATION, SIMULATION)}),
            static=static(
                walk.header, Labels(walk.header.cameras, {}, {}), n_simulated, walk.count.is_closed
            ),
            rows={"showers": np.diff(edges)},
            size=size,
            failures=tuple(walk.failures),
            sha256=checksum.of_whole(size),
        )

    def read(
        self,
        scan: Scan,
        ranges: Sequence[tuple[int, int]],
        columns: frozenset[str],
        on_error: OnError = "raise",
    ) -> Iterator[Partition]:
        """Read ranges of blocks, which follow one another; see `Source.read`."""
        walk = ShowerWalk(scan.path, on_error)
        rows, at = iter(walk), 0
        obs_id = walk.header.run["run"]
        for number, (first, stop) in enumerate(ranges):
            start, n_rows = first * BLOCK, int(scan.rows["showers"][first:stop].sum())
            found = list(islice(rows, start - at, start - at + n_rows))
            at = start + len(found)
            if len(found) < n_rows:
                message = f"it holds {at:,} showers, and more were scanned: it has changed; scan it anew"
                raise SourceError(scan.path, "end of the file", message, n_rows - len(found))
            yield Partition(number, scan.schema, {"showers": _columns(found, start, obs_id, columns)})


def _columns(rows: list[dict], start: int, obs_id: int, wanted: frozenset[str]) -> Columns:
    """The wanted columns of some showers."""
    same = {"run": 0, "obs_id": obs_id}
    made = {}
    for name, variable in SHOWERS.variables.items():
        if f"showers/{name}" not in wanted:
            continue
        if name == "shower_index":
            made[name] = np.arange(start, start + len(rows), dtype=variable.dtype)
        elif name in same:
            made[name] = np.full(len(rows), same[name], dtype=variable.dtype)
        else:
            made[name] = np.array([row[name] for row in rows], dtype=variable.dtype)
    return made


@dataclass
class ShowerWalk:
    """The simulated showers of a file, in order, each as values by column, and ``end``, where it ends.

    Parameters
    ----------
    path : str
        The file, with or without a part.
    on_error : {"raise", "skip"}
        Whether to go on after what is broken, which is noted in ``failures``.
    note : callable, optional
        Called with the bytes of the file as they are read.

    Raises
    ------
    SourceError
        If the header cannot be read, or anything is broken and ``on_error`` is ``raise``.
    """

    path: str
    on_error: OnError
    note: Note = ignore
    failures: list[Failure] = field(default_factory=list)
    count: ShowerCount = field(default_factory=ShowerCount)
    #: Position up to which the unpacked data are right.
    trusted: float = inf

    def __post_init__(self) -> None:
        walk = iter(ObjectWalk(file_of(self.path), self.note, every=True))
        self.header = read_header(walk, self.path)
        self._objects = chain(self.header.early, walk)

    def __iter__(self) -> Iterator[dict]:
        shower: Object | None = None
        last: dict | None = None  # not given yet: an array event may follow, or the same event again
        ended = False
        for found in self._objects:
            if isinstance(found, Damage):
                self.trusted = min(self.trusted, found.trusted)
                self._lose(found, found.message, 0)
            elif found.type == RUN_HEADER:
                self._lose(found, "another run begins; what follows it is not read", 0)
                break
            elif ended:
                continue  # to the end, for the checksum and for damage
            elif found.type == MC_SHOWER:
                shower = found
            elif found.type == MC_EVENT:
                row = self._row(found, shower)
                if last is not None and (row is None or row["event_id"] != last["event_id"]):
                    yield last
                last = row
            elif found.type == ARRAY_EVENT and last is not None:
                last["triggered"] |= self._has_readouts(found)
                last["end"] = found.end
            elif found.type == HISTOGRAMS:
                self.count.close(found)
                ended = True
        if last is not None:
            yield last

    def _row(self, core: Object, shower: Object | None) -> dict | None:
        """What is known of a simulated event; None if it cannot be read."""
        try:
            (number,) = unpack(decode.NUMBER, core.data, core.start, core.stop)
            if shower is None or shower.id != number:
                raise ObjectError(f"expected the simulated shower (2020) {number} before it; that is lost")
            x, y = decode.core(core)
            truth = decode.shower(shower)._asdict()
        except ObjectError as error:
            self._lose(core, str(error), 1)
            return None
        self.count.n_found += 1
        place = {"true_core_x": x, "true_core_y": y}
        own = {"event_id": core.id, "shower_id": number, "triggered": False, "end": core.end}
        return own | truth | place

    def _has_readouts(self, event: Object) -> bool:
        """Whether an array event has data of any telescope."""
        try:
            types = [child.type for child in event.children() if child.depth == 0]
        except ObjectError as error:
            self._lose(event, str(error), 0)
            return False
        return any(kind >= 2000 and kind % 1000 // 100 == 2 for kind in types)

    def _lose(self, place: Object | Damage, message: str, n_lost: int) -> None:
        where = f"byte {place.offset} (object {place.type}, after {self.count.n_found} showers)"
        if self.on_error == "raise":
            raise SourceError(self.path, where, f"{message}; {_ADVICE}", n_lost)
        self.failures.append(Failure(self.path, where, message, n_lost))
