"""Kernels for the frames of time slices: vectors of ``JDAQSuperFrame``, as ROOT's streamers store them.

*Member by member*: each member for all frames of the slice, then the hits of all. *Object by object*: each
frame whole, its bases and hits with a byte count and a version of their own. A bit of the vector's version
says which of them it is, for each slice. As in `layouts`, a first kernel checks that the bytes are as many as
the counts in them ask for; the others are given only slices that passed.

The second layout is in no known file of KM3NeT's. It is what ROOT 6.40 writes for classes with the members,
versions and checksums of KM3NeT's, if the bases with a streamer written by hand (preamble, identifier of the
module, status) are as they are in events and summary slices: their members and nothing else.
"""

from __future__ import annotations

import numpy as np

from etendue.kernel import kernel
from etendue.neutrino.sources.km3net.layouts import (
    BYTE_COUNT,
    MEMBER_WISE,
    VECTOR_HEADER,
    read_i4,
    read_u4,
    read_u4_little,
)

#: Bytes of a hit: channel, time (little-endian), time over threshold.
HIT = 6
#: Version of the class ``JDAQSuperFrame`` whose members are known.
SUPER_FRAME_VERSION = 3
#: Bytes before an object: byte count and version.
OBJECT_HEADER = 6

#: Member by member: bytes before the frames (a vector's header and the version of the class), and of a frame
#: without its hits.
_MEMBERS_HEADER, _MEMBERS_SIZE = 12, 72
#: Bytes of the members before each that is read, for one frame.
_MEMBERS = {"length": 0, "dom_id": 44, "daq": 48, "status": 52, "fifo": 56, "n_hits": 68}

#: Object by object: bytes of a frame without its hits, and where its three objects with a byte count begin:
#: ``JDAQSuperFrameHeader``, ``JDAQFrame`` and the hits.
_OBJECT_SIZE, _OBJECT_HEADER, _OBJECT_FRAME, _OBJECT_HITS = 98, 14, 82, 92
#: Bytes of the first of these, after its byte count.
_OBJECT_HEADER_SIZE = 64
#: Bytes before each member that is read.
_OBJECT = {"length": 6, "dom_id": 58, "daq": 62, "status": 66, "fifo": 70, "n_hits": 88}
_OBJECT_N_HITS = _OBJECT["n_hits"]
_MEMBERS_N_HITS = _MEMBERS["n_hits"]

_ONE = np.uint64(1)


@kernel
def _is_member_wise(data: np.ndarray, start: int) -> bool:
    return ((np.int64(data[start + 4]) << 8) & MEMBER_WISE) != 0


@kernel
def _count_members(data: np.ndarray, start: int, size: int) -> tuple[int, int]:
    """Frames and hits of a slice stored member by member; -1 and 0 if the bytes are something else."""
    if size < _MEMBERS_HEADER:
        return -1, 0
    class_version = (np.int64(data[start + 6]) << 8) | data[start + 7]
    n = read_i4(data, start + 8)
    if class_version != SUPER_FRAME_VERSION or n < 0:
        return -1, 0
    if n == 0:
        return (0, 0) if size == _MEMBERS_HEADER else (-1, 0)
    rest = size - _MEMBERS_HEADER - _MEMBERS_SIZE * n - OBJECT_HEADER
    if rest < 0:
        return -1, 0
    at, total = start + _MEMBERS_HEADER + _MEMBERS_N_HITS * n, 0
    for frame in range(n):
        hits = read_i4(data, at + 4 * frame)
        if hits < 0:
            return -1, 0
        total += hits
    return (n, total) if total * HIT == rest else (-1, 0)


@kernel
def _count_objects(data: np.ndarray, start: int, size: int) -> tuple[int, int]:
    """Frames and hits of a slice stored object by object; -1 and 0 if the bytes are something else."""
    n = read_i4(data, start + 6)
    at, stop, total = start + VECTOR_HEADER, start + size, 0
    if n < 0 or n > size // _OBJECT_SIZE:
        return -1, 0
    for _ in range(n):
        if stop - at < _OBJECT_SIZE:
            return -1, 0
        version = (np.int64(data[at + 4]) << 8) | data[at + 5]
        hits = read_i4(data, at + _OBJECT_N_HITS)
        frame_size = _OBJECT_SIZE + HIT * hits
        if (
            hits < 0
            or frame_size > stop - at
            or version != SUPER_FRAME_VERSION
            or read_u4(data, at) != BYTE_COUNT + frame_size - 4
            or read_u4(data, at + _OBJECT_HEADER) != BYTE_COUNT + _OBJECT_HEADER_SIZE
            or read_u4(data, at + _OBJECT_FRAME) != BYTE_COUNT + frame_size - _OBJECT_FRAME - 4
            or read_u4(data, at + _OBJECT_HITS) != BYTE_COUNT + frame_size - _OBJECT_HITS - 4
        ):
            return -1, 0
        at += frame_size
        total += hits
    return (n, total) if at == stop else (-1, 0)


