"""The tables of a neutrino telescope run: names, dimensions, dtypes, units.

Column names are the experiments' own. Lengths are in metres, times in nanoseconds, energies in GeV, charges
in photo-electrons, angles in radians where an experiment stores them and in degrees where we make them.

KM3NeT, from raw (online) files: ``/events`` own ``/hits`` and ``/triggered_hits``; ``/timeslices`` own
``/frames`` (100 ms of a module), which own the slice's ``/hits`` or hold a summary slice's rates. From
reconstructed (offline) files: ``/events`` own ``/hits``, ``/mc_hits``, ``/tracks`` and ``/mc_tracks``.

IceCube: ``/events`` is one row a physics frame (with the content of its DAQ frame), and owns one table a
pulse series, named by its key in the frame and of the kind ``pulses``.

What a stage brings in: ``/detector``, one row a photomultiplier, ``/modules``, one row an optical module, and
for KM3NeT ``/detector_file``, what its file says of the whole.
"""

from __future__ import annotations

from etendue.schema import Table, variables

#: Kind of the tables that hold one row a pulse of a pulse series: ``@pulses/charge``.
PULSES = "pulses"

#: Photomultipliers of a KM3NeT module; channels are numbered from 0.
N_PMTS = 31

#: Length of a KM3NeT frame, in ns.
FRAME_LENGTH = 1e8

POSITION = {
    "pos_x": ("float32", "m", "position of the photomultiplier"),
    "pos_y": ("float32", "m", "position of the photomultiplier"),
    "pos_z": ("float32", "m", "position of the photomultiplier"),
}

DIRECTION = {
    "dir_x": ("float32", "", "axis of the photomultiplier, a unit vector that points outwards"),
    "dir_y": ("float32", "", "axis of the photomultiplier, a unit vector that points outwards"),
    "dir_z": ("float32", "", "axis of the photomultiplier, a unit vector that points outwards"),
}

RAW_HIT = {
    "dom_id": ("int32", "", "module number"),
    "channel_id": ("uint8", "", "photomultiplier of the module, 0 to 30"),
    "tdc": ("uint32", "ns", "raw time after the start of the frame"),
    "tot": ("uint8", "ns", "time over threshold"),
}

DAQ_EVENTS = Table(
    name="events",
    dim="event",
    description="one row a triggered event",
    key=("run", "det_id", "run_id", "frame_index", "trigger_counter"),
    variables=variables(
        "event",
        run=("uint32", "", "row of /observation: the input that the event is of"),
        det_id=("int32", "", "detector number"),
        run_id=("int32", "", "run number"),
        frame_index=("int32", "", "number of the 100 ms frame in the run, from 1"),
        time=("int64", "ns", "start of the frame since 1970-01-01 UTC"),
        trigger_counter=("uint64", "", "number of the event in the run"),
        trigger_mask=("uint64", "", "bits of the triggers that fired: 1 3DShower, 2 MXShower, 4 3DMuon"),
        overlays=("uint32", "", "events that were merged into this one"),
    ),
)

EVENT_HITS = Table(
    name="hits",
    dim="hit",
    parent="events",
    description="one row a hit in the window of an event (snapshot)",
    key=("dom_id", "channel_id", "tdc"),
    variables=variables(
        "hit",
        **RAW_HIT,
        trigger_mask=("uint64", "", "bits of the triggers that the hit is part of; 0 for none"),
    ),
)

TRIGGERED_HITS = Table(
    name="triggered_hits",
    dim="triggered_hit",
    parent="events",
    description="one row a hit that is part of a trigger, as the data filter wrote it",
    key=("dom_id", "channel_id", "tdc"),
    variables=variables(
        "triggered_hit",
        **RAW_HIT,
        trigger_mask=("uint64", "", "bits of the triggers that the hit is part of"),
    ),
)

TIMESLICES = Table(
    name="timeslices",
    dim="timeslice",
    description="one row a time slice (or summary slice) of 100 ms",
    key=("run", "det_id", "run_id", "frame_index"),
    variables=variables(
        "timeslice",
        run=("uint32", "", "row of /observation: the input that the slice is of"),
        det_id=("int32", "", "detector number"),
        run_id=("int32", "", "run number"),
        frame_index=("int32", "", "number of the 100 ms frame in the run, from 1"),
        time=("int64", "ns", "start of the frame since 1970-01-01 UTC"),
    ),
)

FRAME_STATUS = {
    "dom_id": ("int32", "", "module number"),
    "daq": ("uint32", "", "status word: received UDP packets and greatest sequence number"),
    "status": ("uint32", "", "status word: bit c high-rate veto of channel c, bit 31 White Rabbit"),
    "fifo": ("uint32", "", "status word: bit c FIFO (almost) full of channel c, bit 31 UDP trailer"),
}

SLICE_FRAMES = Table(
    name="frames",
    dim="frame",
    parent="timeslices",
    description="one row a module in a time slice",
    key=("dom_id",),
    variables=variables("frame", **FRAME_STATUS),
)

