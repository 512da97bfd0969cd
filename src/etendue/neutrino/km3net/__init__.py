"""KM3NeT: from raw hits to calibrated, triggered and reconstructed events."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "BestTrack": "best_tracks",
    "CalibrateHits": "calibration",
    "CheckFrames": "frames",
    "DecodeRates": "frames",
    "FindCoincidences": "coincidences",
    "LeadingParticles": "truth",
    "MatchTruth": "truth",
    "ReconstructMuon": "muon.stage",
    "ReconstructShower": "shower.stage",
    "SelectSupernova": "supernova",
    "Trigger": "triggers.stage",
    "data_filter": "triggers.parameters",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    # Stages bring the compiler with them, so each is imported when it is first used.
    if name in _HOMES:
        return getattr(import_module(f"etendue.neutrino.km3net.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'etendue.neutrino.km3net' has no attribute {name!r}")
