"""How kernels become machine code: each kernel that Python calls as one piece, with all that it calls.

By itself Numba makes of each function, and of each of its own that is called (`numpy.empty` once a dtype),
everything that a caller from Python or C might want: wrappers, an optimised module, machine code. Of what
only kernels call, nothing of that is ever used: the caller takes the function in and is optimised as a
whole. So a function that a kernel calls is here a `Part`, which ends where it is ready to be taken in. That
saves a third of the time and changes no result.

Numba's documented ways in are used for this (``pipeline_class``, the class of a dispatcher, the registry of
its just-in-time compilers), and ``tests/test_kernel.py`` says whether a new version of it still has them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from numba.core import types
from numba.core.compiler import Compiler, CompilerBase, DefaultPassBuilder
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import register_pass
from numba.core.registry import CPUDispatcher
from numba.core.target_extension import CPU, jit_registry
from numba.core.typed_passes import NativeLowering

from etendue.kernel_cache import KernelCache
from etendue.kernel_crew import await_kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

#: No ``fastmath``: NaN marks dead pixels and failed fits, and must stay NaN. Division by zero gives infinity
#: or NaN as in NumPy. Python's lock is let go.
OPTIONS = {"nopython": True, "boundscheck": None, "nogil": True, "error_model": "numpy"}

#: What was to be compiled or loaded in this process, with the types of the arguments.
asked: list[tuple[Kernel, tuple]] = []

#: A part is nobody's to call.
_BARE = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


@register_pass(mutates_CFG=True, analysis_only=False)
class _PartLowering(NativeLowering):
    """Lowering that leaves optimisation and machine code to the caller."""

    _name = "part_lowering"

    def run_pass(self, state: Any) -> bool:
        if state.library is None:
            state.library = state.targetctx.codegen().create_library(state.func_id.func_qualname)
            state.library._optimize_final_module = lambda: None
        mutated = super().run_pass(state)
        name = object()  # under which callers find it, in place of an address
        state.targetctx.insert_user_function(name, state.cr.fndesc, [state.library])
        state.reload_init.extend(state.library._reload_init)
        state.cr = state.cr._replace(cfunc=name)
        return mutated


class _PartCompiler(CompilerBase):
    """Numba's own passes, but for the last."""

    def define_pipelines(self) -> list:
        self.state.flags.no_compile = True
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [(_PartLowering if p is NativeLowering else p, text) for p, text in passes.passes]
        passes.finalize()
        return [passes]


class Part(CPUDispatcher):
    """A function as kernels see it: to be taken in by them, without an address of its own."""

    def __init__(self, function: Callable, options: dict[str, Any]) -> None:
        super().__init__(function, targetoptions={**options, **_BARE}, pipeline_class=_PartCompiler)

    def add_overload(self, result: Any) -> None:
        self.overloads[tuple(result.signature.args)] = result


class Kernel(CPUDispatcher):
    """A function as Python sees it: compiled at the first call, and kept on disk."""

    def __init__(
        self,
        py_func: Callable,
        locals: dict | None = None,
        targetoptions: dict[str, Any] | None = None,
        pipeline_class: type[CompilerBase] = Compiler,
    ) -> None:
        options = {"no_cfunc_wrapper": True, **(targetoptions or OPTIONS)}
        super().__init__(py_func, locals, options, pipeline_class)
        self.part = Part(py_func, options)
        self._cache = KernelCache(py_func)

    @property
    def _numba_type_(self) -> types.Dispatcher:
        """What another kernel that names this one gets; if it names itself, itself."""
        return types.Dispatcher(self if self.is_compiling else self.part)

    def is_kept(self, signature: tuple) -> bool:
        """Whether the machine code for arguments of these types is on disk."""
        return self._cache.is_kept(signature, self.targetctx)

    def compile(self, signature: Any) -> Any:
        asked.append((self, tuple(signature)))
        await_kernel(self)  # before the lock is taken, which who compiles another needs
        with global_compiler_lock, _library_as_parts():
            return super().compile(signature)


@contextmanager
def _library_as_parts() -> Iterator[None]:
    """Let what a kernel calls of Numba's own library be parts as well.

    Only one thread at a time compiles, for all of Numba; so nobody else sees the registry meanwhile. What
    others compile later may find such a part and take it in like any.
    """
    before = jit_registry[CPU]
    dict.__setitem__(jit_registry, CPU, _part_of_library)  # the registry itself lets nothing be replaced
    try:
        yield
    finally:
        dict.__setitem__(jit_registry, CPU, before)


def _part_of_library(**options: Any) -> Callable[[Callable], Part]:
    return lambda function: Part(function, {"boundscheck": None, **options})
