"""Cherenkov light of a track: the reference residuals of true muons, and what must hold for any track."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from etendue.neutrino.km3net.cherenkov import COS_THETA, N_GROUP, TAN_THETA, C, hypothesis

#: A track along z through the origin at t = 0, and a photomultiplier 30 m from it that looks at the light.
Z = np.array([0.0, 0.0, 1.0])
SEEDS = st.integers(0, 2**32 - 1)


def rotation(rng):
    """A random rotation: the orthogonal part of a random matrix, with determinant 1."""
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def random_track(rng, n=20):
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    axis = rng.normal(size=(n, 3))
    axis /= np.linalg.norm(axis, axis=1)[:, None]
    return rng.normal(size=3) * 100, direction, rng.normal() * 1000, rng.normal(size=(n, 3)) * 100, axis


def test_medians_of_the_residuals_of_true_muons(shared):
    """Median residual of the triggered hits to the true muon, in each of 248 simulated ARCA events."""
    folder = shared / "reference/km3net"
    events, hits, truth = (
        dict(np.load(folder / f"{name}_muoncc.npz")) for name in ("events", "calibrated", "mctruth")
    )
    expected = np.load(folder / "residuals_muoncc.npz")["median_trig"]
    for row, event in enumerate(truth["daq_index"]):
        rows = slice(*hits["offsets"][event : event + 2])
        t_rows = slice(*events["trig_offsets"][event : event + 2])
        key = [events[f"s_{c}"][rows].astype(np.int64) for c in ("dom_id", "channel_id", "time")]
        t_key = [events[f"t_{c}"][t_rows].astype(np.int64) for c in ("dom_id", "channel_id", "time")]
        is_triggered = np.isin(
            (key[0] * 32 + key[1]) << 31 | key[2], (t_key[0] * 32 + t_key[1]) << 31 | t_key[2]
        )
        offset = truth["mc_t"][row] - (truth["frame_index"][row] - 1) * 1e8
        arrival = hypothesis(
            np.array([truth[f"mu_pos_{c}"][row] for c in "xyz"]),
            np.array([truth[f"mu_dir_{c}"][row] for c in "xyz"]),
            truth["mu_t"][row] + offset,
            np.column_stack([hits[f"pos_{c}"][rows] for c in "xyz"]),
            np.column_stack([hits[f"dir_{c}"][rows] for c in "xyz"]),
        )[2]
        residual = (hits["time"][rows] - arrival)[is_triggered]
        assert abs(np.median(residual) - expected[row]) < 0.05, event


def test_light_at_30_m():
    """At 30 m: light leaves the track 30 / tan(theta) before and travels 30 / sin(theta)."""
    position, axis = np.array([[30.0, 0.0, 0.0]]), np.array([[-1.0, 0.0, 0.0]])
    along, rho, arrival, photon, impact = hypothesis(np.zeros(3), Z, 0.0, position, axis)
    sine = np.sqrt(1 - COS_THETA**2)
    assert (along[0], rho[0]) == (0, 30)
    assert np.isclose(arrival[0], (-30 / TAN_THETA + 30 / sine * N_GROUP) / C, rtol=1e-12)
    np.testing.assert_allclose(photon[0], [sine, 0, COS_THETA], rtol=1e-12)
    assert np.isclose(impact[0], -sine, rtol=1e-12)


@settings(deadline=None)
@given(SEEDS)
def test_rotated_and_moved_together(seed):
    rng = np.random.default_rng(seed)
    position, direction, time, pmt_position, pmt_axis = random_track(rng)
    turn, shift, later = rotation(rng), rng.normal(size=3) * 50, rng.normal() * 100
    plain = hypothesis(position, direction, time, pmt_position, pmt_axis)
    moved = hypothesis(
        turn @ position + shift,
        turn @ direction,
        time + later,
        pmt_position @ turn.T + shift,
        pmt_axis @ turn.T,
    )
    for name, a, b in zip(
        ("along", "rho", "impact"), (plain[0], plain[1], plain[4]), moved[:2] + moved[4:], strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(plain[2] + later, moved[2], atol=1e-7)
    np.testing.assert_allclose(plain[3] @ turn.T, moved[3], atol=1e-6)


@settings(deadline=None)
@given(SEEDS, st.floats(-1000, 1000))
def test_any_point_of_a_track_serves(seed, distance):
    position, direction, time, pmt_position, pmt_axis = random_track(np.random.default_rng(seed))
    further = position + distance * direction, direction, time + distance / C
    _, rho, arrival, _, impact = hypothesis(position, direction, time, pmt_position, pmt_axis)
    _, rho_2, arrival_2, _, impact_2 = hypothesis(*further, pmt_position, pmt_axis)
    np.testing.assert_allclose(rho, rho_2, atol=1e-8)
    np.testing.assert_allclose(arrival, arrival_2, atol=1e-7)
    np.testing.assert_allclose(impact, impact_2, atol=1e-6)


@settings(deadline=None)
@given(SEEDS)
def test_light_leaves_at_the_cherenkov_angle(seed):
    position, direction, time, pmt_position, pmt_axis = random_track(np.random.default_rng(seed))
    along, rho, _, photon, impact = hypothesis(position, direction, time, pmt_position, pmt_axis)
    np.testing.assert_allclose(photon @ direction, COS_THETA, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(photon, axis=1), 1, atol=1e-9)
    emission = position + np.outer(along - rho / TAN_THETA, direction)
    np.testing.assert_allclose(np.cross(pmt_position - emission, photon), 0, atol=1e-5)
    np.testing.assert_allclose((photon * pmt_axis).sum(axis=1), impact, atol=1e-9)
