"""KM3NeT: from raw hits to calibrated, triggered and reconstructed events."""

from __future__ import annotations

from etendue.lazy import attach

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

__getattr__, __dir__ = attach(__name__, _HOMES)
