"""Verbs that look: info, show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etendue.cli.companions import with_option
from etendue.cli.event import event_option, file_name, row_option, run_of
from etendue.cli.on_error import on_error_option
from etendue.cli.output import json_option, print_json

if TYPE_CHECKING:
    from etendue.dataflow.source import OnError


@click.command()
@click.argument("paths", nargs=-1, required=True)
@on_error_option("raise", "Stop at broken input, or name it and tell of the rest.")
@with_option
@json_option
def info(paths: tuple[str, ...], on_error: OnError, companions: dict[str, str], as_json: bool) -> None:
    r"""Say what inputs hold together: tables, rows, columns, units. Decodes no event.

    \b
    etendue info gamma.simtel.zst
    etendue info crab.etendue@2026.1
    etendue info data/ --on-error skip
    etendue info crab.etendue --json
    """
    from etendue import open
    from etendue.dataflow.contents import contents
    from etendue.reprs import some_of

    found = contents(open(*paths, on_error=on_error, **companions))
    if as_json:
        print_json(found)
        return
    inputs = some_of((one["path"] for one in found["inputs"]), 3)
    click.echo(f"{inputs}: {found['source']}, {found['bytes']:,} bytes, {found['runs']} run(s)")
    for failure in found["failures"]:
        click.echo(f"broken: {failure['path']}: {failure['place']}: {failure['message']}")
    for name, table in found["tables"].items():
        sizes = ", ".join(f"{dim} {size}" for dim, size in table["sizes"].items())
        count = "" if table["rows"] is None else f"{table['rows']:,} rows"
        click.echo(f"\n/{name}  {count}  {sizes}\n  {table['description']}")
        if table["key"]:
            click.echo(f"  rows are named by {', '.join(table['key'])}")
        for column, about in table["columns"].items():
            dims = ", ".join(about["dimensions"])
            click.echo(f"    {column:<28} {about['dtype']:<8} ({dims}) {about['units']}")


@click.command()
@click.argument("store")
@event_option("Event to draw")
@row_option
@click.option(
    "--run",
    "run",
    type=int,
    help="Number (obs_id, run_id) or row of its run, where runs share event numbers.",
)
@click.option("--pass", "tag", help="Pass to look at.  [default: the newest]")
@click.option("--fits", help="Fits to draw, with commas between: beginnings of their columns' names.")
@click.option("--hits", help="Table of hits or pulses to draw.  [default: the first with positions]")
@click.option("--out", type=click.Path(path_type=Path), help="Picture to write.  [default: event-<N>.png]")
def show(
    store: str,
    event: Any,
    row: int | None,
    run: int | None,
    tag: str | None,
    fits: str | None,
    hits: str | None,
    out: Path | None,
) -> None:
    r"""Draw one event of a store.

    Of telescopes: camera images with cleaning and ellipses, and the array with the core. Of neutrino
    detectors: modules coloured by time and sized by charge, with fits of tracks and cascades; hits or pulses
    that the pass did not write are read from the raw file again.

    \b
    etendue show crab.etendue --event 17 --out event.png
    etendue show crab.etendue --event 17 --run 202
    etendue show crab.etendue --event obs_id=202,event_id=17
    etendue show crab.etendue --row 4
    etendue show ice.etendue --event 35405932 --fits MuonLlhFit,OnlineL2_SplineMPE
    """
    from etendue import load
    from etendue.provenance.showing import show as draw

    wanted = None if fits is None else [name.strip() for name in fits.split(",") if name.strip()]
    if event is None and row is None:
        raise click.UsageError("give the event to draw: --event N, or --row N")
    run = None if run is None else run_of(load(store, tag), run)
    figure = draw(store, event, tag=tag, run=run, row=row, fits=wanted, hits=hits)
    out = out or Path(f"event-{file_name(event, row)}.png")
    figure.savefig(out, dpi=150)
    click.echo(str(out))
