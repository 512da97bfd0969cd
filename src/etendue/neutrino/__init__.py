"""Neutrino telescopes: KM3NeT and IceCube, from raw hits and pulses to reconstructed events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etendue.lazy import attach

if TYPE_CHECKING:
    from etendue.neutrino import display, icecube, km3net, particles, sky
    from etendue.neutrino.detector import Detector, read_detector, write_detx
    from etendue.neutrino.pointing import PointToSky

_HOMES = {
    "Detector": "detector",
    "PointToSky": "pointing",
    "display": "",
    "icecube": "",
    "km3net": "",
    "particles": "",
    "read_detector": "detector",
    "sky": "",
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

__getattr__, __dir__ = attach(__name__, _HOMES)
