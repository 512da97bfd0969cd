"""The walk through blobs: one kernel that follows a program, whatever the type of the objects.

A program is what `etendue.neutrino.sources.icecube.layout` makes of a type's layout: a row an operation.
The kernel never reads past a blob's end and never writes more rows than the bytes could hold, so that any
bytes at all give either the columns or an error for that blob.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from etendue.kernel import kernel
from etendue.neutrino.sources.icecube.frames import BLOB_HEAD, read_u32


class Op(IntEnum):
    """Operations; the comment says what the arguments are."""

    END = 0  # 1 if the blob must end here
    CLASS = 1  # class, 1 if its objects are numbered, lowest and highest version
    RECORD = 2  # first of its fields, number of fields, level, bytes: numbers one after the other
    TEXT = 3  # column, level
    LOOP = 4  # level, operation after it, column of counts, level of that
    NEXT = 5  # level, first operation of its items
    RUN = (
        6  # level, column (or negative), bytes of an item, 1 if its length is coded in few bytes; then COUNTS
    )
    COUNTS = 7  # column of counts, its level; follows RUN and BITS
    FLAG = 8  # operation to go on with if the flag is not set
    SWITCH = 9  # column, level, number of alternatives, which operations with their starts follow
    JUMP = 10  # operation
    BRANCH = 11  # level, column for the number of children to come on it; then as LOOP's last two
    BITS = 12  # level, column, column of unused bits, its level; then COUNTS
    NODES = 13  # operation to go on with if the tree is empty; reads how many bits its shape has
    ALL_NODES = 14  # as LOOP, once for each of the nodes
    BITSET = 15  # column, level: reads 32 bits, which UNLESS asks
    UNLESS = 16  # bit, operation to go on with if it is not set
    EXACTLY = 17  # length that an array must have
    ITEMS = 18  # level, column of places or -1, bytes of an item, operation after it: all items at once
    SINCE = 19  # class, version, operation to go on with if the class is older
    CODED = 20  # column, level: a number in few bytes
    CODED_LOOP = 21  # as LOOP, after a length in few bytes


class Fault(IntEnum):
    """What can be wrong with a blob."""

    NONE = 0
    ENDS_EARLY = 1
    BYTES_LEFT = 2
    NAME = 3
    TRACKING = 4
    VERSION = 5
    COUNT = 6
    ALTERNATIVE = 7


#: In a fault of a class's version, what the number of the class is multiplied with.
CLASSES = 256
#: Least first byte of a number in few bytes that says how many others follow, and what it would be for none.
MANY, NONE = 247, 255
#: Place of an item that is not to be copied.
NOWHERE = np.uint64(0xFFFFFFFFFFFFFFFF)

# Plain numbers, as compiled code wants them.
_END, _CLASS, _RECORD, _TEXT, _LOOP, _NEXT, _RUN, _COUNTS, _FLAG = map(int, list(Op)[:9])
_SWITCH, _JUMP, _BRANCH, _BITS, _NODES, _ALL_NODES, _BITSET, _UNLESS = map(int, list(Op)[9:17])
_EXACTLY, _ITEMS, _SINCE, _CODED, _CODED_LOOP = map(int, list(Op)[17:])


@kernel
def _u64(data, at):
    """Eight bytes as an integer, whatever they mean; compiled to one load."""
    return np.uint64(read_u32(data, at)) | np.uint64(read_u32(data, at + 4)) << np.uint64(32)


@kernel
def read_size(data, at, stop):
    """A number in few bytes: one below 247; else one that says how many follow. Negative if it is cut off."""
    if at + 1 > stop:
        return at, np.int64(-1)
    first = np.int64(data[at])
    if first < MANY:
        return at + 1, first
    n = NONE - first
    if at + 1 + n > stop:
        return at, np.int64(-1)
    size = np.int64(0)
    for k in range(min(n, 7)):
        size |= np.int64(data[at + 1 + k]) << (8 * k)
    return at + 1 + n, size


@kernel
def _copy_fields(data, places, row, fields, out, words, halves):
    """Copy the fields of items to their columns, from a row on, but of those that are there already."""
    for field in range(len(fields)):
        column, offset, size = fields[field]
        if size == 8:
            for i in range(places.size):
                if places[i] != NOWHERE:
                    words[(column >> 3) + row + i] = _u64(data, np.int64(places[i]) + offset)
        elif size == 4:
            for i in range(places.size):
                if places[i] != NOWHERE:
                    halves[(column >> 2) + row + i] = read_u32(data, np.int64(places[i]) + offset)
        else:
            for i in range(places.size):
                if places[i] != NOWHERE:
                    for k in range(size):
                        out[column + (row + i) * size + k] = data[np.int64(places[i]) + offset + k]


@kernel
def walk(
    data, starts, stops, name, program, fields, items, item_fields, n_classes, least, capacity,
    out, columns, n_rows, faults,
):  # fmt: skip
    """Follow a program through each of many blobs, and lay the fields out in columns.

    Parameters
    ----------
    data : uint8 array
        The bytes that hold the blobs.
    starts, stops : int64 array, shape (n,)
        Where each blob starts and ends.
    name : uint8 array
        The name that the type is registered under.
    program : int64 array, shape (m, 5)
        Operations: `Op` and its arguments.
    fields : int64 array, shape (n_fields, 2)
        Of the fields of records, where their columns start in ``out`` (negative if not wanted), and bytes.
    items : int64 array, shape (n_items, 4)
        Of items that are noted by their places: their level, the column of places, which of ``item_fields``
        are theirs, and the end. They are copied when their blob has been walked through: all of a column
        at once, from bytes that are near.
    item_fields : int64 array, shape (n, 3)
        Where their columns start in ``out``, places in the item, and bytes.
    n_classes : int
        Number of classes in the program.
    least, capacity : int64 array, shape (n_levels,)
        Of each level, least bytes of an item, and rows that there is room for.
    out : uint8 array
        Output: all columns.
    columns : int64 array, shape (n_columns,)
        Where each column starts in ``out``: multiples of 8.
    n_rows : int64 array, shape (n_levels,)
        Output: rows of each level. Level 0 has a row a blob.
    faults : int64 array, shape (n, 3)
        Output: of each blob its `Fault`, where, and what was found. A blob at fault has no rows but its
        own.
    """
    seen = np.empty(n_classes, dtype=np.int64)
    left = np.zeros(n_rows.size, dtype=np.int64)
    total = np.zeros(n_rows.size, dtype=np.int64)
    before = np.empty(n_rows.size, dtype=np.int64)
    words, halves = out.view(np.uint64), out.view(np.uint32)
    for blob in range(starts.size):
        at, stop = starts[blob], stops[blob]
        seen[:] = -1
        for level in range(n_rows.size):
            before[level] = n_rows[level]
        n_rows[0] = blob + 1
        fault, found, nodes, bitset = 0, 0, np.int64(0), np.int64(0)
        if stop - at < BLOB_HEAD + name.size:
            fault = 1
        elif data[at] != 0 or data[at + 1] != 1 or read_u32(data, at + 4) != name.size:
            fault = 3
        else:
            for i in range(name.size):
                if data[at + BLOB_HEAD + i] != name[i]:
                    fault = 3
            at += BLOB_HEAD + name.size
        step = 0
        while fault == 0:
            op, a, b, c, d = (
                program[step, 0],
                program[step, 1],
                program[step, 2],
                program[step, 3],
                program[step, 4],
            )
            step += 1
            if op == _RECORD:
                if at + d > stop:
                    fault = 1
                    break
                row = n_rows[c] - 1
                for field in range(a, a + b):
                    column, size = fields[field, 0], fields[field, 1]
                    if column >= 0:
                        if size == 8:
                            words[(column >> 3) + row] = _u64(data, at)
                        elif size == 4:
                            halves[(column >> 2) + row] = read_u32(data, at)
                        elif size == 1:
                            out[column + row] = data[at]
                        else:
                            for k in range(size):
                                out[column + row * size + k] = data[at + k]
                    at += size
            elif op == _CLASS:
                if seen[a] < 0:
                    if at + 2 > stop:
                        fault = 1
                        break
                    if data[at] != b:
                        fault, found = 4, data[at]
                        break
                    if data[at + 1] < c or data[at + 1] > d:
                        fault, found = 5, np.int64(data[at + 1]) + CLASSES * a
                        break
                    seen[a] = data[at + 1]
                    at += 2
                at += 4 * b
                if at > stop:
                    fault = 1
            elif op == _ITEMS:
                n, first = left[a], n_rows[a] - 1
                # An item before this one had all marks of classes, if there was one.
                together = first > before[a] and n * c <= stop - at
                if b >= 0:
                    into = (columns[b] >> 3) + first
                    words[into] = NOWHERE
                    for i in range(n if together else 0):
                        words[into + i] = at + i * c
                if together:
                    n_rows[a] += n - 1
                    at += n * c
                    step = d
            elif op == _NEXT:
                left[a] -= 1
                if left[a] > 0:
                    if n_rows[a] == capacity[a]:
                        fault = 6
                        break
                    n_rows[a] += 1
                    step = b
            elif op in (_LOOP, _CODED_LOOP, _RUN, _TEXT, _BRANCH):
                packed = op == _CODED_LOOP or (op == _RUN and d == 1)
                if at + 4 > stop and not packed:
                    fault = 1
                    break
                if packed:
                    at, n = read_size(data, at, stop)
                    if n < 0:
                        fault = 1
                        break
                else:
                    n = read_u32(data, at)
                    at += 4
                if op == _TEXT:
                    if at + n > stop:
                        fault = 1
                        break
                    into = (columns[a] >> 3) + 2 * (n_rows[b] - 1)
                    words[into] = at
                    words[into + 1] = n
                    at += n
                    continue
                if n * least[a] > stop - at or n_rows[a] + n > capacity[a]:
                    fault, found = 6, n
                    break
                if op in (_LOOP, _CODED_LOOP):
                    words[(columns[c] >> 3) + n_rows[d] - 1] = n
                    left[a] = total[a] = n
                    if n == 0:
                        step = b
                    else:
                        n_rows[a] += 1
                elif op == _RUN:
                    words[(columns[program[step, 1]] >> 3) + n_rows[program[step, 2]] - 1] = n
                    if b >= 0:
                        into = columns[b] + n_rows[a] * c
                        for k in range(n * c):
                            out[into + k] = data[at + k]
                    at += n * c
                    n_rows[a] += n
                    step += 1
                else:
                    words[(columns[b] >> 3) + n_rows[a] - 1] = n
                    left[a] += n
                    total[a] += n
                    words[(columns[c] >> 3) + n_rows[d] - 1] = total[a]
            elif op == _ALL_NODES:
                if nodes * least[a] > stop - at or n_rows[a] + nodes > capacity[a]:
                    fault, found = 6, nodes
                    break
                words[(columns[c] >> 3) + n_rows[d] - 1] = nodes
                left[a] = nodes
                if nodes == 0:
                    step = b
                else:
                    n_rows[a] += 1
            elif op == _NODES:
                if at + 4 > stop:
                    fault = 1
                    break
                nodes = read_u32(data, at)
                if nodes % 2 == 0 and nodes > 0:
                    fault, found = 6, nodes
                    break
                if nodes == 0:
                    step = a
                nodes //= 2
                at += 4
            elif op == _BITS:
                if at + 3 > stop:
                    fault = 1
                    break
                n = np.int64(data[at]) | np.int64(data[at + 1]) << 8
                if n > stop - at - 3 or n_rows[a] + n > capacity[a] or data[at + 2] > 8 * n:
                    fault, found = 6, n
                    break
                words[(columns[c] >> 3) + n_rows[d] - 1] = np.int64(data[at + 2])
                words[(columns[program[step, 1]] >> 3) + n_rows[program[step, 2]] - 1] = n
                into = columns[b] + n_rows[a]
                for k in range(n):
                    out[into + k] = data[at + 3 + k]
                n_rows[a] += n
                at += 3 + n
                step += 1
            elif op == _JUMP:
                step = a
            elif op == _FLAG:
                if at + 1 > stop:
                    fault = 1
                    break
                if data[at] == 0:
                    step = a
                at += 1
            elif op == _SWITCH:
                if at + 4 > stop:
                    fault = 1
                    break
                n = read_u32(data, at)
                at += 4
                if n >= c:
                    fault, found = 7, n
                    break
                words[(columns[a] >> 3) + n_rows[b] - 1] = n
                step = program[step + n, 1]
            elif op == _SINCE:
                if seen[a] < b:
                    step = c
            elif op == _CODED:
                at, n = read_size(data, at, stop)
                if n < 0:
                    fault = 1
                    break
                words[(columns[a] >> 3) + n_rows[b] - 1] = n
            elif op == _UNLESS:
                if not (bitset >> a) & 1:
                    step = b
            elif op == _BITSET:
                if at + 4 > stop:
                    fault = 1
                    break
                bitset = read_u32(data, at)
                words[(columns[a] >> 3) + n_rows[b] - 1] = bitset
                at += 4
            elif op == _EXACTLY:
                if at + 4 > stop:
                    fault = 1
                    break
                if read_u32(data, at) != a:
                    fault, found = 6, read_u32(data, at)
                    break
                at += 4
            else:
                if at != stop and a == 1:
                    fault, found = 2, stop - at
                break
        if fault:
            for k in range(1, n_rows.size):
                n_rows[k] = before[k]
        for item in range(len(items)):
            level, column, first, last = items[item]
            into = columns[column] >> 3
            places = words[into + before[level] : into + n_rows[level]]
            _copy_fields(data, places, before[level], item_fields[first:last], out, words, halves)
        if fault:
            faults[blob, 0], faults[blob, 1], faults[blob, 2] = fault, at - starts[blob], found
