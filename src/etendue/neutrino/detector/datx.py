"""The binary format of KM3NeT's detector descriptions.

Little-endian, without padding. Comments first, each ``####``, int32 length, text. Then int32 detector
number, the version as text ("V5"; a text is int32 length and bytes), float64 valid from and until, three
texts "UTM", ellipsoid, zone, float64 easting, northing, height, int32 number of modules. A module is 84
bytes and is followed by its photomultipliers of 64 bytes each. Worked out from files of known content.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from etendue.dataflow.source import SourceError
from etendue.neutrino.detector.description import Detector

COMMENT = b"####"

MODULE = np.dtype(
    [(name, "<i4") for name in ("dom_id", "du", "floor")]
    + [(name, "<f8") for name in ("pos_x", "pos_y", "pos_z", "q0", "qx", "qy", "qz", "t0")]
    + [("status", "<i4"), ("n_pmts", "<i4")]
)
PMT = np.dtype(
    [("pmt_id", "<i4")]
    + [(name, "<f8") for name in ("pos_x", "pos_y", "pos_z", "dir_x", "dir_y", "dir_z", "t0")]
    + [("status", "<i4")]
)


class _Bytes:
    """A file in memory, read from its start; it knows how to say what is missing."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.data = Path(path).read_bytes()
        self.place = 0

    def error(self, message: str) -> SourceError:
        return SourceError(self.path, f"byte {self.place}", message)

    def need(self, n_bytes: int, what: str) -> None:
        left = len(self.data) - self.place
        if not 0 <= n_bytes <= left:
            raise self.error(f"expected {what} of {n_bytes} bytes; the file has {left} bytes more")

    def unpack(self, form: str, what: str) -> tuple:
        self.need(struct.calcsize(form), what)
        values = struct.unpack_from(form, self.data, self.place)
        self.place += struct.calcsize(form)
        return values

    def text(self, what: str) -> str:
        (length,) = self.unpack("<i", f"length of {what}")
        self.need(length, what)
        self.place += length
        return self.data[self.place - length : self.place].decode("utf-8", errors="replace")

    def records(self, dtype: np.dtype, n: int, what: str) -> np.ndarray:
        self.need(n * dtype.itemsize, what)
        found = np.frombuffer(self.data, dtype, n, self.place)
        self.place += n * dtype.itemsize
        return found


def read_datx(path: str) -> Detector:
    """Read a ``.datx`` file (version 5).

    Raises
    ------
    SourceError
        If the file is not of this format, is cut short, or has bytes left over.
    """
    file = _Bytes(path)
    comments = []
    while file.data.startswith(COMMENT, file.place):
        file.place += len(COMMENT)
        comments.append(file.text("a comment"))
    facts = _header(file)
    (n_modules,) = file.unpack("<i", "number of modules")
    file.need(n_modules * MODULE.itemsize, f"{n_modules} modules")
    modules, pmts = [np.zeros(0, MODULE)], [np.zeros(0, PMT)]
    for _ in range(n_modules):
        modules.append(file.records(MODULE, 1, "a module"))
        n_pmts = int(modules[-1]["n_pmts"][0])
        if not 0 <= n_pmts <= 256:
            raise file.error(f"expected a module with 0 to 256 photomultipliers before this, got {n_pmts}")
        pmts.append(file.records(PMT, n_pmts, f"{n_pmts} photomultipliers"))
    if file.place < len(file.data):
        raise file.error(f"expected the end; there are {len(file.data) - file.place} bytes more")
    module, pmt = np.concatenate(modules), np.concatenate(pmts)
    for records, what in ((module, "module"), (pmt, "photomultiplier")):
        for name in records.dtype.names:
            if not np.isfinite(records[name]).all():
                row = int(np.argmin(np.isfinite(records[name])))
                raise SourceError(path, f"{what} {row} of the file", f"{name} is not a finite number")
    columns = {name: module[name].copy() for name in MODULE.names}
    unknown = ~np.any([columns[name] for name in ("q0", "qx", "qy", "qz")], axis=0)
    for name in ("q0", "qx", "qy", "qz"):
        columns[name][unknown] = np.nan
    pmt_columns = {name: pmt[name] for name in PMT.names}
    return Detector.of(path, pmt_columns, columns, comments=tuple(comments), **facts)


def _header(file: _Bytes) -> dict[str, object]:
    (det_id,) = file.unpack("<i", "detector number")
    version = file.text("the version")
    if version not in ("V5", "v5"):
        raise file.error(f"expected version V5 before this, got {version[:20]!r}; convert the file to detx")
    valid_from, valid_until = file.unpack("<2d", "validity")
    mark, ellipsoid, zone = (file.text(what) for what in ("the mark UTM", "the ellipsoid", "the zone"))
    if mark != "UTM":
        raise file.error(f"expected a UTM reference before this, got {mark[:20]!r}")
    easting, northing, height = file.unpack("<3d", "UTM position")
    return {
        "det_id": det_id,
        "version": 5,
        "valid_from": valid_from,
        "valid_until": valid_until,
        "utm_grid": f"{ellipsoid} {zone}",
        "utm_easting": easting,
        "utm_northing": northing,
        "utm_height": height,
    }
