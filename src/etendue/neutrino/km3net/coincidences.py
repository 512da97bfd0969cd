"""Coincidences of hits in one KM3NeT module: L1, L2, and the multiplicities of the supernova stream.

Light from one decay or one Cherenkov cone hits several photomultipliers of a module within some
nanoseconds; noise does so rarely. L1 asks for two photomultipliers within 25 ns, L2 for two within 10 ns
whose axes are not far apart, the supernova stream for four.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from etendue.dataflow.parameters import Name
from etendue.dataflow.partition import Partition
from etendue.dataflow.stage import Stage
from etendue.kernel import kernel, offsets
from etendue.neutrino.schema import DIRECTION, POSITION, RAW_HIT
from etendue.schema import Schema, Table, Variable, variables
from etendue.sorting import rows_in_order

#: Moves a hit that sorting by insertion may cost before sorting by merging takes over.
INSERTION_MOVES = 16

#: Stands for the axes of hits where they do not matter.
NO_AXES = np.empty((3, 0), dtype=np.float32)


@kernel
def sort_group(order: np.ndarray, t: np.ndarray, channel: np.ndarray) -> None:
    """Sort hits by (time, channel), in place; quick for hits that are nearly sorted.

    Parameters
    ----------
    order : int64 array, shape (n,)
        Rows of the hits; sorted in place.
    t : float64 array
        Time of every hit, by row [ns]; not NaN.
    channel : uint8 array
        Channel of every hit, by row.
    """
    moves = 0
    for i in range(1, order.size):
        row = order[i]
        j = i
        while j > 0 and (
            t[order[j - 1]] > t[row] or (t[order[j - 1]] == t[row] and channel[order[j - 1]] > channel[row])
        ):
            order[j] = order[j - 1]
            j -= 1
        order[j] = row
        moves += i - j
        if moves > INSERTION_MOVES * order.size:
            ordered = rows_in_order(rows_in_order(order, channel), t)
            for k in range(order.size):
                order[k] = ordered[k]
            return


@kernel
def n_bits(word: int) -> int:
    """Number of bits that are set in a word of 32 bits (added up in pairs, fours, eights)."""
    pairs = word - ((word >> 1) & 0x55555555)
    fours = (pairs & 0x33333333) + ((pairs >> 2) & 0x33333333)
    eights = (fours + (fours >> 4)) & 0x0F0F0F0F
    return ((eights * 0x01010101) & 0xFFFFFFFF) >> 24


@kernel
def aligned(hits: np.ndarray, channel: np.ndarray, axes: np.ndarray, min_pmts: int, min_cos: float) -> bool:
    """Whether some photomultiplier and those with axes near its own are enough.

    Near are those with cos(angle of the axes) >= min_cos; a photomultiplier is near itself.

    Parameters
    ----------
    hits : int64 array, shape (n,)
        Rows of the hits.
    channel : uint8 array
        Channel of every hit, by row.
    axes : float32 array, shape (3, n_hits)
        Axis of the photomultiplier of every hit, by row.
    min_pmts : int
        Photomultipliers that are enough.
    min_cos : float
        Least cosine of the angle between two axes.
    """
    for i in hits:
        near = 0
        for j in hits:
            cos = axes[0, i] * axes[0, j] + axes[1, i] * axes[1, j] + axes[2, i] * axes[2, j]
            if channel[i] == channel[j] or cos >= min_cos:
                near |= 1 << np.int64(channel[j])
        if n_bits(near) >= min_pmts:
            return True
    return False


@kernel
def usable_times(t: np.ndarray, channel: np.ndarray) -> np.ndarray:
    """Times of hits in float64; infinite where a hit has no time (NaN) or is of a channel above 31."""
    usable = np.empty(t.size, dtype=np.float64)
    for i in range(t.size):
        usable[i] = t[i] if t[i] < np.inf and channel[i] < 32 else np.inf
    return usable


@kernel
def find_coincidences(
    starts: np.ndarray,
    parent: np.ndarray,
    order: np.ndarray,
    t: np.ndarray,
    channel: np.ndarray,
    axes: np.ndarray,
    within: float,
    min_pmts: int,
    min_cos: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Coincidences of the hits of each group (the hits of one module in one frame or event).

    A window opens at a hit and takes all hits with t - t_first <= within. If they are of at least
    ``min_pmts`` channels (see `aligned` for ``min_cos``), it is a coincidence and the next window opens
    after its last hit; if not, the next window opens at the next hit.

    Parameters
    ----------
    starts : int64 array, shape (n_groups + 1,)
        First place of each group in ``order``, and the end.
    parent : int64 array, shape (n_groups,)
        What the groups belong to (frame or event), ascending.
    order : int64 array, shape (n_hits,)
        Rows of the hits, group after group; sorted by time in place.
    t : float64 array, shape (n_hits,)
        Time of each hit [ns]; infinite for a hit that must not be used, see `usable_times`.
    channel : uint8 array, shape (n_hits,)
        Channel, below 32 where the time is finite.
    axes : float32 array, shape (3, n_hits)
        Axis of each hit's photomultiplier; of any length if ``min_cos`` is -1.
    within : float
        Length of the window [ns].
    min_pmts : int
        Least number of photomultipliers.
    min_cos : float
        Least cosine of the angle between the axes of two photomultipliers; -1 for any.

    Returns
    -------
    first : int64 array, shape (n_coincidences,)
        Row of the first hit.
    n_hits : int32 array, shape (n_coincidences,)
        Hits.
    channels : uint32 array, shape (n_coincidences,)
        Bits of the channels that were hit.
    group : int64 array, shape (n_coincidences,)
        Group, ascending.
    mark : int32 array, shape (n_hits,)
        Number of each hit's coincidence among those of the same parent; -1 for none.
    """
    first = np.empty(order.size, dtype=np.int64)
    n_hits = np.empty(order.size, dtype=np.int32)
    channels = np.empty(order.size, dtype=np.uint32)
    in_group = np.empty(order.size, dtype=np.int64)
    mark = np.full(order.size, -1, dtype=np.int32)
    n = first_of_parent = 0
    for group in range(parent.size):
        if group > 0 and parent[group] != parent[group - 1]:
            first_of_parent = n
        sort_group(order[starts[group] : starts[group + 1]], t, channel)
        i, stop = starts[group], starts[group + 1]
        while i < stop and t[order[i]] < np.inf:
            last = t[order[i]] + within
            bits = 0
            end = i
            while end < stop and t[order[end]] <= last:
                bits |= 1 << np.int64(channel[order[end]])
                end += 1
            if n_bits(bits) < min_pmts or (
                min_cos > -1 and not aligned(order[i:end], channel, axes, min_pmts, min_cos)
            ):
                i += 1
                continue
            first[n], n_hits[n], channels[n], in_group[n] = order[i], end - i, bits, group
            for place in range(i, end):
                mark[order[place]] = n - first_of_parent
            n += 1
            i = end
    return first[:n], n_hits[:n], channels[:n], in_group[:n], mark


