"""The record of a pass, read by the W3C's rules and by the package ``prov``."""

import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import pytest

import etendue as et
from etendue.dataflow.registry import parse_pipeline, pipeline_text, shipped_pipelines
from etendue.provenance import activities, document, inputs
from etendue.store.reader import PassReader

from ..packed_copies import packed_again

#: Attributes that a relation must have (PROV-JSON, section 3).
FORMAL = {
    "used": {"prov:activity"},
    "wasGeneratedBy": {"prov:entity"},
    "wasDerivedFrom": {"prov:generatedEntity", "prov:usedEntity"},
    "wasAssociatedWith": {"prov:activity"},
    "wasAttributedTo": {"prov:entity", "prov:agent"},
}


def assert_is_prov_json(record):
    """Sections, names and values as PROV-JSON has them."""
    assert record.keys() <= {"prefix", "entity", "activity", "agent", *FORMAL}
    prefixes = record["prefix"].keys()
    for section, entries in record.items():
        if section == "prefix":
            continue
        for name, facts in entries.items():
            assert name.split(":")[0] in ({"_"} if section in FORMAL else prefixes)
            assert facts.keys() >= FORMAL.get(section, set())
            for key, value in facts.items():
                assert key.split(":")[0] in prefixes
                if isinstance(value, dict):
                    assert value.keys() == {"$", "type"}
                    assert value["type"].split(":")[0] in prefixes
                else:
                    assert isinstance(value, str | int | float)


def read_by_prov(record):
    model = pytest.importorskip("prov.model")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what it does not understand it only warns of
        found = model.ProvDocument.deserialize(content=json.dumps(record), format="json")
        again = model.ProvDocument.deserialize(content=found.serialize(format="json"), format="json")
    assert found == again
    return model, found


@pytest.fixture(params=["raw", "dl1"])
def store(request, made):
    return getattr(made, request.param)


def test_the_record_is_prov_json_and_nothing_is_lost_on_the_way_through_prov(store):
    record = document(store)
    assert_is_prov_json(record)
    model, found = read_by_prov(record)
    for section in ("entity", "activity", "agent"):
        kind = getattr(model, f"Prov{section.capitalize()}")
        assert {str(entry.identifier) for entry in found.get_records(kind)} == record[section].keys()
    n_relations = sum(len(entries) for section, entries in record.items() if section in FORMAL)
    assert sum(isinstance(r, model.ProvRelation) for r in found.get_records()) == n_relations


def test_all_that_is_related_is_there(store):
    record = document(store)
    known = record["entity"].keys() | record["activity"].keys() | record["agent"].keys()
    for section in FORMAL:
        for facts in record[section].values():
            references = {v for k, v in facts.items() if isinstance(v, str) and k != "prov:time"}
            assert references <= known


def test_prov_finds_the_way_from_the_pass_to_the_files(made):
    model, found = read_by_prov(document(made.raw))
    (generation,) = found.get_records(model.ProvGeneration)
    (_, made_entity), (_, run), _ = generation.formal_attributes
    uses = [[str(value) for _, value in use.formal_attributes] for use in found.get_records(model.ProvUsage)]
    used = {entity for activity, entity, _ in uses if activity == str(run)}
    derived = {str(d.formal_attributes[1][1]) for d in found.get_records(model.ProvDerivation)}
    assert used == derived == {"etendue:input/0", "etendue:input/1"}
    assert str(made_entity) == "etendue:pass/0"


def test_inputs_are_files_with_size_and_checksum(made):
    found = inputs(document(made.raw))
    assert [one.path for one in found] == made.files
    for one in found:
        content = Path(one.path).read_bytes()
        assert one.size == len(content)
        assert one.sha256 == hashlib.sha256(content).hexdigest()
        assert (one.source, one.snapshot) == ("simtel", "")
    assert [one.first_run for one in found] == [0, 1]


def test_an_input_that_is_a_pass_says_which(made):
    record = document(made.dl1)
    (one,) = inputs(record)
    reader = PassReader.open(str(made.raw))
    assert (one.source, one.snapshot) == ("store", reader.snapshot)
    facts = record["entity"]["etendue:input/0"]
    assert (facts["etendue:store"], facts["etendue:pass"], facts["etendue:revision"]) == (
        str(made.raw),
        "raw",
        0,
    )


