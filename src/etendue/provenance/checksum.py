"""SHA-256 of files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from etendue.dataflow.source import file_of


def sha256(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal; empty if it is not a file."""
    if not Path(path).is_file():
        return ""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksums(inputs: Iterable[str]) -> dict[str, str]:
    """SHA-256 of the files of inputs, several at a time, each file once.

    Parameters
    ----------
    inputs : iterable of str
        Inputs, of which several may be parts of one file (``run.root#L1``).

    Returns
    -------
    dict of str to str
        In hexadecimal, by input; empty for those that are not files (stores, simulations).
    """
    files = {path: file_of(path) for path in inputs}
    distinct = sorted(set(files.values()))
    with ThreadPoolExecutor() as pool:  # more threads than cores: on a network each file is a wait
        of_file = dict(zip(distinct, pool.map(sha256, distinct), strict=True))
    return {path: of_file[file] for path, file in files.items()}
