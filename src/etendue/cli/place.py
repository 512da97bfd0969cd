"""Where a verb runs: the options that run and watch have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from distributed import Client


def place_options(command: Any) -> Any:
    """Add the options that `client_at` takes."""
    options = [
        click.option("--on", "where", default="laptop", show_default=True, metavar="PLACE",
                     help="laptop, processes, slurm, htcondor, pbs, mpi, kubernetes, a site's profile, or "
                     "tls://host:port."),
        click.option("--jobs", type=int, help="Jobs or pods of a cluster.  [default: what its profile says]"),
        click.option("--credentials", type=click.Path(),
                     help="Folder with ca.pem, cert.pem, key.pem for a tls:// scheduler."),
        click.option("--insecure", is_flag=True, help="Allow a scheduler without encryption."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@contextmanager
def client_at(where: str, *, workers: int | None, **options: Any) -> Iterator[Client | None]:
    """A client of a place while it is needed; None for threads of this process."""
    if where == "laptop":
        yield None
        return
    from etendue import connect

    with connect(where, workers=workers, **options) as client:
        yield client
