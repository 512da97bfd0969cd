"""Which inputs stages are for, as far as the names tell under which both are registered.

A stage is registered as ``family.Name``. It is for the inputs of the source that is called like its family;
if there is none, for those of all sources in the same package.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from etendue.dataflow.plugins import entries
from etendue.dataflow.registry import stage_reference
from etendue.dataflow.stage import Stage


def meant_for_others(stages: Sequence[Stage], sources: Iterable[str]) -> str:
    """Which stages are for other inputs than these, and for which; empty if none is, or nobody knows.

    Parameters
    ----------
    stages : sequence of Stage
        The stages of a pipeline.
    sources : iterable of str
        Entry-point names of the sources of its inputs.
    """
    sources = sorted(set(sources))
    by_family: dict[str, list[str]] = {}
    for stage in stages:
        name = stage_reference(type(stage))
        family, dot, _ = name.partition(".")
        if dot and ":" not in name:
            by_family.setdefault(family, []).append(name)
    told = []
    for family, names in by_family.items():
        theirs = _sources_of(family, names[0])
        strange = [source for source in sources if source in _packages() and source not in theirs]
        if theirs and strange:
            told.append(
                f"the inputs are of the kind {' and '.join(strange)}, and {names[0]} is a stage of the "
                f"family {family!r}, for inputs of the kind {' or '.join(theirs)}"
            )
    return "; ".join(told)


def _packages() -> dict[str, str]:
    """The package of each source that reads raw data, by its first two names; passes may be of any family."""
    packages = {name: ".".join(e.value.split(".")[:2]) for name, e in entries("etendue.sources").items()}
    of_stages = {".".join(e.value.split(".")[:2]) for e in entries("etendue.stages").values()}
    return {name: package for name, package in packages.items() if package in of_stages}


def _sources_of(family: str, stage: str) -> list[str]:
    """The sources whose inputs the stages of a family are for."""
    packages = _packages()
    if family in packages:
        return [family]
    value = entries("etendue.stages")[stage].value
    mine = ".".join(value.split(".")[:2])
    return sorted(name for name, package in packages.items() if package == mine)
