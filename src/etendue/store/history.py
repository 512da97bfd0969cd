"""What happened to a store: its passes and revisions, who made them, what is unfinished."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import icechunk

from etendue.reprs import Legible
from etendue.store.ledger import read_failures
from etendue.store.paths import locate
from etendue.store.reader import ChunkError, PassReader
from etendue.store.repository import open_repository
from etendue.store.tags import PassInfo, passes, working_branch

log = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class Revision(Legible):
    """A revision of a pass, or what is done so far of one that is unfinished.

    Parameters
    ----------
    tag : str
        Its tag; of an unfinished one the name of the pass.
    snapshot : str
        Its snapshot.
    time : datetime
        When it was published, or committed last.
    published : bool
        Whether it is there for readers.
    rows : dict of str to int
        Rows by table, but of static ones.
    pipeline, config_hash : str
        Name of the pipeline and SHA-256 of its configuration; empty without a record.
    versions : dict of str to str
        Versions of the packages that made it.
    host : str
        Where the run was led from.
    seconds : float
        Wall time of the run.
    failures : list of dict
        What was broken in the inputs: ``path``, ``place``, ``message``, ``events_lost``, ``partition``.
    """

    tag: str
    snapshot: str
    time: datetime
    published: bool
    rows: dict[str, int] = field(default_factory=dict)
    pipeline: str = ""
    config_hash: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    host: str = ""
    seconds: float = 0.0
    failures: list[dict[str, Any]] = field(default_factory=list)

    def facts(self) -> dict[str, str]:
        """The revision in a few lines, for people."""
        facts = {
            "pass": self.tag if self.published else f"{self.tag}, unfinished",
            "when": f"{self.time:%Y-%m-%d %H:%M} UTC, {self.snapshot}",
            "pipeline": f"{self.pipeline} {self.config_hash[:8]}".strip(),
            "rows": ", ".join(f"{n:,} {name}" for name, n in self.rows.items() if n and "/" not in name),
            "failures": f"{len(self.failures)} ({self.events_lost:,} events lost)" if self.failures else "",
        }
        return {key: value for key, value in facts.items() if value}

    @property
    def events_lost(self) -> int:
        """Events that could not be read."""
        return sum(failure["events_lost"] for failure in self.failures)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**vars(self), "time": self.time.isoformat()}


def history(path: str) -> list[Revision]:
    """The passes of a store with all their revisions, oldest first, then what is unfinished.

    Raises
    ------
    FileNotFoundError
        If there is no store.
    """
    base, _ = locate(str(path))
    return [*(_published(base, entry) for entry in passes(base)), *_unfinished(base)]


def _published(path: str, entry: PassInfo) -> Revision:
    from etendue.provenance import activities

    reader = PassReader.open(path, entry.snapshot)
    made: dict[str, Any] = {}
    if "provenance" in entry.attributes:
        run = activities(entry.attributes["provenance"])[-1]
        made = {
            "pipeline": run.name,
            "config_hash": run.hash,
            "versions": run.versions,
            "host": run.host,
            "seconds": run.wall,
        }
    rows = _unless_damaged(lambda: {name: int(n.sum()) for name, n in reader.rows.items()}, {}, reader)
    failures = _unless_damaged(lambda: [asdict(failure) for failure in read_failures(reader)], [], reader)
    return Revision(entry.tag, entry.snapshot, entry.time, True, rows, failures=failures, **made)


def _unless_damaged[Told](read: Callable[[], Told], otherwise: Told, reader: PassReader) -> Told:
    """What a pass says of itself; if that is damaged, a warning does."""
    try:
        return read()
    except (ChunkError, icechunk.IcechunkError) as error:
        log.warning("%s: %s; see etendue verify", reader.place, str(error).partition("\n")[0])
        return otherwise


def _unfinished(path: str) -> list[Revision]:
    repository = open_repository(path)
    prefix = working_branch("")
    found = []
    for branch in sorted(repository.list_branches()):
        if branch.startswith(prefix):
            last = repository.lookup_snapshot(repository.lookup_branch(branch))
            found.append(Revision(branch.removeprefix(prefix), last.id, last.written_at, False))
    return found
