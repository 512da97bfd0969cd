"""A pass of many small partitions as one of fewer, larger ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etendue.dataflow.flow import Flow
from etendue.dataflow.plan import PARTITION_BYTES, PlanError
from etendue.dataflow.summary import Summary
from etendue.store.paths import locate

if TYPE_CHECKING:
    from distributed import Client


def compact(
    store: str,
    tag: str,
    *,
    partition_bytes: int = PARTITION_BYTES,
    client: Client | None = None,
    quiet: bool | None = None,
) -> Summary:
    """Write the rows of a pass once more, into the same store, in partitions as large as can be.

    Each input of a pass has partitions of its own, so thousands of small files make thousands of small
    chunks, of which each costs a file and some time. The new pass has the same rows in the same order. It is
    made from the other, and says so: provenance leads through it to the raw files. What the other lacks,
    because it could not be read, is in the table ``failures`` of that one only.

    Parameters
    ----------
    store : str
        The store; ``store@pass`` for another than the newest pass.
    tag : str
        Name of the new pass.
    partition_bytes : int
        Bytes of a partition, uncompressed.
    client, quiet
        See `etendue.Flow.write`.

    Returns
    -------
    Summary

    Raises
    ------
    PlanError
        If no partitions can be joined.
    SourceError, PassExistsError
        As `etendue.Flow.write`.
    """
    flow = Flow((store,), partition_bytes=partition_bytes).columns("*")
    plan = flow.plan()
    before = int((plan.partitions["stop"] - plan.partitions["first"]).sum())
    if len(plan.partitions) >= before:
        raise PlanError(
            f"{plan.inputs.scans[0].path}: none of its {before:,} partitions can be joined to another within "
            f"{partition_bytes:,} bytes; allow more bytes a partition"
        )
    return flow.write(locate(store)[0], tag, client=client, quiet=quiet)
