"""Cuts as text: ``hillas_intensity > 50 and hillas_width < 0.1``, to a checked tree, to marks of rows.

The text is parsed by Python's parser into a tree of which only the nodes listed here are allowed; nothing of
it is ever run as Python. A value that is NaN makes a comparison neither true nor false but unknown, and
unknown it stays under ``not``: a row is kept only if the cut is surely true of it.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from etendue.errors import EtendueError

#: Most characters of a cut.
LONGEST = 10_000

FUNCTIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "abs": np.abs,
    "sqrt": np.sqrt,
    "log10": np.log10,
    "isnan": np.isnan,
    "isfinite": np.isfinite,
}
#: Functions whose result is a condition.
TESTS = ("isnan", "isfinite")
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
_ARITHMETIC: Mapping[type[ast.operator], Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
#: A reference within a cut; ``@kind/column`` is no Python. Divisions have spaces around them.
_REFERENCE = re.compile(r"@?[A-Za-z_]\w*(?:/[A-Za-z_]\w*)+|@[A-Za-z_]\w*")
#: Text in quotes, within which nothing is a reference.
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


class CutError(EtendueError, ValueError):
    """A cut that cannot be understood: says where, and what to write."""


class Cut(NamedTuple):
    """A cut that was understood.

    Parameters
    ----------
    tree : ast.expr
        Allowed nodes only; columns are ``Name`` nodes.
    names : tuple of str
        The columns that it is about, in order, as they are written: ``column`` or ``table/column``.
    """

    tree: ast.expr
    names: tuple[str, ...]


class Marks(NamedTuple):
    """Of each row, whether a condition is surely true, and whether it is surely false."""

    true: np.ndarray
    false: np.ndarray


@lru_cache(maxsize=256)
def parse(text: str) -> Cut:
    """Parse a cut.

    Raises
    ------
    CutError
        If it is none; names the place in it and what is allowed.
    """
    if len(text) > LONGEST:
        raise CutError(f"the cut has {len(text)} characters; {LONGEST} are the most")
    written: dict[str, str] = {}
    try:
        tree = ast.parse(_as_python(text, written).strip(), mode="eval").body
        names = _Checker(written).check(tree)
    except SyntaxError as error:
        raise CutError(
            f"{text!r} is not a cut: {error.msg}; write it as in 'charge > 5 and not noisy'"
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, CutError):
            raise CutError(f"{text!r}: {error}") from None
        raise CutError(f"{text[:60]!r}... is not a cut: it is nested too deeply, or no text") from None
    return Cut(tree, names)


def _as_python(text: str, written: dict[str, str]) -> str:
    """The text with references in place of which stand names, told in ``written``."""

    def name_of(match: re.Match[str]) -> str:
        name = f"_{len(written)}_"
        written[name] = match[0]
        return name

    parts, start = [], 0
    for quoted in [*_QUOTED.finditer(text), None]:
        end = quoted.start() if quoted else len(text)
        parts.append(_REFERENCE.sub(name_of, text[start:end]))
        parts.append(quoted[0] if quoted else "")
        start = quoted.end() if quoted else end
    return "".join(parts)


class _Checker:
    """Sees that a tree has allowed nodes only, and collects the names of its columns."""

    def __init__(self, written: Mapping[str, str]) -> None:
        self.written = written
        self.names: dict[str, None] = {}

    def check(self, tree: ast.expr) -> tuple[str, ...]:
        self.condition(tree)
        if not self.names:
            raise CutError("it names no column")
        return tuple(self.names)

    def condition(self, node: ast.expr) -> None:
        match node:
            case ast.BoolOp(values=values):
                for value in values:
                    self.condition(value)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                self.condition(operand)
            case ast.Compare(left=left, ops=ops, comparators=right):
                self.value(left)
                for op, side in zip(ops, right, strict=True):
                    self.comparison(op, side)
            case ast.Call(func=ast.Name(id=name)) if name in TESTS:
                self.call(node)
            case ast.Name():
                self.name(node)
            case _:
                raise CutError(f"{_source(node)} is not a condition; {_advice(node)}")

    def comparison(self, op: ast.cmpop, side: ast.expr) -> None:
        if isinstance(op, (ast.In, ast.NotIn)):
            members = side.elts if isinstance(side, (ast.Tuple, ast.List)) else ()
            if not members or not all(isinstance(member, ast.Constant) for member in members):
                raise CutError("after 'in' comes a list of numbers or texts, as in 'event_type in (0, 32)'")
            for member in members:
                self.value(member)
        elif type(op) in _COMPARISONS:
            self.value(side)
        else:
            raise CutError("compare with < <= > >= == != or in")

    def value(self, node: ast.expr) -> None:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() as value):
                if isinstance(value, float) and not math.isfinite(value):
                    raise CutError(f"{value} is no number to compare with; use isfinite(...) or isnan(...)")
            case ast.Name():
                self.name(node)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                self.value(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                self.value(left)
                self.value(right)
            case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS and name not in TESTS:
                self.call(node)
            case _:
                raise CutError(f"{_source(node)} is not a value; {_advice(node)}")

    def call(self, node: ast.Call) -> None:
        if len(node.args) != 1 or node.keywords:
            raise CutError(f"{_source(node)}: a function takes one value")
        self.value(node.args[0])

    def name(self, node: ast.Name) -> None:
        node.id = self.written.get(node.id, node.id)
        if node.id.startswith("@") and "/" not in node.id:
            raise CutError(f"{node.id} names no column; write {node.id}/column")
        self.names[node.id] = None


def _advice(node: ast.expr) -> str:
    """What to write in place of a node that is not allowed."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.BitOr)):
        return "write 'and', 'or' between conditions"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        return "write 'not' before a condition"
    if isinstance(node, ast.Call):
        return f"the functions are {', '.join(FUNCTIONS)}"
    return "a cut has comparisons of columns and numbers, with 'and', 'or', 'not', + - * / % ** and ( )"


