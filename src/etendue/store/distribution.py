"""How values are distributed, added up partition by partition: moments, range, histogram."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

#: Bins of a histogram, besides those below and above its range.
N_BINS = 100
#: The range of a histogram leaves out this part of the values at either end, at most.
TAIL = 0.005
#: Values that are looked at together.
_BLOCK = 1 << 17
#: A float32 without its last 20 bits: sign, exponent and three bits of the fraction.
_COARSE_BITS = 20
_N_COARSE = 1 << (32 - _COARSE_BITS)


@dataclass(frozen=True)
class Moments:
    """Count, mean, spread and range of values.

    Parameters
    ----------
    n : int
        Finite values.
    n_nan, n_inf : int
        Values that are not a number, and infinite ones.
    mean : float
        Of the finite values.
    m2 : float
        Sum of squared distances from the mean.
    min, max : float
        Range of the finite values.
    coarse : int64 array
        Finite values by sign, power of two and eighths of it, in ascending order: what quantiles are
        taken from. Shape (4096,).
    """

    n: int = 0
    n_nan: int = 0
    n_inf: int = 0
    mean: float = 0.0
    m2: float = 0.0
    min: float = np.inf
    max: float = -np.inf
    coarse: np.ndarray = field(default_factory=lambda: np.zeros(_N_COARSE, np.int64), repr=False)

    @classmethod
    def of(cls, column: np.ndarray) -> Moments:
        """Moments of all values of a column, whatever its shape."""
        return sum(map(cls._of_block, _blocks(column)), start=cls())

    @classmethod
    def _of_block(cls, block: np.ndarray) -> Moments:
        values = _finite(block)
        n_nan = int(np.isnan(block).sum()) if block.dtype.kind == "f" else 0
        n_inf = block.size - values.size - n_nan
        if values.size == 0:
            return cls(n_nan=n_nan, n_inf=n_inf)
        mean = float(values.mean(dtype=np.float64))
        m2 = float(np.square(values - mean, dtype=np.float64).sum())
        coarse = np.bincount(_coarse(values), minlength=_N_COARSE)
        return cls(values.size, n_nan, n_inf, mean, m2, float(values.min()), float(values.max()), coarse)

    @property
    def std(self) -> float:
        """Standard deviation of the finite values; NaN without any."""
        return float(np.sqrt(self.m2 / self.n)) if self.n else np.nan

    def __add__(self, other: Moments) -> Moments:
        """Moments of both together (Chan, Golub, LeVeque 1979, eq. 2.1)."""
        n = self.n + other.n
        shift = other.mean - self.mean
        return Moments(
            n,
            self.n_nan + other.n_nan,
            self.n_inf + other.n_inf,
            self.mean + shift * other.n / n if n else 0.0,
            self.m2 + other.m2 + shift**2 * self.n * other.n / max(n, 1),
            min(self.min, other.min),
            max(self.max, other.max),
            self.coarse + other.coarse,
        )


@dataclass(frozen=True)
class Binning:
    """Bins of equal width.

    Parameters
    ----------
    low, high : float
        Lower edge of the first bin and upper edge of the last.
    n_bins : int
        Number of bins.
    """

    low: float
    high: float
    n_bins: int

    @classmethod
    def over(cls, moments: Moments, *, integer: bool) -> Binning:
        """Bins over the range of values without their tails; of integers, centred on them."""
        low, high = _central_range(moments)
        if integer:
            low, high = np.ceil(low), np.floor(high)
            width = max(1.0, np.ceil((high - low + 1) / N_BINS))
            n_bins = int(np.ceil((high - low + 1) / width))
            return cls(low - 0.5, low - 0.5 + width * n_bins, n_bins)
        if not high > low:
            around = max(0.5, 4 * float(np.spacing(abs(low))))
            return cls(low - around, low + around, 1)
        return cls(low, high, N_BINS)

    @property
    def edges(self) -> np.ndarray:
        """Edges of the bins: shape (n_bins + 1,)."""
        return np.linspace(self.low, self.high, self.n_bins + 1)

    def count(self, column: np.ndarray) -> np.ndarray:
        """Finite values below, in each bin, and above: shape (n_bins + 2,). The last bin is closed."""
        counts = np.zeros(self.n_bins + 2, np.int64)
        for block in _blocks(column):
            values = _finite(block).astype(np.float64)
            bins = np.floor((values - self.low) * (self.n_bins / (self.high - self.low)))
            places = np.clip(bins + 1, 1, self.n_bins)
            places[values < self.low] = 0
            places[values > self.high] = self.n_bins + 1
            counts += np.bincount(places.astype(np.int64), minlength=self.n_bins + 2)
        return counts


def kolmogorov_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Greatest distance of two cumulative distributions, taken at the edges of bins: 0 to 1.

    Parameters
    ----------
    a, b : int array
        Counts over the same bins, with those below and above.

    Returns
    -------
    float
        NaN if either is empty.
    """
    if not (a.sum() and b.sum()):
        return np.nan
    return float(np.abs(np.cumsum(a) / a.sum() - np.cumsum(b) / b.sum()).max())


