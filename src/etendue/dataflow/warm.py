"""Kernels compiled before a pipeline calls them: which ones it needs follows from its stages and its inputs.

A shipped pipeline has a list beside it (``NAME.kernels.json``), by source: kernels that every input needs
(``always``), and kernels that some inputs need (``sometimes``). `etendue warm` compiles all of them; a run
that finds its own not compiled yet has those compiled side by side that it needs in any case.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import TYPE_CHECKING, Any

from etendue.dataflow.inputs import expand
from etendue.dataflow.parameters import unknown
from etendue.dataflow.plan import cores
from etendue.dataflow.plugins import PluginError, entries, failed, usable
from etendue.dataflow.registry import ConfigError, stage_reference
from etendue.dataflow.source import SourceError, find_source
from etendue.kernel_list import Wanted
from etendue.kernel_progress import compiling

if TYPE_CHECKING:
    from etendue.dataflow.flow import Flow
    from etendue.kernel_crew import Crew

SUFFIX = ".kernels.json"

#: Fewer kernels are compiled where they are needed: a crew takes two seconds to come together.
_WORTH_A_CREW = 4
#: Inputs whose sources are looked for: those of a run are of one kind, or of few.
_LOOK = 20


@dataclass(frozen=True)
class KernelList:
    """The kernels of one pipeline.

    Parameters
    ----------
    stages : tuple of str
        How a pipeline file names its stages.
    always, sometimes : mapping of str to list of Wanted
        By source, what every input needs, and what some need.
    """

    stages: tuple[str, ...]
    always: Mapping[str, list[Wanted]]
    sometimes: Mapping[str, list[Wanted]]

    @classmethod
    def parse(cls, text: str) -> KernelList:
        """A list from the JSON of its file."""
        found = json.loads(text)
        kinds = ({s: [Wanted(*one) for one in by[kind]] for s, by in found["sources"].items()}
                 for kind in ("always", "sometimes"))  # fmt: skip
        return cls(tuple(found["stages"]), *kinds)

    def text(self) -> str:
        """The JSON, with a line a kernel."""

        def lines(wanted: Sequence[Wanted]) -> str:
            each = [f"\n    {json.dumps([one.kernel, one.signature])}" for one in wanted]
            return f"[{','.join(each)}]"

        sources = [
            f'\n  "{source}": {{\n   "always": {lines(self.always[source])},\n'
            f'   "sometimes": {lines(self.sometimes[source])}}}'
            for source in self.always
        ]
        return f'{{"stages": {json.dumps(self.stages)},\n "sources": {{{",".join(sources)}}}}}\n'

    @property
    def every(self) -> list[Wanted]:
        """All kernels for all sources."""
        lists = [*self.always.values(), *self.sometimes.values()]
        return list({str(one): one for wanted in lists for one in wanted}.values())


@cache
def kernel_lists() -> Mapping[str, Mapping[str, KernelList]]:
    """The lists of all shipped pipelines, by family (entry point) and name."""
    return dict(usable(entries("etendue.pipelines"), _lists_of))


def _lists_of(family: str) -> dict[str, KernelList]:
    entry = entries("etendue.pipelines")[family]
    try:
        found = [one for one in files(entry.value).iterdir() if one.name.endswith(SUFFIX)]
        texts = {one.name.removesuffix(SUFFIX): one.read_text(encoding="utf-8") for one in found}
        return {name: KernelList.parse(text) for name, text in sorted(texts.items())}
    except Exception as error:  # whatever the packages of others hold
        raise PluginError(failed(entry, error)) from error


def wanted_by(names: Iterable[str]) -> list[Wanted]:
    """The kernels of families and pipelines; of all that there are if none is named.

    Raises
    ------
    ConfigError
        If there is none such that has a list.
    """
    lists = kernel_lists()
    groups = {name: [one] for family in lists.values() for name, one in family.items()}
    groups |= {family: list(found.values()) for family, found in lists.items()}
    chosen = list(names) or list(lists)
    for name in chosen:
        if name not in groups:
            raise ConfigError(unknown("family or pipeline", name, groups))
    every = [wanted for name in chosen for one in groups[name] for wanted in one.every]
    return list({str(one): one for one in every}.values())


def warm(names: Iterable[str], n_processes: int | None = None) -> tuple[int, int, list[str]]:
    """Compile the kernels of families and pipelines, side by side in processes.

    Parameters
    ----------
    names : iterable of str
        Families (``iact``, ``neutrino``) and pipelines; all if there is none.
    n_processes : int, optional
        By default one a core.

    Returns
    -------
    n_compiled, n_kept : int
        Kernels that were compiled, and that were there.
    errors : list of str
        What went wrong.
    """
    wanted = wanted_by(names)
    missing, wrong = _missing(wanted)
    errors = _start(missing, n_processes or cores()).wait_for_errors() if missing else []
    n_kept = len(wanted) - len(missing) - len(wrong)
    return len(missing) - len(errors), n_kept, wrong + errors


def _start(wanted: list[Wanted], n_processes: int) -> Crew:
    from etendue.kernel_crew import Crew

    return Crew(wanted, min(n_processes, len(wanted)))


def _missing(wanted: Iterable[Wanted]) -> tuple[list[Wanted], list[str]]:
    """Those that are not compiled yet, and what is wrong with those that cannot be."""
    found, wrong = [], []
    for one in wanted:
        try:
            if not one.is_kept():
                found.append(one)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            wrong.append(f"{one.kernel}: the list of kernels is not of this version: {error}")
    return found, wrong


@contextmanager
def compiled_beside(
    flow: Flow, place: Mapping[str, Any] | None = None, *, quiet: bool = False
) -> Iterator[None]:
    """Have the kernels that a flow needs compiled while it runs, if they are not yet; checks it before.

    Parameters
    ----------
    flow : Flow
        Inputs and pipeline.
    place : mapping, optional
        ``client`` or ``executor``, if it does not run in threads of this process: then who runs it compiles.
    quiet : bool
        Whether to say nothing of it.
    """
    before, compiling.quiet = compiling.quiet, quiet or compiling.quiet
    crew = None
    try:
        sources = _sources(flow)
        missing, _ = _missing(_always(flow, set(sources.values())))  # what is wrong costs time only
        if missing:
            flow.pipeline.check_first(sources if len(sources) < _LOOK else {}, flow.companions)
            is_here = not any((place or {}).values())
            if is_here and cores() > 1 and len(missing) >= _WORTH_A_CREW:
                crew = _start(missing, cores())
        yield
    finally:
        if crew is not None:
            crew.stop()
        compiling.quiet = before


def _sources(flow: Flow) -> dict[str, str]:
    """Names of the sources of the first inputs, by path; what cannot be read, the run itself will tell."""
    found = {}
    try:
        paths = expand(flow.paths)
        for path in islice(paths, _LOOK):
            found[path] = find_source(path).name
    except (SourceError, OSError, ValueError):
        return {}
    return found


def _always(flow: Flow, sources: Iterable[str]) -> list[Wanted]:
    """What a flow needs in any case: that of the shipped pipeline which has its stages."""
    import numba

    if numba.config.DISABLE_JIT:
        return []
    stages = tuple(stage_reference(type(stage)) for stage in flow.pipeline.stages)
    lists = [one for family in kernel_lists().values() for one in family.values() if one.stages == stages]
    found = [wanted for one in lists[:1] for source in sources for wanted in one.always.get(source, ())]
    return list({str(one): one for one in found}.values())
