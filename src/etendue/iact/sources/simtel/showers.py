"""How many simulated showers a file holds: what effective areas divide by."""

from __future__ import annotations

from dataclasses import dataclass

from etendue.iact.sources.simtel.header import decode_object
from etendue.iact.sources.simtel.objects import Object, ObjectError

#: The closing histogram of all simulated events by distance and energy, without weights.
ALL_EVENTS = 6


@dataclass
class ShowerCount:
    """Simulated showers, each use of a shower one, counted while a file is walked through.

    Parameters
    ----------
    n_found : int
        Simulated events (2021), and those that are missing but whose array event is there.
    n_in_histogram : int
        Entries of the closing histogram of simulated events; 0 without one.
    is_closed : bool
        Whether the file has its closing histograms, which sim_telarray writes at the end of a run.
    """

    n_found: int = 0
    n_in_histogram: int = 0
    is_closed: bool = False

    def close(self, histograms: Object) -> None:
        """Take in the closing histograms."""
        self.is_closed = True
        try:
            entries = {h["id"]: int(h["entries"]) for h in decode_object(histograms)}
        except ObjectError:
            return  # that they are there is enough to know that the run has ended
        self.n_in_histogram = entries.get(ALL_EVENTS, 0)

    def total(self, *, is_whole: bool) -> int:
        """Showers that the events of the file stand for.

        The histogram counts also simulated events that were not written. Where a part of the file is lost,
        what it counts there stands for nothing that could be read.
        """
        return max(self.n_found, self.n_in_histogram) if is_whole else self.n_found
