"""What the simulation knows: particles, photons, photo-electrons."""

from __future__ import annotations

from etendue.neutrino.sources.icecube.layouts.data import series
from etendue.neutrino.sources.icecube.layouts.parts import BASE, PARTICLE, frame_object, keyed, numbers
from etendue.neutrino.sources.icecube.nodes import Class, Items, Number, Tree

#: Where a muon enters the detector (i), leaves it (f) and is nearest to its centre (c).
POINT = (("x", "m"), ("y", "m"), ("z", "m"), ("t", "ns"), ("e", "GeV"))

LAYOUTS = (
    series(
        "I3MCPESeriesMap",
        "photo_electrons",
        Class(
            "I3MCPE",
            (
                Number("time", "f8", "ns"),
                Number("npe", "u4"),
                Number("major_id", "u8"),
                Number("minor_id", "i4"),
            ),
            (1, 1),
            numbered=False,
        ),
    ),
    series(
        "I3MCPulseSeriesMap",
        "pulses",
        Class(
            "I3MCPulse",
            (
                Number("time", "f8", "ns"),
                Number("charge", "f4", "pe"),
                Number(
                    "source",
                    "i4",
                    about="0 unknown, 10 photo-electron, 20 random, 30 afterpulse, 40 prepulse...",
                ),
            ),
            (1, 1),
            numbered=False,
        ),
    ),
    frame_object("I3MCTree", 1, Tree("shape", "particles", (PARTICLE,))),
    frame_object(
        "I3MMCTrackList",
        0,
        Items(
            "tracks",
            (
                Class(
                    "I3MMCTrack",
                    (
                        PARTICLE,
                        *(Number(f"{q}{where}", "f8", unit) for where in "ifc" for q, unit in POINT),
                        Number("e_lost", "f8", "GeV"),
                    ),
                    (1, 1),
                ),
            ),
            "vector of tracks",
        ),
    ),
    frame_object(
        "I3CompressedPhotonSeriesMap",
        0,
        keyed(
            "modules",
            (Class("ModuleKey", numbers("i4", "string", "om"), (1, 1)),),
            Class(
                "I3CompressedPhotonSeries",
                (
                    BASE,
                    Items(
                        "photons",
                        (
                            Class(
                                "I3CompressedPhoton",
                                (
                                    Number("time", "f8", "ns"),
                                    Number("weight", "f4"),
                                    Number("wavelength", "f4", "m"),
                                    *numbers("f4", "zenith", "azimuth", units="rad"),
                                    *numbers("f4", "pos_x", "pos_y", "pos_z", units="m"),
                                    Number("group_velocity", "f4", "m ns-1"),
                                    Number("minor_id", "i4"),
                                    Number("major_id", "u8"),
                                ),
                                (1, 1),
                            ),
                        ),
                        "vector of photons",
                    ),
                ),
                numbered=False,
            ),
        ),
    ),
)
