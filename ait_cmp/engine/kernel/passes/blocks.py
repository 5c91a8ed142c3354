"""What narrow and wide blocks have in common: non-finite elements, and what is kept of a block."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from ait_cmp.engine.kernel.abi.arguments import Results
from ait_cmp.engine.kernel.abi.flags import EXACT, INLINE, Counts, Doubles
from ait_cmp.engine.stats import SLOTS

__all__ = ["add_worst", "count_nonfinite", "gather", "span", "split"]

Positions = npt.NDArray[np.int32]


@njit(**EXACT)
def split(golden: Any, my: Any, positions: Positions, lone_golden: Any, lone_my: Any) -> Any:
    """Pairs finite on both sides by their positions, and values whose partner is not finite.

    How many there are of each, and of non-finite pairs alike and different; the place of the
    first pair that disagrees, or -1.
    """
    pairs = golden_lones = my_lones = alike = different = 0
    disagreeing = -1
    for i in range(golden.shape[0]):
        g, m = golden[i], my[i]
        golden_finite, my_finite = abs(g) < np.inf, abs(m) < np.inf
        # Written always and kept where it counts: masks make a branch unpredictable.
        positions[pairs] = i
        lone_golden[golden_lones] = g
        lone_my[my_lones] = m
        pairs += golden_finite and my_finite
        golden_lones += golden_finite and not my_finite
        my_lones += my_finite and not golden_finite
        if not (golden_finite and my_finite):
            neither = not golden_finite and not my_finite
            same = neither and (g == m or (g != g and m != m))
            alike += same
            different += neither and not same
            if disagreeing < 0 and not same:
                disagreeing = i
    return pairs, golden_lones, my_lones, alike, different, disagreeing


@njit(**EXACT)
def count_nonfinite(found: Any, first: int, counts: Counts) -> None:
    """Add what `split` found in a block that starts at index `first`."""
    _, golden_lones, my_lones, alike, different, disagreeing = found
    counts[SLOTS.nonfinite_my] += golden_lones
    counts[SLOTS.nonfinite_golden] += my_lones
    counts[SLOTS.nonfinite_alike] += alike
    counts[SLOTS.nonfinite_different] += different
    counts[SLOTS.golden_finite] += golden_lones
    counts[SLOTS.my_finite] += my_lones
    if disagreeing >= 0 and counts[SLOTS.nonfinite_index] < 0:
        counts[SLOTS.nonfinite_index] = first + disagreeing


@njit(**INLINE)
def gather(source: Any, positions: Positions, row: Any) -> Any:
    """The elements at positions, in a row of scratch."""
    for i in range(positions.shape[0]):
        row[i] = source[positions[i]]
    return row[: positions.shape[0]]


@njit(**EXACT)
def span(minimum: int, low: float, high: float, sums: Doubles) -> None:
    """Widen the range of the side whose minimum stands in this slot."""
    sums[minimum] = min(sums[minimum], low)
    sums[minimum + 1] = max(sums[minimum + 1], high)


@njit(**EXACT)
def add_worst(largest: float, index: int, results: Results) -> None:
    """Blocks come in the order of their indices, so only a larger difference is news."""
    if results.counts[SLOTS.worst_index] < 0 or largest > results.sums[SLOTS.difference_max]:
        results.sums[SLOTS.difference_max] = largest
        results.counts[SLOTS.worst_index] = index
