"""Units of the sums: squares of values near the ends of float64 would leave it.

Each side's sums are in units of 2**exponent, 0 but for such data.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ait_cmp.engine.kernel.abi.arguments import Results
from ait_cmp.engine.kernel.abi.flags import EXACT, INLINE, Doubles
from ait_cmp.engine.stats import FIELDS, SLOTS

__all__ = ["OVERFLOW", "choose_exponents", "scaled"]

# Squares of magnitudes between these, summed over any tensor, stay in range.
_SMALL, _LARGE = 2.0**-400, 2.0**400
OVERFLOW = 1025  # the exponent for differences beyond float64

# Slots of the sums that have units, and how often each unit is a factor of theirs.
_MOVED = np.array(
    [
        (slot, *(one.units.count(unit) for unit in ("golden", "my", "difference")))
        for slot, one in enumerate(FIELDS)
        if one.units
    ]
)


@njit(**EXACT)
def choose_exponents(
    golden_largest: float, my_largest: float, largest: float, results: Results
) -> None:
    """Bring the sums so far to units that suit a block with these largest magnitudes as well."""
    counts, sums = results.counts, results.sums
    # Values without a finite partner are known from the total alone.
    golden_known = sums[SLOTS.golden_squares] != 0.0 or sums[SLOTS.golden_total] != 0.0
    my_known = sums[SLOTS.my_squares] != 0.0 or sums[SLOTS.my_total] != 0.0
    known = sums[SLOTS.difference_squares] != 0.0
    golden = _joint(counts[SLOTS.golden_exponent], golden_known, golden_largest)
    my = _joint(counts[SLOTS.my_exponent], my_known, my_largest)
    difference = _joint(counts[SLOTS.difference_exponent], known, largest)
    golden_move = counts[SLOTS.golden_exponent] - golden
    my_move = counts[SLOTS.my_exponent] - my
    move = counts[SLOTS.difference_exponent] - difference
    if golden_move == 0 and my_move == 0 and move == 0:
        return
    counts[SLOTS.golden_exponent] = golden
    counts[SLOTS.my_exponent] = my
    counts[SLOTS.difference_exponent] = difference
    for i in range(_MOVED.shape[0]):
        slot = _MOVED[i, 0]
        exponent = _MOVED[i, 1] * golden_move + _MOVED[i, 2] * my_move + _MOVED[i, 3] * move
        sums[slot] = math.ldexp(sums[slot], exponent)


@njit(**EXACT)
def _joint(exponent: int, known: bool, largest: float) -> int:
    """The exponent for sums so far and a block, ignoring whichever is zero."""
    if largest == 0.0:
        return exponent
    wanted = 0
    if largest == np.inf:
        wanted = OVERFLOW
    elif not _SMALL <= largest <= _LARGE:
        wanted = math.frexp(largest)[1]
    return max(exponent, wanted) if known else wanted


@njit(**INLINE)
def scaled(values: Doubles, exponent: int, row: Doubles) -> Doubles:
    """values * 2**-exponent, in two exact steps since 2**1074 is no float64."""
    half = exponent // 2
    first, second = math.ldexp(1.0, -half), math.ldexp(1.0, half - exponent)
    for i in range(values.shape[0]):
        row[i] = values[i] * first * second
    return row[: values.shape[0]]
