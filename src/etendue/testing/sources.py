"""What every source must hold, each a check of its own; `check_source` makes all of them."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from etendue.dataflow import border
from etendue.dataflow.unify import unify
from etendue.extend import Columns, OnError, Partition, Scan, Source, SourceError, StreamSource
from etendue.testing.compare import assert_same, joined

#: Ways in which a file is cut into ranges of blocks, at random.
CUTS = 5
#: Columns that are read alone; each needs a read of the whole file.
ALONE = 20


def check_source(source: Source, path: str, folder: Path, n_damages: int = 20) -> None:
    """Make all checks of a source with one whole input of its kind.

    Parameters
    ----------
    source : Source
        The source.
    path : str
        An input that is whole, small, and has some events.
    folder : path
        Where damaged copies are written.
    n_damages : int
        Damaged copies that are tried of each kind.

    Raises
    ------
    AssertionError
        Says which contract is broken, and where.
    """
    check_accepts(source, path, folder)
    check_scan(source, path)
    check_cuts(source, path)
    check_columns(source, path)
    if isinstance(source, StreamSource):
        check_stream(source, path)
    if Path(path).is_file():
        check_damage(source, path, folder, n_damages)


def check_accepts(source: Source, path: str, folder: Path) -> None:
    """A source knows its own inputs, whatever they are called, and no others; to ask never raises."""
    assert source.accepts(path), f"{source.name} does not accept {path}"
    others = {"missing": None, "empty": b"", "text": b"a letter home\n", "noise": bytes(range(256)) * 16}
    for name, data in others.items():
        other = folder / name
        if data is not None:
            other.write_bytes(data)
        assert not source.accepts(str(other)), f"{source.name} accepts a file that is {name}"
    if Path(path).is_file():
        renamed = folder / "renamed"
        renamed.write_bytes(Path(path).read_bytes())
        assert source.accepts(str(renamed)), f"{source.name} knows {path} by its name, not by what is in it"


def check_scan(source: Source, path: str) -> None:
    """A scan can be pickled, is the same each time, and its tables fit the run they become."""
    scan, again = border.scan(source, path, "raise"), border.scan(source, path, "raise")
    assert scan.source == source.name, f"the scan names the source {scan.source!r}, not {source.name!r}"
    assert scan.path.startswith(path), f"the scan names the path {scan.path!r}"
    for other in (again, pickle.loads(pickle.dumps(scan))):
        assert other.schema == scan.schema, "two scans declare different tables"
        assert_same({"rows": other.rows}, {"rows": scan.rows}, "two scans of one input")
        assert_same(other.static, scan.static, "two scans of one input")
    top = unify([scan]).schema.top
    assert top.name in scan.rows, f"the scan does not count the rows of the top table {top.name!r}"
    for name, columns in scan.static.items():
        scan.schema.table(name).validate(columns, complete=True)


def check_cuts(source: Source, path: str) -> None:
    """However an input is cut into ranges of blocks, the same rows come, and no more than were counted."""
    scan = border.scan(source, path, "raise")
    n_blocks = _n_blocks(scan)
    whole = _read(source, scan, [(0, n_blocks)])
    for table, columns in whole.items():
        n_rows, counted = len(next(iter(columns.values()))), int(scan.rows[table].sum())
        assert n_rows <= counted, f"{table}: {n_rows} rows were read, and the scan counted {counted}"
    rng = np.random.default_rng(0)
    cuts = [np.arange(n_blocks + 1), *(_random_cut(rng, n_blocks) for _ in range(CUTS))]
    for cut in cuts:
        ranges = list(zip(cut[:-1].tolist(), cut[1:].tolist(), strict=True))
        assert_same(_read(source, scan, ranges), whole, f"cut into {len(ranges)} ranges")
    if scan.splittable and n_blocks > 1:
        middle = n_blocks // 2
        halves = [_read(source, scan, [part]) for part in ((middle, n_blocks), (0, middle))]
        for table, columns in whole.items():
            for name, array in columns.items():
                parts = [half[table][name] for half in reversed(halves) if name in half.get(table, {})]
                np.testing.assert_array_equal(np.concatenate(parts), array, f"by halves: {table}/{name}")


def check_columns(source: Source, path: str) -> None:
    """All columns come when all are asked for, and each is the same alone as among others.

    Counts are columns like others: the number of children does not depend on whether these are read.
    """
    scan = border.scan(source, path, "raise")
    ranges = [(0, _n_blocks(scan))]
    whole = _read(source, scan, ranges)
    for table, columns in whole.items():
        missing = scan.schema[table].variables.keys() - columns.keys()
        assert not missing, f"{table} declares columns that do not come: {sorted(missing)}"
    names = [f"{table}/{column}" for table, columns in whole.items() for column in columns]
    rng = np.random.default_rng(0)
    chosen = names if len(names) <= ALONE else rng.choice(names, ALONE, replace=False).tolist()
    for name in chosen:
        table, _, column = name.rpartition("/")
        alone = _read(source, scan, ranges, frozenset([name, *_counts_of(scan, table)]))
        assert column in alone.get(table, {}), f"{name} is asked for alone, and does not come"
        np.testing.assert_array_equal(alone[table][column], whole[table][column], f"{name}, alone")


def check_stream(source: StreamSource, path: str) -> None:
    """A stream that is read from its start has what a scan and a read have."""
    scan = border.scan(source, path, "raise")
    start = border.scan(source, path, "raise", look=True)
    if start.counted:
        return
    expected = _read(source, scan, [(0, _n_blocks(scan))])
    stream = source.stream(start, dict.fromkeys(start.rows, 100), 1000, _columns(start))
    assert_same(joined(border.partitions(stream, start)), expected, "as a stream")
    if scan.sha256:
        assert stream.sha256 == scan.sha256, "the stream has another checksum than the scan"


def check_damage(source: Source, path: str, folder: Path, n_damages: int = 20) -> None:
    """Damage is told as `SourceError`, which names the file; with ``skip``, what comes is whole.

    A file that is cut short in the middle is never read without a word, and what is left of it are the rows
    that come first in the whole file.
    """
    data = Path(path).read_bytes()
    scan = border.scan(source, path, "raise")
    whole = _read(source, scan, [(0, _n_blocks(scan))])
    rng = np.random.default_rng(0)
    copy = folder / f"damaged{''.join(Path(path).suffixes)}"
    for _ in range(n_damages):
        stop = int(rng.integers(len(data) // 2, len(data)))
        copy.write_bytes(data[:stop])
        told, left = _try(source, str(copy))
        n_rows = {name: len(next(iter(columns.values()))) for name, columns in left.items()}
        is_less = any(n_rows.get(name, 0) < len(next(iter(c.values()))) for name, c in whole.items())
        assert told or not is_less, f"cut after {stop} of {len(data)} bytes: rows are lost without a word"
        top = unify([scan]).schema.top.name
        first = {name: array[: n_rows.get(top, 0)] for name, array in whole[top].items()}
        assert_same({top: left.get(top, {})}, {top: first}, f"cut after {stop} bytes", columns=False)
    for _ in range(n_damages):
        broken = bytearray(data)
        start = int(rng.integers(0, len(data)))
        broken[start : start + 8] = rng.bytes(len(broken[start : start + 8]))
        copy.write_bytes(broken)
        _try(source, str(copy))


def _try(source: Source, path: str) -> tuple[bool, dict[str, Columns]]:
    """Whether something was told of a damaged file, and what is left of it with ``skip``."""
    is_raised = _is_raised(source, path, "raise")
    try:
        scan = border.scan(source, path, "skip")
        partitions = list(_partitions(source, scan, [(0, _n_blocks(scan))], _columns(scan), "skip"))
    except SourceError as error:
        _check_names(error, path)
        return True, {}
    failures = [*scan.failures, *(failure for partition in partitions for failure in partition.failures)]
    for failure in failures:
        assert failure.path == path, f"a failure names {failure.path!r} and not the file {path}"
        assert failure.place, f"a failure does not say where in the file: {failure}"
        assert failure.message, f"a failure does not say what is wrong: {failure}"
    assert is_raised or not failures, f"told with skip, but not raised: {failures[:1]}"
    return is_raised or bool(failures), joined(partitions)


def _is_raised(source: Source, path: str, on_error: OnError) -> bool:
    try:
        scan = border.scan(source, path, on_error)
        list(_partitions(source, scan, [(0, _n_blocks(scan))], _columns(scan), on_error))
    except SourceError as error:
        _check_names(error, path)
        return True
    return False


def _check_names(error: SourceError, path: str) -> None:
    assert path in str(error), f"the error does not name the file {path}: {error}"


def _partitions(
    source: Source,
    scan: Scan,
    ranges: Sequence[tuple[int, int]],
    columns: frozenset[str],
    on_error: OnError = "raise",
) -> Iterator[Partition]:
    for number, partition in enumerate(border.read(source, scan, ranges, columns, on_error)):
        assert partition.number == number, f"partition {number} is numbered {partition.number}"
        yield partition


def _read(
    source: Source,
    scan: Scan,
    ranges: Sequence[tuple[int, int]],
    columns: frozenset[str] | None = None,
) -> dict[str, Columns]:
    """The rows of some ranges, of all columns unless they are named."""
    return joined(_partitions(source, scan, ranges, _columns(scan) if columns is None else columns))


def _columns(scan: Scan) -> frozenset[str]:
    return frozenset(f"{table.name}/{name}" for table in scan.schema.values() for name in table.variables)


def _counts_of(scan: Scan, table: str) -> Iterator[str]:
    """The counts that say to whom the rows of a table belong."""
    while (parent := scan.schema[table].parent) is not None:
        yield f"{parent}/n_{table}"
        table = parent


def _n_blocks(scan: Scan) -> int:
    return max((len(rows) for rows in scan.rows.values()), default=0)


def _random_cut(rng: np.random.Generator, n_blocks: int) -> np.ndarray:
    """Edges of ranges: all blocks, cut at some places."""
    inner = np.unique(rng.integers(1, n_blocks, int(rng.integers(1, 6)))) if n_blocks > 1 else []
    return np.array([0, *inner, n_blocks], np.int64)
