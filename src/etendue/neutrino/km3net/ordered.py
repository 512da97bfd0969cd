"""Calibrated hits of events in one order, whatever order they come in, for fits that sum over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from etendue.dataflow.partition import Partition


@dataclass(frozen=True)
class OrderedHits:
    """Hits of a partition, those of an event ordered by module, then time, then channel.

    Parameters
    ----------
    starts : int64 array, shape (n_events + 1,)
        First hit of each event, and the end.
    dom_id, channel_id : int64 array, shape (n_hits,)
        Module and photomultiplier.
    t : float64 array, shape (n_hits,)
        Time [ns].
    position, axis : float64 array, shape (n_hits, 3)
        Positions [m] and axes of the photomultipliers.
    is_seed : bool array, shape (n_hits,)
        Triggered hits; all hits where the input does not say which were triggered.
    """

    starts: np.ndarray
    dom_id: np.ndarray
    channel_id: np.ndarray
    t: np.ndarray
    position: np.ndarray
    axis: np.ndarray
    is_seed: np.ndarray

    @classmethod
    def of(cls, partition: Partition) -> OrderedHits:
        """Order the table ``hits`` of a partition; hits without a place (of unknown modules) are left out."""
        column = {name: partition[f"hits/{name}"] for name in ("dom_id", "channel_id", "t")}
        position = np.column_stack([partition[f"hits/pos_{c}"] for c in "xyz"]).astype(np.float64)
        axis = np.column_stack([partition[f"hits/dir_{c}"] for c in "xyz"]).astype(np.float64)
        owner, seed = partition.owners("hits"), _triggered(partition)
        # fewer keys sort faster: the module within its event, and what tells hits of one time apart
        module = owner << 32 | column["dom_id"].astype(np.int64) & 0xFFFFFFFF
        order = np.lexsort((column["channel_id"] * np.int64(2) + seed, column["t"], module))
        placed = np.isfinite(position).all(axis=1) & np.isfinite(axis).all(axis=1) & np.isfinite(column["t"])
        order = order[placed[order]]
        starts = np.searchsorted(owner[order], np.arange(len(partition.counts("hits")) + 1))
        return cls(
            starts,
            column["dom_id"][order].astype(np.int64),
            column["channel_id"][order].astype(np.int64),
            column["t"][order].astype(np.float64),
            position[order],
            axis[order],
            seed[order],
        )


def _triggered(partition: Partition) -> np.ndarray:
    for name in ("hits/trigger_mask", "hits/trig"):
        if name in partition:
            return partition[name] > 0
    return np.ones(partition.rows("hits"), dtype=bool)


def pmt_rows(pmts: Mapping[str, np.ndarray], dom_id: np.ndarray, channel_id: np.ndarray) -> np.ndarray:
    """Row of each hit's photomultiplier in the table ``detector``; -1 where it is not there."""
    if len(pmts["dom_id"]) == 0:
        return np.full(len(dom_id), -1)
    known = pmts["dom_id"].astype(np.int64) * 256 + pmts["channel_id"]
    order = np.argsort(known)
    wanted = dom_id.astype(np.int64) * 256 + channel_id
    row = order[np.minimum(np.searchsorted(known, wanted, sorter=order), len(order) - 1)]
    return np.where(known[row] == wanted, row, -1)
