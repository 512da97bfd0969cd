"""Pictures: events in the detector, and directions on the sky."""

from etendue.neutrino.display.events import draws, event
from etendue.neutrino.display.sky_map import sky_map

__all__ = ["draws", "event", "sky_map"]
