"""Histograms that add up the same however the data are cut.

`axis` and `Request` say what to fill; an `Accumulator` fills it, partition by partition, and its `Payload`
is what travels.
"""

from etendue.histogram import axis
from etendue.histogram.accumulate import Accumulator, Payload, pooled
from etendue.histogram.request import Request

__all__ = ["Accumulator", "Payload", "Request", "axis", "pooled"]
