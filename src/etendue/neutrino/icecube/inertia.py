"""First guesses from where the light is: the tensor of inertia, and the dipole fit."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from etendue.dataflow.partition import Partition
from etendue.kernel import kernel
from etendue.neutrino.icecube.pulses import (
    INSUFFICIENT_HITS,
    OK,
    TRACK,
    EventStage,
    Pulses,
    blank,
    direction_angles,
    end_of_module,
    first_pulses,
)
from etendue.sorting import sorted_values

#: Of the rotations that make a tensor diagonal: sweeps at most.
SWEEPS = 50


@kernel
def _turn(tensor: np.ndarray, vectors: np.ndarray, p: int, q: int) -> None:
    """One rotation of Jacobi's: makes the element (p, q) of a symmetric tensor zero."""
    if tensor[p, q] == 0:
        return
    theta = (tensor[q, q] - tensor[p, p]) / (2 * tensor[p, q])
    t = (1.0 if theta >= 0 else -1.0) / (abs(theta) + np.sqrt(theta * theta + 1))
    c = 1 / np.sqrt(t * t + 1)
    s = t * c
    for k in range(3):
        tensor[k, p], tensor[k, q] = c * tensor[k, p] - s * tensor[k, q], s * tensor[k, p] + c * tensor[k, q]
    for k in range(3):
        tensor[p, k], tensor[q, k] = c * tensor[p, k] - s * tensor[q, k], s * tensor[p, k] + c * tensor[q, k]
    for k in range(3):
        vectors[k, p], vectors[k, q] = (
            c * vectors[k, p] - s * vectors[k, q],
            s * vectors[k, p] + c * vectors[k, q],
        )
    tensor[p, q], tensor[q, p] = 0.0, 0.0


@kernel
def principal_axes(tensor: np.ndarray, vectors: np.ndarray) -> None:
    """Eigenvalues and eigenvectors of a symmetric 3 x 3 tensor, by Jacobi rotations.

    Parameters
    ----------
    tensor : float64 array, shape (3, 3)
        Input; the eigenvalues are left on its diagonal.
    vectors : float64 array, shape (3, 3)
        Output: eigenvectors of unit length, in columns.
    """
    vectors[:] = 0.0
    for k in range(3):
        vectors[k, k] = 1.0
    for _ in range(SWEEPS):
        off = abs(tensor[0, 1]) + abs(tensor[0, 2]) + abs(tensor[1, 2])
        if not off > 0:
            break
        _turn(tensor, vectors, 0, 1)
        _turn(tensor, vectors, 0, 2)
        _turn(tensor, vectors, 1, 2)


@kernel
def centre_of_gravity(pulses: Pulses, first: int, stop: int) -> tuple[float, float, float, float]:
    """Charge of an event's pulses [pe], and their mean position, weighted by charge [m]."""
    total, x, y, z = 0.0, 0.0, 0.0, 0.0
    for i in range(first, stop):
        q = pulses.charge[i]
        total += q
        x += q * pulses.x[i]
        y += q * pulses.y[i]
        z += q * pulses.z[i]
    return total, x / total, y / total, z / total


@kernel
def n_modules_hit(pulses: Pulses, first: int, stop: int) -> int:
    """Number of modules that an event's pulses are of."""
    n, i = 0, first
    while i < stop:
        n += 1
        i = end_of_module(pulses, i, stop)
    return n


