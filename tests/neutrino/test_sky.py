"""Sky coordinates against the tables of aanet (in km3net-testdata), km3astro's values and JPL Horizons."""

import csv
import json

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import AltAz, SkyCoord
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st
from km3net_testdata import data_path

from etendue.neutrino import sky

SITES = {"arca": "ARCA", "orca": "ORCA", "antares": "antares"}


def read(name):
    """Rows of a table, as columns of text."""
    with open(data_path(f"astro/{name}")) as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    return {column: np.array([row[column] for row in rows]) for column in rows[0]}


def number(table, column):
    return table[column].astype(float)


def times(table):
    """Times in ns since 1970."""
    stamps = [f"{d}T{t}" for d, t in zip(table["date"], table["time"], strict=True)]
    return np.array(stamps, dtype="datetime64[ns]").astype(np.int64)


def unix(stamp):
    return np.array(stamp, "datetime64[ns]").astype(np.int64)


def separation(lon_1, lat_1, lon_2, lat_2):
    """Angle between points on the sphere, in degrees (haversine)."""
    lon_1, lat_1, lon_2, lat_2 = map(np.radians, (lon_1, lat_1, lon_2, lat_2))
    half = np.sin((lat_1 - lat_2) / 2) ** 2 + np.cos(lat_1) * np.cos(lat_2) * np.sin((lon_1 - lon_2) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(half)))


def angle(a, b):
    """Angle between directions, in degrees."""
    a, b = np.array(a), np.array(b)
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a.T, b.T), axis=-1), np.sum(a * b, axis=0)))


@pytest.mark.parametrize("name", SITES)
def test_equatorial_and_galactic_coordinates_are_those_of_aanet(name):
    # aanet leaves in the aberration of light (0.0057 degrees) and takes UT1 = UTC (up to 0.004 degrees).
    table, where = read(f"{SITES[name]}_coordinate_systems_benchmark.csv"), sky.site(name)
    direction = sky.angles_to_vectors(number(table, "zenith"), number(table, "azimuth"))
    ra, dec = sky.to_equatorial(direction, times(table), where)
    apart = separation(ra, dec, number(table, "RA-J2000"), number(table, "DEC-J2000"))
    assert apart.max() < 0.0106
    assert np.median(apart) < 0.006
    lon, lat = sky.to_galactic(direction, times(table), where)
    apart = separation(lon, lat, number(table, "gal_lon"), number(table, "gal_lat"))
    assert apart.max() < 0.0106


def test_without_aberration_half_of_what_differs_from_aanet_is_gone():
    from astropy.coordinates import PrecessedGeocentric
    from astropy.time import Time

    table = read("local2eq_aanet_2.7.1.csv")
    j2000 = table["j2000"] == "True"
    parts = ("year", "month", "day", "hour", "min", "sec")
    stamps = [
        "{:0>4}-{:0>2}-{:0>2}T{:0>2}:{:0>2}:{:0>2}".format(*row)
        for row in zip(*(table[p] for p in parts), strict=True)
    ]
    time = np.array(stamps, dtype="datetime64[ns]").astype(np.int64)[j2000]
    direction = [number(table, c)[j2000] for c in ("dx", "dy", "dz")]
    known = np.degrees(number(table, "eq_ra")[j2000]), np.degrees(number(table, "eq_dec")[j2000])
    where = sky.site("arca")
    assert separation(*sky.to_equatorial(direction, time, where), *known).max() < 0.0108
    with sky._offline():
        seen = sky._seen(direction, time, where)
        with_aberration = seen.transform_to(
            PrecessedGeocentric(equinox=Time(2000, format="jyear"), obstime=seen.obstime)
        )
    assert separation(with_aberration.ra.deg, with_aberration.dec.deg, *known).max() < 0.005
    # What is left is a turn in right ascension: a second of time is 0.0042 degrees.


@pytest.mark.parametrize("name", SITES)
def test_objects_are_seen_where_aanet_sees_them(name):
    from astropy.coordinates import SkyCoord

    table, where = read(f"{SITES[name]}_astro_objects_benchmark.csv"), sky.site(name)
    stars = SkyCoord(table["RA-J2000"], table["DEC-J2000"], unit=("hourangle", "deg"))
    found = sky.from_equatorial(stars.ra.deg, stars.dec.deg, times(table), where)
    known = sky.angles_to_vectors(number(table, "zenith"), number(table, "azimuth"))
    assert angle(found, known).max() < 0.01


@pytest.mark.parametrize("name", SITES)
@pytest.mark.parametrize(("body", "limit"), [("Sun", 0.006), ("Moon", 0.018)])
def test_sun_and_moon_are_seen_where_aanet_sees_them(name, body, limit):
    # aanet's Moon is that of SLALIB, good to some 0.01 degrees; see the Horizons test for ours.
    table, where = read(f"{SITES[name]}_moon_sun_position_benchmark.csv"), sky.site(name)
    mine = table["object"] == body
    found = sky.from_body(body.lower(), times(table)[mine], where)
    known = sky.angles_to_vectors(number(table, "zenith")[mine], number(table, "azimuth")[mine])
    assert angle(found, known).max() < limit


def test_tables_that_were_installed_years_ago_will_do(monkeypatch):
    """Of a time after their measurements, too, which astropy refuses when they are a month old."""
    where, now = sky.site("arca"), Time.now()
    soon = np.array([int((now.unix + 30 * 86_400) * 1e9)])
    known = sky.from_body("sun", soon, where)
    monkeypatch.setattr(Time, "now", lambda: now + 5 * 365 * u.day)
    np.testing.assert_array_equal(sky.from_body("sun", soon, where), known)


