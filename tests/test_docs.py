"""What the documents show works: every Python block of every page, and every example in a docstring."""

import doctest
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import pytest

import etendue

PAGES = [Path(__file__).parents[1] / "README.md", *sorted((Path(__file__).parents[1] / "docs").glob("*.md"))]
MODULES = [
    m.name for m in pkgutil.walk_packages(etendue.__path__, "etendue.") if not m.name.endswith("__main__")
]


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda p: p.name)
def test_page(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = compile("\n".join(blocks(page)), str(page), "exec")
    exec(code, {"__name__": "__main__"})


@pytest.mark.parametrize("name", ["etendue", *MODULES])
def test_docstrings(name):
    failed, _ = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0
