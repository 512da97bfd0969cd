"""Muon tracks from calibrated hits: selection, prefit, robust fit, likelihood fit, energy, length."""

from etendue.neutrino.km3net.muon.stage import ReconstructMuon

__all__ = ["ReconstructMuon"]
