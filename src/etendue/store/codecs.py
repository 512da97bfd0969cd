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
_TEXT_LEVEL = 1
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
    clevel: int = 1
    shuffle: str = "shuffle"

    @property
    def metadata(self) -> list[dict[str, Any]]:
        """See `Codec`."""
        configuration = {
            "cname": self.cname,
            "clevel": self.clevel,
            "shuffle": self.shuffle,
            "typesize": np.dtype(self.data_type).itemsize,
            "blocksize": 0,
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
        return blosc.compress(packed, self.cname.encode(), self.clevel, _SHUFFLES[self.shuffle], 0, typesize)

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
            "clevel": _TEXT_LEVEL,
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
        return blosc.compress(packed, b"zstd", _TEXT_LEVEL, blosc.NOSHUFFLE, 0, 1)

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

    What has more than one dimension (samples, images, masks) goes through LZ4 with its bits shuffled; on
    real samples of FlashCam, LSTCam and NectarCam that decodes at 3.9 to 4.3 GB/s a core with a ratio of
    1.9 to 2.2, where Zstandard with its bytes shuffled decodes at 0.9 with 2.1 to 2.5. One number a row is
    little, and goes through Zstandard. ``archive`` codes samples with pcodec: 0.2 GB/s in, 1.4 out, and
    the best ratio.

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
    if dtype.kind not in "biuf":
        raise SchemaError(
            f"column {variable.name!r} is of dtype {variable.dtype}; a store holds bool, integers, floats "
            "and str (times as int64 nanoseconds)"
        )
    if dtype == np.uint16 and len(variable.dims) >= 3 and preset == "archive":
        _pcodec()
        return PcodecCodec(dtype.name)
    if len(variable.dims) >= 2:
        return BloscCodec(dtype.name, cname="lz4", clevel=5, shuffle="bitshuffle")
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


def _check_blosc_size(data: np.ndarray, size: int | None = None) -> None:
    """Refuse a cut or foreign chunk: Blosc itself trusts the sizes in the header."""
    if len(data) < blosc.MAX_OVERHEAD:
        raise ValueError(f"is cut after {len(data)} bytes")
    raw, compressed = _BLOSC_SIZES.unpack_from(data)
    if compressed != len(data):
        raise ValueError(f"has {len(data)} bytes instead of {compressed}")
    if size is not None and raw != size:
        raise ValueError(f"decodes to {raw} bytes instead of {size}")
