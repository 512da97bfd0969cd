"""Verbs that process: run, plan, warm, pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from etendue.cli.companions import with_option
from etendue.cli.on_error import on_error_option
from etendue.cli.output import json_option, print_json
from etendue.cli.place import client_at, place_options
from etendue.cli.variables import set_option

if TYPE_CHECKING:
    from etendue.dataflow.flow import Flow

#: Exit code when a run ended, but part of the input was lost (``--on-error skip``).
EXIT_LOST = 3
#: Exit code after Ctrl-C.
EXIT_INTERRUPTED = 130

_SIZES = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class Size(click.ParamType):
    """A number of bytes, such as 256MB or 1GiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        number, factor = value, 1
        for suffix, size in _SIZES.items():
            if value.lower().endswith(suffix.lower()):
                number, factor = value[: -len(suffix)], size
        try:
            size = int(float(number) * factor)
        except (ValueError, OverflowError):
            size = 0
        if size <= 0:
            self.fail(f"{value!r} is not a size; write bytes, or 256MB, or 1GiB", param, ctx)
        return size


def _input_options(command: Any) -> Any:
    """What run and plan have in common."""
    options = [
        click.argument("pipeline"),
        click.argument("files", nargs=-1, required=True),
        click.option("--write", multiple=True, metavar="REF",
                     help="Columns to write, as events/* or @camera/image."),
        click.option("--partition-bytes", type=Size(), default="128MiB", show_default=True,
                     help="Raw bytes of a partition."),
        click.option("--workers", type=click.IntRange(1),
                     help="Partitions at a time.  [default: one a core]"),
        click.option("--memory", type=Size(),
                     help="Memory that may be used.  [default: 80 % of what is free]"),
        on_error_option("raise", "Stop at broken input, or keep what is intact and count the rest."),
        with_option,
        set_option,
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def _flow(pipeline: str, files: tuple[str, ...], write: tuple[str, ...], **options: Any) -> Flow:
    from etendue import find_pipeline, open

    chain = find_pipeline(pipeline, **options.pop("variables"))
    options |= options.pop("companions")
    flow = open(*files, memory_limit=options.pop("memory"), **options) | chain
    flow.pipeline.check_variables()
    return flow.columns(*write) if write else flow


@click.command()
@_input_options
@click.option("--into", "store", required=True, help="Store to write into; made if it is not there.")
@click.option("--pass", "tag", required=True, help="Name of the pass.")
@place_options
@click.option("--fresh", is_flag=True, help="Drop what an interrupted run of this pass has done; begin anew.")
@click.option("--retry-failed", is_flag=True, help="Read again the inputs that could not be read.")
@click.option("--repair", is_flag=True, help="Verify the pass and make damaged partitions anew.")
@click.option("--take-over", is_flag=True, help="Take the store from a process that writes into it, or died.")
@click.option("--quiet", is_flag=True, help="No progress and no summary.")
@json_option
def run(
    pipeline: str,
    files: tuple[str, ...],
    store: str,
    tag: str,
    where: str,
    jobs: int | None,
    credentials: str | None,
    insecure: bool,
    fresh: bool,
    retry_failed: bool,
    repair: bool,
    take_over: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    r"""Process FILES with PIPELINE and publish the result as a pass of a store.

    PIPELINE is the name of a shipped pipeline (see: etendue pipelines) or a TOML file. FILES are raw files,
    directories, quoted patterns, run lists (.csv or .parquet with a column path), or passes of a store.

    The pass becomes visible when it is whole. The same command again goes on with an interrupted run, and
    adds inputs that a finished pass does not have, as its next revision. Ctrl-C ends it after the spans in
    work. Exits with 3 if part of the input was lost (--on-error skip).

    \b
    etendue run iact *.simtel.zst --into crab.etendue --pass 2026.1
    etendue run iact night.csv --into crab.etendue --pass 2026.1 --on-error skip
    etendue run iact *.simtel.zst --into crab.etendue --pass 2026.1 --retry-failed
    etendue run mine.toml crab.etendue@2026.1 --into crab.etendue --pass 2026.2 --workers 4
    """
    flow = _flow(pipeline, files, **options)
    how = {"fresh": fresh, "retry_failed": retry_failed, "repair": repair, "take_over": take_over}
    place = {"jobs": jobs, "credentials": credentials, "insecure": insecure}
    try:
        with client_at(where, workers=options["workers"], **place) as client:
            summary = flow.write(store, tag, client=client, quiet=quiet or None, **how)
    except KeyboardInterrupt:
        click.echo("etendue: interrupted; the same command goes on where it was", err=True)
        raise SystemExit(EXIT_INTERRUPTED) from None
    for failure in summary.outcome.failures:
        click.echo(f"etendue: {failure}", err=True)
    if as_json:
        print_json(summary.to_json())
    elif not quiet:
        click.echo(str(summary))
    if summary.outcome.failures:
        raise SystemExit(EXIT_LOST)


@click.command()
@_input_options
@json_option
def plan(pipeline: str, files: tuple[str, ...], as_json: bool, **options: Any) -> None:
    r"""Say what a run would do: spans, partitions, raw bytes, expected peak memory.

    \b
    etendue plan iact *.simtel.zst --memory 4GB
    etendue plan iact *.simtel.zst --json
    """
    found = _flow(pipeline, files, **options).plan()
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(str(found))


@click.command()
@click.argument("names", nargs=-1)
@click.option("--workers", type=click.IntRange(1), help="Processes that compile.  [default: one a core]")
@click.option("--quiet", is_flag=True, help="No progress and no summary.")
def warm(names: tuple[str, ...], workers: int | None, quiet: bool) -> None:
    r"""Compile the kernels of pipelines before their first run: for an image, or a shared NUMBA_CACHE_DIR.

    NAMES are shipped pipelines, or families of them (iact, neutrino); all, if none is given. Machine code is
    that of the processor here: another model of processor compiles its own.

    \b
    etendue warm
    etendue warm iact
    NUMBA_CACHE_DIR=/opt/kernels etendue warm icecube km3net
    """
    from etendue.dataflow.warm import warm as compile_ahead
    from etendue.kernel_progress import compiling

    compiling.quiet = quiet
    n_compiled, n_kept, errors = compile_ahead(names, workers)
    for error in errors:
        click.echo(f"etendue: {error}", err=True)
    if not quiet:
        click.echo(f"{n_compiled} kernels compiled, {n_kept} were there")
    if errors:
        raise SystemExit(1)


class _ByName(click.Group):
    """A group of which a name that is no command is that of a pipeline."""

    def get_command(self, ctx: click.Context, name: str) -> click.Command:
        command = super().get_command(ctx, name)
        return command or click.Command(name, callback=lambda: _describe(name), help=f"What {name} does.")


@click.group(cls=_ByName, invoke_without_command=True)
@click.pass_context
def pipelines(ctx: click.Context) -> None:
    r"""List the shipped pipelines; say what one does and takes; print one to start from.

    \b
    etendue pipelines
    etendue pipelines km3net
    etendue pipelines show iact > mine.toml
    """
    if ctx.invoked_subcommand is None:
        from etendue import find_pipeline
        from etendue.dataflow.registry import shipped_pipelines

        for name in shipped_pipelines():
            click.echo(f"{name:<12} {find_pipeline(name).description}")


def _describe(name: str) -> None:
    """Say what a pipeline does, what it takes, and what its stages are."""
    from etendue import find_pipeline
    from etendue.dataflow.registry import stage_reference

    pipeline = find_pipeline(name)
    click.echo(f"{pipeline.name}: {pipeline.description}")
    if pipeline.variables:
        click.echo("\nvariables")
    for variable in pipeline.variables:
        default = "required" if variable.required else f"default {variable.default!r}"
        click.echo(f"  {variable.how:<24} {variable.description} [{default}]")
    click.echo("\nstages")
    for stage in pipeline.stages:
        summary = (type(stage).__doc__ or "").strip().partition("\n")[0]
        click.echo(f"  {stage_reference(type(stage)):<24} {summary}")
    click.echo(f"\netendue pipelines show {name} prints it with all parameters.")


@pipelines.command()
@click.argument("name")
def show(name: str) -> None:
    """Print pipeline NAME as TOML, every parameter with its meaning."""
    from etendue import find_pipeline
    from etendue.dataflow.registry import pipeline_text

    click.echo(pipeline_text(find_pipeline(name)), nl=False)
