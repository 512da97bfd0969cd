"""Inputs as people name them: files, directories, patterns and run lists, each input once.

An input is one raw file (or a part of it, ``run.root#SN``), one store (or a pass of it,
``crab.etendue@2026.1``), or an address such as ``simulated://gamma?n_showers=100``.
"""

from __future__ import annotations

import csv
import glob
import logging
import os
from collections.abc import Container, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from etendue.dataflow.source import SourceError, UnknownKindError, file_stat, find_source

log = logging.getLogger(__name__)

#: Columns of a run list that may hold the inputs; the first that is there does.
LIST_COLUMNS = ("path", "file")
#: How files are called that may well be empty: logs, and marks that something is done.
NO_INPUTS = (".log", ".txt", ".out", ".err", ".done", ".ok", ".lock", ".md5", ".sha256")
#: How run lists are called.
LIST_SUFFIXES = (".csv", ".parquet")


def expand(inputs: Iterable[str | Path]) -> list[str]:
    """What people name as inputs, each input once, in an order that does not depend on how they named it.

    Parameters
    ----------
    inputs : iterable of path
        - A raw file, a store, or a part of one (``run.root#SN``, ``crab.etendue@2026.1``).
        - A directory: every raw file in it and below, also those that turn out to be empty or broken, and
          folders and links that cannot be looked into. Hidden files are left out, and so are stores, as a
          pass of these very files may be among them; name them, or use a pattern.
        - A pattern as of `glob`, in quotes: ``"data/**/*.simtel.zst"``, ``"runs/*.root#SN"``.
        - A run list, ``.csv`` or ``.parquet``, with a column ``path`` or ``file``. Relative paths are
          relative to the list. In CSV, empty lines and those that begin with ``#`` are left out.
        - Anything with ``://``, which is left as it is.

    Returns
    -------
    list of str
        Absolute paths without symbolic links, sorted. A path that is not there is left as it is, unless a
        run list names it: whoever reads it says so, and may go on without it.

    Raises
    ------
    SourceError
        If a directory or a pattern holds nothing to read, or a run list is not right; names its line.
    """
    return sorted({name for given in inputs for name in _resolve(str(given))})


def named(paths: Iterable[Any]) -> tuple[str, ...]:
    """Inputs as people give them to `etendue.open`, each with its absolute path as of now.

    Parameters
    ----------
    paths : iterable
        Paths, or lists of them. ``~`` stands for somebody's home.

    Raises
    ------
    SourceError
        If there is none, or one is no path.
    """
    found = tuple(_absolute(path) for given in paths for path in _flat(given))
    if not found:
        raise SourceError("no input", "paths", "name at least one file, directory, pattern or run list")
    return found


def _flat(given: Any) -> Iterator[Any]:
    if isinstance(given, Iterable) and not isinstance(given, (str, bytes, os.PathLike)):
        for inner in given:
            yield from _flat(inner)
    else:
        yield given


def _absolute(path: Any) -> str:
    try:
        text = os.fsdecode(path)
    except TypeError:
        message = f"expected a path, or a list of paths, got {type(path).__name__}"
        raise SourceError(repr(path), "paths", message) from None
    return text if "://" in text else os.path.join(os.getcwd(), os.path.expanduser(text))


def accepted(path: str) -> bool:
    """Whether some source reads a path."""
    try:
        find_source(path)
    except SourceError:
        return False
    return True


def is_input(path: str) -> bool:
    """Whether a file in a directory counts as an input: a source reads it, or would if it were not broken.

    Empty files count, but for logs and the marks that programs leave when they are done.
    """
    try:
        find_source(path)
    except UnknownKindError:
        return False
    except SourceError:
        return not (path.lower().endswith(NO_INPUTS) and _is_empty(path))
    return True


def _is_empty(path: str) -> bool:
    facts = file_stat(path)
    return facts is not None and facts[0] == 0


def files_below(
    directory: str, leave_out: Container[str] = (), unreachable: set[str] | None = None
) -> Iterator[os.DirEntry[str]]:
    """The files in a directory and below, in no order, that are not hidden.

    Directories that are an input by themselves (stores) are not entered, nor are those to ``leave_out``.
    Symbolic links are followed, but no directory is entered twice. What disappears meanwhile is left out.
    Folders that cannot be listed and links that lead to themselves are added to ``unreachable``.
    """
    pending, entered = [directory], set()
    unreachable = set() if unreachable is None else unreachable
    while pending:
        folder = pending.pop()
        try:
            facts = os.stat(folder)
            if (facts.st_dev, facts.st_ino) in entered:
                continue
            entered.add((facts.st_dev, facts.st_ino))
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or entry.path in leave_out:
                        continue
                    kind = _kind(entry)
                    if kind == "file":
                        yield entry
                    elif kind == "unknown":
                        unreachable.add(entry.path)
                    elif kind == "directory" and not accepted(entry.path):
                        pending.append(entry.path)
        except FileNotFoundError:
            continue
        except OSError:
            unreachable.add(folder)


def _kind(entry: os.DirEntry[str]) -> str:
    """What an entry of a directory is; ``unknown`` if even that cannot be found out."""
    try:
        return "file" if entry.is_file() else "directory" if entry.is_dir() else ""
    except OSError:
        return "unknown"


