"""Code that no installed package holds, made comparable: functions and classes of notebooks, scripts, files.

What is compared is the bytecode that runs, since the text of a file may have changed after it was imported;
between different versions of Python, whose bytecode differs, it is the text without comments. With a
function go the values and the functions that it uses: globals, defaults, what it has closed over.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import textwrap
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from etendue.dataflow.stage_files import file_label

#: Bytecode of other versions cannot be compared.
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
#: Folders of installed packages, in whatever environment.
_LIBRARIES = frozenset({"site-packages", "dist-packages"})
#: Beginnings of names of what pydantic and Python keep in a class: none of it is its author's.
_KEPT = ("__pydantic", "__class_vars", "__abstract", "_abc", "model_config")
#: Packages of which nothing is told: etendue's version is told in any case, pydantic is only the base.
UNTOLD = ("etendue", "pydantic", "builtins")


def is_own(module: str | None) -> bool:
    """Whether a module is neither of etendue, nor of Python, nor installed as a package."""
    if module == "__main__":
        return True  # also where a package started it, as that of notebooks does
    top = (module or "").partition(".")[0]
    if not top or top in ("etendue", "builtins") or top in sys.stdlib_module_names:
        return False
    files = (getattr(sys.modules.get(name), "__file__", None) for name in (module, top))
    return not any(_LIBRARIES & set(Path(file).parts) for file in files if file)


@dataclass
class Fingerprint:
    """What a function or a class consists of.

    Parameters
    ----------
    parts : dict of str to str
        A checksum of each function, class and value that is used (SHA-256 in hexadecimal), by name. Of code
        it stands between the version of Python and that of its text; of packages it is the version.
    texts : set of str
        Texts that stand in the code or are used by it: some may name files.
    """

    parts: dict[str, str]
    texts: set[str]

    @classmethod
    def of(cls, made: FunctionType | type) -> Fingerprint:
        """Take a function or a class apart, and all that it uses."""
        found = _Parts()
        found.enter(made.__qualname__, made)
        return cls(found.parts, found.texts)


def same_part(old: str, new: str) -> bool:
    """Whether two checksums of a `Fingerprint` are of the same code or value."""
    was, now = old.split(), new.split()
    if len(was) == len(now) == 3 and was[0] != now[0]:
        return was[2] == now[2] != "-"
    return was[:2] == now[:2]


class _Parts:
    """Collects the parts of a function or class, and of what these use."""

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}
        self.texts: set[str] = set()
        self._seen: dict[int, Any] = {}  # with the objects, so that no id is used again

    def enter(self, name: str, part: Any) -> None:
        """Enter a value under a name, or code under its own."""
        part = _unwrapped(part)
        if isinstance(part, ModuleType):
            if not is_own(part.__name__):
                self._enter_library(part.__name__)
            return
        if isinstance(part, (FunctionType, type)):
            if id(part) in self._seen:
                return
            self._seen[id(part)] = part
            if not is_own(part.__module__):
                self._enter_library(part.__module__)
            elif isinstance(part, type):
                self._enter_class(part)
            else:
                self._enter_function(part)
        elif isinstance(part, property):
            for function in filter(None, (part.fget, part.fset)):
                self.enter(name, function)
        elif isinstance(part, MethodType):
            self.enter(name, part.__self__)
            self.enter(name, part.__func__)
        elif not isinstance(part, BuiltinFunctionType):
            if isinstance(part, (str, PurePath)):
                self.texts.add(str(part))
            codes: list[Any] = []
            self._put(name, _digest(part, codes))
            for code in codes:
                self.enter("", code)

    def _put(self, name: str, part: str) -> None:
        """Note a part; of others with its name, all are kept."""
        number = 1
        while self.parts.get(numbered := name if number == 1 else f"{name} ({number})", part) != part:
            number += 1
        self.parts[numbered] = part

    def _enter_library(self, module: str | None) -> None:
        top = (module or "").partition(".")[0]
        version = getattr(sys.modules.get(top), "__version__", None)
        if version and top not in UNTOLD:
            self.parts[f"package {top}"] = str(version)

    def _enter_function(self, function: FunctionType) -> None:
        code = function.__code__
        name = _name(function)
        self._put(f"code of {name}", f"{PYTHON} {_bytecode(code)} {_text(function)}")
        self.texts |= {c for each in _codes(code) for c in each.co_consts if isinstance(c, str)}
        defaults = dict(enumerate(function.__defaults__ or ())) | (function.__kwdefaults__ or {})
        for of, value in defaults.items():
            self.enter(f"default {of} of {name}", value)
        for of, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            if not _is_empty(cell):
                self.enter(f"{of} in {name}", cell.cell_contents)
        names = dict.fromkeys(used for each in _codes(code) for used in each.co_names)
        for used in names:
            if used in function.__globals__:
                value = function.__globals__[used]
                self.enter(_global_name(function.__module__, used), value)
                if isinstance(value, ModuleType) and is_own(value.__name__):
                    self._enter_attributes(value, names)

    def _enter_attributes(self, module: ModuleType, names: dict[str, None]) -> None:
        """What a function uses of a module beside it."""
        for name in names.keys() & vars(module).keys():
            self.enter(_global_name(module.__name__, name), vars(module)[name])

    def _enter_class(self, cls: type) -> None:
        name = _name(cls)
        for attribute, value in vars(cls).items():
            if attribute.startswith(_KEPT) or inspect.ismemberdescriptor(value):
                continue
            if attribute.startswith("__") and not callable(_unwrapped(value)):
                continue
            self.enter(f"{name}.{attribute}", value)
        for field in getattr(cls, "__pydantic_fields__", {}).values():
            for kind in _classes_in(field.annotation):
                self.enter("", kind)
        for base in cls.__bases__:
            self.enter("", base)


def _unwrapped(part: Any) -> Any:
    """The function under decorators: of numba, of functools, of classes."""
    if isinstance(part, (type, ModuleType, MethodType)):
        return part
    for attribute in ("__func__", "py_func", "__wrapped__"):
        if inspect.getattr_static(part, attribute, None) is not None:
            return _unwrapped(getattr(part, attribute))
    return part


def _classes_in(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _classes_in(inner)


def _is_empty(cell: Any) -> bool:
    try:
        return cell.cell_contents is cell
    except ValueError:
        return True


def _name(made: FunctionType | type) -> str:
    return _global_name(made.__module__, made.__qualname__)


def _global_name(module: str, name: str) -> str:
    if module == "__main__":
        return name
    return f"{file_label(module) or module}.{name}"


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A code object, and those of functions in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _bytecode(code: CodeType) -> str:
    """SHA-256 of what runs: not of names of files, numbers of lines, or the docstring."""
    found = hashlib.sha256()
    for each in _codes(code):
        constants = [None if isinstance(c, CodeType) else c for c in each.co_consts]
        if _has_docstring(each):
            constants[0] = None
        names = (each.co_names, each.co_varnames, each.co_freevars, each.co_cellvars)
        found.update(each.co_code + repr(names).encode() + _digest(constants, []).encode())
    return found.hexdigest()


def _has_docstring(code: CodeType) -> bool:
    """Whether the first constant is the docstring."""
    if sys.version_info >= (3, 13):
        return bool(code.co_flags & inspect.CO_HAS_DOCSTRING)
    return not code.co_name.startswith("<") and isinstance(next(iter(code.co_consts), None), str)


def _text(function: FunctionType) -> str:
    """SHA-256 of the text of a function without its comments; ``-`` if it cannot be had."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError, tokenize.TokenError):
        return "-"
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()


