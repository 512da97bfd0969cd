"""The order of the pages is that of the tables on the index page, which are read in a repository, too.

A directive would stand there as a block of code. So the index holds plain tables under headings, and each
table is followed, for Sphinx alone, by the hidden table of contents of the pages that it links to.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([\w/.-]+)\.(?:md|rst)\)")
#: Pages that are made with the site, which nothing in a repository can link to: they end the last section.
MADE = ("api/index",)


def with_contents(index: str) -> str:
    """Add to each section of the index page the table of contents of the pages that it links to."""
    parts = HEADING.split(index)
    text = [parts[0]]
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        made = MADE if body is parts[-1] else ()
        pages = "\n".join(dict.fromkeys([*LINK.findall(body), *made]))
        contents = f"```{{toctree}}\n:hidden:\n:caption: {title}\n\n{pages}\n```\n" if pages else ""
        text += [f"## {title}", body.rstrip() + "\n\n", contents]
    return "".join(f"{part}\n" if part.startswith("## ") else part for part in text)


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    if page == app.config.root_doc:
        source[0] = with_contents(source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
