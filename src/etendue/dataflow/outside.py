"""What stages bring from outside the pipeline: files, and code that is not etendue's.

A pass is made with one state of these. Their contents are in its identity and in its record, so that
others are refused, however the files and packages are called.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from etendue.dataflow.fingerprint import UNTOLD, Fingerprint, is_own
from etendue.dataflow.parameters import Brought
from etendue.dataflow.plugins import distribution_of, state_of
from etendue.dataflow.source import SourceError, file_of

#: Where in the configuration of a stage something stands.
Place = tuple[str | int, ...]


@dataclass(frozen=True)
class OutsideFile:
    """A file that a stage brings, as it was when the run began.

    Parameters
    ----------
    stage : int
        Position of the stage in the pipeline; -1 if it is given beside the inputs.
    place : tuple of str or int
        Where it is named in the configuration of the stage: ``("tables", "charge")``.
    path : str
        The file or folder.
    sha256 : str
        Of its contents, in hexadecimal.
    size : int
        Bytes.
    """

    stage: int
    place: Place
    path: str
    sha256: str
    size: int

    def facts(self) -> dict[str, Any]:
        """What is kept of it with a pass."""
        return {"place": list(self.place), "path": self.path, "sha256": self.sha256, "size": self.size}

    @classmethod
    def of(cls, stage: int, facts: Mapping[str, Any]) -> OutsideFile:
        """What `facts` were of."""
        return cls(stage, **{**facts, "place": tuple(facts["place"])})


def files_of(stages: Iterable[BaseModel]) -> tuple[OutsideFile, ...]:
    """The files that the parameters of stages name, with their contents as they are now.

    These are parameters of the type `BroughtFile`, paths, and any text that names a file which is there.

    Raises
    ------
    SourceError
        If a file that is named is not there, or cannot be read.
    """
    return tuple(
        _read(number, type(stage).__name__, place, path)
        for number, stage in enumerate(stages)
        for place, path in _named_in(stage)
    )


def files_beside(companions: Mapping[str, str]) -> tuple[OutsideFile, ...]:
    """The files that are given beside the inputs, by their names; as `files_of`."""
    return tuple(_read(-1, "", (name,), path) for name, path in sorted(companions.items()))


def check_files(files: Iterable[OutsideFile]) -> None:
    """See that files are still what they were when the run began, also if it began on another host.

    Raises
    ------
    SourceError
        If one is gone, or holds something else.
    """
    for file in files:
        now = _read(file.stage, "", file.place, file.path)
        if now.sha256 != file.sha256:
            raise SourceError(
                file.path,
                "file",
                f"is not what it was when the run began (SHA-256 {file.sha256} then, {now.sha256} now), and "
                "one pass is made with one state of it; bring that back, or begin anew under another name",
            )


def _named_in(model: BaseModel, above: Place = ()) -> Iterator[tuple[Place, str]]:
    """Parameters of a stage that name files, those of models in it too: where they stand, and the files."""
    for name, field in type(model).model_fields.items():
        is_marked = any(isinstance(mark, Brought) for mark in field.metadata) or _is_marked(field.annotation)
        yield from _named_by(getattr(model, name), is_marked, (*above, name))


def _is_marked(annotation: Any) -> bool:
    """Whether a type is made of `BroughtFile`, as ``dict[str, BroughtFile]``."""
    marks = getattr(annotation, "__metadata__", ())
    return any(isinstance(mark, Brought) for mark in marks) or any(
        map(_is_marked, getattr(annotation, "__args__", ()))
    )


def _named_by(value: Any, is_marked: bool, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(value, (str, Path)):
        path = os.fspath(value)
        if path and (is_marked or isinstance(value, Path) or names_file(path)):
            yield place, path
    elif isinstance(value, BaseModel):
        yield from _named_in(value, place)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _named_by(item, is_marked, (*place, str(key)))
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _named_by(item, is_marked, (*place, number))


def names_file(text: str) -> bool:
    """Whether a text is the path of a file that is there, and has a folder or a suffix, as no column has."""
    return (os.sep in text or "." in text) and len(text) < 4096 and os.path.isfile(text)


def _read(stage: int, name: str, place: Place, path: str) -> OutsideFile:
    """A file as it is now."""
    try:
        sha256, size = contents(Path(file_of(path)).expanduser())
    except OSError as error:
        who = f" (stage {name}: {'.'.join(map(str, place))})" if name else ""
        raise SourceError(path, "file", f"cannot be read: {error.strerror}{who}") from None
    return OutsideFile(stage, place, path, sha256, size)


def contents(path: Path) -> tuple[str, int]:
    """SHA-256 in hexadecimal and bytes of a file, or of all in a folder; read again only if it was changed.

    Raises
    ------
    OSError
        If it is not there or cannot be read.
    """
    members = _members(path)
    states = [member.stat() for member in members]
    checksums = [
        _sha256(str(member), s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns)
        for member, s in zip(members, states, strict=True)
    ]
    size = sum(state.st_size for state in states)
    if members == [path]:
        return checksums[0], size
    listed = [f"{m.relative_to(path)} {c}\n" for m, c in zip(members, checksums, strict=True)]
    return hashlib.sha256("".join(listed).encode()).hexdigest(), size


def _members(path: Path) -> list[Path]:
    """The file, or those of a folder in the order of their names."""
    if not path.is_dir():
        return [path]
    return sorted(p for p in path.rglob("*") if p.is_file() and _counts(p))


def _counts(file: Path) -> bool:
    """Whether a file of a folder is more than what is kept of another: compiled code changes by itself."""
    return file.suffix not in (".pyc", ".pyo", ".nbi", ".nbc") and "__pycache__" not in file.parts


@lru_cache(maxsize=4096)
def _sha256(path: str, *state: int) -> str:
    """SHA-256 of a file in the state that it is in."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_of(made: type) -> dict[str, str]:
    """What code a stage or a source is made of, besides that of etendue, whose version is told elsewhere.

    Returns
    -------
    dict of str to str
        Of each package that holds a class of it: version and contents. Of what no package holds, the parts of
        a `Fingerprint`, and the files that stand in it.
    """
    found: dict[str, str] = {}
    for cls in made.__mro__:
        if cls.__module__.partition(".")[0] in UNTOLD:
            continue
        if package := distribution_of(cls.__module__):
            found[f"package {package}"] = state_of(package, cls.__module__)
        elif is_own(cls.__module__):
            print_of = Fingerprint.of(cls)
            found |= print_of.parts
            for text in sorted(filter(names_file, print_of.texts)):
                found[f"file {text}"] = _read(0, cls.__name__, ("code",), text).sha256
    return found
