"""Unfolding of waveforms: against SciPy, against known pulses, and against IceCube's pulses."""

import numpy as np
import pytest
from scipy.optimize import nnls as scipy_nnls

from etendue.neutrino.icecube.nnls import nnls
from etendue.neutrino.icecube.pulse_extraction import ExtractPulses
from etendue.neutrino.icecube.unfolding import ATWD, FADC, PHOTO_ELECTRON, Digitiser, photo_electron, unfold
from tests.neutrino.icecube.events import run
from tests.neutrino.icecube.files import SIMULATED, simulated

UPGRADE = "upgrade_genie_step4_140028_000998_first_5_frames.i3.gz"
BRIGHT, LATE = Digitiser(10 / 3, 0.25, ATWD[0]), Digitiser(25.0, 0.18, FADC)


@pytest.mark.parametrize("shape", [(40, 10), (60, 40), (30, 50)])
def test_nnls_equals_scipys(shape):
    rng = np.random.default_rng(0)
    for _ in range(30):
        matrix = rng.random(shape)
        data = matrix @ np.maximum(rng.normal(size=shape[1]), 0) + 0.1 * rng.normal(size=shape[0])
        ours, (theirs, residual) = nnls(matrix, data, 1e-10), scipy_nnls(matrix, data)
        assert ours.min() >= 0
        assert np.linalg.norm(matrix @ ours - data) <= residual * (1 + 1e-8) + 1e-9
        if shape[0] > shape[1]:
            np.testing.assert_allclose(ours, theirs, atol=1e-7)


def test_nnls_of_equal_columns_and_of_nothing():
    column = np.array([1.0, 2.0, 3.0])
    found = nnls(np.stack([column, column, -column], axis=1), 5 * column, 1e-9)
    assert found[:2].sum() == pytest.approx(5.0)
    assert found[2] == 0
    assert nnls(np.eye(3), np.zeros(3), 1e-9).tolist() == [0, 0, 0]
    assert nnls(np.eye(3), -np.ones(3), 1e-9).tolist() == [0, 0, 0]


@pytest.mark.parametrize("template", [*ATWD, FADC])
def test_templates_have_unit_integral(template):
    t = np.arange(-30.0, 600.0, 0.05)
    assert sum(photo_electron(x, template) for x in t) * 0.05 == pytest.approx(1.0, abs=2e-3)


def waveform(pulses, n, digitiser, rng=None):
    """Samples of a sum of photo-electrons, with noise [mV]."""
    t = np.arange(n) * digitiser.bin_width
    shape = [[photo_electron(x - time, digitiser.template) for x in t] for time, _ in pulses]
    clean = PHOTO_ELECTRON * np.array([q for _, q in pulses]) @ np.array(shape)
    return clean if rng is None else clean + rng.normal(0, digitiser.noise, n)


def test_known_pulses_come_back():
    pulses = [(60.0, 1.0), (95.0, 2.0), (300.0, 0.8), (2000.0, 1.5)]
    rng = np.random.default_rng(2)
    atwd, fadc = waveform(pulses, 128, BRIGHT, rng), waveform(pulses, 256, LATE, rng)
    time, charge = unfold(atwd, fadc, 1000.0, BRIGHT, LATE, 0.0, 1.0, 4.0)
    assert len(time) == 4
    np.testing.assert_allclose(time - 1000.0, [t for t, _ in pulses], atol=4.0)
    np.testing.assert_allclose(charge, [q for _, q in pulses], rtol=0.12)


def test_charge_of_bright_light_is_right():
    rng = np.random.default_rng(3)
    pulses = [(t, 1.0) for t in rng.normal(150.0, 20.0, 60)]
    atwd, fadc = waveform(pulses, 128, BRIGHT, rng), waveform(pulses, 256, LATE, rng)
    _, charge = unfold(atwd, fadc, 0.0, BRIGHT, LATE, 0.0, 1.0, 4.0)
    assert charge.sum() == pytest.approx(60.0, rel=0.02)


def test_noise_and_nothing_give_no_pulse():
    rng = np.random.default_rng(4)
    for _ in range(20):
        time, _ = unfold(rng.normal(0, 0.25, 128), rng.normal(0, 0.18, 256), 0.0, BRIGHT, LATE, 0.0, 1.0, 5.0)
        assert len(time) == 0
    assert len(unfold(np.empty(0), np.empty(0), 0.0, BRIGHT, LATE, 0.0, 1.0, 4.0)[0]) == 0


def test_real_launches(shared):
    """Modules of which IceCube has one pulse in local coincidence, and we have one."""
    delays, ratios = [], []
    for name, series in ((UPGRADE, "IceCubePulses"), (SIMULATED[2], "InIcePulses")):
        tables = ("InIceRawData", "InIceRawData_atwd", "InIceRawData_fadc", series)
        events = run(ExtractPulses(), simulated(shared, name, (), tables))
        assert events.rows("ExtractedPulses") > 0
        keys = {}
        for table in ("ExtractedPulses", series):
            columns = [events[f"{table}/{c}"] for c in ("string", "om", "time", "charge")]
            for event, string, om, time, charge in zip(events.owners(table), *columns, strict=True):
                keys.setdefault((event, string, om), {}).setdefault(table, []).append((time, charge))
        for found in keys.values():
            if len(found.get("ExtractedPulses", ())) == len(found.get(series, ())) == 1:
                (ours, theirs) = found["ExtractedPulses"][0], found[series][0]
                delays.append(ours[0] - theirs[0])
                ratios.append(ours[1] / theirs[1])
    assert len(delays) >= 12
    # The delay of a module (transit in the photomultiplier, delay board) is about 150 ns; we do not know it.
    assert np.median(delays) == pytest.approx(150.0, abs=10.0)
    assert np.ptp(np.percentile(delays, [16, 84])) < 6.0
    assert np.median(ratios) == pytest.approx(1.0, abs=0.15)
