"""Axes of histograms: a column and how its values fall into bins.

Every axis has an underflow bin below and an overflow bin above its range. Bins hold their lower edge
and not their upper one; NaN goes to overflow. Values fall into the bins that boost-histogram (and so
`hist`) puts them into, to the last bit.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from struct import pack, unpack
from typing import TYPE_CHECKING, Any

import numpy as np

from etendue.schema import split

if TYPE_CHECKING:
    from hist.axis import AxesMixin

#: NumPy dtype kinds of the columns that an axis takes: bool, signed, unsigned, float.
NUMBERS = "biuf"


@dataclass(frozen=True)
class Axis(ABC):
    """What all axes have.

    Parameters
    ----------
    column : str
        Reference to the column, ``table/column`` or ``@kind/column``.
    """

    column: str

    #: dtype kinds of the columns that the axis takes.
    takes = NUMBERS

    def __post_init__(self) -> None:
        split(self.column)

    @property
    def name(self) -> str:
        """The column without its table."""
        return split(self.column)[1]

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of bins without underflow and overflow."""

    @property
    def extent(self) -> int:
        """Number of bins with underflow and overflow."""
        return self.size + 2

    @abstractmethod
    def to_hist(self, name: str = "", label: str = "") -> AxesMixin:
        """The same axis of the `hist` package."""


@dataclass(frozen=True)
class Regular(Axis):
    """Bins of equal width in ``start <= x < stop``.

    Parameters
    ----------
    column : str
        Reference to the column.
    bins : int
        Number of bins.
    start, stop : float
        Lower edge of the first bin and upper edge of the last, in the column's units.
    """

    bins: int
    start: float
    stop: float

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_bins(self, self.bins)
        if not (self.start < self.stop and math.isfinite(self.stop - self.start)):
            raise ValueError(f"{self}: start must be less than stop, and both finite")

    @property
    def size(self) -> int:
        return self.bins

    def to_hist(self, name: str = "", label: str = "") -> AxesMixin:
        from hist.axis import Regular

        return Regular(self.bins, self.start, self.stop, name=name, label=label)


@dataclass(frozen=True)
class Log(Axis):
    """Bins of equal width in the logarithm, in ``start <= x < stop``.

    Zero goes to underflow; negative values have no logarithm and go to overflow, as NaN does.

    Parameters
    ----------
    column : str
        Reference to the column.
    bins : int
        Number of bins.
    start, stop : float
        Lower edge of the first bin and upper edge of the last, in the column's units; positive.
    """

    bins: int
    start: float
    stop: float
    #: The least float64 of each bin and of overflow, shape (bins + 1,). Found once, where the axis is
    #: made, and carried to the workers: there no logarithm is taken, so that machines whose logarithms
    #: differ in the last bit agree.
    edges: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_bins(self, self.bins)
        if not (0 < self.start < self.stop < math.inf and math.log(self.start) < math.log(self.stop)):
            raise ValueError(f"{self}: both start and stop must be positive, and start less than stop")
        object.__setattr__(self, "edges", _log_edges(self.bins, self.start, self.stop))

    @property
    def size(self) -> int:
        return self.bins

    def to_hist(self, name: str = "", label: str = "") -> AxesMixin:
        from hist.axis import Regular, transform

        return Regular(self.bins, self.start, self.stop, name=name, label=label, transform=transform.log)


@dataclass(frozen=True)
class Variable(Axis):
    """Bins between given edges.

    Parameters
    ----------
    column : str
        Reference to the column.
    edges : iterable of float
        At least two, ascending, in the column's units; the first and last may be infinite.
    """

    edges: tuple[float, ...]

    def __init__(self, column: str, edges: Iterable[float]) -> None:
        object.__setattr__(self, "column", column)
        object.__setattr__(self, "edges", tuple(float(edge) for edge in edges))
        super().__post_init__()
        if len(self.edges) < 2 or not all(a < b for a, b in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError(f"axis over {column!r}: edges must be at least two, each greater than the last")

    @property
    def size(self) -> int:
        return len(self.edges) - 1

    def to_hist(self, name: str = "", label: str = "") -> AxesMixin:
        from hist.axis import Variable

        return Variable(self.edges, name=name, label=label)


@dataclass(frozen=True)
class Integer(Axis):
    """One bin for each integer in ``start <= i < stop``, over a column of integers or booleans.

    Parameters
    ----------
    column : str
        Reference to the column.
    start, stop : int
        First integer, and one past the last; within 32 bits.
    """

    start: int
    stop: int

    takes = "biu"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not -(2**31) <= self.start < self.stop < 2**31:
            raise ValueError(f"{self}: start must be less than stop, and both fit in 32 bits")

    @property
    def size(self) -> int:
        return self.stop - self.start

    def to_hist(self, name: str = "", label: str = "") -> AxesMixin:
        from hist.axis import Integer

        return Integer(self.start, self.stop, name=name, label=label)


def _check_bins(axis: Any, bins: int) -> None:
    if not (isinstance(bins, int | np.integer) and bins > 0):
        raise ValueError(f"{axis}: bins must be a positive integer")


def _log_edges(bins: int, start: float, stop: float) -> np.ndarray:
    """The least float64 that boost-histogram's regular axis under a logarithm puts into each bin.

    Its bin number, ``floor(bins (ln x - ln start) / (ln stop - ln start))``, never falls as x grows;
    so for each bin the first float64 can be found by bisection, and no other rule than this formula
    decides on which side of an edge a value falls.
    """
    lowest, width = math.log(start), math.log(stop) - math.log(start)

    def bin_number(x: float) -> int:
        if x == 0.0:
            return -1
        z = (math.log(x) - lowest) / width
        return math.floor(z * bins) if z < 1 else bins

    guesses = (start * (stop / start) ** (i / bins) for i in range(bins + 1))
    return np.array([_first_in_bin(bin_number, i, guess) for i, guess in enumerate(guesses)])


def _first_in_bin(bin_number: Callable[[float], int], wanted: int, guess: float) -> float:
    """The least non-negative float64 whose bin number is at least the wanted one."""
    low, high = max(_to_bits(guess) - 64, 0), _to_bits(guess) + 64
    if not bin_number(_from_bits(low)) < wanted <= bin_number(_from_bits(high)):
        low, high = 0, _to_bits(np.finfo(np.float64).max)
    while high - low > 1:
        middle = (low + high) // 2
        if bin_number(_from_bits(middle)) < wanted:
            low = middle
        else:
            high = middle
    return _from_bits(high)


def _to_bits(x: float) -> int:
    """Position of a non-negative float64 among all of them, in ascending order."""
    return unpack("<q", pack("<d", x))[0]


def _from_bits(position: int) -> float:
    return unpack("<d", pack("<q", position))[0]
