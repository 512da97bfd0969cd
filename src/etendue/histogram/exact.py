"""Sums of float64 in bins, without rounding: the same whatever the order, rounded once at the end.

A sum is a fixed-point number of 32-bit digits, each in an int64 (a small superaccumulator after
U. Kulisch, *Computer Arithmetic and Validity*, de Gruyter 2013, ch. 8; carries are put off as in
R. M. Neal, arXiv:1505.05571). Digit *j* counts units of 2^(32 j - 1074), and 2^-1074 is the least
float64, so that each finite float64 is a whole number of units. Adding one adds to three digits; integer
addition knows no order.

All bins share one window of digits, which grows to what the values span: for values between *a* and *b*
about (53 + log2(b / a)) / 32 + 2 digits, that is 32 bytes a bin if all are of one magnitude, 40 if they
span six decades, and 536 at the very most (67 digits).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from etendue.kernel import kernel

#: Exponent of the unit of digit 0.
UNIT = -1074
#: Additions between two carries: each adds less than 2^32 to a digit of 63 bits.
MAX_PENDING = 2**30
#: Biased exponent of infinity and NaN.
NOT_FINITE = 2047


@kernel
def exponent_range(values):
    """Least and greatest biased exponent of the values that are not zero; (2047, 0) if all are.

    Parameters
    ----------
    values : float64 array, shape (n,)
    """
    bits = values.view(np.int64)
    lowest, highest = np.int64(NOT_FINITE), np.int64(0)
    for i in range(bits.size):
        magnitude = bits[i] & 0x7FFFFFFFFFFFFFFF
        exponent = magnitude >> 52
        highest = max(highest, exponent)
        lowest = min(lowest, exponent if magnitude != 0 else np.int64(NOT_FINITE))
    return lowest, highest


@kernel
def add_digits(digits, first, bins, values):
    """Add finite values to the sums of their bins.

    A float64 is (-1)^s m 2^(p - 1074), with the significand m < 2^53 and p = max(biased exponent, 1) - 1.
    Shifted left by p mod 32, m falls into the digits p div 32 and the two above it.

    Parameters
    ----------
    digits : int64 array, shape (n_bins, n_digits)
        Changed in place.
    first : int
        Number of the digit in column 0.
    bins : int32 array, shape (n,)
        Bin of each value.
    values : float64 array, shape (n,)
        Finite, and within the window of digits.
    """
    bits = values.view(np.int64)
    for i in range(bins.size):
        exponent = (bits[i] >> 52) & 0x7FF
        significand = bits[i] & 0xFFFFFFFFFFFFF
        significand |= np.int64(exponent != 0) << 52
        position = max(exponent, 1) - 1
        shift = np.uint64(position & 31)
        low = np.uint64(significand) << shift
        high = (np.uint64(significand) >> np.uint64(1)) >> (np.uint64(63) - shift)
        sign = bits[i] >> 63  # 0 or -1: (x ^ sign) - sign is x or -x
        row = np.uint64(bins[i])
        digit = np.uint64(max((position >> 5) - first, 0))  # a zero may lie below the window
        digits[row, digit] += (np.int64(low & np.uint64(0xFFFFFFFF)) ^ sign) - sign
        digits[row, digit + np.uint64(1)] += (np.int64(low >> np.uint64(32)) ^ sign) - sign
        digits[row, digit + np.uint64(2)] += (np.int64(high) ^ sign) - sign


@kernel
def mark_occupied(digits, occupied):
    """Mark the rows that have a digit other than zero.

    Parameters
    ----------
    digits : int64 array, shape (n_bins, n_digits)
    occupied : bool array, shape (n_bins,)
        Output.
    """
    for row in range(digits.shape[0]):
        any_bit = np.int64(0)
        for j in range(digits.shape[1]):
            any_bit |= digits[row, j]
        occupied[row] = any_bit != 0


@kernel
def carry(digits):
    """Bring all digits but the last of each row into [0, 2^32), in place; the last keeps the sign.

    Parameters
    ----------
    digits : int64 array, shape (n_bins, n_digits)
    """
    for row in range(digits.shape[0]):
        carried = np.int64(0)
        for j in range(digits.shape[1] - 1):
            total = digits[row, j] + carried
            digits[row, j] = total & 0xFFFFFFFF
            carried = total >> 32
        digits[row, digits.shape[1] - 1] += carried


@kernel
def round_digits(digits, unit, rounded):
    """The float64 nearest to each sum; half-way cases to even, infinite beyond the range of float64.

    The 64 bits from the first set one on are converted at once, with the lowest set if anything is
    left below them. No sum has bits below 2^-1074, so a subnormal result is exact.

    Parameters
    ----------
    digits : int64 array, shape (n_bins, n_digits)
        As `carry` leaves them, with last digits within 32 bits; lost.
    unit : int
        Exponent of the unit of column 0.
    rounded : float64 array, shape (n_bins,)
        Output.
    """
    for row in range(digits.shape[0]):
        d = digits[row]
        sign = 1.0
        if d[-1] < 0:
            sign = -1.0
            carried = np.int64(0)
            for j in range(d.size):
                total = carried - d[j]
                d[j] = total & 0xFFFFFFFF
                carried = total >> 32
        top = d.size - 1
        while top > 0 and d[top] == 0:
            top -= 1
        head = np.uint64(d[top])
        shift = np.uint64(0)
        while head != np.uint64(0) and head < np.uint64(0x80000000):
            head <<= np.uint64(1)
            shift += np.uint64(1)
        head = np.uint64(d[top]) << np.uint64(32)
        rest = np.uint64(0)
        if top > 0:
            head |= np.uint64(d[top - 1])
        head <<= shift
        if top > 1:
            below = np.uint64(d[top - 2]) << shift
            head |= below >> np.uint64(32)
            rest = below & np.uint64(0xFFFFFFFF)
        for j in range(top - 2):
            rest |= np.uint64(d[j])
        if rest != np.uint64(0):
            head |= np.uint64(1)
        rounded[row] = sign * math.ldexp(np.float64(head), unit + 32 * (top - 1) - np.int64(shift))


@dataclass(frozen=True)
class Digits:
    """The sums of some bins, as they travel.

    Parameters
    ----------
    first : int
        Number of the lowest digit.
    words : uint32 array, shape (n, n_digits)
        Digits of each sum, in two's complement.
    not_finite : int64 array, shape (n, 2), optional
        Values that were not finite: how many pull the sum to plus, and to minus infinity (NaN: to both).
    """

    first: int
    words: np.ndarray
    not_finite: np.ndarray | None


class ExactSums:
    """Sums of float64 values in bins.

    Values that are not finite make their bin's sum infinite or NaN, as in any floating-point sum.

    Parameters
    ----------
    n_bins : int
        Number of bins.
    """

    def __init__(self, n_bins: int) -> None:
        self.n_bins = n_bins
        self._first = 0
        self._digits = np.zeros((n_bins, 0), dtype=np.int64)
        self._pending = 0
        self._not_finite: np.ndarray | None = None

    def add(self, bins: np.ndarray, values: np.ndarray) -> None:
        """Add values to the sums of their bins.

        Parameters
        ----------
        bins : int32 array, shape (n,)
        values : float64 array, shape (n,)
            Zeros change nothing.
        """
        lowest, highest = exponent_range(values)
        if highest == NOT_FINITE:
            values = self._set_apart(bins, values)
            lowest, highest = exponent_range(values)
        if lowest > highest:
            return
        self._cover(_position(lowest) >> 5, ((_position(highest) + 52) >> 5) + 2)
        self._leave_room(len(values))
        add_digits(self._digits, self._first, bins, values)

    def occupied(self) -> np.ndarray:
        """Which bins may differ from zero: bool, shape (n_bins,)."""
        occupied = np.empty(self.n_bins, dtype=np.bool_)
        mark_occupied(self._digits, occupied)
        return occupied if self._not_finite is None else occupied | self._not_finite.any(axis=1)

    def digits(self, bins: np.ndarray) -> Digits:
        """The sums of some bins."""
        words = _carried(self._digits[bins]).astype(np.uint32)
        return Digits(self._first, words, None if self._not_finite is None else self._not_finite[bins])

    def add_digits(self, bins: np.ndarray, digits: Digits) -> None:
        """Add sums that were taken elsewhere to those of some bins, each named once."""
        n_digits = digits.words.shape[1]
        if n_digits:
            self._cover(digits.first, digits.first + n_digits)
            self._leave_room(1)
            column = digits.first - self._first
            self._digits[bins, column : column + n_digits - 1] += digits.words[:, :-1]
            self._digits[bins, column + n_digits - 1] += digits.words[:, -1].astype(np.int32)
        if digits.not_finite is not None:
            self._count_not_finite()[bins] += digits.not_finite

    def rounded(self) -> np.ndarray:
        """The float64 nearest to each sum: shape (n_bins,)."""
        rounded = np.zeros(self.n_bins)
        if self._digits.shape[1]:
            round_digits(_carried(self._digits.copy()), UNIT + 32 * self._first, rounded)
        if self._not_finite is not None:
            up, down = (self._not_finite > 0).T
            rounded[up], rounded[down], rounded[up & down] = np.inf, -np.inf, np.nan
        return rounded

    def reset(self) -> None:
        """Set all sums to zero; the memory stays."""
        self._digits.fill(0)
        self._pending = 0
        self._not_finite = None

    def _set_apart(self, bins: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Count values that are not finite, and return the values with zeros in their places."""
        counts = self._count_not_finite()
        is_nan = np.isnan(values)
        np.add.at(counts[:, 0], bins[is_nan | (values == np.inf)], 1)
        np.add.at(counts[:, 1], bins[is_nan | (values == -np.inf)], 1)
        return np.where(np.isfinite(values), values, 0.0)

    def _count_not_finite(self) -> np.ndarray:
        if self._not_finite is None:
            self._not_finite = np.zeros((self.n_bins, 2), dtype=np.int64)
        return self._not_finite

    def _cover(self, first: int, stop: int) -> None:
        """Widen the window of digits to hold those from ``first`` up to ``stop``."""
        n_digits = self._digits.shape[1]
        if n_digits:
            first, stop = min(first, self._first), max(stop, self._first + n_digits)
        if stop - first > n_digits:
            old, column = self._digits, self._first - first
            self._digits = np.zeros((self.n_bins, stop - first), dtype=np.int64)
            if n_digits:
                carry(old)  # the last digit becomes one like the others, and they need room
                self._digits[:, column : column + n_digits] = old
        self._first = first

    def _leave_room(self, additions: int) -> None:
        """Carry before any digit could overflow."""
        if self._pending + additions > MAX_PENDING:
            carry(self._digits)
            self._pending = 1
        self._pending += additions


def _position(exponent: int) -> int:
    """Bits between the unit 2^-1074 and the lowest bit of a float64 of some biased exponent."""
    return max(exponent, 1) - 1


def _carried(digits: np.ndarray) -> np.ndarray:
    """Carried digits, with one more if the last does not fit in 32 bits."""
    carry(digits)
    if digits.size and np.abs(digits[:, -1]).max() >= 2**31:
        digits = np.hstack([digits, np.zeros((len(digits), 1), dtype=np.int64)])
        carry(digits)
    return digits
