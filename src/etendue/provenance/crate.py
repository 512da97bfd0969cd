"""A pass as an RO-Crate: what repositories and registries of data read.

Terms of RO-Crate 1.1 and of the profiles Process Run Crate and Workflow Run Crate 0.5
(https://w3id.org/ro/wfrun/workflow/0.5): the pipeline is the workflow, each revision of the pass an action
with inputs (``object``) and outcome (``result``). The record in PROV-JSON is in the crate as a file.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping
from os.path import normpath
from pathlib import Path
from typing import Any
from urllib.parse import quote

from etendue.dataflow.source import file_of
from etendue.provenance.reading import Activity, Input, activities, document, inputs
from etendue.provenance.record import PASS, named_pass

METADATA, RECORD, PIPELINE = "ro-crate-metadata.json", "provenance.json", "pipeline.toml"
_SPECIFICATION = "https://w3id.org/ro/crate/1.1"
_CONTEXT = [f"{_SPECIFICATION}/context", "https://w3id.org/ro/terms/workflow-run/context"]
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
_PROJECT, _LANGUAGE = "https://pypi.org/project", "#pipeline-language"

Entity = dict[str, Any]


def write_crate(store: str | Path, tag: str | None, out: str | Path) -> Path:
    """Write an RO-Crate that describes a pass.

    Parameters
    ----------
    store : path
        The store.
    tag : str or None
        Name of the pass; None for the newest one.
    out : path
        Folder to write into, or a file that ends in ``.zip``. What lies in the folder, as the store may,
        is named relative to it; everything else by its address.

    Returns
    -------
    Path
        The metadata file, or the zip file.

    Raises
    ------
    FileExistsError
        If there is a crate already.
    FileNotFoundError, StoreError
        If there is no such store or pass.
    """
    out = Path(out)
    zipped = out.suffix == ".zip"
    made = out if zipped else out / METADATA
    if made.exists():
        raise FileExistsError(
            f"{made} is there already, and is not written over: remove it, or choose another place"
        )
    record = document(store, tag)
    graph = _graph(record, None if zipped else out.absolute())
    files = {
        METADATA: json.dumps({"@context": _CONTEXT, "@graph": graph}, indent=2),
        RECORD: json.dumps(record, indent=2),
        PIPELINE: activities(record)[-1].toml,
    }
    if zipped:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in files.items():
                archive.writestr(name, text)
        return made
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (out / name).write_text(text)
    return made


def _graph(record: Mapping[str, Any], root: Path | None) -> list[Entity]:
    """All entities of a crate whose folder is ``root``; a zip file has none."""
    runs = activities(record)
    made = [record["entity"][f"{PASS}{n}"] for n in range(len(runs))]
    used = [[_input(given, root) for given in inputs(record) if given.run == n] for n in range(len(runs))]
    results = [_revision(facts, root, facts.get("prov:label", "")) for facts in made]
    actions = [
        _action(n, run, objects, result)
        for n, (run, objects, result) in enumerate(zip(runs, used, results, strict=True))
    ]
    stores = [_store(facts, root) for facts in made]
    stores += [_store(named_pass(i.path, i.snapshot), root) for i in inputs(record) if i.snapshot]
    objects = [entity for of_run in used for entity in of_run]
    parts = [_workflow(runs[-1]), _record_file(), *stores, *(e for e in objects if e["@type"] == "File")]
    usage = [entity for n, run in enumerate(runs) for entity in _resource_usage(n, run)]
    entities = [
        {
            "@id": METADATA,
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": [{"@id": _SPECIFICATION}, {"@id": list(_PROFILES)[-1]}],
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": results[-1]["name"],
            "description": f"What made a pass of {stores[0]['name']}: pipeline {runs[-1].name} of etendue",
            "datePublished": runs[-1].end.isoformat(timespec="seconds"),
            "license": "not stated",
            "conformsTo": [{"@id": profile} for profile in _PROFILES],
            "hasPart": _ids(parts),
            "mainEntity": {"@id": PIPELINE},
            "mentions": _ids(actions),
        },
        *(
            {"@id": profile, "@type": "CreativeWork", "name": title, "version": version}
            for profile, (title, version) in _PROFILES.items()
        ),
        *(*parts, *results, *objects, *actions, *usage, *_packages(runs), _language()),
    ]
    return list({entity["@id"]: entity for entity in entities}.values())


def _action(number: int, run: Activity, objects: Iterable[Entity], result: Entity) -> Entity:
    """A run of the pipeline; its number is that of the revision that it made."""
    return {
        "@id": f"#run-{number}",
        "@type": "CreateAction",
        "name": f"{run.name}: revision {number}",
        "description": f"{run.command} (on {run.host}, {run.cpu}, {run.cores} cores, {run.platform})",
        "instrument": {"@id": PIPELINE},
        "agent": {"@id": _package_id("etendue", run.versions)},
        "startTime": run.start.isoformat(timespec="seconds"),
        "endTime": run.end.isoformat(timespec="seconds"),
        "actionStatus": "http://schema.org/CompletedActionStatus",
        "object": _ids(objects),
        "result": {"@id": result["@id"]},
        "resourceUsage": _ids(_resource_usage(number, run)),
        "subjectOf": {"@id": RECORD},
    }


def _resource_usage(number: int, run: Activity) -> list[Entity]:
    """CPU time of each stage of a run."""
    return [
        {
            "@id": f"#run-{number}-cpu-{quote(stage)}",
            "@type": "PropertyValue",
            "name": f"CPU time of {stage}",
            "value": str(round(seconds, 6)),
            "unitCode": "http://qudt.org/vocab/unit/SEC",
        }
        for stage, seconds in run.seconds.items()
    ]


def _revision(facts: Mapping[str, Any], root: Path | None, name: str = "") -> Entity:
    """A revision of a pass, which is a snapshot in a store, by its attributes in the record."""
    return {
        "@id": _revision_id(facts, root),
        "@type": "CreativeWork",
        "name": name or f"{facts.get('etendue:pass', 'pass')} of {Path(facts['etendue:store']).name}",
        "version": str(facts.get("etendue:revision", "")),
        "identifier": facts.get("etendue:snapshot", ""),
        "isPartOf": {"@id": _store_id(facts, root)},
    }


def _revision_id(facts: Mapping[str, Any], root: Path | None) -> str:
    name = quote(facts.get("etendue:pass", facts["etendue:snapshot"]))
    return f"{_store_id(facts, root)}#{name}+{facts.get('etendue:revision', 0)}"


def _store(facts: Mapping[str, Any], root: Path | None) -> Entity:
    """The store that holds a pass."""
    return {
        "@id": _store_id(facts, root),
        "@type": "Dataset",
        "name": Path(facts["etendue:store"]).name,
        "description": "Store of passes: an Icechunk repository (https://icechunk.io) of Zarr v3 arrays",
    }


def _store_id(facts: Mapping[str, Any], root: Path | None) -> str:
    return f"{_locate(facts['etendue:store'], root)}/"


def _input(given: Input, root: Path | None) -> Entity:
    """An input: a file with its checksum, a pass of a store, or the address of a simulation."""
    if given.snapshot:
        return _revision(named_pass(given.path, given.snapshot), root)
    if not given.sha256:
        return {"@id": quote(given.path, safe=":/?&="), "@type": "CreativeWork", "name": given.path}
    file = file_of(given.path)
    part = given.path.removeprefix(file)
    return {
        "@id": _locate(file, root) + quote(part, safe="#"),
        "@type": "File",
        "name": Path(file).name + part,
        "contentSize": str(given.size),
        "sha256": given.sha256,
        "encodingFormat": "application/octet-stream",
    }


def _locate(path: str, root: Path | None) -> str:
    """A path as an address: relative to the crate if it lies in it, else absolute."""
    if "://" in path:
        return path
    absolute = Path(normpath(Path(path).absolute()))  # as the record of a foreign store may say ../../x
    if root is not None and absolute.is_relative_to(root):
        return quote(absolute.relative_to(root).as_posix())
    return absolute.as_uri()


def _workflow(run: Activity) -> Entity:
    return {
        "@id": PIPELINE,
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "name": run.name,
        "identifier": run.hash,
        "version": run.hash[:16],
        "url": f"{_PROJECT}/etendue/",
        "encodingFormat": "application/toml",
        "programmingLanguage": {"@id": _LANGUAGE},
        "softwareRequirements": {"@id": _package_id("etendue", run.versions)},
    }


def _language() -> Entity:
    """The language of pipelines."""
    return {
        "@id": _LANGUAGE,
        "@type": "ComputerLanguage",
        "name": "etendue pipeline (TOML)",
        "url": f"{_PROJECT}/etendue/",
        "identifier": f"{_PROJECT}/etendue/",
    }


def _record_file() -> Entity:
    return {
        "@id": RECORD,
        "@type": "File",
        "name": "Provenance of the pass in W3C PROV-JSON",
        "encodingFormat": "application/json",
        "conformsTo": {"@id": "https://www.w3.org/submissions/prov-json/"},
    }


def _packages(runs: Iterable[Activity]) -> list[Entity]:
    """The software of all runs; etendue names what it needs."""
    found = []
    for run in runs:
        for name, version in run.versions.items():
            entity = {
                "@id": _package_id(name, run.versions),
                "@type": "SoftwareApplication",
                "name": name,
                "softwareVersion": version,
                "url": "https://www.python.org/" if name == "python" else f"{_PROJECT}/{name}/",
            }
            if name == "etendue":
                others = sorted(run.versions.keys() - {"etendue"})
                entity["softwareRequirements"] = [{"@id": _package_id(o, run.versions)} for o in others]
                entity["identifier"] = run.source_revision or entity["@id"]
            found.append(entity)
    return found


def _package_id(name: str, versions: Mapping[str, str]) -> str:
    if name == "python":
        return f"https://www.python.org/downloads/release/python-{versions[name].replace('.', '')}/"
    return f"{_PROJECT}/{name}/{versions[name]}/"


def _ids(entities: Iterable[Entity]) -> list[dict[str, str]] | dict[str, str]:
    """References to entities, each once; one alone stands without a list."""
    names = [{"@id": name} for name in dict.fromkeys(entity["@id"] for entity in entities)]
    return names[0] if len(names) == 1 else names
