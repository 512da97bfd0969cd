"""Code that a pipeline file names: looked at before it is imported, since importing runs it.

A pipeline file may come from somebody else. What it names has to be a stage by its source, else nothing of it
is run: ``os:system`` or a script with side effects is refused unseen. A file of stages runs only if nobody
but its user, and root, can change it: others could run what they like as that user. `TRUST` names folders
that are taken nevertheless. What holds the stage and may run does what its author wants, as any program that
one starts.
"""

from __future__ import annotations

import ast
import os
import stat
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from importlib.util import resolve_name
from pathlib import Path

#: Variable of the environment: folders, with a colon between, whose files of stages run whoever owns them.
TRUST = "ETENDUE_TRUST"
#: Modules that are followed from one to the next to where a stage is defined.
_MOST_STEPS = 10


def why_no_stage(module: str, name: str) -> str:
    """Why a module does not hold a stage of this name, as far as its source tells; empty if it does.

    Nothing is imported, not even the packages that the module is in.

    Parameters
    ----------
    module : str
        Its dotted name.
    name : str
        A class, or a function under ``@etendue.stage``, at the top level of the module, or imported there.
    """
    return _why_not(module, name, _MOST_STEPS)


def _why_not(module: str, name: str, steps: int) -> str:
    spec = _find(module)
    if spec is None:
        return f"there is no module {module!r}"
    try:
        source = spec.loader.get_source(module)  # type: ignore[union-attr]
    except (AttributeError, ImportError):
        source = None
    if source is None:
        return f"module {module!r} has no source to look at; register the stage as an entry point"
    is_package = spec.submodule_search_locations is not None
    return _why_not_in(source, name, module if is_package else module.rpartition(".")[0], module, steps)


def why_not_trusted(path: Path) -> str:
    """Why a file of stages is not run: who else could change it; empty if nobody could.

    Parameters
    ----------
    path : Path
        The file, without symbolic links.

    Raises
    ------
    OSError
        If it, or its folder, cannot be looked at.
    """
    if not hasattr(os, "geteuid"):  # not POSIX: owners say nothing there
        return ""
    trusted = [
        Path(folder).expanduser().resolve() for folder in os.environ.get(TRUST, "").split(":") if folder
    ]
    if any(path.is_relative_to(folder) for folder in trusted):
        return ""
    advice = f"look at it, and copy it into a folder of yours, or name its folder in {TRUST}"
    for place in (path, path.parent):
        facts = place.stat()
        if facts.st_uid not in (0, os.geteuid()):
            return f"{place} belongs to {_user(facts.st_uid)}, who could change what runs as you; {advice}"
        is_shared = facts.st_mode & stat.S_IWOTH and not (place != path and facts.st_mode & stat.S_ISVTX)
        if is_shared:
            return f"everyone may write to {place}, and could change what runs as you; {advice}"
    return ""


def _user(number: int) -> str:
    """A user's name, if it is known."""
    import pwd

    try:
        return f"user {pwd.getpwuid(number).pw_name!r}"
    except KeyError:
        return f"user {number}"


def why_no_stage_in(source: str, name: str, where: str) -> str:
    """Why a text of Python does not hold a stage of this name; empty if it does."""
    return _why_not_in(source, name, "", where, _MOST_STEPS)


def _why_not_in(source: str, name: str, package: str, where: str, steps: int) -> str:
    try:
        statements = list(_statements(ast.parse(source).body))
    except (SyntaxError, ValueError) as error:
        return f"{where} is not Python: {error}"
    found = [statement for statement in statements if name in _bound(statement)]
    found += [s for s in statements if isinstance(s, ast.ImportFrom) and s.names[0].name == "*"]
    for statement in found:
        match statement:
            case ast.ClassDef(bases=[_, *_]):
                return ""
            case ast.FunctionDef(decorator_list=decorators) if any(map(_is_stage, decorators)):
                return ""
            case ast.Assign(value=ast.Call(func=made)) if _is_stage(made):
                return ""
            case ast.Assign(value=ast.Name(id=other)) if other != name and steps:
                return _why_not_in(source, other, package, where, steps - 1)
            case ast.ImportFrom() if steps and not _why_not(*_origin(statement, name, package), steps - 1):
                return ""
    return f"{where} has no stage {name!r}: no class with a base, and no function under @etendue.stage"


def _find(module: str) -> ModuleSpec | None:
    """Where a module is, without importing what it is in."""
    if not module:
        return None
    path, spec, parts = None, None, module.split(".")
    for n in range(1, len(parts) + 1):
        name = ".".join(parts[:n])
        finders = (finder for finder in sys.meta_path if hasattr(finder, "find_spec"))
        spec = next((found for finder in finders if (found := finder.find_spec(name, path))), None)
        if spec is None:
            return None
        path = spec.submodule_search_locations
        if path is None and n < len(parts):
            return None
    return spec


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when a module is imported, also those under ``if``, ``try`` and ``with``."""
    for statement in body:
        yield statement
        for part in ("body", "orelse", "finalbody"):
            if isinstance(statement, ast.If | ast.Try | ast.With):
                yield from _statements(getattr(statement, part, []))
        for handler in getattr(statement, "handlers", []):
            yield from _statements(handler.body)


def _bound(statement: ast.stmt) -> list[str]:
    """Names that a statement gives something to."""
    match statement:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.ImportFrom(names=names):
            return [alias.asname or alias.name for alias in names]
    return []


def _is_stage(decorator: ast.expr) -> bool:
    """Whether this is ``stage``, ``et.stage``, or a call of it."""
    match decorator:
        case ast.Call(func=called):
            return _is_stage(called)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name == "stage"
    return False


def _origin(statement: ast.ImportFrom, name: str, package: str) -> tuple[str, str]:
    """Module and name that an import brings under a name."""
    module = "." * statement.level + (statement.module or "")
    if statement.level:
        try:
            module = resolve_name(module, package)
        except ImportError:
            module = ""  # of no package, where importing it would fail too
    brought = {alias.asname or alias.name: alias.name for alias in statement.names}
    return module, brought.get(name, name)