def _source(node: ast.expr) -> str:
    return repr(ast.unparse(node))


def evaluate(cut: Cut, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """The rows of which a cut is surely true.

    Parameters
    ----------
    cut : Cut
        What `parse` returned.
    columns : mapping of str to array, shape (n,)
        The columns by the names that the cut has for them: numbers, bool or text.

    Returns
    -------
    bool array, shape (n,)

    Raises
    ------
    CutError
        If text is compared with a number, or a number taken for a condition.
    """
    n_rows = len(next(iter(columns.values())))
    with np.errstate(all="ignore"):
        true = _condition(cut.tree, columns).true
    return np.broadcast_to(true, n_rows).copy()


def _condition(node: ast.expr, columns: Mapping[str, np.ndarray]) -> Marks:
    match node:
        case ast.BoolOp(op=ast.And(), values=values):
            parts = [_condition(value, columns) for value in values]
            return Marks(_all(p.true for p in parts), ~_all(~p.false for p in parts))
        case ast.BoolOp(values=values):
            parts = [_condition(value, columns) for value in values]
            return Marks(~_all(~p.true for p in parts), _all(p.false for p in parts))
        case ast.UnaryOp(operand=operand):
            marks = _condition(operand, columns)
            return Marks(marks.false, marks.true)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            sides = [left, *comparators]
            links = [_compare(*link, columns) for link in zip(sides, ops, comparators, strict=False)]
            return Marks(_all(p.true for p in links), ~_all(~p.false for p in links))
        case ast.Name(id=name):
            column = columns[name]
            if column.dtype.kind != "b":
                raise CutError(f"{name} is not a condition but of {column.dtype}; compare it with something")
            return Marks(column, ~column)
        case ast.Call(func=ast.Name(id=name), args=[argument]):
            value = FUNCTIONS[name](_number(argument, columns))
            return Marks(value, ~value)
    raise AssertionError(node)


def _all(parts: object) -> np.ndarray:
    return np.logical_and.reduce(np.broadcast_arrays(*parts))


def _compare(left: ast.expr, op: ast.cmpop, right: ast.expr, columns: Mapping[str, np.ndarray]) -> Marks:
    if isinstance(op, (ast.In, ast.NotIn)):
        links = [_compare(left, ast.Eq(), member, columns) for member in right.elts]
        marks = Marks(~_all(~p.true for p in links), _all(p.false for p in links))
        return marks if isinstance(op, ast.In) else Marks(marks.false, marks.true)
    a, b = _value(left, columns), _value(right, columns)
    if _is_text(a) != _is_text(b):
        raise CutError(f"{_source(ast.Compare(left, [op], [right]))} compares text with a number")
    if _is_text(a):
        a, b = (np.asarray(side).astype(np.dtypes.StringDType()) for side in (a, b))
    found = _COMPARISONS[type(op)](*_alike(a, b))
    known = ~(_is_nan(a) | _is_nan(b))
    return Marks(found & known, ~found & known)


def _alike(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sides as doubles if one is a float: a number is what is written, not its nearest float32."""
    if "f" in (a.dtype.kind, b.dtype.kind):
        return a.astype(np.float64), b.astype(np.float64)
    return a, b


def _is_text(value: np.ndarray) -> bool:
    return value.dtype.kind in "UTO"


def _is_nan(value: np.ndarray) -> np.ndarray:
    return np.isnan(value) if value.dtype.kind == "f" else np.zeros(value.shape, dtype=bool)


def _value(node: ast.expr, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    match node:
        case ast.Constant(value=value):
            # A whole number beyond 64 bits is compared as a double.
            return np.asarray(float(value) if isinstance(value, int) and abs(value) >= 2**63 else value)
        case ast.Name(id=name):
            return columns[name]
        case ast.UnaryOp(op=op, operand=operand):
            value = _number(operand, columns)
            return -value if isinstance(op, ast.USub) else value
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _number(left, columns), _number(right, columns)
            exact = isinstance(op, (ast.Add, ast.Sub, ast.Mod)) and (a.dtype.kind, b.dtype.kind) == ("i", "i")
            if not exact or (isinstance(op, ast.Mod) and np.any(b == 0)):
                a, b = a.astype(np.float64), b.astype(np.float64)
            return _ARITHMETIC[type(op)](a, b)
        case ast.Call(func=ast.Name(id=name), args=[argument]):
            return FUNCTIONS[name](_number(argument, columns))
    raise AssertionError(node)


def _number(node: ast.expr, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """A value to calculate with: int64 or float64, so that no unsigned difference wraps."""
    value = _value(node, columns)
    if _is_text(value):
        raise CutError(f"{_source(node)} is text; it cannot be calculated with")
    whole = value.dtype.kind in "bi" or (value.dtype.kind == "u" and value.dtype.itemsize < 8)
    return value.astype(np.int64 if whole else np.float64)
