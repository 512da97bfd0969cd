"""The parameters of the triggers, as the data filter that wrote a file had them (``JTriggerParameters``).

Read by the list of members that the file itself holds (its streamer information), as they differ between
versions of the class; uproot does not read this object, since one of its members is stored member by member.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from etendue.dataflow.source import SourceError
from etendue.neutrino.sources.km3net.layouts import BYTE_COUNT
from etendue.neutrino.sources.km3net.streams import has, opened
from etendue.schema import Columns, Table, Variable

if TYPE_CHECKING:
    from uproot import ReadOnlyDirectory

#: Streamer information by class and version.
Streamers = Mapping[str, Mapping[int, Any]]

KEY = "JTRIGGER::JTriggerParameters"
_HEADER = struct.Struct(">IH")
_TYPES = {
    "bool": struct.Struct(">?"),
    "int": struct.Struct(">i"),
    "double": struct.Struct(">d"),
    "long long": struct.Struct(">q"),
}
#: Objects within objects, at most.
_DEPTH = 8

_TRIGGER = {"enabled": "bool", "numberOfHits": "int32", "numberOfModules": "int32", "DMax_m": "float64"}
_EXTRA = {"TMaxExtra_ns": "float64", "factoryLimit": "int32"}
_L2 = {"numberOfHits": "int32", "TMaxLocal_ns": "float64", "ctMin": "float64"}
_PRESCALER = {"prescale": "int64"}
_MEMBERS: dict[str, Any] = {
    "trigger3DShower": _TRIGGER | _EXTRA,
    "triggerMXShower": _TRIGGER | _EXTRA,
    "trigger3DMuon": _TRIGGER | {"roadWidth_m": "float64", "gridAngle_deg": "float64"} | _EXTRA,
    "triggerNB": {"enabled": "bool", "DMax_m": "float64"},
    "highRateVeto_Hz": "float64",
    "L2Min": "int32",
    "ctMin": "float64",
    "TMaxLocal_ns": "float64",
    "TMaxEvent_ns": "float64",
    "numberOfBins": "int32",
    "combineL1": "bool",
    "disableHighRateVeto": "bool",
    **dict.fromkeys(("L2", "SN", "NB"), _L2),
    **{f"write{name}": _PRESCALER for name in ("Timeslices", "Summary", "L0", "L1", "L2", "SN")},
}
_UNITS = {"_m": "m", "_ns": "ns", "_deg": "deg", "_Hz": "Hz"}
_NONE = {"bool": False, "int32": -1, "int64": -1, "float64": np.nan}


def _variables() -> dict[str, Variable]:
    """One column a number, named ``member`` or ``member_member``."""
    flat = {}
    for name, member in _MEMBERS.items():
        flat |= {f"{name}_{n}": d for n, d in member.items()} if isinstance(member, dict) else {name: member}
    return {
        name: Variable(
            name, ("run",), dtype, _UNITS.get(f"_{name.rpartition('_')[2]}", ""), "of the data filter"
        )
        for name, dtype in flat.items()
    }


TRIGGER_PARAMETERS = Table(
    name="trigger_parameters",
    dim="run",
    role="static",
    description="one row an input that has parameters of triggers; -1, NaN or false where it lacks one",
    variables={"run": Variable("run", ("run",), "uint32", "", "row of /observation"), **_variables()},
)


def read_trigger_parameters(path: str) -> dict[str, Any]:
    """Parameters of the triggers of a file.

    Parameters
    ----------
    path : str
        ROOT file of the data filter or of the simulation of it.

    Returns
    -------
    dict
        Members by name, objects as dicts, classes that are ROOT's objects with their version as ``_v``; lists
        of photomultipliers are left out (empty). Units are in the names: ``DMax_m``, ``TMaxLocal_ns``.

    Raises
    ------
    SourceError
        If the file has none, or they cannot be read.
    """
    with opened(path) as file:
        parameters = read_parameters(path, file)
    if parameters is None:
        raise SourceError(path, KEY, "the file has no trigger parameters; give a raw file of the data filter")
    return parameters


def read_parameters(path: str, file: ReadOnlyDirectory) -> dict[str, Any] | None:
    """As `read_trigger_parameters` of an open file; None if it has none."""
    if not has(file, KEY):
        return None
    try:
        chunk, cursor = file.key(KEY).get_uncompressed_chunk_cursor()
        data, streamers = np.asarray(chunk.raw_data)[cursor.index :].tobytes(), file.file.streamers
    except Exception as error:
        raise SourceError(path, KEY, f"cannot be unpacked ({type(error).__name__}: {error})") from error
    return parse_parameters(path, data, streamers)


def parse_parameters(path: str, data: bytes, streamers: Streamers) -> dict[str, Any]:
    """As `read_trigger_parameters`, from the bytes of the object and the lists of members of classes.

    Parameters
    ----------
    path : str
        The input, for errors.
    data : bytes
        The object.
    streamers : mapping of str to mapping of int to streamer information
        By class and version, as ``ReadOnlyFile.streamers`` of uproot.

    Raises
    ------
    SourceError
        If the bytes are not what the lists say.
    """
    try:
        return _Walk(data, streamers).object(KEY)
    except Exception as error:
        raise SourceError(path, KEY, f"cannot be read ({type(error).__name__}: {error})") from error


def trigger_parameters(path: str, file: ReadOnlyDirectory) -> Columns:
    """The table `TRIGGER_PARAMETERS` of one input: one row, or none.

    Raises
    ------
    SourceError
        If they cannot be read.
    """
    parameters = read_parameters(path, file)
    if parameters is None:
        return {name: np.zeros(0, dtype=v.dtype) for name, v in TRIGGER_PARAMETERS.variables.items()}
    flat: dict[str, Any] = {"run": 0}
    for name, value in parameters.items():
        flat |= {f"{name}_{n}": v for n, v in value.items()} if isinstance(value, dict) else {name: value}
    return {
        name: np.array([flat.get(name, _NONE.get(variable.dtype))], dtype=variable.dtype)
        for name, variable in TRIGGER_PARAMETERS.variables.items()
    }


class _Walk:
    """Goes through the bytes of an object by the lists of members of its classes."""

    def __init__(self, data: bytes, streamers: Streamers) -> None:
        self._data, self._streamers, self._at = data, streamers, 0

    def object(self, cls: str, depth: int = 0) -> dict[str, Any]:
        """The members of an object that begins with a byte count and a version."""
        count, version = self._number(_HEADER)
        end = self._at - 2 + count - BYTE_COUNT
        if not self._at <= end <= len(self._data) or depth > _DEPTH:
            raise ValueError(f"expected an object {cls} at byte {self._at - 6}")
        values: dict[str, Any] = {}
        for element in self._streamers[cls][version].elements:
            kind, name = type(element).__name__, element.member("fName")
            if kind == "Model_TStreamerBase" and name == "TObject":
                values["_v"] = version
                self._at += 10
            elif kind == "Model_TStreamerBasicType":
                (values[name],) = self._number(_TYPES[element.typename])
            elif kind in ("Model_TStreamerObject", "Model_TStreamerObjectAny"):
                values[name] = self.object(element.typename, depth + 1)
            else:  # a list: the byte count leads over it
                self._at = end
                return {}
        if self._at != end:
            raise ValueError(f"expected {cls} version {version} to end at byte {end}, not {self._at}")
        return values

    def _number(self, layout: struct.Struct) -> tuple:
        try:
            values = layout.unpack_from(self._data, self._at)
        except struct.error:
            raise ValueError(f"ends after {len(self._data)} bytes") from None
        self._at += layout.size
        return values
