"""How kernels are compiled, kept, and told of."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core.target_extension import CPU, jit_registry

from etendue.compiler import Kernel
from etendue.kernel import kernel
from etendue.kernel_cache import digest
from etendue.kernel_progress import Compiling

FACTOR = 3.0


@kernel
def scaled(values: np.ndarray, factor: float) -> np.ndarray:
    result = np.empty(len(values))
    for i in range(len(values)):
        if values[i] == 99:
            raise ValueError("ninety-nine")
        result[i] = factor * values[i]
    return result


@kernel
def factorial(n: int) -> int:
    if n < 2:
        return 1
    return n * factorial(n - 1)


@kernel
def summed(values: np.ndarray) -> float:
    return scaled(values, FACTOR).sum()


@kernel
def factorials(n: int) -> int:
    return factorial(n) + factorial(n - 1)


def test_kernels_give_what_numba_gives():
    values = np.random.default_rng(1).normal(size=1000)
    options = {"nogil": True, "error_model": "numpy"}
    names = {**globals(), "scaled": numba.njit(**options)(scaled.py_func)}
    theirs = numba.njit(**options)(type(summed.py_func)(summed.py_func.__code__, names))
    assert summed(values) == theirs(values)
    np.testing.assert_array_equal(scaled(values, 0.1), 0.1 * values)  # a part of one, a kernel of its own


def test_kernels_may_call_themselves():
    assert (factorials(5), factorial(5), factorials(4)) == (144, 120, 30)


def test_errors_come_out_of_parts():
    with pytest.raises(ValueError, match="ninety-nine"):
        summed(np.array([1.0, 99.0]))


def test_what_a_kernel_calls_is_compiled_as_part_of_it():
    """With a new Numba too: else kernels work, but take twice as long to compile."""
    assert isinstance(scaled, Kernel)
    scaled.part.compile((numba.float64[::1], numba.float64))
    (part,) = scaled.part.overloads.values()
    assert not part.library._object_caching_enabled  # without machine code of its own
    assert not any("cpython" in name for name in part.library.get_llvm_str().split())
    assert jit_registry[CPU] is numba.jit  # what others compile is left alone


def test_kernels_of_others_can_call_ours():
    @numba.njit
    def theirs(values):
        return summed(values) + np.zeros(3, dtype=np.int16).sum()

    assert theirs(np.ones(2)) == 6.0


INNER = "from etendue.kernel import kernel\n@kernel\ndef inner(x):\n    return x + {}\n"
OUTER = (
    "import sys\nfrom etendue.kernel import kernel\nfrom inner import inner\n"
    "@kernel\ndef outer(x):\n    return 2 * inner(x)\n"
    "print(outer(3), sum(outer._cache_misses.values()), outer._cache.cache_path)\n"
)


def outer(folder: Path, **environment: str) -> tuple[int, int, str, str]:
    """Result of a small program, kernels that it compiled, where they are kept, and its standard error."""
    done = subprocess.run(
        [sys.executable, "outer.py"], cwd=folder, check=True, capture_output=True, text=True, timeout=120,
        env=os.environ | environment,
    )  # fmt: skip
    result, compiled, place = done.stdout.split()
    return int(result), int(compiled), place, done.stderr


@pytest.fixture
def program(tmp_path):
    (tmp_path / "inner.py").write_text(INNER.format(1))
    (tmp_path / "outer.py").write_text(OUTER)
    return tmp_path


def test_what_a_kernel_calls_in_another_file_belongs_to_its_key(program):
    cache = {"NUMBA_CACHE_DIR": str(program / "numba")}
    assert outer(program, **cache)[:2] == (8, 1)
    assert outer(program, **cache)[:2] == (8, 0)
    (program / "inner.py").write_text(INNER.format(5))
    assert outer(program, **cache)[:2] == (16, 1)


def test_numbers_that_a_kernel_names_belong_to_its_key(monkeypatch):
    before = digest(summed.py_func)
    monkeypatch.setitem(globals(), "FACTOR", 4.0)
    assert digest(summed.py_func) != before


def test_a_damaged_cache_is_made_anew(program):
    cache = {"NUMBA_CACHE_DIR": str(program / "numba")}
    outer(program, **cache)
    for file in (program / "numba").rglob("*.nbc"):
        file.write_bytes(file.read_bytes()[:100])
    result, compiled, _, _ = outer(program, **cache)
    assert (result, compiled) == (8, 1)


@pytest.mark.skipif(sys.platform == "win32", reason="files that stand in the way")
def test_without_a_place_to_write_kernels_go_to_a_temporary_folder(program):
    """Files where folders ought to be stop root as well."""
    (program / "__pycache__").write_text("")
    (program / "file").write_text("")
    (program / "tmp").mkdir()
    nowhere = {name: str(program / "file" / "x") for name in ("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME")}
    nowhere |= {"TMPDIR": str(program / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}
    result, compiled, place, said = outer(program, **nowhere)
    assert (result, compiled) == (8, 1)
    assert place.startswith(str(program / "tmp"))
    assert said.count("\n") == 1
    assert "compiled kernels go to" in said
    assert outer(program, **nowhere)[:2] == (8, 0)  # and the next process finds them
    (folder,) = (program / "tmp").iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)  # others could have put anything there
    assert outer(program, **nowhere)[:2] == (8, 1)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize("terminal", [False, True])
def test_compiling_is_told(terminal, monkeypatch):
    clock, error = Clock(), io.StringIO()
    error.isatty = lambda: terminal
    monkeypatch.setattr(sys, "stderr", error)
    compiling = Compiling(clock)
    compiling.total = 59
    for _ in range(12):
        compiling.begin("etendue.iact.pulses.integrate")
        clock.now += 2.0
        compiling.end()
    said = error.getvalue()
    if terminal:
        assert "\rkernels, once: 12 of 59  iact.pulses.integrate" in said.replace("\x1b[2K", "")
        assert said.endswith("\r\x1b[2K")
    else:
        assert said.splitlines() == [f"kernels, once: {n} of 59" for n in (2, 5, 8, 11)]


def test_short_compiling_and_quiet_runs_say_nothing(monkeypatch):
    clock, error = Clock(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", error)
    compiling = Compiling(clock)
    compiling.begin("a")
    clock.now += 0.5
    compiling.end()
    compiling.begin("b")
    compiling.quiet = True
    clock.now += 60
    compiling.end()
    compiling.begin("c")
    assert error.getvalue() == ""
