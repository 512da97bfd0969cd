"""What "the same pass" means: one pipeline, one state of what it brings and of its code, the same options.

What differs is refused with the difference. A pass that was written before some of this was noted is gone on
with, and told to be so.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from etendue.dataflow.difference import differences
from etendue.dataflow.fingerprint import same_part
from etendue.dataflow.outside import OutsideFile, code_of, files_beside, files_of
from etendue.dataflow.source import get_source

if TYPE_CHECKING:
    from etendue.dataflow.flow import Flow
    from etendue.dataflow.known import Known
    from etendue.dataflow.source import Scan

log = logging.getLogger(__name__)

#: Packages whose version makes a difference to what is in a pass.
_PACKAGES = ("etendue", "numpy", "numba", "eventio", "uproot", "astropy", "astropy-iers-data")
#: Parts of an identity that tell what is brought from outside.
_OUTSIDE = ("stages", "sources", "companions")
#: Differences that a message shows at most.
_SHOWN = 10


def identity_of(flow: Flow, histograms: Iterable[Any], *, look: bool) -> dict[str, Any]:
    """What distinguishes a job from others, before its inputs are known.

    Raises
    ------
    SourceError
        If a file that a stage brings cannot be read.
    """
    stages = flow.pipeline.stages
    files = files_of(stages)
    return {
        "pipeline": flow.pipeline.config(),
        "versions": dict(_versions()),
        "stages": [
            {"files": [f.facts() for f in files if f.stage == n], "code": code_of(type(stage))}
            for n, stage in enumerate(stages)
        ],
        "sources": {},
        "companions": {f.place[0]: f.facts() for f in files_beside(flow.companions)},
        "options": {
            "partition_bytes": flow.partition_bytes,
            "on_error": flow.on_error,
            "histograms": [repr(histogram) for histogram in histograms],
        },
        "look": look,
        "inputs": [],
    }


def brought_files(identity: Mapping[str, Any]) -> tuple[OutsideFile, ...]:
    """The files that stages bring, as an identity has them."""
    return tuple(
        OutsideFile.of(n, facts) for n, stage in enumerate(identity["stages"]) for facts in stage["files"]
    )


def code_of_sources(name: str, scans: Iterable[Scan], known: Known) -> dict[str, dict[str, str]]:
    """What code the sources of some inputs of a pass are made of, after those that it knows.

    Raises
    ------
    PassExistsError
        If a source is not what it was for the inputs that the pass has.
    """
    earlier = known.reader.attributes["identity"].get("sources", {}) if known.reader else {}
    now = {source: code_of(type(get_source(source))) for source in sorted({scan.source for scan in scans})}
    for source in earlier.keys() & now.keys():
        _refuse(name, list(differences(_code(earlier[source]), _code(now[source]), f"source {source}")))
    return {**earlier, **now}


def refuse_another_pass(known: Known, name: str, identity: Mapping[str, Any]) -> None:
    """See that a published pass was made with the same pipeline, files, and code.

    Raises
    ------
    PassExistsError
        If not; says what differs.
    """
    parts = ("pipeline", "versions", "stages", "companions")
    was = known.reader.attributes["identity"]
    old, new = ({part: found[part] for part in parts if part in found} for found in (was, identity))
    if "stages" not in old:
        _tell_unknown(name, [*identity["stages"], {"files": identity["companions"].values(), "code": {}}])
    refuse_another(name, old, new)


def refuse_another(name: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """See that two identities are the same, as far as the older one tells.

    Raises
    ------
    PassExistsError
        If not; says what differs.
    """
    old, new = _with_inputs_by_path(was), _with_inputs_by_path(now)
    if "stages" in was and "stages" in now:
        old, new = _with_contents(old), _with_contents(new)
    else:
        stages = now.get("stages", ())
        old, new = _with_places(old, stages), _with_places(new, stages)
        new["versions"] = {
            name: number for name, number in new["versions"].items() if name in old["versions"]
        }
    _refuse(name, list(differences(old, new)))


def refuse_other_work(
    name: str, begun: Mapping[str, Any], now: Mapping[str, Any] | None, *, repair: bool
) -> None:
    """See that there is something to do, and of the kind that was begun: a repair is no addition.

    Parameters
    ----------
    name : str
        Name of the pass.
    begun : mapping
        Identity of what is not finished.
    now : mapping or None
        Identity of what is to be done; None if that is nothing.
    repair : bool
        Whether a repair is asked for.

    Raises
    ------
    PassExistsError
        If not; says what is open, and how to go on.
    """
    from etendue.store import PassExistsError

    drop = "fresh=True (--fresh) drops what was begun; what was published stays"
    if now is not None and ("repair" in begun) == ("repair" in now):
        return
    if "repair" in begun:
        of = begun["repair"]
        what = "all its partitions" if isinstance(of, str) else f"partitions {', '.join(map(str, of))}"
        how = "nothing of it is damaged any more" if repair else "go on with it by repair=True (--repair)"
        raise PassExistsError(f"a repair of pass {name!r} is not finished ({what}): {how}; {drop}")
    paths = [entry["path"] for entry in begun["inputs"] if not entry["void"]]
    inputs = f"{len(paths)} inputs, the last {paths[-1]}" if paths else "no input that can be read"
    how = "finish that without repair=True (--repair), then repair" if repair else "name these inputs again"
    raise PassExistsError(f"pass {name!r} is not finished, as it was begun ({inputs}): {how}; {drop}")


def _with_inputs_by_path(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The identity with what tells one state of an input from another; a file's time only if nothing else."""
    inputs = {}
    for entry in identity.get("inputs", ()):
        if not entry["void"]:
            tells = ("size", "snapshot", "sha256" if entry["sha256"] else "mtime_ns")
            inputs[entry["path"]] = {key: entry[key] for key in tells}
    return {**identity, "inputs": inputs}


