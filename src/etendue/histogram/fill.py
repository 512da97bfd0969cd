"""From columns to bin numbers, a block at a time.

Blocks are small enough to stay in the processor's cache: each column's values are copied to float64
(which every axis is defined on), each axis adds its part to the bins' numbers, and the bins are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod

import numpy as np

from etendue.dataflow.partition import Partition
from etendue.histogram.axis import Axis, Integer, Log, Regular, Variable
from etendue.histogram.request import Request, Target
from etendue.kernel import kernel
from etendue.schema import split

#: Values in a block, unless one row has more.
BLOCK = 16384
#: Most cells of a lookup table: 256 KiB.
MAX_CELLS = 2**16


@kernel
def add_regular_bin(values, start, width, bins, stride, numbers):
    """Add ``stride`` times the bin of each value on a regular axis; 0 is underflow, bins + 1 overflow.

    boost-histogram's formula, in its order of operations: z = (x - start) / width; the bin is
    floor(z bins) for 0 <= z < 1.

    Parameters
    ----------
    values : float64 array, shape (n,)
    start, width : float
        Lower edge, and distance to the upper edge.
    bins : int
    stride : int
    numbers : int32 array, shape (n,)
        Changed in place.
    """
    size = np.float64(bins)
    for i in range(values.size):
        z = (values[i] - start) / width
        scaled = z * size if z < 1.0 else size
        scaled = -1.0 if z < 0.0 else scaled
        numbers[i] += np.int32((np.int32(scaled) + np.int32(1)) * np.int32(stride))


@kernel
def add_integer_bin(values, start, stop, stride, numbers):
    """Add ``stride`` times the bin of each whole number, as `add_regular_bin`."""
    for i in range(values.size):
        inside = min(max(values[i], start - 1.0), stop)
        numbers[i] += np.int32(np.int32(inside - start + 1.0) * np.int32(stride))


@kernel
def _cell(bits, origin, shift, last):
    """Cell of a float64, given by its bits; those before the first and after the last count as these."""
    ordered = np.uint64(bits ^ ((bits >> 63) | np.int64(-(2**63))))
    return min((max(ordered, origin) - origin) >> shift, last)


@kernel
def add_looked_up_bin(values, edges, origin, shift, table, steps, floor, stride, numbers):
    """Add ``stride`` times the number of edges that are not above each value.

    A float64's bits, read as an integer (all flipped if negative, else the sign's only), ascend with
    its value. Their upper part is a cell of a table, which holds how many edges lie in the cells
    before; the edges in the cell itself are searched by halving, in a fixed number of steps.

    Parameters
    ----------
    values : float64 array, shape (n,)
        Without negative zeros.
    edges : float64 array, shape (n_edges + 2**steps,)
        Ascending, then NaN, which no value reaches.
    origin : uint64
        Ordered bits of the first edge.
    shift : uint64
        Cells are 2**shift of the ordered bits.
    table : int32 array, shape (n_cells,)
        Edges in the cells before each.
    steps : int
        2**steps is more than the edges in any cell.
    floor : float
        What is not at or above it, as NaN, goes to overflow.
    stride : int
    numbers : int32 array, shape (n,)
        Changed in place.
    """
    bits = values.view(np.int64)
    last = np.uint64(table.size - 1)
    overflow = np.int32(edges.size - (1 << steps))
    if steps == 1:  # as below, in a form that the compiler makes vector instructions of
        for i in range(values.size):
            number = table[_cell(bits[i], origin, shift, last)]
            number += np.int32(values[i] >= edges[np.uint64(number)])
            number = number if values[i] >= floor else overflow
            numbers[i] += number * np.int32(stride)
        return
    for i in range(values.size):
        number = table[_cell(bits[i], origin, shift, last)]
        half = np.int32(1 << steps)
        for _ in range(steps):
            half >>= 1
            if values[i] >= edges[np.uint64(number + half - 1)]:
                number += np.int32(half)
        number = number if values[i] >= floor else overflow
        numbers[i] += np.int32(number) * np.int32(stride)


@kernel
def count(numbers, counts):
    """Count bin numbers: ``counts[number] += 1``."""
    for i in range(numbers.size):
        counts[np.uint64(numbers[i])] += 1


@kernel
def count_where(numbers, mask, counts):
    """Count the bin numbers where the mask is true."""
    for i in range(numbers.size):
        counts[np.uint64(numbers[i])] += np.int64(mask[i])


def binning(axis: Axis) -> Callable[[np.ndarray, int, np.ndarray], None]:
    """A function of values, stride and numbers that adds the values' bins to the numbers."""
    match axis:
        case Regular(bins=bins, start=start, stop=stop):
            lower, width = float(start), float(stop) - float(start)
            return lambda values, stride, numbers: add_regular_bin(
                values, lower, width, bins, stride, numbers
            )
        case Integer(start=start, stop=stop):
            return lambda values, stride, numbers: add_integer_bin(
                values, float(start), float(stop), stride, numbers
            )
        case Log(edges=edges):
            lookup, floor = _lookup(edges), 0.0
        case Variable(edges=edges):
            lookup, floor = _lookup(np.array(edges)), -np.inf
        case _:
            raise TypeError(f"no rule for the bins of {axis!r}")
    return lambda values, stride, numbers: add_looked_up_bin(values, *lookup, floor, stride, numbers)


