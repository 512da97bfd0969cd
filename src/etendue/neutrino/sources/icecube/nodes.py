"""What layouts of types are written down with: numbers, texts, classes, and containers of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Number:
    """A number; without a name it is passed over."""

    name: str
    dtype: str
    units: str = ""
    about: str = ""


@dataclass(frozen=True)
class Text:
    """A string."""

    name: str
    about: str = ""


@dataclass(frozen=True)
class Class:
    """An object: its class's mark, then its members, one after the other."""

    name: str
    members: tuple[Node, ...]
    versions: tuple[int, int] = (0, 0)
    numbered: bool = True


@dataclass(frozen=True)
class Items:
    """A vector or map of objects: rows of a table of their own, which is named by ``level``.

    With ``container`` its class's mark stands first; with ``tree`` (the name of a column) the number of its
    children follows each item, and they come next. A super-DST's are ``packed``: after their class's mark
    their number stands in few bytes.
    """

    level: str
    members: tuple[Node, ...]
    container: str = ""
    tree: str = ""
    packed: bool = False


@dataclass(frozen=True)
class Numbers:
    """A vector of plain numbers: rows of a table of their own.

    Super-DSTs' are ``packed``: containers with a mark, whose length is coded in few bytes.
    """

    level: str
    item: Number
    container: str = ""
    packed: bool = False


@dataclass(frozen=True)
class Bits:
    """Bits in bytes, least significant first, of which the last ``<level>_unused`` do not count."""

    level: str


@dataclass(frozen=True)
class Tree:
    """A tree: the bits of its shape, in words, and its nodes, each followed by what hangs on it.

    For each node there is a 1 and for each place where there might be one a 0: first the node's children,
    then its siblings. An empty tree has no words.
    """

    shape: str
    level: str
    members: tuple[Node, ...]


@dataclass(frozen=True)
class Optional:
    """Members after a byte that says whether they are there; zero where they are not."""

    members: tuple[Node, ...]


@dataclass(frozen=True)
class Marked:
    """Members of which bits (a column of that name) say which are there; those that are not are zero."""

    name: str
    members: tuple[tuple[Node, ...], ...]


@dataclass(frozen=True)
class Exactly:
    """An array of a known length: members, one after the other."""

    n: int
    members: tuple[Node, ...]


@dataclass(frozen=True)
class Since:
    """Members that objects of a class, which this is in, have from some version on; zero before."""

    owner: str
    version: int
    members: tuple[Node, ...]


@dataclass(frozen=True)
class Coded:
    """A number of a super-DST that is kept in few bytes, as a column of int64."""

    name: str
    units: str = ""
    about: str = ""


@dataclass(frozen=True)
class Variant:
    """One of several alternatives, whose number is kept in a column."""

    name: str
    alternatives: tuple[Node, ...]


Node = Number | Text | Class | Items | Numbers | Bits | Tree | Optional | Marked | Exactly
Node |= Since | Coded | Variant
