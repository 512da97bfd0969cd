"""Stages in a file of their own, beside the pipeline file: ``use = "./my_stages.py:brightest"``.

The file becomes a module that is named after its path and contents, so that an edited file is another module.
Its stages carry the file's text along: workers in other processes and on other hosts need no such file.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from etendue.dataflow.foreign import why_no_stage_in, why_not_trusted
from etendue.errors import EtendueError

#: Attribute of such a module: the `StageFile` that it was made from.
_ORIGIN = "__stage_file__"


class StageFile(NamedTuple):
    """A file that holds stages.

    Parameters
    ----------
    path : str
        Where it was when it was read.
    source : str
        What it held.
    """

    path: str
    source: str


class StageFileError(EtendueError, ValueError):
    """A file of stages that cannot be used: says why, and where in it."""


def stage_file(cls: type) -> StageFile | None:
    """The file that a stage class was loaded from by `load_file`; None for all others."""
    return getattr(sys.modules.get(cls.__module__), _ORIGIN, None)


def file_label(module: str | None) -> str:
    """The name of the file that a module was made from by `load_file`, without its folder; else empty."""
    file = getattr(sys.modules.get(module or ""), _ORIGIN, None)
    return Path(file.path).name if file else ""


def load_file(path: Path, name: str) -> Any:
    """What a file calls by a name.

    Raises
    ------
    StageFileError
        If the file cannot be read or run, or has no such stage; the file is not run then.
    """
    try:
        file = StageFile(str(path.resolve()), path.read_text(encoding="utf-8"))
        reason = why_not_trusted(path.resolve())
    except FileNotFoundError:
        raise StageFileError(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        raise StageFileError(f"{path} cannot be read: {error}") from None
    if reason := reason or why_no_stage_in(file.source, name, str(path)):
        raise StageFileError(f"it was not run: {reason}")
    try:
        return getattr(_module(file), name)
    except Exception as error:
        raise StageFileError(f"{path} cannot be run: {type(error).__name__}: {error}") from error


def _module(file: StageFile) -> ModuleType:
    """The module of a file, made the first time."""
    digest = hashlib.sha256("\0".join(file).encode()).hexdigest()[:16]
    name = f"_etendue_{Path(file.path).stem}_{digest}"
    if name not in sys.modules:
        module = ModuleType(name)
        module.__file__ = file.path
        setattr(module, _ORIGIN, file)
        sys.modules[name] = module
        try:
            exec(compile(file.source, file.path, "exec"), module.__dict__)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def restore(file: StageFile, name: str) -> Any:
    """An empty instance of a stage class of a file: what pickles of its stages begin with."""
    cls = getattr(_module(file), name)
    return cls.__new__(cls)
