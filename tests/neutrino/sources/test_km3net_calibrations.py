"""Orientations and acoustic events of KM3NeT, against what uproot reads."""

import numpy as np
import pytest
import uproot
from km3net_testdata import data_path

import etendue as et

COMPASS = {
    "calib/KM3NeT_00000133_D_1.0.0_00017397_00017496_1.orientations.root": 1146,
    "calib/KM3NeT_00000049_0.0.0_00007631_00007676_1.orientations.root": 104_946,
}
ACOUSTICS = "acoustics/KM3NeT_00000267_00024724.acoustic-events_A_2.0.0.root"


@pytest.mark.parametrize("name", COMPASS)
def test_orientations(name):
    path = data_path(name)
    events = et.open(path).compute()["events"]
    assert events.sizes["event"] == COMPASS[name]
    quaternion = np.stack([events[c].values for c in ("q0", "qx", "qy", "qz")])
    np.testing.assert_allclose(np.linalg.norm(quaternion, axis=0), 1.0, atol=1e-6)
    with uproot.open(path) as file:
        tree = file["ORIENTATION"]
        np.testing.assert_array_equal(events["dom_id"].values, tree["id"].array(library="np"))
        np.testing.assert_array_equal(events["t"].values, tree["t"].array(library="np"))
        for column, part in (("q0", "a"), ("qx", "b"), ("qy", "c"), ("qz", "d")):
            stored = tree[f"JCOMPASS::JQuaternion/{part}"].array(library="np")
            np.testing.assert_array_equal(events[column].values, stored)


def test_acoustic_events():
    path = data_path(ACOUSTICS)
    tree = et.open(path).compute()
    events, signals = tree["events"], tree["transmissions"]
    assert events.sizes["event"] == 518
    assert set(events["det_id"].values) == {267}
    assert tree["observation"]["det_id"].values.tolist() == [267]
    with uproot.open(path) as file:
        stored = file["ACOUSTICS"]
        np.testing.assert_array_equal(events["emitter_id"].values, stored["id"].array(library="np"))
        group = stored["vector<JACOUSTICS::JTransmission>"]
        members = {"receiver_id": "id", "run_id": "run", **{name: name for name in ("q", "w", "toa", "toe")}}
        for column, member in members.items():
            lists = group[f"vector<JACOUSTICS::JTransmission>.{member}"].array(library="np")
            np.testing.assert_array_equal(signals[column].values, np.concatenate(lists))
        assert events["n_transmissions"].values.tolist() == [len(one) for one in lists]
    assert (signals["toa"].values > signals["toe"].values).all()
