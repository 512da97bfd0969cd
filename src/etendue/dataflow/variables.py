"""Variables of pipeline files: what differs from run to run, declared once and used by name.

A file declares ``[variables.NAME]`` and uses it as ``"$NAME"``, which takes the variable's value as it is, or
within text as ``"${NAME}"``; ``$$`` is a dollar sign.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from etendue.dataflow.parameters import unknown
from etendue.errors import EtendueError

_USE = re.compile(r"\$(?:\$|\{(\w+)\}|([A-Za-z_]\w*))")
_EXPECTED = {
    "text": "text",
    "file": "the path of a file",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
}


class VariableError(EtendueError, ValueError):
    """A variable that is declared, used or given wrongly: says which, and what is expected."""


class PipelineVariable(BaseModel):
    """Something that may, or must, be given when a pipeline is run.

    Parameters
    ----------
    name, description : str
        How it is called, and what it is.
    type : {"text", "file", "number", "integer", "boolean"}
        What is expected. A file is made absolute: a default is relative to the pipeline file, what is given
        to the current folder.
    default : optional
        What holds if nothing is given.
    required : bool
        Whether it must be given; there is no default then.
    value : optional
        What was given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str = ""
    type: Literal["text", "file", "number", "integer", "boolean"] = "text"
    default: Any = None
    required: bool = False
    value: Any = None

    @property
    def current(self) -> Any:
        """What it stands for: what was given, the default, or `Unset`."""
        if self.value is not None:
            return self.value
        return Unset(f"${self.name}") if self.default is None else self.default

    def given(self, value: Any) -> PipelineVariable:
        """The same variable with a value, as it comes from the command line or from Python."""
        found = convert(self, value)
        if self.type == "file" and found and "://" not in found and not Path(found).exists():
            raise VariableError(f"{self.name} = {found}: there is no such file")
        return self.model_copy(update={"value": found})

    @property
    def how(self) -> str:
        """How to give it: ``--set detector=FILE``."""
        return f"--set {self.name}={self.type.upper()}"


class Unset(str):
    """The place of a required variable that has not been given."""


class Bound(NamedTuple):
    """A parameter that variables give: which stage (-1 for ``write``), which one, and how it is written."""

    stage: int
    parameter: str
    template: Any


def declare(config: Any, folder: Path | None) -> tuple[PipelineVariable, ...]:
    """The variables of a pipeline file.

    Parameters
    ----------
    config : mapping
        Its table ``variables``.
    folder : Path, optional
        Folder of the file, which default files are relative to.

    Raises
    ------
    VariableError
        If a declaration is not right.
    """
    if not isinstance(config, Mapping):
        raise VariableError("variables are tables; write [variables.NAME] above each")
    return tuple(_declare(name, entry, folder) for name, entry in config.items())


def _declare(name: str, entry: Any, folder: Path | None) -> PipelineVariable:
    keys = ("description", "type", "default", "required")
    if not name.isidentifier():
        raise VariableError(f"variable {name!r}: a name has letters, digits and _ only")
    if not isinstance(entry, Mapping):
        raise VariableError(f"variable {name!r}: write [variables.{name}] with {', '.join(keys)}")
    for key in entry:
        if key not in keys:
            raise VariableError(f"variable {name!r}: {unknown('key', key, keys)}")
    if entry.get("type", "text") not in _EXPECTED:
        raise VariableError(f"variable {name!r}: {unknown('type', str(entry['type']), _EXPECTED)}")
    for key, kind, example in (("description", str, "text"), ("required", bool, "true or false")):
        if not isinstance(entry.get(key, kind()), kind):
            raise VariableError(f"variable {name!r}: {key} = {entry[key]!r}: expected {example}")
    if entry.get("required", False) == ("default" in entry):
        raise VariableError(f"variable {name!r}: give either a default or required = true")
    variable = PipelineVariable(name=name, **entry)
    if variable.required:
        return variable
    return variable.model_copy(update={"default": convert(variable, variable.default, folder)})


def convert(variable: PipelineVariable, value: Any, folder: Path | None = None) -> Any:
    """A value as the variable's type has it.

    Raises
    ------
    VariableError
        If it is none of that type.
    """
    if variable.type == "boolean":
        found = {"true": True, "false": False}.get(str(value).lower())
    elif variable.type in ("number", "integer"):
        found = _number(value, int if variable.type == "integer" else float)
    else:
        found = str(value) if isinstance(value, (str, Path)) else None
    if found is None:
        raise VariableError(f"{variable.name} = {value!r}: expected {_EXPECTED[variable.type]}")
    if variable.type == "file" and found and "://" not in found:
        return str((folder or Path()).absolute() / Path(found).expanduser())
    return found


def _number(value: Any, kind: type) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = kind(value)
    except ValueError:
        return None
    same = kind is float or isinstance(value, str) or number == value
    return number if same and math.isfinite(number) else None


def substitute(template: Any, variables: Mapping[str, PipelineVariable]) -> Any:
    """A value of a pipeline file with variables in place.

    Raises
    ------
    VariableError
        If it uses a variable that is not declared.
    """
    if isinstance(template, Mapping):
        return {key: substitute(item, variables) for key, item in template.items()}
    if isinstance(template, (list, tuple)):
        return type(template)(substitute(item, variables) for item in template)
    if not isinstance(template, str):
        return template

    def current(match: re.Match[str]) -> Any:
        name = match[1] or match[2]
        if name is None:
            return "$"
        if name not in variables:
            raise VariableError(f"{template!r}: {unknown('variable', name, variables)}")
        return variables[name].current

    whole = _USE.fullmatch(template)
    if whole and not whole[1]:
        return current(whole)
    parts = [current(match) for match in _USE.finditer(template)]
    text = _USE.sub(lambda match: str(current(match)), template)
    return Unset(text) if any(isinstance(part, Unset) for part in parts) else text


def escaped(value: Any) -> Any:
    """A value, written so that `substitute` gives it back."""
    if isinstance(value, Mapping):
        return {key: escaped(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(escaped, value))
    return value.replace("$", "$$") if isinstance(value, str) else value


def used(template: Any) -> set[str]:
    """The names of the variables that a value of a pipeline file uses."""
    if isinstance(template, Mapping):
        return set().union(*map(used, template.values()))
    if isinstance(template, (list, tuple)):
        return set().union(*map(used, template))
    if not isinstance(template, str):
        return set()
    return {name for match in _USE.finditer(template) if (name := match[1] or match[2])}


def is_unset(value: Any) -> bool:
    """Whether a value holds the place of a variable that has not been given."""
    if isinstance(value, Mapping):
        return any(map(is_unset, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(is_unset, value))
    return isinstance(value, Unset)
