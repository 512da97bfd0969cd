"""How objects become tables and columns: what a layout's levels are called, and blobs laid out by events."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from etendue.kernel import offsets, owners
from etendue.neutrino.schema import pulse_table
from etendue.neutrino.sources.icecube.contents import Content, clean
from etendue.neutrino.sources.icecube.decode import Decoded
from etendue.neutrino.sources.icecube.launches import LAUNCHES, waveform_tables
from etendue.neutrino.sources.icecube.layout import COUNT, PLACE, ROWS, TEXT, Column, Layout
from etendue.schema import Columns, Table, Variable

#: Levels named by a key (a module, a text): rows that own others of one kind are repeated for each of those.
KEYED = ("modules", "entries")
#: The level of named numbers, and of filters' decisions, whose entries become columns of their own.
NAMED = frozenset({"I3MapStringBool", "I3MapStringInt", "I3MapStringDouble", "I3FilterResultMap"})
#: The column of their names.
ENTRY = "entries.key"
#: Types that are trees, whose rows have a column for their parents.
TREES = frozenset({"I3MCTree", "I3TriggerHierarchy"})
PARENT, SHAPE = "parent", "shape"
#: What an object of one number gives its name to, without a suffix.
VALUE = "value"
#: What is added to an object's name for the column that says whether the event has it.
EXISTS = "exists"


@dataclass(frozen=True)
class RowLevels:
    """A table that a layout gives.

    Parameters
    ----------
    suffix : str
        What is added to the object's name.
    levels : tuple of int
        The levels whose columns the table has, the outermost first; a row is one of the last.
    owner : str, optional
        Suffix of the table whose rows own these; None for the event.
    """

    suffix: str
    levels: tuple[int, ...]
    owner: str | None


@cache
def row_levels(layout: Layout) -> tuple[RowLevels, ...]:
    """The tables that a layout gives."""
    program = layout.program()
    children = {
        level: [c for c, parent in enumerate(program.parents) if parent == level]
        for level in range(len(program.levels))
    }

    def visit(level: int, chain: tuple[int, ...], owner: str | None) -> Iterator[RowLevels]:
        chain = (*chain, level)
        if program.levels[level] in KEYED and len(children[level]) == 1:
            yield from visit(children[level][0], chain, owner)
            return
        suffix = f"_{program.levels[level]}"
        yield RowLevels(suffix, chain, owner)
        for child in children[level]:
            yield from visit(child, (), suffix)

    shown = [child for child in children[0] if program.levels[child] != SHAPE]
    found = [rows for child in shown for rows in visit(child, (), None)]
    top = [rows.suffix for rows in found if rows.owner is None]
    if len(top) == 1:
        rename = {top[0]: ""}
        found = [
            RowLevels(rename.get(r.suffix, r.suffix), r.levels, rename.get(r.owner, r.owner)) for r in found
        ]
    return tuple(found)


@cache
def columns_of_level(layout: Layout, level: int) -> tuple[Column, ...]:
    """The columns of one level, without the counts of what its rows own."""
    program = layout.program()
    return tuple(c for c in program.columns if c.level == level and c.dtype not in (ROWS, PLACE))


@lru_cache(maxsize=1 << 14)  # files of a kind have the same keys
def variable(name: str, dim: str, column: Column) -> Variable:
    """Declaration of a column of a layout; angles come in degrees."""
    dtype = {TEXT: "str", COUNT: "int64"}.get(column.dtype) or np.dtype(column.dtype).name
    units = "deg" if column.units == "rad" else column.units
    return Variable(name, (dim,), dtype, units, column.about)


def event_name(content: Content, column: str) -> str:
    """Name of a column of ``/events`` that is made of an object's field."""
    return content.name if column == VALUE else f"{content.name}_{column}"


def event_variables(content: Content, entries: list[str]) -> list[Variable]:
    """The columns of ``/events`` that an object gives.

    Parameters
    ----------
    entries : list of str
        Names of entries that become columns of their own.
    """
    about = f"whether the event has an object {content.key} ({content.type})"
    made = [Variable(f"{content.name}_{EXISTS}", ("event",), "bool", "", about)]
    if content.layout is None or content.is_pulses:
        return made
    fields = [(column.name, column) for column in columns_of_level(content.layout, 0)]
    if content.type in NAMED:
        level = content.layout.program().levels.index("entries")
        fields += [
            (entry_name(label, column.name), column)
            for label in entry_labels(entries)
            for column in columns_of_level(content.layout, level)
            if column.dtype != TEXT
        ]
    return made + [variable(event_name(content, name), "event", column) for name, column in fields]


