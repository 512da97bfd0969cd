"""Detector descriptions: where the photomultipliers are, where they look, and when their clocks start.

`read_detector` reads KM3NeT's ``.detx`` (text, versions 1 to 5) and ``.datx`` (binary), and the tables of
optical modules that are in use for IceCube and for detectors in simulation (Parquet, NumPy).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from etendue.dataflow.source import SourceError
from etendue.neutrino.detector.datx import read_datx
from etendue.neutrino.detector.description import Detector
from etendue.neutrino.detector.detx import read_detx, write_detx
from etendue.neutrino.detector.tables import read_npy, read_parquet

__all__ = ["Detector", "read_detector", "write_detx"]


def read_detector(path: str | Path) -> Detector:
    """Read a detector description of any format, told by its first bytes.

    A file is read once in a process, and again when it has changed; the arrays are shared, so they
    cannot be written to.

    Parameters
    ----------
    path : str or Path
        A ``.detx``, ``.datx``, ``.parquet`` or ``.npy`` file.

    Returns
    -------
    Detector

    Raises
    ------
    SourceError
        If there is no such file or it is not whole; says in which line or byte.
    """
    try:
        status = Path(path).stat()
    except OSError as error:
        raise SourceError(path, "file", f"cannot be read: {error.strerror}") from None
    return _read(str(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@lru_cache(maxsize=8)
def _read(path: str, *state: int) -> Detector:
    try:
        with open(path, "rb") as file:
            start = file.read(64)
    except OSError as error:
        raise SourceError(path, "file", f"cannot be read: {error.strerror}") from None
    if start.startswith(b"PAR1"):
        return read_parquet(path)
    if start.startswith(b"\x93NUMPY"):
        return read_npy(path)
    return read_datx(path) if b"\0" in start else read_detx(path)
