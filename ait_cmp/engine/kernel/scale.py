"""Units of the sums: squares of values near the ends of float64 would leave it.

Each side's sums are in units of 2**exponent, 0 but for such data.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ait_cmp.engine.kernel.arguments import Results
from ait_cmp.engine.kernel.flags import EXACT, INLINE, Doubles
from ait_cmp.engine.stats import SLOTS

__all__ = ["OVERFLOW", "choose_exponents", "scaled"]

# Squares of magnitudes between these, summed over any tensor, stay in range.
_SMALL, _LARGE = 2.0**-400, 2.0**400
OVERFLOW = 1025  # the exponent for differences beyond float64


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
    _move(SLOTS.golden_total, golden_move, sums)
    _move(SLOTS.golden_squares, 2 * golden_move, sums)
    _move(SLOTS.my_total, my_move, sums)
    _move(SLOTS.my_squares, 2 * my_move, sums)
    _move(SLOTS.products, golden_move + my_move, sums)
    _move(SLOTS.difference_squares, 2 * move, sums)
    _move(SLOTS.difference_total, move, sums)
    _move(SLOTS.above_total, move, sums)


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


@njit(**EXACT)
def _move(slot: int, exponent: int, sums: Doubles) -> None:
    sums[slot] = math.ldexp(sums[slot], exponent)


@njit(**INLINE)
def scaled(values: Doubles, exponent: int, row: Doubles) -> Doubles:
    """values * 2**-exponent, in two exact steps since 2**1074 is no float64."""
    half = exponent // 2
    first, second = math.ldexp(1.0, -half), math.ldexp(1.0, half - exponent)
    for i in range(values.shape[0]):
        row[i] = values[i] * first * second
    return row[: values.shape[0]]
