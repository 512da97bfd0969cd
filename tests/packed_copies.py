"""Files that hold the same as others, but not byte for byte."""

from pathlib import Path

import zstandard


def packed_again(source, target) -> str:
    """Write what a zstd file holds into another file, followed by an empty frame; returns its path."""
    Path(target).write_bytes(Path(source).read_bytes() + zstandard.compress(b""))
    return str(target)
