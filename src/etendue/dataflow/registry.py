"""Stages, pipelines and displays by name: what packages register by entry point, and TOML.

Entry-point groups: ``etendue.stages`` (name ``family.Stage``, value the class), ``etendue.pipelines`` (value
a package whose ``*.toml`` files are pipelines) and ``etendue.displays`` (value a module, see `find_display`).
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from etendue.dataflow.foreign import why_no_stage
from etendue.dataflow.parameters import unknown
from etendue.dataflow.plugins import PluginError, broken, entries, failed, load, tell, usable
from etendue.dataflow.stage import Stage
from etendue.dataflow.stage_files import StageFileError, file_label, load_file, stage_file
from etendue.dataflow.variables import (
    Bound,
    PipelineVariable,
    VariableError,
    declare,
    escaped,
    is_unset,
    substitute,
    used,
)
from etendue.errors import EtendueError

if TYPE_CHECKING:
    from types import ModuleType

    import xarray

    from etendue.dataflow.pipeline import Pipeline

#: How pydantic calls, within the place of a finding, one of the kinds that a parameter may be of.
_KIND = re.compile(r"(constrained-|function-)|(float|int|str|bool|tuple|dict)(\[|$)")

_PIPELINE_KEYS = ("name", "description", "write", "variables", "stage")


class ConfigError(EtendueError, ValueError):
    """A pipeline file that is not right: says where, what was expected, and the nearest right name."""


@cache
def _stage_entries() -> Mapping[str, EntryPoint]:
    return dict(sorted(entries("etendue.stages").items(), key=lambda item: item[0].casefold()))


def registered_stages() -> Mapping[str, type[Stage]]:
    """All registered stage classes that can be loaded by their entry-point names; imports every one."""
    return dict(usable(_stage_entries(), _registered_stage))


def _registered_stage(name: str) -> type[Stage]:
    entry = _stage_entries()[name]
    found = load(entry)
    if not (isinstance(found, type) and issubclass(found, Stage)):
        raise PluginError(f"{name!r} is registered as a stage, and {entry.value} is none")
    return found


def stage_reference(cls: type[Stage]) -> str:
    """How a pipeline file names a stage class: its entry-point name, ``module:name`` or ``file.py:name``."""
    if file := stage_file(cls):
        return f"{file.path}:{cls.__qualname__}"
    place = f"{cls.__module__}:{cls.__qualname__}"
    return next((name for name, entry in _stage_entries().items() if entry.value == place), place)


def stage_label(cls: type[Stage]) -> str:
    """What names a stage class wherever its file is: as `stage_reference`, without the folder of a file."""
    file = file_label(cls.__module__)
    return f"{file}:{cls.__qualname__}" if file else stage_reference(cls)


def find_stage(reference: str, folder: Path | None = None) -> type[Stage]:
    """The stage class that a pipeline file names.

    Parameters
    ----------
    reference : str
        A registered name, ``module:name``, or ``./file.py:name``.
    folder : Path, optional
        What the path of a file is relative to; by default the current folder.

    Raises
    ------
    ConfigError
        If there is none; the message names the nearest one.
    """
    if reference in _stage_entries():
        try:
            return _registered_stage(reference)
        except PluginError as error:
            raise ConfigError(f"stage {error}") from error
    module, colon, name = reference.rpartition(":")
    if not colon:
        raise ConfigError(unknown("stage", reference, _stage_entries()))
    in_file = module.endswith(".py")  # at which `load_file` looks before it runs it
    known = in_file or module in sys.modules or module.startswith("etendue.")
    if not known and (reason := why_no_stage(module, name)):
        reason = f"{reference!r} is not a stage, and was not imported: {reason}"
        raise ConfigError(f"cannot import the stage {reference!r}: {reason}")
    try:
        if in_file:
            found = load_file((folder or Path()) / Path(module).expanduser(), name)
        else:
            found = getattr(import_module(module), name)
    except (ImportError, AttributeError, StageFileError) as error:
        raise ConfigError(f"cannot import the stage {reference!r}: {error}") from error
    if isinstance(found, type) and issubclass(found, Stage):
        return found
    raise ConfigError(f"{reference!r} is not a stage; decorate the function with @etendue.stage")


@cache
def shipped_pipelines() -> Mapping[str, str]:
    """The text of every pipeline that an installed package ships, by name."""
    texts: dict[str, str] = {}
    for package, found in usable(entries("etendue.pipelines"), _pipelines_of):
        for name in texts.keys() & found.keys():
            tell(f"pipeline {name!r} of {package!r} has the name of another, and is left out")
        texts = {**found, **texts}
    return dict(sorted(texts.items()))


@cache
def _pipelines_of(name: str) -> dict[str, str]:
    """The pipelines that one entry point stands for."""
    entry = entries("etendue.pipelines")[name]
    try:
        resources = [one for one in files(entry.value).iterdir() if one.name.endswith(".toml")]
        return {one.name.removesuffix(".toml"): one.read_text(encoding="utf-8") for one in resources}
    except Exception as error:  # whatever the modules of others raise
        raise PluginError(failed(entry, error)) from error


def _display(name: str) -> ModuleType:
    """The module that one entry point stands for."""
    return load(entries("etendue.displays")[name])


def find_pipeline(name_or_path: str | Path, /, **variables: Any) -> Pipeline:
    """A shipped pipeline by its name, or one from a TOML file.

    Parameters
    ----------
    name_or_path : str or path
        A name, or a file that ends in ``.toml``.
    **variables
        Values of the variables that it declares, as ``detector="detector.detx"``. Those that are required
        may also be given later (`Pipeline.set`), but before anything runs.

    Raises
    ------
    ConfigError
        If there is neither, or the file is not a pipeline.
    VariableError
        If a variable is unknown, or its value not of its type.
    """
    pipeline = _find_pipeline(str(name_or_path))
    return pipeline.set(**variables) if variables else pipeline


def _find_pipeline(name_or_path: str) -> Pipeline:
    if name_or_path in shipped_pipelines():
        return parse_pipeline(shipped_pipelines()[name_or_path], name_or_path)
    path = Path(name_or_path).expanduser()
    if path.suffix == ".toml":
        try:
            return parse_pipeline(path.read_text(encoding="utf-8"), str(path), path.absolute().parent)
        except FileNotFoundError:
            raise ConfigError(f"there is no pipeline file {path}") from None
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path} is not TOML: byte {error.start} is not UTF-8") from None
    hint = unknown("pipeline", name_or_path, shipped_pipelines())
    faults = broken(entries("etendue.pipelines"), _pipelines_of)
    raise ConfigError(f"{hint}, or give a file that ends in .toml{faults}")


def parse_pipeline(text: str, where: str = "pipeline", folder: Path | None = None) -> Pipeline:
    """Make a pipeline from TOML text.

    Parameters
    ----------
    text : str
        Keys ``name``, ``description``, ``write`` (list of references), tables ``[variables.NAME]`` (see
        `etendue.dataflow.variables`) and an array of tables ``[[stage]]``, each with ``use`` (a registered
        name, ``module:name`` or ``./file.py:name``) and its parameters.
    where : str
        File name for error messages.
    folder : Path, optional
        Folder of the file, which files that it names are relative to; by default the current one.

    Raises
    ------
    ConfigError
        With the place and the nearest right name.
    """
    from etendue.dataflow.pipeline import Pipeline

    try:
        config = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not TOML: {error}") from None
    for key in config:
        if key not in _PIPELINE_KEYS:
            raise ConfigError(f"{where}: {unknown('key', key, _PIPELINE_KEYS)}")
    _check_kinds(config, where)
    entries, write = config.get("stage", []), config.get("write")
    try:
        variables = declare(config.get("variables", {}), folder)
        bound = _bound(entries, write, variables)
    except VariableError as error:
        raise ConfigError(f"{where}: {error}") from None
    known = {variable.name: variable for variable in variables}
    if known:
        entries, write = (substitute(value, known) for value in (entries, write))
    return Pipeline(
        stages=tuple(
            _parse_stage(entry, f"{where}: stage {n}", folder) for n, entry in enumerate(entries, 1)
        ),
        write=None if write is None else tuple(write),
        name=config.get("name", Path(where).stem),
        description=config.get("description", ""),
        variables=variables,
        bound=bound,
    )


def _bound(
    entries: list[dict[str, Any]], write: list[str] | None, variables: tuple[PipelineVariable, ...]
) -> tuple[Bound, ...]:
    """Which parameters variables give; none is used that is not declared, none declared without use."""
    if not variables:
        return ()
    bound = [
        Bound(position, key, template)
        for position, entry in enumerate(entries)
        for key, template in entry.items()
        if used(template)
    ]
    if any(parameter == "use" for _, parameter, _ in bound):
        raise VariableError("use names a stage, and cannot be a variable")
    bound += [Bound(-1, "write", tuple(write))] if used(write) else []
    names = [variable.name for variable in variables]
    found = [name for _, _, template in bound for name in used(template)]
    for name in found:
        if name not in names:
            raise VariableError(f"a stage uses ${name}: {unknown('variable', name, names)}")
    for name in names:
        if name not in found:
            raise VariableError(f'variable {name!r} is used nowhere; write "${name}" for a value of a stage')
    return tuple(bound)


def _check_kinds(config: Mapping[str, Any], where: str) -> None:
    """See that the values of a pipeline's keys are of the kinds that they have to be."""
    stages, write = config.get("stage", []), config.get("write", [])
    if not isinstance(stages, list) or not all(isinstance(entry, dict) for entry in stages):
        raise ConfigError(f"{where}: stages are an array of tables; write [[stage]] above each")
    if not isinstance(write, list) or not all(isinstance(reference, str) for reference in write):
        raise ConfigError(f'{where}: write = {write!r}: expected a list of references, as ["events/*"]')
    for key in ("name", "description"):
        if not isinstance(value := config.get(key, ""), str):
            raise ConfigError(f"{where}: {key} = {value!r}: expected text in quotes")


