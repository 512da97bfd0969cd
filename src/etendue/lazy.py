"""Names of a package that are imported when they are first used, and listed before that."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def attach(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the ``__getattr__`` and ``__dir__`` of a package.

    Stages bring the compiler with them, stores Zarr and Icechunk: who does not use them does not wait.

    Parameters
    ----------
    package : str
        ``__name__`` of the package.
    homes : mapping of str to str
        The module that holds each name: relative to the package (``cleaning``), or whole
        (``etendue.store``); empty for a module of the package with this very name. ``module:name`` for what
        is called otherwise there.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, colon, attribute = homes[name].partition(":")
        root = "" if module.startswith("etendue.") else f"{package}."
        found = import_module(f"{root}{module or name}")
        return getattr(found, attribute if colon else name) if module else found

    def listed() -> list[str]:
        module = vars(sys.modules[package])
        return sorted({*module["__all__"], *(name for name in module if name.startswith("__"))})

    return get, listed
