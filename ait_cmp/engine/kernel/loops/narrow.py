"""The loop over blocks of types that float32 holds: differences in float32, sums in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ait_cmp.engine.kernel.abi.arguments import (
    COARSE,
    Grid,
    Results,
    Room,
    Stored,
    Tables,
    Thresholds,
)
from ait_cmp.engine.kernel.abi.flags import BLOCK, EXACT, Bytes, Doubles, Singles
from ait_cmp.engine.kernel.passes.blocks import (
    add_worst,
    count_nonfinite,
    gather,
    span,
    split,
)
from ait_cmp.engine.kernel.passes.columns import add_columns, fold_columns
from ait_cmp.engine.kernel.passes.load import convert, load32
from ait_cmp.engine.kernel.passes.singles import (
    count_mismatched,
    count_within,
    differences32,
    is_finite32,
    masked_ratios32,
    range32,
    ratios32,
    scan32,
    total,
    worst32,
)
from ait_cmp.engine.kernel.passes.slicing import (
    add_bits,
    add_counts,
    add_each,
    add_runs,
    add_top,
    is_plain,
)
from ait_cmp.engine.kernel.passes.softmax import add_deep, add_shallow, is_shallow
from ait_cmp.engine.kernel.passes.sums import Sums, add_sums, sum_runs
from ait_cmp.engine.stats import SLOTS

__all__ = ["add_narrow"]

_SAFE = 2.0**100  # beyond it differences, ratios or tolerances could overflow in float32


@njit(**EXACT)
def add_narrow(
    golden_bytes: Bytes,
    golden_stored: Stored,
    my_bytes: Bytes,
    my_stored: Stored,
    first: int,
    thresholds: Thresholds,
    room: Room,
    results: Results,
    grid: Grid,
    tables: Tables,
) -> int:
    """Add two runs, the first element of which has index `first`; the elements that were added.

    Stops before a block that is out of reach of float32, for `add_wide` to go on.
    """
    elements = golden_bytes.shape[0] // golden_stored.itemsize
    singles, runs = room.singles, room.doubles[2:6]
    sliced = grid.channels > 0
    for start in range(0, elements, BLOCK):
        stop = min(start + BLOCK, elements)
        golden_block = load32(golden_bytes, golden_stored, start, stop, singles[0])
        my_block = load32(my_bytes, my_stored, start, stop, singles[1])
        golden, my = golden_block, my_block
        positions = room.positions[:0]
        # A long pass goes first, since memory is read meanwhile. It is done again where some
        # values turn out not to be finite.
        summed = sum_runs(golden, my, first + start, grid, runs)
        golden_scan, my_scan, golden_least = scan32(golden, my)
        finite = is_finite32(golden_scan) and is_finite32(my_scan)
        found = (stop - start, 0, 0, 0, 0, -1)
        if not finite:
            found = split(golden, my, room.positions, singles[2], singles[3])
            positions = room.positions[: found[0]]
            golden = gather(golden, positions, singles[6])
            my = gather(my, positions, singles[7])
            summed = sum_runs(golden, my, first + start, grid, runs)
            golden_scan, my_scan, golden_least = scan32(golden, my)
        plain = sliced and finite
        if found[0] > 0:
            golden_range, my_range = range32(golden, golden_scan), range32(my, my_scan)
            if not _fits(golden_range, my_range, golden_least, thresholds):
                results.counts[SLOTS.elements] += start
                add_counts(first, first + start, grid, tables)
                fold_columns(grid, tables.slots, tables)
                return start
            reach = max(_magnitude(golden_range), _magnitude(my_range))
            plain = plain and is_plain(reach, golden_range, my_range, grid)
            largest = _add_pairs(
                golden, golden_range, golden_least, my, my_range, summed,
                positions, first + start, thresholds, room, results,
            )  # fmt: skip
            if plain and reach > 0.0:
                add_runs(stop - start, first + start, grid, runs, tables)
                if grid.shift < COARSE:
                    add_columns(golden, my, first + start, grid, tables.slots, tables)
                # A tie in float32 may hide a larger difference.
                if largest > 0.0 and largest >= np.float32(abs(tables.top[0, -1])):
                    add_top(golden, my, first + start, tables)
        if sliced:
            add_bits(golden_block, my_block, grid, tables)
            if not plain:
                add_each(golden_block, my_block, first + start, grid, tables)
        if not finite:
            count_nonfinite(found, first + start, results.counts)
            _add_lone(singles[2][: found[1]], SLOTS.golden_minimum, results.sums)
            _add_lone(singles[3][: found[2]], SLOTS.my_minimum, results.sums)
    results.counts[SLOTS.elements] += elements
    add_counts(first, first + elements, grid, tables)
    fold_columns(grid, tables.slots, tables)
    return elements


@njit(**EXACT)
def _fits(golden_range: Any, my_range: Any, least: float, thresholds: Thresholds) -> bool:
    """Whether no difference or ratio of a block can overflow in float32."""
    reach = _magnitude(golden_range) + _magnitude(my_range)
    divisor = max(thresholds.epsilon, least)
    return reach < _SAFE and (not thresholds.parts.relative or reach < divisor * _SAFE)


@njit(**EXACT)
def _magnitude(extremes: Any) -> float:
    return max(abs(extremes[0]), abs(extremes[1]))


@njit(**EXACT)
def _add_lone(values: Singles, minimum: int, sums: Doubles) -> None:
    """Values without a finite partner count for the range and the total of their own side."""
    for i in range(values.shape[0]):
        value = np.float64(values[i])
        sums[minimum] = min(sums[minimum], value)
        sums[minimum + 1] = max(sums[minimum + 1], value)
        sums[minimum + 2] += value


@njit(**EXACT)
def _add_pairs(
    golden: Singles,
    golden_range: Any,
    golden_least: float,
    my: Singles,
    my_range: Any,
    summed: Sums,
    positions: Any,
    first: int,
    thresholds: Thresholds,
    room: Room,
    results: Results,
) -> np.float32:
    """Add finite pairs; positions is empty where pair i is element i of the block.

    The largest |d|, in float32.
    """
    counts, sums = results.counts, results.sums
    golden_low, golden_high = golden_range
    my_low, my_high = my_range
    span(SLOTS.golden_minimum, golden_low, golden_high, sums)
    span(SLOTS.my_minimum, my_low, my_high, sums)
    clear = thresholds.parts.relative and golden_least > thresholds.epsilon
    counted = (np.int32(0), np.int32(0), np.int32(0), np.int32(0), np.float32(0))
    if clear:
        compared, counted = ratios32(golden, my, thresholds, room.singles[4])
    else:
        compared = differences32(golden, my, thresholds)
    equal, least, most, largest = compared
    counts[SLOTS.equal] += equal
    if least != most:
        least = count_mismatched(golden, my, thresholds.atol, thresholds.rtol)
    counts[SLOTS.mismatched] += least
    # A tie in float32 may hide a larger difference.
    known = np.float32(sums[SLOTS.difference_max])
    tied = largest == known and not thresholds.exact
    if counts[SLOTS.worst_index] < 0 or largest > known or tied:
        worst, place = worst32(golden, my, largest)
        add_worst(worst, first + (positions[place] if positions.shape[0] else place), results)
    add_sums(golden.shape[0], summed, results)
    if thresholds.parts.relative:
        _add_ratios(
            golden, my, clear, counted, summed.difference_total, largest, thresholds, room, results
        )
    if thresholds.parts.softmax:
        if is_shallow(golden_range, my_range, sums):
            add_shallow(golden, my, golden_high, my_high, sums)
        else:
            n = golden.shape[0]
            convert(golden, room.doubles[0][:n])
            convert(my, room.doubles[1][:n])
            add_deep(room.doubles[0][:n], room.doubles[1][:n], golden_high, my_high, sums)
    return largest


@njit(**EXACT)
def _add_ratios(
    golden: Singles,
    my: Singles,
    clear: bool,
    counted: Any,
    difference_total: float,
    difference_max: np.float32,
    thresholds: Thresholds,
    room: Room,
    results: Results,
) -> None:
    counts, sums = results.counts, results.sums
    n = golden.shape[0]
    ratios = room.singles[4][:n]
    if clear:
        count, above_total, above_max = n, difference_total, difference_max
    else:
        aboves = room.singles[5][:n]
        counted, above_count, above_max = masked_ratios32(
            golden, my, thresholds.epsilon32, ratios, aboves
        )
        count, above_total = np.int64(above_count), total(aboves)
    one, one_most, five, five_most, largest = counted
    if one == one_most and five == five_most:
        # The ratios of the others are 0, and were counted as small.
        counts[SLOTS.within_thousandth] += one - (n - count)
        counts[SLOTS.within_five_thousandths] += five - (n - count)
    else:
        exact_one, exact_five = count_within(golden, my, thresholds.epsilon)
        counts[SLOTS.within_thousandth] += exact_one
        counts[SLOTS.within_five_thousandths] += exact_five
    counts[SLOTS.relative_count] += count
    sums[SLOTS.relative_total] += total(ratios)
    sums[SLOTS.relative_max] = max(sums[SLOTS.relative_max], np.float64(largest))
    sums[SLOTS.above_total] += above_total
    sums[SLOTS.above_max] = max(sums[SLOTS.above_max], np.float64(above_max))
