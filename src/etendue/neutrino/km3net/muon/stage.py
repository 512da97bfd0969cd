"""The stage that reconstructs muons."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

import numpy as np
from pydantic import Field

from etendue.dataflow.parameters import BroughtFile
from etendue.dataflow.partition import Partition
from etendue.dataflow.stage import Stage
from etendue.neutrino.detector import read_detector
from etendue.neutrino.km3net.muon.chain import RESULTS, reconstruct
from etendue.neutrino.km3net.muon.energy import muon_energy
from etendue.neutrino.km3net.muon.prefit import isotropic
from etendue.neutrino.km3net.ordered import OrderedHits, pmt_rows
from etendue.neutrino.schema import DETECTOR
from etendue.schema import Columns, Table

HITS = tuple(
    f"hits/{name}"
    for name in ("t", "pos_x", "pos_y", "pos_z", "dir_x", "dir_y", "dir_z", "dom_id", "channel_id")
)


class ReconstructMuon(Stage):
    """Fit a muon track to the calibrated hits of each event, see `docs/km3net-reconstruction.md`.

    Events with triggered hits in fewer than three modules have no track: ``muon_exists`` is false, all else
    NaN. Without a detector description, of an earlier stage or of ``detector``, there is no energy (NaN).
    """

    reads: ClassVar[tuple[str, ...]] = (*HITS, "hits/trigger_mask?", "hits/trig?")
    writes: ClassVar[dict[str, tuple]] = {
        "events/muon_exists": ("event", "bool", "", "whether a muon track was found"),
        "events/muon_pos_x": ("event", "float64", "m", "where the first direct light comes from"),
        "events/muon_pos_y": ("event", "float64", "m", "where the first direct light comes from"),
        "events/muon_pos_z": ("event", "float64", "m", "where the first direct light comes from"),
        "events/muon_dir_x": ("event", "float64", "", "direction, a unit vector"),
        "events/muon_dir_y": ("event", "float64", "", "direction, a unit vector"),
        "events/muon_dir_z": ("event", "float64", "", "direction, a unit vector"),
        "events/muon_t": ("event", "float64", "ns", "time at the position"),
        "events/muon_len": ("event", "float64", "m", "length along which direct light comes from the track"),
        "events/muon_lik": ("event", "float64", "", "log of the likelihood, relative to background alone"),
        "events/muon_beta0": ("event", "float64", "deg", "error of the direction, from the likelihood"),
        "events/muon_n_hits": ("event", "int32", "", "hits in the last fit; 0 without a track"),
        "events/muon_E": ("event", "float64", "GeV", "energy, from hit and unhit photomultipliers"),
    }

    grid: float = Field(10.0, gt=1, le=45, description="angle [deg] between the directions that are scanned")
    road: float = Field(300.0, gt=0, description="distance [m] from the track up to which hits count")
    detector: BroughtFile = Field("", description="detector file, where no earlier stage brings the detector")

    def brings(self) -> dict[str, tuple[Table, Columns]]:
        """The detector, if a file is given."""
        return {DETECTOR.name: (DETECTOR, read_detector(self.detector).detector)} if self.detector else {}

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        """Fit the events of a partition."""
        hits = OrderedHits.of(partition)
        fitted = reconstruct(
            hits.starts,
            hits.dom_id,
            hits.channel_id,
            hits.t,
            hits.position,
            hits.axis,
            hits.is_seed,
            _directions(self.grid),
            self.road,
        )
        columns = dict(zip(RESULTS, fitted.T, strict=True))
        exists = np.isfinite(columns["dir_x"])
        columns |= {"exists": exists, "n_hits": np.where(exists, columns["n_hits"], 0).astype(np.int32)}
        columns["E"] = self._energy(fitted, hits, partition)
        return {f"events/muon_{name}": np.ascontiguousarray(column) for name, column in columns.items()}

    def _energy(self, fitted: np.ndarray, hits: OrderedHits, partition: Partition) -> np.ndarray:
        if DETECTOR.name not in partition.conditions or "events/muon_E" not in partition.wanted:
            return np.full(len(fitted), np.nan)
        pmts = partition.conditions[DETECTOR.name]
        position = np.column_stack([pmts[f"pos_{c}"] for c in "xyz"])
        axis = np.column_stack([pmts[f"dir_{c}"] for c in "xyz"])
        row = pmt_rows(pmts, hits.dom_id, hits.channel_id)
        length = np.ascontiguousarray(fitted[:, RESULTS.index("len")])
        return muon_energy(hits.starts, hits.t, row, fitted[:, :7].copy(), length, position, axis)


@lru_cache(maxsize=4)
def _directions(spacing: float) -> np.ndarray:
    return isotropic(spacing)
