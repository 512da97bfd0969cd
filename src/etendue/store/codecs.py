"""Codecs: a column's chunk to bytes and back, exactly as the array's metadata declares.

Chunks are coded here rather than through Zarr's array interface, which costs 0.6 ms more a chunk. Any
Zarr v3 reader reads them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol

import numpy as np
from numcodecs import VLenUTF8, blosc

from etendue.schema import SchemaError, Variable

Preset = Literal["default", "archive"]

#: With threads of its own, Blosc takes a global lock and uses cores that Dask has given to others.
blosc.use_threads = False

_SHUFFLES = {"noshuffle": blosc.NOSHUFFLE, "shuffle": blosc.SHUFFLE, "bitshuffle": blosc.BITSHUFFLE}
_BLOSC_LEVEL = 1
_PCODEC_LEVEL = 8
#: Sizes before and after compression stand at these bytes of a Blosc 1 header.
_BLOSC_SIZES = struct.Struct("<4xI4xI")


class Codec(Protocol):
    """How the chunks of one array are coded."""

    @property
    def data_type(self) -> str:
        """Zarr data type of the array."""
        ...

    @property
    def metadata(self) -> list[dict[str, Any]]:
        """The codecs as they stand in the array's metadata."""
        ...

    def pack(self, column: np.ndarray) -> np.ndarray | bytes:
        """Contiguous bytes of a column, before compression."""
        ...

    def compress(self, packed: np.ndarray | bytes) -> bytes:
        """Compress packed bytes."""
        ...

    def decode(self, data: np.ndarray, out: np.ndarray) -> None:
        """Decode a chunk into an array of its shape; ValueError or RuntimeError if it does not fit."""
        ...


@dataclass(frozen=True)
class BloscCodec:
    """Numbers: little-endian bytes, shuffled and compressed."""

    data_type: str
    cname: str = "zstd"
    shuffle: str = "shuffle"
    blocksize: int = 0

    @property
    def metadata(self) -> list[dict[str, Any]]:
        """See `Codec`."""
        configuration = {
            "cname": self.cname,
            "clevel": _BLOSC_LEVEL,
            "shuffle": self.shuffle,
            "typesize": np.dtype(self.data_type).itemsize,
            "blocksize": self.blocksize,
        }
        return [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "blosc", "configuration": configuration},
        ]

    def pack(self, column: np.ndarray) -> np.ndarray:
        """See `Codec`."""
        return np.ascontiguousarray(column, dtype=np.dtype(self.data_type).newbyteorder("<"))

    def compress(self, packed: np.ndarray | bytes) -> bytes:
        """See `Codec`."""
        typesize = np.dtype(self.data_type).itemsize
        return _blosc_compress(packed, self.cname, self.shuffle, self.blocksize, typesize)

    def decode(self, data: np.ndarray, out: np.ndarray) -> None:
        """See `Codec`."""
        _check_blosc_size(data, out.nbytes)
        blosc.decompress(data, out)


@dataclass(frozen=True)
class TextCodec:
    """Text of any length: UTF-8 with a length before each item, compressed."""

    data_type: str = "string"

    @property
    def metadata(self) -> list[dict[str, Any]]:
        """See `Codec`."""
        configuration = {
            "cname": "zstd",
            "clevel": _BLOSC_LEVEL,
            "shuffle": "noshuffle",
            "typesize": 1,
            "blocksize": 0,
        }
        return [{"name": "vlen-utf8"}, {"name": "blosc", "configuration": configuration}]

    def pack(self, column: np.ndarray) -> bytes:
        """See `Codec`."""
        return bytes(VLenUTF8().encode(np.asarray(column).astype(object).ravel()))

    def compress(self, packed: np.ndarray | bytes) -> bytes:
        """See `Codec`."""
        return _blosc_compress(packed, "zstd", "noshuffle", 0, 1)

    def decode(self, data: np.ndarray, out: np.ndarray) -> None:
        """See `Codec`."""
        _check_blosc_size(data)
        items = VLenUTF8().decode(blosc.decompress(data))
        if items.size != out.size:
            raise ValueError(f"holds {items.size} texts instead of {out.size}")
        out[...] = items.reshape(out.shape)


