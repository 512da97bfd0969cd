"""What stages there are: what each does, reads and writes, and its parameters, from the code itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from inspect import cleandoc
from typing import Any

from pydantic import ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.fields import FieldInfo

from etendue.dataflow.registry import find_stage, registered_stages
from etendue.dataflow.stage import Stage
from etendue.reprs import Legible, Section, some_of
from etendue.schema import Variable, split


@dataclass(frozen=True)
class Parameter:
    """One parameter of a stage, as texts for people: which values it takes, its default, what it is for."""

    name: str
    kind: str
    default: str
    description: str


@dataclass(frozen=True, repr=False)
class StageInfo(Legible):
    """A stage as its users see it.

    Parameters
    ----------
    name : str
        How pipelines call it.
    summary, description : str
        First line, and all, of what its author says.
    reads : tuple of str
        References to the columns that it reads, with its default parameters.
    writes : dict of str to str
        References to the columns that it writes, with their units and descriptions; likewise.
    parameters : tuple of Parameter
        In the order of the code.
    """

    name: str
    summary: str
    description: str
    reads: tuple[str, ...]
    writes: Mapping[str, str]
    parameters: tuple[Parameter, ...]

    def facts(self) -> dict[str, str]:
        """The stage in a few lines, for people."""
        return {
            "stage": self.name,
            "does": self.summary,
            "reads": some_of(self.reads),
            "writes": some_of(self.writes),
            "parameters": some_of(f"{p.name} = {p.default}" for p in self.parameters),
        }

    def sections(self) -> Iterator[Section]:
        """Parameters and columns."""
        rows = [(p.name, p.kind, p.default, p.description) for p in self.parameters]
        yield "parameters", ("parameter", "values", "default", "meaning"), rows
        yield "writes", ("column", "meaning"), list(self.writes.items())

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


class Catalogue(Legible, dict[str, StageInfo]):
    """The stages of all installed packages, by name."""

    def facts(self) -> dict[str, str]:
        """How many there are in each family, for people."""
        families: dict[str, list[str]] = {}
        for name in self:
            families.setdefault(name.partition(".")[0], []).append(name.partition(".")[2])
        return {family: some_of(names, 12) for family, names in families.items()}

    def sections(self) -> Iterator[Section]:
        """What each of them does."""
        yield "stages", ("stage", "does"), [(info.name, info.summary) for info in self.values()]


def stages() -> Catalogue:
    """The stages that installed packages register, by the names that pipelines use.

    Examples
    --------
    >>> stages()["iact.Clean"].summary
    'Mark the pixels of each image that hold Cherenkov light.'
    """
    return Catalogue({name: _info(name, cls) for name, cls in sorted(registered_stages().items())})


def stage_info(name: str) -> StageInfo:
    """One stage by its name; raises `ConfigError`, with the nearest name, if there is none."""
    return _info(name, find_stage(name))


def _info(name: str, cls: type[Stage]) -> StageInfo:
    text = cleandoc(cls.__doc__ or "")
    reads, declared = _columns(cls)
    writes = {reference: _meaning(reference, spec) for reference, spec in declared.items()}
    return StageInfo(name, text.partition("\n")[0], text, reads, writes, tuple(_parameters(cls)))


def _columns(cls: type[Stage]) -> tuple[tuple[str, ...], Mapping[str, Variable | tuple]]:
    """What a stage reads and writes with its defaults; what it must be given is called as it is named."""
    texts = {name: name for name, field in cls.model_fields.items() if field.is_required()}
    try:
        stage = cls(**texts)
    except ValidationError:
        return (), {}
    return tuple(stage.reads), stage.writes


def _meaning(reference: str, spec: Variable | tuple) -> str:
    variable = Variable.of(split(reference)[1], spec)
    units = f"[{variable.units}] " if variable.units else ""
    return f"{variable.dtype} ({', '.join(variable.dims)}) {units}{variable.description}".rstrip()


def _parameters(cls: type[Stage]) -> Iterator[Parameter]:
    try:
        rules = cls.model_json_schema()
    except PydanticInvalidForJsonSchema:
        rules = {}
    for name, field in cls.model_fields.items():
        kind = _kind(rules.get("properties", {}).get(name, {}), rules.get("$defs", {}))
        yield Parameter(name, kind, _default(field), (field.description or "").strip())


def _default(field: FieldInfo) -> str:
    return "required" if field.is_required() else repr(field.get_default(call_default_factory=True))


#: What a user writes for a type of JSON.
_KINDS = {"boolean": "true or false", "string": "text", "null": "none"}


def _kind(rule: Mapping[str, Any], named: Mapping[str, Any]) -> str:
    """The values that a parameter takes, in words, by its JSON schema and the rules that have names there."""
    if "$ref" in rule:
        return _kind(named[rule["$ref"].rpartition("/")[2]], named)
    if "enum" in rule:
        return " or ".join(map(repr, rule["enum"]))
    if "const" in rule:
        return repr(rule["const"])
    if choices := rule.get("anyOf"):
        return " or ".join(dict.fromkeys(_kind(choice, named) for choice in choices))
    kind = rule.get("type", "")
    if kind == "array":
        return f"list of {_kind(rule.get('items', {}), named) or 'values'}"
    if kind == "object":
        values = rule.get("additionalProperties")
        return f"table of {_kind(values, named) if isinstance(values, Mapping) else 'values'}"
    limits = [f"{sign} {rule[key]:g}" for key, sign in _LIMITS.items() if key in rule]
    return f"{_KINDS.get(kind, kind)} {' and '.join(limits)}".strip()


_LIMITS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}


def markdown(catalogue: Mapping[str, StageInfo]) -> str:
    """The page of the documentation: all stages with their parameters."""
    text = [
        "# All stages",
        "",
        "Made from the code by `etendue stages --markdown`. One of them: `etendue stages NAME`.",
    ]
    for info in catalogue.values():
        text += ["", f"## {info.name}", "", _cell(info.summary)]
        if info.reads or info.writes:
            text += ["", f"Reads {_codes(info.reads)}; writes {_codes(info.writes)}."]
        if info.parameters:
            text += ["", "| parameter | values | default | meaning |", "|---|---|---|---|"]
            text += [
                f"| `{p.name}` | {_cell(p.kind)} | {_cell(f'`{p.default}`')} | {_cell(p.description)} |"
                for p in info.parameters
            ]
    return "\n".join(text) + "\n"


def _codes(references: Any) -> str:
    return ", ".join(f"`{reference}`" for reference in references) or "what its parameters say"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