def _parse_stage(entry: Mapping[str, Any], where: str, folder: Path | None) -> Stage:
    parameters = dict(entry)
    reference = parameters.pop("use", None)
    if reference is None:
        raise ConfigError(f'{where} has no key "use" to name the stage, as in use = "iact.Clean"')
    try:
        return make_stage(find_stage(reference, folder), parameters)
    except ValidationError as error:
        raise ConfigError(f"{where} ({reference}): {explain(error)}") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def make_stage(cls: type[Stage], parameters: Mapping[str, Any]) -> Stage:
    """A stage with its parameters, of which some may wait for a variable."""
    given = {key: value for key, value in parameters.items() if not is_unset(value)}
    waiting = parameters.keys() - given.keys()
    for name in waiting:
        if name not in cls.model_fields:
            raise ConfigError(unknown("parameter", name, cls.model_fields))
    try:
        stage = cls(**given)
    except ValidationError as error:
        if not waiting or any(d["type"] != "missing" or d["loc"][0] not in waiting for d in error.errors()):
            raise
        return cls.model_construct(**parameters)
    return stage.model_copy(update={key: parameters[key] for key in waiting}) if waiting else stage


def explain(error: ValidationError) -> str:
    """Pydantic's findings in our words: of each key, what was wrong with it.

    Of a parameter that may be of several kinds, the finding that reaches deepest into it is told.
    """
    findings: dict[str, tuple[int, str]] = {}
    for detail in error.errors():
        place = detail["loc"]
        key = ".".join(str(part) for part in place if not _KIND.match(str(part)))
        text = f"{key} = {detail['input']!r}: {detail['msg']}" if key else detail["msg"]
        depth, _ = findings.get(str(place[:1]), (-1, ""))
        if len(place) > depth:
            findings[str(place[:1])] = len(place), text.replace("Value error, ", "")
    return "; ".join(text for _, text in findings.values())


