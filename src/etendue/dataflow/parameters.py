"""Parameters of stages: what no value may be, and kinds of values that several stages take."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

#: Text that names something: not empty.
Name = Annotated[str, Field(min_length=1)]


class Brought:
    """Marks a parameter that names a file, whose contents are part of what a stage is."""


#: A file, or a folder of files, that a stage brings from outside; empty for none.
BroughtFile = Annotated[str, Brought()]
#: One that has to be given.
RequiredFile = Annotated[BroughtFile, Field(min_length=1)]


def _ascending[T](ends: tuple[T, T]) -> tuple[T, T]:
    if ends[0] > ends[1]:
        raise ValueError(f"{ends[0]} is more than {ends[1]}: give the lesser first")
    return ends


#: First and last of a range of whole numbers, both of which belong to it.
IntRange = Annotated[tuple[int, int], AfterValidator(_ascending)]
#: Least and greatest value of a range.
FloatRange = Annotated[tuple[float, float], AfterValidator(_ascending)]


def check_known(given: Iterable[str], fields: Iterable[str]) -> None:
    """See that all parameters that were given are known.

    Raises
    ------
    ValueError
        If one is not; names the nearest.
    """
    known = list(fields)
    for name in given:
        if name not in known:
            raise ValueError(unknown("parameter", name, known))


def check_finite(values: Iterable[tuple[str, Any]]) -> None:
    """See that no parameter, nor anything within one, is NaN or infinite.

    Raises
    ------
    ValueError
        If one is; names it.
    """
    for name, value in values:
        for place, number in _numbers(name, value):
            if not math.isfinite(number):
                raise ValueError(f"{place} = {number}: expected a finite number")


def _numbers(place: str, value: Any) -> Iterator[tuple[str, float]]:
    """The floating-point numbers within a value, each with where it stands."""
    if isinstance(value, float):  # NumPy's double, too
        yield place, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(f"{place}[{key!r}]", item)
    elif isinstance(value, BaseModel):
        for key, item in value:
            yield from _numbers(f"{place}.{key}", item)
    elif isinstance(value, (tuple, list, set, frozenset)):
        for item in value:
            yield from _numbers(place, item)


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Say that a name is unknown, which one is nearest, and which there are."""
    known = list(known)
    close = get_close_matches(name, known, n=1, cutoff=0.4)
    nearest = f"; did you mean {close[0]!r}? There are" if close else "; there are"
    return f"unknown {what} {name!r}{nearest} {', '.join(known) or 'none'}"
