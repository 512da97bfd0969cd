"""Partitions with every kind of column and true counts, for the tests of the exports."""

import numpy as np
from hypothesis import strategies as st

from etendue.schema import Schema
from tests.store.ragged import SCHEMA as RAGGED
from tests.store.ragged import STATIC, make_partitions

SCHEMA = Schema({}).with_tables(RAGGED.values())
#: Rows of each chunked table in one partition; without events there is nothing that they could own.
ROWS = st.tuples(st.integers(0, 5), st.integers(0, 6), st.sampled_from([0, 2]), st.sampled_from([0, 1])).map(
    lambda rows: rows if rows[0] else (0, 0, 0, rows[3])
)


def owned_partitions(rows, seed=0):
    """Partitions in which the counts of the events say whose rows are whose."""
    rng = np.random.default_rng(seed)
    partitions = make_partitions(rows, seed)
    for tables, (n_events, n_cam, n_other, _) in zip(partitions, rows, strict=True):
        for name, n in (("n_cam", n_cam), ("n_other", n_other)):
            counts = rng.multinomial(n, np.full(n_events, 1 / max(n_events, 1))) if n_events else np.empty(0)
            tables["events"][name] = counts.astype(np.int32)
    return partitions


def truth(partitions, table, column):
    """A column of all partitions, or of a static table."""
    if SCHEMA[table].role == "static":
        return STATIC[table][column]
    nothing = owned_partitions([(0, 0, 0, 1)])[0][table][column][:0]
    return np.concatenate([nothing, *(p[table][column] for p in partitions if table in p)])
