"""Verbs that look after the passes of a store: log, diff, gc, verify."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etendue.cli.output import json_option, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from etendue.store.diff import Difference
    from etendue.store.history import Revision
    from etendue.store.verify import Verdict

#: Exit code when a store is damaged.
EXIT_DAMAGED = 3

_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


class Age(click.ParamType):
    """A length of time, such as 12h or 7d."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)", value)
        if not found:
            self.fail(f"{value!r} is not an age; write 30min, 12h or 7d", param, ctx)
        return timedelta(seconds=float(found[1]) * _UNITS[found[2]])


@click.command()
@click.argument("store")
@json_option
def log(store: str, as_json: bool) -> None:
    r"""List the passes of a store and their revisions: when, by what, how many events, failures.

    \b
    etendue log crab.etendue
    etendue log crab.etendue --json
    """
    from etendue.store.history import history

    revisions = history(store)
    if as_json:
        print_json([revision.to_json() for revision in revisions])
        return
    table = _table("pass", "when (UTC)", "pipeline", "rows", "made by", "failures", "snapshot")
    for revision in revisions:
        table.add_row(*_cells(revision))
    _print(table)
    newest = next((revision for revision in reversed(revisions) if revision.published), None)
    for failure in newest.failures if newest else ():
        click.echo(f"{failure['path']}: {failure['place']}: {failure['message']}")


def _cells(revision: Revision) -> list[str]:
    failures = f"{len(revision.failures)}"
    if revision.events_lost:
        failures += f" ({revision.events_lost:,} lost)"
    return [
        revision.tag,
        f"{revision.time:%Y-%m-%d %H:%M}",
        f"{revision.pipeline} {revision.config_hash[:8]}" if revision.published else "unfinished",
        ", ".join(f"{n:,} {name}" for name, n in revision.rows.items() if n and "/" not in name),
        ", ".join(f"{p} {revision.versions[p]}" for p in ("etendue", "numpy") if p in revision.versions),
        failures if revision.published else "",
        revision.snapshot,
    ]


@click.command()
@click.argument("first", metavar="PASS")
@click.argument("second", metavar="PASS")
@click.option(
    "--columns", multiple=True, metavar="REF", help="Columns to compare, as events/*.  [default: all]"
)
@click.option("--json", "as_json", is_flag=True, help="All figures and histograms as JSON.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="FILE|DIR",
    help="Draw the columns that moved most: into one picture, or one each in a folder.",
)
@click.option(
    "--top", type=click.IntRange(1), default=12, show_default=True, help="Columns to list and draw."
)
def diff(
    first: str, second: str, columns: tuple[str, ...], as_json: bool, plot: Path | None, top: int
) -> None:
    r"""Say how two passes differ: which chunks, which columns, how the distributions moved.

    A PASS is store@name, store@name+revision, or store@snapshot; the second may be named alone.

    \b
    etendue diff crab.etendue@2025.1 2026.1
    etendue diff crab.etendue@2026.1 /archive/crab.etendue@2026.1 --columns "events/*" --plot moved.png
    """
    from etendue.store.diff import diff

    found = diff(first, second, columns or ("*/*",))
    if as_json:
        print_json(found.to_json())
    else:
        _print_difference(found, top)
    if plot:
        from etendue.store.draw import draw

        for path in draw(found, plot, top):
            click.echo(str(path), err=as_json)


def _print_difference(found: Difference, top: int) -> None:
    both, only_a, only_b = found.partitions
    click.echo(f"{found.a} against {found.b}")
    click.echo(f"partitions: {both} of both, {only_a} only of the first, {only_b} only of the second")
    for name, (n_a, n_b) in found.rows.items():
        if n_a != n_b:
            click.echo(f"rows of /{name}: {n_a:,} -> {n_b:,}")
    for side, names in (("first", found.only_a), ("second", found.only_b)):
        if names:
            click.echo(f"only in the {side}: {', '.join(names)}")
    recut = f", {len(found.recut)} equal but cut into other chunks" if found.recut else ""
    click.echo(f"columns: {len(found.equal)} equal{recut}, {len(found.columns)} differ")
    if not found.columns:
        return
    table = _table("column", "units", "chunks", "values", "NaN", "mean", "std", "KS", "chi2", "rows", "shift")
    for column in found.columns[:top]:
        cells = ["", "", "", "", "", ""]
        if column.moments:
            a, b = column.moments
            cells = [
                _change(a.n, b.n, ","),
                _change(a.n_nan, b.n_nan, ","),
                _change(a.mean, b.mean, ".5g") if a.n and b.n else "",
                _change(a.std, b.std, ".4g") if a.n and b.n else "",
                f"{column.distance:.3g}",
                f"{column.chi2:.3g}",
            ]
        rows, shift = "", ""
        if column.matched:
            rows = f"{column.matched.different:,} of {column.matched.rows:,}"
            shift = f"{column.matched.mean_shift:.3g}, at most {column.matched.largest:.3g}"
        table.add_row(column.name, column.units, f"{len(column.partitions):,}", *cells, rows, shift)
    _print(table)
    if len(found.columns) > top:
        click.echo(f"and {len(found.columns) - top} more columns (--top, --json)")
    matched = ", ".join(f"{n:,} of /{name}" for name, n in found.matched.items())
    click.echo(f"rows matched by their event: {matched or 'none'}")


