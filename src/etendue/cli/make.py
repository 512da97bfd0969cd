"""Verbs that make files: simulate, demo, export."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("particle", type=click.Choice(["gamma", "proton"]))
@click.option("--showers", "n_showers", type=int, default=1000, show_default=True, help="Showers to throw.")
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Seed: the same one gives the same data."
)
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other parameter of the simulation."
)
@click.option("--into", "store", required=True, help="Store to write into; made if it is not there.")
@click.option("--pass", "tag", default="raw", show_default=True, help="Name of the pass.")
@click.option("--quiet", is_flag=True, help="No progress and no summary.")
def simulate(
    particle: str, n_showers: int, seed: int, settings: tuple[str, ...], store: str, tag: str, quiet: bool
) -> None:
    r"""Simulate raw waveforms of a telescope array and write them as a pass.

    \b
    etendue simulate gamma --showers 5000 --seed 7 --into gammas.etendue
    etendue simulate proton --set max_viewcone_radius=3 --into protons.etendue
    """
    from etendue import open

    query = "&".join([f"n_showers={n_showers}", f"seed={seed}", *settings])
    summary = open(f"simulated://{particle}?{query}").write(store, tag, quiet=quiet or None)
    if not quiet:
        click.echo(str(summary))


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default="etendue-demo", show_default=True,
              help="Folder for the store and the pictures.")  # fmt: skip
@click.option("--showers", type=int, default=2000, show_default=True, help="Gamma showers to throw.")
def demo(out: Path, showers: int) -> None:
    """Simulate a four-telescope run, process it, print a table and write pictures.

    Works anywhere, without a network, in about a minute on two cores.
    """
    from etendue.iact.demo import run_demo

    run_demo(out, showers, click.echo)


@click.command()
@click.argument("path")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--columns", multiple=True, metavar="REF", help="Columns to export, as events/*.  [default: all]"
)
@click.option(
    "--identity", metavar="A,B", help="Columns of the events that every row repeats.  [default: all ..._id]"
)
@click.option("--quiet", is_flag=True, help="No summary.")
def export(path: str, out: Path, columns: tuple[str, ...], identity: str | None, quiet: bool) -> None:
    r"""Write a store's pass, or a raw file, as tables in an HDF5 file for h5py and pandas.

    \b
    etendue export crab.etendue@2026.1 crab.h5
    etendue export events.root events.h5 --columns "events/*" --columns hits/tot
    """
    from etendue import open

    flow = open(path).columns(*columns) if columns else open(path)
    rows = flow.to_hdf5(out, identity=identity.split(",") if identity else None)
    if not quiet:
        click.echo("\n".join(f"/{name:<24} {n:>12,} rows" for name, n in rows.items() if n))
