"""What was fitted to an event, as pictures show it: tracks as lines, cascades as points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from etendue.errors import EtendueError
from etendue.neutrino.sky import angles_to_vectors

#: Speed of light in vacuum [m/ns].
C = 0.299792458
#: Most fits that are drawn without being asked for: those of our stages first.
MOST_FITS = 6
#: Shapes of IceCube's particles that are cascades: cascade, cascade segment.
_CASCADES = (30, 80)


class EventError(EtendueError, ValueError):
    """The event that is asked for is not there, is not the only one, or has nothing to draw."""


@dataclass(frozen=True)
class Fit:
    """A particle: a line through a point at a time with the speed of light, or a cascade at that point.

    Parameters
    ----------
    name : str
        What the names of its columns begin with.
    point : float64 array, shape (3,)
        A point of the track, or the vertex [m].
    time : float
        Time there [ns].
    direction : float64 array, shape (3,), optional
        Unit vector; None for cascades of unknown direction.
    is_cascade : bool
        Whether it is a cascade.
    """

    name: str
    point: np.ndarray
    time: float
    direction: np.ndarray | None
    is_cascade: bool

    def inside(self, low: np.ndarray, high: np.ndarray) -> np.ndarray | None:
        """Ends of a track within a box, shape (2, 3); None if it passes by.

        Parameters
        ----------
        low, high : float64 array, shape (3,)
            Corners of the box [m].
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            one, other = (low - self.point) / self.direction, (high - self.point) / self.direction
        along = np.where(self.direction != 0, np.minimum(one, other), -np.inf)
        until = np.where(self.direction != 0, np.maximum(one, other), np.inf)
        still = (self.direction == 0) & ((self.point < low) | (self.point > high))
        begin, end = along.max(), until.min()
        if still.any() or not begin < end:
            return None
        return self.point + np.array([[begin], [end]]) * self.direction

    def times(self, ends: np.ndarray) -> np.ndarray:
        """When a track is at points of it [ns]."""
        return self.time + (ends - self.point) @ self.direction / C


def names_of_fits(columns: Sequence[str]) -> list[str]:
    """Fits that have a point and a time: those of stages first, then those that the input came with."""
    have = [name.removesuffix("_pos_x") for name in columns if name.endswith("_pos_x")]
    known = set(columns)
    have = [name for name in have if {f"{name}_time", f"{name}_t"} & known]
    return sorted(have, key=lambda name: f"{name}_shape" in known)  # a particle of the input has a shape


def fits_of(events: Mapping[str, Any], row: int, wanted: Sequence[str] | None) -> list[Fit]:
    """The fits of an event, by the names of their columns; without ``wanted`` the first `MOST_FITS`.

    Raises
    ------
    EventError
        If one is wanted that the events do not have.
    """
    names = names_of_fits(list(events))
    for name in wanted or ():
        if name not in names:
            raise EventError(
                f"{name!r} is no track of the events, nor a cascade; those with a point are {names}"
            )
    found = (_fit(events, row, name) for name in (names if wanted is None else wanted))
    found = [fit for fit in found if fit is not None]
    return found if wanted is not None else found[:MOST_FITS]


def _fit(events: Mapping[str, Any], row: int, name: str) -> Fit | None:
    """One fit of an event; None if it failed there."""

    def value(column: str) -> float:
        full = f"{name}_{column}"
        return float(np.asarray(events[full][row : row + 1])[0]) if full in events else np.nan

    point = np.array([value(f"pos_{axis}") for axis in "xyz"])
    time = value("time") if f"{name}_time" in events else value("t")
    if not np.isfinite([*point, time]).all():
        return None
    if f"{name}_dir_x" in events:
        direction = np.array([value(f"dir_{axis}") for axis in "xyz"])
    else:
        direction = np.array(angles_to_vectors(value("zenith"), value("azimuth")))
    direction = direction if np.isfinite(direction).all() and direction.any() else None
    is_cascade = direction is None or _is_cascade(events, name, value("shape"))
    return Fit(name, point, time, direction, is_cascade)


def _is_cascade(events: Mapping[str, Any], name: str, shape: float) -> bool:
    """Whether a fit is of a cascade: by its shape, its name, or an energy but no length; not with a speed."""
    if np.isfinite(shape) and shape > 0:
        return int(shape) in _CASCADES
    has = {part for part in ("energy", "E", "length", "len", "speed") if f"{name}_{part}" in events}
    if "speed" in has:
        return False
    named = any(word in name.lower() for word in ("shower", "cascade", "cscd"))
    return named or (bool(has & {"energy", "E"}) and not has & {"length", "len"})