SLICE_HITS = Table(
    name="hits",
    dim="hit",
    parent="frames",
    description="one row a hit of a time slice; its module is the frame's",
    key=("channel_id", "tdc"),
    variables=variables("hit", **{name: spec for name, spec in RAW_HIT.items() if name != "dom_id"}),
)

SUMMARY_FRAMES = Table(
    name="frames",
    dim="frame",
    parent="timeslices",
    sizes={"pmt": N_PMTS},
    description="one row a module in a summary slice",
    key=("dom_id",),
    variables=variables(
        "frame",
        **FRAME_STATUS,
        status_3=("uint32", "", "spare status word"),
        status_4=("uint32", "", "spare status word"),
        rates=(("pmt",), "uint8", "", "rate of each channel, coded logarithmically; 0 for none"),
    ),
)

DETECTOR = Table(
    name="detector",
    dim="pmt",
    role="static",
    description="one row a photomultiplier",
    variables=variables(
        "pmt",
        dom_id=("int32", "", "module number; IceCube: 100 string + om"),
        channel_id=("uint8", "", "photomultiplier of the module"),
        pmt_id=("int32", "", "number of the photomultiplier in the whole detector"),
        du=("int32", "", "detection unit (string)"),
        floor=("int32", "", "floor of the module on its string, 0 for a base module; IceCube: om"),
        pos_x=("float64", "m", "position"),
        pos_y=("float64", "m", "position"),
        pos_z=("float64", "m", "position"),
        dir_x=("float64", "", "axis, a unit vector that points outwards"),
        dir_y=("float64", "", "axis, a unit vector that points outwards"),
        dir_z=("float64", "", "axis, a unit vector that points outwards"),
        t0=("float64", "ns", "to be added to the raw time"),
        status=("uint32", "", "status bits; 0 where the format has none"),
        efficiency=("float64", "", "quantum efficiency relative to the detector's standard; 1 where unknown"),
    ),
)

MODULES = Table(
    name="modules",
    dim="module",
    role="static",
    description="one row an optical module",
    variables=variables(
        "module",
        dom_id=("int32", "", "module number; IceCube: 100 string + om"),
        du=("int32", "", "detection unit (string)"),
        floor=("int32", "", "floor of the module on its string; IceCube: om"),
        n_pmts=("int32", "", "photomultipliers of the module"),
        pos_x=("float64", "m", "centre; NaN where the format has none"),
        pos_y=("float64", "m", "centre; NaN where the format has none"),
        pos_z=("float64", "m", "centre; NaN where the format has none"),
        q0=("float64", "", "orientation, a quaternion; NaN where the format has none"),
        qx=("float64", "", "orientation, a quaternion; NaN where the format has none"),
        qy=("float64", "", "orientation, a quaternion; NaN where the format has none"),
        qz=("float64", "", "orientation, a quaternion; NaN where the format has none"),
        t0=("float64", "ns", "of the module's own clock; NaN where the format has none"),
        status=("uint32", "", "status bits; 0 where the format has none"),
    ),
)


DETECTOR_FILE = Table(
    name="detector_file",
    dim="detector_file",
    role="static",
    description="one row: what the detector's file says of the whole",
    variables=variables(
        "detector_file",
        det_id=("int32", "", "detector number; 0 where the format has none"),
        version=("int32", "", "version of the detx or datx format; 0 for other formats"),
        valid_from=("float64", "s", "since 1970-01-01 UTC; NaN where the format has none"),
        valid_until=("float64", "s", "since 1970-01-01 UTC; NaN where the format has none"),
        utm_grid=("str", "", "ellipsoid and zone of the origin; empty where the format has none"),
        utm_easting=("float64", "m", "origin of the coordinates; NaN where the format has none"),
        utm_northing=("float64", "m", "origin of the coordinates; NaN where the format has none"),
        utm_height=("float64", "m", "origin of the coordinates; NaN where the format has none"),
    ),
)


def calibrated(dim: str) -> dict:
    """Declarations of what calibration adds to each hit: time, position, direction."""
    return variables(
        dim, t=("float64", "ns", "calibrated time after the start of the frame"), **POSITION, **DIRECTION
    )


def pulse_table(key: str) -> Table:
    """The table of one pulse series of IceCube, named by its key in the frame."""
    return Table(
        name=key,
        dim=f"{key}_pulse",
        kind=PULSES,
        parent="events",
        description="one row a pulse, modules in the order of (string, om, pmt), pulses in the file's order",
        key=("string", "om", "pmt"),
        variables=variables(
            f"{key}_pulse",
            string=("int16", "", "string number; IceTop's stations are 1 to 81, too"),
            om=("uint8", "", "optical module on its string; 61 to 64 are IceTop's"),
            pmt=("uint8", "", "photomultiplier of the module"),
            time=("float64", "ns", "leading edge, after the start of the event"),
            charge=("float32", "pe", "charge"),
            width=("float32", "ns", "width"),
            flags=("uint8", "", "bit 0 local coincidence (HLC), 1 ATWD, 2 FADC"),
        ),
    )
