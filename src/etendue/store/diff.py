"""What differs between two passes: chunks, columns, distributions, and the rows that both have.

Chunks are told apart by their checksums, so what is equal is not read. The other columns are swept
twice, partition by partition: for moments and ranges, then for histograms over common edges. Where the
events can be matched, a third sweep compares values row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from etendue.dataflow.plan import cores
from etendue.dataflow.threads import in_order
from etendue.reprs import Legible, Section, some_of
from etendue.schema import Schema, SchemaError, split
from etendue.store.distribution import Binning, Moments, chi_square, kolmogorov_distance
from etendue.store.matching import (
    MAX_OVERLAP,
    Ends,
    Matched,
    event_key,
    key_ends,
    names_rows,
    overlapping,
    to_read,
    walk,
)
from etendue.store.paths import locate, looks_like_store
from etendue.store.reader import PassReader
from etendue.store.verify import input_paths


@dataclass(repr=False)
class ColumnDifference(Legible):
    """How a column of one pass differs from that of the other.

    Parameters
    ----------
    name : str
        ``table/column``.
    units : str
        Its units.
    partitions : int array
        Partitions of the second pass in which its chunks are not those of the first.
    moments : tuple of Moments, optional
        Of both passes; None for text.
    binning : Binning, optional
        The common bins.
    counts : tuple of int array, optional
        Of both passes: values below, in each bin, and above.
    matched : Matched, optional
        What came of comparing the rows that both have; None if they cannot be matched.
    """

    name: str
    units: str
    partitions: np.ndarray
    moments: tuple[Moments, Moments] | None = None
    binning: Binning | None = None
    counts: tuple[np.ndarray, np.ndarray] | None = None
    matched: Matched | None = None

    def facts(self) -> dict[str, str]:
        """The difference in a few lines, for people."""
        facts = {"column": self.name, "units": self.units, "partitions": f"{len(self.partitions):,} differ"}
        if self.moments:
            facts["mean"] = " -> ".join(f"{m.mean:.5g}" for m in self.moments if m.n)
            facts["distance"] = f"{self.distance:.3g} (Kolmogorov-Smirnov), chi2 {self.chi2:.3g}"
        if self.matched:
            facts["rows"] = f"{self.matched.different:,} of {self.matched.rows:,} matched rows differ"
        return facts

    @property
    def distance(self) -> float:
        """Greatest distance of the cumulative distributions; NaN where there is none."""
        return kolmogorov_distance(*self.counts) if self.counts else np.nan

    @property
    def chi2(self) -> float:
        """Chi-square a degree of freedom of the histograms; NaN where there is none."""
        return chi_square(*(counts[1:-1] for counts in self.counts)) if self.counts else np.nan

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        facts: dict[str, Any] = {
            "name": self.name,
            "units": self.units,
            "partitions": self.partitions.tolist(),
        }
        if self.moments:
            for side, moments, counts in zip("ab", self.moments, self.counts, strict=True):
                facts[side] = {
                    "n": moments.n, "n_nan": moments.n_nan, "n_inf": moments.n_inf,
                    "mean": moments.mean if moments.n else None, "std": _number(moments.std),
                    "min": _number(moments.min), "max": _number(moments.max), "counts": counts.tolist(),
                }  # fmt: skip
            facts["edges"] = self.binning.edges.tolist()
            facts |= {"distance": _number(self.distance), "chi2": _number(self.chi2)}
        if self.matched:
            facts["matched"] = {
                "rows": self.matched.rows,
                "different": self.matched.different,
                "mean_shift": _number(self.matched.mean_shift),
                "largest_shift": self.matched.largest,
            }
        return facts


@dataclass(repr=False)
class Difference(Legible):
    """What differs between two passes.

    Parameters
    ----------
    a, b : str
        The passes, as paths.
    rows : dict of str to (int, int)
        Rows of each table in both.
    partitions : tuple of int
        Partitions that both have (by the blocks of the inputs that they are of), only the first, only
        the second.
    only_a, only_b : list of str
        Columns that only one has.
    equal : list of str
        Columns of which all chunks are equal.
    recut : list of str
        Columns that are equal row by row, but cut into other chunks.
    columns : list of ColumnDifference
        The others, those whose distribution moved most first; what names the rows after all of them, or
        before them if no rows could be matched.
    matched : dict of str to int
        Rows that were matched, by table; empty if no row can be.
    """

    a: str
    b: str
    rows: dict[str, tuple[int, int]]
    partitions: tuple[int, int, int]
    only_a: list[str]
    only_b: list[str]
    equal: list[str]
    columns: list[ColumnDifference]
    recut: list[str] = field(default_factory=list)
    matched: dict[str, int] = field(default_factory=dict)

    def facts(self) -> dict[str, str]:
        """The difference in a few lines, for people."""
        both, only_a, only_b = self.partitions
        facts = {
            "passes": f"{self.a} against {self.b}",
            "partitions": f"{both:,} of both, {only_a:,} only of the first, {only_b:,} only of the second",
            "rows": some_of(f"/{t} {n:,} -> {m:,}" for t, (n, m) in self.rows.items() if n != m) or "as many",
            "only in the first": some_of(self.only_a),
            "only in the second": some_of(self.only_b),
            "equal": f"{len(self.equal) + len(self.recut)} columns",
            "differ": f"{len(self.columns)} columns: {some_of(c.name for c in self.columns)}",
        }
        return {key: value for key, value in facts.items() if value}

    def sections(self) -> Iterator[Section]:
        """The columns that differ."""
        rows = [
            (c.name, *(c.facts().get(key, "") for key in ("mean", "distance", "rows"))) for c in self.columns
        ]
        yield "columns that differ", ("column", "mean", "distance", "matched rows"), rows

    @property
    def is_empty(self) -> bool:
        """Whether the passes hold the same."""
        return not (self.columns or self.only_a or self.only_b)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**vars(self), "columns": [column.to_json() for column in self.columns]}


def diff(a: str, b: str, columns: Iterable[str] = ("*/*",), *, n_threads: int | None = None) -> Difference:
    """Compare two passes.

    Parameters
    ----------
    a : str
        A store, or ``store@pass``.
    b : str
        Another one, or the name of a pass of the same store.
    columns : iterable of str
        References to the columns to compare: ``events/*``, ``@camera/hillas_*``.
    n_threads : int, optional
        Partitions that are read at the same time; by default one a core.

    Returns
    -------
    Difference

    Raises
    ------
    StoreError
        If there is no such pass.
    SchemaError
        If no column of either is meant.
    ChunkError
        If a chunk is damaged.
    """
    first, second = PassReader.open(str(a)), PassReader.open(beside(str(a), str(b)))
    names = [_names(reader.schema, columns) for reader in (first, second)]
    if not any(names):
        raise SchemaError(f"neither pass has a column that {', '.join(columns)} means")
    pairs = pair_partitions(first, second)
    common = [name for name in names[0] if name in names[1]]
    changed = [_chunks(first, second, name, pairs) for name in common if _is_comparable(first, second, name)]
    moved = [column for column in changed if column is not None]
    alike = {column.name for column in moved}
    differing = [name for name in common if not _is_comparable(first, second, name)]
    found = Difference(
        first.place,
        second.place,
        {name: (_rows(first, name), _rows(second, name)) for name in {**first.schema, **second.schema}},
        (len(pairs[0]), first.n_partitions - len(pairs[0]), second.n_partitions - len(pairs[0])),
        [name for name in names[0] if name not in names[1] or name in differing],
        [name for name in names[1] if name not in names[0] or name in differing],
        [name for name in common if name not in alike and name not in differing],
        moved,
    )
    n_threads = n_threads or cores()
    _fill(first, second, moved, n_threads)
    _match(first, second, found, n_threads)
    _sort_out_recut(first, second, found)
    found.columns.sort(key=partial(_rank, first.schema, bool(found.matched)))
    return found


def _rank(schema: Schema, is_matched: bool, column: ColumnDifference) -> tuple:
    """Where a column stands in the list: those whose distribution moved most first.

    What names the rows comes last: where rows were matched it is equal in both, and differs only as one pass
    has rows that the other has not. It comes first where none could be matched, as that is why.
    """
    table, name = split(column.name)
    names_it = names_rows(schema, table, name)
    return names_it == is_matched, -np.nan_to_num(column.distance), -len(column.partitions), column.name


def beside(a: str, b: str) -> str:
    """The second pass as a path: it may be named as one of the store of the first."""
    base, tag = locate(b)
    if tag is None and "://" not in b and "/" not in b and not looks_like_store(base):
        return f"{locate(a)[0]}@{b}"
    return b


def _names(schema: Schema, references: Iterable[str]) -> dict[str, None]:
    """The columns that references mean, in the order of the schema; ``*/*`` is all."""
    names = {name for reference in references for name in schema.resolve(f"{reference.rstrip('?')}?")}
    known = [f"{table.name}/{column}" for table in schema.values() for column in table.variables]
    return {name: None for name in known if name in names}


def _is_comparable(a: PassReader, b: PassReader, name: str) -> bool:
    """Whether a column has rows of one shape, of numbers or of text, in both passes."""
    one, other = (reader.column(reader.schema[split(name)[0]], split(name)[1]) for reader in (a, b))
    texts = [column.variable.dtype == "str" for column in (one, other)]
    return one.inner == other.inner and texts[0] == texts[1]


def _rows(reader: PassReader, table: str) -> int:
    return int(reader.chunk_rows(table).sum()) if table in reader.schema else 0


def pair_partitions(a: PassReader, b: PassReader) -> tuple[np.ndarray, np.ndarray]:
    """Partitions of two passes that are of the same blocks of the same input.

    If there are none, as when one pass was made from the other's input after that was stored, partitions
    are paired by their numbers.

    Returns
    -------
    tuple of int64 array
        Partitions of ``a``, and those of ``b`` that belong to them.
    """
    places = [{place: n for n, place in enumerate(_origins(reader))} for reader in (a, b)]
    both = [(n, places[1][place]) for place, n in places[0].items() if place in places[1]]
    if not both:
        both = [(n, n) for n in range(min(a.n_partitions, b.n_partitions))]
    return tuple(np.array(both, np.int64).reshape(-1, 2).T)


def _origins(reader: PassReader) -> list[tuple[str, int, int]]:
    """Input and blocks of each partition."""
    inputs = input_paths(reader)
    return [(inputs.get(number, ""), first, stop) for number, first, stop in reader.origin.tolist()]


def _chunks(
    a: PassReader, b: PassReader, name: str, pairs: tuple[np.ndarray, np.ndarray]
) -> ColumnDifference | None:
    """Which chunks of a column differ; None if none does."""
    table, _ = split(name)
    units = b.schema.variable(name).units
    dtypes = {reader.schema.variable(name).dtype for reader in (a, b)}
    if "static" in (a.schema[table].role, b.schema[table].role):
        same = len(dtypes) == 1 and _static_checksum(a, name) == _static_checksum(b, name)
        return None if same else ColumnDifference(name, units, np.empty(0, np.int64))
    same = (a.checksums[name][pairs[0]] == b.checksums[name][pairs[1]]) & (len(dtypes) == 1)
    same &= a.rows[table][pairs[0]] == b.rows[table][pairs[1]]
    changed, lost = b.rows[table] > 0, a.rows[table] > 0
    changed[pairs[1]], lost[pairs[0]] = ~same, False
    return ColumnDifference(name, units, np.flatnonzero(changed)) if changed.any() or lost.any() else None


def _static_checksum(reader: PassReader, name: str) -> int | None:
    return reader.facts["static_checksums"].get(name)


def _fill(a: PassReader, b: PassReader, columns: Sequence[ColumnDifference], n_threads: int) -> None:
    """Take moments and, over common bins, histograms of columns of numbers."""
    numeric = {column.name: column for column in columns if a.schema.variable(column.name).dtype != "str"}
    sweeps = [_sweep(reader, numeric, lambda _, array: Moments.of(array), n_threads) for reader in (a, b)]
    for name, column in numeric.items():
        column.moments = tuple(sweep.get(name, Moments()) for sweep in sweeps)
        integer = all(reader.schema.variable(name).dtype[0] != "f" for reader in (a, b))
        column.binning = Binning.over(sum(column.moments, start=Moments()), integer=integer)
    sweeps = [
        _sweep(reader, numeric, lambda name, array: numeric[name].binning.count(array), n_threads)
        for reader in (a, b)
    ]
    for name, column in numeric.items():
        empty = np.zeros(column.binning.n_bins + 2, np.int64)
        column.counts = tuple(sweep.get(name, empty) for sweep in sweeps)


def _sweep[T](
    reader: PassReader,
    names: Iterable[str],
    measure: Callable[[str, np.ndarray], T],
    n_threads: int,
) -> dict[str, T]:
    """Sum of what is measured of each column in each partition."""

    def of_part(part: tuple[dict[str, list[str]], int]) -> dict[str, T]:
        columns, partition = part
        return {
            f"{table}/{column}": measure(f"{table}/{column}", array)
            for table, arrays in reader.read(columns, [partition]).items()
            for column, array in arrays.items()
        }

    totals: dict[str, T] = {}
    for found in in_order(of_part, _parts(reader, names), n_threads):
        for name, value in found.items():
            totals[name] = totals[name] + value if name in totals else value
    return totals


def _parts(reader: PassReader, names: Iterable[str]) -> Iterator[tuple[dict[str, list[str]], int]]:
    """What is read together: the static columns, and the others of each partition."""
    static: dict[str, list[str]] = {}
    chunked: dict[str, list[str]] = {}
    for name in names:
        table, column = split(name)
        (static if reader.schema[table].role == "static" else chunked).setdefault(table, []).append(column)
    if static:
        yield static, 0
    for partition in range(reader.n_partitions if chunked else 0):
        yield chunked, partition


def _match(a: PassReader, b: PassReader, found: Difference, n_threads: int) -> None:
    """Compare the rows that both passes have, in the columns that differ."""
    changed: dict[str, list[str]] = {}
    for column in found.columns:
        table, name = split(column.name)
        changed.setdefault(table, []).append(name)
    key = event_key(a, b)
    wanted = to_read(a.schema, b.schema, key, changed) if key else {}
    if not wanted:
        return
    top = a.schema.top.name

    def ends_of(reader: PassReader, partition: int) -> Ends:
        return key_ends(reader.read({top: key}, [partition])[top])

    ends = [
        list(in_order(partial(ends_of, reader), range(reader.n_partitions), n_threads)) for reader in (a, b)
    ]
    candidates = overlapping(*ends)
    if sum(map(len, candidates)) > MAX_OVERLAP * max(a.n_partitions, b.n_partitions):
        return

    def of_partition(number: int) -> tuple[dict[str, int], dict[str, Matched]]:
        rows, columns = dict.fromkeys(wanted, 0), {}
        mine = a.read(wanted, [number])
        for candidate in candidates[number].tolist():
            theirs = b.read(wanted, [candidate])
            for table, of_a, of_b in walk(a.schema, b.schema, mine, theirs, key):
                rows[table] += len(of_a)
                for name in changed.get(table, []):
                    one, other = mine[table][name][of_a], theirs[table][name][of_b]
                    before = columns.get(f"{table}/{name}", Matched())
                    columns[f"{table}/{name}"] = before + Matched.of(one, other)
        return rows, columns

    found.matched = dict.fromkeys(wanted, 0)
    by_name = {column.name: column for column in found.columns}
    for rows, columns in in_order(of_partition, range(a.n_partitions), n_threads):
        for table, n in rows.items():
            found.matched[table] += n
        for name, matched in columns.items():
            by_name[name].matched = (by_name[name].matched or Matched()) + matched


def _sort_out_recut(a: PassReader, b: PassReader, found: Difference) -> None:
    """Take the columns out that are equal in every row of both passes."""
    for column in list(found.columns):
        n_rows = found.rows[split(column.name)[0]]
        dtypes = {reader.schema.variable(column.name).dtype for reader in (a, b)}
        matched = column.matched or Matched()
        if matched.different == 0 and len(dtypes) == 1 and n_rows == (matched.rows, matched.rows):
            found.columns.remove(column)
            found.recut.append(column.name)


def _number(value: float) -> float | None:
    """A number for JSON, which knows no NaN."""
    return float(value) if np.isfinite(value) else None
