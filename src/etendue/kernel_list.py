"""Lists of kernels with what they are called with, as text: what has to be compiled before a pipeline runs.

A kernel is named ``module:function``. The types of its arguments are JSON: ``"int64"``; ``"float32 2C"``, an
array with its dimensions and layout (``" readonly"`` if it is); a list for a tuple, which begins with
``module:class`` if the tuple has names; ``{"default": value}`` for an argument that is left out; NumPy's
description of a record with ``array``, dimensions and layout, for an array of records.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from etendue.compiler import Kernel


@dataclass(frozen=True)
class Wanted:
    """A kernel with the types of its arguments, in which it is to be compiled.

    Parameters
    ----------
    kernel : str
        ``module:function``.
    signature : list
        One entry an argument; see above.
    """

    kernel: str
    signature: list[Any]

    @property
    def types(self) -> tuple:
        """The types as Numba's."""
        return tuple(map(decoded, self.signature))

    def find(self) -> Kernel:
        """The kernel.

        Raises
        ------
        ImportError, AttributeError
            If there is none such.
        """
        return _named(self.kernel)

    def is_kept(self) -> bool:
        """Whether it is compiled already: in this process, or on disk."""
        kernel = self.find()
        return self.types in kernel.overloads or kernel.is_kept(self.types)


def used() -> list[Wanted]:
    """What this process has compiled or loaded, in the order of use."""
    from etendue.compiler import asked

    return [Wanted(name_of(kernel), list(map(encoded, types))) for kernel, types in dict.fromkeys(asked)]


def name_of(kernel: Kernel) -> str:
    """How a list names a kernel."""
    return f"{kernel.py_func.__module__}:{kernel.py_func.__qualname__}"


def encoded(kind: Any) -> Any:
    """A type of Numba's as JSON.

    Raises
    ------
    TypeError
        If it is of a kind that lists do not have.
    """
    from numba.core import types

    match kind:
        case types.Array(aligned=True, dtype=types.Record() as record):
            from numba.np.numpy_support import as_dtype

            dtype = as_dtype(record)
            fields = [dtype.fields[name] for name in dtype.names]
            return {
                "names": list(dtype.names),
                "formats": [field[0].str for field in fields],
                "offsets": [field[1] for field in fields],
                "itemsize": dtype.itemsize,
                "aligned": record.aligned,
                "array": f"{kind.ndim}{kind.layout}{'' if kind.mutable else ' readonly'}",
            }
        case types.Array(aligned=True):
            return f"{kind.dtype} {kind.ndim}{kind.layout}{'' if kind.mutable else ' readonly'}"
        case types.NamedTuple() | types.NamedUniTuple():
            cls = kind.instance_class
            return [f"{cls.__module__}:{cls.__qualname__}", *map(encoded, kind)]
        case types.BaseTuple():
            return ["", *map(encoded, kind)]
        case types.Omitted(value=bool() | int() | float() | None as value):
            return {"default": value}
        case types.Number() | types.Boolean() | types.NoneType():
            return str(kind)
        case types.NumPyRandomGeneratorType():
            return "npy_rng"
    raise TypeError(f"a list of kernels has no word for {kind!r}")


def decoded(entry: Any) -> Any:
    """The type of Numba's that a list's entry stands for."""
    from numba.core import types

    match entry:
        case {"default": value}:
            return types.Omitted(value)
        case {"array": shape, **record}:
            from numba.np.numpy_support import from_dtype
            from numpy import dtype as numpy_dtype

            align = record.pop("aligned")
            shape, *more = shape.split(" ")
            made = from_dtype(numpy_dtype(record, align=align))
            return types.Array(made, int(shape[:-1]), shape[-1], readonly=more == ["readonly"])
        case [str() as name, *items]:
            kinds = list(map(decoded, items))
            if not name:
                return types.Tuple(kinds)
            cls = _named(name)
            same = len(set(kinds)) == 1
            return types.NamedUniTuple(kinds[0], len(kinds), cls) if same else types.NamedTuple(kinds, cls)
        case str() if " " in entry:
            dtype, shape, *more = entry.split(" ")
            return types.Array(decoded(dtype), int(shape[:-1]), shape[-1], readonly=more == ["readonly"])
        case str():
            return getattr(types, entry)
    raise TypeError(f"a list of kernels has no entry {entry!r}")


def _named(name: str) -> Any:
    module, _, path = name.partition(":")
    found: Any = import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found
