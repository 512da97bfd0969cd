"""Neutrino telescopes: KM3NeT and IceCube, from raw hits and pulses to reconstructed events."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from etendue.neutrino import display, icecube, km3net, particles, sky
    from etendue.neutrino.detector import Detector, read_detector, write_detx
    from etendue.neutrino.pointing import PointToSky

_MODULES = ("display", "icecube", "km3net", "particles", "sky")
_HOMES = {
    "Detector": "detector",
    "PointToSky": "pointing",
    "read_detector": "detector",
    "write_detx": "detector",
}

__all__ = [
    "Detector",
    "PointToSky",
    "display",
    "icecube",
    "km3net",
    "particles",
    "read_detector",
    "sky",
    "write_detx",
]


def __getattr__(name: str) -> Any:
    # Stages bring the compiler with them, so each is imported when it is first used.
    if name in _HOMES:
        return getattr(import_module(f"etendue.neutrino.{_HOMES[name]}"), name)
    if name in _MODULES:
        return import_module(f"etendue.neutrino.{name}")
    raise AttributeError(f"module 'etendue.neutrino' has no attribute {name!r}")
