"""The class ``Evt`` of KM3NeT-Dataformat: which branch becomes which column.

Names are km3io's, but for ``hits/trigger_mask`` (``trig`` there), which is the name in raw data, so that the
same stages work on both. Hits have the dtypes of raw data.
"""

from __future__ import annotations

import numpy as np

from etendue.neutrino.schema import DAQ_EVENTS
from etendue.neutrino.sources.km3net.columnar import TEXT, TOP, Column, Part, declared
from etendue.schema import Table, Variable

#: The tree, and the branch that holds the event.
TREE, BRANCH = "E", "Evt"


def nanoseconds(seconds: np.ndarray, nanoseconds: np.ndarray) -> np.ndarray:
    """Time since 1970-01-01 UTC in ns (int64)."""
    return seconds.astype(np.int64) * 1_000_000_000 + nanoseconds.astype(np.int64)


def _time(name: str, branch: str, description: str) -> Column:
    variable = Variable(name, ("event",), "int64", "ns", description)
    return Column(variable, (f"{branch}.fSec", f"{branch}.fNanoSec"), (">i4",), nanoseconds)


def _of_raw_data(name: str) -> tuple[str, str, str]:
    """Dtype, units and description as in the table of raw events."""
    variable = DAQ_EVENTS.variables[name]
    return variable.dtype, variable.units, variable.description


_EVENTS = (
    *declared(
        TOP,
        "event",
        {
            "id": ("id", ">i4", "int32", "", "number of the event in the file"),
            "det_id": ("det_id", ">i4", *_of_raw_data("det_id")),
            "run_id": ("run_id", ">i4", *_of_raw_data("run_id")),
            "frame_index": ("frame_index", ">i4", *_of_raw_data("frame_index")),
            "trigger_counter": ("trigger_counter", ">u8", *_of_raw_data("trigger_counter")),
            "trigger_mask": ("trigger_mask", ">u8", *_of_raw_data("trigger_mask")),
            "overlays": ("overlays", ">u4", *_of_raw_data("overlays")),
            "mc_id": ("mc_id", ">i4", "int32", "", "number of the event in the simulation"),
            "mc_run_id": ("mc_run_id", ">i4", "int32", "", "run number of the simulation"),
            "mc_t": ("mc_t", ">f8", "float64", "ns", "time of the simulated t = 0 in the run"),
            "index": ("index", ">i4", "int32", "", "number of the event in its input file"),
            "flags": ("flags", ">i4", "int32", "", "user flags"),
        },
    ),
    _time("time", "t", "start of the frame since 1970-01-01 UTC"),
    _time("mc_event_time", "mc_event_time", "time of the simulated event since 1970-01-01 UTC"),
)


def _vectors(branch: str, about: str) -> dict[str, tuple]:
    """Three components of a position and of a direction."""
    return {
        f"{name}_{axis}": (f"{branch}.{name}.{axis}", ">f8", "float64", units, f"{kind} of {about}")
        for name, units, kind in (("pos", "m", "position"), ("dir", "", "direction"))
        for axis in "xyz"
    }


def _track(branch: str, more: dict[str, tuple]) -> dict[str, tuple]:
    return {
        "id": (f"{branch}.id", ">i4", "int32", "", "number of the track in its event"),
        **_vectors(branch, "the track"),
        "t": (f"{branch}.t", ">f8", "float64", "ns", "time at the position"),
        "E": (f"{branch}.E", ">f8", "float64", "GeV", "energy"),
        "len": (f"{branch}.len", ">f8", "float64", "m", "length"),
        **more,
        "status": (f"{branch}.status", ">i4", "int32", "", "status code of the simulation"),
        "mother_id": (f"{branch}.mother_id", ">i4", "int32", "", "number of the track it comes from"),
        "counter": (f"{branch}.counter", ">i4", "int32", "", "counter set by the program"),
        "comment": (f"{branch}.comment", TEXT, "str", "", "free text"),
    }


_HITS = {
    "id": ("hits.id", ">i4", "int32", "", "number of the hit in its event"),
    "dom_id": ("hits.dom_id", ">i4", "int32", "", "module number"),
    "channel_id": ("hits.channel_id", ">u4", "uint8", "", "photomultiplier of the module, 0 to 30"),
    "tdc": ("hits.tdc", ">u4", "uint32", "ns", "raw time after the start of the frame"),
    "tot": ("hits.tot", ">u4", "uint8", "ns", "time over threshold"),
    "trigger_mask": ("hits.trig", ">u8 >i4", "uint64", "", "triggers that the hit is part of; 0 for none"),
    "t": ("hits.t", ">f8", "float64", "ns", "calibrated time after the start of the frame"),
    "a": ("hits.a", ">f8", "float64", "pe", "charge"),
    **_vectors("hits", "the photomultiplier"),
    "pmt_id": ("hits.pmt_id", ">i4", "int32", "", "number of the photomultiplier in the detector"),
}

