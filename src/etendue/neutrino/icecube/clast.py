"""CLast: a first guess of a cascade, its vertex, time, direction and energy, without a fit."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from etendue.dataflow.partition import Partition
from etendue.kernel import kernel
from etendue.neutrino.icecube.inertia import AXIS, CENTRE, inertia_of_event, n_modules_hit, sense_of_axis
from etendue.neutrino.icecube.pulses import (
    GROUP_INDEX,
    INSUFFICIENT_HITS,
    OK,
    C,
    EventStage,
    Pulses,
    blank,
    direction_angles,
    end_of_module,
)

#: Coefficients of log10(E / GeV) = sum_k p_k log10(Q / pe)^k, IceCube's defaults for CLast.
ENERGY = (1.069, 1.842, -0.492, 0.075)


@kernel
def vertex_times(
    pulses: Pulses, first: int, stop: int, x: float, y: float, z: float, radius: float, times: np.ndarray
) -> int:
    """When light left a vertex, as each module says by its first pulse: t - r n / c.

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    first, stop : int
        The event's pulses.
    x, y, z, radius : float
        Vertex, and how far modules count [m].
    times : float64 array
        Output [ns].

    Returns
    -------
    int
        Number of modules.
    """
    n, i = 0, first
    while i < stop:
        dx, dy, dz = pulses.x[i] - x, pulses.y[i] - y, pulses.z[i] - z
        r = np.sqrt(dx * dx + dy * dy + dz * dz)
        if r < radius:
            times[n] = pulses.time[i] - r * GROUP_INDEX / C
            n += 1
        i = end_of_module(pulses, i, stop)
    return n


@kernel
def agreed_time(times: np.ndarray, window: float, n_direct: int) -> float:
    """The time that modules agree upon, out of those that each of them says (`vertex_times`).

    A module agrees with t if it says a time between t and t + window. The earliest time counts that
    enough modules agree with; if there is none, that with which most do. The number of modules that
    agree is not begun anew for each time but goes on in the order of the modules: so IceCube's program
    counts, and its stored times are these.

    Parameters
    ----------
    times : float64 array, shape (n,)
        In the order of the modules [ns].
    window : float
        Nanoseconds.
    n_direct : int
        Modules that are enough.
    """
    n_agree, most, earliest, best = 0, -1, np.inf, np.nan
    for time in times:
        for other in times:
            n_agree += time < other < time + window
        if n_agree >= n_direct:
            earliest = min(earliest, time)
        if n_agree > most:
            most, best = n_agree, time
    return earliest if np.isfinite(earliest) else best


@kernel
def clast(
    pulses: Pulses,
    min_hits: int,
    radius: float,
    window: float,
    n_direct: int,
    energy: tuple,
    results: np.ndarray,
) -> None:
    """Vertex, time, direction and energy of a cascade, without a fit.

    The vertex is the centre of gravity of the charge; the time is that of `agreed_time`; the direction
    is along the axis of the tensor of inertia, as of `sense_of_axis`; the energy is a polynomial of the
    charge.

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    min_hits : int
        Fewest modules with which it is made.
    radius, window, n_direct
        Of the modules that decide on the time, see `agreed_time`.
    energy : tuple of float
        Coefficients of log10(E / GeV) in powers of log10(Q / pe).
    results : structured array, shape (n_events,)
        Output, see `CLast`.
    """
    tensor, vectors = np.empty((3, 3)), np.empty((3, 3))
    for event in range(results.size):
        result, first, stop = results[event], pulses.starts[event], pulses.starts[event + 1]
        result.fit_status = INSUFFICIENT_HITS
        n_modules = n_modules_hit(pulses, first, stop)
        if n_modules == 0 or n_modules < min_hits:
            continue
        times = np.empty(n_modules)
        axis, charge, x, y, z = inertia_of_event(pulses, first, stop, tensor, vectors)
        if not charge > 0:  # no light, no centre
            continue
        sign = sense_of_axis(pulses, first, stop, vectors, axis)
        result.pos_x, result.pos_y, result.pos_z, result.fit_status = x, y, z, OK
        n_near = vertex_times(pulses, first, stop, x, y, z, radius, times)
        result.time = agreed_time(times[:n_near], window, n_direct)
        result.zenith, result.azimuth = direction_angles(
            sign * vectors[0, axis], sign * vectors[1, axis], sign * vectors[2, axis]
        )
        log_energy, log_charge = 0.0, np.log10(charge)
        for k in range(len(energy) - 1, -1, -1):
            log_energy = log_energy * log_charge + energy[k]
        result.energy = 10.0**log_energy


class CLast(EventStage):
    """First guess of a cascade: vertex, time, direction and energy."""

    results: ClassVar = (
        *CENTRE,
        *AXIS,
        ("time", "float64", "ns", "when light left the vertex"),
        ("energy", "float64", "GeV", "from the charge"),
    )

    output: str = Field("CLast", description="what the columns' names begin with")
    min_hits: int = Field(3, ge=1, description="fewest modules with which it is made")
    direct_hit_radius: float = Field(300.0, gt=0, description="distance up to which hits tell the time [m]")
    direct_hit_window: float = Field(200.0, gt=0, description="delay up to which hits agree on a time [ns]")
    direct_hit_threshold: int = Field(3, ge=1, description="hits that must agree on the time")
    energy: tuple[float, ...] = Field(
        ENERGY, min_length=1, description="coefficients of log10(E / GeV) in powers of log10(Q / pe)"
    )

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        pulses = self.gather(partition)
        results = blank(self.results, len(pulses.starts) - 1)
        direct = (self.direct_hit_radius, self.direct_hit_window, self.direct_hit_threshold)
        clast(pulses, self.min_hits, *direct, self.energy, results)
        return self.columns(results)
