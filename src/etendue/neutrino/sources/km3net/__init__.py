"""ROOT files of KM3NeT: raw (online), reconstructed (offline) and summary (DST)."""

from __future__ import annotations

from etendue.neutrino.sources.km3net.source import KM3NeTSource

__all__ = ["KM3NeTSource"]
