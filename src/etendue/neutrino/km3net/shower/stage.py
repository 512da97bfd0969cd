"""The stage that reconstructs showers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field

from etendue.dataflow.parameters import BroughtFile
from etendue.dataflow.partition import Partition
from etendue.dataflow.stage import Stage
from etendue.kernel import kernel
from etendue.neutrino.detector import read_detector
from etendue.neutrino.km3net.muon.prefit import isotropic
from etendue.neutrino.km3net.muon.selection import centred, coincident, connected, seed_hits
from etendue.neutrino.km3net.muon.stage import HITS
from etendue.neutrino.km3net.ordered import OrderedHits, pmt_rows
from etendue.neutrino.km3net.same_detector import check_inputs, check_rows
from etendue.neutrino.km3net.shower.light import directions_and_energies
from etendue.neutrino.km3net.shower.vertex import fit_vertex
from etendue.neutrino.schema import DETECTOR
from etendue.schema import Columns, Schema, Table

#: Modules whose first hits the vertex is fitted to, those with the largest coincidences.
N_MODULES = 100


@kernel
def vertices(
    starts: np.ndarray,
    dom: np.ndarray,
    channel: np.ndarray,
    t: np.ndarray,
    position: np.ndarray,
    axis: np.ndarray,
    is_seed: np.ndarray,
) -> np.ndarray:
    """Fit a vertex to each event: x, y, z [m], t [ns], robust cost and number of hits, float64 (n_events, 6).

    Parameters are those of `etendue.neutrino.km3net.muon.chain.reconstruct`. NaN for events with seeds in
    fewer than four modules, and where no vertex is near them.
    """
    results = np.full((len(starts) - 1, 6), np.nan)
    for event in range(len(starts) - 1):
        rows = slice(starts[event], starts[event + 1])
        fold = coincident(dom[rows], channel[rows], t[rows])
        seed = connected(position[rows], t[rows], fold, is_seed[rows])
        first, _ = seed_hits(dom[rows], channel[rows], fold, seed, N_MODULES, 1)
        if len(first) < 4:
            continue
        origin = np.empty(4)
        origin[:3], origin[3] = position[rows][first[0]], t[rows][first[0]]
        hits = centred(position[rows], axis[rows], t[rows], fold, origin)[first]
        vertex, cost = fit_vertex(hits)
        if not np.isfinite(cost):
            continue
        for column in range(4):
            results[event, column] = vertex[column] + origin[column]
        results[event, 4], results[event, 5] = cost, len(first)
    return results


class ReconstructShower(Stage):
    """Fit a shower to the calibrated hits of each event, see `docs/km3net-reconstruction.md`.

    Events with triggered hits in fewer than four modules have none: ``shower_exists`` is false and the rest
    NaN. Without a detector description, of an earlier stage or of ``detector``, there is a vertex, but no
    direction and no energy (NaN).
    """

    reads: ClassVar[tuple[str, ...]] = (*HITS, "hits/trigger_mask?", "hits/trig?", "events/det_id?")
    writes: ClassVar[dict[str, tuple]] = {
        "events/shower_exists": ("event", "bool", "", "whether a vertex was found"),
        "events/shower_pos_x": ("event", "float64", "m", "vertex"),
        "events/shower_pos_y": ("event", "float64", "m", "vertex"),
        "events/shower_pos_z": ("event", "float64", "m", "vertex"),
        "events/shower_t": ("event", "float64", "ns", "time at the vertex"),
        "events/shower_m_estimator": ("event", "float64", "", "cost of the vertex"),
        "events/shower_n_hits": ("event", "int32", "", "hits in the fit of the vertex; 0 without one"),
        "events/shower_dir_x": ("event", "float64", "", "direction, a unit vector"),
        "events/shower_dir_y": ("event", "float64", "", "direction, a unit vector"),
        "events/shower_dir_z": ("event", "float64", "", "direction, a unit vector"),
        "events/shower_E": ("event", "float64", "GeV", "energy"),
        "events/shower_lik": ("event", "float64", "", "log of the likelihood of direction and energy"),
    }

    grid: float = Field(20.0, gt=1, le=45, description="angle [deg] between the directions that are scanned")
    detector: BroughtFile = Field("", description="detector file, where no earlier stage brings the detector")
    other_detector: bool = Field(False, description="whether the file may be that of another detector")

    def brings(self) -> dict[str, tuple[Table, Columns]]:
        """The detector, if a file is given."""
        return read_detector(self.detector).brought if self.detector else {}

    def check(self, schema: Schema, static: Mapping[str, Columns]) -> None:
        """See that the file is that of the inputs' detector."""
        if self.detector and not self.other_detector:
            check_inputs(self.detector, static)

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        """Fit the events of a partition."""
        if self.detector and not self.other_detector:
            check_rows(self.detector, partition)
        hits = OrderedHits.of(partition)
        arrays = hits.dom_id, hits.channel_id, hits.t, hits.position, hits.axis, hits.is_seed
        found = vertices(hits.starts, *arrays)
        names = ("pos_x", "pos_y", "pos_z", "t", "m_estimator", "n_hits")
        columns = dict(zip(names, found.T, strict=True))
        exists = np.isfinite(columns["t"])
        columns |= {"exists": exists, "n_hits": np.where(exists, columns["n_hits"], 0).astype(np.int32)}
        light = self._light(found[:, :4].copy(), hits, partition)
        columns |= dict(zip(("dir_x", "dir_y", "dir_z", "E"), light.T, strict=False))
        columns["lik"] = -light[:, 4]
        return {f"events/shower_{name}": np.ascontiguousarray(column) for name, column in columns.items()}

    def _light(self, found: np.ndarray, hits: OrderedHits, partition: Partition) -> np.ndarray:
        if DETECTOR.name not in partition.conditions:
            return np.full((len(found), 5), np.nan)
        pmts = partition.conditions[DETECTOR.name]
        return directions_and_energies(
            hits.starts,
            hits.t,
            pmt_rows(pmts, hits.dom_id, hits.channel_id),
            found,
            np.column_stack([pmts[f"pos_{c}"] for c in "xyz"]),
            np.column_stack([pmts[f"dir_{c}"] for c in "xyz"]),
            pmts["dom_id"].astype(np.int64),
            isotropic(self.grid),
        )
