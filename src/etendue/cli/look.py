"""Verbs that look: info, show."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("path")
def info(path: str) -> None:
    r"""Say what an input holds: tables, rows, columns, units. Decodes no event.

    \b
    etendue info gamma.simtel.zst
    etendue info crab.etendue@2026.1
    """
    from etendue import open

    flow = open(path)
    inputs = flow.inputs
    (scan,) = inputs.scans
    click.echo(f"{path}: {scan.source}, {scan.size:,} bytes, {scan.n_runs} run(s)")
    for failure in inputs.failures:
        click.echo(f"broken: {failure}")
    plan = flow.plan()
    for table in inputs.schema.values():
        if table.role == "static":
            rows = len(next(iter(inputs.static[table.name].values())))
        elif table.role == "rows":
            rows = plan.rows(table.name)
        else:
            rows = None
        sizes = ", ".join(f"{dim} {size}" for dim, size in table.sizes.items())
        count = "" if rows is None else f"{rows:,} rows"
        click.echo(f"\n/{table.name}  {count}  {sizes}\n  {table.description}")
        for variable in table.variables.values():
            dims = ", ".join(variable.dims)
            click.echo(f"    {variable.name:<28} {variable.dtype:<8} ({dims}) {variable.units}")


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
