"""What goes wrong with clusters."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from etendue.errors import EtendueError


class ClusterError(EtendueError, ValueError):
    """A place to run that is not known, not safe, or not to be had; says what to do."""


def needed(module: str, extra: str) -> ModuleType:
    """Import what a kind of cluster needs.

    Raises
    ------
    ClusterError
        If it is not installed; says what to install.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ClusterError(f"{error}: this place needs pip install 'etendue[{extra}]'") from None