@dataclass(frozen=True, eq=False)
class Groups:
    """The hits of a partition, grouped by module within each frame or event.

    Parameters
    ----------
    order : int64 array, shape (n_hits,)
        Rows of the hits, group after group.
    starts : int64 array, shape (n_groups + 1,)
        First place of each group in ``order``, and the end.
    dom_id : int32 array, shape (n_groups,)
        Module of each group.
    parent : int64 array, shape (n_groups,)
        Row of the frame or event.
    """

    order: np.ndarray
    starts: np.ndarray
    dom_id: np.ndarray
    parent: np.ndarray


def group_hits(partition: Partition) -> Groups:
    """Group the hits of a partition; the groups of an event ascend by module number."""
    starts, n_hits = partition.offsets("hits"), partition.rows("hits")
    if "hits/dom_id" not in partition:
        dom_id = partition["frames/dom_id"]
        return Groups(np.arange(n_hits), starts, dom_id, np.arange(len(dom_id)))
    event, dom_id = partition.owners("hits"), partition["hits/dom_id"]
    # Hits of a module mostly stand together: sort these runs of hits rather than hits.
    is_first = np.ones(n_hits, dtype=bool)
    is_first[1:] = (dom_id[1:] != dom_id[:-1]) | (event[1:] != event[:-1])
    run = np.flatnonzero(is_first)
    length = np.diff(run, append=n_hits)
    by_module = np.lexsort((dom_id[run], event[run]))
    run, length = run[by_module], length[by_module]
    order = places(run, length)
    is_new = np.ones(run.size, dtype=bool)
    is_new[1:] = (np.diff(dom_id[run]) != 0) | (np.diff(event[run]) != 0)
    first = np.append(offsets(length)[:-1][is_new], n_hits)
    return Groups(order, first, dom_id[run][is_new], event[run][is_new])


