"""API pages: one a public module, written before Sphinx looks for pages; and the parameters of stages.

A stage declares its parameters as fields with a description, not in its docstring: they are put there, as a
numpydoc section, when its page is made.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from public import first_name, modules, names, own, sources

import etendue

if TYPE_CHECKING:
    from docutils.nodes import Element
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.config import Config
    from sphinx.environment import BuildEnvironment

#: Headings of a module's page, and what belongs under each.
KINDS = {
    "Stages": lambda it: inspect.isclass(it) and issubclass(it, etendue.Stage),
    "Errors": lambda it: inspect.isclass(it) and issubclass(it, Exception),
    "Classes": inspect.isclass,
    "Functions": callable,
    "Values": lambda it: not isinstance(it, ModuleType),
}


def write_pages(app: Sphinx, _config: Config) -> None:
    """Write ``api/index.rst`` and a page for each public module and for the sources."""
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    found = modules()
    pages = {home: "\n".join(_page(home, module, found)) for home, module in found.items()}
    pages["sources"] = "\n".join(_sources())
    rows = [f"   * - :doc:`{home} <{home}>`\n     - {_summary(module)}" for home, module in found.items()]
    rows.append("   * - :doc:`Sources <sources>`\n     - What reads each kind of input.")
    table = [".. list-table::", "   :widths: 30 70", "", *rows, ""]
    listed = [".. toctree::", "   :hidden:", "", *(f"   {name}" for name in pages), ""]
    pages["index"] = "\n".join([*_title("API"), INTRODUCTION, "", *table, *listed])
    for name, text in pages.items():
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text() != text:  # an unchanged page is not made again
            path.write_text(text)


INTRODUCTION = """Everything public, under the names by which it is reached after ``import etendue as et``.
Made from the docstrings."""


def _page(home: str, module: ModuleType, found: dict[str, ModuleType]) -> Iterator[str]:
    yield from _title(home)
    yield from (f".. module:: {home}", "", inspect.getdoc(module) or "", "")
    left = dict(own(home, module))
    others = [
        other
        for name in names(module)
        if (other := first_name(getattr(module, name), f"{home}.{name}")) != f"{home}.{name}"
    ]
    for kind, belongs in KINDS.items():
        here = [name for name, it in left.items() if belongs(it) and not isinstance(it, ModuleType)]
        left = {name: it for name, it in left.items() if name not in here}
        if here:
            yield from _title(kind, "-")
            yield from _summaries(here)
    if others := [name for name in others if name.rpartition(".")[0] != home and name not in found]:
        yield from _title("Also here", "-")
        yield f"{', '.join(f':py:obj:`{name}`' for name in others)}\n"
    if inner := [(name, it) for name, it in left.items() if it in found.values()]:
        yield from _title("Modules", "-")
        for name, it in inner:
            there = next(other for other, module in found.items() if module is it)
            yield f":doc:`{home}.{name} <{there}>`\n    {_summary(it)}\n"


def _sources() -> Iterator[str]:
    yield from _title("Sources")
    yield "A source reads one kind of input; `etendue.open` finds it. They are registered by these names.\n"
    for name, home in sorted(sources().items()):
        yield f"``{name}``\n    :py:obj:`{home}`\n"
    yield from _summaries(sources().values())


def _summaries(entries: Any) -> Iterator[str]:
    yield from (".. autosummary::", "   :toctree: generated", "   :nosignatures:", "")
    yield from (f"   {entry}" for entry in entries)
    yield ""


def _title(text: str, line: str = "=") -> tuple[str, ...]:
    return text, line * len(text), ""


def _summary(module: ModuleType) -> str:
    return (inspect.getdoc(module) or "").partition("\n")[0]


def add_parameters(_app: Sphinx, _what: str, _name: str, obj: Any, _options: Any, lines: list[str]) -> None:
    """Add what a stage reads, writes and takes to its docstring, before numpydoc reads that."""
    info = _stages().get(obj) if inspect.isclass(obj) else None
    if info is None:
        return
    under = next((n - 1 for n, line in enumerate(lines) if n and line and set(line) == {"-"}), len(lines))
    told = [
        f"{verb} {', '.join(f'``{reference}``' for reference in references)}."
        for verb, references in (("Reads", info.reads), ("Writes", info.writes))
        if references
    ]
    lines[under:under] = ["", " ".join(told), ""]
    if info.parameters and "Parameters" not in lines:
        lines += ["", "Parameters", "----------"]
        for parameter in info.parameters:
            kind = f"{parameter.kind}, " if parameter.kind else ""
            default = "required" if parameter.default == "required" else f"default ``{parameter.default}``"
            lines += [
                f"{parameter.name} : {kind}{default}",
                f"    {parameter.description or 'As it is named.'}",
            ]
        lines.append("")


def _stages() -> dict[type, Any]:
    """What is known of each stage, by its class."""
    if not _STAGES:
        known = etendue.stages()
        _STAGES.update((entry.load(), known[entry.name]) for entry in entry_points(group="etendue.stages"))
    return _STAGES


_STAGES: dict[type, Any] = {}


def show_examples(_app: Sphinx, _ctx: Any, lines: list[str]) -> None:
    """Show the examples of a verb as code: sphinx-click makes them text, in which stars are marks."""
    text, inside = [], False
    for line in lines:
        example = line.startswith("| ")
        if example and not inside:
            text += [".. code-block:: sh", ""]
        text.append(f"   {line[2:]}" if example else line)
        inside = example
    lines[:] = text


def show_stars(_app: Sphinx, _ctx: Any, lines: list[str]) -> None:
    """Show the star of a pattern such as ``events/*`` in the help of an option: it is no mark of emphasis."""
    lines[:] = [line.replace("/*", r"/\*") for line in lines]


def leave_out(_app: Sphinx, _what: str, name: str, obj: Any, skip: bool, _options: Any) -> bool | None:
    """Leave out what all stages have: how the engine calls them, and what is pydantic's own."""
    owner = getattr(obj, "__qualname__", "").partition(".")[0]
    is_stages_own = owner in {cls.__name__ for cls in _stages()} and name == "process"
    return True if name == "model_config" or is_stages_own else None


def resolve(_app: Sphinx, env: BuildEnvironment, node: pending_xref, text: Element) -> Element | None:
    """Link a name in single backticks of a docstring, where one public object ends with it; else show it.

    Docstrings name parameters and things of their own module in this way, too: those are shown as they are.
    """
    if node.get("refdomain") != "py" or node.get("reftype") != "obj":
        return None
    target = node["reftarget"].removesuffix("()")
    objects = env.domains.python_domain.objects
    ends = sorted((name for name in objects if name.endswith(f".{target}")), key=lambda name: name.count("."))
    if ends and (len(ends) == 1 or ends[0].count(".") < ends[1].count(".")):
        return env.domains.python_domain.resolve_xref(
            env, node["refdoc"], _app.builder, "obj", ends[0], node, text
        )
    return text


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("config-inited", write_pages)
    app.connect("autodoc-process-docstring", add_parameters, priority=100)
    app.connect("autodoc-skip-member", leave_out)
    app.connect("sphinx-click-process-options", show_stars)
    app.connect("sphinx-click-process-description", show_examples)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
