"""What is public: followed from ``etendue.__all__``, so that what is added to it is on the site, too."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from types import GenericAlias, ModuleType
from typing import Any, Literal

import etendue

#: Kinds of names that stand for types: documented where they are used.
_TYPE_NAMES = (GenericAlias, type(Literal["a"]))


@cache
def modules() -> dict[str, ModuleType]:
    """Every public module, by the name under which users reach it.

    Those that `etendue` exports, those that these export, and the modules and packages right below
    `etendue` that say what they export. A module that has two names has the first.
    """
    found = {"etendue": etendue}
    waiting = [("etendue", etendue)]
    waiting += [(f"etendue.{name}", module) for name, module in _rooms()]
    while waiting:
        home, module = waiting.pop(0)
        if module not in found.values():
            found[home] = module
        if found.get(home) is module:
            inner = [(name, getattr(module, name)) for name in names(module)]
            waiting += [(f"{home}.{name}", it) for name, it in inner if isinstance(it, ModuleType)]
    return dict(sorted(found.items()))


def names(module: ModuleType) -> list[str]:
    """What a module exports: its ``__all__``, or else what is made in it and has a docstring."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    made = inspect.getmembers(module, lambda it: getattr(it, "__module__", None) == module.__name__)
    return [name for name, it in made if not name.startswith("_") and inspect.getdoc(it)]


def public() -> dict[str, Any]:
    """Every public object that is no module, by the name under which users reach it."""
    every = {f"{home}.{name}": it for home, module in modules().items() for name, it in own(home, module)}
    return {name: it for name, it in every.items() if not isinstance(it, ModuleType)}


def own(home: str, module: ModuleType) -> Iterator[tuple[str, Any]]:
    """What a module exports, but for what has another name already, and for names of types."""
    for name in names(module):
        it = getattr(module, name)
        if not isinstance(it, _TYPE_NAMES) and first_name(it, f"{home}.{name}") == f"{home}.{name}":
            yield name, it


def first_name(it: Any, name: str) -> str:
    """Where a class or function that keeps its name in every module is found first; else the name given."""
    last = name.rpartition(".")[2]
    if not callable(it):
        return name
    homes = (home for home, module in modules().items() if getattr(module, last, None) is it)
    return next((f"{home}.{last}" for home in homes if last in names(modules()[home])), name)


def sources() -> dict[str, str]:
    """Where each of etendue's sources lives, by the name under which it is registered."""
    entries = entry_points(group="etendue.sources")
    return {e.name: e.value.replace(":", ".") for e in entries if e.value.startswith("etendue.")}


def _rooms() -> Iterator[tuple[str, ModuleType]]:
    for room in pkgutil.iter_modules(etendue.__path__):
        if not room.name.startswith("_"):
            module = import_module(f"etendue.{room.name}")
            if hasattr(module, "__all__"):
                yield room.name, module
