"""IceCube's frames: what is written is read."""

import bz2
import gzip
import re
import struct
from itertools import pairwise

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from etendue.dataflow.source import SourceError
from etendue.neutrino.sources.icecube import decode, read_frames, read_particles

from . import i3_files as i3


def write(path, *frames):
    path.write_bytes(b"".join(frames))
    return str(path)


def read(path, *frames):
    return i3.scan_and_read(write(path, *frames))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.i3"


def test_events_are_physics_frames_with_their_daq_frame(path):
    scan, partition = read(
        path,
        i3.frame("I", {}),
        i3.frame("Q", {"I3EventHeader": i3.header(7, 1), "charge": i3.number(1.5), "both": i3.number(1.0)}),
        i3.frame("P", {"I3EventHeader": i3.header(7, 1, 0, "split"), "both": i3.number(2.0)}),
        i3.frame("P", {"I3EventHeader": i3.header(7, 1, 1, "split")}),
        i3.frame("Q", {"I3EventHeader": i3.header(7, 2)}),
        i3.frame("Q", {"I3EventHeader": i3.header(7, 3), "charge": i3.number(4.0)}),
        i3.frame("P", {}),
    )
    events = partition.tables["events"]
    assert events["event_id"].tolist() == [1, 1, 2, 3]
    assert events["sub_event_id"].tolist() == [0, 1, 0, 0]
    assert events["sub_event_stream"].tolist() == ["split", "split", "", ""]
    assert events["is_physics"].tolist() == [True, True, False, True]
    assert events["frame"].tolist() == [2, 3, 4, 6]
    np.testing.assert_array_equal(events["charge"], [1.5, 1.5, np.nan, 4.0])
    np.testing.assert_array_equal(events["both"], [2.0, 1.0, np.nan, np.nan])
    assert events["both_exists"].tolist() == [True, True, False, False]
    start = np.datetime64("2011-01-01T00:00:00", "ns").astype("i8") + 123456
    assert events["time"].tolist() == [start] * 4
    for table in partition.schema.values():
        if table.role == "rows":
            table.validate(partition.tables[table.name], complete=True)
    assert scan.static["observation"]["n_frames"].tolist() == [7]


def test_named_numbers_and_filters_become_columns(path):
    _, partition = read(
        path,
        i3.frame(
            "Q", {"weights": i3.named({"a": 1.0, "b/c": 2.0}), "mask": i3.filters({"HESE": (True, False)})}
        ),
        i3.frame("Q", {"weights": i3.named({"a": 3.0, "d": 4.0})}),
    )
    events = partition.tables["events"]
    np.testing.assert_array_equal(events["weights_a"], [1.0, 3.0])
    np.testing.assert_array_equal(events["weights_b_c"], [2.0, np.nan])
    np.testing.assert_array_equal(events["weights_d"], [np.nan, 4.0])
    assert events["mask_HESE_condition_passed"].tolist() == [True, False]
    assert events["mask_HESE_prescale_passed"].tolist() == [False, False]


def test_particles_are_in_degrees(path):
    _, partition = read(
        path, i3.frame("P", {"fit": i3.particle(zenith=np.pi / 4, azimuth=np.pi)}), i3.frame("P", {})
    )
    events = partition.tables["events"]
    np.testing.assert_allclose(events["fit_zenith"], [45.0, np.nan])
    np.testing.assert_allclose(events["fit_azimuth"], [180.0, np.nan])
    assert events["fit_exists"].tolist() == [True, False]
    assert partition.schema["events"].variables["fit_zenith"].units == "deg"


PULSE = st.tuples(
    st.floats(-1e5, 1e5), st.floats(0, 1e3, width=32), st.floats(0, 100, width=32), st.integers(0, 7)
)
KEY = st.tuples(st.integers(1, 86), st.integers(1, 64), st.integers(0, 23))
SERIES = st.dictionaries(KEY, st.lists(PULSE, max_size=4), max_size=6).map(lambda d: dict(sorted(d.items())))


def flat(series):
    return [(*key, *pulse) for key, pulses in series.items() for pulse in pulses]


def rows(columns):
    names = ("string", "om", "pmt", "time", "charge", "width", "flags")
    return list(zip(*(columns[name].tolist() for name in names), strict=True))


