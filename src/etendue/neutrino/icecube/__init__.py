"""IceCube: from pulses to cleaned, fitted and filtered events."""

from __future__ import annotations

from etendue.lazy import attach

_HOMES = {
    "CLast": "clast",
    "ClassicRT": "cleaning",
    "DeepCoreVeto": "deepcore_veto",
    "DipoleFit": "inertia",
    "DirectHits": "track_statistics",
    "DynamicTimeWindow": "cleaning",
    "ExcludeModules": "exclusions",
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

__getattr__, __dir__ = attach(__name__, _HOMES)
