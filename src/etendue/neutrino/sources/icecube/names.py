"""What objects are called: each name of a table or column that is made of keys stands for one thing."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from etendue.dataflow.partition import SELECTED
from etendue.neutrino.sources.icecube.conditions import condition_tables
from etendue.neutrino.sources.icecube.contents import EVENTS, RESERVED, STREAMS, Content, clean
from etendue.neutrino.sources.icecube.tables import event_variables, row_tables

log = logging.getLogger(__name__)

#: What was said already in this process.
_TOLD: set[str] = set()


def name_contents(
    counts: Counter[tuple[str, str, str]],
    entries: Mapping[tuple[str, str], Collection[str]],
    unknown: Collection[tuple[str, str, str]] = (),
) -> list[Content]:
    """Give each stream, key and type a name of its own; the commonest type of a key gets the key's.

    An object whose tables or columns would be called as others are (``Reco_energy`` beside the energy of
    a particle ``Reco``; ``time``, as all events have one) is called by its type, too.

    Parameters
    ----------
    counts : mapping of (str, str, str) to int
        How many objects there are of each stream, key and type.
    entries : mapping of (str, str) to collection of str
        Of keys and types of named entries that become columns of their own, their names.
    unknown : collection of (str, str, str)
        Streams, keys and types of objects with classes of unknown versions, which are kept as bytes.
    """
    taken = {f"events/{name}" for name in (*EVENTS.variables, SELECTED)} | RESERVED | {*STREAMS.values()}
    contents = []
    ranked = sorted(counts.items(), key=lambda item: (item[0][0], item[0][1], -item[1], item[0][2]))
    for (stream, key, kind), count in ranked:
        for name in _candidates(stream, key, kind):
            content = Content(stream, key, kind, name, count, (stream, key, kind) not in unknown)
            made = {name, *_made(content, sorted(entries.get((key, kind), ())))}
            if taken.isdisjoint(made):
                break
        taken |= made
        contents.append(content)
    return contents


def _candidates(stream: str, key: str, kind: str) -> Iterator[str]:
    prefix = "" if stream == "P" else f"{STREAMS.get(stream) or clean(f'stream_{stream}')}/"
    name = prefix + clean(key)
    yield name
    name = f"{name}_{clean(kind)}"
    while True:
        yield name
        name += "_"


def _made(content: Content, entries: list[str]) -> Iterator[str]:
    """Full names of all columns of events, and the names of all tables, that an object gives."""
    if not content.is_of_events:
        yield from (table.name for table, _ in condition_tables(content))
        return
    yield from (f"events/{variable.name}" for variable in event_variables(content, entries))
    for table in row_tables(content):
        yield table.name
        yield f"{table.parent}/n_{table.name}"


def tell_unknown(path: str, unknown: Mapping[tuple[str, str, str], str]) -> None:
    """Say of which objects a class is of an unknown version: once in a process, not for each file."""
    for (stream, key, _), why in unknown.items():
        tell(path, f"{stream} frames, {key}: {why}; its bytes are kept, as those of an unknown type")


def tell(path: str, message: str) -> None:
    """Say something of a file, once in a process for all files that it is true of."""
    if message not in _TOLD:
        _TOLD.add(message)
        log.warning("%s: %s", path, message)