def _change(a: float, b: float, form: str) -> str:
    one, other = f"{a:{form}}", f"{b:{form}}"
    return one if one == other else f"{one} -> {other}"


@click.command()
@click.argument("store")
@click.option(
    "--older-than",
    type=Age(),
    help="Keep files younger than this (12h, 7d).  [default: 0 s; 7d where there is no lock]",
)
@click.option(
    "--abandoned", is_flag=True, help="Also drop unfinished passes, instead of keeping them to go on."
)
@click.option("--take-over", is_flag=True, help="Take the store from a process that writes into it, or died.")
@click.option("--dry-run", is_flag=True, help="Only say what would be dropped.")
@json_option
def gc(
    store: str,
    older_than: timedelta | None,
    abandoned: bool,
    take_over: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    r"""Drop files that no pass and no unfinished pass reaches: what killed runs have left.

    Published passes and their revisions stay. It takes the store's lock, so no run can be writing.

    \b
    etendue gc crab.etendue --dry-run
    etendue gc crab.etendue --abandoned --older-than 7d
    """
    from rich.filesize import decimal

    from etendue.store.collect import collect_garbage

    found = collect_garbage(
        store, older_than=older_than, abandoned=abandoned, dry_run=dry_run, take_over=take_over
    )
    if as_json:
        print_json(asdict(found))
        return
    verb = "would drop" if dry_run else "dropped"
    click.echo(
        f"{verb} {decimal(found.n_bytes)} ({found.n_bytes:,} bytes): {found.chunks:,} chunk files and "
        f"{found.metadata:,} files of metadata"
    )
    if found.abandoned:
        left_out = ", whose files are not counted here" if dry_run else ""
        click.echo(f"{verb} unfinished: {', '.join(found.abandoned)}{left_out}")
    if found.unfinished:
        click.echo(f"kept unfinished: {', '.join(found.unfinished)} (--abandoned drops them)")


@click.command()
@click.argument("store")
@click.option("--pass", "tag", help="Pass to look at.  [default: the newest]")
@click.option("--all", "look_at_all", is_flag=True, help="All passes and revisions.")
@click.option("--json", "as_json", is_flag=True, help="The damage as JSON.")
@click.option("--quiet", is_flag=True, help="No progress.")
def verify(store: str, tag: str | None, look_at_all: bool, as_json: bool, quiet: bool) -> None:
    r"""Look for missing, truncated and corrupt chunks; say which part of which input to redo.

    Every chunk is decoded and compared with the checksum that was taken when it was made. Exits with 3 if
    something is damaged; `etendue run` with --repair makes it anew.

    \b
    etendue verify crab.etendue
    etendue verify crab.etendue --all --json
    """
    if tag and look_at_all:
        raise click.UsageError("--pass and --all exclude each other")
    from etendue.store.paths import split_tag
    from etendue.store.verify import tags_of, verify

    names = [tag]
    if look_at_all:  # a first revision is told by its number, as the name of a pass means the newest one
        names = [f"{name}+{revision or 0}" for name, revision in map(split_tag, tags_of(store))]
    verdicts = []
    for name in names:
        with _progress(name or store, quiet) as progress:
            verdicts.append(verify(store, name, progress=progress))
    if as_json:
        print_json({verdict.place: verdict.to_json() for verdict in verdicts})
    else:
        for verdict in verdicts:
            _print_verdict(verdict)
    if any(verdict.damaged for verdict in verdicts):
        raise SystemExit(EXIT_DAMAGED)


def _print_verdict(verdict: Verdict) -> None:
    kinds = Counter(chunk.kind for chunk in verdict.damaged)
    found = ", ".join(f"{kinds[kind]:,} {kind}" for kind in ("missing", "unreadable") if kinds[kind])
    click.echo(
        f"{verdict.place}: {verdict.n_chunks:,} chunks, {kinds['damaged']:,} damaged{found and f', {found}'}"
    )
    for chunk in verdict.damaged:
        click.echo(f"  {chunk}")


@contextmanager
def _progress(what: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error over partitions; none where nobody looks."""
    from etendue.dataflow.progress import somebody_looks

    if quiet or not somebody_looks():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(escape(what), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print(table: Table) -> None:
    """Print a table, as wide as the terminal; whole lines into files and pipes."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 1000, highlight=False, markup=False).print(table)
