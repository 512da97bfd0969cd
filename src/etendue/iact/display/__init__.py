"""Pictures: camera images, waveforms, the array from above, whole events, and samples of events."""

from etendue.iact.display.events import draws, event
from etendue.iact.display.outlines import outline, pixel_polygons
from etendue.iact.display.pictures import array_view, camera_image, waveform
from etendue.iact.display.samples import distributions, theta_squared

__all__ = [
    "array_view",
    "camera_image",
    "distributions",
    "draws",
    "event",
    "outline",
    "pixel_polygons",
    "theta_squared",
    "waveform",
]