def _resolve(given: str, *, listed: bool = False) -> list[str]:
    """The names of what one given input stands for; ``listed`` if it is an entry of a run list."""
    if "://" in given:
        return [given]
    for base, part in _readings(given):
        if os.path.exists(base):
            names = _names(base, part, listed=listed)
            if not names:
                raise SourceError(
                    given,
                    "directory",
                    "there is no file in it that a source reads; check that it is the right one and that the "
                    "packages that read its files are installed (stores in it have to be named themselves)",
                )
            return names
        if glob.has_magic(base):
            names = [n for match in _matches(base) for n in _names(match, part, listed=listed)]
            if names:
                return names
    if glob.has_magic(given):
        raise SourceError(
            given, "pattern", "it matches no file, and no directory with a file that a source reads"
        )
    if listed:
        raise SourceError(given, "file", "there is no such file")
    return [given]


def _readings(given: str) -> Iterator[tuple[str, str]]:
    """A path, and what it names if its end is the part of a file or the pass of a store."""
    yield given, ""
    for mark in "#@":
        base, found, part = given.rpartition(mark)
        if base and found and "/" not in part:
            yield base, mark + part


def _names(path: str, part: str, *, listed: bool) -> list[str]:
    """The names of the inputs that an existing path stands for; none if it is a directory without any."""
    if os.path.isdir(path):
        if not accepted(path):
            return _names_below(path, part)
    elif path.endswith(LIST_SUFFIXES) and not part and not accepted(path):
        if listed:
            raise SourceError(path, "run list", "a run list cannot be an entry of another one")
        return _names_in_list(path)
    return [os.path.realpath(path) + part]


def _names_below(directory: str, part: str) -> list[str]:
    unreachable: set[str] = set()
    paths = sorted(entry.path for entry in files_below(directory, unreachable=unreachable))
    with ThreadPoolExecutor() as pool:  # more threads than cores: on a network each look is a wait
        found = list(pool.map(is_input, [path + part for path in paths]))
    left = [path for path, is_read in zip(paths, found, strict=True) if not is_read]
    if left:
        examples = ", ".join(os.path.relpath(path, directory) for path in left[:3])
        log.warning(
            "%s: no source reads %d of the files, as %s; they are left out", directory, len(left), examples
        )
    names = [os.path.realpath(path) + part for path, is_read in zip(paths, found, strict=True) if is_read]
    return names + sorted(map(os.path.abspath, unreachable))


def _matches(pattern: str) -> list[str]:
    """What a pattern matches, but for the files of which a store consists."""
    is_input = cache(accepted)
    return [
        match
        for match in glob.glob(pattern, recursive=True)
        if not any(is_input(str(folder)) for folder in Path(match).parents)
    ]


def _names_in_list(path: str) -> list[str]:
    """The inputs that a run list names."""
    cells = _read_parquet(path) if path.endswith(".parquet") else _read_csv(path)
    names = []
    for place, cell in cells:
        text = str(cell or "").strip()
        if not text:
            raise SourceError(path, place, "it names no input")
        try:
            given = text if "://" in text else os.path.join(os.path.dirname(path), os.path.expanduser(text))
            names += _resolve(given, listed=True)
        except SourceError as error:
            raise SourceError(path, place, str(error)) from None
    if not names:
        raise SourceError(path, "run list", "it names no input; write at least one below the header")
    return names


#: The entries of a run list, each with its place in it.
_Cells = list[tuple[str, Any]]


def _read_csv(path: str) -> _Cells:
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [
                (f"line {number}", [cell.strip() for cell in next(csv.reader([line], skipinitialspace=True))])
                for number, line in enumerate(file, 1)
                if line.strip() and not line.lstrip().startswith("#")
            ]
    except UnicodeDecodeError as error:
        raise SourceError(path, f"byte {error.start}", "expected a run list in UTF-8") from None
    if not lines:
        raise SourceError(path, "run list", "it is empty; write a line 'path', and an input a line below it")
    (place, header), *rows = lines
    number = header.index(_column(path, place, header))
    return [(place, row[number] if number < len(row) else None) for place, row in rows]


def _read_parquet(path: str) -> _Cells:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ImportError("run lists in Parquet need pyarrow: pip install 'etendue[parquet]'") from error
    try:
        with ParquetFile(path) as file:
            column = _column(path, "columns", file.schema_arrow.names)
            cells = file.read([column]).column(0).to_pylist()
    except ArrowInvalid as error:
        raise SourceError(path, "Parquet", f"expected a run list; {error}") from None
    return [(f"row {number}", cell) for number, cell in enumerate(cells)]


def _column(path: str, place: str, header: list[str]) -> str:
    """The column of a run list that holds the inputs; the others are reported."""
    there = ", ".join(header)
    for name in LIST_COLUMNS:
        if name in header:
            if len(header) > 1:
                log.warning("%s: only the column %r is read, of %s", path, name, there)
            return name
    raise SourceError(path, place, f"expected a column 'path' or 'file' of inputs; there are {there}")
