"""The passes over a block in float64; what `singles` says of their form holds here too."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ait_cmp.engine.kernel.abi.flags import EXACT, LANES, Doubles

__all__ = [
    "above_total64",
    "differences64",
    "exceeds64",
    "half_differences64",
    "join_halves",
    "joint_differences64",
    "place64",
    "range64",
    "ratios64",
    "tolerances64",
]

_MAGNITUDE = np.int64(0x7FFFFFFFFFFFFFFF)
_LOWEST = np.int64(-0x8000000000000000)
_THOUSANDTH, _FIVE_THOUSANDTHS = 0.001, 0.005


@njit(**EXACT)
def differences64(golden: Doubles, my: Doubles, difference: Doubles) -> None:
    """m - g."""
    for i in range(golden.shape[0]):
        difference[i] = my[i] - golden[i]


@njit(**EXACT)
def joint_differences64(
    golden: Doubles, golden_low: Doubles, my: Doubles, my_low: Doubles, difference: Doubles
) -> None:
    """m - g of exact halves, rounded once."""
    for i in range(golden.shape[0]):
        difference[i] = (my[i] - golden[i]) + (my_low[i] - golden_low[i])


@njit(**EXACT)
def half_differences64(golden: Doubles, my: Doubles, unit: float, difference: Doubles) -> None:
    """m - g in units of 1 / (2 * unit), where the difference itself overflows."""
    for i in range(golden.shape[0]):
        difference[i] = (my[i] * 0.5 - golden[i] * 0.5) * unit


@njit(**EXACT)
def join_halves(high: Doubles, low: Doubles) -> None:
    """Add the lower halves to the upper ones."""
    for i in range(high.shape[0]):
        high[i] += low[i]


@njit(**EXACT)
def range64(values: Doubles) -> tuple[float, float]:
    """Minimum and maximum, where nan with a sign bit is lowest and without it highest."""
    bits = values.view(np.int64)
    low, high = _MAGNITUDE, _LOWEST
    for i in range(values.shape[0]):
        key = _ordered(bits[i])
        low = min(low, key)
        high = max(high, key)
    return np.int64(_ordered(low)).view(np.float64), np.int64(_ordered(high)).view(np.float64)


@njit(**EXACT)
def _ordered(bits: Any) -> Any:
    """The bits of a float as an integer of the same order; its own inverse."""
    return np.int64(bits) ^ ((np.int64(bits) >> np.int64(63)) & _MAGNITUDE)


@njit(**EXACT)
def tolerances64(golden: Doubles, difference: Doubles, atol: float, rtol: float) -> Any:
    """Equal pairs, mismatched ones, and the largest |d|."""
    equal = mismatched = 0
    largest = np.int64(0)
    for i in range(golden.shape[0]):
        d = np.float64(abs(difference[i]))
        equal += d == 0.0
        mismatched += d > atol + rtol * abs(golden[i])
        largest = max(largest, d.view(np.int64))
    return equal, mismatched, np.int64(largest).view(np.float64)


@njit(**EXACT)
def place64(difference: Doubles, largest: float) -> int:
    """The first place of the largest |d|."""
    for i in range(difference.shape[0]):
        if abs(difference[i]) == largest:
            return i
    return 0


@njit(**EXACT)
def exceeds64(golden: Any, my: Any, limit: float) -> bool:
    """Whether any |d| is larger."""
    count: Any = 0
    for i in range(golden.shape[0]):
        count += abs(np.float64(my[i]) - np.float64(golden[i])) > limit
    return bool(count > 0)


@njit(**LANES)
def ratios64(golden: Doubles, difference: Doubles, epsilon: float) -> Any:
    """Over |g| > epsilon: count, count below each threshold, Σ and maximum of |d| / |g| and |d|."""
    ratio_total = above_total = 0.0
    largest = above_largest = np.int64(0)
    count = 0
    one: Any = 0
    five: Any = 0
    for i in range(golden.shape[0]):
        magnitude = abs(golden[i])
        inside = magnitude > epsilon
        above = np.float64(abs(difference[i]) if inside else 0.0)
        ratio = np.float64(above / (magnitude if inside else 1.0))
        count += inside
        one += ratio < _THOUSANDTH
        five += ratio < _FIVE_THOUSANDTHS
        ratio_total += ratio
        above_total += above
        largest = max(largest, ratio.view(np.int64))
        above_largest = max(above_largest, above.view(np.int64))
    # The ratios of the others are 0, and were counted as small.
    others = golden.shape[0] - count
    ratio_max = np.int64(largest).view(np.float64)
    above_max = np.int64(above_largest).view(np.float64)
    return count, one - others, five - others, ratio_total, ratio_max, above_total, above_max


@njit(**EXACT)
def above_total64(golden: Doubles, units: Doubles, epsilon: float) -> float:
    """Σ of scaled |d| over |g| > epsilon."""
    found = 0.0
    for i in range(golden.shape[0]):
        found += abs(units[i]) if abs(golden[i]) > epsilon else 0.0
    return found
