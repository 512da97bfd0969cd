"""What a detector description holds, whatever file it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from etendue.dataflow.source import SourceError
from etendue.kernel import owners
from etendue.neutrino.schema import DETECTOR, DETECTOR_FILE, MODULES
from etendue.schema import Columns, Table

#: Below this share of the greatest possible determinant, the axes of a module's PMTs are as good as parallel.
PARALLEL = 1e-6


@dataclass(frozen=True)
class Detector:
    """A detector: photomultipliers, modules, and what the file says of the whole.

    The photomultipliers of a module stand together, in the order of the channels, and the modules in the
    same order in both tables.

    Parameters
    ----------
    detector : dict of str to array
        Columns of `etendue.neutrino.schema.DETECTOR`, one row a photomultiplier.
    modules : dict of str to array
        Columns of `etendue.neutrino.schema.MODULES`, one row a module.
    det_id : int
        Number of the detector; 0 where the format has none.
    version : int
        Version of the detx or datx format; 0 for other formats.
    valid_from, valid_until : float
        Validity in s since 1970-01-01 UTC; NaN where the format has none.
    utm_grid : str
        Ellipsoid and zone of the UTM reference, as in ``WGS84 33N``; empty where the format has none.
    utm_easting, utm_northing, utm_height : float
        Origin of the coordinates in that grid [m]; NaN where the format has none.
    comments : tuple of str
        Comment lines (provenance), without their mark.
    """

    detector: Columns
    modules: Columns
    det_id: int = 0
    version: int = 0
    valid_from: float = np.nan
    valid_until: float = np.nan
    utm_grid: str = ""
    utm_easting: float = np.nan
    utm_northing: float = np.nan
    utm_height: float = np.nan
    comments: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(
        cls, path: str, pmts: Mapping[str, np.ndarray], modules: Mapping[str, np.ndarray], **facts: object
    ) -> Detector:
        """Fill in what the format does not have, set the dtypes, and close the arrays for writing.

        Parameters
        ----------
        path : str
            File, for errors.
        pmts : mapping of str to array
            Columns of photomultipliers without those that follow from their module.
        modules : mapping of str to array
            Columns of modules.
        **facts
            The other fields.

        Raises
        ------
        SourceError
            If two modules have the same number.
        """
        numbers, first = np.unique(modules["dom_id"], return_index=True)
        if len(numbers) < len(modules["dom_id"]):
            again = np.delete(modules["dom_id"], first)[0]
            raise SourceError(path, f"module {again}", "expected once, is there more than once")
        module = owners(modules["n_pmts"])
        first_pmt = np.cumsum(modules["n_pmts"]) - modules["n_pmts"]
        of_module = {name: modules[name][module] for name in ("dom_id", "du", "floor")}
        n_pmts, n_modules = len(module), len(modules["dom_id"])
        pmts = {
            "channel_id": np.arange(n_pmts) - first_pmt[module],
            "t0": np.zeros(n_pmts),
            "status": np.zeros(n_pmts),
            "efficiency": np.ones(n_pmts),
            **of_module,
            **pmts,
        }
        unknown = dict.fromkeys(("q0", "qx", "qy", "qz", "t0"), np.full(n_modules, np.nan))
        modules = {**unknown, "status": np.zeros(n_modules), **modules}
        if "pos_x" not in modules:
            modules |= axes_crossings(modules["n_pmts"], pmts)
        return cls(_closed(DETECTOR, pmts), _closed(MODULES, modules), **facts)

    @property
    def brought(self) -> dict[str, tuple[Table, Columns]]:
        """The static tables that a stage brings of it: photomultipliers, modules, and the whole."""
        whole = {
            name: np.array([getattr(self, name)], dtype=variable.dtype)
            for name, variable in DETECTOR_FILE.variables.items()
        }
        return {
            DETECTOR.name: (DETECTOR, self.detector),
            MODULES.name: (MODULES, self.modules),
            DETECTOR_FILE.name: (DETECTOR_FILE, whole),
        }


def _closed(table: Table, columns: Mapping[str, np.ndarray]) -> Columns:
    closed = {
        name: np.ascontiguousarray(columns[name]).astype(variable.dtype)
        for name, variable in table.variables.items()
    }
    for column in closed.values():
        column.setflags(write=False)
    return closed


def axes_crossings(n_pmts: np.ndarray, pmts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Centre of each module: the point with the least squared distance to the axes of its PMTs.

    With the axes' points p and unit vectors d, it solves sum (1 - d d^T) c = sum (1 - d d^T) p.

    Parameters
    ----------
    n_pmts : int array, shape (n_modules,)
        Photomultipliers of each module.
    pmts : mapping of str to array
        ``pos_x`` to ``dir_z`` of the photomultipliers, module after module.

    Returns
    -------
    dict of str to float64 array, shape (n_modules,)
        ``pos_x``, ``pos_y``, ``pos_z``; NaN for modules without two axes that cross.
    """
    position = np.stack([pmts[f"pos_{axis}"] for axis in "xyz"], axis=-1)
    direction = np.stack([pmts[f"dir_{axis}"] for axis in "xyz"], axis=-1)
    module, count = owners(n_pmts), np.maximum(n_pmts, 1)

    def total(values: np.ndarray) -> np.ndarray:
        sums = np.zeros((len(n_pmts), *values.shape[1:]))
        np.add.at(sums, module, values)
        return sums

    mean = total(position) / count[:, None]  # near the module, so that no digits are lost
    with np.errstate(invalid="ignore", divide="ignore"):
        direction = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    across = np.eye(3) - direction[:, :, None] * direction[:, None, :]
    matrix = total(across)
    vector = total(np.einsum("nij,nj->ni", across, position - mean[module]))
    crossing = np.linalg.det(matrix) > PARALLEL * count**3
    centre = np.full((len(n_pmts), 3), np.nan)
    solution = np.linalg.solve(matrix[crossing], vector[crossing][..., None])[..., 0]
    centre[crossing] = mean[crossing] + solution
    return {f"pos_{axis}": centre[:, i] for i, axis in enumerate("xyz")}
