"""The verb that joins small partitions."""

from __future__ import annotations

import click

from etendue.cli.process import Size


@click.command()
@click.argument("store")
@click.option("--pass", "tag", required=True, help="Name of the new pass.")
@click.option(
    "--partition-bytes",
    type=Size(),
    default="128MiB",
    show_default=True,
    help="Bytes of a partition, uncompressed.",
)
@click.option("--quiet", is_flag=True, help="No progress and no summary.")
def compact(store: str, tag: str, partition_bytes: int, quiet: bool) -> None:
    r"""Write the rows of a pass once more as a new pass, in fewer and larger partitions.

    For passes over thousands of small files, of which each is a chunk. The new pass has the same rows in the
    same order, and its provenance leads through the other pass to the raw files; keep that one, to which more
    inputs can be added, as long as either is of use.

    \b
    etendue compact crab.etendue --pass 2026.1-compact
    etendue compact crab.etendue@2026.1 --pass 2026.1-compact --partition-bytes 256MiB
    """
    from etendue.dataflow.compact import compact as join_partitions

    summary = join_partitions(store, tag, partition_bytes=partition_bytes, quiet=quiet or None)
    if not quiet:
        click.echo(str(summary))
