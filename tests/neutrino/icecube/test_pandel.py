"""The folded Pandel function against its closed form (parabolic cylinder functions) and its limits."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etendue.neutrino.icecube import pandel

RATE = pandel.MUON_ICE.rho * pandel.MUON_ICE.sigma
TABLE = pandel.make_table(pandel.MUON_ICE)


def test_the_rate_is_that_of_ice_model_h2():
    # 1 / 556.7 ns + (c / 1.35634) / 98 m
    assert pandel.MUON_ICE.rho == pytest.approx(1 / 556.7 + 0.299792458 / 1.35634 / 98.0, rel=1e-14)


@pytest.mark.parametrize("xi", [0.07, 0.3, 1.0, 2.5, 8.0, 13.0])
@pytest.mark.parametrize("t", [-8.0, -3.0, -1.0, 0.0, 0.5, 2.0, 5.0, 9.5, 11.0])
def test_the_folded_function_has_its_closed_form(t, xi):
    # van Eijndhoven et al. 2007: rate^xi / sqrt(2 pi) exp(-t^2/2 + eta^2/4) D_-xi(eta)
    special = pytest.importorskip("scipy.special")
    eta = RATE - t
    cylinder, _ = special.pbdv(-xi, eta)
    known = xi * math.log(RATE) - 0.5 * math.log(2 * math.pi) - t * t / 2 + eta * eta / 4 + math.log(cylinder)
    assert pandel.log_folded(t, xi, RATE) == pytest.approx(known, abs=1e-9)


@given(st.floats(60.0, 300.0), st.floats(0.1, 10.0))
def test_late_photons_hardly_notice_the_jitter(t, xi):
    plain = xi * math.log(RATE) + (xi - 1) * math.log(t) - RATE * t - math.lgamma(xi)
    # Folding adds half the second derivative of the function: p''/p.
    bend = ((xi - 1) / t - RATE) ** 2 - (xi - 1) / t**2
    assert pandel.log_folded(t, xi, RATE) == pytest.approx(plain + bend / 2, abs=2e-5)


def test_the_table_is_normalised_and_its_survival_is_its_integral():
    np.testing.assert_allclose(TABLE.survival[:, 0], 0.0, atol=1e-8)
    assert (np.diff(TABLE.survival, axis=1) <= 0).all()
    for xi in (0.2, 2.0, 9.0):
        t = np.linspace(-3, 60, 4001)
        density = np.array([math.exp(pandel.log_folded(x, xi, RATE)) for x in t])
        between = np.trapezoid(density, t)
        ends = [math.exp(pandel.interpolate(TABLE.survival, x, xi)) for x in (-3.0, 60.0)]
        assert ends[0] - ends[1] == pytest.approx(between, abs=2e-4)


@given(st.floats(math.asinh(-11), math.asinh(390)), st.floats(math.log(0.06), math.log(20)))
def test_between_the_points_of_the_table_it_is_right_to_a_thousandth(s, u):
    t, xi = math.sinh(s), math.exp(u)
    exact = pandel.log_folded(t, xi, RATE)
    assert pandel.interpolate(TABLE.density, t, xi) == pytest.approx(exact, abs=1e-3)


@given(st.floats(-11, 390), st.floats(math.log(0.06), math.log(20)))
def test_slopes_are_those_of_finite_differences(t, u):
    xi, h = math.exp(u), 1e-6
    for table in (TABLE.density, TABLE.survival):
        value, by_t, by_xi, by_t_t = pandel.interpolate_slopes(table, t, xi)
        assert value == pandel.interpolate(table, t, xi)
        ends = [pandel.interpolate(table, t + s, xi) for s in (-h, h)]
        assert by_t == pytest.approx((ends[1] - ends[0]) / (2 * h), rel=1e-5, abs=1e-5)
        ends = [pandel.interpolate(table, t, xi * (1 + s)) for s in (-h, h)]
        assert by_xi == pytest.approx((ends[1] - ends[0]) / (2 * h * xi), rel=1e-5, abs=1e-5 / xi)
        # The second derivative jumps from cell to cell of the table: it is between those of both sides.
        sides = [pandel.interpolate_slopes(table, t + s, xi)[1] for s in (-h, 0.0, h)]
        bends = np.diff(sides) / h
        assert min(bends) - 1e-4 - 1e-4 * abs(by_t_t) <= by_t_t <= max(bends) + 1e-4 + 1e-4 * abs(by_t_t)


@pytest.mark.parametrize("end", [pandel.T_MIN, pandel.T_MAX])
def test_beyond_the_table_it_goes_on_straight(end):
    value, by_t, *_ = pandel.interpolate_slopes(TABLE.density, end, 2.0)
    further = end + math.copysign(50.0, end)
    assert pandel.interpolate(TABLE.density, further, 2.0) == pytest.approx(value + by_t * (further - end))


@given(st.floats(-1e300, 1e300), st.floats(0, 1e6))
def test_beyond_the_table_it_stays_finite(t, xi):
    for table in (TABLE.density, TABLE.survival):
        assert math.isfinite(pandel.interpolate(table, t, xi))