def pipeline_text(pipeline: Pipeline) -> str:
    """A pipeline as TOML, with every parameter and what it means: where a user starts from."""
    lines = [f"name = {_toml(pipeline.name)}", f"description = {_toml(pipeline.description)}"]
    if pipeline.write is not None:
        write = pipeline.templates().get(-1, {}).get("write", pipeline.write)
        lines.append(f"write = {_toml(list(write))}")
    for variable in pipeline.variables:
        lines += ["", f"[variables.{variable.name}]  # {variable.how}"]
        lines += [f"description = {_toml(variable.description)}", f"type = {_toml(variable.type)}"]
        value = variable.current
        lines.append("required = true" if is_unset(value) else f"default = {_toml(value)}")
    templates = pipeline.templates()
    for position, stage in enumerate(pipeline.stages):
        summary = (type(stage).__doc__ or "").strip().partition("\n")[0]
        lines += ["", "[[stage]]", f"use = {_toml(stage_reference(type(stage)))}  # {summary}"]
        values = stage.config()
        if pipeline.variables:
            values = escaped(values)
        values |= templates.get(position, {})
        for key, field in type(stage).model_fields.items():
            comment = f"  # {field.description}" if field.description else ""
            value = values[key]
            lines.append(f"# {key} ={comment}" if value is None else f"{key} = {_toml(value)}{comment}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """One value in TOML."""
    match value:
        case bool():
            return "true" if value else "false"
        case dict():
            return "{ " + ", ".join(f"{_toml(str(k))} = {_toml(v)}" for k, v in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case _:
            return repr(value)


def displays() -> Iterator[ModuleType]:
    """The modules that are registered as ``etendue.displays`` and can be used."""
    for _, display in usable(entries("etendue.displays"), _display):
        yield display


def find_display(tree: xarray.DataTree) -> ModuleType:
    """The module that draws events of a loaded run, of those registered as ``etendue.displays``.

    Such a module has ``draws(tree)``, whether it knows the tables, and ``event(tree, event_id)``,
    which returns a figure. It may have ``needs(schema)``: the columns to read again from the raw file where a
    pass did not write what is drawn.

    Raises
    ------
    ConfigError
        If none of them knows the tables.
    """
    for name, display in usable(entries("etendue.displays"), _display):
        try:
            if display.draws(tree):
                return display
        except Exception as error:  # whatever the displays of others raise
            tell(f"display {name!r} cannot tell whether it draws a run: {type(error).__name__}: {error}")
    raise ConfigError(
        f"nothing here draws a run with the tables {', '.join(tree.children)}: it needs images, or hits or "
        "pulses with positions; process it and write them first"
        f"{broken(entries('etendue.displays'), _display)}"
    )
