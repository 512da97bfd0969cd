"""How the layout of a type is written down, and made into a program for the walk through its blobs.

Rules of the archive (boost's portable binary archive): all is little-endian and of fixed width. A class's
mark (one byte whether its objects are numbered, one its version) stands before its first object in a blob
only; objects of a numbered class have their number before them, always. Containers of objects are classes,
too, and so are a map's pairs; a vector of plain numbers is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from etendue.neutrino.sources.icecube.nodes import (
    Bits,
    Class,
    Coded,
    Exactly,
    Items,
    Marked,
    Node,
    Number,
    Numbers,
    Optional,
    Since,
    Text,
    Tree,
    Variant,
)
from etendue.neutrino.sources.icecube.walk import Op

TEXT = "text"
COUNT = "count"
ROWS = "rows"
PLACE = "place"
#: The class of numbers in few bytes.
CODEC = "SizeCodec"


@dataclass(frozen=True)
class Column:
    """A column that a layout gives: the level whose rows it is of, and what it is."""

    name: str
    level: int
    dtype: str  # of NumPy, or TEXT, COUNT and PLACE (8 bytes), ROWS (rows of the level of that name)
    units: str = ""
    about: str = ""

    @property
    def itemsize(self) -> int:
        """Bytes of a row as the walk writes it."""
        return {TEXT: 16, COUNT: 8, ROWS: 8, PLACE: 8}.get(self.dtype) or np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Item:
    """Items of one size, all numbers, whose places are noted and whose fields are copied afterwards.

    Parameters
    ----------
    level : int
        Their level.
    places : int
        The column of their places in the bytes.
    fields : tuple of (column, place, bytes)
        The columns that are wanted, and where their fields are in an item.
    """

    level: int
    places: int
    fields: tuple[tuple[int, int, int], ...]


class Arrays(NamedTuple):
    """A program in numbers, made once: `walk` says what they are, but for where columns start in its output.

    Fields and fields of items begin with their columns instead; ``levels`` and ``itemsizes`` are of columns.
    """

    operations: np.ndarray
    fields: np.ndarray
    items: np.ndarray
    item_fields: np.ndarray
    least: np.ndarray
    levels: np.ndarray
    itemsizes: np.ndarray


@dataclass
class Program:
    """A layout as operations.

    Parameters
    ----------
    wanted : frozenset of str, optional
        The columns (``level.name``) to keep; all of them by default. Counts are always kept.
    """

    wanted: frozenset[str] | None = None
    operations: list[list[int]] = field(default_factory=list)
    fields: list[tuple[int, int]] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    columns: list[Column] = field(default_factory=list)
    levels: list[str] = field(default_factory=lambda: [""])
    parents: list[int] = field(default_factory=lambda: [-1])
    least: list[int] = field(default_factory=lambda: [1])
    classes: dict[str, int] = field(default_factory=dict)

    @cached_property
    def arrays(self) -> Arrays:
        """The finished program as the walk takes it."""
        edges = list(accumulate((len(item.fields) for item in self.items), initial=0))
        items = [(i.level, i.places, *edge) for i, edge in zip(self.items, pairwise(edges), strict=True)]
        return Arrays(
            _rows_of(self.operations, 5),
            _rows_of(self.fields, 2),
            _rows_of(items, 4),
            _rows_of([row for item in self.items for row in item.fields], 3),
            np.array(self.least, dtype=np.int64),
            np.array([column.level for column in self.columns], dtype=np.int64),
            np.array([column.itemsize for column in self.columns], dtype=np.int64),
        )

    @cached_property
    def has_gaps(self) -> bool:
        """Whether rows may lack fields, which are zero then."""
        gaps = (Op.FLAG, Op.UNLESS, Op.SWITCH, Op.NODES, Op.SINCE)
        return any(op in gaps for op, *_ in self.operations)

    def compile(self, node: Node, level: int = 0) -> int:
        """Add a node; returns the least bytes that it takes."""
        return getattr(self, f"_{type(node).__name__.lower()}")(node, level)

    def _all(self, nodes: tuple[Node, ...], level: int) -> int:
        return sum(self.compile(node, level) for node in nodes)

    def _emit(self, op: Op, *arguments: int) -> list[int]:
        row = [int(op), *arguments, *[0] * (4 - len(arguments))]
        self.operations.append(row)
        return row

    def _column(self, name: str, level: int, dtype: str, units: str = "", about: str = "") -> int:
        self.columns.append(Column(name, level, dtype, units, about))
        return len(self.columns) - 1

    def _is_wanted(self, name: str, level: int) -> bool:
        return bool(name) and (self.wanted is None or f"{self.levels[level]}.{name}" in self.wanted)

    def _level(self, name: str, parent: int) -> tuple[int, int]:
        self.levels.append(name)
        self.parents.append(parent)
        self.least.append(0)
        return len(self.levels) - 1, self._column(name, parent, ROWS)

    def _mark(self, name: str, numbered: bool, versions: tuple[int, int] = (0, 0)) -> int:
        number = self.classes.setdefault(name, len(self.classes))
        self._emit(Op.CLASS, number, int(numbered), *versions)
        return 4 * numbered

    def _number(self, node: Number, level: int) -> int:
        size = np.dtype(node.dtype).itemsize
        column = -1
        if self._is_wanted(node.name, level):
            column = self._column(node.name, level, node.dtype, node.units, node.about)
        self.fields.append((column, size))
        last = self.operations[-1] if self.operations else [Op.END]
        if last[0] == Op.RECORD and last[3] == level and len(self.operations) not in self._targets:
            last[2] += 1
            last[4] += size
        else:
            self._emit(Op.RECORD, len(self.fields) - 1, 1, level, size)
        return size

    @cached_property
    def _targets(self) -> set[int]:
        """Operations that others go to, which must not be joined with the one before."""
        return set()

    def _here(self) -> int:
        self._targets.add(len(self.operations))
        return len(self.operations)

    def _text(self, node: Text, level: int) -> int:
        self._emit(Op.TEXT, self._column(node.name, level, TEXT, "", node.about), level)
        return 4

    def _class(self, node: Class, level: int) -> int:
        return self._mark(node.name, node.numbered, node.versions) + self._all(node.members, level)

    def _items(self, node: Items, level: int) -> int:
        if node.container:
            self._mark(node.container, False)
        if node.packed:
            self._mark(CODEC, False)
        self._loop(Op.CODED_LOOP if node.packed else Op.LOOP, node.level, node.members, level, node.tree)
        return 1 if node.packed else 4

    def _loop(self, op: Op, name: str, members: tuple[Node, ...], level: int, tree: str = "") -> None:
        inner, count = self._level(name, level)
        loop = self._emit(op, inner, 0, count, level)
        start = self._here()
        together = self._emit(Op.ITEMS, inner) if not tree and _are_numbers(members) else None
        least = self._all(members, inner)
        if together:
            together[2:] = *self._item(inner, start + 1), len(self.operations) + 1
        if tree:
            self._emit(Op.BRANCH, inner, self._column(tree, inner, COUNT), count, level)
            least += 4
        self.least[inner] = least
        self._emit(Op.NEXT, inner, start)
        loop[2] = self._here()

    def _item(self, level: int, start: int) -> tuple[int, int]:
        """Column of places (-1 if no field is wanted) and bytes of items; operations from there read one."""
        size, fields = 0, []
        for op, *arguments in self.operations[start:]:
            if op == Op.CLASS:
                size += 4 * arguments[1]
                continue
            for column, width in self.fields[arguments[0] : arguments[0] + arguments[1]]:
                if column >= 0:
                    fields.append((column, size, width))
                size += width
        if not fields:
            return -1, size
        self.items.append(Item(level, self._column("", level, PLACE), tuple(fields)))
        return self.items[-1].places, size

    def _tree(self, node: Tree, level: int) -> int:
        nodes = self._emit(Op.NODES)
        self._numbers(Numbers(node.shape, Number("word", "u8")), level)
        self._loop(Op.ALL_NODES, node.level, node.members, level)
        nodes[1] = self._here()
        return 4

    def _numbers(self, node: Numbers, level: int) -> int:
        if node.container:
            self._mark(node.container, False)
            self._mark(CODEC, False)
        inner, count = self._level(node.level, level)
        item = node.item
        self.least[inner] = np.dtype(item.dtype).itemsize
        values = -1
        if self._is_wanted(item.name, inner):
            values = self._column(item.name, inner, item.dtype, item.units, item.about)
        self._emit(Op.RUN, inner, values, self.least[inner], int(node.packed))
        self._emit(Op.COUNTS, count, level)
        return 1 if node.packed else 4

    def _bits(self, node: Bits, level: int) -> int:
        self._mark("bitmask", False)
        inner, count = self._level(node.level, level)
        self.least[inner] = 1
        unused = self._column(f"{node.level}_unused", level, COUNT)
        self._emit(Op.BITS, inner, self._column("byte", inner, "u1"), unused, level)
        self._emit(Op.COUNTS, count, level)
        return 3

    def _optional(self, node: Optional, level: int) -> int:
        flag = self._emit(Op.FLAG)
        self._here()
        self._all(node.members, level)
        flag[1] = self._here()
        return 1

    def _marked(self, node: Marked, level: int) -> int:
        self._mark("bitset", False)
        self._emit(Op.BITSET, self._column(node.name, level, COUNT), level)
        for bit, members in enumerate(node.members):
            unless = self._emit(Op.UNLESS, bit)
            self._here()
            self._all(members, level)
            unless[2] = self._here()
        return 4

    def _exactly(self, node: Exactly, level: int) -> int:
        self._emit(Op.EXACTLY, node.n)
        return 4 + self._all(node.members, level)

    def _since(self, node: Since, level: int) -> int:
        since = self._emit(Op.SINCE, self.classes[node.owner], node.version)
        self._here()
        self._all(node.members, level)
        since[3] = self._here()
        return 0

    def _coded(self, node: Coded, level: int) -> int:
        self._emit(Op.CODED, self._column(node.name, level, COUNT, node.units, node.about), level)
        return 1

    def _variant(self, node: Variant, level: int) -> int:
        n = len(node.alternatives)
        self._emit(Op.SWITCH, self._column(node.name, level, COUNT), level, n)
        starts = [self._emit(Op.JUMP) for _ in range(n)]
        ends = []
        for start, alternative in zip(starts, node.alternatives, strict=True):
            start[1] = self._here()
            self.compile(alternative, level)
            ends.append(self._emit(Op.JUMP))
        for end in ends:
            end[1] = self._here()
        return 4


def _rows_of(numbers: Sequence[Sequence[int]], n_columns: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64).reshape(-1, n_columns)


def _are_numbers(nodes: tuple[Node, ...]) -> bool:
    """Whether there is nothing else in the nodes, so that all items but the first take the same bytes."""
    return all(
        isinstance(node, Number) or (isinstance(node, Class) and _are_numbers(node.members)) for node in nodes
    )


#: Columns of each level.
Levels = dict[str, dict[str, np.ndarray]]


@dataclass(frozen=True, eq=False)  # a constant of its module: told from others at once, without its parts
class Layout:
    """What objects of one registered type look like.

    Parameters
    ----------
    name : str
        Name that the type is registered under, which each blob starts with.
    root : Class
        The object.
    whole : bool
        Whether this is all of it; else more follows, which is not decoded.
    finish : callable, optional
        What makes the columns of what is kept, if all of it is read: it gets the columns of each level, which
        it changes, and the counts.
    """

    name: str
    root: Class
    whole: bool = True
    finish: Callable[[Levels, dict[str, np.ndarray]], None] | None = None

    def program(self, wanted: frozenset[str] | None = None) -> Program:
        """The layout as operations, which keep only the columns that are wanted."""
        return _program(self, wanted)


@cache
def _program(layout: Layout, wanted: frozenset[str] | None) -> Program:
    made = Program(wanted)
    made.compile(layout.root)
    made._emit(Op.END, int(layout.whole))
    if min(made.least) < 1:
        raise ValueError("a layout has items of no length")
    return made