_MC_HITS = {
    "id": ("mc_hits.id", ">i4", "int32", "", "number of the hit in its event"),
    "dom_id": ("mc_hits.dom_id", ">i4", "int32", "", "module number; 0 where only pmt_id is known"),
    "channel_id": ("mc_hits.channel_id", ">u4", "uint8", "", "photomultiplier of the module"),
    "pmt_id": ("mc_hits.pmt_id", ">i4", "int32", "", "number of the photomultiplier in the detector"),
    "t": ("mc_hits.t", ">f8", "float64", "ns", "simulated time"),
    "a": ("mc_hits.a", ">f8", "float64", "pe", "charge"),
    "pure_t": ("mc_hits.pure_t", ">f8", "float64", "ns", "time before the photomultiplier's response"),
    "pure_a": ("mc_hits.pure_a", ">f8", "float64", "pe", "charge before the photomultiplier's response"),
    "type": ("mc_hits.type", ">i4", "int32", "", "particle type or parametrisation that made the hit"),
    "origin": ("mc_hits.origin", ">i4", "int32", "", "id of the track that made the hit"),
    **_vectors("mc_hits", "the photomultiplier"),
}

_TRACKS = {
    "lik": ("trks.lik", ">f8", "float64", "", "likelihood or quality of the fit"),
    "rec_type": (
        "trks.rec_type",
        ">i4",
        "int32",
        "",
        "reconstruction that made it, e.g. 4000 for Jpp's muon",
    ),
}

_MC_TRACKS = {"pdgid": ("mc_trks.type", ">i4", "int32", "", "particle, PDG numbering")}


def _list(table: str, parent: str, about: str, column: str, branch: str, disk: str = ">f8") -> Part:
    """A table of the items of the lists in one branch."""
    dtype = "str" if disk == TEXT else np.dtype(disk).name
    return Part(table, declared(table, f"{table}_item", {column: (branch, disk, dtype, "", about)}), parent)


_NAME, _VALUE = "name of a user value", "user value; the files do not always name them all"

_LISTS = (
    _list("w", TOP, "weight of the event", "value", "w"),
    _list("w2list", TOP, "event property of the generator, by place", "value", "w2list"),
    _list("w3list", TOP, "event property of the flux, by place", "value", "w3list"),
    _list("usr", TOP, _VALUE, "value", "usr"),
    _list("usr_names", TOP, _NAME, "name", "usr_names", TEXT),
    _list("rec_stages", "tracks", "stage of the fit, in order", "rec_stage", "trks.rec_stages", ">i4"),
    _list("fitinf", "tracks", "fit parameter, by place", "value", "trks.fitinf"),
    _list("hit_ids", "tracks", "id of a hit that the fit used", "hit_id", "trks.hit_ids", ">i4"),
    _list("error_matrix", "tracks", "element of the error matrix", "value", "trks.error_matrix"),
    _list("tracks_usr", "tracks", _VALUE, "value", "trks.usr"),
    _list("tracks_usr_names", "tracks", _NAME, "name", "trks.usr_names", TEXT),
    _list("mc_tracks_usr", "mc_tracks", _VALUE, "value", "mc_trks.usr"),
    _list("mc_tracks_usr_names", "mc_tracks", _NAME, "name", "mc_trks.usr_names", TEXT),
    _list(
        "mc_tracks_hit_ids", "mc_tracks", "id of a hit of the particle", "hit_id", "mc_trks.hit_ids", ">i4"
    ),
)

PARTS = (
    Part(TOP, _EVENTS),
    Part("hits", declared("hits", "hit", _HITS), TOP, "hits"),
    Part("mc_hits", declared("mc_hits", "mc_hit", _MC_HITS), TOP, "mc_hits"),
    Part("tracks", declared("tracks", "track", _track("trks", _TRACKS)), TOP, "trks"),
    Part("mc_tracks", declared("mc_tracks", "mc_track", _track("mc_trks", _MC_TRACKS)), TOP, "mc_trks"),
    *_LISTS,
)

_KEYS = {
    "hits": ("dom_id", "channel_id", "tdc"),
    "mc_hits": ("pmt_id",),
    "tracks": ("id",),
    "mc_tracks": ("id",),
}
_ABOUT = {
    TOP: "one row an event",
    "hits": "one row a hit in the window of an event (snapshot)",
    "mc_hits": "one row a simulated hit",
    "tracks": "one row a reconstructed track or shower",
    "mc_tracks": "one row a simulated particle",
}


def table(part: Part) -> Table:
    """The declaration of a table, with the sizes of the arrays that its columns hold."""
    sizes = {
        dim: size
        for column in part.columns
        if not column.is_text
        for dim, size in zip(column.variable.dims[1:], np.dtype(column.disk[0]).shape, strict=True)
    }
    return Table(
        name=part.table,
        dim=part.columns[0].variable.dims[0],
        variables={column.variable.name: column.variable for column in part.columns},
        sizes=sizes,
        parent=part.parent or None,
        description=_ABOUT.get(part.table, f"one row a value that a row of {part.parent} has"),
        key=_KEYS.get(part.table, ()),
    )
