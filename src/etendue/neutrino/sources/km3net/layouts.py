"""Kernels that turn the bytes of entries into columns.

The layouts are those of KM3NeT's data format classes (``KM3NETDAQ``) under ROOT's streamers: big-endian
words, but for the time of a hit, which is little-endian. An object begins with a byte count of four bytes
(bit 30 set; itself not counted) and a version of two. First a kernel counts the rows of each entry and checks
that the entry is as long as its counts ask for; only entries that passed are then decoded, so no kernel reads
or writes out of bounds. Known layouts: km3io 1.1.0 and KM3io.jl, which read the same files.
"""

from __future__ import annotations

import numpy as np

from etendue.kernel import kernel

#: Bit of a byte count that says that it is one.
BYTE_COUNT = 0x40000000
#: Bit of a version that says that a vector is stored member by member.
MEMBER_WISE = 0x4000
#: Bytes before the items of a vector: byte count, version, number of items.
VECTOR_HEADER = 10
#: Bytes of a hit with its module, of one with its module and trigger mask, and of a frame of a summary slice.
KEY_HIT, TRIGGERED_HIT, SUMMARY_FRAME = 10, 24, 55

#: Slots of the hash table of an event for each triggered hit, at least.
_SLOTS = 8
_ONE = np.uint64(1)


@kernel
def read_u4(data: np.ndarray, at: int) -> int:
    """Big-endian unsigned word of four bytes, as int64."""
    # positions are unsigned: of signed ones each access would ask whether they count from the end
    at = np.uint64(at)
    high = (np.uint32(data[at]) << np.uint32(24)) | (np.uint32(data[at + _ONE]) << np.uint32(16))
    low = (np.uint32(data[at + np.uint64(2)]) << np.uint32(8)) | np.uint32(data[at + np.uint64(3)])
    return np.int64(high | low)


@kernel
def read_i4(data: np.ndarray, at: int) -> int:
    """Big-endian signed word of four bytes, as int64."""
    return np.int64(np.int32(read_u4(data, at)))


@kernel
def read_u4_little(data: np.ndarray, at: int) -> int:
    """Little-endian unsigned word of four bytes, as int64."""
    at = np.uint64(at)
    high = (np.uint32(data[at + np.uint64(3)]) << np.uint32(24)) | (
        np.uint32(data[at + np.uint64(2)]) << np.uint32(16)
    )
    low = (np.uint32(data[at + _ONE]) << np.uint32(8)) | np.uint32(data[at])
    return np.int64(high | low)


@kernel
def count_items(data: np.ndarray, offsets: np.ndarray, item_size: int) -> np.ndarray:
    """Items of each entry that is a vector of objects of equal size.

    Parameters
    ----------
    data : uint8 array
        Bytes of the entries: byte count, version, number of items n, n items.
    offsets : int64 array, shape (n_entries + 1,)
        Start of each entry.
    item_size : int
        Bytes of an item.

    Returns
    -------
    int64 array, shape (n_entries,)
        -1 where the entry is not such a vector.
    """
    counts = np.full(len(offsets) - 1, -1, dtype=np.int64)
    for entry in range(len(counts)):
        start, size = offsets[entry], offsets[entry + 1] - offsets[entry]
        if size < VECTOR_HEADER or read_u4(data, start) != BYTE_COUNT + size - 4:
            continue
        n = read_i4(data, start + 6)
        if (
            (np.int64(data[start + 4]) << 8) & MEMBER_WISE == 0
            and n >= 0
            and VECTOR_HEADER + n * item_size == size
        ):
            counts[entry] = n
    return counts


@kernel
def key_hits(
    data: np.ndarray,
    offsets: np.ndarray,
    counts: np.ndarray,
    stride: int,
    dom_id: np.ndarray,
    channel_id: np.ndarray,
    tdc: np.ndarray,
    tot: np.ndarray,
) -> None:
    """Hits of events: module (int32), channel, time (uint32, little-endian), time over threshold.

    Parameters
    ----------
    data, offsets : uint8 array, int64 array of shape (n_entries + 1,)
        The entries.
    counts : int64 array, shape (n_entries,)
        Hits of each entry, as `count_items` found them; 0 for entries to leave out.
    stride : int
        Bytes of a hit, of which the first 10 are read.
    dom_id, channel_id, tdc, tot : int32, uint8, uint32, uint8 arrays, shape (sum of counts,)
        Written.
    """
    row, step = np.uint64(0), np.uint64(stride)
    for entry in range(len(counts)):
        at = np.uint64(offsets[entry] + VECTOR_HEADER)
        for _ in range(counts[entry]):
            dom_id[row] = read_u4(data, at)
            channel_id[row] = data[at + np.uint64(4)]
            tdc[row] = read_u4_little(data, at + np.uint64(5))
            tot[row] = data[at + np.uint64(9)]
            at += step
            row += _ONE


@kernel
def trigger_masks(data: np.ndarray, offsets: np.ndarray, counts: np.ndarray, mask: np.ndarray) -> None:
    """Trigger masks (big-endian uint64) of triggered hits, behind the hit and the header of the mask."""
    row = np.uint64(0)
    for entry in range(len(counts)):
        at = np.uint64(offsets[entry] + VECTOR_HEADER + KEY_HIT + 6)
        for _ in range(counts[entry]):
            high, low = np.uint64(read_u4(data, at)), np.uint64(read_u4(data, at + np.uint64(4)))
            mask[row] = (high << np.uint64(32)) | low
            at += np.uint64(TRIGGERED_HIT)
            row += _ONE


