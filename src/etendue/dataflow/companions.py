"""Companions: files that inputs need beside them, such as a geometry or a calibration.

A source declares which it takes (``companions``: names, and what they are); people give them when they open
inputs (``et.open(data, gcd=FILE)``, ``--with gcd=FILE``). Each input gets those that its source declares: its
scan names them (`etendue.dataflow.source.Scan.companions`), and so does the flow of all inputs
(`etendue.dataflow.flow.Flow.companions`), whose identity holds what is in them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from etendue.dataflow.partition import Failure
from etendue.dataflow.source import Scan, Source, get_source, source_names
from etendue.errors import EtendueError


class CompanionError(EtendueError, ValueError):
    """A companion that no source, or no input, takes, or a file that is not there."""


def declared(source: Source) -> Mapping[str, str]:
    """The companions that a source takes: names, and what they are."""
    return getattr(source, "companions", {})


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """What was given with inputs: options of a flow, and companions.

    Raises
    ------
    CompanionError
        As `checked`.
    """
    from etendue.dataflow.flow import Flow

    of_flow = {field.name for field in fields(Flow)} - {"paths", "companions"}
    companions = {name: value for name, value in options.items() if name not in of_flow}
    rest = {name: value for name, value in options.items() if name in of_flow}
    return rest, checked(companions, of_flow)


def checked(companions: Mapping[str, Any], others: Iterable[str] = ()) -> dict[str, str]:
    """Companions with absolute paths.

    Parameters
    ----------
    companions : mapping of str to path
        As people give them.
    others : iterable of str
        Names of other options, one of which may have been meant.

    Raises
    ------
    CompanionError
        If no source declares one of them, or its file is not there.
    """
    if not companions:
        return {}
    known = _known()
    found = {}
    for name, given in companions.items():
        if name not in known:
            close = get_close_matches(name, [*known, *others], n=1)
            nearest = f"did you mean {close[0]!r}? " if close else ""
            raise CompanionError(
                f"no source takes {name!r} beside its inputs; {nearest}There are {_listed()}"
            )
        path = os.path.realpath(os.path.expanduser(os.fspath(given)))
        if not os.path.isfile(path):
            raise CompanionError(f"{name}: there is no file {os.fspath(given)}")
        found[name] = path
    return found


def refuse_unused(companions: Mapping[str, str], found: Iterable[Scan | Failure]) -> None:
    """See that each companion is taken by an input.

    Raises
    ------
    CompanionError
        If one is not, though all inputs could be looked at.
    """
    found = list(found)
    taken = {name for scan in found if isinstance(scan, Scan) for name in scan.companions}
    if unused := sorted(companions.keys() - taken):
        if any(isinstance(scan, Failure) for scan in found):
            return  # it may be theirs
        sources = ", ".join(sorted({scan.source for scan in found}))
        raise CompanionError(
            f"{unused[0]}={companions[unused[0]]} is of no use to these inputs (of {sources}); there are "
            f"{_listed()}"
        )


def _known() -> dict[str, list[str]]:
    """Names of all companions, with the sources that take them."""
    known: dict[str, list[str]] = {}
    for source in source_names():
        for name in declared(get_source(source)):
            known.setdefault(name, []).append(source)
    return known


def _listed() -> str:
    return ", ".join(f"{name} (of {' and '.join(of)})" for name, of in sorted(_known().items())) or "none"
