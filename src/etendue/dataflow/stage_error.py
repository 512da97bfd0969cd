"""Errors within a stage: which stage, where in its code, and what it was working on."""

from __future__ import annotations

import inspect
from functools import cache
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

from etendue.errors import EtendueError

if TYPE_CHECKING:
    from etendue.dataflow.stage import Stage


class PipelineError(EtendueError, ValueError):
    """A pipeline that cannot work: says which stage, which column, and what to do."""


class MissingError(PipelineError):
    """A pipeline that reads what the inputs do not have: perhaps it is meant for others."""


class StageError(EtendueError):
    """An error within a stage. It is also of the class of what was raised there, which is its cause."""

    def __init__(self, message: str, of: type[Exception] = Exception) -> None:
        self.message, self.of = message, of

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return stage_error, (self.message, self.of)


@cache
def _class_of(of: type[Exception]) -> type[StageError]:
    try:
        return type("StageError", (StageError, of), {"__module__": __name__, "__doc__": StageError.__doc__})
    except TypeError:  # classes that cannot be joined
        return StageError


def stage_error(message: str, of: type[Exception]) -> StageError:
    """Make an error that is a `StageError` and of another class, too."""
    return _class_of(of)(message, of)


def error_in(stage: Stage, error: Exception) -> StageError:
    """What a stage raised, with the stage's name and the line of its own code that it came from."""
    where = _line(stage, error)
    return stage_error(
        f"stage {stage.name!r} failed{where}: {type(error).__name__}: {error}", type(error)
    ).with_traceback(error.__traceback__)


def error_at(place: str, error: StageError) -> StageError:
    """The same error, with what the stage was working on."""
    return stage_error(f"{place}: {error}", error.of)


def _line(stage: Stage, error: Exception) -> str:
    """The last line of the stage's own file that was running; nothing if none was."""
    code = getattr(type(stage), "function", type(stage))
    try:
        own = inspect.getfile(code)
    except (TypeError, OSError):  # made where there is no file
        return ""
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == own]
    return f" in {Path(own).name}, line {lines[-1]}" if lines else ""
