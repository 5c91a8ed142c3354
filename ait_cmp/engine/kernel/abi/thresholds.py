"""What the stats depend on besides the data, and the thresholds that it makes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ait_cmp.engine.kernel.abi.arguments import Thresholds
from ait_cmp.engine.parts import EVERYTHING, Parts

__all__ = ["Options", "thresholds"]


@dataclass(frozen=True, slots=True)
class Options:
    """Pairs count as mismatched beyond atol + rtol |g|, and have a ratio where |g| > epsilon.

    Stats that only a part needs which is not among `parts` stay empty. Elements of one sign that
    are `huge` or more on both sides are no part of the slices.
    """

    epsilon: float
    rtol: float
    atol: float
    parts: Parts = EVERYTHING
    huge: float = math.inf


_MARGIN = 2.0**-20  # comparisons in float32 closer than this are decided again in float64


def thresholds(options: Options, *, exact: bool) -> Thresholds:
    """Thresholds for tolerances of any size."""
    atol, rtol = options.atol, options.rtol
    small, large = 2.0**-100, 2.0**20
    in_range = small <= atol <= large and (rtol == 0.0 or small <= rtol <= large)
    if in_range or atol == rtol == 0.0:
        low, high = 1 - _MARGIN, 1 + _MARGIN
        bracket = (atol * low, rtol * low, atol * high, rtol * high)
    else:
        # Every pair is beyond the low tolerance and none beyond the high one: never decided
        # in float32.
        bracket = (-1.0, 0.0, math.inf, 0.0)
    atol_low, rtol_low, atol_high, rtol_high = map(np.float32, bracket)
    return Thresholds(
        epsilon=options.epsilon,
        atol=atol,
        rtol=rtol,
        epsilon32=_float32_below(options.epsilon),
        atol_low=atol_low,
        rtol_low=rtol_low,
        atol_high=atol_high,
        rtol_high=rtol_high,
        exact=exact,
        parts=options.parts,
    )


def _float32_below(value: float) -> np.float32:
    """The largest float32 up to value."""
    nearest = np.float32(value)
    return np.nextafter(nearest, np.float32(-np.inf)) if float(nearest) > value else nearest
