"""The text format of KM3NeT's detector descriptions, versions 1 to 5, read and written.

A file is lines of numbers between spaces; lines that start with ``#`` are comments. After the header
comes each module on a line, followed by a line for each of its photomultipliers::

    v1     detector modules
    v2...  detector v<version> / valid from, until / UTM ellipsoid zone easting northing height / modules

    module v1-3  number string floor pmts
           v4    number string floor x y z q0 qx qy qz t0 pmts
           v5    number string floor x y z q0 qx qy qz t0 status pmts
    pmt    v1-2  number x y z dx dy dz t0
           v3-   number x y z dx dy dz t0 status

Floor -1 stands for an unknown floor; it becomes the module's place on its string, counted from 1. Where a
module has no position (before version 4) it is the crossing point of its photomultipliers' axes, as in
KM3NeT's own tools. An orientation of four zeros stands for an unknown one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from etendue.dataflow.source import SourceError
from etendue.neutrino.detector.description import Detector
from etendue.schema import Columns

VERSIONS = (1, 2, 3, 4, 5)

#: A line: its number in the file, from 1, and its words.
Line = tuple[int, list[str]]

_PLACE = ("dom_id", "du", "floor")
_POSE = ("pos_x", "pos_y", "pos_z", "q0", "qx", "qy", "qz", "t0")
_PMT = ("pmt_id", "pos_x", "pos_y", "pos_z", "dir_x", "dir_y", "dir_z", "t0")
_INTEGERS = frozenset({"dom_id", "du", "floor", "n_pmts", "status", "pmt_id"})


def module_fields(version: int) -> tuple[str, ...]:
    """Columns on a module's line."""
    pose = _POSE if version >= 4 else ()
    status = ("status",) if version >= 5 else ()
    return (*_PLACE, *pose, *status, "n_pmts")


def pmt_fields(version: int) -> tuple[str, ...]:
    """Columns on a photomultiplier's line."""
    return (*_PMT, "status") if version >= 3 else _PMT


def read_detx(path: str) -> Detector:
    """Read a ``.detx`` file.

    Raises
    ------
    SourceError
        If a line is not what it must be, or if lines are missing or left over.
    """
    comments, lines = _lines(path)
    facts, n_modules, lines = _header(path, lines)
    version = facts["version"]
    module_lines, pmt_lines = _walk(path, version, lines, n_modules)
    modules = _columns(path, module_lines, module_fields(version), "module")
    pmts = _columns(path, pmt_lines, pmt_fields(version), "photomultiplier")
    modules["floor"] = _floors(modules["du"], modules["floor"])
    if version >= 4:
        orientation = np.stack([modules[name] for name in ("q0", "qx", "qy", "qz")])
        orientation[:, ~orientation.any(axis=0)] = np.nan
        modules |= dict(zip(("q0", "qx", "qy", "qz"), orientation, strict=True))
    return Detector.of(path, pmts, modules, comments=comments, **facts)


def _lines(path: str) -> tuple[tuple[str, ...], list[Line]]:
    """Comments, and the other lines that are not empty."""
    comments, lines = [], []
    text = Path(path).read_bytes().decode("utf-8", errors="replace")
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if not words:
            continue
        if words[0].startswith("#"):
            comments.append(line.strip()[1:].strip())
        else:
            lines.append((number, words))
    return tuple(comments), lines


def _header(path: str, lines: list[Line]) -> tuple[dict[str, object], int, list[Line]]:
    """What the header says, the number of modules, and the lines after it."""
    if not lines:
        raise SourceError(path, "line 1", "expected a detector description, but the file has no such lines")
    number, words = lines[0]
    match = re.fullmatch(r"([+-]?\d{1,10})\s*[vV](\d{1,3})", " ".join(words))
    if match is None:
        det_id, n_modules = _whole(path, lines[0], ("detector", "modules"))
        return {"det_id": det_id, "version": 1}, n_modules, lines[1:]
    det_id, version = int(match[1]), int(match[2])
    if version not in VERSIONS:
        raise SourceError(
            path, f"line {number}", f"expected a version from 1 to {VERSIONS[-1]}, got {version}"
        )
    if len(lines) < 4:
        raise SourceError(path, f"after line {lines[-1][0]}", "the file ends within the header")
    valid_from, valid_until = _numbers(path, lines[1][0], lines[1][1], ("valid from", "valid until"))
    number, words = lines[2]
    if len(words) != 6 or words[0] != "UTM":
        expected = "UTM, ellipsoid, zone, easting, northing, height"
        raise SourceError(path, f"line {number}", f"expected {expected}; got {_shown(words)}")
    easting, northing, height = _numbers(path, number, words[3:], ("easting", "northing", "height"))
    (n_modules,) = _whole(path, lines[3], ("modules",))
    facts = {
        "det_id": det_id,
        "version": version,
        "valid_from": valid_from,
        "valid_until": valid_until,
        "utm_grid": " ".join(words[1:3]),
        "utm_easting": easting,
        "utm_northing": northing,
        "utm_height": height,
    }
    return facts, n_modules, lines[4:]


