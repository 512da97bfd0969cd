"""Pictures: events in the detector, and directions on the sky."""

from etendue.neutrino.display.events import draws, event, needs
from etendue.neutrino.display.sky_map import sky_map

__all__ = ["draws", "event", "needs", "sky_map"]