@given(st.lists(SERIES, min_size=1, max_size=3), st.data())
@settings(max_examples=25, deadline=None)
def test_pulses_masks_and_unions(tmp_path_factory, all_series, data):
    frames, kept, joined = [], [], []
    for series in all_series:
        bits = [[data.draw(st.booleans()) for _ in pulses] for pulses in series.values()]
        chosen = {
            key: [p for p, bit in zip(pulses, row, strict=True) if bit]
            for (key, pulses), row in zip(series.items(), bits, strict=True)
            if any(row)
        }
        again = [[i == 0 for i in range(len(pulses))] for pulses in chosen.values()]
        kept.append((flat(chosen), [flat({key: pulses[:1]})[0] for key, pulses in chosen.items()]))
        other = {(87, 3, 0): [(5.0, 1.0, 2.0, 1)]}
        both = {key: sorted(series.get(key, []) + other.get(key, [])) for key in sorted({**series, **other})}
        joined.append(flat(both))
        frames.append(
            i3.frame(
                "Q",
                {
                    "pulses": i3.pulse_map(series),
                    "other": i3.pulse_map(other),
                    "mask": i3.mask("pulses", bits, empty_byte=not series),
                    "mask of mask": i3.mask("mask", again),
                    "union": i3.union("pulses", "other"),
                },
            )
        )
    _, partition = read(tmp_path_factory.mktemp("i3") / "pulses.i3", *frames)
    assert rows(partition.tables["pulses"]) == [row for series in all_series for row in flat(series)]
    assert partition["events/n_pulses"].tolist() == [len(flat(series)) for series in all_series]
    assert rows(partition.tables["mask"]) == [row for chosen, _ in kept for row in chosen]
    assert rows(partition.tables["mask_of_mask"]) == [row for _, firsts in kept for row in firsts]
    union = rows(partition.tables["union"])
    assert sorted(union) == sorted(row for part in joined for row in part)
    keys_and_times = [row[:4] for row in union[: len(joined[0])]]
    assert keys_and_times == sorted(keys_and_times)


READOUT = st.tuples(
    st.integers(1, 86),
    st.integers(1, 60),
    st.booleans(),
    st.lists(
        st.tuples(st.integers(-500, 300_000), st.integers(0, 200_000), st.integers(0, 8)),
        min_size=1,
        max_size=5,
    ),
).map(lambda r: (*r[:3], sorted(r[3])))


def of_modules(readouts):
    """Pulses of each module in order of time: time, width, charge code, local coincidence."""
    modules = {}
    for string, om, hlc, pulses in sorted(readouts, key=lambda readout: readout[3][0][0]):
        modules.setdefault((string, om), []).extend((float(t), 2.0**w, q, hlc) for t, q, w in pulses)
    return {key: sorted(pulses, key=lambda pulse: pulse[0]) for key, pulses in modules.items()}


def apart(pulses):
    """Pulses of a module kept apart, as I3SuperDST::Unpack documents it by its code."""
    done, waits = [], False
    for i, (time, width, *rest) in enumerate(pulses):
        if i + 1 < len(pulses):
            width = min(width, pulses[i + 1][0] - time)
        if (width == 0 and i + 1 < len(pulses)) or waits:
            if done:
                shared = done[-1][1] or width
                done[-1] = (done[-1][0], shared / 2, *done[-1][2:])
                time, width = done[-1][0] + shared / 2, shared / 2
            waits = not done
        done.append((time, width, *rest))
    return done


@pytest.mark.parametrize(
    ("codes", "times", "widths"),
    [
        ([(100, 3), (100, 3), (110, 5)], [100, 104, 110], [4, 4, 32]),
        ([(100, 3), (103, 3)], [100, 103], [3, 8]),
        ([(90, 3), (100, 3), (100, 3), (200, 0)], [90, 94, 100, 200], [4, 4, 8, 1]),
        ([(100, 3), (100, 2)], [100, 102], [2, 2]),
        ([(100, 3)], [100], [8]),
    ],
)
def test_pulses_of_a_superdst_are_kept_apart(tmp_path, codes, times, widths):
    readouts = [(1, 2, True, [(time, 20, width) for time, width in codes])]
    _, partition = read(tmp_path / "x.i3", i3.frame("Q", {"dst": i3.superdst(readouts)}))
    assert partition["dst/time"].tolist() == times
    assert partition["dst/width"].tolist() == widths