@kernel
def _slot(dom_id: int, channel_id: int, tdc: int, tot: int, shift: int) -> int:
    """Slot of a hit in a table of 2^(64 - shift): multiplicative hashing (Knuth vol. 3, 6.4)."""
    key = (np.uint64(np.uint32(dom_id)) << np.uint64(32)) | np.uint64(tdc)
    other = (np.uint64(channel_id) << np.uint64(28)) | (np.uint64(tot) << np.uint64(20))
    return ((key ^ other) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(shift)


@kernel
def _find(hit: tuple, others: tuple, slots: np.ndarray, shift: int) -> int:
    """Slot of the hit among ``others`` that equals a hit, or the free slot where it would be."""
    dom_id, channel_id, tdc, tot = hit
    dom_ids, channel_ids, tdcs, tots = others
    last = np.uint64(len(slots) - 1)
    slot = _slot(dom_id, channel_id, tdc, tot, shift)
    while slots[slot] != 0:
        n = np.uint64(slots[slot]) - _ONE
        if tdcs[n] == tdc and dom_ids[n] == dom_id and channel_ids[n] == channel_id and tots[n] == tot:
            break
        slot = (slot + _ONE) & last
    return slot


@kernel
def match_masks(
    n_hits: np.ndarray,
    dom_id: np.ndarray,
    channel_id: np.ndarray,
    tdc: np.ndarray,
    tot: np.ndarray,
    n_triggered: np.ndarray,
    triggered_dom_id: np.ndarray,
    triggered_channel_id: np.ndarray,
    triggered_tdc: np.ndarray,
    triggered_tot: np.ndarray,
    triggered_mask: np.ndarray,
    mask: np.ndarray,
) -> None:
    """Trigger mask of each snapshot hit: the bits of all triggered hits of its event that equal it.

    Hits are equal if module, channel, time and time over threshold are. The triggered hits of an event are
    put in a hash table with open addressing, at most an eighth full; equal ones share a slot.

    Parameters
    ----------
    n_hits, n_triggered : int64 arrays, shape (n_events,)
        Hits of each event.
    dom_id, channel_id, tdc, tot : int32, uint8, uint32, uint8 arrays, shape (sum of n_hits,)
        Snapshot hits.
    triggered_dom_id, ..., triggered_mask : the same and a uint64 array, shape (sum of n_triggered,)
        Triggered hits.
    mask : uint64 array, shape (sum of n_hits,)
        Written; 0 for hits that are part of no trigger.
    """
    size = 16
    while size < _SLOTS * n_triggered.max():
        size *= 2
    table = np.empty(size, dtype=np.uint32)
    bits = np.empty(n_triggered.max(), dtype=np.uint64)
    first, first_triggered = 0, 0
    for event in range(len(n_hits)):
        stop, stop_triggered = first + n_hits[event], first_triggered + n_triggered[event]
        size, shift = 16, 60
        while size < _SLOTS * n_triggered[event]:
            size, shift = size * 2, shift - 1
        slots = table[:size]
        slots[:] = 0
        triggered = (
            triggered_dom_id[first_triggered:stop_triggered],
            triggered_channel_id[first_triggered:stop_triggered],
            triggered_tdc[first_triggered:stop_triggered],
            triggered_tot[first_triggered:stop_triggered],
        )
        for n in range(np.uint64(n_triggered[event])):
            hit = (triggered[0][n], triggered[1][n], triggered[2][n], triggered[3][n])
            slot = _find(hit, triggered, slots, shift)
            bits[n] = triggered_mask[np.uint64(first_triggered) + n]
            if slots[slot] == 0:
                slots[slot] = n + _ONE
            else:
                bits[np.uint64(slots[slot]) - _ONE] |= bits[n]
        for n in range(np.uint64(first), np.uint64(stop)):
            slot = _find((dom_id[n], channel_id[n], tdc[n], tot[n]), triggered, slots, shift)
            found = slots[slot]
            mask[n] = bits[np.uint64(found) - _ONE] if found else np.uint64(0)
        first, first_triggered = stop, stop_triggered


@kernel
def items(
    data: np.ndarray, offsets: np.ndarray, counts: np.ndarray, item_size: int, rows: np.ndarray
) -> None:
    """Bytes of the items of vectors, one row an item: shape (sum of counts, item_size), written."""
    row = 0
    for entry in range(len(counts)):
        at = offsets[entry] + VECTOR_HEADER
        for _ in range(counts[entry]):
            rows[row] = data[at : at + item_size]
            at += item_size
            row += 1


def chronometers(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Detector, run, frame and time from headers of events and slices.

    Parameters
    ----------
    rows : uint8 array, shape (n, >= 44)
        Three headers of 6 bytes, detector, run, frame (int32 each), a header of 6 bytes, seconds (bit 31 is
        the status of White Rabbit) and cycles of 16 ns (uint32 each).
    """
    names = ("det_id", "run_id", "frame_index")
    numbers = {name: words(rows, at).astype(np.int32) for name, at in zip(names, (18, 22, 26), strict=True)}
    return numbers | {"time": utc(words(rows, 36), words(rows, 40))}


def words(rows: np.ndarray, at: int, dtype: str = ">u4") -> np.ndarray:
    """Column of big-endian numbers at one place in rows of bytes."""
    size = np.dtype(dtype).itemsize
    return np.ascontiguousarray(rows[:, at : at + size]).view(dtype)[:, 0]


def utc(seconds: np.ndarray, cycles: np.ndarray) -> np.ndarray:
    """Nanoseconds since 1970-01-01 (int64) from seconds, whose bit 31 is a status, and cycles of 16 ns."""
    return (seconds.astype(np.int64) & 0x7FFFFFFF) * 1_000_000_000 + cycles.astype(np.int64) * 16
