"""What an accumulator holds, as bytes that can be kept and read again."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np

from etendue.histogram.accumulate import Part, Payload
from etendue.histogram.exact import Digits


def pack(payload: Payload) -> bytes:
    """A payload as the bytes of a NumPy archive, without pickles."""
    file = io.BytesIO()
    arrays = {
        f"{number}/{name}": array
        for number, part in enumerate(payload.parts)
        for name, array in _arrays(part)
    }
    np.savez(file, **arrays)
    return file.getvalue()


def unpack(data: bytes) -> Payload:
    """The payload that `pack` packed."""
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        arrays = dict(archive)
    n_parts = len({name.partition("/")[0] for name in arrays})
    return Payload(tuple(_part(arrays, f"{number}/") for number in range(n_parts)))


def _arrays(part: Part) -> Iterator[tuple[str, np.ndarray]]:
    yield "bins", part.bins
    if isinstance(part.contents, np.ndarray):
        yield "counts", part.contents
        return
    for name, digits in zip(("sums", "squares"), part.contents, strict=True):
        yield f"{name}/first", np.array(digits.first)
        yield f"{name}/words", digits.words
        if digits.not_finite is not None:
            yield f"{name}/not_finite", digits.not_finite


def _part(arrays: dict[str, np.ndarray], prefix: str) -> Part:
    bins = arrays[prefix + "bins"]
    if (counts := arrays.get(prefix + "counts")) is not None:
        return Part(bins, counts)
    sums, squares = (
        Digits(
            int(arrays[f"{prefix}{name}/first"]),
            arrays[f"{prefix}{name}/words"],
            arrays.get(f"{prefix}{name}/not_finite"),
        )
        for name in ("sums", "squares")
    )
    return Part(bins, (sums, squares))