def test_widths_end_at_the_next_readout_of_the_module(tmp_path):
    """Readouts of another module between, and of another kind, do not hide it."""
    readouts = [(1, 2, True, [(100, 1, 5)]), (3, 2, True, [(101, 1, 5)]), (1, 2, False, [(110, 1, 5)])]
    _, partition = read(tmp_path / "x.i3", i3.frame("Q", {"dst": i3.superdst(readouts)}))
    assert partition["dst/time"].tolist() == [100, 110, 101]
    assert partition["dst/width"].tolist() == [10, 32, 32]


def test_charges_of_icetop_are_logarithmic(tmp_path):
    codes = [0, 3641, 63, 64, 16383]
    readouts = [(k + 1, 61 + k % 4, k % 2 == 0, [(100 + k, code, 3)]) for k, code in enumerate(codes)]
    readouts.append((1, 60, True, [(50, 19, 0)]))
    _, partition = read(tmp_path / "x.i3", i3.frame("Q", {"dst": i3.superdst(readouts)}))
    expected = [0.975, *(10 ** (9 * code / 16383 - 2) for code in codes)]
    found = dict(zip(partition["dst/time"].tolist(), partition["dst/charge"].tolist(), strict=True))
    assert [found[time] for time in sorted(found)] == pytest.approx(expected, rel=1e-6)
    assert expected[2] == pytest.approx(1.0, rel=5e-4)  # the decade of 1 pe
    assert sorted(partition["dst/width"].tolist()) == [1, 8, 8, 8, 8, 8]


def test_icetop_charges_that_lack_bytes_are_told(tmp_path):
    whole = i3.superdst([(1, 61, True, [(5, 100, 1)])]).content
    path = tmp_path / "x.i3"
    path.write_bytes(i3.frame("Q", {"dst": whole[:-2] + b"\0"}))
    with pytest.raises(SourceError, match="I3SuperDST: its words do not fit together"):
        i3.scan_and_read(path)


@given(st.lists(READOUT, max_size=40))
@settings(max_examples=25, deadline=None)
def test_superdst(tmp_path_factory, readouts):
    path = tmp_path_factory.mktemp("i3") / "superdst.i3"
    _, partition = read(path, i3.frame("Q", {"dst": i3.superdst(readouts)}))
    expected = sorted(
        (*key, time, np.float32(0.05 * (charge + 0.5)), width, hlc)
        for key, pulses in of_modules(readouts).items()
        for time, width, charge, hlc in apart(pulses)
    )
    columns = partition.tables["dst"]
    found = sorted(
        zip(
            *(columns[name].tolist() for name in ("string", "om", "time", "charge", "width")),
            (columns["flags"] & 1).astype(bool).tolist(),
            strict=True,
        )
    )
    assert found == expected


SAMPLES = st.one_of(
    st.lists(st.integers(0, 1023), max_size=128),
    st.lists(st.integers(120, 130), max_size=128),
    st.lists(st.integers(0, 65535), max_size=30),
)


@given(st.lists(st.tuples(st.lists(SAMPLES, min_size=4, max_size=4), SAMPLES), min_size=1, max_size=3))
@settings(max_examples=25, deadline=None)
def test_waveforms(tmp_path_factory, series):
    path = tmp_path_factory.mktemp("i3") / "launches.i3"
    _, partition = read(path, i3.frame("Q", {"raw": i3.launches({(1, 2): series})}))
    assert partition["raw/string"].tolist() == [1] * len(series)
    atwd, fadc = partition.tables["raw_atwd"], partition.tables["raw_fadc"]
    expected = [(c, samples) for waveforms, _ in series for c, samples in enumerate(waveforms) if samples]
    assert atwd["channel"].tolist() == [channel for channel, _ in expected]
    assert [row[:n].tolist() for row, n in zip(atwd["waveform"], atwd["n_samples"], strict=True)] == [
        samples for _, samples in expected
    ]
    assert partition["raw/n_raw_fadc"].tolist() == [bool(samples) for _, samples in series]
    assert [row[:n].tolist() for row, n in zip(fadc["waveform"], fadc["n_samples"], strict=True)] == [
        samples for _, samples in series if samples
    ]


