"""Plug-ins: what installed packages register by entry point, each loaded under a guard.

One that cannot be loaded is told once, and costs only what needs it.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points
from pathlib import Path
from typing import Any

from etendue.errors import EtendueError

log = logging.getLogger(__name__)

GROUPS = ("etendue.sources", "etendue.stages", "etendue.displays", "etendue.pipelines")


class PluginError(EtendueError, ImportError):
    """A plug-in that cannot be used: says which package it is of, and what its own error was."""


@cache
def entries(group: str) -> Mapping[str, EntryPoint]:
    """The entry points of a group by name. Of two with one name, etendue's own counts, which is told."""
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.value.startswith("etendue.")):
        name = entry.name
        other = found.get(name)
        if other is not None and other.value != entry.value:
            log.warning(
                "two packages register %s: %s is used, %s is not", entry.name, entry.value, other.value
            )
        found[name] = entry
    return dict(sorted(found.items()))


def load(entry: EntryPoint, *, made: bool = False) -> Any:
    """What an entry point names; with ``made``, an instance of that.

    Raises
    ------
    PluginError
        If it cannot be loaded, for whatever reason.
    """
    found, error = _attempt(entry, made)
    if error is not None:
        raise PluginError(failed(entry, error)) from error
    return found


@cache
def _attempt(entry: EntryPoint, made: bool) -> tuple[Any, BaseException | None]:
    """What an entry point names, or what went wrong; tried once."""
    try:
        found = entry.load()
        return (found() if made else found), None
    except (Exception, SystemExit) as error:  # whatever the modules of others raise when they are imported
        return None, error


def failed(entry: EntryPoint, error: BaseException) -> str:
    """Say which plug-in of which package cannot be loaded, and why."""
    package = entry.dist.name if entry.dist else "unknown"
    return (
        f"{entry.name!r} of the package {package} ({entry.value}) cannot be loaded: "
        f"{type(error).__name__}: {error}"
    )


def usable[T](names: Iterable[str], load: Callable[[str], T]) -> Iterator[tuple[str, T]]:
    """Those of some plug-ins that can be loaded, with their names; the others are told once."""
    for name in names:
        try:
            part = load(name)
        except PluginError as error:
            tell(str(error))
            continue
        yield name, part


@cache
def tell(fault: str) -> None:
    """Warn of a plug-in that does not work, once in a process."""
    log.warning("%s; mend or remove that package; all that does not need it goes on", fault)


def broken(names: Iterable[str], load: Callable[[str], Any]) -> str:
    """What is wrong with those plug-ins that cannot be loaded, to go on an error that one may have caused."""
    found = []
    for name in names:
        try:
            load(name)
        except PluginError as error:
            found.append(f"; {error}")
    return "".join(found)


def distribution_of(module: str) -> str | None:
    """The package that holds a module of a plug-in; None if it is etendue, Python, or no package."""
    top = module.partition(".")[0]
    if top in ("etendue", "builtins", "__main__") or top in sys.stdlib_module_names:
        return None
    return _registering(module) or _holding(module)


@cache
def _registering(module: str) -> str | None:
    """The package that registers something from a module, or else from its outermost package."""
    every = [e for group in GROUPS for e in entry_points(group=group) if e.dist is not None]
    for same in (lambda name: name, lambda name: name.partition(".")[0]):
        for entry in every:
            if same(entry.module) == same(module):
                return entry.dist.name
    return None


@cache
def _holding(module: str) -> str | None:
    """The package among whose files a module is, if it is installed as one."""
    from importlib.metadata import packages_distributions

    from etendue.dataflow.fingerprint import is_own

    if is_own(module):
        return None
    names = packages_distributions().get(module.partition(".")[0], [])
    holding = [name for name in names if _file(module) in _files(name)]
    return next(iter([*holding, *names]), None)


def _file(module: str) -> Path | None:
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file).resolve() if file else None


def _files(package: str) -> set[Path]:
    """The files of an installed package besides what installing it has noted."""
    try:
        files = distribution(package).files or []
    except PackageNotFoundError:
        return set()
    kept = (f for f in files if f.parts[0] != ".." and not f.parts[0].endswith((".dist-info", ".egg-info")))
    return {Path(file.locate()).resolve() for file in kept}


@cache
def state_of(package: str, module: str) -> str:
    """Version of a package, and SHA-256 of its files as they are when this is asked first.

    Parameters
    ----------
    package : str
        Name of the package.
    module : str
        A module of it. If the package does not know its files, as one that is installed to be worked on,
        those count that lie with this module.
    """
    from etendue.dataflow.outside import contents

    files = _files(package)
    file = _file(module)
    if file is not None and file not in files:
        files = {_root(file)}
    try:
        version = distribution(package).version
    except PackageNotFoundError:
        version = "?"
    each = [contents(file)[0] for file in sorted(files) if file.exists()]
    return f"{version} {hashlib.sha256(''.join(each).encode()).hexdigest()}"


def _root(file: Path) -> Path:
    """The outermost package that a module's file is in, or the file."""
    while (file.parent / "__init__.py").exists():
        file = file.parent
    return file
