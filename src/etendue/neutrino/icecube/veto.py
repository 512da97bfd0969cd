"""The veto of starting events: whether light came first from the edge of the detector (VHESelfVeto)."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from etendue.dataflow.partition import Partition
from etendue.kernel import kernel
from etendue.neutrino.icecube.charges import FIRST_DEEPCORE_STRING
from etendue.neutrino.icecube.geometry import detector_of, positions_of_modules
from etendue.neutrino.icecube.pulses import C, EventStage, Pulses, blank, most_pulses
from etendue.schema import Columns
from etendue.sorting import rows_in_order

#: Share of an event's charge above which a module counts as lit by something next to it.
LONE_MODULE = 0.9

#: How much sooner than light a pulse may be at the vertex and still be of the same particle [ns].
CAUSAL_TOLERANCE = 50.0

#: Neighbours of a string inside a triangular grid, and how far they are, in units of the least distance.
GRID_NEIGHBOURS, GRID_DISTANCE = 6, 1.4


class Boundary(NamedTuple):
    """The modules at the edge of the detector.

    Parameters
    ----------
    strings : bool array
        Whether a string is of the outermost ones, by its number.
    top, bottom : float
        Modules above and below are at the edge [m].
    dust_top, dust_bottom : float
        Modules between, in and under the layer of dust, count as at the edge [m].
    """

    strings: np.ndarray
    top: float
    bottom: float
    dust_top: float
    dust_bottom: float


def boundary_of(detector: Columns, top: float, bottom: float, dust: float, dust_width: float) -> Boundary:
    """The edge of a detector of strings on a triangular grid.

    Parameters
    ----------
    detector : dict of str to array
        Columns of `etendue.neutrino.schema.DETECTOR`.
    top, bottom : float
        Height of the layers at the top and the bottom [m].
    dust, dust_width : float
        Upper end and height of the layer of dust [m].

    Returns
    -------
    Boundary
    """
    string, x, y, z = positions_of_modules(detector)
    regular = string < FIRST_DEEPCORE_STRING
    numbers, inverse = np.unique(string[regular], return_inverse=True)
    n_modules = np.bincount(inverse)
    place = np.stack([np.bincount(inverse, axis[regular]) / n_modules for axis in (x, y)])
    distance = np.hypot(*(place[:, :, None] - place[:, None, :]))
    np.fill_diagonal(distance, np.inf)
    spacing = np.median(distance.min(axis=0, initial=np.inf))
    outer = (distance < GRID_DISTANCE * spacing).sum(axis=0) < GRID_NEIGHBOURS
    strings = np.zeros(int(string.max(initial=0)) + 1, dtype=np.bool_)
    strings[numbers[outer]] = True
    highest, lowest = z[regular].max(initial=-np.inf), z[regular].min(initial=np.inf)
    return Boundary(strings, highest - top, lowest + bottom, dust, dust - dust_width)


@kernel
def is_at_boundary(pulses: Pulses, i: int, boundary: Boundary) -> bool:
    """Whether a pulse is of a module at the edge of the detector."""
    string, z = pulses.string[i], pulses.z[i]
    if string < boundary.strings.size and boundary.strings[string]:
        return True
    return z > boundary.top or z < boundary.bottom or boundary.dust_bottom < z < boundary.dust_top


@kernel
def without_lone_module(pulses: Pulses, first: int, stop: int, hits: np.ndarray) -> int:
    """List the pulses of an event without those of a module that holds most of its charge."""
    total = np.sum(pulses.charge[first:stop])
    n_hits, start = 0, first
    while start < stop:
        end, charge = start, 0.0
        while end < stop and pulses.module[end] == pulses.module[start]:
            charge += pulses.charge[end]
            end += 1
        if charge <= LONE_MODULE * total:
            for i in range(start, end):
                hits[n_hits] = i
                n_hits += 1
        start = end
    return n_hits


@kernel
def find_vertex(
    pulses: Pulses, hits: np.ndarray, window: float, threshold: float, vertex: np.ndarray
) -> bool:
    """When and where an event's charge first exceeds a threshold within a time window.

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    hits : int64 array, shape (n_hits,)
        The event's pulses that count, ascending in time.
    window, threshold : float
        Length of the window, which ends at a pulse [ns]; charge to exceed [pe].
    vertex : float64 array, shape (4,)
        Output: mean position of the window's pulses, weighted by charge [m]; time of its last [ns].

    Returns
    -------
    bool
        Whether there is such a window.
    """
    begin, charge = 0, 0.0
    for end in range(hits.size):
        time = pulses.time[hits[end]]
        charge += pulses.charge[hits[end]]
        while pulses.time[hits[begin]] < time - window:
            charge -= pulses.charge[hits[begin]]
            begin += 1
        if charge > threshold:
            x, y, z, total = 0.0, 0.0, 0.0, 0.0
            for i in hits[begin : end + 1]:
                q = pulses.charge[i]
                total += q
                x += q * pulses.x[i]
                y += q * pulses.y[i]
                z += q * pulses.z[i]
            vertex[0], vertex[1], vertex[2], vertex[3] = x / total, y / total, z / total, time
            return True
    return False


@kernel
def charge_before(pulses: Pulses, hits: np.ndarray, vertex: np.ndarray, boundary: Boundary) -> float:
    """Charge at the edge that a particle can have left on its way to the vertex [pe].

    Pulses count up to the vertex' time if a particle at the speed of light comes from their module to
    the vertex in time: d <= c (t_v - t + tolerance).
    """
    charge = 0.0
    for i in hits:
        if pulses.time[i] > vertex[3]:
            break
        if is_at_boundary(pulses, i, boundary):
            dx, dy, dz = pulses.x[i] - vertex[0], pulses.y[i] - vertex[1], pulses.z[i] - vertex[2]
            time = vertex[3] - pulses.time[i] + CAUSAL_TOLERANCE
            if np.sqrt(dx * dx + dy * dy + dz * dz) <= C * time:
                charge += pulses.charge[i]
    return charge


@kernel
def self_veto(
    pulses: Pulses,
    window: float,
    vertex_threshold: float,
    veto_threshold: float,
    boundary: Boundary,
    results: np.ndarray,
) -> None:
    """Vertex of each event, and whether charge at the edge of the detector came before it.

    M. G. Aartsen et al. (IceCube), Science 342 (2013) 1242856, supplement.

    Parameters
    ----------
    pulses : Pulses
        Of many events.
    window : float
        Length of the time window of the vertex [ns].
    vertex_threshold, veto_threshold : float
        Charge that makes a vertex; charge at the edge that makes a veto [pe].
    boundary : Boundary
        The edge.
    results : structured array, shape (n_events,)
        Output, see `VHESelfVeto`.
    """
    longest = most_pulses(pulses)
    hits, vertex = np.empty(longest, dtype=np.int64), np.empty(4)
    for event in range(results.size):
        result = results[event]
        n_hits = without_lone_module(pulses, pulses.starts[event], pulses.starts[event + 1], hits)
        ordered = rows_in_order(hits[:n_hits], pulses.time)
        if find_vertex(pulses, ordered, window, vertex_threshold, vertex):
            result.vertex_x, result.vertex_y, result.vertex_z, result.vertex_time = vertex
            result.veto_charge = charge_before(pulses, ordered, vertex, boundary)
            result.exists = True
            result.vetoed = result.veto_charge > veto_threshold


class VHESelfVeto(EventStage):
    """Find the vertex of bright events, and veto those whose first light is at the detector's edge.

    IceCube's filter of high-energy starting events gives it the pulses in local coincidence. Events
    too dim for a vertex are not vetoed, and do not ``exists``.
    """

    results: ClassVar = (
        ("exists", "bool", "", "whether the event is bright enough for a vertex"),
        ("vetoed", "bool", "", "whether charge at the edge came before the vertex"),
        ("vertex_time", "float64", "ns", "when the charge in the window exceeds the threshold"),
        ("vertex_x", "float64", "m", "mean position of the window's charge"),
        ("vertex_y", "float64", "m", "mean position of the window's charge"),
        ("vertex_z", "float64", "m", "mean position of the window's charge"),
        ("veto_charge", "float64", "pe", "charge at the edge before the vertex"),
    )

    output: str = Field("VHESelfVeto", description="what the columns' names begin with")
    time_window: float = Field(3000.0, gt=0, description="length of the sliding window [ns]")
    vertex_threshold: float = Field(250.0, gt=0, description="charge in the window that makes a vertex [pe]")
    veto_threshold: float = Field(3.0, ge=0, description="charge at the edge that is still no veto [pe]")
    top_width: float = Field(90.0, ge=0, description="height of the edge at the top [m]")
    bottom_width: float = Field(10.0, ge=0, description="height of the edge at the bottom [m]")
    dust_layer: float = Field(-135.0, description="upper end of the layer of dust [m]")
    dust_layer_width: float = Field(80.0, ge=0, description="height of the layer of dust [m]")

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        pulses = self.gather(partition)
        layers = (self.top_width, self.bottom_width, self.dust_layer, self.dust_layer_width)
        boundary = boundary_of(detector_of(partition), *layers)
        results = blank(self.results, len(pulses.starts) - 1)
        thresholds = (self.time_window, self.vertex_threshold, self.veto_threshold)
        self_veto(pulses, *thresholds, boundary, results)
        return self.columns(results)
