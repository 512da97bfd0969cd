"""IceCube's files of frames (.i3) and real-time messages."""

from etendue.neutrino.sources.icecube.frame_index import (
    Frame,
    FrameIndex,
    decode,
    read_frames,
    read_particles,
)
from etendue.neutrino.sources.icecube.source import IceCubeSource

__all__ = ["Frame", "FrameIndex", "IceCubeSource", "decode", "read_frames", "read_particles"]
