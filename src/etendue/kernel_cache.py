"""Where machine code is kept: Numba's files, with a place for them everywhere, and a key that holds all.

Numba keeps a kernel under the bytes of its file. What the kernel calls may stand in other files; so after an
update of one of them Numba would go on with the machine code of before. Here the key also holds the code of
all that a kernel calls, and the numbers that it takes from modules.
"""

from __future__ import annotations

import logging
import os
import pickle
import stat
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from numba.core.caching import CompileResultCacheImpl, FunctionCache, UserProvidedCacheLocator

from etendue.kernel_progress import compiling

log = logging.getLogger(__name__)


class _TemporaryLocator(UserProvidedCacheLocator):
    """Keeps kernels in a temporary folder, for where nothing else can be written."""

    def __init__(self, function: Callable, file: str) -> None:
        super().__init__(function, file)
        self._cache_path = os.path.join(temporary_folder(), self.get_suitable_cache_subpath(file))

    @classmethod
    def from_function(cls, function: Callable, file: str) -> _TemporaryLocator:
        locator = cls(function, file)
        locator.ensure_cache_path()
        return locator


@cache
def temporary_folder() -> str:
    """A folder for kernels that only this user can write; the same one in the next process, if it can be."""
    folder = Path(tempfile.gettempdir()) / f"etendue-kernels-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
            raise PermissionError(f"{folder} is not ours alone")
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="etendue-kernels-"))
    log.warning(
        "compiled kernels go to %s: no other place can be written (NUMBA_CACHE_DIR, the package, ~/.cache)",
        folder,
    )
    return str(folder)


class _Impl(CompileResultCacheImpl):
    _locator_classes = (*CompileResultCacheImpl._locator_classes, _TemporaryLocator)


class KernelCache(FunctionCache):
    """Numba's cache of one function, for `etendue.compiler.Kernel`."""

    _impl_class = _Impl

    def load_overload(self, signature: Any, context: Any) -> Any:
        try:
            found = super().load_overload(signature, context)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            log.warning("compiled %s cannot be read, and is compiled again: %s", self._name, error)
            found = None
        if found is None:
            compiling.begin(f"{self._py_func.__module__}.{self._py_func.__qualname__}")
        return found

    def save_overload(self, signature: Any, result: Any) -> None:
        compiling.end()
        try:
            super().save_overload(signature, result)
        except OSError as error:  # of a full disk, say: the kernel works, and is compiled again next time
            log.warning("compiled kernels cannot be kept: %s", error)
            self.disable()

    def _index_key(self, signature: Any, codegen: Any) -> tuple:
        return (*super()._index_key(signature, codegen), self._code)

    @cached_property
    def _code(self) -> str:
        return digest(self._py_func)

    def is_kept(self, signature: Any, context: Any) -> bool:
        """Whether the machine code is on disk."""
        context.refresh()
        try:
            return self._index_key(signature, context.codegen()) in self._cache_file._load_index()
        except (OSError, EOFError, pickle.UnpicklingError):  # damaged: it is made anew
            return False


def digest(function: FunctionType) -> str:
    """SHA-256 of the code of a function and of all that it calls, with the numbers that it names."""
    hasher = sha256()
    for called, code in _called(function):
        constants = [c for c in code.co_consts if not isinstance(c, CodeType)]
        hasher.update(repr((code.co_code, constants, code.co_names)).encode())
        for value in _named(called, code):
            if _function_of(value) is not None:
                continue
            if isinstance(value, (bool, int, float, complex, str, bytes, tuple, np.generic)):
                hasher.update(repr(value).encode())
            elif isinstance(value, np.ndarray):
                hasher.update(value.tobytes())
    return hasher.hexdigest()


def size(function: FunctionType) -> int:
    """Bytes of the code of a function and of all that it calls."""
    return sum(len(code.co_code) for _, code in _called(function))


def _called(function: FunctionType) -> Iterator[tuple[FunctionType, CodeType]]:
    """The code of a function and of all that it calls, each with the function that it is of."""
    seen, todo = set(), [function]
    while todo:
        function = todo.pop()
        if function in seen:
            continue
        seen.add(function)
        for code in _codes(function.__code__):
            todo += filter(None, map(_function_of, _named(function, code)))
            yield function, code


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code of a function, and of those inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _named(function: FunctionType, code: CodeType) -> Iterator[Any]:
    """Values of the names that code takes from its module, from closures and from modules of this package."""
    names = [function.__globals__[name] for name in code.co_names if name in function.__globals__]
    ours = function.__module__.partition(".")[0]
    for value in names + [cell.cell_contents for cell in function.__closure__ or ()]:
        yield value
        if isinstance(value, ModuleType) and value.__name__.partition(".")[0] == ours:
            yield from (getattr(value, name) for name in code.co_names if hasattr(value, name))


def _function_of(value: Any) -> FunctionType | None:
    """The Python function behind a kernel or an intrinsic."""
    for name in ("py_func", "_defn"):
        if isinstance(function := getattr(value, name, None), FunctionType):
            return function
    return None
