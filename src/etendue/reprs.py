"""How objects show themselves: ten lines of text, and in notebooks a small table in which all is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

#: Lines of a text, and characters of a line, at most.
LINES, WIDTH = 10, 110
#: Rows of all foldable tables of one object in a notebook: some tens of kB.
ROWS = 150

#: A heading with a table below it: heads of the columns, and rows.
Section = tuple[str, Sequence[str], Iterable[Sequence[str]]]


class Legible:
    """Something that says in a few lines what it is. Dataclasses need ``repr=False`` beside it."""

    def facts(self) -> Mapping[str, str]:
        """What people want to know, in the order in which they want to know it."""
        raise NotImplementedError

    def sections(self) -> Iterable[Section]:
        """What a notebook shows when it is unfolded."""
        return ()

    def __repr__(self) -> str:
        return lines(f"<{type(self).__name__}>", self.facts())

    def _repr_html_(self) -> str:
        return card(type(self).__name__, self.facts(), self.sections())


def lines(title: str, facts: Mapping[str, str], most: int = LINES) -> str:
    """Facts below a title, one a line; cut to ``most`` lines of `WIDTH` characters."""
    width = max(map(len, facts), default=0)
    told = [title, *(f"  {key:<{width}}  {value}" for key, value in facts.items())]
    if len(told) > most:
        told[most - 1 :] = [f"  ... and {len(told) - most + 1} more"]
    return "\n".join(cut(line.replace("\n", " ")) for line in told)


def cut(text: str, width: int = WIDTH) -> str:
    """A text that is not longer than a line."""
    return text if len(text) <= width else f"{text[: width - 3]}..."


def some_of(items: Iterable[object], most: int = 8) -> str:
    """The first items, and how many more there are."""
    names = [str(item) for item in items]
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def card(title: str, facts: Mapping[str, str], sections: Iterable[Section] = ()) -> str:
    """Facts as a table of HTML, with sections to unfold; names come from files, so all is escaped."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(key)}</th>"
        f"<td style='text-align:left'>{escape(cut(value, 5 * WIDTH))}</td></tr>"
        for key, value in facts.items()
    )
    folded = "".join(_sections(sections))
    return f"<div><b>{escape(title)}</b><table>{rows}</table>{folded}</div>"


def _sections(sections: Iterable[Section]) -> Iterator[str]:
    left = ROWS
    for heading, heads, rows in sections:
        rows = list(rows)
        shown = rows[: max(left, 0)]
        left -= len(shown)
        head = "".join(f"<th style='text-align:left'>{escape(name)}</th>" for name in heads)
        body = "".join(_row(row) for row in shown)
        if len(rows) > len(shown):
            body += f"<tr><td colspan='{len(heads)}'>... and {len(rows) - len(shown):,} more</td></tr>"
        yield f"<details><summary>{escape(heading)}</summary><table><tr>{head}</tr>{body}</table></details>"


def _row(cells: Sequence[str]) -> str:
    told = (f"<td style='text-align:left'>{escape(cut(str(cell)))}</td>" for cell in cells)
    return f"<tr>{''.join(told)}</tr>"


class _CollapsedDict(dict):
    def __repr__(self) -> str:
        return f"<{len(self)} entries: {cut(', '.join(map(str, self)), 60)}>"


class _CollapsedList(list):
    def __repr__(self) -> str:
        return f"<{len(self)} entries>"


def collapsed[T](value: T) -> T:
    """The same mapping or list, which shows but its size if its text is longer than a line."""
    if len(repr(value)) <= WIDTH:
        return value
    kinds = {dict: _CollapsedDict, list: _CollapsedList}
    return kinds[type(value)](value) if type(value) in kinds else value
