"""Calibration against ctapipe's R1 waveforms, and which calibration holds for which readout."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etendue.dataflow.source import SourceError
from etendue.iact.calibration import Calibrate, R1Waveform, calibration_rows, select_gain

from .readouts import readout_partition, reference_readouts

N_SAMPLES, N_PIXELS = 5, 4
#: With pixels in low gain, and with a camera of one gain channel.
FILES = ("pyeventio__history_meta_75", "simtools__run202")


def readouts(n, n_gains=2, seed=0):
    """Random samples, and one row of coefficients for each readout."""
    rng = np.random.default_rng(seed)
    r0 = rng.integers(250, 4200, (n, n_gains, N_SAMPLES, N_PIXELS)).astype(np.uint16)
    coefficients = {
        "pedestal": rng.normal(300, 5, (n, n_gains, N_PIXELS)).astype(np.float32),
        "dc_to_pe": rng.uniform(0.01, 0.1, (n, n_gains, N_PIXELS)).astype(np.float32),
        "time_shift": np.zeros((n, n_gains, N_PIXELS), dtype=np.float32),
        "broken": np.zeros((n, n_gains, N_PIXELS), dtype=bool),
    }
    return r0, coefficients


def partition_of(r0, coefficients):
    pixels = {f"pixel_{name}": np.arange(N_PIXELS, dtype=float) for name in ("x", "y", "area")}
    return readout_partition({"r0_waveform": r0}, coefficients, {}, pixels)


def test_waveforms_and_gain_channels_are_those_of_ctapipe(shared):
    from ctapipe.io import EventSource

    n_images = n_low = 0
    for group in reference_readouts(shared):
        if not group.group.name.startswith(FILES):
            continue
        made = Calibrate()(group.partition())
        np.testing.assert_array_equal(made["toycam/selected_gain_channel"], group.selected)
        (path,) = (shared / "data/simtel").glob(f"{group.group.name.partition('/')[0]}.simtel.*")
        keys = list(
            zip(group.group.data["index/event_id"][:], group.group.data["index/tel_id"][:], strict=True)
        )
        waveform = np.asarray(made["toycam/waveform"])
        with EventSource(path, focal_length_choice="EQUIVALENT") as source:
            for event in source:
                for tel, r1 in event.r1.tel.items():
                    if (event.index.event_id, tel) in keys:
                        row = keys.index((event.index.event_id, tel))
                        np.testing.assert_array_equal(waveform[row], r1.waveform[0].T)
                        n_images += 1
        n_low += np.count_nonzero(group.selected)
    assert n_images > 50
    assert n_low > 100


def test_low_gain_is_selected_above_the_threshold_only():
    r0 = np.zeros((1, 2, N_SAMPLES, N_PIXELS), dtype=np.uint16)
    r0[0, 0, 3] = [3999, 4000, 4001, 0]
    r0[0, 1] = 65535  # the low gain has no say
    np.testing.assert_array_equal(select_gain(r0, 4000), [[0, 0, 1, 0]])
    np.testing.assert_array_equal(select_gain(r0[:, :1], 0), [[0, 0, 0, 0]])
    partition = partition_of(r0, readouts(1)[1])
    made = Calibrate(gain_threshold=3999.5)(partition)
    np.testing.assert_array_equal(made["toycam/selected_gain_channel"], [[0, 1, 1, 0]])


@given(n_gains=st.integers(1, 3), seed=st.integers(0, 100), rows=st.lists(st.integers(0, 4), max_size=6))
@settings(max_examples=40, deadline=None)
def test_waveform_is_its_formula_for_any_rows(n_gains, seed, rows):
    r0, coefficients = readouts(5, n_gains, seed)
    rng = np.random.default_rng(seed)
    channel = rng.integers(0, n_gains, (5, N_PIXELS)).astype(np.uint8)
    row = rng.integers(0, 5, 5)
    waveform = R1Waveform(r0, channel, coefficients["pedestal"], coefficients["dc_to_pe"], row)
    readout, pixel = np.arange(5)[:, None], np.arange(N_PIXELS)
    pedestal, dc_to_pe = (
        coefficients[name][row[:, None], channel, pixel][:, None] for name in ("pedestal", "dc_to_pe")
    )
    samples = r0[readout, channel, :, pixel].transpose(0, 2, 1)
    expected = (samples.astype(np.float32) - pedestal) * dc_to_pe
    assert waveform.shape == expected.shape
    assert waveform.dtype == expected.dtype
    np.testing.assert_array_equal(np.asarray(waveform), expected)
    rows = np.array(rows, dtype=int)
    np.testing.assert_array_equal(np.asarray(waveform[rows]), expected[rows])
    np.testing.assert_array_equal(np.asarray(waveform[1:3]), expected[1:3])
    assert len(waveform[row > 2]) == np.count_nonzero(row > 2)
    with pytest.raises(ValueError, match="no view"):
        np.array(waveform, copy=False)


def test_missing_coefficients_give_nan_in_their_pixel_only():
    r0, coefficients = readouts(1, n_gains=1)
    coefficients["dc_to_pe"][0, 0, 2] = np.nan
    waveform = np.asarray(Calibrate()(partition_of(r0, coefficients))["toycam/waveform"])
    assert np.isnan(waveform[0, :, 2]).all()
    assert np.isfinite(np.delete(waveform, 2, axis=2)).all()


def test_output_is_as_declared():
    partition = partition_of(*readouts(3))
    stage = Calibrate()
    declared, made = stage.provides(partition.schema), stage(partition)
    table = partition.schema.with_variables(declared)["toycam"]
    sizes = {"gain": 2, "sample": N_SAMPLES, "pixel": N_PIXELS}
    assert replace(table, sizes=sizes).validate({n.removeprefix("toycam/"): c for n, c in made.items()}) == 3


row_tables = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(0, 9)), min_size=1, max_size=12
)


def with_rows(rows, wanted):
    """A partition of readouts (run, tel_id, event_index) with calibration rows (run, tel_id, valid_from)."""
    partition = partition_of(*readouts(len(wanted)))
    run, tel_id, event_index = np.array(wanted).T
    partition.tables["events"].update(run=run.astype(np.uint32), event_index=event_index)
    partition.tables["toycam"]["tel_id"] = tel_id.astype(np.int16)
    run, tel_id, valid_from = np.array(rows).reshape(-1, 3).T
    partition.conditions["calibration/toycam"].update(
        run=run.astype(np.uint32), tel_id=tel_id.astype(np.int16), valid_from=valid_from
    )
    return partition


@given(rows=row_tables, wanted=row_tables)
@settings(max_examples=200, deadline=None)
def test_the_last_row_that_is_valid_holds(rows, wanted):
    expected = []
    for run, tel, event in wanted:
        # Rows come as they are met: of two from the same event on, the later one holds.
        valid = [
            (start, n) for n, (r, t, start) in enumerate(rows) if (r, t) == (run, tel) and start <= event
        ]
        expected.append(max(valid)[1] if valid else None)
    partition = with_rows(rows, wanted)
    if None in expected:
        run, tel, event = wanted[expected.index(None)]
        with pytest.raises(SourceError, match=f"run {run}, telescope {tel}, event_index {event}: none of"):
            calibration_rows(partition, "toycam")
    else:
        np.testing.assert_array_equal(calibration_rows(partition, "toycam"), expected)


def test_a_run_without_calibration_is_an_error_that_says_so():
    with pytest.raises(SourceError, match="none of the 0 rows holds"):
        calibration_rows(with_rows([], [(0, 1, 0)]), "toycam")
