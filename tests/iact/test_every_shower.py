"""All simulated showers of a file, against eventio, and those that triggered against our events."""

import numpy as np
import pytest

import etendue as et
from etendue.dataflow.source import SourceError
from etendue.iact.schema import TRUTH
from etendue.iact.sources.simtel import every_shower

from .simtel_files import find, objects, unpacked

#: Simulated events that eventio finds, and events that triggered (calibration events are none).
FILES = {
    "simtools__e149fc": (1000, 4),
    "pyeventio__gamma_merged": (126, 0),
    "pyeventio__n_hv": (290, 1),
    "pyeventio__calib_true": (25, 0),
    "digicampipe__1": (3, 1),
    "pyeventio__prod4": (10, 10),
}


def eventio_showers(path):
    """Each simulated event as eventio parses it: number, core, and its shower."""
    from eventio import EventIOFile
    from eventio.simtel.objects import MCEvent, MCShower

    found, shower = [], None
    with EventIOFile(path) as file:
        for item in file:
            if isinstance(item, MCShower):
                shower = item.parse()
            elif isinstance(item, MCEvent):
                if found and found[-1][0] == item.header.id:
                    found.pop()
                found.append((item.header.id, item.parse(), shower))
    return found


@pytest.mark.parametrize("name", FILES)
def test_showers_are_those_that_eventio_reads(shared, name):
    path = find(shared, name)
    theirs = eventio_showers(path)
    ours = et.open(f"{path}#showers").collect()[1]["showers"]
    assert (len(ours["event_id"]), int(ours["triggered"].sum())) == FILES[name]
    assert len(theirs) == FILES[name][0]
    columns = {
        "event_id": [event_id for event_id, _, _ in theirs],
        "shower_id": [event["shower_num"] for _, event, _ in theirs],
        "true_core_x": [event["xcore"] for _, event, _ in theirs],
        "true_core_y": [event["ycore"] for _, event, _ in theirs],
        "true_energy": [shower["energy"] for _, _, shower in theirs],
        "true_shower_primary_id": [shower["primary_id"] for _, _, shower in theirs],
        "true_h_first_int": [shower["h_first_int"] for _, _, shower in theirs],
        "true_x_max": [shower["xmax"] for _, _, shower in theirs],
    }
    for column, values in columns.items():
        np.testing.assert_array_equal(
            ours[column], np.array(values, dtype=ours[column].dtype), err_msg=column
        )
    for column, angle in (("true_alt", "altitude"), ("true_az", "azimuth")):
        degrees = np.degrees([float(shower[angle]) for _, _, shower in theirs])
        np.testing.assert_allclose(ours[column] % 360, degrees % 360, atol=1e-5, err_msg=column)
    assert ours["shower_index"].tolist() == list(range(len(theirs)))


@pytest.mark.parametrize("name", FILES)
def test_those_that_triggered_are_the_events(shared, name):
    """By their numbers and all that was simulated; calibration events are of no shower."""
    path = find(shared, name)
    showers = et.open(f"{path}#showers").collect()[1]["showers"]
    events = et.open(path).columns("events/*").collect()[1]["events"]
    physics = events["event_type"] == et.iact.EventType.SUBARRAY
    for column in ("obs_id", "event_id", *TRUTH):
        np.testing.assert_array_equal(showers[column][showers["triggered"]], events[column][physics])


def test_partitions_do_not_matter(shared, tmp_path, monkeypatch):
    monkeypatch.setattr(every_shower, "BLOCK", 7)
    path = f"{find(shared, 'simtools__e149fc')}#showers"
    whole = et.open(path).collect()[1]["showers"]
    et.open(path, partition_bytes=4096).write(tmp_path / "s", "p", quiet=True)
    stored = et.load(tmp_path / "s")
    assert len(stored["showers"]["event_id"].chunks[0]) > 5
    for column, values in whole.items():
        np.testing.assert_array_equal(stored["showers"][column].values, values)
    assert stored["simulation"]["n_simulated"].values.tolist() == [1000.0]
    assert stored["observation"]["obs_id"].values.tolist() == np.unique(whole["obs_id"]).tolist()


def test_damage_is_told_and_costs_what_it_hits(shared, tmp_path):
    """A simulated shower that is missing, so that its event is of none."""
    parts = objects(unpacked(find(shared, "pyeventio__prod4")))
    lost = [n for n, (kind, _) in enumerate(parts) if kind == 2020][3]
    path = tmp_path / "a.simtel"
    path.write_bytes(b"".join(content for n, (_, content) in enumerate(parts) if n != lost))
    with pytest.raises(SourceError, match=r"object 2021, after 3 showers.*expected the simulated shower"):
        et.open(f"{path}#showers").collect()
    flow = et.open(f"{path}#showers", on_error="skip")
    assert len(flow.collect()[1]["showers"]["event_id"]) == 9
    assert [failure.events_lost for failure in flow.inputs.failures] == [1]