def _walk(path: str, version: int, lines: list[Line], n_modules: int) -> tuple[list[Line], list[Line]]:
    """Tell the lines of modules from those of photomultipliers, by the counts on the former."""
    modules, pmts = [], []
    fields = module_fields(version)
    place = 0
    while place < len(lines):
        number, words = lines[place]
        if len(modules) == n_modules:
            message = (
                f"expected the end after {n_modules} modules, as said in the header; got {_shown(words)}"
            )
            raise SourceError(path, f"line {number}", message)
        if len(words) != len(fields):
            raise _unexpected(path, number, words, fields, "module")
        n_pmts = int(_columns(path, [(number, words)], fields, "module")["n_pmts"][0])
        if not 0 <= n_pmts <= 256:
            raise SourceError(path, f"line {number}", f"expected 0 to 256 photomultipliers, got {n_pmts}")
        modules.append(lines[place])
        pmts += lines[place + 1 : place + 1 + n_pmts]
        place += 1 + n_pmts
        if place > len(lines):
            message = f"expected {n_pmts} photomultipliers after this line, but the file ends before"
            raise SourceError(path, f"line {number}", message)
    if len(modules) < n_modules:
        message = f"expected {n_modules} modules, as said in the header; the file ends after {len(modules)}"
        raise SourceError(path, "end of file", message)
    return modules, pmts


def _columns(path: str, lines: list[Line], fields: tuple[str, ...], what: str) -> Columns:
    """The numbers on lines of the same kind, as columns."""
    for number, words in lines:
        if len(words) != len(fields):
            raise _unexpected(path, number, words, fields, what)
    try:
        values = np.array([words for _, words in lines], dtype=np.float64).reshape(-1, len(fields))
    except ValueError:
        for number, words in lines:
            _numbers(path, number, words, fields)  # raises at the line that is wrong
        raise
    wrong = ~np.isfinite(values)
    for i, name in enumerate(fields):
        if name in _INTEGERS:
            column = values[:, i]
            wrong[:, i] |= (column != np.floor(column)) | (np.abs(column) >= 2**31)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        number, words = lines[row]
        kind = "a whole number of 32 bits" if fields[column] in _INTEGERS else "a finite number"
        raise SourceError(
            path, f"line {number}", f"expected {kind} as {fields[column]}, got {words[column]!r}"
        )
    columns = dict(zip(fields, values.T, strict=True))
    whole = {name: column.astype(np.int64) for name, column in columns.items() if name in _INTEGERS}
    return columns | whole


def _numbers(path: str, number: int, words: list[str], names: tuple[str, ...]) -> list[float]:
    if len(words) != len(names):
        raise _unexpected(path, number, words, names, "header")
    try:
        return [float(word) for word in words]
    except ValueError:
        raise SourceError(
            path, f"line {number}", f"expected numbers ({', '.join(names)}); got {_shown(words)}"
        ) from None


def _whole(path: str, line: Line, names: tuple[str, ...]) -> list[int]:
    number, words = line
    values = _numbers(path, number, words, names)
    if not all(value.is_integer() and abs(value) < 2**31 for value in values):
        raise SourceError(
            path, f"line {number}", f"expected whole numbers ({', '.join(names)}); got {_shown(words)}"
        )
    return [int(value) for value in values]


def _unexpected(path: str, number: int, words: list[str], names: Iterable[str], what: str) -> SourceError:
    return SourceError(
        path,
        f"line {number}",
        f"expected a {what} line ({', '.join(names)}); got {_shown(words)}; "
        "is it the rest of a comment? every line of a comment starts with #",
    )


def _shown(words: list[str]) -> str:
    text = " ".join(words)
    return repr(text if len(text) <= 60 else text[:60] + "...")


def _floors(du: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Floors, with the place in its string's block of lines for a module whose floor is unknown (-1)."""
    starts = np.flatnonzero(np.diff(du, prepend=du[:1] - 1))
    block = np.repeat(starts, np.diff(starts, append=len(du)))
    return np.where(floor == -1, np.arange(len(du)) - block + 1, floor)


def write_detx(detector: Detector, path: str | Path, version: int = 5) -> None:
    """Write a detector as a ``.detx`` file.

    Numbers are written with the digits that give the same numbers when they are read. What a version
    has no room for is left out; what it wants and is not known becomes 0.

    Parameters
    ----------
    detector : Detector
    path : str or Path
        File to write; an existing one is replaced.
    version : int
        Version of the format, 1 to 5.

    Raises
    ------
    ValueError
        If there is no such version.
    """
    if version not in VERSIONS:
        raise ValueError(f"detx has the versions {VERSIONS}, not {version}")
    lines = [f"# {comment}" for comment in detector.comments] if version >= 3 else []
    n_modules = len(detector.modules["dom_id"])
    if version == 1:
        lines.append(f"{detector.det_id} {n_modules}")
    else:
        ends = zip((detector.valid_from, detector.valid_until), (0.0, 9999999999.0), strict=True)
        valid = " ".join(repr(float(end if np.isfinite(end) else default)) for end, default in ends)
        origin = np.nan_to_num([detector.utm_easting, detector.utm_northing, detector.utm_height])
        utm = f"UTM {detector.utm_grid or 'WGS84 32N'} {' '.join(map(repr, origin.tolist()))}"
        lines += [f"{detector.det_id} v{version}", valid, utm, str(n_modules)]
    modules = _written(detector.modules, module_fields(version))
    pmts = iter(_written(detector.detector, pmt_fields(version)))
    for line, n_pmts in zip(modules, detector.modules["n_pmts"].tolist(), strict=True):
        lines.append(line)
        lines += [" " + next(pmts) for _ in range(n_pmts)]
    Path(path).write_text("\n".join(lines) + "\n")


def _written(columns: Columns, fields: tuple[str, ...]) -> list[str]:
    def known(name: str) -> list:
        column = columns[name]
        if name == "status":
            return column.view(np.int32).tolist()
        return column.tolist() if name in _INTEGERS else np.nan_to_num(column).tolist()

    return [" ".join(map(repr, row)) for row in zip(*(known(name) for name in fields), strict=True)]
