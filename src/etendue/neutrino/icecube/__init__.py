"""IceCube: from pulses to cleaned, fitted and filtered events."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "CLast": "clast",
    "ClassicRT": "cleaning",
    "DeepCoreVeto": "deepcore_veto",
    "DipoleFit": "inertia",
    "DirectHits": "track_statistics",
    "DynamicTimeWindow": "cleaning",
    "ExtractPulses": "pulse_extraction",
    "FindTriggers": "triggers",
    "FitCascade": "likelihood_fit",
    "FitTrack": "likelihood_fit",
    "HitStatistics": "statistics",
    "HomogenizedQTot": "charges",
    "LineFit": "linefit",
    "OnlineFilters": "filters",
    "PlacePulses": "geometry",
    "SeededRT": "cleaning",
    "SelectPulses": "cleaning",
    "StaticTimeWindow": "cleaning",
    "TensorOfInertia": "inertia",
    "TopologicalSplit": "splitting",
    "TrackCharacteristics": "track_statistics",
    "VHESelfVeto": "veto",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    # Stages bring the compiler with them, so each is imported when it is first used.
    if name in _HOMES:
        return getattr(import_module(f"etendue.neutrino.icecube.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'etendue.neutrino.icecube' has no attribute {name!r}")