class FindCoincidences(Stage):
    """Find coincidences of hits in one module, as a new table, and mark the hits that are part of one.

    A window opens at a hit and takes all hits of the module within ``within``. It is a coincidence if they
    are of at least ``min_pmts`` photomultipliers, of which enough have axes within the angle of ``min_cos``
    of some one's axis; then the next window opens after its last hit, otherwise at the next hit. With
    ``min_pmts`` 1 that counts multiplicities. Hits without a time (NaN) or of channels above 31 are left
    out.

    Examples
    --------
    >>> L1 = FindCoincidences(table="l1", within=25, min_pmts=2)
    >>> L2 = FindCoincidences(table="l2", within=10, min_pmts=2, min_cos=0)
    >>> supernova = FindCoincidences(table="sn", within=10, min_pmts=4)
    """

    table: Name = Field("coincidences", description="name of the new table")
    within: float = Field(25.0, gt=0, description="length of the window, ns")
    min_pmts: int = Field(2, ge=1, le=31, description="least number of photomultipliers")
    min_cos: float = Field(
        -1.0, ge=-1, le=1, description="least cosine of the angle between photomultipliers' axes; -1 for any"
    )
    time: Literal["t", "tdc"] = Field("t", description="time of a hit: t calibrated, tdc raw")

    @property
    def reads(self) -> tuple[str, ...]:
        """Hits with their module, and their places where they are calibrated."""
        axes = "" if self.min_cos > -1 else "?"
        return (
            "hits/channel_id",
            f"hits/{self.time}",
            *(f"hits/{c}?" for c in ("dom_id", *POSITION)),
            *(f"hits/{c}{axes}" for c in DIRECTION),
            "frames/dom_id?",
        )

    def makes(self, schema: Schema) -> list[Table]:
        """The table of coincidences, whose rows belong to frames or events as the hits do."""
        placed = POSITION if "hits/pos_x" in schema else {}
        columns = variables(
            "coincidence",
            dom_id=RAW_HIT["dom_id"],
            time=("float64", "ns", "of the first hit, after the start of the frame"),
            multiplicity=("uint8", "", "photomultipliers"),
            n_hits=("int32", "", "hits"),
            channels=("uint32", "", "bits of the channels"),
            **placed,
        )
        about = f"one row a coincidence of {self.min_pmts} photomultipliers within {self.within:g} ns"
        parent = schema["hits"].parent
        return [Table(self.table, "coincidence", columns, parent=parent, description=about)]

    def provides(self, schema: Schema) -> dict[str, Variable]:
        """The hits' mark."""
        about = f"number of the row of /{self.table} among those of the frame or event; -1 for none"
        return {f"hits/{self.table}": Variable(self.table, (schema["hits"].dim,), "int32", "", about)}

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        """Find the coincidences of a partition."""
        groups, channel = group_hits(partition), partition["hits/channel_id"]
        t = usable_times(partition[f"hits/{self.time}"], channel)
        axes = np.stack([partition[f"hits/{c}"] for c in DIRECTION]) if self.min_cos > -1 else NO_AXES
        first, n_hits, channels, group, mark = find_coincidences(
            groups.starts,
            groups.parent,
            groups.order,
            t,
            channel,
            axes,
            self.within,
            self.min_pmts,
            self.min_cos,
        )
        made = {
            "dom_id": groups.dom_id[group],
            "time": t[first],
            "multiplicity": np.bitwise_count(channels),
            "n_hits": n_hits,
            "channels": channels,
        }
        if "hits/pos_x" in partition:
            made |= {name: partition[f"hits/{name}"][first] for name in POSITION}
        of_parent = np.bincount(groups.parent[group], minlength=len(partition.counts("hits")))
        counts = f"{partition.schema['hits'].parent}/n_{self.table}"
        return {f"{self.table}/{name}": column for name, column in made.items()} | {
            counts: of_parent.astype(np.int32),
            f"hits/{self.table}": mark,
        }


def places(begin: np.ndarray, length: np.ndarray) -> np.ndarray:
    """The places begin, begin + 1, ..., begin + length - 1 of each range, one after another."""
    return np.arange(length.sum()) + np.repeat(begin - offsets(length)[:-1], length)