@given(st.lists(st.integers(0, 10), max_size=40))
@settings(max_examples=25, deadline=None)
def test_trees(tmp_path_factory, ups):
    parents, last = [], -1
    for up in ups:  # the parent of the next particle is the last one or one of those above it
        parent = last
        while up and parent >= 0:
            parent, up = parents[parent], up - 1
        last = len(parents)
        parents.append(parent)
    path = tmp_path_factory.mktemp("i3") / "tree.i3"
    _, partition = read(
        path, i3.frame("Q", {"tree": i3.tree(parents)}), i3.frame("Q", {"tree": i3.tree([-1, 0])})
    )
    assert partition["events/n_tree"].tolist() == [len(parents), 2]
    assert partition["tree/parent"].tolist() == [*parents, -1, 0]
    assert partition["tree/energy"].tolist() == [*map(float, range(len(parents))), 0.0, 1.0]


def test_conditions_hold_from_the_next_event_on(path):
    geometry = [i3.geometry({(1, 1): (0.0, 0.0, float(z)), (1, 2): (1.0, 2.0, 3.0)}) for z in range(2)]
    scan = i3.SOURCE.scan(
        write(
            path,
            i3.frame("G", {"I3Geometry": geometry[0]}),
            i3.frame("Q", {"x": i3.number(0)}),
            i3.frame("G", {"I3Geometry": geometry[1], "note": b"unknown"}),
            i3.frame("P", {}),
            i3.frame("Q", {"x": i3.number(1)}),
        )
    )
    first, second = i3.SOURCE.read(scan, [(0, 1), (1, 2)], i3.all_columns(scan))
    table = first.tables["geometry/I3Geometry"]
    assert table["valid_from"].tolist() == [0, 0, 0, 0]
    assert table["pos_z"].tolist() == [0.0, 3.0, 1.0, 3.0]
    assert table["om"].tolist() == [1, 2, 1, 2]
    assert len(second.tables["geometry/I3Geometry"]["valid_from"]) == 0
    assert second.conditions["geometry/I3Geometry"]["valid_from"].tolist() == [0, 0, 0, 0]
    assert first.tables["geometry/note"]["byte"].tobytes() == b"unknown"


def test_unknown_types_are_kept_as_bytes(path):
    blob = i3.Blob("SomebodysClass", 3).pack("3d", 1, 2, 3)
    scan, partition = read(path, i3.frame("P", {"strange": blob}), i3.frame("P", {}))
    assert partition["strange/byte"].tobytes() == blob.content
    assert partition["events/n_strange"].tolist() == [len(blob.content), 0]
    listed = scan.static["frame_objects"]
    assert (listed["type"].tolist(), listed["is_decoded"].tolist()) == (["SomebodysClass"], [False])


def test_one_key_of_two_types(path):
    series = {(1, 1, 0): [(1.0, 1.0, 1.0, 1), (0.5, 1.0, 1.0, 1)]}
    _, partition = read(
        path,
        i3.frame("Q", {"x": i3.number(1.0), "pulses": i3.superdst([(2, 3, True, [(5, 1, 1)])])}),
        i3.frame("Q", {"x": i3.number(2.0), "pulses": i3.pulse_map(series)}),
        i3.frame("Q", {"x": i3.pulse_map(series), "pulses": i3.pulse_map(series)}),
        i3.frame("P", {"x": i3.number(3.0), "mask": i3.mask("pulses", [[False, True]])}),
    )
    events = partition.tables["events"]
    np.testing.assert_array_equal(events["x"], [1.0, 2.0, 3.0])
    assert events["n_x_I3RecoPulseSeriesMap"].tolist() == [0, 0, 0]
    assert events["n_pulses_I3SuperDST"].tolist() == events["n_pulses"].tolist() == [1, 2, 2]
    assert partition["pulses/time"].tolist() == [5.0, 1.0, 0.5, 1.0, 0.5]
    assert partition["mask/time"].tolist() == [0.5]


def many_events(n):
    frames = [i3.frame("G", {"I3Geometry": i3.geometry({(1, 1): (0.0, 0.0, 0.0)})})]
    for i in range(n):
        series = {(s, 5, 0): [(float(i + s), 1.0, 2.0, 7)] * (i % 3) for s in range(1, 2 + i % 4)}
        frames.append(i3.frame("Q", {"I3EventHeader": i3.header(1, i), "pulses": i3.pulse_map(series)}))
        frames += [i3.frame("P", {"fit": i3.particle(energy=i + k)}) for k in range(i % 3)]
        if i % 5 == 4:
            frames.append(i3.frame("D", {"x": i3.number(i)}))
    return frames


