"""Directions and offsets against ctapipe's and astropy's coordinates, and impact distances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etendue.iact.directions import (
    direction_to_horizon,
    direction_to_offset,
    horizon_to_direction,
    impact_distance,
    offset_to_direction,
    space_angle,
    telescope_offset,
)


def random_sky(n):
    rng = np.random.default_rng(2)
    altitude, azimuth = rng.uniform(-20, 89, n), rng.uniform(-180, 540, n)
    return altitude, azimuth, altitude + rng.uniform(-10, 10, n), azimuth + rng.uniform(-10, 10, n)


def test_offsets_are_those_of_ctapipes_telescope_frame():
    import astropy.units as u
    from astropy.coordinates import AltAz, SkyCoord
    from ctapipe.coordinates import TelescopeFrame

    altitude, azimuth, alt, az = random_sky(500)
    alt = np.clip(alt, -90, 90)
    pointing = SkyCoord(alt=altitude * u.deg, az=azimuth * u.deg, frame=AltAz())
    expected = SkyCoord(alt=alt * u.deg, az=az * u.deg, frame=AltAz()).transform_to(
        TelescopeFrame(telescope_pointing=pointing)
    )
    lon, lat = telescope_offset(alt, az, altitude, azimuth)
    np.testing.assert_allclose(lon, expected.fov_lon.deg, atol=1e-10)
    np.testing.assert_allclose(lat, expected.fov_lat.deg, atol=1e-10)


def test_vectors_are_those_of_ctapipe():
    import astropy.units as u
    from ctapipe.coordinates import altaz_to_righthanded_cartesian

    altitude, azimuth, *_ = random_sky(500)
    expected = altaz_to_righthanded_cartesian(altitude * u.deg, azimuth * u.deg)
    ours = np.stack(horizon_to_direction(np.deg2rad(altitude), np.deg2rad(azimuth)), axis=-1)
    np.testing.assert_allclose(ours, expected, atol=1e-14)


@given(
    lon=st.floats(-170, 170),
    lat=st.floats(-85, 85),
    altitude=st.floats(-90, 90),
    azimuth=st.floats(-360, 360),
)
@settings(deadline=None)
def test_offsets_and_horizon_go_there_and_back(lon, lat, altitude, azimuth):
    pointing = np.deg2rad(altitude), np.deg2rad(azimuth)
    direction = offset_to_direction(np.deg2rad(lon), np.deg2rad(lat), *pointing)
    np.testing.assert_allclose(np.rad2deg(direction_to_offset(direction, *pointing)), (lon, lat), atol=1e-10)
    again = horizon_to_direction(*direction_to_horizon(direction))
    np.testing.assert_allclose(again, direction, atol=1e-14)


def test_the_pointing_itself_has_no_offset():
    np.testing.assert_allclose(telescope_offset(61.0, 123.0, 61.0, 123.0), 0, atol=1e-13)


@pytest.mark.parametrize(
    ("alt", "az", "position", "distance"),
    [
        (90.0, 0.0, (3.0, 4.0, 100.0), 5.0),  # from straight above, height does not count
        (0.0, 0.0, (50.0, 4.0, 3.0), 5.0),  # from the north, along the ground
        (0.0, 90.0, (3.0, -50.0, 4.0), 5.0),  # from the east
        (45.0, 0.0, (10.0, 0.0, 0.0), np.sqrt(50)),
    ],
)
def test_impact_distance(alt, az, position, distance):
    np.testing.assert_allclose(impact_distance(alt, az, 0.0, 0.0, np.array(position)), distance)


@given(*[st.floats(-89, 89), st.floats(-180, 180)] * 2)
def test_space_angle_is_astropys(alt, az, other_alt, other_az):
    from astropy.coordinates import angular_separation

    expected = np.rad2deg(angular_separation(*np.deg2rad([az, alt, other_az, other_alt])))
    np.testing.assert_allclose(space_angle(alt, az, other_alt, other_az), expected, atol=1e-12)
