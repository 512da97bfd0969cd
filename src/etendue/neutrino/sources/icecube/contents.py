"""What the frames of a file hold: keys and types, and the tables and columns that they become."""

from __future__ import annotations

import re
from dataclasses import dataclass

from etendue.neutrino.sources.icecube.layout import Layout
from etendue.neutrino.sources.icecube.layouts import LAYOUTS
from etendue.schema import Table, variables

#: Types that are pulse series, in one way or another.
PULSES = frozenset(
    {"I3RecoPulseSeriesMap", "I3RecoPulseSeriesMapMask", "I3RecoPulseSeriesMapUnion", "I3SuperDST"}
)
#: The header that an event's own columns are of.
HEADER = "I3EventHeader"
#: Where what other streams hold goes; other characters go to ``stream_<character>``.
STREAMS = {"G": "geometry", "C": "calibration", "D": "detector_status", "S": "simulation", "I": "information"}
#: Tables of ours, those that a pass and the stages add among them.
RESERVED = frozenset(
    {
        "events",
        "detector",
        "modules",
        "detector_file",
        "observation",
        "frame_objects",
        "tray_info",
        "failures",
    }
)
#: Longest part of a key that names a table.
_LONGEST = 512

EVENTS = Table(
    name="events",
    dim="event",
    description="one row a physics frame with its DAQ frame's objects, or a DAQ frame without physics frame",
    key=("run", "run_id", "sub_run_id", "event_id", "sub_event_id", "sub_event_stream"),
    variables=variables(
        "event",
        run=("uint32", "", "row of /observation: the input that the event is of"),
        event_index=("int64", "", "position of the event in its input, from 0"),
        frame=("int64", "", "number of the physics (or lone DAQ) frame in its input, from 0"),
        is_physics=("bool", "", "whether there is a physics frame"),
        run_id=("uint32", "", "run number"),
        sub_run_id=("uint32", "", "number of the file in the run"),
        event_id=("uint32", "", "number of the event in the run"),
        sub_event_id=("uint32", "", "number of the physics frame among those of its splitter"),
        sub_event_stream=("str", "", "splitter that made the physics frame"),
        time=("int64", "ns", "start of the event since 1970-01-01 UTC; 0 without a header"),
        end_time=("int64", "ns", "end of the event since 1970-01-01 UTC; 0 without a header"),
    ),
)

FRAME_OBJECTS = Table(
    name="frame_objects",
    dim="frame_object",
    role="static",
    description="what the frames of each input hold: one row a stream, key and type",
    variables=variables(
        "frame_object",
        run=("uint32", "", "row of /observation: the input that the row describes"),
        stream=("str", "", "stream of the frames: P (with Q), G, C, D, S, I..."),
        key=("str", "", "key in the frame"),
        type=("str", "", "name that the type is registered under"),
        name=("str", "", "what tables and columns that are made of it start with"),
        is_decoded=("bool", "", "whether the type is known; else its bytes are kept"),
        n_objects=("int64", "", "frames that have it"),
    ),
)

OBSERVATION = Table(
    name="observation",
    dim="observation",
    role="static",
    description="one row an input",
    variables=variables(
        "observation",
        run=("uint32", "", "number of the input"),
        path=("str", "", "the input"),
        n_frames=("int64", "", "frames"),
    ),
)


@dataclass(frozen=True)
class Content:
    """Objects of one key and type in one stream.

    Parameters
    ----------
    stream : str
        ``P`` for physics and DAQ frames, else the stream's character.
    key, type : str
        Key in the frames, name that the type is registered under.
    name : str
        What tables and columns made of it start with.
    count : int
        How many there are.
    is_understood : bool
        Whether the type's layout is that of these objects; not if a class in them is of an unknown version.
    """

    stream: str
    key: str
    type: str
    name: str
    count: int
    is_understood: bool = True

    @property
    def layout(self) -> Layout | None:
        """Layout of the type; None if the type, or a version of a class in it, is not known."""
        return LAYOUTS.get(self.type) if self.is_understood else None

    @property
    def is_known(self) -> bool:
        """Whether there is a layout of the type, be it of these versions or not."""
        return self.type in LAYOUTS

    @property
    def is_pulses(self) -> bool:
        """Whether it is a pulse series that can be read."""
        return self.type in PULSES and self.is_understood

    @property
    def is_of_events(self) -> bool:
        """Whether it is part of events, rather than holding for some."""
        return self.stream == "P"


def clean(name: str) -> str:
    """A name with only such characters as names of tables and columns may have."""
    return re.sub(r"[^A-Za-z0-9_.+\-]", "_", name)[:_LONGEST] or "_"
