"""The RO-Crate of a pass, as the package ``rocrate`` reads it."""

import hashlib
import json
from datetime import datetime
from pathlib import Path

import pytest

import etendue as et
from etendue.dataflow.registry import parse_pipeline
from etendue.provenance import activities, document, write_crate

rocrate = pytest.importorskip("rocrate.rocrate")


@pytest.fixture(params=["folder", "crate.zip"])
def crate(request, made, tmp_path):
    write_crate(made.raw, "raw", tmp_path / request.param)
    return rocrate.ROCrate(tmp_path / request.param)


def test_files_have_size_and_checksum(crate, made):
    found = {entity["name"]: entity for entity in crate.get_by_type("File")}
    for path in map(Path, made.files):
        content = path.read_bytes()
        entity = found[path.name]
        assert entity.id == path.as_uri()
        assert entity["sha256"] == hashlib.sha256(content).hexdigest()
        assert int(entity["contentSize"]) == len(content)


def test_the_run_is_an_action(crate, made):
    (action,) = crate.get_by_type("CreateAction")
    record = document(made.raw)
    (activity,) = activities(record)
    assert crate.root_dataset["mentions"] == action
    assert action["instrument"] == crate.mainEntity
    assert crate.mainEntity.id == "pipeline.toml"
    assert set(crate.mainEntity.type) == {"File", "SoftwareSourceCode", "ComputationalWorkflow"}
    assert crate.mainEntity["programmingLanguage"].type == "ComputerLanguage"
    assert {entity.id for entity in action["object"]} == {Path(path).as_uri() for path in made.files}
    assert datetime.fromisoformat(action["startTime"]) == activity.start.replace(microsecond=0)
    assert datetime.fromisoformat(action["endTime"]) == activity.end.replace(microsecond=0)
    assert action["agent"]["name"] == "etendue"
    assert action["result"]["identifier"] == record["entity"]["etendue:pass/0"]["etendue:snapshot"]
    assert action["result"]["isPartOf"].id == f"{made.raw.as_uri()}/"
    cpu = {usage["name"]: float(usage["value"]) for usage in action["resourceUsage"]}
    assert cpu == {f"CPU time of {name}": round(s, 6) for name, s in activity.seconds.items()}


def test_versions_of_all_packages_are_there(crate, made):
    (activity,) = activities(document(made.raw))
    found = {entity["name"]: entity["softwareVersion"] for entity in crate.get_by_type("SoftwareApplication")}
    assert found == activity.versions


def test_profiles_are_named(crate):
    profiles = {entity.id for entity in crate.root_dataset["conformsTo"]}
    assert "https://w3id.org/ro/wfrun/workflow/0.5" in profiles
    assert "https://w3id.org/ro/wfrun/process/0.5" in profiles


def test_all_that_is_referred_to_is_described(made, tmp_path):
    graph = json.loads(write_crate(made.dl1, "dl1", tmp_path).read_text())["@graph"]
    known = [entity["@id"] for entity in graph]
    assert len(set(known)) == len(known)

    def references(value):
        if isinstance(value, dict) and value.keys() == {"@id"}:
            yield value["@id"]
        elif isinstance(value, list | dict):
            for part in value.values() if isinstance(value, dict) else value:
                yield from references(part)

    elsewhere = {"https://w3id.org/ro/crate/1.1", "https://www.w3.org/submissions/prov-json/"}
    assert set(references(graph)) - elsewhere <= set(known)


def test_the_crate_holds_the_record_and_the_pipeline(made, tmp_path):
    folder = write_crate(made.dl1, "dl1", tmp_path / "crate").parent
    assert json.loads((folder / "provenance.json").read_text()) == document(made.dl1)
    pipeline = parse_pipeline((folder / "pipeline.toml").read_text())
    assert pipeline.config_hash == et.find_pipeline("iact").config_hash


def test_what_lies_in_the_crate_is_named_relative_to_it(chain):
    store = chain.folder / "own"
    et.open(*chain.files).write(store, "raw", quiet=True)
    write_crate(store, "raw", chain.folder)
    crate = rocrate.ROCrate(chain.folder)
    assert {e.id for e in crate.data_entities} == {
        "pipeline.toml",
        "provenance.json",
        "own/",
        *(Path(path).name for path in chain.files),
    }


def test_an_input_that_is_a_pass_is_in_its_store(made, tmp_path):
    write_crate(made.dl1, "dl1", tmp_path)
    crate = rocrate.ROCrate(tmp_path)
    (action,) = crate.get_by_type("CreateAction")
    (given,) = action["object"] if isinstance(action["object"], list) else [action["object"]]
    assert given["identifier"] == et.passes(made.raw)[-1].snapshot
    assert given["isPartOf"].id == f"{made.raw.as_uri()}/"


def test_a_simulation_is_named_by_its_address(tmp_path):
    path = "simulated://gamma?n_showers=100&seed=1"
    et.open(path).columns("events/*").write(tmp_path / "s", "raw", quiet=True)
    write_crate(tmp_path / "s", "raw", tmp_path / "c")
    (action,) = rocrate.ROCrate(tmp_path / "c").get_by_type("CreateAction")
    objects = action["object"] if isinstance(action["object"], list) else [action["object"]]
    assert [entity.id for entity in objects] == [path]


@pytest.mark.parametrize("name", ["crate", "crate.zip"])
def test_a_crate_is_not_written_over(made, tmp_path, name):
    write_crate(made.raw, "raw", tmp_path / name)
    with pytest.raises(FileExistsError, match="is there already"):
        write_crate(made.raw, "raw", tmp_path / name)
