"""From the local frame of a detector to the sky and back: horizontal, equatorial, galactic, UTM.

A *direction* is the unit vector along which a particle travels, in the detector's frame: x to grid east, y to
grid north, z up. What is seen on the sky is where it comes from, the opposite of it. Grid north differs from
true north by the meridian convergence of the site (IceCube's grid: by its longitude). Angles are in degrees,
times in nanoseconds since 1970-01-01 UTC. Needs the extra ``sky`` (astropy, pyproj).

Equatorial coordinates are ICRS: the aberration of light (up to 0.0057 degrees) is taken out, unlike in aanet.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from etendue.errors import EtendueError

if TYPE_CHECKING:
    from astropy.coordinates import AltAz, EarthLocation, SkyCoord
    from astropy.time import Time

Vectors = tuple[np.ndarray, np.ndarray, np.ndarray]


class SkyError(EtendueError, ValueError):
    """A site or a frame that is not known, or a package that is not installed."""


@dataclass(frozen=True)
class Site:
    """Where a detector stands.

    Parameters
    ----------
    name : str
        Name in lower case.
    longitude, latitude : float
        Of the frame's origin, in degrees (WGS84).
    height : float
        Of the frame's origin above the ellipsoid, in metres.
    convergence : float
        Angle from true north to the frame's y axis, clockwise, in degrees.
    zone : int
        UTM zone (north); 0 where the frame is not a UTM grid.
    """

    name: str
    longitude: float
    latitude: float
    height: float
    convergence: float
    zone: int = 0

    @classmethod
    def of_utm(cls, name: str, easting: float, northing: float, height: float, zone: int) -> Site:
        """A site by its UTM coordinates in metres, as detector files give them."""
        grid = _projection(zone)
        longitude, latitude = grid(easting, northing, inverse=True)
        convergence = grid.get_factors(longitude, latitude).meridian_convergence
        return cls(name, longitude, latitude, height, convergence, zone)

    @classmethod
    def of_grid(cls, name: str, grid: str, easting: float, northing: float, height: float) -> Site | None:
        """A site by the UTM reference of a detector file, in a grid as ``WGS84 33N``; None for others."""
        match = re.fullmatch(r"WGS84 (\d{1,2})N", grid)
        if not match or not np.isfinite([easting, northing, height]).all():
            return None
        return cls.of_utm(name, easting, northing, height, int(match[1]))

    def is_near(self, other: Site) -> bool:
        """Whether two sites are the same to some kilometres; ANTARES is 12 km from ORCA."""
        off = (self.latitude - other.latitude, (self.longitude - other.longitude) * self._parallel)
        return bool(np.hypot(*off) < 0.05)

    @property
    def _parallel(self) -> float:
        return float(np.cos(np.radians(self.latitude)))

    def to_utm(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Easting and northing in metres of positions in the detector's frame.

        Raises
        ------
        SkyError
            If the frame is not a UTM grid.
        """
        easting, northing = self._utm
        return easting + np.asarray(x), northing + np.asarray(y)

    def from_utm(self, easting: np.ndarray, northing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions in the detector's frame of eastings and northings, in metres."""
        x0, y0 = self._utm
        return np.asarray(easting) - x0, np.asarray(northing) - y0

    @cached_property
    def _utm(self) -> tuple[float, float]:
        if not self.zone:
            raise SkyError(f"the frame of {self.name!r} is no UTM grid; those of arca, orca and antares are")
        return _projection(self.zone)(self.longitude, self.latitude)

    @property
    def location(self) -> EarthLocation:
        """The site for astropy."""
        from astropy.coordinates import EarthLocation

        return EarthLocation.from_geodetic(self.longitude, self.latitude, self.height)


#: Reference points of the detector files (KM3NeT, ANTARES), as (easting, northing, height, zone).
_UTM = {
    "arca": (587600.0, 4016800.0, -3450.0, 33),
    "orca": (256500.0, 4743000.0, -2440.0, 32),
    "antares": (268221.6, 4742381.9, -2500.0, 32),
}

#: Where KM3NeT's detectors are, by their numbers, as their detector files say.
_DETECTORS = {20: "arca", 133: "arca", 23: "orca", 44: "orca", 49: "orca"}

#: IceCube's y axis points along the prime meridian, so the convergence is minus the longitude.
_ICECUBE = Site("icecube", longitude=-62.6081, latitude=-89.9944, height=883.9, convergence=62.6081)


def site(name: str) -> Site:
    """A detector's site by name: ``arca``, ``orca``, ``antares`` or ``icecube``.

    Raises
    ------
    SkyError
        If there is no such site.

    Examples
    --------
    >>> round(site("arca").convergence, 3)
    0.577
    """
    if name.lower() == "icecube":
        return _ICECUBE
    if name.lower() not in _UTM:
        raise SkyError(f"no site {name!r}; there are {', '.join([*_UTM, 'icecube'])}, or make a Site")
    return Site.of_utm(name.lower(), *_UTM[name.lower()])


def site_of_detector(det_id: int) -> Site | None:
    """The site of one of KM3NeT's detectors by its number; None where we do not know it."""
    return site(_DETECTORS[det_id]) if det_id in _DETECTORS else None


def name_of_detector(
    det_id: int, grid: str = "", easting: float = np.nan, northing: float = np.nan
) -> str | None:
    """Which of the named sites a detector is at, by the UTM origin in its file, else by its number."""
    for name, (x, y, _, zone) in _UTM.items():
        if grid == f"WGS84 {zone}N" and np.hypot(easting - x, northing - y) < 5000.0:
            return name
    return _DETECTORS.get(det_id)


def to_horizontal(direction: Vectors, where: Site) -> tuple[np.ndarray, np.ndarray]:
    """Azimuth (from true north to east) and altitude that particles come from, in degrees."""
    x, y, z = (-np.asarray(component, dtype=np.float64) for component in direction)
    azimuth = 90.0 - np.degrees(np.arctan2(y, x)) + where.convergence
    return azimuth % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


def from_horizontal(azimuth: np.ndarray, altitude: np.ndarray, where: Site) -> Vectors:
    """Directions of particles that come from an azimuth and altitude; the inverse of `to_horizontal`."""
    phi = np.radians(90.0 - np.asarray(azimuth) + where.convergence)
    theta = np.radians(np.asarray(altitude))
    return -np.cos(theta) * np.cos(phi), -np.cos(theta) * np.sin(phi), -np.sin(theta)


def to_equatorial(direction: Vectors, time: np.ndarray, where: Site) -> tuple[np.ndarray, np.ndarray]:
    """Right ascension and declination (ICRS, degrees) that particles come from.

    Parameters
    ----------
    direction : three arrays
        Components of the directions of travel.
    time : array of int64, or scalar
        Nanoseconds since 1970-01-01 UTC.
    where : Site
        The detector's site.
    """
    with _offline():
        sky = _seen(direction, time, where).icrs
    return sky.ra.deg, sky.dec.deg


def to_galactic(direction: Vectors, time: np.ndarray, where: Site) -> tuple[np.ndarray, np.ndarray]:
    """Galactic longitude and latitude (degrees) that particles come from; see `to_equatorial`."""
    with _offline():
        sky = _seen(direction, time, where).galactic
    return sky.l.deg, sky.b.deg


def from_equatorial(
    right_ascension: np.ndarray, declination: np.ndarray, time: np.ndarray, where: Site
) -> Vectors:
    """Directions of particles that come from ICRS coordinates (degrees); the inverse of `to_equatorial`."""
    from astropy.coordinates import SkyCoord

    with _offline():
        sky = SkyCoord(right_ascension, declination, unit="deg", frame="icrs")
        horizontal = sky.transform_to(_frame(time, where))
    return from_horizontal(horizontal.az.deg, horizontal.alt.deg, where)


def from_galactic(longitude: np.ndarray, latitude: np.ndarray, time: np.ndarray, where: Site) -> Vectors:
    """Directions of particles that come from galactic coordinates (degrees)."""
    from astropy.coordinates import SkyCoord

    sky = SkyCoord(longitude, latitude, unit="deg", frame="galactic").icrs
    return from_equatorial(sky.ra.deg, sky.dec.deg, time, where)


def from_body(body: str, time: np.ndarray, where: Site) -> Vectors:
    """Directions of particles that come from the ``sun``, the ``moon`` or a planet, as seen at the site."""
    from astropy.coordinates import get_body

    with _offline():
        seen = get_body(body, _time(time), where.location).transform_to(_frame(time, where))
    return from_horizontal(seen.az.deg, seen.alt.deg, where)


def angles_to_vectors(zenith: np.ndarray, azimuth: np.ndarray) -> Vectors:
    """Directions of travel of particles that come from a zenith and azimuth of the frame, in degrees.

    The azimuth is counted from the x axis towards the y axis, as IceCube does.
    """
    zen, azi = np.radians(zenith), np.radians(azimuth)
    return -np.sin(zen) * np.cos(azi), -np.sin(zen) * np.sin(azi), -np.cos(zen)


def random_directions(n: int, seed: int | np.random.Generator = 0) -> Vectors:
    """Directions drawn evenly from the sphere."""
    random = np.random.default_rng(seed)
    z, phi = random.uniform(-1.0, 1.0, n), random.uniform(0.0, 2 * np.pi, n)
    rho = np.sqrt(1.0 - z * z)
    return rho * np.cos(phi), rho * np.sin(phi), z


def random_times(n: int, first: int, last: int, seed: int | np.random.Generator = 0) -> np.ndarray:
    """Times drawn evenly between two times, in ns since 1970-01-01 UTC, sorted."""
    return np.sort(np.random.default_rng(seed).integers(first, last, n))


def _seen(direction: Vectors, time: np.ndarray, where: Site) -> SkyCoord:
    from astropy.coordinates import SkyCoord

    azimuth, altitude = to_horizontal(direction, where)
    return SkyCoord(az=azimuth, alt=altitude, unit="deg", frame=_frame(time, where))


def _frame(time: np.ndarray, where: Site) -> AltAz:
    from astropy.coordinates import AltAz

    return AltAz(obstime=_time(time), location=where.location)


def _time(time: np.ndarray) -> Time:
    from astropy.time import Time

    # Not astropy's format "unix", which stretches days that end with a leap second: up to 1 s off.
    return Time(np.asarray(time, dtype=np.int64).astype("datetime64[ns]"), format="datetime64", scale="utc")


@contextmanager
def _offline() -> Iterator[None]:
    """Use the Earth orientation tables that are installed; outside their years, long-term means."""
    try:
        from astropy.utils import iers
        from astropy.utils.exceptions import AstropyWarning
    except ImportError:
        raise SkyError("sky coordinates need astropy: pip install 'etendue[sky]'") from None
    with (
        iers.conf.set_temp("auto_download", False),
        iers.conf.set_temp("auto_max_age", None),  # of predictions; they go wrong by milliseconds in a month
        iers.conf.set_temp("iers_degraded_accuracy", "ignore"),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Tried to get polar motions", AstropyWarning)
        yield


def _projection(zone: int) -> Any:
    try:
        from pyproj import Proj
    except ImportError:
        raise SkyError("UTM coordinates need pyproj: pip install 'etendue[sky]'") from None
    return Proj(proj="utm", zone=zone, ellps="WGS84")
