"""Verbs that make files: simulate, demo, export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import click

#: Raw bytes of the partitions that are exported: three of them are in memory, with copies on the way out.
_EXPORT_BYTES = 32 << 20


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
@click.option("--quiet", is_flag=True, help="No progress.")
def demo(out: Path, showers: int, quiet: bool) -> None:
    """Simulate a four-telescope run, process it, print a table and write pictures.

    Works anywhere, without a network, in about a minute on two cores.
    """
    from etendue.iact.demo import run_demo

    run_demo(out, showers, click.echo, quiet=quiet or None)


@click.command()
@click.argument("path")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--columns", multiple=True, metavar="REF", help="Columns to export, as events/*.  [default: all]"
)
@click.option(
    "--identity",
    metavar="A,B",
    help="HDF5, Parquet: columns of the events that every row repeats.  [default: their key]",
)
@click.option("--chunk-rows", type=click.IntRange(1), help="Zarr: rows of a chunk.  [default: 16 MiB]")
@click.option("--not-consolidated", is_flag=True, help="Zarr: no copy of all metadata at the root.")
@click.option("--quiet", is_flag=True, help="No summary.")
def export(
    path: str,
    out: Path,
    columns: tuple[str, ...],
    identity: str | None,
    chunk_rows: int | None,
    not_consolidated: bool,
    quiet: bool,
) -> None:
    r"""Write a store's pass, or a raw file, for other programs.

    The suffix says how: .h5 (tables for h5py and pandas), .zarr (a folder of plain Zarr with regular chunks,
    for zarr and xarray), .parquet (a folder with one file a table). What is there is not written over.

    \b
    etendue export crab.etendue@2026.1 crab.h5
    etendue export crab.etendue@2026.1 crab.zarr --chunk-rows 10000
    etendue export events.root events.parquet --columns "events/*" --columns hits/tot
    """
    from etendue import open
    from etendue.dataflow.export import FORMATS

    if out.suffix not in FORMATS:
        raise click.BadParameter(f"{out} must end in one of {', '.join(FORMATS)}", param_hint="OUT")
    options = {
        "identity": identity.split(",") if identity else None,
        "chunk_rows": chunk_rows,
        "consolidated": False if not_consolidated else None,
    }
    options = {name: value for name, value in options.items() if value is not None}
    _refuse_unknown(FORMATS[out.suffix], options, out)
    flow = open(path, partition_bytes=_EXPORT_BYTES)
    flow = flow.columns(*columns) if columns else flow
    rows = FORMATS[out.suffix](flow.keyed().plan(), out, **options)
    if not quiet:
        click.echo("\n".join(f"/{name:<24} {n:>12,} rows" for name, n in rows.items() if n))


def _refuse_unknown(write: Callable[..., Any], options: Mapping[str, Any], out: Path) -> None:
    """Refuse options of other formats, which would do nothing."""
    for name in options.keys() - signature(write).parameters.keys():
        option = "--not-consolidated" if name == "consolidated" else f"--{name.replace('_', '-')}"
        raise click.UsageError(f"{option} has no meaning for {out.suffix}")
