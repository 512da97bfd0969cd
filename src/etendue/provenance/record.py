"""The record of a pass in W3C PROV-JSON, written when a revision of it has ended.

Ids: ``etendue:input/N`` an input, ``etendue:pipeline/HASH`` the pipeline (a ``prov:Plan``),
``etendue:file/HASH`` a file that a stage brings,
``etendue:run/R`` the run (activity) that made revision R, ``etendue:pass/R`` that revision,
``etendue:software/HASH`` the software (agent). Values with a structure are JSON texts of type ``rdf:JSON``,
as PROV-JSON has no other place for them.

References: W3C Member Submission PROV-JSON (2013), W3C Recommendation PROV-DM (2013).
"""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from etendue.dataflow.registry import pipeline_text, stage_reference
from etendue.dataflow.source import get_source
from etendue.provenance.checksum import checksums, sha256
from etendue.provenance.secrets import command_without_secrets
from etendue.provenance.software import machine, packages, source_revision

if TYPE_CHECKING:
    from etendue.dataflow.pipeline import Pipeline
    from etendue.dataflow.plan import Plan
    from etendue.dataflow.run import Outcome
    from etendue.dataflow.source import Scan

INPUT, PIPELINE, FILE, RUN, PASS, SOFTWARE = (
    f"etendue:{kind}/" for kind in ("input", "pipeline", "file", "run", "pass", "software")
)
_PREFIXES = {
    "etendue": "https://pypi.org/project/etendue/",
    "prov": "http://www.w3.org/ns/prov#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
_SECTIONS = (
    "entity",
    "activity",
    "agent",
    "used",
    "wasGeneratedBy",
    "wasDerivedFrom",
    "wasAssociatedWith",
    "wasAttributedTo",
)

Document = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Record:
    """Provenance of a run that has begun.

    Parameters
    ----------
    plan : Plan
        What it does.
    started : datetime
        When it began.
    earlier : mapping, optional
        The record of the revision before, if it adds to a pass.
    outside : mapping
        What stages and sources bring and are made of: the parts ``stages`` and ``sources`` of an identity.
    """

    plan: Plan
    started: datetime
    earlier: Mapping[str, Any] | None = None
    outside: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def begin(
        cls, plan: Plan, earlier: Mapping[str, Any] | None = None, outside: Mapping[str, Any] | None = None
    ) -> Record:
        """Note the time."""
        return cls(plan, datetime.now(UTC), earlier, outside or {})

    def end(self, outcome: Outcome) -> Document:
        """The record of the pass, when the run has ended.

        Parameters
        ----------
        outcome : Outcome
            What came of it.

        Returns
        -------
        dict
            PROV-JSON: what the revisions before had, and of this one its inputs, the pipeline, the
            activity, the software, the pass itself, and how they are related.
        """
        document: Document = {"prefix": dict(_PREFIXES), **{section: {} for section in _SECTIONS}}
        for section, records in deepcopy(dict(self.earlier or {})).items():
            document.setdefault(section, {}).update(records)
        number = len(document["activity"])
        inputs = [f"{INPUT}{n}" for n in self.plan.input_numbers.tolist()]
        pipeline, software = self._pipeline(), self._software()
        document["entity"] |= self._new_inputs(outcome, document["entity"])
        files = self._files()
        document["entity"] |= pipeline | files | {f"{PASS}{number}": _pass(number)}
        document["activity"][f"{RUN}{number}"] = self._activity(outcome)
        document["agent"] |= software
        _relate(document, number, [*inputs, *files], next(iter(pipeline)), next(iter(software)))
        return document

    def _new_inputs(self, outcome: Outcome, known: Mapping[str, Any]) -> Document:
        """The inputs as entities, but for those that a revision before has read and made known."""
        plan = self.plan
        every = zip(plan.input_numbers.tolist(), plan.inputs.scans, plan.inputs.first_run, strict=True)
        scans = {n: (scan, first_run) for n, scan, first_run in every if f"{INPUT}{n}" not in known}
        taken = {n: outcome.sha256.get(n) or scan.sha256 for n, (scan, _) in scans.items()}
        files = checksums(scan.path for n, (scan, _) in scans.items() if not taken[n])
        return {
            f"{INPUT}{n}": _input(scan, taken[n] or files[scan.path], first_run)
            for n, (scan, first_run) in scans.items()
        }

    def _pipeline(self) -> Document:
        """The pipeline as an entity."""
        pipeline = self.plan.pipeline.pipeline
        facts = {
            "prov:type": _name("prov:Plan"),
            "prov:label": pipeline.name or "raw",
            "etendue:config_hash": pipeline.config_hash,
            "etendue:toml": pipeline_text(pipeline),
        }
        name = PIPELINE + pipeline.config_hash[:16]
        if sources := _sources_of_stages(pipeline):
            facts["etendue:stage_sources"] = _json(sources)
        if brought := self._brought():
            facts["etendue:brought"] = _json(brought)
            name += f"-{hashlib.sha256(json.dumps(brought).encode()).hexdigest()[:8]}"
        return {name: facts}

    def _brought(self) -> list[dict[str, Any]]:
        """Of each stage and source that brings files, or code of its own: which, with checksums."""
        stages = self.plan.pipeline.pipeline.stages
        every = [
            {"stage": stage_reference(type(stage)), **brought}
            for stage, brought in zip(stages, self.outside.get("stages", ()), strict=False)
        ]
        if beside := self.outside.get("companions"):
            every.append({"stage": "the inputs", "files": [*beside.values()], "code": {}})
        every += [
            {"source": name, "files": [], "code": c} for name, c in self.outside.get("sources", {}).items()
        ]
        return [brought for brought in every if brought["files"] or brought["code"]]

    def _files(self) -> Document:
        """The files that stages bring as entities."""
        found = {}
        for brought in self._brought():
            for file in brought["files"]:
                found[FILE + hashlib.sha256(f"{file['path']} {file['sha256']}".encode()).hexdigest()[:16]] = {
                    "prov:type": _name("etendue:File"),
                    "prov:location": file["path"],
                    "prov:label": f"{'.'.join(map(str, file['place']))} of {brought['stage']}",
                    "etendue:size": file["size"],
                    "etendue:sha256": file["sha256"],
                }
        return found

    def _software(self) -> Document:
        """The software as an agent; the same in all runs in which nothing of it was changed."""
        parts = [*self.plan.pipeline.pipeline.stages]
        parts += [get_source(name) for name in {scan.source for scan in self.plan.inputs.scans}]
        modules = {type(part).__module__ for part in parts}
        facts = {"etendue:versions": _json(packages(modules)), "etendue:source_revision": source_revision()}
        mark = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
        return {SOFTWARE + mark: {"prov:type": _name("prov:SoftwareAgent"), "prov:label": "etendue", **facts}}

    def _activity(self, outcome: Outcome) -> dict[str, Any]:
        """The run as an activity."""
        ended = max(self.started, datetime.now(UTC))  # clocks may be set back
        return {
            "prov:startTime": self.started.isoformat(),
            "prov:endTime": ended.isoformat(),
            "etendue:command": shlex.join(command_without_secrets(sys.argv)),
            **{f"etendue:{name}": value for name, value in machine().items()},
            "etendue:wall_seconds": outcome.wall,
            "etendue:cpu_seconds": _json(outcome.seconds),
            "etendue:rows": _json({name: int(rows.sum()) for name, rows in outcome.rows.items()}),
            "etendue:rows_read": _json({name: int(rows.sum()) for name, rows in outcome.rows_read.items()}),
            "etendue:selected": _json(outcome.selected),
            "etendue:failures": _json([str(failure) for failure in outcome.failures]),
            "etendue:events_lost": outcome.events_lost,
        }


def _input(scan: Scan, checksum: str, first_run: int) -> dict[str, Any]:
    """An input as an entity; a pass of a store says which one, a file has a checksum."""
    facts: dict[str, Any] = {
        "prov:location": scan.path,
        "etendue:source": scan.source,
        "etendue:size": scan.size,
        "etendue:first_run": first_run,
    }
    if checksum:
        facts |= {"prov:type": _name("etendue:File"), "etendue:sha256": checksum}
    if scan.snapshot:
        facts |= {"prov:type": _name("etendue:Pass"), **named_pass(scan.path, scan.snapshot)}
    return facts


def named_pass(place: str, snapshot: str) -> dict[str, Any]:
    """Attributes of a pass: store, name, revision, and snapshot."""
    from etendue.store.paths import locate, split_tag

    store, tag = locate(place)
    facts: dict[str, Any] = {"etendue:store": store, "etendue:snapshot": snapshot}
    if tag and tag != snapshot:
        name, revision = split_tag(tag)
        facts |= {"etendue:pass": name, "etendue:revision": revision or 0}
    return facts


def _pass(number: int) -> dict[str, Any]:
    """A revision of the pass as an entity; what it is called is known to the store that holds it."""
    return {"prov:type": _name("etendue:Pass"), "etendue:revision": number}


def _relate(document: Document, number: int, used: Sequence[str], pipeline: str, software: str) -> None:
    """Say who used, made and is of what."""
    run, made = f"{RUN}{number}", f"{PASS}{number}"
    for name in used:
        which = f"{number}-{name.rpartition('/')[2]}"
        document["used"][f"_:u{which}"] = {"prov:activity": run, "prov:entity": name}
        document["wasDerivedFrom"][f"_:d{which}"] = {
            "prov:generatedEntity": made,
            "prov:usedEntity": name,
            "prov:activity": run,
        }
    if number:
        document["wasDerivedFrom"][f"_:r{number}"] = {
            "prov:generatedEntity": made,
            "prov:usedEntity": f"{PASS}{number - 1}",
            "prov:type": _name("prov:Revision"),
        }
    time = document["activity"][run]["prov:endTime"]
    document["wasGeneratedBy"][f"_:g{number}"] = {
        "prov:entity": made,
        "prov:activity": run,
        "prov:time": time,
    }
    document["wasAssociatedWith"][f"_:a{number}"] = {
        "prov:activity": run,
        "prov:agent": software,
        "prov:plan": pipeline,
    }
    document["wasAttributedTo"][f"_:t{number}"] = {"prov:entity": made, "prov:agent": software}


def _sources_of_stages(pipeline: Pipeline) -> dict[str, str]:
    """SHA-256 of the files of stages that no installed package registers: scripts and notebooks' modules."""
    own = {type(stage) for stage in pipeline.stages if ":" in stage_reference(type(stage))}
    modules = {cls.__module__: sys.modules.get(cls.__module__) for cls in own}
    files = {name: getattr(module, "__file__", None) for name, module in modules.items()}
    return {name: sha256(file) for name, file in sorted(files.items()) if file}


def _name(name: str) -> dict[str, str]:
    """A qualified name as a value."""
    return {"$": name, "type": "prov:QUALIFIED_NAME"}


def _json(value: Any) -> dict[str, str]:
    """A value that has a structure."""
    return {"$": json.dumps(value), "type": "rdf:JSON"}
