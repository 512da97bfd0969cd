"""How fast raw files of KM3NeT become columns, beside uproot's reading of the bytes alone, on one core.

Run it with ``python benchmarks/km3net_read.py``; the files are those of the package `km3net-testdata`.

Of each stream it prints million hits (frames for summary slices) a CPU second:

- *uproot, bytes*: open the file and get the bytes of the same baskets with uproot, which interprets nothing;
- *from open*: open the file, read its tree, and make all columns;
- *steady*: the same with the file open and its tree read. Each round has a new reader, which unpacks all
  baskets anew: what a file of the usual length comes to, as those of the test data have few slices.

And the share of the steady time that goes into fetching and unpacking baskets, into copying numbers out of
their bytes, and into matching triggered hits to the snapshot; the rest is Python and new arrays. The second
row is the same file without the column that asks for the matching, ``hits/trigger_mask``.
"""

from __future__ import annotations

from collections.abc import Callable
from time import process_time

import km3net_testdata
import uproot
from common import best, table

from etendue.dataflow.source import Scan
from etendue.neutrino.sources.km3net import KM3NeTSource, baskets, layouts, superframes
from etendue.neutrino.sources.km3net.streams import opened, stream

#: Path, stream, tables whose rows are counted, and columns to leave out.
STREAMS = [
    ("online/muon_cc_daqevents.root", "events", ("hits", "triggered_hits")),
    ("online/muon_cc_daqevents.root", "events", ("hits", "triggered_hits"), "hits/trigger_mask"),
    ("online/KM3NeT_00000267_00025291_L1.root", "L1", ("hits",)),
    ("online/KM3NeT_00000267_00025291_SN.root", "SN", ("hits",)),
    ("online/events_sample.root", "L1", ("hits",)),
    ("online/events_sample.root", "timeslices", ("hits",)),
    ("online/summaryslices.root", "summary", ("frames",)),
]
PARTS: dict[str, list[tuple[object, str]]] = {
    "unpack": [(baskets.Branch, "entries")],
    "copy": [
        *((layouts, name) for name in ("key_hits", "trigger_masks", "words", "items")),
        (superframes, "slice_hits"),
    ],
    "match": [(layouts, "match_masks")],
}
ROUNDS = 15


def columns(scan: Scan) -> frozenset[str]:
    return frozenset(f"{t.name}/{c}" for t in scan.schema.values() if t.role == "rows" for c in t.variables)


def bytes_by_uproot(path: str, tree: str) -> int:
    """All baskets of the tree's branches that etendue reads."""
    n = 0
    with uproot.open({path: None}, handler=uproot.MemmapSource, object_cache=None, array_cache=None) as file:
        for branch in file[tree].itervalues(recursive=True):
            if not any(
                part in branch.name for part in ("JDAQPreamble", "fBits", "fUniqueID", "length", "type")
            ):
                n += sum(len(branch.basket(k).data) for k in range(branch.num_baskets))
    return n


def steadily(path: str, name: str, wanted: frozenset[str]) -> Callable[[], None]:
    """What reads all entries of an open file."""
    kind = stream(name)
    context = opened(path)
    file = context.__enter__()
    tree = baskets.Tree(path, file, kind.tree)

    def read(_keep=context) -> None:
        reader = kind.reader(tree)
        look = reader.look(0, tree.n_entries)
        reader.tables(look, look.rows[kind.row_tables[0].name] > 0, wanted)

    return read


def shares(read: Callable[[], None]) -> dict[str, float]:
    """Share of each part in the CPU time of a call."""
    seconds = dict.fromkeys(PARTS, 0.0)
    originals = {(place, name): getattr(place, name) for places in PARTS.values() for place, name in places}

    def timed(part: str, function: Callable) -> Callable:
        def wrapper(*args):
            start = process_time()
            result = function(*args)
            seconds[part] += process_time() - start
            return result

        return wrapper

    for part, places in PARTS.items():
        for place, name in places:
            setattr(place, name, timed(part, originals[place, name]))
    start = process_time()
    for _ in range(ROUNDS):
        read()
    total = process_time() - start
    for (place, name), function in originals.items():
        setattr(place, name, function)
    return {part: spent / total for part, spent in seconds.items()}


def measure(name: str, fragment: str, tables: tuple[str, ...], without: str = "") -> list[str]:
    path = km3net_testdata.data_path(name)
    source = KM3NeTSource()
    scan = source.scan(f"{path}#{fragment}")
    wanted, ranges = columns(scan) - {without}, [(0, len(scan.rows[scan.schema.top.name]))]
    n = sum(int(scan.rows[table].sum()) for table in tables)
    steady = steadily(path, fragment, wanted)
    times = (
        best(lambda: bytes_by_uproot(path, stream(fragment).tree), ROUNDS),
        best(lambda: list(source.read(scan, ranges, wanted)), ROUNDS),
        best(steady, ROUNDS),
    )
    share = shares(steady)
    return [
        f"{name.rpartition('/')[2]}#{fragment}{without and f' without {without}'}",
        f"{n:,} {tables[0]}",
        *(f"{n / seconds / 1e6:.1f}" for seconds in times),
        *(f"{100 * share[part]:.0f} %" for part in PARTS),
        f"{best(lambda: source.scan(f'{path}#{fragment}'), ROUNDS) * 1e3:.1f} ms",
    ]


if __name__ == "__main__":
    table(
        ["stream", "rows", "uproot, bytes", "from open", "steady", *PARTS, "scan"],
        [measure(*row) for row in STREAMS],
    )
