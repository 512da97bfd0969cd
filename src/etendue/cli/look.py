"""Verbs that look: info, show."""

from __future__ import annotations

from pathlib import Path

import click

from etendue.cli.output import json_option, print_json


@click.command()
@click.argument("path")
@json_option
def info(path: str, as_json: bool) -> None:
    r"""Say what an input holds: tables, rows, columns, units. Decodes no event.

    \b
    etendue info gamma.simtel.zst
    etendue info crab.etendue@2026.1
    etendue info crab.etendue --json
    """
    from etendue import open
    from etendue.dataflow.contents import contents

    found = contents(open(path))
    if as_json:
        print_json(found)
        return
    click.echo(f"{path}: {found['source']}, {found['bytes']:,} bytes, {found['runs']} run(s)")
    for failure in found["failures"]:
        click.echo(f"broken: {failure['path']}: {failure['place']}: {failure['message']}")
    for name, table in found["tables"].items():
        sizes = ", ".join(f"{dim} {size}" for dim, size in table["sizes"].items())
        count = "" if table["rows"] is None else f"{table['rows']:,} rows"
        click.echo(f"\n/{name}  {count}  {sizes}\n  {table['description']}")
        for column, about in table["columns"].items():
            dims = ", ".join(about["dimensions"])
            click.echo(f"    {column:<28} {about['dtype']:<8} ({dims}) {about['units']}")


@click.command()
@click.argument("store")
@click.option("--event", "event_id", type=int, required=True, help="event_id of the event to draw.")
@click.option("--run", "run", type=int, help="Run (row of /observation), where runs share event numbers.")
@click.option("--pass", "tag", help="Pass to look at.  [default: the newest]")
@click.option("--out", type=click.Path(path_type=Path), help="Picture to write.  [default: event-<N>.png]")
def show(store: str, event_id: int, run: int | None, tag: str | None, out: Path | None) -> None:
    r"""Draw one event of a store.

    Of telescopes: camera images with cleaning and ellipses, and the array with the core. Of neutrino
    detectors: modules coloured by time and sized by charge, with the fitted tracks.

    \b
    etendue show crab.etendue --event 17 --out event.png
    """
    from etendue import load
    from etendue.dataflow.registry import find_display

    tree = load(store, tag)
    figure = find_display(tree).event(tree, event_id, run=run)
    out = out or Path(f"event-{event_id}.png")
    figure.savefig(out, dpi=150)
    click.echo(str(out))
