"""Parents in trees, whose nodes stand in the order of a walk that goes down before it goes on."""

from __future__ import annotations

import numpy as np

from etendue.kernel import kernel, offsets
from etendue.neutrino.sources.icecube.decode import Decoded


@kernel
def parents_by_shape(words, word_starts, node_starts, parent, ok):
    """Parent of each node, from the bits of the trees' shapes.

    Parameters
    ----------
    words : uint64 array
        Bits of all trees, least significant first: for each node a 1, then its children, then what stands
        beside it; a 0 where there is nothing.
    word_starts, node_starts : int64 array, shape (n + 1,)
        First word and first node of each tree, and the end.
    parent : int32 array
        Output: of each node its parent, counted in its tree; -1 for a root.
    ok : bool array, shape (n,)
        Output: whether the bits make a tree of just so many nodes.
    """
    for tree in range(ok.size):
        first, end = node_starts[tree], node_starts[tree + 1]
        n_nodes = end - first
        n_bits = 64 * (word_starts[tree + 1] - word_starts[tree])
        node, up = -1, -1
        bit, done = 0, n_nodes == 0
        ok[tree] = done
        while not done and bit < n_bits:
            word = words[word_starts[tree] + bit // 64]
            there = (word >> np.uint64(bit % 64)) & np.uint64(1)
            bit += 1
            if there:
                node += 1
                if node >= n_nodes:
                    break
                parent[first + node] = up
                up = node  # next come its own children
            elif up < 0:
                done = True
                ok[tree] = node == n_nodes - 1
            else:
                up = parent[first + up]  # no more children of that: next come its siblings
        if not ok[tree]:
            parent[first:end] = -1


@kernel
def parents_by_children(n_children, node_starts, parent):
    """Parent of each node, from how many children each has; see `parents_by_shape`."""
    for tree in range(node_starts.size - 1):
        first, end = node_starts[tree], node_starts[tree + 1]
        left = n_children[first:end].copy()
        up = -1
        for node in range(end - first):
            while up >= 0 and left[up] == 0:
                up = parent[first + up]
            parent[first + node] = up
            if up >= 0:
                left[up] -= 1
            up = node


def parents(decoded: Decoded) -> tuple[np.ndarray, np.ndarray]:
    """Parent of each row of the blobs' trees, and whether each blob's shape is one of its rows."""
    level = "particles" if "particles" in decoded.counts else "triggers"
    starts = offsets(decoded.counts[level])
    parent = np.full(starts[-1], -1, dtype=np.int32)
    ok = np.ones(len(starts) - 1, dtype=np.bool_)
    if level == "triggers":
        parents_by_children(decoded.levels[level]["n_children"], starts, parent)
    else:
        words = decoded.levels["shape"]["word"]
        parents_by_shape(words, offsets(decoded.counts["shape"]), starts, parent, ok)
    return parent, ok