def test_the_pass_says_what_it_is_called(made):
    record = document(made.dl1)
    facts = record["entity"]["etendue:pass/0"]
    reader = PassReader.open(str(made.dl1))
    assert (facts["etendue:store"], facts["etendue:snapshot"]) == (str(made.dl1), reader.snapshot)
    assert (facts["etendue:pass"], facts["etendue:revision"]) == ("dl1", 0)
    (entry,) = et.passes(made.dl1)
    assert facts["prov:label"] == entry.tag


def test_the_activity_is_what_ran(made):
    (activity,) = activities(document(made.dl1))
    pipeline = et.find_pipeline("iact")
    assert (activity.name, activity.hash) == ("iact", pipeline.config_hash)
    assert activity.rows["events"] == et.load(made.dl1)["events"].sizes["event"]
    assert activity.start < activity.end
    assert set(activity.seconds) == {stage.name for stage in pipeline.stages} | {"read", "write", "fill"}
    assert all(seconds >= 0 for seconds in activity.seconds.values())
    assert activity.versions["numpy"] == np.__version__
    assert activity.failures == ()
    assert activity.events_lost == 0


@pytest.mark.parametrize("name", [n for n in shipped_pipelines() if n not in ("km3net", "icecube")])
def test_the_text_of_a_pipeline_makes_the_same_pipeline(name):
    pipeline = et.find_pipeline(name)
    assert parse_pipeline(pipeline_text(pipeline)).config_hash == pipeline.config_hash


def test_the_text_in_the_record_makes_the_same_pipeline(made):
    (activity,) = activities(document(made.dl1))
    assert parse_pipeline(activity.toml).config_hash == activity.hash


def test_selections_are_counted(shared, tmp_path):
    path = next((shared / "data/simtel").glob("pyeventio__test_lasercal_v3*"))
    flow = et.open(path, on_error="skip")  # its end is cut off
    types = flow.columns("events/event_type").to_pandas("events")["event_type"].to_numpy()
    kept = int((types == et.iact.EventType.SUBARRAY).sum())
    (flow | et.iact.SelectEventType()).columns("events/*").write(tmp_path / "s", "p", quiet=True)
    (activity,) = activities(document(tmp_path / "s"))
    assert activity.selected["SelectEventType"]["events"] == (len(types), kept)
    assert activity.rows_read["events"] == len(types)
    assert activity.rows["events"] == kept


def test_a_stage_that_is_in_no_package_is_known_by_the_checksum_of_its_file(made, tmp_path, monkeypatch):
    script = tmp_path / "homemade.py"
    script.write_text(
        "import etendue as et\n\n\n"
        "@et.stage(reads='events/event_id', writes={'events/twice': ('event', 'int64', '')})\n"
        "def twice(event_id):\n"
        "    return {'events/twice': 2 * event_id}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import homemade

    (et.open(f"{made.raw}@raw") | homemade.twice).columns("events/*").write(tmp_path / "s", "p", quiet=True)
    record = document(tmp_path / "s")
    (plan,) = (facts for name, facts in record["entity"].items() if name.startswith("etendue:pipeline/"))
    expected = {"homemade": hashlib.sha256(script.read_bytes()).hexdigest()}
    assert json.loads(plan["etendue:stage_sources"]["$"]) == expected


def test_revisions_count_on(made, tmp_path):
    first, store = made.files[0], tmp_path / "s"
    second = packed_again(first, tmp_path / "second.simtel.zst")
    et.open(first).write(store, "nights", quiet=True)
    et.open(first, second).write(store, "nights", quiet=True)
    record = document(store, "nights")
    assert_is_prov_json(record)
    read_by_prov(record)
    assert [(one.number, one.run, one.path) for one in inputs(record)] == [
        (0, 0, first),
        (1, 1, str(second)),
    ]
    assert [one.first_run for one in inputs(record)] == [0, 1]
    old, new = activities(record)
    assert old.end <= new.start
    assert old == activities(document(store, "nights+0"))[0]
    sizes = [et.load(store, tag)["events"].sizes["event"] for tag in ("nights+0", "nights+1")]
    assert (old.rows["events"], old.rows["events"] + new.rows["events"]) == tuple(sizes)
    revisions = [d for d in record["wasDerivedFrom"].values() if "prov:type" in d]
    assert [(d["prov:generatedEntity"], d["prov:usedEntity"]) for d in revisions] == [
        ("etendue:pass/1", "etendue:pass/0")
    ]
    tags = {entry.snapshot: entry.revision for entry in et.passes(store)}
    for n in (0, 1):
        facts = record["entity"][f"etendue:pass/{n}"]
        assert tags[facts["etendue:snapshot"]] == n
    assert len(record["agent"]) == 1  # nothing was installed in between