@pytest.mark.parametrize("packing", ["", "gz", "zst", "bz2"])
def test_packing_and_partitions_do_not_matter(tmp_path, packing, monkeypatch):
    pack = {"": bytes, "gz": gzip.compress, "zst": zstandard.compress, "bz2": bz2.compress}[packing]
    plain = b"".join(many_events(30))
    path = tmp_path / "events.i3"
    # Two members, cut in the middle of a frame.
    path.write_bytes(pack(plain[:5000]) + pack(plain[5000:]))
    monkeypatch.setattr("etendue.neutrino.sources.icecube.frame_walk.FILL", 2000)
    scan = i3.SOURCE.scan(str(path))
    assert scan.splittable == (packing == "")
    n = i3.n_events(scan)
    assert n == sum(max(i % 3, 1) for i in range(30))
    columns = i3.all_columns(scan)
    whole = next(iter(i3.SOURCE.read(scan, [(0, n)], columns)))
    for cuts in ([0, 1, 2, 17, n], [3, 9, 20]):
        ranges = list(pairwise(cuts))
        parts = list(i3.SOURCE.read(scan, ranges, columns))
        first, stop = ranges[0][0], ranges[-1][1]
        event = np.concatenate([p["events/event_index"] for p in parts])
        assert event.tolist() == list(range(first, stop))
        starts = whole.offsets("pulses")
        for name, values in whole.tables["pulses"].items():
            joined = np.concatenate([p.tables["pulses"][name] for p in parts])
            np.testing.assert_array_equal(joined, values[starts[first] : starts[stop]])
        for name, values in whole.tables["events"].items():
            joined = np.concatenate([p.tables["events"][name] for p in parts])
            np.testing.assert_array_equal(joined, values[first:stop])
        known = parts[-1].conditions["detector_status/x"]
        held = whole.conditions["detector_status/x"]
        assert known["value"].tolist() == held["value"][held["valid_from"] < stop].tolist()
    assert (scan.rows["pulses"] >= whole.counts("pulses")).all()


def test_only_columns_asked_for_are_read(path):
    write(path, *many_events(4))
    scan = i3.SOURCE.scan(str(path))
    asked = frozenset({"events/fit_energy", "events/n_pulses", "pulses/time"})
    partition = next(iter(i3.SOURCE.read(scan, [(0, i3.n_events(scan))], asked)))
    assert {
        f"{t}/{c}" for t, columns in partition.tables.items() for c in columns if "geometry" not in t
    } >= asked
    assert set(partition.tables["pulses"]) == {"time"}
    assert set(partition.tables["events"]) == {"fit_energy", "n_pulses"}


def test_counts_do_not_depend_on_what_else_is_asked_for(path):
    series = [([[1, 2], [], [3], []], [4, 5]), ([[], [1], [], []], [])]
    _, whole = read(
        path,
        *(
            i3.frame("Q", {"raw": i3.launches({(1, 2): series[:n]}), "tree": i3.tree([-1, 0, 0][:n])})
            for n in range(3)
        ),
    )
    counts = frozenset(
        f"{table}/{name}" for table, columns in whole.tables.items() for name in columns if name[:2] == "n_"
    ) - {"raw_atwd/n_samples", "raw_fadc/n_samples"}
    assert {"events/n_raw", "raw/n_raw_atwd", "raw/n_raw_fadc", "events/n_tree"} <= counts
    _, counted = i3.scan_and_read(path, columns=counts)
    assert {f"{table}/{name}" for table, columns in counted.tables.items() for name in columns} == counts
    for name in counts:
        np.testing.assert_array_equal(counted[name], whole[name])


def test_each_object_is_counted_once(tmp_path, monkeypatch):
    frames = many_events(30)
    monkeypatch.setattr("etendue.neutrino.sources.icecube.frame_walk.FILL", 2000)
    for name, pack in (("a.i3", bytes), ("a.i3.zst", zstandard.compress)):
        (tmp_path / name).write_bytes(b"".join(map(pack, frames)))
        scan = i3.SOURCE.scan(str(tmp_path / name))
        listed = scan.static["frame_objects"]
        found = dict(zip(listed["name"].tolist(), listed["n_objects"].tolist(), strict=True))
        assert found == {
            "I3EventHeader": 30,
            "pulses": 30,
            "fit": 30,
            "geometry/I3Geometry": 1,
            "detector_status/x": 6,
        }
        assert scan.static["observation"]["n_frames"].tolist() == [len(frames)]


