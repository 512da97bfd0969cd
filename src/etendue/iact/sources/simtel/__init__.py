"""Files of sim_telarray (EventIO): simulated gamma-ray telescope arrays, in one sequential stream."""

from __future__ import annotations

from etendue.iact.sources.simtel.source import SimtelSource

__all__ = ["SimtelSource"]
