"""Gamma-ray telescopes: from raw camera waveforms to reconstructed showers."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from etendue.iact import display
    from etendue.iact.calibration import Calibrate
    from etendue.iact.camera import Geometry, geometry_of
    from etendue.iact.cleaning import Clean
    from etendue.iact.parameters import Parametrise
    from etendue.iact.schema import EventType
    from etendue.iact.selection import SelectEventType
    from etendue.iact.simulate import Simulation
    from etendue.iact.stereo import ReconstructStereo
    from etendue.iact.traces import Integrate

_HOMES = {
    "Calibrate": "calibration",
    "Clean": "cleaning",
    "EventType": "schema",
    "Geometry": "camera",
    "Integrate": "traces",
    "Parametrise": "parameters",
    "ReconstructStereo": "stereo",
    "SelectEventType": "selection",
    "Simulation": "simulate",
    "geometry_of": "camera",
}

__all__ = [
    "Calibrate",
    "Clean",
    "EventType",
    "Geometry",
    "Integrate",
    "Parametrise",
    "ReconstructStereo",
    "SelectEventType",
    "Simulation",
    "display",
    "geometry_of",
]


def __getattr__(name: str) -> Any:
    # Stages bring the compiler with them, so each is imported when it is first used.
    if name in _HOMES:
        return getattr(import_module(f"etendue.iact.{_HOMES[name]}"), name)
    if name == "display":
        return import_module("etendue.iact.display")
    raise AttributeError(f"module 'etendue.iact' has no attribute {name!r}")
