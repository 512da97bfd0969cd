"""Positions of pulses, and how pulses are gathered for kernels."""

import numpy as np
import pytest
from km3net_testdata import data_path

from etendue.dataflow.partition import Partition
from etendue.dataflow.source import SourceError
from etendue.neutrino.icecube.geometry import PlacePulses, positions
from etendue.neutrino.icecube.pulses import direction_angles, gather
from etendue.schema import SchemaError
from tests.neutrino.icecube.events import SERIES, detector, muon, partition_of, place


def wanting(partition, conditions):
    names = frozenset(f"{SERIES}/pos_{axis}" for axis in "xyz")
    return Partition(0, partition.schema, partition.tables, conditions, wanted=names)


def test_positions_of_known_and_unknown_modules():
    string, om = np.array([3, 1, 99, 3]), np.array([7, 60, 1, 61])
    x, y, z = positions(detector(), string, om, np.zeros(4, int))
    np.testing.assert_array_equal(np.stack([x, y, z], axis=-1)[:2], place([3, 1], [7, 60]))
    assert np.isnan([x[2:], y[2:], z[2:]]).all()


def test_geometry_of_a_file(tmp_path):
    path = tmp_path / "positions.npy"
    table = np.arange(2 * 3 * 3, dtype=float).reshape(2, 3, 3)
    np.save(path, table)
    stage = PlacePulses(geometry=str(path), pulses=SERIES)
    brought = {name: columns for name, (_, columns) in stage.brings().items()}
    event = {"string": [1, 2, 2], "om": [3, 1, 3], "time": [0.0, 1.0, 2.0]}
    made = stage(wanting(partition_of([event]), brought))
    place_of = np.stack([made[f"{SERIES}/pos_{axis}"] for axis in "xyz"], axis=-1)
    np.testing.assert_array_equal(place_of, table[[0, 1, 1], [2, 0, 2]])


def test_geometry_of_another_detector_is_refused(tmp_path):
    path = str(tmp_path / "positions.npy")
    np.save(path, np.zeros((2, 3, 3)))
    event = {"string": [1, 2, 2, 7], "om": [3, 4, 61, 1], "time": [0.0, 1.0, 2.0, 3.0]}
    stage = PlacePulses(geometry=path, pulses=SERIES)
    brought = {name: columns for name, (_, columns) in stage.brings().items()}
    with pytest.raises(SourceError, match=r"module \(2, 4\): not there, and 2 pulses"):
        stage(wanting(partition_of([event]), brought))
    asked = PlacePulses(geometry=path, pulses=SERIES, other_detector=True)
    made = asked(wanting(partition_of([event]), brought))
    assert np.isnan(made[f"{SERIES}/pos_x"]).tolist() == [False, True, True, True]


def test_detector_files_of_km3net_and_other_frames_are_refused(tmp_path):
    schema = partition_of([muon(1)]).schema
    detx = data_path("detx/detx_v5.detx")
    with pytest.raises(SourceError, match="got KM3NeT's detector 49"):
        PlacePulses(geometry=detx).check(schema, {})
    PlacePulses(geometry=detx, other_detector=True).check(schema, {})
    path = str(tmp_path / "deep.npy")
    np.save(path, np.full((2, 3, 3), -1948.0))
    with pytest.raises(SourceError, match="modules at -1948 m in the middle"):
        PlacePulses(geometry=path).check(schema, {})


def test_without_a_geometry():
    with pytest.raises(SchemaError, match="the input brings no geometry; give the GCD file"):
        PlacePulses()(wanting(partition_of([muon(1)]), {}))


def test_only_wanted_positions_are_made():
    partition = partition_of([muon(1)])
    assert PlacePulses()(partition) == {}


def test_pulses_are_ordered_and_those_without_place_left_out():
    event = {"string": [2, 1, 1, 3], "time": [4.0, 9.0, 3.0, 1.0], "mask": [1, 1, 1, 0]}
    partition = partition_of([event, {"time": []}])
    pulses = gather(partition, SERIES, "mask")
    assert pulses.rows.tolist() == [2, 1, 0]
    assert pulses.starts.tolist() == [0, 3, 3]
    partition.tables[SERIES]["pos_x"][2] = np.nan
    assert gather(partition, SERIES).rows.tolist() == [1, 0, 3]
    assert gather(partition, SERIES, positions=False).rows.tolist() == [2, 1, 0, 3]


@pytest.mark.parametrize(("zenith", "azimuth"), [(0.1, 10.0), (90.0, 350.0), (179.0, 180.0), (45.0, 90.0)])
def test_angles_say_where_the_particle_comes_from(zenith, azimuth):
    z, a = np.radians(zenith), np.radians(azimuth)
    found = direction_angles(-np.sin(z) * np.cos(a), -np.sin(z) * np.sin(a), -np.cos(z))
    assert found == pytest.approx((zenith, azimuth))
