"""What differs between two trees of plain values, in words."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

_NOTHING = object()


def differences(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Say where two trees of dicts, lists and plain values differ, a line each.

    Examples
    --------
    >>> list(differences({"window": 7, "rule": "peak"}, {"window": 5, "rule": "peak"}))
    ['window: was 7, is 5']
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            below = f"{place}.{key}" if place else str(key)
            yield from differences(old.get(key, _NOTHING), new.get(key, _NOTHING), below)
    elif isinstance(old, list) and isinstance(new, list):
        for position, pair in enumerate(zip_longest(old, new, fillvalue=_NOTHING)):
            yield from differences(*pair, f"{place}[{position}]")
    elif old is _NOTHING:
        yield f"{place}: was not there, is {new!r}"
    elif new is _NOTHING:
        yield f"{place}: was {old!r}, is not there"
    elif old != new:
        yield f"{place}: was {old!r}, is {new!r}"
