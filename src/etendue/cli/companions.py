"""The option for files that inputs need beside them; see `etendue.dataflow.companions`."""

from __future__ import annotations

import click


def _as_mapping(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise click.BadParameter(f"{text!r} is not NAME=FILE, as gcd=GeoCalibDetectorStatus.i3.gz")
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice: {found[name]} and {path}")
        found[name] = path
    return found


#: ``--with NAME=FILE``, which gives ``companions``, a mapping.
with_option = click.option(
    "--with",
    "companions",
    multiple=True,
    metavar="NAME=FILE",
    callback=_as_mapping,
    help="A file that the inputs need beside them, as gcd=FILE of IceCube.",
)
