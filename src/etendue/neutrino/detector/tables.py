"""Tables of optical modules: IceCube's, its Upgrade's, and those of detectors in simulation.

Parquet files with the columns of graphnet's geometry tables (``dom_x``, ``string``, ``dom_number``,
``pmt_number``, ``pmt_dir_x``, ``rde``) or of Prometheus (``sensor_pos_x``, ``sensor_string_id``), and
NumPy files of shape (strings, modules, 3) in the order of strings and modules, as retro's (86, 60, 3).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from etendue.dataflow.source import SourceError
from etendue.neutrino.detector.description import Detector

_GRAPHNET = ("dom_x", "dom_y", "dom_z", "string", "dom_number", "pmt_number")
_DIRECTION = ("pmt_dir_x", "pmt_dir_y", "pmt_dir_z")
_PROMETHEUS = ("sensor_pos_x", "sensor_pos_y", "sensor_pos_z", "sensor_string_id")


def read_parquet(path: str) -> Detector:
    """Read a geometry table in Parquet.

    Raises
    ------
    SourceError
        If pyarrow is not installed, or the file is broken or has other columns.
    """
    try:
        import pyarrow.parquet
    except ImportError:
        message = "reading Parquet needs pyarrow: pip install pyarrow"
        raise SourceError(path, "file", message) from None
    try:
        table = pyarrow.parquet.read_table(path)
        columns = {name: table[name].to_numpy() for name in table.column_names}
    except (pyarrow.ArrowException, OSError) as error:
        raise SourceError(path, "file", f"not a Parquet file that is whole: {error}") from None
    if columns.keys() >= set(_GRAPHNET):
        return _graphnet(path, columns)
    if columns.keys() >= set(_PROMETHEUS):
        return _prometheus(path, columns)
    raise SourceError(
        path,
        "columns",
        f"expected {', '.join(_GRAPHNET)} or {', '.join(_PROMETHEUS)}; got {', '.join(columns)}",
    )


def read_npy(path: str) -> Detector:
    """Read positions of shape (strings, modules, 3): string 1 is the first, module 1 the topmost.

    Raises
    ------
    SourceError
        If the file is broken or of another shape.
    """
    try:
        position = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError) as error:
        raise SourceError(path, "file", f"not a NumPy file that is whole: {error}") from None
    if position.ndim != 3 or position.shape[2] != 3 or position.dtype.kind != "f":
        message = f"expected floats of shape (strings, modules, 3), got {position.dtype} of {position.shape}"
        raise SourceError(path, "header", message)
    string, om = np.indices(position.shape[:2]).reshape(2, -1) + 1
    return _detector(
        path, string, om, np.zeros(len(om), int), np.array(position, np.float64).reshape(-1, 3), {}
    )


def _graphnet(path: str, columns: Mapping[str, np.ndarray]) -> Detector:
    position = np.stack([columns[name] for name in _GRAPHNET[:3]], axis=-1).astype(np.float64)
    more = {f"dir_{name[-1]}": columns[name] for name in _DIRECTION if name in columns}
    if "rde" in columns:
        more["efficiency"] = np.where(np.isnan(columns["rde"]), 1.0, columns["rde"])
    return _detector(path, *(columns[name] for name in _GRAPHNET[3:]), position, more)


def _prometheus(path: str, columns: Mapping[str, np.ndarray]) -> Detector:
    position = np.stack([columns[name] for name in _PROMETHEUS[:3]], axis=-1).astype(np.float64)
    string = columns["sensor_string_id"]
    order = np.argsort(string, kind="stable")
    starts = np.flatnonzero(np.diff(string[order], prepend=np.nan) != 0)
    om = np.zeros(len(string), dtype=np.int64)
    om[order] = np.arange(len(string)) - np.repeat(starts, np.diff(starts, append=len(string))) + 1
    return _detector(path, string, om, np.zeros(len(string), int), position, {})


def _detector(
    path: str, string: np.ndarray, om: np.ndarray, pmt: np.ndarray, position: np.ndarray, more: dict
) -> Detector:
    """A detector from one row a photomultiplier, in any order.

    Modules are numbered 100 string + om, or 1000 string + om where a string has more than 99 modules. Axes
    point down unless the table says otherwise. The number of a photomultiplier is its row in the file.
    """
    if not np.isfinite(position).all():
        row = int(np.argmin(np.isfinite(position).all(axis=1)))
        raise SourceError(path, f"row {row}", f"expected a finite position, got {position[row].tolist()}")
    string, om, pmt = (np.asarray(column).astype(np.int64) for column in (string, om, pmt))
    order = np.lexsort((pmt, om, string))
    string, om, pmt, position = string[order], om[order], pmt[order], position[order]
    dom_id = (1000 if (om > 99).any() else 100) * string + om
    first = np.flatnonzero(np.diff(dom_id, prepend=dom_id[:1] - 1))
    n_pmts = np.diff(first, append=len(dom_id))
    centre = np.add.reduceat(position, first) / n_pmts[:, None] if len(first) else position
    down = {"dir_x": np.zeros(len(om)), "dir_y": np.zeros(len(om)), "dir_z": np.full(len(om), -1.0)}
    pmts = {
        "channel_id": pmt,
        "pmt_id": order,
        **down,
        **{f"pos_{axis}": position[:, i] for i, axis in enumerate("xyz")},
        **{name: column[order] for name, column in more.items()},
    }
    modules = {
        "dom_id": dom_id[first],
        "du": string[first],
        "floor": om[first],
        "n_pmts": n_pmts,
        **{f"pos_{axis}": centre[:, i] for i, axis in enumerate("xyz")},
    }
    return Detector.of(path, pmts, modules)
