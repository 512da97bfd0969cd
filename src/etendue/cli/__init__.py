"""The command line: every verb one library call. Nothing heavy is imported before a verb needs it."""

from __future__ import annotations

from importlib import import_module

import click

from etendue.errors import EtendueError, is_of_icechunk

#: Where each verb lives.
_VERBS = {
    "run": "process",
    "plan": "process",
    "warm": "process",
    "pipelines": "process",
    "stages": "stages",
    "simulate": "make",
    "demo": "make",
    "export": "make",
    "watch": "watch",
    "info": "look",
    "show": "look",
    "log": "passes",
    "diff": "passes",
    "verify": "passes",
    "compact": "compact",
    "gc": "passes",
    "provenance": "provenance",
}

_HELP = {
    "run": "Process inputs with a pipeline and publish the result as a pass.",
    "plan": "Say what a run would do: spans, partitions, bytes, memory.",
    "warm": "Compile the kernels of pipelines before their first run.",
    "pipelines": "List the shipped pipelines, or print one to start from.",
    "stages": "List the stages that pipelines are made of, or describe one.",
    "simulate": "Simulate raw data of a telescope array.",
    "demo": "Simulate, process and plot: works anywhere, offline.",
    "export": "Write a store or a raw file as HDF5, plain Zarr or Parquet.",
    "watch": "Process files as they appear in a directory.",
    "info": "Say what an input or a store holds.",
    "show": "Draw one event of a store.",
    "log": "List the passes of a store.",
    "diff": "Compare two passes: chunks, columns, distributions.",
    "verify": "Recompute the checksums of a pass and name what is damaged.",
    "compact": "Join the small partitions of a pass into a new pass.",
    "gc": "Drop the files that no pass needs.",
    "provenance": "Say what made a pass, or where an event of it came from.",
}


class _Verbs(click.Group):
    """A group whose verbs are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _VERBS:
            return None
        return _with_examples(getattr(import_module(f"etendue.cli.{_VERBS[name]}"), name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(_HELP.items()))

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BaseException as error:
            if not _is_told(error):
                raise
            click.echo(f"etendue: {_message(error)}", err=True)
            ctx.exit(1)


def _with_examples[C: click.Command](command: C) -> C:
    """The docstrings are raw: click wants the character, which keeps the lines of examples apart."""
    command.help = command.help.replace("\\b", "\b")
    return command


def _message(error: BaseException) -> str:
    """What users are told; Icechunk's errors go on, below their first line, with where in it they arose."""
    if is_of_icechunk(error):
        return f"the store cannot be read or written: {str(error).partition('\n')[0]}"
    return str(error)


def _is_told(error: BaseException) -> bool:
    """Whether an error's message is written for users; anything else is a bug and keeps its traceback."""
    if isinstance(error, BrokenPipeError):  # click's own business: somebody has read enough
        return False
    return is_of_icechunk(error) or isinstance(error, (EtendueError, OSError, ImportError))


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="etendue")
def main() -> None:
    r"""Raw streams of gamma-ray and neutrino telescopes as distributed dataflow on Dask.

    \b
    etendue demo
    etendue run iact *.simtel.zst --into crab.etendue --pass 2026.1
    etendue log crab.etendue
    etendue show crab.etendue --event 17
    """


_with_examples(main)
