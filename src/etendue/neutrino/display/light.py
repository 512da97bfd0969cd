"""What the modules of an event saw, as pictures show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from etendue.neutrino.icecube.cleaning import SeededRT, seeded_rt
from etendue.neutrino.icecube.pulses import LOCAL_COINCIDENCE, Pulses, is_icetop, sensor

#: Columns by table; a column may be anything that gives an array when it is sliced.
type Tables = Mapping[str, Mapping[str, Any]]

#: What a hit's time and size are called: KM3NeT's hits, IceCube's pulses.
TIMES, SIZES = ("t", "time"), ("charge", "a", "tot")
#: Of the light of an event, by size, the middle part is between these shares; light belongs to the event up
#: to this many times that long before and after it, and this long [ns].
_MIDDLE, _PARTS, _MARGIN = (0.16, 0.84), 2.0, 500.0


@dataclass(frozen=True)
class Light:
    """What the modules of one event saw: one row a place.

    Parameters
    ----------
    x, y, z : float64 array, shape (n,)
        Places [m].
    time : float64 array, shape (n,)
        First hit of the place [ns].
    size : float64 array, shape (n,)
        Sum of charges or of times over threshold.
    rest : float64 array, shape (m, 4)
        Position [m] and time [ns] of hits that are part of no trigger, if others are, or far from the event
        in time.
    n_surface : int
        Hits of IceTop's tanks, which are not drawn.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    time: np.ndarray
    size: np.ndarray
    rest: np.ndarray
    n_surface: int

    @property
    def place(self) -> np.ndarray:
        """Places [m], shape (n, 3)."""
        return np.column_stack([self.x, self.y, self.z])


def has_light(columns: Mapping[str, Any]) -> bool:
    """Whether a table has hits or pulses with positions."""
    return "pos_x" in columns and any(t in columns for t in TIMES) and any(s in columns for s in SIZES)


def light_columns(columns: Mapping[str, Any]) -> list[str]:
    """The columns of a table of hits or pulses that a picture needs."""
    more = ("pos_x", "pos_y", "pos_z", "dom_id", "string", "om", "pmt", "flags", "trigger_mask", "trig")
    first = [next(name for name in names if name in columns) for names in (TIMES, SIZES)]
    return [*first, *(name for name in more if name in columns)]


def light_of(tables: Tables, table: str, row: int) -> Light:
    """Hits of an event by place: those of its trigger, where hits tell, that belong together in time."""
    columns = tables[table]
    counts = np.asarray(tables["events"][f"n_{table}"], dtype=np.int64)
    first = int(counts[:row].sum())
    mine = slice(first, first + int(counts[row]))

    def column(*names: str) -> np.ndarray:
        return np.asarray(columns[next(name for name in names if name in columns)][mine], dtype=np.float64)

    place, time = np.column_stack([column(f"pos_{axis}") for axis in "xyz"]), column(*TIMES)
    size = np.nan_to_num(column(*SIZES))
    known = np.isfinite(place).all(axis=1) & np.isfinite(time)
    tanks = is_icetop(column("string"), column("om")) if "om" in columns else np.zeros(len(time), bool)
    used = known & ~tanks
    mark = next((name for name in ("trigger_mask", "trig") if name in columns), None)
    if mark is not None and (triggered := used & (column(mark) != 0)).any():
        used = triggered
    elif "flags" in columns:
        names = ("string", "om", "pmt", "flags")
        cleaned = _hangs_together(*(column(n)[used] for n in names), place[used], time[used])
        if cleaned.any():
            used[used] = cleaned
    used[used] = _together(time[used], size[used])
    rest = np.column_stack([place, time])[known & ~tanks & ~used]
    # One place a module, in the middle of its photomultipliers, where hits tell their module.
    which = column("dom_id")[:, None] if "dom_id" in columns else place
    owner = np.unique(which[used], axis=0, return_inverse=True)[1].ravel()
    n_hits = np.bincount(owner)
    x, y, z = (np.bincount(owner, weights=place[used, axis]) / n_hits for axis in range(3))
    earliest = np.full(len(n_hits), np.inf)
    np.minimum.at(earliest, owner, time[used])
    return Light(x, y, z, earliest, np.bincount(owner, weights=size[used]), rest, int(np.sum(tanks)))


def _together(time: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Which hits are near the bulk of the light in time: noise far from it would stretch every scale."""
    order = np.argsort(time)
    share = np.cumsum(size[order])
    if not len(share) or not share[-1] > 0:
        return np.ones(len(time), dtype=bool)
    low, high = time[order][np.searchsorted(share, np.multiply(_MIDDLE, share[-1]))]
    reach = _PARTS * (high - low) + _MARGIN
    return (time >= low - reach) & (time <= high + reach)


def _hangs_together(
    string: np.ndarray,
    om: np.ndarray,
    pmt: np.ndarray,
    flags: np.ndarray,
    place: np.ndarray,
    time: np.ndarray,
) -> np.ndarray:
    """Which pulses IceCube's seeded RT cleaning keeps, with its usual settings."""
    module = sensor(string, om, pmt)
    order = np.lexsort((time, module))
    x, y, z = place[order].T.copy()
    hlc = (flags.astype(np.int64) & LOCAL_COINCIDENCE) != 0
    numbers = (string[order].astype(np.int32), om[order].astype(np.int32), module[order])
    starts = np.array([0, len(time)])
    pulses = Pulses(starts, order, time[order], np.ones(len(time)), x, y, z, *numbers, hlc[order])
    kept = np.zeros(len(time), dtype=bool)
    kept[order] = seeded_rt(pulses, *SeededRT().settings)
    return kept