def chi_square(a: np.ndarray, b: np.ndarray) -> float:
    r"""Chi-square a degree of freedom of two histograms being of one shape.

    .. math:: \chi^2 = \frac{1}{MN} \sum_i \frac{(M n_i - N m_i)^2}{n_i + m_i}

    with :math:`N = \sum n_i`, :math:`M = \sum m_i`, over the bins that are not empty in both, and one
    degree of freedom less than these (Gagunashvili, physics/0605123, eq. 5). The entries of two passes
    over the same events are not independent: it is a figure to rank by and not a test.

    Parameters
    ----------
    a, b : int array
        Counts over the same bins.

    Returns
    -------
    float
        NaN if either is empty.
    """
    if not (a.sum() and b.sum()):
        return np.nan
    filled = (a + b) > 0
    n, m = a[filled].astype(np.float64), b[filled].astype(np.float64)
    scale = np.sqrt(m.sum() / n.sum())
    return float(((scale * n - m / scale) ** 2 / (n + m)).sum() / max(len(n) - 1, 1))


def _blocks(column: np.ndarray) -> Iterator[np.ndarray]:
    """The values of a column, flat, in blocks that stay in the cache."""
    flat = column.reshape(-1)
    for first in range(0, len(flat), _BLOCK):
        yield flat[first : first + _BLOCK]


def _finite(values: np.ndarray) -> np.ndarray:
    """The finite values; truth values as 0 and 1."""
    if values.dtype == bool:
        return values.view(np.uint8)
    if values.dtype.kind != "f":
        return values
    finite = np.isfinite(values)
    return values if finite.all() else values[finite]


def _coarse(values: np.ndarray) -> np.ndarray:
    """Which of the coarse classes each value is of, ascending with the value."""
    with np.errstate(over="ignore"):
        bits = values.astype(np.float32).view(np.uint32) >> _COARSE_BITS
    half = _N_COARSE // 2
    return np.where(bits < half, bits + half, _N_COARSE - 1 - bits).astype(np.int64)


def _central_range(moments: Moments) -> tuple[float, float]:
    """Range without the tails, wide enough to hold the classes at its ends as a whole."""
    if moments.n == 0:
        return 0.0, 0.0
    total = np.cumsum(moments.coarse)
    first = int(np.searchsorted(total, TAIL * moments.n, side="right"))
    last = int(np.searchsorted(total, (1 - TAIL) * moments.n, side="left"))
    return max(moments.min, _edge(first, -np.inf)), min(moments.max, _edge(last + 1, np.inf))


def _edge(coarse: int, outward: float) -> float:
    """Least value of a coarse class, or one float32 beyond it: values were rounded to be classed."""
    half = _N_COARSE // 2
    positive = coarse >= half
    # Of negative numbers the greatest magnitude is the least value: the lower edge of the class beyond.
    bits = min(coarse - half if positive else half - coarse, half - 1)
    magnitude = np.uint32(bits << _COARSE_BITS).view(np.float32)
    if np.isinf(magnitude):  # where float64 goes on
        magnitude = np.finfo(np.float32).max
    if np.isnan(magnitude):
        magnitude = np.float32(np.inf)
    edge = magnitude if positive else -magnitude
    return float(np.nextafter(edge, np.float32(outward)))
