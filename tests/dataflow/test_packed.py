"""Unpacking in bounded steps, whatever a file unpacks to."""

import bz2
import gzip
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import zstandard

from etendue.dataflow.packed import HEAD, PLAIN_PIECE, UnpackError, head, most_bytes, pieces

PACK = {
    "gz": gzip.compress,
    "zst": zstandard.compress,
    "bz2": bz2.compress,
}


@pytest.mark.parametrize("packing", PACK)
def test_pieces_are_no_longer_than_a_step(packing, tmp_path):
    """Of one member and of several, with padding after the last one."""
    plain = bytes(range(256)) * 100 + bytes(3_000_000)
    path = tmp_path / packing
    for data, expected in (
        (PACK[packing](plain), plain),
        (PACK[packing](plain) + PACK[packing](b"") + PACK[packing](b"end") + bytes(700), plain + b"end"),
    ):
        path.write_bytes(data)
        for packed_piece in (7, 4096, 1 << 16):
            found = list(pieces(str(path), packed_piece=packed_piece))
            assert b"".join(found) == expected
            assert max(map(len, found)) <= PLAIN_PIECE
        assert head(str(path)) == plain[:HEAD]


@pytest.mark.parametrize("packing", PACK)
def test_what_is_cut_short_is_told_after_what_is_there(packing, tmp_path):
    plain = random.Random(1).randbytes(300_000)
    data = PACK[packing](plain)
    (tmp_path / "cut").write_bytes(data[: len(data) - 5])
    found: list[bytes] = []
    with pytest.raises(UnpackError, match="ends too early"):
        found.extend(pieces(str(tmp_path / "cut")))
    assert plain.startswith(b"".join(found))


#: Unpacked bytes of a file made to harm, and by how much memory may grow.
SIZE, MOST_MB = 320 << 20, 150


def bomb(packing: str, start: bytes) -> bytes:
    """Zeros after a start, packed as one."""
    packer = {
        "gz": lambda: zlib.compressobj(1, wbits=31),
        "zst": lambda: zstandard.ZstdCompressor().compressobj(),
        "bz2": bz2.BZ2Compressor,
    }[packing]()
    parts = [packer.compress(data) for data in [start, *[bytes(1 << 20)] * (SIZE >> 20)]]
    return b"".join([*parts, packer.flush()])


#: Zeros after what looks like the start of an object or frame that claims 1,000,000,000 bytes.
STARTS = {
    "zeros": b"",
    "simtel": b"\x37\x8a\x1f\xd4" + struct.pack("<III", 2001, 0, 1_000_000_000),
    "i3": b"[i3]" + struct.pack("<I", 6) + b"??P" + struct.pack("<II", 1, 1_000_000_000),
}

_OPEN = """
import resource, sys
from etendue.dataflow import border
from etendue.dataflow.source import SourceError, find_source
for path in sys.argv[1:]:  # what is imported and compiled for the first counts as before
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for on_error in ("raise", "skip"):
        try:
            scan = border.scan(find_source(path), path, on_error)
            print("events", sum(int(rows.sum()) for rows in scan.rows.values()))
        except SourceError as error:
            print("refused", error)
print("MB", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""

#: Packings, and how what is packed begins.
BOMBS = [("gz", "zeros"), ("bz2", "zeros"), ("gz", "simtel"), ("zst", "zeros"), ("zst", "i3")]


@pytest.mark.parametrize(
    ("packing", "kind"),
    [("gz", "zeros"), ("bz2", "zeros"), ("gz", "simtel"), ("zst", "zeros"), ("zst", "i3")],
)
def test_what_unpacks_to_gigabytes_is_refused_in_little_memory(packing, kind, tmp_path):
    """Also if it begins as a file does, with something that claims to be as long."""
    (tmp_path / "small").write_bytes(STARTS[kind] + bytes(10_000))
    path = tmp_path / f"bomb.{packing}"
    path.write_bytes(bomb(packing, STARTS[kind]))
    ended = subprocess.run(
        [sys.executable, "-c", _OPEN, tmp_path / "small", path], capture_output=True, text=True, check=True
    )
    *_, first, second, memory = ended.stdout.splitlines()
    assert first.startswith(f"refused {path}: ")
    assert second == "events 0" or second.startswith(f"refused {path}: ")
    assert int(memory.removeprefix("MB ")) < MOST_MB


def test_lengths_are_believed_as_far_as_there_can_be_so_much():
    assert most_bytes(1000) == 32 << 20
    assert most_bytes(10**9) == 200 * 10**9
    assert Path(__file__).stat().st_size < most_bytes(1)
