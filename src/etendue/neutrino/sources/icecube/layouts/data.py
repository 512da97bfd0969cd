"""Events, pulses and waveforms, triggers and filters, and what jobs note in general containers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from etendue.kernel import offsets
from etendue.neutrino.sources.icecube.layout import Layout, Levels
from etendue.neutrino.sources.icecube.layouts.parts import (
    BASE,
    OMKEY,
    PARTICLE,
    TANKKEY,
    doubles,
    frame_object,
    keyed,
    numbers,
    time,
)
from etendue.neutrino.sources.icecube.nodes import (
    Bits,
    Class,
    Coded,
    Items,
    Node,
    Number,
    Numbers,
    Optional,
    Text,
    Variant,
)

OM = (OMKEY,)
NAME = (Text("key"),)

PULSE = Class(
    "I3RecoPulse",
    (
        Number("time", "f8", "ns"),
        Number("charge", "f4", "pe"),
        Number("width", "f4", "ns"),
        Number("flags", "u1"),
    ),
    (3, 3),
)

LAUNCH = Class(
    "I3DOMLaunch",
    (
        Number("time", "f8", "ns", "start of the digitisers"),
        *numbers("i4", "trigger_type", "trigger_mode", "atwd_chip"),
        Items("atwd", (Numbers("words", Number("word", "u4")),), "vector of waveforms"),
        *numbers("u4", *(f"n_samples_{channel}" for channel in range(4))),
        Numbers("fadc", Number("word", "u4")),
        Number("n_samples_fadc", "u4"),
        Number("local_coincidence", "?"),
        Numbers("charge_stamp", Number("sample", "u4", "adu")),
        Number("is_pedestal_subtracted", "?"),
        *numbers("u4", "charge_stamp_highest_sample", "charge_stamp_atwd", "charge_stamp_atwd_channel"),
    ),
    (5, 5),
)

TRIGGER = Class(
    "I3Trigger",
    (
        Number("length", "f8", "ns"),
        Number("time", "f8", "ns"),
        Number("fired", "?"),
        Class(
            "TriggerKey",
            (
                Number("source", "i4", about="0 in-ice, 10 IceTop, 20 AMANDA, 30 external, 40 global"),
                Number("type", "i4"),
                Number("subtype", "i4"),
                Optional((Number("config_id", "i4"),)),
            ),
            (1, 1),
        ),
    ),
    (1, 1),
)

WINDOW = Class("I3TimeWindow", (BASE, *doubles("start", "stop", units="ns")), (1, 1))
WINDOWS = Items("windows", (WINDOW,), "vector of windows")

WAVEFORM = Class(
    "I3Waveform",
    (
        Number("start_time", "f8", "ns"),
        Number("bin_width", "f8", "ns"),
        Numbers("samples", Number("sample", "f8", about="calibrated, in IceCube's unit of volts")),
        Items(
            "status",
            (
                Class(
                    "I3Waveform::StatusCompound",
                    (
                        Class("pair of bins", numbers("u8", "first", "stop"), numbered=False),
                        Number("status", "i4", about="bits: 2 combined, 4 saturated, 8 undershot"),
                        Number("channel", "i1"),
                    ),
                    (3, 3),
                ),
            ),
            "vector of status",
        ),
        Number("source", "u1", about="bits 0-2: 0 ATWD, 1 FADC; bit 3: chip; bit 4: in local coincidence"),
    ),
    (3, 3),
)


def unpack_triggers(levels: Levels, counts: dict[str, np.ndarray]) -> None:
    """Triggers of a super-DST: times are counted from the trigger before, lengths are in two parts."""
    triggers = levels["triggers"]
    tag, steps = triggers["key_index"], triggers["time"]
    total = np.cumsum(steps)
    first = offsets(counts["triggers"])[:-1]
    before = np.concatenate([[0], total])[first]
    triggers["time"] = total - np.repeat(before, counts["triggers"])
    triggers["length"] = triggers["length"] << 4 | tag >> 4
    triggers["key_index"] = tag & 15


def series(name: str, level: str, *members: Node) -> Layout:
    """A map of modules to series of objects."""
    return frame_object(name, 0, keyed("modules", OM, Items(level, members, f"vector of {level}")))


def named(name: str, dtype: str) -> Layout:
    """A map of names to numbers."""
    return frame_object(name, 0, keyed("entries", NAME, Number("value", dtype)))


def vector(name: str, dtype: str) -> Layout:
    """A vector of numbers."""
    return frame_object(name, 0, Numbers("items", Number("value", dtype)))


def of_modules(name: str, dtype: str) -> Layout:
    """A map of modules to vectors of numbers."""
    return frame_object(name, 0, keyed("modules", OM, Numbers("items", Number("value", dtype))))


def packed(level: str, dtype: str, container: str = "") -> Numbers:
    """A vector of a super-DST."""
    return Numbers(level, Number("value", dtype), container, packed=True)


LAYOUTS = (
    frame_object("I3Bool", 0, Number("value", "?")),
    frame_object("I3Int", 0, Number("value", "i4")),
    frame_object("I3Double", 0, Number("value", "f8")),
    frame_object("I3String", 0, Text("value")),
    frame_object("I3Position", 0, *doubles("x", "y", "z", units="m")),
    frame_object("I3Time", 0, *time("").members[1:]),
    frame_object("I3TimeWindow", 1, *WINDOW.members[1:]),
    frame_object("I3Particle", 5, *PARTICLE.members[1:]),
    frame_object("I3ParticleVect", 0, Items("particles", (PARTICLE,), "vector of particles")),
    frame_object(
        "I3EventHeader",
        3,
        *numbers("u4", "run_id", "sub_run_id", "event_id"),
        Number("state", "i4"),
        Number("sub_event_id", "u4"),
        Text("sub_event_stream"),
        time("start"),
        time("end"),
    ),
    named("I3MapStringBool", "?"),
    named("I3MapStringInt", "i4"),
    named("I3MapStringDouble", "f8"),
    frame_object(
        "I3MapStringVectorDouble", 0, keyed("entries", NAME, Numbers("items", Number("value", "f8")))
    ),
    frame_object(
        "I3FilterResultMap",
        0,
        keyed(
            "entries",
            NAME,
            Class("I3FilterResult", (BASE, *numbers("?", "condition_passed", "prescale_passed"))),
        ),
    ),
    frame_object(
        "I3GENIEResultDict",
        0,
        keyed(
            "entries",
            NAME,
            Class(
                "variant",
                (
                    Variant(
                        "which",
                        (
                            Number("integer", "i4"),
                            Number("real", "f8"),
                            Number("boolean", "?"),
                            Numbers("integers", Number("value", "i4")),
                            Numbers("reals", Number("value", "f8")),
                        ),
                    ),
                ),
                numbered=False,
            ),
        ),
    ),
    vector("I3VectorInt", "i4"),
    vector("I3VectorDouble", "f8"),
    vector("I3VectorChar", "u1"),
    frame_object("I3VectorString", 0, Items("items", (Text("value"),), "vector of texts")),
    frame_object("I3MapUnsignedUnsigned", 0, keyed("items", (Number("key", "u4"),), Number("value", "u4"))),
    frame_object("I3VectorOMKey", 0, Items("items", OM, "vector of keys")),
    frame_object("I3VectorTankKey", 0, Items("items", (TANKKEY,), "vector of keys")),
    of_modules("I3MapKeyVectorDouble", "f8"),
    of_modules("I3MapKeyVectorInt", "i4"),
    frame_object(
        "I3TimeWindowSeriesMap",
        0,
        keyed(
            "modules",
            OM,
            Class("I3TimeWindowSeries", (BASE, WINDOWS), (1, 1)),
        ),
    ),
    frame_object("I3TimeWindowSeries", 1, WINDOWS),
    series("I3RecoPulseSeriesMap", "pulses", PULSE),
    frame_object(
        "I3RecoPulseSeriesMapMask",
        2,
        Text("source"),
        Bits("modules"),
        Items("set_modules", (Bits("pulses"),), "vector of masks"),
    ),
    frame_object("I3RecoPulseSeriesMapUnion", 0, Items("sources", (Text("source"),), "vector of names")),
    frame_object(
        "I3SuperDST",
        1,
        packed("stamps", "u2", "vector of stamps"),
        packed("headers", "u2", "vector of headers"),
        *(packed(f"widths_{i}", "u1", "vector of runs") for i in range(4)),
        packed("icetop_charges", "u1"),
    ),
    series("I3DOMLaunchSeriesMap", "launches", LAUNCH),
    series("I3WaveformSeriesMap", "waveforms", WAVEFORM),
    replace(
        frame_object(
            "I3SuperDSTTriggerSeries",
            0,
            Items(
                "triggers",
                (
                    Number("key_index", "u1", about="place of its key among those of the detector's status"),
                    Coded("length", "ns"),
                    Coded("time", "ns", "start"),
                ),
                packed=True,
            ),
        ),
        finish=unpack_triggers,
    ),
    frame_object("I3TriggerHierarchy", 0, Items("triggers", (TRIGGER,), tree="n_children")),
)