def entry_labels(entries: list[str]) -> list[str]:
    """What named entries are called: by their names but for some characters, marked if others are, too."""
    calls = Counter([*map(clean, entries), EXISTS])
    return [clean(entry) if calls[clean(entry)] == 1 else marked(entry) for entry in entries]


def marked(entry: str) -> str:
    """A name for an entry that no other has: with the checksum of all its characters."""
    return f"{clean(entry)}_{zlib.crc32(entry.encode()):08x}"


def entry_name(label: str, column: str) -> str:
    """What a named entry's field adds to the object's name."""
    return label if column == VALUE else f"{label}_{column}"


def row_tables(content: Content) -> list[Table]:
    """The tables that an object gives, whose rows belong to events."""
    if content.is_pulses:
        return [pulse_table(content.name)]
    if content.layout is None:
        unknown = "of which a class is of an unknown version" if content.is_known else "which is not known"
        about = f"bytes of objects of the type {content.type}, {unknown}"
        byte = Variable("byte", (f"{content.name}_byte",), "uint8", "", "a byte")
        return [
            Table(content.name, f"{content.name}_byte", {"byte": byte}, parent="events", description=about)
        ]
    if content.type in NAMED:
        return []
    if content.type == LAUNCHES:
        launches = row_levels(content.layout)[0]
        return [_row_table(content, launches, "events"), *waveform_tables(content.name)]
    return [_row_table(content, rows, "events") for rows in row_levels(content.layout)]


def _row_table(content: Content, rows: RowLevels, top: str | None) -> Table:
    name = f"{content.name}{rows.suffix}"
    dim = f"{name}_row"
    fields = {
        column.name: variable(column.name, dim, column)
        for level in rows.levels
        for column in columns_of_level(content.layout, level)
    }
    if content.type in TREES and rows.owner is None:
        fields[PARENT] = Variable(
            PARENT, (dim,), "int32", "", "row of the parent among the event's rows; -1 if none"
        )
    parent = top if rows.owner is None else f"{content.name}{rows.owner}"
    return Table(name, dim, fields, parent=parent, description=f"{content.key} ({content.type})")


def rows_of(decoded: Decoded, rows: RowLevels) -> tuple[Columns, np.ndarray]:
    """Columns of a table, and how many rows each of its owner's rows has."""
    program = decoded.layout.program()
    names = [program.levels[level] for level in rows.levels]
    counts = decoded.counts[names[0]]
    columns = dict(decoded.levels[names[0]])
    for name in names[1:]:
        owner = owners(decoded.counts[name])
        columns = {field: column[owner] for field, column in columns.items()} | decoded.levels[name]
        counts = _inner_counts(counts, decoded.counts[name])
    return columns, counts


def rows_of_blobs(decoded: Decoded, level: int) -> np.ndarray:
    """Rows of a level that each blob has."""
    program, chain = decoded.layout.program(), []
    while level:
        chain.append(program.levels[level])
        level = program.parents[level]
    counts = decoded.counts[chain.pop()]
    while chain:
        counts = _inner_counts(counts, decoded.counts[chain.pop()])
    return counts


def _inner_counts(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Rows that each row owns through the rows between them."""
    return np.diff(offsets(inner)[offsets(outer)])


def in_degrees(column: Column, values: np.ndarray) -> np.ndarray:
    """A column's values, angles in degrees."""
    if column.units != "rad":
        return values
    with np.errstate(over="ignore"):  # what is kept may be no angle
        return np.rad2deg(values)


def no_values(declared: Variable, n_rows: int, sizes: Mapping[str, int]) -> np.ndarray:
    """A column without values: NaN, zero or empty texts."""
    shape = (n_rows, *(sizes[dim] for dim in declared.dims[1:]))
    if declared.dtype == "str":
        return np.full(shape, "", dtype=np.dtypes.StringDType())
    values = np.zeros(shape, dtype=declared.dtype)
    if values.dtype.kind == "f":
        values[:] = np.nan
    return values


def scattered(values: np.ndarray, events: np.ndarray, n_events: int) -> np.ndarray:
    """Values of some events as a column of all; NaN, zero or an empty text where there are none."""
    if values.dtype == np.dtypes.StringDType():
        full = np.full(n_events, "", dtype=values.dtype)
    else:
        full = np.zeros(n_events, dtype=values.dtype)
        if values.dtype.kind == "f":
            full[:] = np.nan
    full[events] = values
    return full