def _refuse(name: str, found: list[str]) -> None:
    from etendue.store import PassExistsError

    if not found:
        return
    lines = "".join(f"\n  {line}" for line in found[:_SHOWN])
    more = f"\n  and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    raise PassExistsError(
        f"there is a pass {name!r} that was made, or begun, otherwise:{lines}{more}\nrun it as it was, "
        "or choose another name; one that is not finished is dropped with fresh=True (--fresh)"
    )


def _tell_unknown(name: str, stages: Iterable[Mapping[str, Any]]) -> None:
    """Say what cannot be compared with a pass that was written before it was noted."""
    files = [f["path"] for stage in stages for f in stage["files"]]
    code = sorted({part for stage in stages for part in stage["code"] if not part.startswith("file ")})
    if files or code:
        log.warning(
            "pass %s was written when the contents of what stages bring were not noted yet: that %s the same "
            "as then cannot be seen, and is taken as it is now",
            name,
            f"{', '.join([*files, *code[:_SHOWN]])} {'is' if len(files) + len(code) == 1 else 'are'}",
        )


@dataclass(frozen=True)
class _Content:
    """A file by its contents: how it is called makes no difference."""

    sha256: str
    path: str = field(compare=False)

    def __repr__(self) -> str:
        return f"{self.path} with SHA-256 {self.sha256}"


@dataclass(frozen=True, eq=False)
class _Code:
    """A part of code by its checksums."""

    checksums: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Code) and same_part(self.checksums, other.checksums)

    __hash__ = None

    def __repr__(self) -> str:
        return self.checksums


def _code(parts: Mapping[str, str]) -> dict[str, _Code]:
    return {name: _Code(checksums) for name, checksums in parts.items()}


def _with_contents(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The identity with the contents of files in the place of their names, and with the code of stages."""
    configs = deepcopy(identity["pipeline"]["stage"])
    for config, stage in zip(configs, identity["stages"], strict=True):
        for file in stage["files"]:
            _set(config, file["place"], _Content(file["sha256"], file["path"]))
        config["(code)"] = _code(stage["code"])
    found = {**identity, "pipeline": {**identity["pipeline"], "stage": configs}}
    del found["stages"]
    beside = identity.get("companions", {})
    return found | {
        "sources": {name: _code(code) for name, code in identity.get("sources", {}).items()},
        "companions": {name: _Content(file["sha256"], file["path"]) for name, file in beside.items()},
    }


def _with_places(identity: Mapping[str, Any], stages: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The identity with absolute paths of files, where no more is known of them."""
    configs = deepcopy(identity["pipeline"]["stage"])
    for config, stage in zip(configs, stages, strict=False):
        for file in stage["files"]:
            with suppress(LookupError, TypeError):  # it may be of another stage
                _set(config, file["place"], os.path.abspath(_get(config, file["place"])))
    kept = {part: value for part, value in identity.items() if part not in _OUTSIDE}
    return {**kept, "pipeline": {**identity["pipeline"], "stage": configs}}


def _get(config: Any, place: Iterable[str | int]) -> Any:
    """A value in a tree of dicts and lists."""
    for key in place:
        config = config[key]
    return config


def _set(config: Any, place: Sequence[str | int], value: Any) -> None:
    """Set a value in a tree of dicts and lists."""
    _get(config, place[:-1])[place[-1]] = value


def _versions() -> Iterable[tuple[str, str]]:
    for package in _PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue
