"""Accumulators: what a worker adds up, and how it travels.

A task fills one accumulator over all partitions of its span and returns its `Payload`: only the bins that
hold something. The driver adds each payload as it accepts the task's receipt, so that each span counts
exactly once however often its task is tried. Counts are integers and weights are summed without
rounding (`etendue.histogram.exact`): the result has the same bits for any partitions, order and number of
workers.

Memory: 8 bytes a bin; with weights 16 bytes a digit and bin, typically 50 to 100 bytes (see
`etendue.histogram.exact`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from etendue.dataflow.partition import Partition
from etendue.histogram.axis import Axis
from etendue.histogram.exact import Digits, ExactSums
from etendue.histogram.fill import Filler, count, count_where
from etendue.histogram.request import Request, Target
from etendue.schema import Schema

if TYPE_CHECKING:
    from hist import Hist


@dataclass(frozen=True)
class Part:
    """What the bins of one histogram hold, as it travels.

    Parameters
    ----------
    bins : array
        The bins that hold something: their numbers (int32), or one bit for each bin (uint8) where
        that is less.
    contents : tuple
        Of each of these bins: counts in the smallest unsigned integers that hold them, or the digits of
        the sum of weights and of the sum of their squares.
    """

    bins: np.ndarray
    contents: np.ndarray | tuple[Digits, Digits]


@dataclass(frozen=True)
class Payload:
    """What an accumulator holds, as it travels: one part a request, in order."""

    parts: tuple[Part, ...]


class Bins(Protocol):
    """The bins of one histogram."""

    def fill(self, numbers: np.ndarray, weights: np.ndarray | None, mask: np.ndarray | None) -> None:
        """Count the numbered bins where the mask is true; the weights are lost."""

    def part(self) -> Part:
        """What the bins hold."""

    def add(self, part: Part) -> None:
        """Add what other bins held."""

    def reset(self) -> None:
        """Empty all bins; the memory stays."""

    def write(self, view: Any) -> None:
        """Write the result into the view (with underflow and overflow) of a histogram."""


class Counts:
    """Bins that count."""

    def __init__(self, n_bins: int) -> None:
        self._counts = np.zeros(n_bins, dtype=np.int64)

    def fill(self, numbers: np.ndarray, weights: np.ndarray | None, mask: np.ndarray | None) -> None:
        if mask is None:
            count(numbers, self._counts)
        else:
            count_where(numbers, mask, self._counts)

    def part(self) -> Part:
        occupied = self._counts != 0
        counts = self._counts[occupied]
        return Part(_pack(occupied), counts.astype(np.min_scalar_type(counts.max(initial=0))))

    def add(self, part: Part) -> None:
        self._counts[_unpack(part.bins, self._counts.size)] += part.contents.astype(np.int64)

    def reset(self) -> None:
        self._counts.fill(0)

    def write(self, view: Any) -> None:
        view[...] = self._counts.reshape(view.shape)


class WeightedBins:
    """Bins that sum weights and their squares (each square rounded to float64, as boost-histogram's)."""

    def __init__(self, n_bins: int) -> None:
        self._sums = ExactSums(n_bins)
        self._squares = ExactSums(n_bins)

    def fill(self, numbers: np.ndarray, weights: np.ndarray | None, mask: np.ndarray | None) -> None:
        if mask is not None:
            np.copyto(weights, 0.0, where=~mask)
        self._sums.add(numbers, weights)
        with np.errstate(over="ignore", under="ignore"):
            np.multiply(weights, weights, out=weights)
        self._squares.add(numbers, weights)

    def part(self) -> Part:
        occupied = self._sums.occupied() | self._squares.occupied()
        bins = np.flatnonzero(occupied)
        return Part(_pack(occupied), (self._sums.digits(bins), self._squares.digits(bins)))

    def add(self, part: Part) -> None:
        bins = _unpack(part.bins, self._sums.n_bins)
        sums, squares = part.contents
        self._sums.add_digits(bins, sums)
        self._squares.add_digits(bins, squares)

    def reset(self) -> None:
        self._sums.reset()
        self._squares.reset()

    def write(self, view: Any) -> None:
        view["value"] = self._sums.rounded().reshape(view.shape)
        view["variance"] = self._squares.rounded().reshape(view.shape)


class Accumulator:
    """The histograms of some requests, filled partition by partition.

    It belongs to one thread. It pickles as its payload.

    Parameters
    ----------
    requests : iterable of Request
        The histograms to fill.
    schema : Schema, optional
        Tables of the run. If given, the requests are checked against it at once, and the axes of the
        results are labelled with the columns' units.

    Raises
    ------
    SchemaError
        As `Request.check`.
    """

    def __init__(self, requests: Iterable[Request], schema: Schema | None = None) -> None:
        self.requests = tuple(requests)
        self._bins: list[Bins] = [
            Counts(request.n_bins) if request.weight is None else WeightedBins(request.n_bins)
            for request in self.requests
        ]
        self._fillers: list[Filler] | None = None
        self._schema: Schema | None = None
        self._targets: list[list[Target]] = []
        if schema is not None:
            self._resolve(schema)

    def fill(self, partition: Partition) -> None:
        """Add the rows of a partition.

        All rows count, also those that a stage marked as not selected: drop them first, as
        `Partition.selected` does.

        Raises
        ------
        SchemaError
            As `Request.check`.
        """
        if self._fillers is None:
            self._fillers = [Filler(request) for request in self.requests]
        if partition.schema is not self._schema:
            self._resolve(partition.schema)
        for filler, bins, targets in zip(self._fillers, self._bins, self._targets, strict=True):
            for target in targets:
                for numbers, weights, mask in filler.blocks(partition, target):
                    bins.fill(numbers, weights, mask)

    def payload(self) -> Payload:
        """What has been added up so far, to be added elsewhere."""
        return Payload(tuple(bins.part() for bins in self._bins))

    def add(self, payload: Payload) -> None:
        """Add what another accumulator of the same requests held."""
        for bins, part in zip(self._bins, payload.parts, strict=True):
            bins.add(part)

    def merge(self, other: Accumulator) -> None:
        """Add what another accumulator holds.

        Raises
        ------
        ValueError
            If it is of other requests.
        """
        if other.requests != self.requests:
            raise ValueError(
                f"an accumulator of {[r.name for r in self.requests]} cannot take up one of "
                f"{[r.name for r in other.requests]}; merge accumulators of equal requests"
            )
        self.add(other.payload())

    def reset(self) -> None:
        """Empty all histograms; their memory stays."""
        for bins in self._bins:
            bins.reset()

    def results(self) -> list[Hist]:
        """The histograms, one a request, in order.

        Without weights their storage is ``Int64``; with weights it is ``Weight`` (sums of weights and of
        squared weights, each the float64 nearest to the exact sum).
        """
        return [
            _histogram(request, bins, self._schema)
            for request, bins in zip(self.requests, self._bins, strict=True)
        ]

    def _resolve(self, schema: Schema) -> None:
        self._targets = [request.targets(schema) for request in self.requests]
        self._schema = schema

    def __reduce__(self) -> tuple:
        return _unpickled, (self.requests, self._schema, self.payload())


def _unpickled(requests: tuple[Request, ...], schema: Schema | None, payload: Payload) -> Accumulator:
    accumulator = Accumulator(requests, schema)
    accumulator.add(payload)
    return accumulator


_pool = threading.local()


@contextmanager
def pooled(requests: Iterable[Request]) -> Iterator[Accumulator]:
    """An empty accumulator of this thread, whose memory is used again by the next with equal requests.

    Each thread keeps one accumulator, that of its last requests. Take its `Accumulator.payload` before
    the block ends.
    """
    requests = tuple(requests)
    accumulator = _pool.__dict__.pop("accumulator", None)
    if accumulator is not None and accumulator.requests == requests:
        accumulator.reset()
    else:
        accumulator = Accumulator(requests)
    yield accumulator
    _pool.accumulator = accumulator


def _histogram(request: Request, bins: Bins, schema: Schema | None) -> Hist:
    from hist import Hist, storage

    names = [axis.name for axis in request.axes]
    if len(set(names)) < len(names):
        names = [f"{name}_{i}" for i, name in enumerate(names)]
    labels = [axis.name + _units(axis, schema) for axis in request.axes]
    axes = [axis.to_hist(name, label) for axis, name, label in zip(request.axes, names, labels, strict=True)]
    kind = storage.Int64() if request.weight is None else storage.Weight()
    histogram = Hist(*axes, storage=kind, name=request.name)
    bins.write(histogram.view(flow=True))
    return histogram


def _units(axis: Axis, schema: Schema | None) -> str:
    """The units of an axis in brackets; nothing for a pure number or without a schema."""
    units = schema.variable(schema.resolve(axis.column)[0]).units if schema is not None else ""
    return f" [{units}]" if units else ""


def _pack(occupied: np.ndarray) -> np.ndarray:
    """The numbers of the true bins, or all bins as bits, whichever is less."""
    bins = np.flatnonzero(occupied).astype(np.int32)
    return bins if bins.nbytes <= occupied.size // 8 else np.packbits(occupied)


def _unpack(packed: np.ndarray, n_bins: int) -> np.ndarray:
    """The numbers of the bins that `_pack` packed."""
    if packed.dtype == np.uint8:
        return np.flatnonzero(np.unpackbits(packed, count=n_bins))
    return packed
