"""The verb that processes files as they appear."""

from __future__ import annotations

import os
import signal
from typing import Any

import click

from etendue.cli.companions import with_option
from etendue.cli.on_error import on_error_option
from etendue.cli.place import client_at, place_options
from etendue.cli.process import EXIT_LOST, Size
from etendue.cli.variables import set_option


class Stop:
    """Whether somebody has asked to end, by a signal. A second one ends the process at once."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def __call__(self) -> bool:
        return self.asked

    def _ask(self, number: int, frame: object) -> None:
        if self.asked:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.asked = True
        os.write(2, b"etendue: ends after the batch in work; a second signal ends it at once\n")


@click.command()
@click.argument("pipeline")
@click.argument("directory", metavar="DIR")
@click.option("--into", "store", required=True, help="Store to write into; made if it is not there.")
@click.option("--pass", "tag", required=True, help="Name of the pass that files are added to.")
@click.option(
    "--pattern", default="*", show_default=True, help="Names of the files; with a slash, their paths in DIR."
)
@click.option(
    "--every",
    type=click.FloatRange(0),
    default=5,
    show_default=True,
    metavar="SECONDS",
    help="From one look at DIR to the next.",
)
@click.option(
    "--settle",
    type=click.FloatRange(0),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="Without a change, after which a file counts as whole.",
)
@click.option("--once", is_flag=True, help="End after what is there now.")
@click.option("--until-idle", type=float, metavar="SECONDS", help="End after so long without a new file.")
@on_error_option("skip", "Set broken files aside, or end.")
@click.option("--write", multiple=True, metavar="REF", help="Columns to write, as events/* or @camera/image.")
@click.option(
    "--partition-bytes", type=Size(), default="128MiB", show_default=True, help="Raw bytes of a partition."
)
@click.option("--workers", type=click.IntRange(1), help="Partitions at a time.  [default: one a core]")
@click.option(
    "--memory", "memory_limit", type=Size(), help="Memory that may be used.  [default: 80 % of what is free]"
)
@with_option
@set_option
@place_options
def watch(
    pipeline: str,
    directory: str,
    write: tuple[str, ...],
    where: str,
    jobs: int | None,
    credentials: str | None,
    insecure: bool,
    companions: dict[str, str],
    variables: dict[str, str],
    **options: Any,
) -> None:
    r"""Process the files of DIR as they appear, and add them to a pass.

    Prints a line for each batch: when, files, events, seconds, latency. SIGINT (Ctrl-C) and SIGTERM end it
    after the batch in work; whatever ends it, the same command goes on where it was. Exits with 3 if part
    of the input was lost and nobody ended it (--once, --until-idle).

    \b
    etendue watch iact /data/tonight --into crab.etendue --pass nrt --pattern "*.simtel.zst"
    """
    from etendue import find_pipeline
    from etendue.dataflow.companions import checked
    from etendue.dataflow.watch import watch as batches

    stop, options["companions"] = Stop(), checked(companions)
    chain = find_pipeline(pipeline, **variables).beside(options["companions"])
    chain.check_variables()
    if write:
        chain = chain.model_copy(update={"write": write})
    place = {"jobs": jobs, "credentials": credentials, "insecure": insecure}
    lost = False
    with client_at(where, workers=options["workers"], **place) as client:
        for batch in batches(chain, directory, stop=stop, client=client, **options):
            click.echo(str(batch))
            lost = lost or bool(batch.summary.outcome.failures)
            for failure in batch.summary.outcome.failures:
                click.echo(f"etendue: {failure}", err=True)
    if lost and not stop():
        raise SystemExit(EXIT_LOST)
