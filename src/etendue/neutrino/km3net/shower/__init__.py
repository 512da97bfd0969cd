"""Showers from calibrated hits: vertex by a robust fit, then direction and energy by a likelihood."""

from etendue.neutrino.km3net.shower.stage import ReconstructShower

__all__ = ["ReconstructShower"]