@dataclass(frozen=True)
class PcodecCodec:
    """Numbers in pcodec: nearest to the entropy of noise, eight times slower to write."""

    data_type: str

    @property
    def metadata(self) -> list[dict[str, Any]]:
        """See `Codec`."""
        codec = _pcodec()
        configuration = {key: value for key, value in codec.get_config().items() if key != "id"}
        return [{"name": "numcodecs.pcodec", "configuration": configuration}]

    def pack(self, column: np.ndarray) -> np.ndarray:
        """See `Codec`."""
        return np.ascontiguousarray(column, dtype=self.data_type)

    def compress(self, packed: np.ndarray | bytes) -> bytes:
        """See `Codec`."""
        return bytes(_pcodec().encode(packed))

    def decode(self, data: np.ndarray, out: np.ndarray) -> None:
        """See `Codec`."""
        decoded = _pcodec().decode(data)
        if decoded.size != out.size:
            raise ValueError(f"holds {decoded.size} numbers instead of {out.size}")
        out[...] = decoded.reshape(out.shape)


@cache
def codec_for(variable: Variable, preset: Preset) -> Codec:
    """The codec of a column.

    Measured on one core (GB/s of raw data in and out, ratio): waveforms of noise 1.9, 3.5, 3.6 in Blosc
    and 0.18, 1.4, 3.64 in pcodec; cleaning masks 3.6, 2.8, 48 in LZ4 with bits shuffled, against 1.1,
    1.1, 92 in Zstandard.

    Raises
    ------
    SchemaError
        If the dtype is not one that the store holds.
    ImportError
        If the preset needs a package that is not installed; says which.
    """
    if variable.dtype == "str":
        return TextCodec()
    dtype = np.dtype(variable.dtype)
    if dtype.kind == "b":
        return BloscCodec(dtype.name, cname="lz4", shuffle="bitshuffle")
    if dtype.kind not in "iuf":
        raise SchemaError(
            f"column {variable.name!r} is of dtype {variable.dtype}; a store holds bool, integers, floats "
            "and str (times as int64 nanoseconds)"
        )
    if dtype == np.uint16 and len(variable.dims) >= 3:  # waveforms
        if preset == "archive":
            _pcodec()
            return PcodecCodec(dtype.name)
        return BloscCodec(dtype.name, blocksize=1 << 20)
    return BloscCodec(dtype.name)


@cache
def _pcodec() -> Any:
    try:
        from numcodecs.pcodec import PCodec
    except ImportError as error:
        raise ImportError(
            "the preset 'archive' codes waveforms with pcodec, which is not installed: "
            "pip install pcodec (where passes are written and where they are read)"
        ) from error
    return PCodec(level=_PCODEC_LEVEL)


def _blosc_compress(
    packed: np.ndarray | bytes, cname: str, shuffle: str, blocksize: int, typesize: int
) -> bytes:
    return blosc.compress(packed, cname.encode(), _BLOSC_LEVEL, _SHUFFLES[shuffle], blocksize, typesize)


def _check_blosc_size(data: np.ndarray, size: int | None = None) -> None:
    """Refuse a cut or foreign chunk: Blosc itself trusts the sizes in the header."""
    if len(data) < blosc.MAX_OVERHEAD:
        raise ValueError(f"is cut after {len(data)} bytes")
    raw, compressed = _BLOSC_SIZES.unpack_from(data)
    if compressed != len(data):
        raise ValueError(f"has {len(data)} bytes instead of {compressed}")
    if size is not None and raw != size:
        raise ValueError(f"decodes to {raw} bytes instead of {size}")
