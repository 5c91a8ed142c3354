"""Where each result stands in the two arrays that the compiled loops add to."""

from __future__ import annotations

import numpy as np

from ait_cmp.engine.kernel.flags import Counts, Doubles
from ait_cmp.engine.slices import Slices
from ait_cmp.engine.stats import Side, Softmax, Stats

__all__ = ["empty", "stats"]

# Integers.
(
    ELEMENTS,
    NONFINITE_GOLDEN,
    NONFINITE_MY,
    NONFINITE_ALIKE,
    NONFINITE_DIFFERENT,
    NONFINITE_INDEX,
    GOLDEN_FINITE,
    MY_FINITE,
    GOLDEN_EXPONENT,
    MY_EXPONENT,
    DIFFERENCE_EXPONENT,
    PAIRS,
    EQUAL,
    WORST_INDEX,
    MISMATCHED,
    RELATIVE_COUNT,
    WITHIN_THOUSANDTH,
    WITHIN_FIVE_THOUSANDTHS,
    COUNTS,
) = range(19)

# Floats. A maximum stands after its minimum.
(
    GOLDEN_MINIMUM,
    GOLDEN_MAXIMUM,
    GOLDEN_TOTAL,
    MY_MINIMUM,
    MY_MAXIMUM,
    MY_TOTAL,
    GOLDEN_SQUARES,
    MY_SQUARES,
    PRODUCTS,
    DIFFERENCE_SQUARES,
    DIFFERENCE_TOTAL,
    DIFFERENCE_MAX,
    RELATIVE_TOTAL,
    RELATIVE_MAX,
    ABOVE_TOTAL,
    ABOVE_MAX,
    GOLDEN_PEAK,
    GOLDEN_WEIGHT,
    MY_PEAK,
    MY_WEIGHT,
    CROSS,
    SUMS,
) = range(22)


def empty() -> tuple[Counts, Doubles]:
    """The slots of a range without elements."""
    counts, sums = np.zeros(COUNTS, np.int64), np.zeros(SUMS, np.float64)
    counts[[NONFINITE_INDEX, WORST_INDEX]] = -1
    sums[[GOLDEN_MINIMUM, MY_MINIMUM]] = np.inf
    sums[[GOLDEN_MAXIMUM, MY_MAXIMUM, GOLDEN_PEAK, MY_PEAK]] = -np.inf
    return counts, sums


def stats(counts: Counts, sums: Doubles, epsilon: float, slices: Slices | None) -> Stats:
    """The slots by name."""
    whole, real = counts.tolist(), sums.tolist()
    return Stats(
        elements=whole[ELEMENTS],
        nonfinite_golden=whole[NONFINITE_GOLDEN],
        nonfinite_my=whole[NONFINITE_MY],
        nonfinite_alike=whole[NONFINITE_ALIKE],
        nonfinite_different=whole[NONFINITE_DIFFERENT],
        nonfinite_index=whole[NONFINITE_INDEX],
        golden=Side(
            whole[GOLDEN_FINITE],
            real[GOLDEN_MINIMUM],
            real[GOLDEN_MAXIMUM],
            real[GOLDEN_TOTAL],
            whole[GOLDEN_EXPONENT],
        ),
        my=Side(
            whole[MY_FINITE],
            real[MY_MINIMUM],
            real[MY_MAXIMUM],
            real[MY_TOTAL],
            whole[MY_EXPONENT],
        ),
        pairs=whole[PAIRS],
        equal=whole[EQUAL],
        golden_squares=real[GOLDEN_SQUARES],
        my_squares=real[MY_SQUARES],
        products=real[PRODUCTS],
        difference_squares=real[DIFFERENCE_SQUARES],
        difference_total=real[DIFFERENCE_TOTAL],
        difference_exponent=whole[DIFFERENCE_EXPONENT],
        difference_max=real[DIFFERENCE_MAX],
        worst_index=whole[WORST_INDEX],
        mismatched=whole[MISMATCHED],
        epsilon=epsilon,
        relative_count=whole[RELATIVE_COUNT],
        relative_total=real[RELATIVE_TOTAL],
        relative_max=real[RELATIVE_MAX],
        within_thousandth=whole[WITHIN_THOUSANDTH],
        within_five_thousandths=whole[WITHIN_FIVE_THOUSANDTHS],
        above_total=real[ABOVE_TOTAL],
        above_max=real[ABOVE_MAX],
        softmax=Softmax(
            real[GOLDEN_PEAK],
            real[GOLDEN_WEIGHT],
            real[MY_PEAK],
            real[MY_WEIGHT],
            real[CROSS],
        ),
        slices=slices,
    )
