"""The journal of an unfinished pass: what each commit of its working branch has done.

An entry is one chunk of an array that only the working branch has: JSON, compressed, and beside it the
histograms that were filled. What the pass was begun with (of each input what tells it from others) stands in
another such array: in the attributes of the root it would be in the snapshot of each commit, anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import batched
from typing import Any

import icechunk
import numpy as np
import zstandard

from etendue.dataflow.partition import Failure, Receipt
from etendue.schema import Variable
from etendue.store import layout
from etendue.store.codecs import codec_for
from etendue.store.fetch import get_each
from etendue.store.repository import chunk_numbers, delete_group, set_keys
from etendue.store.seal import DamageError

JOURNAL = "journal"
HISTOGRAMS = "journal_histograms"
BEGUN = "journal_begun"
_VARIABLES = [
    Variable(name, ("entry",), "uint8", "", "working state of a pass")
    for name in (JOURNAL, HISTOGRAMS, BEGUN)
]
#: More commits than any pass has; not many more, as each costs a little of the time of every commit.
_MOST = 1 << 20
#: Entries that are fetched at the same time.
_FETCHED = 16


@dataclass
class Entry:
    """What has been done since the commit before.

    Parameters
    ----------
    receipts : list of (int, Receipt)
        Partitions that are done, each with the number of its input.
    sha256 : dict of int to str
        Checksums of inputs that were taken while they were read, by the number of the input.
    tallies : dict of int to dict of str to number
        Values of static columns that are known when an input was read, by the number of the input.
    failures : list of Failure
        Inputs that are not read at all.
    histograms : bytes
        What the histograms were filled with.
    """

    receipts: list[tuple[int, Receipt]] = field(default_factory=list)
    sha256: dict[int, str] = field(default_factory=dict)
    tallies: dict[int, dict[str, float]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    histograms: bytes = b""

    def __bool__(self) -> bool:
        return bool(self.receipts or self.failures)


def begin(store: icechunk.IcechunkStore, attributes: Mapping[str, Any]) -> None:
    """Make the empty journal of a pass that is begun with these attributes."""
    for variable in _VARIABLES:
        one = layout.array_metadata(variable, (), codec_for(variable, "default"), np.ones(1, np.int64))
        metadata = {**json.loads(one), "shape": [_MOST]}
        set_keys(store, {f"{variable.name}/zarr.json": json.dumps(metadata).encode()})
    packed = zstandard.ZstdCompressor(write_checksum=True).compress(json.dumps(attributes).encode())
    set_keys(store, {layout.chunk_key(BEGUN, 0, 1): packed})


def begun_with(store: icechunk.IcechunkStore, place: str) -> dict[str, Any]:
    """The attributes that a pass was begun with; none if its root has them, as of older versions.

    Raises
    ------
    DamageError
        If they cannot be read.
    """
    (data,) = get_each(store, [layout.chunk_key(BEGUN, 0, 1)])
    if data is None:
        return {}
    try:
        if isinstance(data, BaseException):
            raise data
        return json.loads(zstandard.decompress(data.tobytes()))
    except (icechunk.IcechunkError, zstandard.ZstdError, ValueError) as error:
        raise DamageError(place, f"array {BEGUN}", error) from error


def end(store: icechunk.IcechunkStore) -> None:
    """Remove the journal."""
    for variable in _VARIABLES:
        delete_group(store, variable.name)


def append(store: icechunk.IcechunkStore, number: int, entry: Entry) -> None:
    """Set an entry."""
    document = {
        "receipts": [[n, asdict(receipt)] for n, receipt in entry.receipts],
        "sha256": list(entry.sha256.items()),
        "tallies": list(entry.tallies.items()),
        "failures": [asdict(failure) for failure in entry.failures],
    }
    data = zstandard.compress(json.dumps(document).encode())
    keys = {layout.chunk_key(JOURNAL, number, 1): data}
    if entry.histograms:
        keys[layout.chunk_key(HISTOGRAMS, number, 1)] = zstandard.compress(entry.histograms)
    set_keys(store, keys)


def read(store: icechunk.IcechunkStore) -> Iterator[Entry]:
    """All entries, in the order in which they were made; few are in memory at a time."""
    numbers = chunk_numbers(store, [JOURNAL])[JOURNAL].tolist()
    for some in batched(numbers, _FETCHED):
        entries = get_each(store, [layout.chunk_key(JOURNAL, n, 1) for n in some])
        histograms = get_each(store, [layout.chunk_key(HISTOGRAMS, n, 1) for n in some])
        yield from map(_entry, entries, histograms)


def _entry(data: Any, histograms: Any) -> Entry:
    if isinstance(data, BaseException):
        raise data
    document = json.loads(zstandard.decompress(data.tobytes()))
    return Entry(
        [(n, _receipt(receipt)) for n, receipt in document["receipts"]],
        dict(map(tuple, document["sha256"])),
        dict(map(tuple, document.get("tallies", ()))),
        list(_failures(document["failures"])),
        b"" if histograms is None else zstandard.decompress(histograms.tobytes()),
    )


def _receipt(facts: dict[str, Any]) -> Receipt:
    selected = {
        stage: {table: tuple(pair) for table, pair in tables.items()}
        for stage, tables in facts["selected"].items()
    }
    return Receipt(
        **{
            **facts,
            "failures": tuple(_failures(facts["failures"])),
            "blocks": tuple(facts["blocks"]),
            "selected": selected,
        }
    )


def _failures(facts: list[dict[str, Any]]) -> Iterator[Failure]:
    return (Failure(**failure) for failure in facts)
