"""Inputs that hold the same as others: copies of a file, and passes that are named in two ways."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from etendue.dataflow.partition import Failure
from etendue.dataflow.source import OnError, Scan, SourceError, file_of, file_stat, part_words
from etendue.store.paths import locate

#: Bytes at the start and at the end of files of one size that are compared before all of them are read.
ENDS = 64 << 10
#: What is noted of inputs that a pass has; see `etendue.dataflow.known.entry_of`.
Entries = Sequence[Mapping[str, Any]]


def find_copies(paths: Sequence[str], entries: Entries = ()) -> dict[str, str]:
    """Which inputs are byte for byte the same as others.

    Files are read only if another one has their size, and whole only if their ends are the same, too.

    Parameters
    ----------
    paths : sequence of str
        Inputs; those that are no files are passed over.
    entries : sequence of mapping, optional
        Inputs that a pass has already.

    Returns
    -------
    dict of str to str
        Of each copy, what it is the same as: an input of the pass, or the first of ``paths``.
    """
    by_size: dict[tuple[str, int], list[str]] = defaultdict(list)
    for path in paths:
        stat = file_stat(path)
        if stat is not None and stat[0]:
            by_size[_part(path), stat[0]].append(path)
    known: dict[tuple[str, int], list[Mapping[str, Any]]] = defaultdict(list)
    named = set(paths)
    for entry in entries:
        if not entry["void"] and entry["path"] not in named:
            known[_part(entry["path"]), entry["size"]].append(entry)
    copies: dict[str, str] = {}
    for key, alike in by_size.items():
        copies |= _copies_among(alike, known[key])
    return copies


def _copies_among(paths: list[str], entries: Entries) -> dict[str, str]:
    """The copies among files of one size."""
    if len(paths) + len(entries) < 2:
        return {}
    copies: dict[str, str] = {}
    by_ends: dict[bytes, list[str]] = defaultdict(list)
    for path in paths:
        by_ends[_ends(path)].append(path)
    of_entries = [(entry, _ends(entry["path"])) for entry in entries if entry["sha256"]]
    for ends, alike in by_ends.items():
        # A file that the pass was made from may be gone: its checksum tells then.
        mine = [entry for entry, its in of_entries if its in (ends, b"")]
        if len(alike) + len(mine) < 2:
            continue
        first = {entry["sha256"]: entry["path"] for entry in mine}
        for path in alike:
            original = first.setdefault(_sha256(path), path)
            if original != path:
                copies[path] = original
    return copies


def same_pass(paths: Sequence[str], scans: Sequence[Scan | Failure]) -> dict[str, str]:
    """Which inputs are a snapshot of a store that another one, named otherwise, is as well."""
    first: dict[tuple[str, str], str] = {}
    same: dict[str, str] = {}
    for path, scan in zip(paths, scans, strict=True):
        if isinstance(scan, Scan) and scan.snapshot:
            original = first.setdefault((locate(scan.path)[0], scan.snapshot), path)
            if original != path:
                same[path] = original
    return same


def refuse(path: str, original: str, on_error: OnError) -> Failure:
    """What is told of a copy.

    Raises
    ------
    SourceError
        If ``on_error`` is ``raise``.
    """
    error = SourceError(
        path,
        "input",
        f"holds the same, byte for byte, as {original}: each event would count twice; name one of them"
        + (", or keep the first with on_error='skip'" if on_error == "raise" else ""),
    )
    if on_error == "raise":
        raise error
    return error.failure


def _part(path: str) -> str:
    """Which part of its file an input is; what is set of it (``obs_id=3``) makes no other rows."""
    return ",".join(word for word in part_words(path) if "=" not in word)


def _ends(path: str) -> bytes:
    """Digest of the start and the end of a file; empty if it cannot be read."""
    try:
        with open(file_of(path), "rb") as file:
            digest = hashlib.blake2b(file.read(ENDS), digest_size=16)
            file.seek(max(file.tell(), os.fstat(file.fileno()).st_size - ENDS))
            digest.update(file.read(ENDS))
    except OSError:
        return b""
    return digest.digest()


def _sha256(path: str) -> str:
    """SHA-256 of a file in hexadecimal; the path, which nothing else has, if it cannot be read."""
    try:
        with open(file_of(path), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return path