def test_all_coordinates_are_those_of_km3astro(shared):
    known = np.load(shared / "reference/km3net/astro_100.npz")
    theta, phi = known["theta"], known["phi"]
    time = known["time"].astype("datetime64[ns]").astype(np.int64)
    direction = np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)
    for name in SITES:
        where = sky.site(name)
        ra, dec = sky.to_equatorial(direction, time, where)
        ours = known[f"{name}_ra"], known[f"{name}_dec"]
        assert separation(ra, dec, *ours).max() < 2.5e-3  # its convergence is an approximation
        lon, lat = sky.to_galactic(direction, time, where)
        assert separation(lon, lat, known[f"{name}_l"], known[f"{name}_b"]).max() < 2.5e-3
    sites = json.loads((shared / "reference/km3net/astro.json").read_text())
    for name in SITES:
        assert sky.site(name).longitude == pytest.approx(sites[f"{name}_site"]["lon"], abs=1e-5)
        assert sky.site(name).latitude == pytest.approx(sites[f"{name}_site"]["lat"], abs=1e-5)
        assert sky.site(name).convergence == pytest.approx(sites[f"{name}_convergence_deg"], abs=2e-3)


@pytest.mark.parametrize(
    ("stamp", "elevation"),
    [
        ("2000-01-01T12:00:00", 10.0150),
        ("2000-02-03T08:58:33.600", 19.8683),
        ("2002-06-07T02:21:07.200", -9.1584),
    ],
)
def test_the_moon_over_icecube_stands_where_jpl_horizons_says(stamp, elevation):
    # DE-0431, airless apparent elevation at IceCube's nominal place, height 0.
    _, altitude = sky.to_horizontal(
        sky.from_body("moon", unix(stamp), sky.site("icecube")), sky.site("icecube")
    )
    assert altitude == pytest.approx(elevation, abs=2e-3)


def test_icecube_turns_its_azimuth_as_the_earth_turns():
    # An ephemeris at the South Pole: azimuth 189.9641 degrees less the right ascension, on 2000-01-01.
    x, y, z = sky.from_equatorial(0.0, 22.0145, unix("2000-01-01"), sky.site("icecube"))
    assert np.degrees(np.arctan2(-y, -x)) % 360 == pytest.approx(189.9640733918, abs=0.2)
    assert np.degrees(np.arccos(-z)) == pytest.approx(90 + 22.0145, abs=0.2)


@given(
    st.lists(st.tuples(st.floats(0, 359), st.floats(-89, 89)), min_size=1, max_size=5), st.integers(0, 2**60)
)
def test_there_and_back(points, time):
    azimuth, altitude = np.array(points).T
    for name in ("orca", "icecube"):
        where = sky.site(name)
        direction = sky.from_horizontal(azimuth, altitude, where)
        assert separation(*sky.to_horizontal(direction, where), azimuth, altitude).max() < 1e-9
        back = sky.from_equatorial(*sky.to_equatorial(direction, time, where), time, where)
        assert angle(direction, back).max() < 1e-5


def test_utm_positions_and_frames_without_a_grid():
    easting, northing = sky.site("arca").to_utm(np.array([0.0, 10.0]), np.array([0.0, -20.0]))
    np.testing.assert_allclose(easting, [587600.0, 587610.0], atol=1e-3)
    np.testing.assert_allclose(northing, [4016800.0, 4016780.0], atol=1e-3)
    np.testing.assert_allclose(sky.site("arca").from_utm(easting, northing), [[0, 10], [0, -20]], atol=1e-3)
    with pytest.raises(sky.SkyError, match="no UTM grid"):
        sky.site("icecube").to_utm(0.0, 0.0)
    with pytest.raises(sky.SkyError, match=r"no site 'mars'; there are arca, orca"):
        sky.site("mars")


def test_random_directions_fill_the_sphere_and_times_their_span():
    x, y, z = sky.random_directions(20_000, seed=3)
    np.testing.assert_allclose(x * x + y * y + z * z, 1.0)
    assert all(abs(c.mean()) < 4 / np.sqrt(3 * 20_000) for c in (x, y, z))
    time = sky.random_times(1000, 10, 20, seed=1)
    assert (np.diff(time) >= 0).all()
    assert set(time) == set(range(10, 20))


@pytest.mark.parametrize("name", [*SITES, "icecube"])
@pytest.mark.parametrize("day", ["2012-06-30", "2015-06-30", "2016-12-31"])
def test_days_that_end_with_a_leap_second_are_not_stretched(name, day):
    stamps, where = [f"{day}T00:00:01.25", f"{day}T12:00:00", f"{day}T23:59:59.5"], sky.site(name)
    direction = sky.random_directions(3, seed=4)
    azimuth, altitude = sky.to_horizontal(direction, where)
    with sky._offline():
        horizontal = AltAz(obstime=Time(stamps, scale="utc"), location=where.location)
        known = SkyCoord(az=azimuth, alt=altitude, unit="deg", frame=horizontal).icrs
    found = sky.to_equatorial(direction, unix(stamps), where)
    assert separation(*found, known.ra.deg, known.dec.deg).max() < 1e-9
    back = sky.from_equatorial(known.ra.deg, known.dec.deg, unix(stamps), where)
    assert angle(back, direction).max() < 1e-8
