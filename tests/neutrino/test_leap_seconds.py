"""Leap seconds, against astropy's table and clock."""

import numpy as np
import pytest
from astropy.time import Time, TimeDelta
from astropy.utils import iers

from etendue.neutrino.leap_seconds import AFTER_LEAP, EXPIRES, utc_of_year


def utc(year, seconds):
    return utc_of_year(np.array([year]), np.array([round(seconds * 1e9)])).astype("datetime64[ns]")[0]


def test_the_table_is_astropys():
    known = iers.LeapSeconds.open(iers.IERS_LEAP_SECOND_FILE)
    days = [f"{year}-{month:02}-01" for year, month in zip(known["year"], known["month"], strict=True)]
    assert AFTER_LEAP.astype(str).tolist() == days[1:]  # 1972-01-01 is where counting begins
    assert known.expires.datetime64 >= EXPIRES


@pytest.mark.parametrize("year", [1972, 1973, 1999, 2011, 2012, 2015, 2016, 2017, 2020])
def test_times_of_a_year_are_those_of_a_clock_that_counts_leap_seconds(year):
    days = np.array([0, 1, 59.5, 60, 180.9, 180.9999, 181.0001, 181.9999, 182.0001, 183, 300, 364.5])
    start = Time(f"{year}-01-01", scale="utc")
    expected = (start.tai + TimeDelta(days * 86400.0, format="sec", scale="tai")).utc
    assert not (np.char.find(expected.isot, ":60") > 0).any()
    found = utc_of_year(np.full(len(days), year), np.rint(days * 86400e9).astype(np.int64))
    np.testing.assert_allclose(found, expected.datetime64.astype("datetime64[ns]").astype(np.int64), atol=2e3)


def test_after_a_leap_second_of_the_year_times_are_not_late():
    assert utc(2012, 15_724_801) == np.datetime64("2012-07-01T00:00:00")
    assert utc(2012, 15_724_799.5) == np.datetime64("2012-06-30T23:59:59.5")
    assert utc(2015, 181 * 86400 + 1) == np.datetime64("2015-07-01T00:00:00")
    assert utc(2017, 0) == np.datetime64("2017-01-01T00:00:00")
    assert utc(1972, 366 * 86400 + 1) == np.datetime64("1972-12-31T23:59:59")  # the second one of the year


def test_within_a_leap_second_it_is_the_second_before(caplog):
    assert utc(2012, 15_724_800.25) == np.datetime64("2012-06-30T23:59:59.25")
    assert utc(2016, 366 * 86400 + 0.75) == np.datetime64("2016-12-31T23:59:59.75")
    assert "within a leap second (23:59:60)" in caplog.text


def test_times_after_the_tables_end_are_warned_of(caplog):
    utc(2027, 100 * 86400)
    assert not caplog.text
    utc(2028, 0)
    assert "leap seconds are known until 2027-06-28" in caplog.text
