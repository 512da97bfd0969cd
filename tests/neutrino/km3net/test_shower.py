"""Showers against the truth of a simulation and KM3NeT's own fits; and what must hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from km3net_testdata import data_path

from etendue.neutrino.km3net.cherenkov import COS_THETA
from etendue.neutrino.km3net.muon.prefit import isotropic
from etendue.neutrino.km3net.shower import ReconstructShower
from etendue.neutrino.km3net.shower.light import (
    BACKGROUND,
    G_POWER,
    G_SCATTERED,
    G_WIDTH,
    best_energy,
    fit_direction,
)
from etendue.neutrino.km3net.shower.vertex import SPEED, fit_vertex, linear_vertex, robust_slopes
from etendue.neutrino.km3net.truth import LeadingParticles

from .reconstruction import angle, grid_detector, hit_columns, partition_of, vectors
from .stages import joined, run_file

NU_E = "offline/mcv6.gsg_nue-CCHEDIS_1e4-1e6GeV.sirene.jte.jchain.aanet.1.root"
ARCA_115 = data_path("detx/KM3NeT_-00000001_20171212.detx")
COLUMNS = list(ReconstructShower.writes)
SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def nu_e():
    """31 events of electron neutrinos of 10 TeV to 1 PeV in ARCA, in two partitions."""
    return run_file(NU_E, ReconstructShower(detector=ARCA_115) | LeadingParticles(), cuts=(11,))


def of(partitions, prefix):
    return np.column_stack([joined(partitions, f"events/{prefix}_{c}") for c in "xyz"])


def test_direction_position_and_energy(nu_e):
    """Medians of 31 events: 5 deg, 6 m (the light comes from some 4 m ahead), 10 % in energy."""
    true = of(nu_e, "mc_nu_dir")
    away = of(nu_e, "shower_pos") - of(nu_e, "mc_nu_pos")
    along = (away * true).sum(axis=1)
    ratio = joined(nu_e, "events/shower_E") / joined(nu_e, "events/mc_nu_E")
    assert joined(nu_e, "events/shower_exists").all()
    assert np.median(angle(of(nu_e, "shower_dir"), true)) < 5
    assert np.median(np.linalg.norm(away, axis=1)) < 6
    assert 2 < np.median(along) < 6
    assert np.median(np.linalg.norm(away - along[:, None] * true, axis=1)) < 1.5
    assert abs(np.median(ratio) - 1) < 0.1
    assert (abs(np.log10(ratio)) < 0.15).mean() > 0.75


def test_independent_of_partitioning(nu_e):
    whole = run_file(NU_E, ReconstructShower(detector=ARCA_115))
    for name in COLUMNS:
        np.testing.assert_array_equal(joined(nu_e, name), joined(whole, name), err_msg=name)


def point_hits(rng, vertex, time, reach=60.0, smear=1.0):
    """Hits of the photomultipliers of the grid that face a point within reach."""
    place, axis = grid_detector()
    away = place - vertex
    d = np.linalg.norm(away, axis=1)
    lit = np.flatnonzero((d < reach) & ((away * axis).sum(axis=1) < 0))
    t = time + d[lit] / SPEED + rng.normal(0, smear, len(lit))
    return hit_columns(lit, t, place, axis, np.ones(len(lit), np.uint64))


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_vertex_of_light_of_a_point(seed):
    rng = np.random.default_rng(seed)
    vertex, time = rng.uniform(-30, 30, 3), rng.uniform(1e7, 9e7)
    event = point_hits(rng, vertex, time)
    order = rng.permutation(len(event["t"]))
    found = ReconstructShower()(partition_of([event, {n: column[order] for n, column in event.items()}]))
    assert np.linalg.norm(vectors(found, "events/shower_pos") - vertex, axis=1).max() < 2
    assert abs(found["events/shower_t"] - time).max() < 6
    for name in COLUMNS:
        np.testing.assert_array_equal(found[name][0], found[name][1], err_msg=name)


def test_noise_does_not_draw_the_vertex():
    rng = np.random.default_rng(4)
    vertex, (place, axis) = np.array([5.0, -8.0, 3.0]), grid_detector()
    light, n = point_hits(rng, vertex, 5e7), 40
    noise = hit_columns(
        rng.integers(0, len(place), n), 5e7 + rng.uniform(-4000, 4000, n), place, axis, np.ones(n, np.uint64)
    )
    event = {name: np.concatenate([light[name], noise[name]]) for name in light}
    found = ReconstructShower()(partition_of([event]))
    assert np.linalg.norm(vectors(found, "events/shower_pos")[0] - vertex) < 2


def test_few_hits_or_none():
    place, axis = grid_detector()
    empty = hit_columns(np.arange(0), np.empty(0), place, axis, np.empty(0, np.uint64))
    three = hit_columns(np.array([0, 6, 12]), np.arange(3.0), place, axis, np.ones(3, np.uint64))
    good = point_hits(np.random.default_rng(5), np.zeros(3), 1e6)
    found = ReconstructShower()(partition_of([empty, three, good, empty]))
    assert found["events/shower_exists"].tolist() == [False, False, True, False]
    assert found["events/shower_n_hits"][[0, 1, 3]].tolist() == [0, 0, 0]
    np.testing.assert_array_equal(np.isfinite(found["events/shower_pos_x"]), found["events/shower_exists"])
    assert np.isnan(found["events/shower_E"]).all(), "no detector is known"


def exact_hits(rng, vertex, n=25):
    hits = np.zeros((n, 8))
    hits[:, :3] = rng.uniform(-100, 100, (n, 3))
    hits[:, 6] = vertex[3] + np.linalg.norm(hits[:, :3] - vertex[:3], axis=1) / SPEED
    return hits


@settings(deadline=None)
@given(SEEDS)
def test_exact_hits_give_the_exact_vertex(seed):
    rng = np.random.default_rng(seed)
    vertex = np.append(rng.uniform(-50, 50, 3), rng.uniform(-100, 100))
    hits = exact_hits(rng, vertex)
    found, cost = fit_vertex(hits)
    np.testing.assert_allclose(found, vertex, atol=1e-2)
    assert cost < 1e-3
    np.testing.assert_allclose(linear_vertex(hits), vertex, atol=2.0)


def test_gradient_of_the_robust_cost():
    rng = np.random.default_rng(6)
    hits, vertex = exact_hits(rng, np.array([1.0, 2.0, 3.0, 4.0])), np.array([8.0, -4.0, 6.0, 9.0])
    gradient, curvature = np.empty(4), np.empty((4, 4))
    robust_slopes(vertex, hits, 1e3, gradient, curvature)
    for j, step in enumerate(np.eye(4) * 1e-4):
        costs = [robust_slopes(v, hits, 1e3, np.empty(4), curvature) for v in (vertex + step, vertex - step)]
        assert np.isclose(gradient[j], (costs[0] - costs[1]) / 2e-4, rtol=1e-4)


@settings(deadline=None)
@given(SEEDS)
def test_energy_is_where_the_likelihood_peaks(seed):
    rng = np.random.default_rng(seed)
    signal, unhit = np.exp(rng.normal(size=rng.integers(1, 50))), np.exp(rng.normal()) * 10

    def deviance(x):
        return np.exp(x) * unhit - np.log(-np.expm1(-(np.exp(x) * signal + BACKGROUND))).sum()

    x, value = best_energy(signal, len(signal), unhit, 0.0)
    assert np.isclose(value, deviance(x))
    grid = np.arange(-8, 8, 0.01)
    assert value <= min(deviance(y) for y in grid) + 1e-3


def test_direction_and_energy_of_light_as_in_the_model():
    """Photomultipliers hit by chance with the model's probabilities give back its direction and energy."""
    rng = np.random.default_rng(7)
    towards = rng.normal(size=(3000, 3))
    towards /= np.linalg.norm(towards, axis=1)[:, None]
    direction, log_energy = np.array([0.36, 0.48, 0.8]), 0.7
    light = np.exp(rng.normal(size=(3000, 1))) * [2.0, 0.01]
    cosine = towards @ direction
    direct, scattered = np.exp(-G_WIDTH * abs(cosine - COS_THETA) ** G_POWER), np.exp(G_SCATTERED * cosine)
    mu = np.exp(log_energy) * (light[:, 0] * direct + light[:, 1] * scattered) + BACKGROUND
    is_hit = rng.random(3000) < -np.expm1(-mu)
    rows = np.flatnonzero(is_hit)
    unhit = np.where(is_hit[:, None], 0.0, light)
    found, x, _ = fit_direction(isotropic(20.0), towards, unhit, light[rows], rows)
    assert angle(found[None], direction[None])[0] < 2
    assert abs(x - log_energy) < 0.15
