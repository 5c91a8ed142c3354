"""The passes over a block in float32: one small loop each, so that it becomes vector code.

Extrema are taken of bit patterns, as integers: integer maxima become vector code without any
assumption about nan. Counters are put back into int32 each time, or they would halve the lanes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ait_cmp.engine.kernel.abi.flags import EXACT, LANES, Singles

__all__ = [
    "bits32",
    "count_mismatched",
    "count_within",
    "differences32",
    "is_finite32",
    "masked_ratios32",
    "range32",
    "ratios32",
    "scan32",
    "total",
    "worst32",
]

_INFINITY = np.int32(0x7F800000)
_MINUS_INFINITY = np.uint32(0xFF800000)
_SIGN = np.uint32(0x80000000)
_MAGNITUDE = np.uint32(0x7FFFFFFF)
_SIGNIFICAND = np.uint32(0x7FFFFF)
_GRIDDED = np.uint32(0x38800000)  # 2**-14
_GRIDDED_SPAN = np.uint32(0x7F800000 - 0x38800000)
_ZERO, _ONE = np.float32(0), np.float32(1)

# Ratios between these are compared with the threshold itself in float64.
_MARGIN = 2.0**-20
_THOUSANDTH, _FIVE_THOUSANDTHS = 0.001, 0.005
_THOUSANDTH_LOW = np.float32(_THOUSANDTH * (1 - _MARGIN))
_THOUSANDTH_HIGH = np.float32(_THOUSANDTH * (1 + _MARGIN))
_FIVE_LOW = np.float32(_FIVE_THOUSANDTHS * (1 - _MARGIN))
_FIVE_HIGH = np.float32(_FIVE_THOUSANDTHS * (1 + _MARGIN))


@njit(**EXACT)
def scan32(golden: Singles, my: Singles) -> Any:
    """For each side the largest pattern as signed and as unsigned; golden's least magnitude.

    The patterns are those of the largest positive value and the lowest negative one, but nan and
    infinities stand beyond all others.
    """
    golden_signed, my_signed = golden.view(np.int32), my.view(np.int32)
    golden_bits, my_bits = golden.view(np.uint32), my.view(np.uint32)
    golden_top = my_top = np.int32(-0x80000000)
    golden_bottom = my_bottom = np.uint32(0)
    least = np.uint32(0xFFFFFFFF)
    for i in range(golden.shape[0]):
        golden_top = max(golden_top, golden_signed[i])
        my_top = max(my_top, my_signed[i])
        golden_bottom = max(golden_bottom, golden_bits[i])
        my_bottom = max(my_bottom, my_bits[i])
        least = min(least, np.uint32(golden_bits[i] & _MAGNITUDE))
    return (golden_top, golden_bottom), (my_top, my_bottom), np.uint32(least).view(np.float32)


@njit(**EXACT)
def is_finite32(scanned: Any) -> bool:
    """Whether every element of a side is finite."""
    top, bottom = scanned
    return top < _INFINITY and bottom < _MINUS_INFINITY


@njit(**EXACT)
def range32(values: Singles, scanned: Any) -> Any:
    """Minimum and maximum of a side of finite elements."""
    top, bottom = scanned
    low = np.float64(np.uint32(bottom).view(np.float32))
    high = np.float64(np.int32(top).view(np.float32))
    # Without a value of one sign, the value nearest to zero bounds that end.
    if top < np.int32(0):
        high = -_least(values)
    if bottom < _SIGN:
        low = _least(values)
    return low, high


@njit(**EXACT)
def _least(values: Singles) -> float:
    """The least magnitude."""
    bits = values.view(np.uint32)
    least = np.uint32(0xFFFFFFFF)
    for i in range(values.shape[0]):
        least = min(least, np.uint32(bits[i] & _MAGNITUDE))
    return np.float64(np.uint32(least).view(np.float32))


@njit(**LANES)
def differences32(golden: Singles, my: Singles, thresholds: Any) -> Any:
    """Equal pairs, a lower and an upper count of mismatches, and the largest |d|."""
    equal = least = most = np.int32(0)
    largest = np.int32(0)
    atol_low, rtol_low = thresholds.atol_low, thresholds.rtol_low
    atol_high, rtol_high = thresholds.atol_high, thresholds.rtol_high
    for i in range(golden.shape[0]):
        difference = np.float32(abs(my[i] - golden[i]))
        magnitude = abs(golden[i])
        largest = max(largest, difference.view(np.int32))
        equal = np.int32(equal + (difference == _ZERO))
        most = np.int32(most + (difference > atol_low + rtol_low * magnitude))
        least = np.int32(least + (difference > atol_high + rtol_high * magnitude))
    return equal, least, most, np.int32(largest).view(np.float32)


@njit(**EXACT)
def bits32(values: Singles) -> Any:
    """The bits in use in the significands of finite magnitudes from 2**-14 on, and their count."""
    patterns = values.view(np.uint32)
    used, count = np.uint32(0), np.int32(0)
    for i in range(values.shape[0]):
        magnitude = np.uint32(patterns[i] & _MAGNITUDE)
        inside = np.uint32(magnitude - _GRIDDED) < _GRIDDED_SPAN
        used |= magnitude if inside else np.uint32(0)
        count = np.int32(count + inside)
    return np.int64(used & _SIGNIFICAND), np.int64(count)


@njit(**LANES)
def ratios32(golden: Singles, my: Singles, thresholds: Any, ratios: Singles) -> Any:
    """As `differences32`, and |d| / |g| of a block without a |g| up to epsilon.

    One pass, since the division leaves time for the rest. Counts of ratios are lower and upper
    ones.
    """
    equal = least = most = np.int32(0)
    one_least = one_most = five_least = five_most = np.int32(0)
    largest = ratio_largest = np.int32(0)
    atol_low, rtol_low = thresholds.atol_low, thresholds.rtol_low
    atol_high, rtol_high = thresholds.atol_high, thresholds.rtol_high
    for i in range(golden.shape[0]):
        difference = np.float32(abs(my[i] - golden[i]))
        magnitude = abs(golden[i])
        ratio = np.float32(difference / magnitude)
        ratios[i] = ratio
        largest = max(largest, difference.view(np.int32))
        ratio_largest = max(ratio_largest, ratio.view(np.int32))
        equal = np.int32(equal + (difference == _ZERO))
        most = np.int32(most + (difference > atol_low + rtol_low * magnitude))
        least = np.int32(least + (difference > atol_high + rtol_high * magnitude))
        one_least = np.int32(one_least + (ratio < _THOUSANDTH_LOW))
        one_most = np.int32(one_most + (ratio < _THOUSANDTH_HIGH))
        five_least = np.int32(five_least + (ratio < _FIVE_LOW))
        five_most = np.int32(five_most + (ratio < _FIVE_HIGH))
    found = (equal, least, most, np.int32(largest).view(np.float32))
    ratio_max = np.int32(ratio_largest).view(np.float32)
    return found, (one_least, one_most, five_least, five_most, ratio_max)


@njit(**LANES)
def masked_ratios32(
    golden: Singles, my: Singles, epsilon: np.float32, ratios: Singles, aboves: Singles
) -> Any:
    """Ratios as of `ratios32`, with ratio and |d| zero where |g| is up to epsilon."""
    one_least = one_most = five_least = five_most = count = np.int32(0)
    largest = above_largest = np.int32(0)
    for i in range(golden.shape[0]):
        magnitude = abs(golden[i])
        inside = magnitude > epsilon
        # Dividing a masked 0 by 1 instead of by 0 keeps inf and nan out of the lanes.
        above = np.float32(abs(my[i] - golden[i]) if inside else _ZERO)
        ratio = np.float32(above / (magnitude if inside else _ONE))
        ratios[i] = ratio
        aboves[i] = above
        count = np.int32(count + inside)
        largest = max(largest, ratio.view(np.int32))
        above_largest = max(above_largest, above.view(np.int32))
        one_least = np.int32(one_least + (ratio < _THOUSANDTH_LOW))
        one_most = np.int32(one_most + (ratio < _THOUSANDTH_HIGH))
        five_least = np.int32(five_least + (ratio < _FIVE_LOW))
        five_most = np.int32(five_most + (ratio < _FIVE_HIGH))
    counted = (one_least, one_most, five_least, five_most, np.int32(largest).view(np.float32))
    return counted, count, np.int32(above_largest).view(np.float32)


@njit(**LANES)
def total(values: Singles) -> float:
    """Their sum in float64."""
    found = 0.0
    for i in range(values.shape[0]):
        found += np.float64(values[i])
    return found


# The rest runs only where float32 cannot decide.


@njit(**EXACT)
def count_mismatched(golden: Singles, my: Singles, atol: float, rtol: float) -> int:
    """Pairs beyond the tolerance, decided in float64."""
    count: Any = 0
    for i in range(golden.shape[0]):
        g = np.float64(golden[i])
        count += abs(np.float64(my[i]) - g) > atol + rtol * abs(g)
    return count


@njit(**EXACT)
def count_within(golden: Singles, my: Singles, epsilon: float) -> tuple[int, int]:
    """Pairs above epsilon with ratios below each threshold, decided in float64.

    Products are compared instead of ratios, since coarse types come here often: among
    neighbours in bfloat16 are ratios of 1/200.
    """
    one: Any = 0
    five: Any = 0
    for i in range(golden.shape[0]):
        g = np.float64(golden[i])
        difference, magnitude = abs(np.float64(my[i]) - g), abs(g)
        above = magnitude > epsilon
        one += above & (difference < magnitude * _THOUSANDTH)
        five += above & (difference < magnitude * _FIVE_THOUSANDTHS)
    return one, five


@njit(**EXACT)
def worst32(golden: Singles, my: Singles, largest: np.float32) -> tuple[float, int]:
    """The exact largest |d| and its place, among those that round to the largest in float32."""
    best, place = -1.0, 0
    for i in range(golden.shape[0]):
        if abs(my[i] - golden[i]) == largest:
            exact = abs(np.float64(my[i]) - np.float64(golden[i]))
            if exact > best:
                best, place = exact, i
    return best, place
