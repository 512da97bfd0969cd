"""Search for the neutrino burst of a supernova: many coincidences of high multiplicity in short time.

A burst of MeV neutrinos lights up single modules all over the detector. Coincidences of so many
photomultipliers that radioactive decays do not make them, and not so many as muons make, are counted in each
time slice and summed over a sliding window (KM3NeT, Eur. Phys. J. C 81 (2021) 445, arXiv:2102.05977).
"""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field, model_validator

from etendue.dataflow.parameters import Name
from etendue.dataflow.partition import Partition
from etendue.dataflow.stage import Stage
from etendue.kernel import kernel
from etendue.neutrino.schema import FRAME_LENGTH
from etendue.schema import Columns, Schema, Variable


@kernel
def poisson_tails(observed: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Probability that a Poisson variable is at least as large as observed, P(N >= n | mu).

    Parameters
    ----------
    observed : int64 array, shape (n,)
        Numbers observed, n.
    expected : float64 array, shape (n,)
        Expectations mu, at least 0.

    Returns
    -------
    float64 array, shape (n,)
        1 for n = 0; NaN where mu is NaN or negative. Small probabilities keep their relative precision.
    """
    tails = np.empty(observed.size, dtype=np.float64)
    for i in range(observed.size):
        n, mu = observed[i], expected[i]
        if not mu >= 0:
            tails[i] = np.nan
        elif n <= 0 or mu == 0:
            tails[i] = 1.0 if n <= 0 else 0.0
        elif n > mu:  # terms fall from k = n on
            k, term, total = n, math.exp(n * math.log(mu) - mu - math.lgamma(n + 1.0)), 0.0
            while term > 1e-17 * total:
                total += term
                k += 1
                term *= mu / k
            tails[i] = total
        else:  # terms fall from k = n - 1 down
            k, total = n - 1, 0.0
            term = math.exp(k * math.log(mu) - mu - math.lgamma(k + 1.0))
            while k >= 0 and term > 1e-17 * total:
                total += term
                term *= k / mu
                k -= 1
            tails[i] = 1.0 - total
    return tails


def poisson_tail(observed: np.ndarray | int, expected: np.ndarray | float) -> np.ndarray:
    """P(N >= observed) of Poisson variables with these expectations; see `poisson_tails`.

    Examples
    --------
    >>> round(float(poisson_tail(2, 1.38)), 3)
    0.401
    """
    n, mu = np.broadcast_arrays(np.asarray(observed, np.int64), np.asarray(expected, np.float64))
    return poisson_tails(n.ravel(), mu.ravel()).reshape(n.shape)


def search_bursts(
    frame_index: np.ndarray, counts: np.ndarray, *, window: int = 5, background: float | None = None
) -> Columns:
    """Sum the coincidences of time slices over a sliding window, and say how likely noise makes so many.

    To be used on the slices of a whole run, after it has been processed.

    Parameters
    ----------
    frame_index : int array, shape (n_slices,)
        Number of each slice in the run, each once; slices may be missing.
    counts : int array, shape (n_slices,)
        Selected coincidences of each slice (`SelectSupernova`).
    window : int
        Length of the window in slices of 100 ms; 5 by default, that is 500 ms.
    background : float, optional
        Coincidences of a slice that are expected without a burst; by default the mean of ``counts``.

    Returns
    -------
    dict
        ``frame_index`` int64, ascending: last slice of each window; ``observed`` int64; ``n_slices`` int64:
        slices of the window that there are; ``expected`` float64; ``p_value`` float64: Poisson probability of
        as many or more in this window (without a factor for the number of windows).
    """
    order = np.argsort(frame_index, kind="stable")
    last, number = np.asarray(frame_index, dtype=np.int64)[order], np.asarray(counts)[order]
    if np.any(np.diff(last) == 0):
        raise ValueError("expected each time slice once; search one run at a time")
    summed = np.concatenate([[0], np.cumsum(number, dtype=np.int64)])
    first = np.searchsorted(last, last - window, side="right")
    after = np.arange(1, last.size + 1)
    observed, n_slices = summed[after] - summed[first], after - first
    rate = (float(number.mean()) if last.size else 0.0) if background is None else background
    expected = rate * n_slices
    return {
        "frame_index": last,
        "observed": observed,
        "n_slices": n_slices,
        "expected": expected,
        "p_value": poisson_tails(observed, expected),
    }


class SelectSupernova(Stage):
    """Select the coincidences that a supernova burst would make, and count them in each time slice.

    Selected are those of ``min_pmts`` to ``max_pmts`` photomultipliers that are not within ``veto`` of an
    event in ``/triggered_events`` (a muon), if an earlier stage has found such in the same time slices. Sum
    the counts with `search_bursts`.
    """

    coincidences: Name = Field("coincidences", description="table of coincidences, see FindCoincidences")
    min_pmts: int = Field(7, ge=2, le=31, description="least multiplicity")
    max_pmts: int = Field(11, ge=2, le=31, description="greatest multiplicity")
    veto: float = Field(1000.0, ge=0, description="time around a triggered event that is left out, ns")

    @model_validator(mode="after")
    def _check(self) -> SelectSupernova:
        if self.max_pmts < self.min_pmts:
            raise ValueError(
                f"max_pmts is {self.max_pmts}, less than min_pmts, {self.min_pmts}: nothing would be selected"
            )
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        """Coincidences, and triggered events where there are some."""
        return (
            f"{self.coincidences}/multiplicity",
            f"{self.coincidences}/time",
            "timeslices/frame_index",
            "triggered_events/time?",
            "triggered_events/duration?",
        )

    def provides(self, schema: Schema) -> dict[str, Variable]:
        """The mark of coincidences, and the count of each slice."""
        mark, count = f"{self.coincidences}/supernova", "timeslices/supernova_coincidences"
        dims = (schema[self.coincidences].dim,)
        about = f"{self.min_pmts} to {self.max_pmts} photomultipliers, not near a triggered event"
        return {
            mark: Variable("supernova", dims, "bool", "", about),
            count: Variable("supernova_coincidences", ("timeslice",), "int32", "", f"coincidences: {about}"),
        }

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        """Select the coincidences of a partition."""
        name = self.coincidences
        multiplicity, time = partition[f"{name}/multiplicity"], partition[f"{name}/time"]
        of_slice = partition.owners("frames")[partition.owners(name)]
        selected = (multiplicity >= self.min_pmts) & (multiplicity <= self.max_pmts)
        if "triggered_events/time" in partition:
            selected &= ~self._near_events(partition, of_slice, time)
        counts = np.bincount(of_slice[selected], minlength=partition.rows("timeslices")).astype(np.int32)
        return {f"{name}/supernova": selected, "timeslices/supernova_coincidences": counts}

    def _near_events(self, partition: Partition, of_slice: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Whether each coincidence is within the veto of an event of its slice."""
        start, duration = partition["triggered_events/time"], partition["triggered_events/duration"]
        # Slices one after another, so far apart that no veto reaches the next one.
        apart = 10 * FRAME_LENGTH + 2 * self.veto
        event_at = partition.owners("triggered_events") * apart + start
        latest = np.maximum.accumulate(np.append(-np.inf, event_at + duration + self.veto))
        at = of_slice * apart + time
        return at <= latest[np.searchsorted(event_at - self.veto, at, side="right")]