@kernel
def count_frames(data: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames and hits of each slice.

    A vector begins with its byte count and version. If the version has the bit `MEMBER_WISE` there follow:
    version of the class, number n of frames, each member for all frames (length 4, type 4, TObject 10,
    det_id 4, run 4, frame_index 4, start 14, id 4, daq 4, status 4, fifo 4, status_3 4, status_4 4, number of
    hits 4) and, if n > 0, byte count and version and the hits of all frames. If it has not: number of frames,
    and for each, with H for the 6 bytes of a byte count and version: H length 4, type 4, H H H det_id 4,
    run 4, frame_index 4, H seconds 4, cycles 4, id 4, daq 4, status 4, fifo 4, status_3 4, status_4 4,
    H number of hits 4, H hits.

    Parameters
    ----------
    data : uint8 array
        Bytes.
    starts, stops : int64 arrays, shape (n_slices,)
        Where each slice's vector begins and ends.

    Returns
    -------
    n_frames, n_hits : int64 arrays, shape (n_slices,)
        -1 and 0 where the bytes are not such a vector.
    """
    n_frames = np.full(len(starts), -1, dtype=np.int64)
    n_hits = np.zeros(len(starts), dtype=np.int64)
    for entry in range(len(starts)):
        start, size = starts[entry], stops[entry] - starts[entry]
        if size < VECTOR_HEADER or read_u4(data, start) != BYTE_COUNT + size - 4:
            continue
        if _is_member_wise(data, start):
            n_frames[entry], n_hits[entry] = _count_members(data, start, size)
        else:
            n_frames[entry], n_hits[entry] = _count_objects(data, start, size)
    return n_frames, n_hits


@kernel
def _words(
    data: np.ndarray,
    starts: np.ndarray,
    n_frames: np.ndarray,
    in_members: int,
    in_object: int,
    words: np.ndarray,
) -> None:
    row = np.uint64(0)
    for entry in range(len(n_frames)):
        if n_frames[entry] == 0:
            continue
        if _is_member_wise(data, starts[entry]):
            at = np.uint64(starts[entry] + _MEMBERS_HEADER + in_members * n_frames[entry])
            for _ in range(n_frames[entry]):
                words[row] = read_u4(data, at)
                at += np.uint64(4)
                row += _ONE
        else:
            at = np.uint64(starts[entry] + VECTOR_HEADER)
            for _ in range(n_frames[entry]):
                words[row] = read_u4(data, at + np.uint64(in_object))
                at += np.uint64(_OBJECT_SIZE + HIT * read_i4(data, at + np.uint64(_OBJECT_N_HITS)))
                row += _ONE


def frame_words(
    data: np.ndarray, starts: np.ndarray, n_frames: np.ndarray, member: str, dtype: str
) -> np.ndarray:
    """One member of four bytes of all frames.

    Parameters
    ----------
    data : uint8 array
        Bytes.
    starts : int64 array, shape (n_slices,)
        Where each slice's vector begins.
    n_frames : int64 array, shape (n_slices,)
        Frames of each, as `count_frames` found them; 0 for slices to leave out.
    member : str
        ``length``, ``dom_id``, ``daq``, ``status``, ``fifo`` or ``n_hits``.
    dtype : str
        ``int32`` or ``uint32``.

    Returns
    -------
    array of that dtype, shape (sum of n_frames,)
    """
    words = np.empty(int(n_frames.sum()), dtype=dtype)
    _words(data, starts, n_frames, _MEMBERS[member], _OBJECT[member], words)
    return words


@kernel
def hit_starts(data: np.ndarray, starts: np.ndarray, n_frames: np.ndarray, n_hits: np.ndarray) -> np.ndarray:
    """Where the hits of each frame begin.

    Parameters
    ----------
    data, starts, n_frames
        As in `frame_words`.
    n_hits : int32 array, shape (sum of n_frames,)
        Hits of each frame.

    Returns
    -------
    int64 array, shape (sum of n_frames,)
    """
    found = np.empty(len(n_hits), dtype=np.int64)
    row = 0
    for entry in range(len(n_frames)):
        if n_frames[entry] == 0:
            continue
        if _is_member_wise(data, starts[entry]):
            before = 0
            at = starts[entry] + _MEMBERS_HEADER + _MEMBERS_SIZE * n_frames[entry] + OBJECT_HEADER
        else:
            before = _OBJECT_SIZE
            at = starts[entry] + VECTOR_HEADER
        for _ in range(n_frames[entry]):
            found[row] = at + before
            at += before + HIT * n_hits[row]
            row += 1
    return found


@kernel
def slice_hits(
    data: np.ndarray,
    starts: np.ndarray,
    counts: np.ndarray,
    channel_id: np.ndarray,
    tdc: np.ndarray,
    tot: np.ndarray,
) -> None:
    """Hits of time slices: channel, time (uint32, little-endian), time over threshold.

    Parameters
    ----------
    data : uint8 array
        Bytes.
    starts, counts : int64 arrays, shape (n_pieces,)
        Where each piece of hits begins, and how many they are.
    channel_id, tdc, tot : uint8, uint32, uint8 arrays, shape (sum of counts,)
        Written.
    """
    row = np.uint64(0)
    for piece in range(len(counts)):
        at = np.uint64(starts[piece])
        for _ in range(counts[piece]):
            channel_id[row] = data[at]
            tdc[row] = read_u4_little(data, at + _ONE)
            tot[row] = data[at + np.uint64(5)]
            at += np.uint64(HIT)
            row += _ONE
