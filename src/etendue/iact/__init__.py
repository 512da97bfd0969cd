"""Gamma-ray telescopes: from raw camera waveforms to reconstructed showers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etendue.lazy import attach

if TYPE_CHECKING:
    from etendue.iact import display
    from etendue.iact.calibration import Calibrate
    from etendue.iact.camera import Geometry, geometry_of
    from etendue.iact.cleaning import Clean
    from etendue.iact.parameters import Parametrise
    from etendue.iact.schema import EventType
    from etendue.iact.selection import KeepTelescopes, SelectEventType
    from etendue.iact.simulate import Simulation
    from etendue.iact.stereo import ReconstructStereo
    from etendue.iact.traces import Integrate

_HOMES = {
    "Calibrate": "calibration",
    "Clean": "cleaning",
    "EventType": "schema",
    "Geometry": "camera",
    "Integrate": "traces",
    "KeepTelescopes": "selection",
    "Parametrise": "parameters",
    "ReconstructStereo": "stereo",
    "SelectEventType": "selection",
    "Simulation": "simulate",
    "display": "",
    "geometry_of": "camera",
}

__all__ = [
    "Calibrate",
    "Clean",
    "EventType",
    "Geometry",
    "Integrate",
    "KeepTelescopes",
    "Parametrise",
    "ReconstructStereo",
    "SelectEventType",
    "Simulation",
    "display",
    "geometry_of",
]

__getattr__, __dir__ = attach(__name__, _HOMES)
