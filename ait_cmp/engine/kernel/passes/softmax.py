"""Log-sum-exp sums of a block, relative to the largest element so far, for KL divergence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from ait_cmp.engine.kernel.abi.flags import EXACT, FUSED, LANES, Doubles
from ait_cmp.engine.stats import SLOTS

__all__ = ["add_deep", "add_shallow", "is_shallow"]

_SHIFTER = 6755399441055744.0  # 1.5 * 2**52: adding it rounds to an integer, in the low bits
_LOG2E = 1.4426950408889634
_LN2 = 0.6931471805599453
_LOWEST = -700.0  # weights below exp(-700) of the largest count for nothing
_REACH = 16384.0  # up to here ln 2 as one float64 costs less than 1e-12


@njit(**EXACT)
def is_shallow(golden_range: Any, my_range: Any, sums: Doubles) -> bool:
    """Whether exp(value - peak) of every value in these ranges can be taken without a second
    look."""
    golden_peak = max(golden_range[1], sums[SLOTS.softmax_golden_peak])
    my_peak = max(my_range[1], sums[SLOTS.softmax_my_peak])
    golden = _is_shallow(golden_range[0], golden_range[1], golden_peak)
    return golden and _is_shallow(my_range[0], my_range[1], my_peak)


@njit(**EXACT)
def _is_shallow(low: float, high: float, peak: float) -> bool:
    return peak - low < -_LOWEST and max(abs(peak), abs(low), abs(high)) < _REACH


@njit(**EXACT)
def add_shallow(golden: Any, my: Any, golden_high: float, my_high: float, sums: Doubles) -> None:
    """Add a block with these maxima, both sides of which are shallow.

    Powers of two near the peaks serve as units, so that no element needs a subtraction.
    """
    golden_peak, my_peak = _move_peaks(golden_high, my_high, sums)
    golden_unit, my_unit = np.rint(golden_peak * _LOG2E), np.rint(my_peak * _LOG2E)
    weight, my_weight, cross = _shallow(golden, my, _SHIFTER - golden_unit, _SHIFTER - my_unit)
    golden_scale = math.exp(golden_unit * _LN2 - golden_peak)
    sums[SLOTS.softmax_golden_weight] += weight * golden_scale
    sums[SLOTS.softmax_my_weight] += my_weight * math.exp(my_unit * _LN2 - my_peak)
    sums[SLOTS.softmax_cross] += (cross + weight * (my_peak - golden_peak)) * golden_scale


@njit(**EXACT)
def add_deep(
    golden: Doubles, my: Doubles, golden_high: float, my_high: float, sums: Doubles
) -> None:
    """Add any block of float64 with these maxima."""
    golden_peak, my_peak = _move_peaks(golden_high, my_high, sums)
    weight, my_weight, cross = _deep(golden, my, golden_peak, my_peak)
    sums[SLOTS.softmax_golden_weight] += weight
    sums[SLOTS.softmax_my_weight] += my_weight
    sums[SLOTS.softmax_cross] += cross


@njit(**EXACT)
def _move_peaks(golden_high: float, my_high: float, sums: Doubles) -> tuple[float, float]:
    """Take the sums so far relative to the largest elements, now that these have come."""
    golden_peak = max(sums[SLOTS.softmax_golden_peak], golden_high)
    my_peak = max(sums[SLOTS.softmax_my_peak], my_high)
    golden_shift = sums[SLOTS.softmax_golden_peak] - golden_peak
    my_shift = sums[SLOTS.softmax_my_peak] - my_peak
    if sums[SLOTS.softmax_golden_weight] > 0.0 and (golden_shift != 0.0 or my_shift != 0.0):
        scale = math.exp(golden_shift)
        moved = sums[SLOTS.softmax_golden_weight] * (golden_shift - my_shift)
        cross = sums[SLOTS.softmax_cross] + moved
        sums[SLOTS.softmax_cross] = scale * cross if scale > 0.0 else 0.0
        sums[SLOTS.softmax_golden_weight] *= scale
        sums[SLOTS.softmax_my_weight] *= math.exp(my_shift)
    sums[SLOTS.softmax_golden_peak] = golden_peak
    sums[SLOTS.softmax_my_peak] = my_peak
    return golden_peak, my_peak


@njit(**FUSED)
def _exp(value: float, shifter: float) -> float:
    """exp(value) in units of 2**unit, for shifter = _SHIFTER - unit; a minimax fit to 1.0e-10.

    Estrin's scheme, since a Horner chain is longer than the processor looks ahead.
    """
    shifted = value * _LOG2E + shifter
    rest = value - (shifted - shifter) * _LN2
    square = rest * rest
    low = (1.0 + rest) + square * (0.500000008041905 + rest * 0.16666666752649387)
    high = (0.04166624173432986 + rest * 0.008333287027890523) + square * (
        0.0013948519852003771 + rest * 0.00019906975187160451
    )
    power = np.float64(low + (square * square) * high)
    exponent = np.float64(shifted).view(np.int64) << np.int64(52)
    return np.int64(power.view(np.int64) + exponent).view(np.float64)


@njit(**LANES)
def _shallow(golden: Any, my: Any, golden_shifter: float, my_shifter: float) -> Any:
    """Two loops, since the constants of one exponential fill the registers."""
    golden_weight = my_weight = cross = 0.0
    for i in range(golden.shape[0]):
        value = np.float64(golden[i])
        weight = _exp(value, golden_shifter)
        golden_weight += weight
        cross += weight * (value - np.float64(my[i]))
    for i in range(my.shape[0]):
        my_weight += _exp(np.float64(my[i]), my_shifter)
    return golden_weight, my_weight, cross


@njit(**LANES)
def _deep(golden: Doubles, my: Doubles, golden_peak: float, my_peak: float) -> Any:
    golden_weight = my_weight = cross = 0.0
    for i in range(golden.shape[0]):
        depth, my_depth = golden[i] - golden_peak, my[i] - my_peak
        weight = _exp_or_zero(depth)
        golden_weight += weight
        my_weight += _exp_or_zero(my_depth)
        # A weight of 0 may meet an infinite depth: that is 0, not nan.
        cross += weight * (depth - my_depth) if depth > _LOWEST else 0.0
    return golden_weight, my_weight, cross


@njit(**EXACT)
def _exp_or_zero(value: float) -> float:
    power = _exp(value if value > _LOWEST else _LOWEST, _SHIFTER)
    return power if value > _LOWEST else 0.0