def test_frames_one_by_one(path):
    write(path, *many_events(3))
    frames = read_frames(str(path))
    assert [frame.stop for frame in frames] == list("GQQPQPP")
    assert frames[3].keys() == ["fit"]
    assert frames[3].type("fit") == "I3Particle"
    assert frames[3].decode("fit").levels[""]["energy"].tolist() == [1.0]
    assert frames[-1].offset > frames[1].offset
    with pytest.raises(KeyError, match="has no 'pulse'"):
        frames[1].blob("pulse")
    particles = read_particles(str(path))
    assert particles["energy"].tolist() == [1.0, 2.0, 3.0]
    assert particles["frame"].tolist() == [3, 5, 6]
    with pytest.raises(ValueError, match="version 6 of the class I3Particle is not known"):
        decode(i3.Blob("I3Particle", 6).content)
    with pytest.raises(ValueError, match="'Other' are not decoded"):
        decode(i3.Blob("Other", 6).content)


def test_times_of_events_are_utc(path):
    """I3Time counts leap seconds: 157248010000000000 of 2012 is the beginning of July."""
    half_year = i3.header(7, 1).content
    for ticks in (1_234_567, 2_234_567):
        half_year = half_year.replace(
            struct.pack("<iq", 2011, ticks), struct.pack("<iq", 2012, 157_248_010_000_000_000 + ticks)
        )
    _, partition = read(path, i3.frame("Q", {"I3EventHeader": half_year}))
    start, end = (partition[f"events/{name}"].astype("datetime64[ns]")[0] for name in ("time", "end_time"))
    assert start == np.datetime64("2012-07-01T00:00:00.000123456")
    assert end == np.datetime64("2012-07-01T00:00:00.000223456")


def test_each_name_stands_for_one_thing(path):
    """A field and a number, columns that all events have, counts of rows, the mark of selection."""
    scan, partition = read(
        path,
        i3.frame(
            "Q",
            {
                "I3EventHeader": i3.header(7, 1),
                "Reco": i3.particle(energy=10.0),
                "Reco_energy": i3.number(99.0),
                "run_id": i3.number(1.5),
                "time": i3.number(2.5),
                "selected": i3.number(0.0),
                "observation": i3.number(3.5),
                "map": i3.named({"a b": 1.0, "a_b": 2.0, "exists": 3.0, "c": 4.0}),
                "map_c": i3.number(5.0),
                "Pulses": i3.pulse_map({(1, 1, 0): [(1.0, 1.0, 1.0, 1)]}),
                "n_Pulses": i3.number(6.0),
            },
        ),
        i3.frame("Q", {"I3EventHeader": i3.header(7, 2)}),
    )
    events = partition.tables["events"]
    assert events["Reco_energy"].tolist()[0] == 10.0
    assert events["Reco_energy_I3Double"].tolist()[0] == 99.0
    assert events["run_id"].tolist() == [7, 7]
    assert events["run_id_I3Double"].tolist()[0] == 1.5
    assert events["time_I3Double"].tolist()[0] == 2.5
    assert events["selected_I3Double"].tolist()[0] == 0.0
    assert events["observation_I3Double"].tolist()[0] == 3.5
    marked = {name: value[0] for name, value in events.items() if name.startswith("map_")}
    assert (marked.pop("map_exists"), marked.pop("map_c"), marked.pop("map_c_I3Double")) == (True, 4.0, 5.0)
    assert marked.pop("map_c_I3Double_exists")
    assert sorted(marked.values()) == [1.0, 2.0, 3.0]
    names = {re.sub("_[0-9a-f]{8}$", "", name): value for name, value in marked.items()}
    assert names["map_exists"] == 3.0
    assert len(events["event_index"]) == 2
    series = [name for name in partition.tables if name.startswith("Pulses")]
    assert [partition.tables[name]["charge"].tolist() for name in series] == [[1.0]]
    listed = scan.static["frame_objects"]
    names = dict(zip(listed["key"].tolist(), listed["name"].tolist(), strict=True))
    assert (names["Reco"], names["Reco_energy"]) == ("Reco", "Reco_energy_I3Double")
