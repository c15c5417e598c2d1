"""Sums of floats without rounding, so that the order in which rows arrive cannot change a feature.

A float is an integer times a power of two. Cut into digits of 32 bits at fixed places, floats add up digit by digit
in 64-bit integers, exactly, and what was added can be taken away again without a trace: which running sums of floats
cannot do (0.1 + 1e16 - 1e16 is 0.0). The last step, from digits to a float, depends only on the exact total.
The idea is that of a long accumulator (U. Kulisch, "Computer Arithmetic and Validity", 2008, chapter 8).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_BITS = 32
_MASK = (1 << _BITS) - 1
_MANTISSA_BITS = 53

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


def running_sums(values: npt.NDArray[np.generic], first: IntArray, end: IntArray, count: int) -> FloatArray:
    """At each of `count` places the sum of the values whose range `[first, end)` holds the place, in float64.

    Args:
        values: finite float64, or int64.

    Example:
        >>> ranges = np.array([0, 0, 2]), np.array([1, 3, 3])
        >>> running_sums(np.array([1e16, 0.1, 0.2]), *ranges, 3).tolist()
        [1e+16, 0.1, 0.30000000000000004]
    """
    whole, low = _as_integers(values)
    base, place, shift = _places(low)
    width = int(place.max(initial=0)) + 4
    digits = np.zeros((count + 1) * width, dtype=np.int64)
    magnitude, sign = np.abs(whole), np.sign(whole)
    # The magnitude of int64's smallest value is itself, negative; as unsigned bits it is right all the same.
    bits = magnitude.view(np.uint64)
    for part, offset in ((bits & np.uint64(_MASK), 0), (bits >> np.uint64(_BITS), 1)):
        shifted = part << shift
        for digit, further in ((shifted & np.uint64(_MASK), 0), (shifted >> np.uint64(_BITS), 1)):
            signed = digit.astype(np.int64) * sign
            np.add.at(digits, first * width + place + offset + further, signed)
            np.add.at(digits, end * width + place + offset + further, -signed)
    table = digits.reshape(count + 1, width)[:count]
    np.cumsum(table, axis=0, out=table)
    return _to_floats(table, base)


def _as_integers(values: npt.NDArray[np.generic]) -> tuple[IntArray, IntArray]:
    """Every value as an integer times a power of two: the integers and the exponents."""
    if values.dtype == np.int64:
        return values.astype(np.int64), np.zeros(len(values), dtype=np.int64)
    mantissa, exponent = np.frexp(values.astype(np.float64))
    whole = np.ldexp(mantissa, _MANTISSA_BITS).astype(np.int64)
    return whole, np.where(whole == 0, 0, exponent.astype(np.int64) - _MANTISSA_BITS)


def _places(low: IntArray) -> tuple[int, IntArray, npt.NDArray[np.uint64]]:
    """The exponent of the lowest digit, always a multiple of 32, and where each value stands above it."""
    base = int(low.min(initial=0)) // _BITS * _BITS
    above = low - base
    return base, above // _BITS, (above % _BITS).astype(np.uint64)


def _to_floats(table: IntArray, base: int) -> FloatArray:
    _carry(table)
    negative = table[:, -1] < 0
    if negative.any():
        table[negative] *= -1
        _carry(table)
    total = np.zeros(len(table))
    with np.errstate(over="ignore"):
        for place in range(table.shape[1] - 1, -1, -1):
            total += np.ldexp(table[:, place].astype(np.float64), place * _BITS + base)
    return np.where(negative, -total, total)


def _carry(table: IntArray) -> None:
    for place in range(table.shape[1] - 1):
        table[:, place + 1] += table[:, place] >> _BITS
        table[:, place] &= _MASK