@kernel
def inertia_of_event(pulses: Pulses, first: int, stop: int, tensor: np.ndarray, vectors: np.ndarray) -> tuple:
    """Principal moments and axes of the charge of an event about its centre of gravity.

    I = sum_i q_i (1 |R_i|^2 - R_i R_i^T) with R_i = r_i - <r> (astro-ph/0407044, section 5).

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    first, stop : int
        The event's pulses.
    tensor, vectors : float64 array, shape (3, 3)
        Output, as of `principal_axes`.

    Returns
    -------
    axis : int
        Column of the axis with the least moment, along which the light is stretched.
    charge, x, y, z : float
        Charge [pe] and its centre of gravity [m].
    """
    charge, x, y, z = centre_of_gravity(pulses, first, stop)
    tensor[:] = 0.0
    for i in range(first, stop):
        q, dx, dy, dz = pulses.charge[i], pulses.x[i] - x, pulses.y[i] - y, pulses.z[i] - z
        tensor[0, 0] += q * (dy * dy + dz * dz)
        tensor[1, 1] += q * (dx * dx + dz * dz)
        tensor[2, 2] += q * (dx * dx + dy * dy)
        tensor[0, 1] -= q * dx * dy
        tensor[0, 2] -= q * dx * dz
        tensor[1, 2] -= q * dy * dz
    tensor[1, 0], tensor[2, 0], tensor[2, 1] = tensor[0, 1], tensor[0, 2], tensor[1, 2]
    principal_axes(tensor, vectors)
    axis = 0
    for k in range(1, 3):
        if tensor[k, k] < tensor[axis, axis]:
            axis = k
    return axis, charge, x, y, z


@kernel
def sense_of_axis(pulses: Pulses, first: int, stop: int, vectors: np.ndarray, axis: int) -> float:
    """Sign with which an axis points along the time: that of the covariance of t and r . e.

    Pulses are weighted by the square of their charge.
    """
    total, t, s, ts = 0.0, 0.0, 0.0, 0.0
    for i in range(first, stop):
        weight = pulses.charge[i] ** 2
        time = pulses.time[i] - pulses.time[first]
        along = (
            vectors[0, axis] * (pulses.x[i] - pulses.x[first])
            + vectors[1, axis] * (pulses.y[i] - pulses.y[first])
            + vectors[2, axis] * (pulses.z[i] - pulses.z[first])
        )
        total += weight
        t += weight * time
        s += weight * along
        ts += weight * time * along
    return -1.0 if total * ts - t * s < 0 else 1.0


@kernel
def tensor_of_inertia(pulses: Pulses, min_hits: int, results: np.ndarray) -> None:
    """Tensor of inertia of the charge of each event, see `inertia_of_event`.

    The sphericity is the least principal moment over the sum of all three: 0 for a line, 1/3 for a ball.

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    min_hits : int
        Fewest modules with which it is made.
    results : structured array, shape (n_events,)
        Output, see `TensorOfInertia`.
    """
    tensor, vectors, moments = np.empty((3, 3)), np.empty((3, 3)), np.empty(3)
    for event in range(results.size):
        result, first, stop = results[event], pulses.starts[event], pulses.starts[event + 1]
        result.fit_status, result.n_modules = INSUFFICIENT_HITS, n_modules_hit(pulses, first, stop)
        if stop == first or result.n_modules < min_hits:
            continue
        axis, charge, x, y, z = inertia_of_event(pulses, first, stop, tensor, vectors)
        if not charge > 0:  # no light, no centre
            continue
        sign = sense_of_axis(pulses, first, stop, vectors, axis)
        for k in range(3):
            moments[k] = tensor[k, k]
        ascending = sorted_values(moments)
        result.pos_x, result.pos_y, result.pos_z, result.fit_status = x, y, z, OK
        result.moment_1, result.moment_2, result.moment_3 = ascending[0], ascending[1], ascending[2]
        result.sphericity = ascending[0] / (ascending[0] + ascending[1] + ascending[2])
        result.zenith, result.azimuth = direction_angles(
            sign * vectors[0, axis], sign * vectors[1, axis], sign * vectors[2, axis]
        )