def plain(value: Any) -> Any:
    """A value as JSON knows it: a number of NumPy as such, anything else by its type and contents."""
    if isinstance(value, np.generic):
        return value.item()
    found = _Parts()
    found.enter("value", value)
    parts = [f"{name} {part.split()[:2]}\n" for name, part in sorted(found.parts.items())]
    return {"type": type(value).__qualname__, "sha256": hashlib.sha256("".join(parts).encode()).hexdigest()}


def _digest(value: Any, codes: list[Any]) -> str:
    """SHA-256 of a value by its contents, the same in every process; code in it is added to ``codes``."""
    found = hashlib.sha256()
    try:
        for piece in _pieces(value, (), codes):
            found.update(len(piece).to_bytes(8))
            found.update(piece)
    except RecursionError:
        found.update(b"deeper than can be followed")
    return found.hexdigest()


def _pieces(value: Any, around: tuple[int, ...], codes: list[Any]) -> Iterator[bytes]:
    """A value as bytes, piece by piece; ``around`` are the ids of what it is in."""
    yield type(value).__qualname__.encode()
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
        yield repr(value).encode()
        return
    if id(value) in around:
        yield f"again, {around.index(id(value))} from the outermost".encode()
        return
    code, around = _unwrapped(value), (*around, id(value))
    if isinstance(code, (FunctionType, type, ModuleType, BuiltinFunctionType)):
        yield f"{getattr(code, '__module__', '')} {getattr(code, '__qualname__', code)}".encode()
        codes.append(code)
    elif isinstance(value, np.ndarray) and value.dtype.kind not in "OT":
        yield f"{value.dtype.descr} {value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, (set, frozenset)):
        yield from sorted(_digest(item, codes).encode() for item in value)
    else:
        for item in _items(value):
            yield from _pieces(item, around, codes)


def _items(value: Any) -> Iterable[Any]:
    """What a value holds; of objects, what pickling takes them apart into, or nothing if it cannot."""
    if isinstance(value, np.ndarray):
        return (value.shape, value.tolist())
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, (list, tuple)):
        return value
    try:
        parts = value.__reduce_ex__(4)
    except Exception:  # whatever the author of its class raises
        return ()
    if isinstance(parts, str):
        return (parts,)
    return [list(part) if isinstance(part, Iterator) else part for part in parts]
