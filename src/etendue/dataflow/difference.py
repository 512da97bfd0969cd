"""What differs between two trees of plain values, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

_NOTHING = object()
#: Pairs of the same place in two lists; None where one of them has nothing there.
_Pairs = Iterator[tuple[int | None, int | None]]


def differences(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Say where two trees of dicts, lists and plain values differ, a line each.

    Stages (dicts with ``use``) and texts in lists are told by what they are, not by their position: one that
    was put in between does not make all after it differ.

    Examples
    --------
    >>> list(differences({"window": 7, "rule": "peak"}, {"window": 5, "rule": "peak"}))
    ['window: was 7, is 5']
    >>> list(differences([{"use": "A"}, {"use": "B"}], [{"use": "B"}], "stage"))
    ['stage[0] (A): was there, is not there']
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            below = f"{place}.{key}" if place else str(key)
            yield from differences(old.get(key, _NOTHING), new.get(key, _NOTHING), below)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _of_lists(old, new, place)
    elif old is _NOTHING:
        yield f"{place}: was not there, is {new!r}"
    elif new is _NOTHING:
        yield f"{place}: was {old!r}, is not there"
    elif old != new and not (old != old and new != new):  # NaN is NaN
        yield f"{place}: was {old!r}, is {new!r}"


def _of_lists(old: list[Any], new: list[Any], place: str) -> Iterator[str]:
    pairs = list(_aligned(old, new))
    gone = {_use(old[a]): a for a, b in pairs if b is None and _use(old[a])}
    for a, b in pairs:
        use = _use(old[a] if b is None else new[b])
        if not use:
            number = a if b is None else b
            was, is_now = (_NOTHING if n is None else of[n] for n, of in ((a, old), (b, new)))
            yield from differences(was, is_now, f"{place}[{number}]")
        elif a is None and use in gone:
            a = gone.pop(use)
            yield f"{place}[{a}] ({use}): is now {place}[{b}]"
            yield from differences(old[a], new[b], f"{place}[{b}] ({use})")
        elif a is None:
            yield f"{place}[{b}] ({use}): was not there, is there"
        elif b is not None:
            yield from differences(old[a], new[b], f"{place}[{b}] ({use})")
    for use, a in gone.items():
        yield f"{place}[{a}] ({use}): was there, is not there"


def _aligned(old: list[Any], new: list[Any]) -> _Pairs:
    """Which items of two lists are the same, or the same one changed; by position if they have no names."""
    if not all(isinstance(item, str) or _use(item) for item in [*old, *new]):
        yield from zip_longest(range(len(old)), range(len(new)))
        return
    for a, b in _blocks([repr(x) for x in old], [repr(x) for x in new]):
        for one, other in _blocks([_label(old[n]) for n in a], [_label(new[n]) for n in b]):
            if [_label(old[a[n]]) for n in one] == [_label(new[b[n]]) for n in other]:
                yield from ((a[n], b[m]) for n, m in zip(one, other, strict=True))
                continue
            yield from ((a[n], None) for n in one)
            yield from ((None, b[n]) for n in other)


def _blocks(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[range, range]]:
    """Stretches of two lists, alternately equal and different."""
    for _, a, a_end, b, b_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        yield range(a, a_end), range(b, b_end)


def _use(item: Any) -> str:
    """What a stage is an instance of; nothing for what is no stage."""
    return item.get("use", "") if isinstance(item, dict) else ""


def _label(item: Any) -> str:
    return _use(item) or repr(item)