@kernel
def dipole_fit(pulses: Pulses, step: int, min_hits: int, results: np.ndarray) -> None:
    """Dipole moment of the modules hit in each event, in the order of their first pulses.

    M = 1/n sum_i (r_(i+s) - r_i) / |r_(i+s) - r_i| over the n pairs (astro-ph/0407044, eq. 6); position
    and time are the means over the pairs.

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    step : int
        s; 0 for half the number of modules.
    min_hits : int
        Fewest modules with which it is made.
    results : structured array, shape (n_events,)
        Output, see `DipoleFit`.
    """
    moment, mean = np.empty(3), np.empty(4)
    for event in range(results.size):
        result = results[event]
        hits = first_pulses(pulses, pulses.starts[event], pulses.starts[event + 1])
        s = step if step > 0 else hits.size // 2
        result.fit_status, result.n_pairs = INSUFFICIENT_HITS, max(hits.size - s, 0)
        if hits.size < min_hits or result.n_pairs == 0:
            continue
        moment[:], mean[:], n = 0.0, 0.0, result.n_pairs
        for k in range(result.n_pairs):
            i, j = hits[k], hits[k + s]
            dx, dy, dz = pulses.x[j] - pulses.x[i], pulses.y[j] - pulses.y[i], pulses.z[j] - pulses.z[i]
            r = np.sqrt(dx * dx + dy * dy + dz * dz)
            if r == 0:  # two photomultipliers at one place point nowhere
                n -= 1
                continue
            moment += np.array([dx, dy, dz]) / r
            mean += np.array(
                [
                    pulses.x[i] + pulses.x[j],
                    pulses.y[i] + pulses.y[j],
                    pulses.z[i] + pulses.z[j],
                    pulses.time[i] + pulses.time[j],
                ]
            )
        result.n_pairs = n
        if n == 0:
            continue
        mean /= 2 * n
        result.pos_x, result.pos_y, result.pos_z, result.time = mean
        result.moment = np.sqrt(np.sum(moment**2)) / result.n_pairs
        result.zenith, result.azimuth = direction_angles(moment[0], moment[1], moment[2])
        result.fit_status = OK


CENTRE = (
    ("pos_x", "float64", "m", "centre of gravity of the charge"),
    ("pos_y", "float64", "m", "centre of gravity of the charge"),
    ("pos_z", "float64", "m", "centre of gravity of the charge"),
)
AXIS = (
    ("zenith", "float64", "deg", "zenith angle of the axis, where the light comes from"),
    ("azimuth", "float64", "deg", "azimuth of the axis, where the light comes from"),
    ("fit_status", "int32", "", "0 for a result, 20 for too few hits"),
)


class TensorOfInertia(EventStage):
    """Axis and shape of the charge of each event."""

    results: ClassVar = (
        *CENTRE,
        *AXIS,
        ("moment_1", "float64", "pe m2", "least principal moment"),
        ("moment_2", "float64", "pe m2", "middle principal moment"),
        ("moment_3", "float64", "pe m2", "greatest principal moment"),
        ("sphericity", "float64", "", "least moment over the sum of all: 0 for a line, 1/3 for a ball"),
        ("n_modules", "int32", "", "modules hit"),
    )

    output: str = Field("TensorOfInertia", description="what the columns' names begin with")
    min_hits: int = Field(3, ge=1, description="fewest modules with which it is made")

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        pulses = self.gather(partition)
        results = blank(self.results, len(pulses.starts) - 1)
        tensor_of_inertia(pulses, self.min_hits, results)
        return self.columns(results)


class DipoleFit(EventStage):
    """Direction from the order in which modules were hit."""

    results: ClassVar = (
        *(row for row in TRACK if row[0] != "speed"),
        ("moment", "float64", "", "length of the dipole moment: 1 if all hits are along one line"),
        ("n_pairs", "int32", "", "pairs of hits at different places"),
    )

    output: str = Field("DipoleFit", description="what the columns' names begin with")
    step: int = Field(0, ge=0, description="hits of a pair are this far apart in order; 0 for half of all")
    min_hits: int = Field(5, ge=2, description="fewest hits with which it is made")

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        pulses = self.gather(partition)
        results = blank(self.results, len(pulses.starts) - 1)
        dipole_fit(pulses, self.step, self.min_hits, results)
        return self.columns(results)
