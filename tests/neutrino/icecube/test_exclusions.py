"""Modules and times that fits leave out: made by hand, and as IceCube stored them with real events."""

import numpy as np
import pytest

from etendue.neutrino.icecube.exclusions import ExcludeModules
from etendue.schema import Table, variables
from tests.neutrino.icecube.events import SERIES, partition_of, run
from tests.neutrino.icecube.files import read

MODULE = {"string": ("int32", "", ""), "om": ("uint32", "", ""), "pmt": ("uint8", "", "")}
WINDOW = MODULE | {"start": ("float64", "ns", ""), "stop": ("float64", "ns", "")}
#: Two events of pulses: modules 1 to 4 of string 1 with two pulses each, at 0 and 100 ns.
EVENT = {"string": 1, "om": [1, 1, 2, 2, 3, 3, 4, 4], "time": [0.0, 100.0] * 4}


def with_table(partition, name, columns, counts, declared):
    table = Table(name, f"{name}_row", variables(f"{name}_row", **declared), parent="events")
    schema = partition.schema.with_tables([table])
    made = {f"{name}/{c}": np.asarray(a, np.dtype(declared[c][0])) for c, a in columns.items()}
    return partition.with_columns(made | {f"events/n_{name}": np.array(counts, np.int32)}, schema)


def kept(partition, **parameters):
    done = run(ExcludeModules(**parameters), partition)
    left = [done[f"events/usable_n_{what}_left_out"].tolist() for what in ("modules", "pulses")]
    return done[f"{SERIES}/usable"].reshape(2, -1).tolist(), *left


def test_listed_modules_are_left_out_of_their_event_only():
    listed = {"string": [1, 1, 2], "om": [2, 3, 1], "pmt": [0, 1, 0]}
    partition = with_table(partition_of([EVENT, EVENT]), "BrightDOMs", listed, [3, 0], MODULE)
    marks, modules, pulses = kept(partition)
    assert marks == [[True, True, False, False, True, True, True, True], [True] * 8]
    assert (modules, pulses) == ([1, 0], [2, 0])


@pytest.mark.parametrize(("partial", "expected"), [(True, [False, True]), (False, [False, False])])
def test_windows_leave_out_their_pulses_or_the_module(partial, expected):
    windows = {"string": [1], "om": [4], "pmt": [0], "start": [-5.0], "stop": [0.0]}
    partition = with_table(partition_of([EVENT, EVENT]), "CalibrationErrata", windows, [0, 1], WINDOW)
    marks, _, pulses = kept(partition, partial=partial)
    assert marks == [[True] * 8, [True] * 6 + expected]
    assert pulses == [0, 2 - sum(expected)]


def test_an_open_end_of_a_window_lets_nothing_through():
    windows = {"string": [1], "om": [4], "pmt": [0], "start": [np.nan], "stop": [50.0]}
    partition = with_table(partition_of([EVENT, EVENT]), "SaturationWindows", windows, [1, 0], WINDOW)
    assert kept(partition)[0][0] == [True] * 6 + [False, True]


def test_bright_modules_are_told_by_the_mean_charge():
    """Of 11 modules with 1 pe each and one with 20, the mean is 31 / 12: 20 is 7.7 times that."""
    event = {"string": 1, "om": np.arange(1, 13), "time": 0.0 * np.arange(12), "charge": [1.0] * 11 + [20.0]}
    partition = partition_of([event, {**event, "charge": 1.0}])
    assert kept(partition, bright=7.7)[2] == [1, 0]
    assert kept(partition, bright=7.8)[2] == [0, 0]
    assert kept(partition, bright=None)[2] == [0, 0]


def test_bad_modules_of_the_detector_hold_from_their_event_on():
    partition = partition_of([EVENT] * 2, run=np.zeros(2, np.uint32), event_index=np.array([4, 5]))
    since = {"run": ("uint32", "", ""), "valid_from": ("int64", "", "")}
    table = Table("BadDomsList", "bad", variables("bad", **MODULE, **since), role="conditions")
    columns = {"string": [1, 1], "om": [1, 2], "pmt": [0, 0], "run": [0, 0], "valid_from": [0, 5]}
    bad = {name: np.asarray(c, np.dtype((MODULE | since)[name][0])) for name, c in columns.items()}
    schema = partition.schema.with_tables([table])
    partition = type(partition)(0, schema, partition.tables, {**partition.conditions, "BadDomsList": bad})
    marks, _, _ = kept(partition)
    assert marks == [[False, False] + [True] * 6, [True, True, False, False] + [True] * 4]


def test_wrong_names_are_said():
    schema = partition_of([EVENT]).schema
    ExcludeModules().check(schema, {})
    with pytest.raises(ValueError, match="'BadDoms', and the inputs have no such table"):
        ExcludeModules(excluded=("BadDoms",)).check(schema, {})
    with pytest.raises(ValueError, match="'events', which has no columns string, om, pmt"):
        ExcludeModules(excluded=("events",)).check(schema, {})


def test_stored_windows_of_a_real_event(shared):
    """Errata of four modules and the saturation of one; by hand: a loop over the pulses and windows."""
    folder, series = shared / "data/icecube", "SplitUncleanedInIcePulses"
    tables = (series, "CalibrationErrata", "SaturationWindows")
    path = folder / "realtime_json/hese_event_02.json"
    if not path.is_file():
        pytest.skip(f"no file {path}")
    partition = read(path, folder / "geometry/retro_geo_array.npy", (), tables)
    pulses = partition.tables[series]
    expected = np.ones(len(pulses["time"]), bool)
    for name in tables[1:]:
        windows = partition.tables[name]
        assert len(windows["om"])
        for i, (string, om, time) in enumerate(
            zip(pulses["string"], pulses["om"], pulses["time"], strict=True)
        ):
            mine = (windows["string"] == string) & (windows["om"] == om)
            expected[i] &= not (mine & (windows["start"] <= time) & (time <= windows["stop"])).any()
    assert 0 < (~expected).sum() < len(expected)
    done = run(ExcludeModules(pulses=series, bright=None), partition)
    np.testing.assert_array_equal(done[f"{series}/usable"], expected)