def _lookup(edges: np.ndarray) -> tuple:
    """Edges, origin, shift, table and steps of `add_looked_up_bin`.

    Cells are as wide as the least distance of two edges allows one edge a cell, if that does not make
    too many.
    """
    bits = (edges + 0.0).view(np.uint64)  # + 0.0 makes a negative zero positive
    sign = np.uint64(2**63)
    ordered = np.where(bits & sign, ~bits, bits | sign)
    span = int(ordered[-1] - ordered[0])
    least = int(np.diff(ordered).min())
    shift = max(least.bit_length() - 1, span.bit_length() - MAX_CELLS.bit_length() + 1, 0)
    cells = ((ordered - ordered[0]) >> np.uint64(shift)).astype(np.int64)
    table = np.searchsorted(cells, np.arange(cells[-1] + 1)).astype(np.int32)
    steps = int(np.bincount(cells).max()).bit_length()
    padded = np.concatenate([edges, np.full(1 << steps, np.nan)])
    return padded, ordered[0], np.uint64(shift), table, steps


class Filler:
    """Turns the rows of partitions into bin numbers of one request.

    It owns the memory of one block, and so belongs to one thread.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self._binnings = [binning(axis) for axis in request.axes]
        self._strides = [prod(request.shape[i + 1 :]) for i in range(len(request.shape))]
        self._scratch: dict[str, np.ndarray] = {}

    def blocks(
        self, partition: Partition, target: Target
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None, np.ndarray | None]]:
        """Bin numbers, weights and mask of one table's values, block by block.

        Yields
        ------
        numbers : int32 array
            Number of each value's bin among all, the last axis running fastest.
        weights : float64 array, optional
        mask : bool array, optional
            All three are scratch: overwritten by the next block, and free to be changed.
        """
        request = self.request
        for block in _column_blocks(partition, target):
            size = next(iter(block.values())).size
            numbers = self._buffer("numbers", size, np.int32)
            numbers.fill(0)
            for axis, add_bin, stride in zip(request.axes, self._binnings, self._strides, strict=True):
                values = self._buffer("values", size, np.float64)
                np.add(block[axis.column].reshape(-1), 0.0, out=values)  # makes negative zeros positive
                add_bin(values, stride, numbers)
            weights = mask = None
            if request.weight is not None:
                weights = self._buffer("weights", size, np.float64)
                np.copyto(weights, block[request.weight].reshape(-1))
            if request.mask is not None:
                mask = self._buffer("mask", size, np.bool_)
                np.not_equal(block[request.mask].reshape(-1), request.negated, out=mask)
            yield numbers, weights, mask

    def _buffer(self, name: str, size: int, dtype: type) -> np.ndarray:
        buffer = self._scratch.get(name)
        if buffer is None or buffer.size < size:
            buffer = self._scratch[name] = np.empty(max(size, BLOCK), dtype=dtype)
        return buffer[:size]


def _column_blocks(partition: Partition, target: Target) -> Iterator[dict[str, np.ndarray]]:
    """Some rows at a time of all columns, each brought to the shape of all."""
    table = target.table.name
    n_rows = partition.rows(table)
    if n_rows == 0:
        return
    columns = {reference: np.asarray(partition[name]) for reference, name in target.columns.items()}
    owners = {
        name: _owners(partition, table, name) for name in {split(n)[0] for n in target.columns.values()}
    }
    sizes: dict[str, int] = {}
    dims = {}
    for reference, name in target.columns.items():
        dims[reference] = partition.schema.variable(name).dims[1:]
        sizes.update(zip(dims[reference], columns[reference].shape[1:], strict=True))
    shape = tuple(sizes[dim] for dim in target.inner)
    step = max(BLOCK // max(prod(shape), 1), 1)
    for first in range(0, n_rows, step):
        rows = slice(first, min(first + step, n_rows))
        block = {}
        for reference, name in target.columns.items():
            owner = owners[split(name)[0]]
            part = columns[reference][rows if owner is None else owner[rows]]
            spread = tuple(slice(None) if dim in dims[reference] else None for dim in target.inner)
            block[reference] = np.broadcast_to(part[:, *spread], (len(part), *shape))
        yield block


def _owners(partition: Partition, table: str, ancestor: str) -> np.ndarray | None:
    """Row of an owning table for each row of a table; None if it is the table itself."""
    rows = None
    while table != ancestor:
        owner = partition.owners(table)
        rows = owner if rows is None else owner[rows]
        table = partition.schema[table].parent
    return rows
