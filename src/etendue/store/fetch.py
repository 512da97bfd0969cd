"""Fetching the bytes of chunks, each in the way that is fastest for its size.

Measured on one core, local store: many small chunks cost 0.055 ms each in one call against 0.12 ms in
calls of their own; a chunk of 10 MB costs 32 ms in such a call, 13 ms in a call of its own, and 1.2 ms
read from its file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import icechunk
import numpy as np
from zarr.core.buffer import default_buffer_prototype

from etendue.store.forked import answer

#: Raw bytes from which on a chunk is fetched by itself.
LARGE = 128 << 10

#: Bytes of a chunk, None if it is missing, or what went wrong.
Fetched = np.ndarray | BaseException | None


class ChunkFiles:
    """The files of a local store's chunks; where they are is part of Icechunk's specification.

    Parameters
    ----------
    path : str
        Directory of the store.
    store : icechunk.IcechunkStore
        The snapshot that is read.
    """

    def __init__(self, path: str, store: icechunk.IcechunkStore) -> None:
        self._folder = Path(path) / "chunks"
        self._store = store
        self._places: dict[str, dict[int, tuple[str, int, int]]] = {}

    def read(self, array: str, chunk: int) -> Fetched:
        """A chunk's bytes; None if it has no file: it is missing, or so small that Icechunk inlined it."""
        if array not in self._places:
            self._places[array] = self._find(array)
        if chunk not in self._places[array]:
            return None
        name, offset, length = self._places[array][chunk]
        try:
            with open(self._folder / name, "rb", buffering=0) as file:
                file.seek(offset)
                data = np.empty(length, np.uint8)  # in large pages, which are quicker to come by
                return data[: file.readinto(data)]
        except OSError as error:
            return error

    def _find(self, array: str) -> dict[int, tuple[str, int, int]]:
        async def find() -> dict[int, tuple[str, int, int]]:
            places = {}
            native = int(icechunk.ChunkType.native)
            async for index, kind, name, offset, length, _ in self._store.array_chunk_iterator(array):
                found = zip(
                    index[:, 0].tolist(),
                    kind.tolist(),
                    name,
                    offset.tolist(),
                    length.tolist(),
                    strict=True,
                )
                places |= {n: place for n, of, *place in found if of == native}
            return places

        return answer(find)


def get_each(store: icechunk.IcechunkStore, keys: Sequence[str]) -> list[Fetched]:
    """Get keys of a store, each in a call of its own, all at the same time."""
    prototype = default_buffer_prototype()

    async def get_all() -> list:
        return await asyncio.gather(*(store.get(key, prototype) for key in keys), return_exceptions=True)

    return [
        value if value is None or isinstance(value, BaseException) else value.as_numpy_array()
        for value in answer(get_all)
    ]


def get_together(store: icechunk.IcechunkStore, keys: Sequence[str]) -> list[Fetched]:
    """Get keys of a store in one call, which is best for small values."""

    async def get_all() -> list:
        return await store.get_partial_values(default_buffer_prototype(), [(key, None) for key in keys])

    try:
        return [value.as_numpy_array() for value in answer(get_all)]
    except (icechunk.IcechunkError, TypeError):  # fails as a whole; so ask which it was
        return get_each(store, keys)
