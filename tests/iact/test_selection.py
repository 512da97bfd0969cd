"""Selection of telescopes and of readouts, against ctapipe and by hand."""

import numpy as np
import pytest

import etendue as et
from etendue.dataflow.partition import Partition
from etendue.dataflow.pipeline import PipelineError
from etendue.iact import EventType, KeepTelescopes
from etendue.iact.schema import ARRAY, EVENTS, camera_table
from etendue.schema import Schema
from etendue.store.reader import PassReader

from .simtel_files import find

NAME = "simtools__e149fc_proton"


def kept_by(source):
    """Event numbers of ctapipe's source, with the telescopes that each has."""
    return {int(event.index.event_id): sorted(map(int, event.trigger.tels_with_trigger)) for event in source}


def telescopes_of(tree):
    """The same of ours."""
    found = {int(event_id): [] for event_id in tree["events"]["event_id"].values}
    for node in tree.children.values():
        if "tel_id" in node and "event_id" in node:
            for event_id, tel_id in zip(node["event_id"].values, node["tel_id"].values, strict=True):
                found[int(event_id)].append(int(tel_id))
    return {event_id: sorted(tel_ids) for event_id, tel_ids in found.items()}


@pytest.mark.parametrize(
    ("ours", "size"), [(("LST*",), "LST"), (("MST_MST_NectarCam", "LST"), None), ((1, 5), None)]
)
def test_telescopes_are_those_that_ctapipe_allows(shared, tmp_path, ours, size):
    from ctapipe.io import SimTelEventSource

    path = find(shared, NAME)
    with SimTelEventSource(path) as source:
        types = {int(t): (tel.type.name, tel.camera_name) for t, tel in source.subarray.tel.items()}
    if ours == (1, 5):
        allowed = set(ours)
    else:
        allowed = {
            t for t, (kind, camera) in types.items() if kind == "LST" or (not size and camera == "NectarCam")
        }
    assert 0 < len(allowed) < len(types)
    with SimTelEventSource(path, allowed_tels=allowed, skip_calibration_events=False) as source:
        theirs = kept_by(source)
    (et.open(path) | KeepTelescopes(telescopes=ours)).write(tmp_path / "s", "p", quiet=True)
    assert telescopes_of(et.load(tmp_path / "s")) == theirs
    assert theirs
    toml = PassReader.open(str(tmp_path / "s")).attributes["provenance"]
    assert "KeepTelescopes" in str(toml)


@pytest.mark.parametrize(
    ("telescopes", "message"),
    [
        ((1, 999), "'tel 999' is no telescope of the inputs.*with the numbers"),
        (("LTS*",), r"'LTS\*' is no telescope of the inputs; did you mean 'LST\*'"),
        (("SCTCam",), "'SCTCam' is no telescope|no telescope of the inputs is meant"),
    ],
)
def test_unknown_telescopes_are_named_before_the_run(shared, telescopes, message):
    flow = et.open(find(shared, NAME)) | KeepTelescopes(telescopes=telescopes)
    with pytest.raises(PipelineError, match=message):
        flow.plan()


def partition():
    """Two runs whose telescopes have numbers of one another: telescope 1 is an LST, then an MST."""
    schema = Schema({}).with_tables([EVENTS, camera_table("cam", n_gains=1, n_samples=1, n_pixels=1), ARRAY])
    array = {
        "run": np.array([0, 0, 1, 1], np.uint32),
        "tel_id": np.array([1, 2, 1, 2], np.int16),
        "type": np.array(["LST", "MST", "MST", "LST"]),
        "name": np.array(["LST", "MST", "MST", "LST"]),
        "camera_name": np.array(["LSTCam", "FlashCam", "FlashCam", "LSTCam"]),
    }
    tables = {
        "events": {"run": np.array([0, 0, 1, 1], np.uint32), "n_cam": np.array([2, 1, 1, 0], np.int32)},
        "cam": {
            "tel_id": np.array([1, 2, 2, 1], np.int16),
            "event_type": np.array([32, 18, 18, 32], np.uint8),
        },
    }
    return Partition(0, schema, tables, {"array": array})


def test_patterns_are_of_the_telescopes_of_the_run():
    made = KeepTelescopes(telescopes="LST")(partition())
    assert made["cam/selected"].tolist() == [True, False, False, False]
    assert made["events/selected"].tolist() == [True, False, False, False]
    made = KeepTelescopes(telescopes=(1,))(partition())
    assert made["cam/selected"].tolist() == [True, False, False, True]
    assert made["events/selected"].tolist() == [True, False, True, False]


def test_readouts_are_selected_by_why_they_were_taken():
    """Random mono triggers (ctapipe#2941) are told from ordinary ones, and left out of showers."""
    cut = et.Select(f"event_type != {EventType.RANDOM_MONO}", table="@camera")
    made = cut(partition())
    assert made["cam/selected"].tolist() == [True, False, False, True]
    assert list(made) == ["cam/selected"]
