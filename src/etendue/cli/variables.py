"""The option for variables of pipelines; see `etendue.dataflow.variables`."""

from __future__ import annotations

import click


def _as_mapping(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"{text!r} is not NAME=VALUE, as detector=detector.detx")
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice: {found[name]} and {value}")
        found[name] = value
    return found


#: ``--set NAME=VALUE``, which gives ``variables``, a mapping.
set_option = click.option(
    "--set",
    "variables",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_as_mapping,
    help="A variable of the pipeline, as detector=FILE (see: etendue pipelines NAME).",
)
