"""Times that count the leap seconds of their year, as IceCube's do, and UTC without them, as NumPy has it.

Source of the table: the IERS' ``leap-seconds.list`` (https://hpiers.obspm.fr/iers/bul/bulc/ntp), which says
that there is none other until it expires.
"""

from __future__ import annotations

import logging

import numpy as np

log = logging.getLogger(__name__)

#: Days that begin after a leap second.
AFTER_LEAP = np.array(
    [
        "1972-07-01", "1973-01-01", "1974-01-01", "1975-01-01", "1976-01-01", "1977-01-01", "1978-01-01",
        "1979-01-01", "1980-01-01", "1981-07-01", "1982-07-01", "1983-07-01", "1985-07-01", "1988-01-01",
        "1990-01-01", "1991-01-01", "1992-07-01", "1993-07-01", "1994-07-01", "1996-01-01", "1997-07-01",
        "1999-01-01", "2006-01-01", "2009-01-01", "2012-07-01", "2015-07-01", "2017-01-01",
    ],
    dtype="datetime64[D]",
)  # fmt: skip
#: The day until which the table is known to be whole.
EXPIRES = np.datetime64("2027-06-28")
#: Years that nanoseconds since 1970 have room for.
FIRST_YEAR, LAST_YEAR = 1678, 2261

_SECOND = 1_000_000_000


def utc_of_year(year: np.ndarray, elapsed: np.ndarray) -> np.ndarray:
    """UTC of times that are given by a year and what has elapsed of it, leap seconds counted.

    A leap second itself has no place among nanoseconds since 1970, nor in NumPy's datetime64: its times
    (23:59:60) are those of the second before (23:59:59), as in IceCube's own software. That is logged.

    Parameters
    ----------
    year : integer array, shape (n,)
        UTC year.
    elapsed : int64 array, shape (n,)
        Nanoseconds since its beginning, leap seconds counted.

    Returns
    -------
    int64 array, shape (n,)
        Nanoseconds since 1970-01-01 UTC, leap seconds not counted. Years out of 1678 to 2261 are taken as the
        first or last of them.

    Examples
    --------
    >>> utc_of_year(np.array([2012]), np.array([15_724_801 * 10**9])).astype("datetime64[ns]")
    array(['2012-07-01T00:00:00.000000000'], dtype='datetime64[ns]')
    """
    year = np.clip(year, FIRST_YEAR, LAST_YEAR).astype(np.int64)
    elapsed = np.asarray(elapsed, dtype=np.int64)
    leaps, within = np.zeros_like(elapsed), np.zeros(elapsed.shape, np.bool_)
    for leap_year, second in _leap_seconds():
        since = elapsed - second * _SECOND
        same = year == leap_year
        leaps += same & (since >= 0)
        within |= same & (since >= 0) & (since < _SECOND)
    utc = (year - 1970).astype("datetime64[Y]").astype("datetime64[ns]").astype(np.int64)
    utc = utc + elapsed - leaps * _SECOND
    if within.any():
        log.warning("%d time(s) within a leap second (23:59:60) are given as of 23:59:59", within.sum())
    if (utc >= EXPIRES.astype("datetime64[ns]").astype(np.int64)).any():
        log.warning(
            "leap seconds are known until %s, and there are later times: use a newer version", EXPIRES
        )
    return utc


def _leap_seconds() -> list[tuple[int, int]]:
    """Of each leap second its year, and which of the seconds of that year it is, all counted from 0."""
    last_day = AFTER_LEAP - np.timedelta64(1, "D")
    years = last_day.astype("datetime64[Y]")
    seconds = (AFTER_LEAP - years.astype("datetime64[D]")).astype(np.int64) * 86_400
    seconds += [int(np.count_nonzero(years[:k] == years[k])) for k in range(len(years))]
    return list(zip((years.astype(np.int64) + 1970).tolist(), seconds.tolist(), strict=True))
