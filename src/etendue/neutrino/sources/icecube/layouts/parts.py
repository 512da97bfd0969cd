"""What layouts are put together from: fields that many types share."""

from __future__ import annotations

from etendue.neutrino.sources.icecube.layout import Layout
from etendue.neutrino.sources.icecube.nodes import Class, Items, Node, Number

BASE = Class("I3FrameObject", ())
OMKEY = Class("OMKey", (Number("string", "i4"), Number("om", "u4"), Number("pmt", "u1")), (2, 2))
TANKKEY = Class("TankKey", (Number("station", "i4"), Number("tank", "i4")))


def numbers(dtype: str, *names: str, units: str = "") -> tuple[Number, ...]:
    """Fields of one dtype, one after the other."""
    return tuple(Number(name, dtype, units) for name in names)


def doubles(*names: str, units: str = "") -> tuple[Number, ...]:
    """Fields of 8 bytes, one after the other."""
    return numbers("f8", *names, units=units)


def frame_object(name: str, version: int, *members: Node, since: int | None = None) -> Layout:
    """A type that frames hold, of some version."""
    first = version if since is None else since
    return Layout(name, Class(name, (BASE, *members), (first, version)))


def keyed(level: str, key: tuple[Node, ...], *members: Node) -> Items:
    """A map: one row an entry."""
    return Items(level, (Class(f"pair of {level}", (*key, *members), numbered=False),), f"map of {level}")


def position(prefix: str, units: str = "m") -> Class:
    """A position: ``<prefix>_x``, ``_y``, ``_z``."""
    return Class("I3Position", (BASE, *doubles(f"{prefix}_x", f"{prefix}_y", f"{prefix}_z", units=units)))


def direction(zenith: str, azimuth: str) -> Class:
    """A direction, as where it comes from."""
    return Class("I3Direction", (BASE, *doubles(zenith, azimuth, units="rad")))


def time(prefix: str) -> Class:
    """A time of the UTC year, in tenths of nanoseconds, leap seconds counted."""
    prefix = prefix and f"{prefix}_"
    return Class("I3Time", (BASE, Number(f"{prefix}year", "i4"), Number(f"{prefix}ticks", "i8", "0.1 ns")))


SHAPES = (
    "0 null, 10 primary, 20 top shower, 30 cascade, 40 infinite track, 50 starting track, 60 stopping track, "
    "70 contained track, 80 cascade segment, 90 dark"
)
#: The fields of a particle.
PARTICLE = Class(
    "I3Particle",
    (
        BASE,
        Number("minor_id", "i4"),
        Number("major_id", "u8"),
        Number("pdg_encoding", "i4"),
        Number("shape", "i4", about=SHAPES),
        Number("fit_status", "i4", about="-1 not set, 0 OK, positive: failed"),
        position("pos"),
        direction("zenith", "azimuth"),
        Number("time", "f8", "ns"),
        Number("energy", "f8", "GeV"),
        Number("length", "f8", "m"),
        Number("speed", "f8", "m ns-1"),
        Number("location_type", "i4"),
    ),
    (5, 5),
)
