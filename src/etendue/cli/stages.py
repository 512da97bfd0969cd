"""The verb that lists stages: stages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from etendue.cli.output import json_option, print_json

if TYPE_CHECKING:
    from etendue.dataflow.catalogue import StageInfo


@click.command()
@click.argument("name", required=False)
@json_option
@click.option("--markdown", "as_page", is_flag=True, help="The page of the documentation.")
def stages(name: str | None, as_json: bool, as_page: bool) -> None:
    r"""List the stages that pipelines are made of, or say what stage NAME does, reads, writes and takes.

    \b
    etendue stages
    etendue stages iact.Clean
    etendue stages --json
    """
    from etendue.dataflow.catalogue import Catalogue, markdown, stage_info
    from etendue.dataflow.catalogue import stages as every

    found = Catalogue({name: stage_info(name)}) if name else every()
    if as_json:
        print_json({info.name: info.to_json() for info in found.values()})
    elif as_page:
        click.echo(markdown(found), nl=False)
    elif name:
        click.echo("\n".join(_told(found[name])))
    else:
        width = max(map(len, found))
        click.echo("\n".join(f"{info.name:<{width}}  {info.summary}" for info in found.values()))


def _told(info: StageInfo) -> Iterator[str]:
    yield f"{info.name}\n\n{info.description}"
    for title, references in (("reads", info.reads), ("writes", info.writes)):
        if references:
            yield f"\n{title}"
        for reference in references:
            meaning = info.writes[reference] if title == "writes" else ""
            yield f"  {reference:<40} {meaning}".rstrip()
    if info.parameters:
        yield "\nparameters"
    for parameter in info.parameters:
        values = f"{parameter.kind}, " if parameter.kind else ""
        yield f"  {parameter.name} = {parameter.default}"
        yield f"      {values}{parameter.description}"
