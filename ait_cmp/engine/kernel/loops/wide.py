"""The loop over blocks of float64, of wide integers and of whatever float32 cannot take."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from ait_cmp.engine.kernel.abi import kinds
from ait_cmp.engine.kernel.abi.arguments import (
    COARSE,
    Grid,
    Results,
    Room,
    Stored,
    Tables,
    Thresholds,
)
from ait_cmp.engine.kernel.abi.flags import BLOCK, EXACT, Bytes, Doubles
from ait_cmp.engine.kernel.passes.blocks import (
    add_worst,
    count_nonfinite,
    gather,
    span,
    split,
)
from ait_cmp.engine.kernel.passes.columns import add_columns, fold_columns
from ait_cmp.engine.kernel.passes.doubles import (
    above_total64,
    differences64,
    half_differences64,
    join_halves,
    joint_differences64,
    place64,
    range64,
    ratios64,
    tolerances64,
)
from ait_cmp.engine.kernel.passes.load import convert, load64
from ait_cmp.engine.kernel.passes.scale import OVERFLOW, choose_exponents, scaled
from ait_cmp.engine.kernel.passes.slicing import (
    add_bits,
    add_counts,
    add_each,
    add_runs,
    add_top,
    is_plain,
    knows_bits,
)
from ait_cmp.engine.kernel.passes.softmax import add_deep, add_shallow, is_shallow
from ait_cmp.engine.kernel.passes.sums import Sums, add_sums, no_sums, sum_runs, sums64
from ait_cmp.engine.stats import SLOTS

__all__ = ["add_wide"]


@njit(**EXACT)
def add_wide(
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
    """Add two runs, the first element of which has index `first`; the elements that were added."""
    elements = golden_bytes.shape[0] // golden_stored.itemsize
    rows, singles = room.doubles, room.singles
    runs = rows[10:14]
    in_halves = _is_long(golden_stored.kind) or _is_long(my_stored.kind)
    rows[2][:] = 0.0  # the lower halves, which only 64-bit integers have
    rows[3][:] = 0.0
    for start in range(0, elements, BLOCK):
        stop = min(start + BLOCK, elements)
        golden = load64(golden_bytes, golden_stored, start, stop, rows[0], rows[2], singles[0])
        my = load64(my_bytes, my_stored, start, stop, rows[1], rows[3], singles[0])
        difference = rows[4][: stop - start]
        if in_halves:
            joint_differences64(golden, rows[2], my, rows[3], difference)
            # Where a side has no halves, this row is not read.
            join_halves(rows[0], rows[2])
            join_halves(rows[1], rows[3])
        else:
            differences64(golden, my, difference)
        golden_range, my_range = range64(golden), range64(my)
        finite = _is_finite(golden_range) and _is_finite(my_range)
        reach = max(_magnitude(golden_range), _magnitude(my_range))
        plain = grid.wide and finite and is_plain(reach, golden_range, my_range, grid)
        summed = no_sums()
        if plain:
            summed = sum_runs(golden, my, first + start, grid, runs)
        elif grid.channels > 0:
            add_each(golden, my, first + start, grid, tables)
        if grid.channels > 0 and not knows_bits(grid, tables):
            convert(golden, singles[0][: stop - start])
            convert(my, singles[1][: stop - start])
            add_bits(singles[0][: stop - start], singles[1][: stop - start], grid, tables)
        positions = room.positions[:0]
        found = (stop - start, 0, 0, 0, 0, -1)
        if not finite:
            found = split(golden, my, room.positions, rows[7], rows[8])
            count_nonfinite(found, first + start, results.counts)
            positions = room.positions[: found[0]]
            golden = gather(golden, positions, rows[0])
            my = gather(my, positions, rows[1])
            difference = gather(difference, positions, rows[4])
            golden_range, my_range = range64(golden), range64(my)
        lone_golden, lone_my = rows[7][: found[1]], rows[8][: found[2]]
        largest = _add_block(
            golden, golden_range, lone_golden, my, my_range, lone_my, difference, plain, summed,
            positions, first + start, thresholds, room, results,
        )  # fmt: skip
        if plain and reach > 0.0:
            add_runs(stop - start, first + start, grid, runs, tables)
            if grid.shift < COARSE:
                add_columns(golden, my, first + start, grid, tables.wide_slots, tables)
            if largest > abs(tables.top[0, -1]):
                add_top(golden, my, first + start, tables)
    add_counts(first, first + elements, grid, tables)
    fold_columns(grid, tables.wide_slots, tables)
    results.counts[SLOTS.elements] += elements
    return elements


@njit(**EXACT)
def _is_long(kind: int) -> bool:
    return kind == kinds.INT64 or kind == kinds.UINT64


@njit(**EXACT)
def _is_finite(extremes: Any) -> bool:
    return -np.inf < extremes[0] and extremes[1] < np.inf


@njit(**EXACT)
def _magnitude(extremes: Any) -> float:
    return max(abs(extremes[0]), abs(extremes[1]))


@njit(**EXACT)
def _largest(extremes: Any, lone: Doubles, pairs: int) -> float:
    """The largest magnitude of a side."""
    largest = _magnitude(extremes) if pairs else 0.0
    for i in range(lone.shape[0]):
        largest = max(largest, abs(lone[i]))
    return largest


@njit(**EXACT)
def _add_lone(values: Doubles, exponent: int, minimum: int, sums: Doubles) -> None:
    """Values without a finite partner count for the range and the total of their own side."""
    for i in range(values.shape[0]):
        sums[minimum] = min(sums[minimum], values[i])
        sums[minimum + 1] = max(sums[minimum + 1], values[i])
        sums[minimum + 2] += math.ldexp(values[i], -exponent)


@njit(**EXACT)
def _add_block(
    golden: Doubles,
    golden_range: Any,
    lone_golden: Doubles,
    my: Doubles,
    my_range: Any,
    lone_my: Doubles,
    difference: Doubles,
    plain: bool,
    summed: Sums,
    positions: Any,
    first: int,
    thresholds: Thresholds,
    room: Room,
    results: Results,
) -> float:
    """Add finite pairs and lone values; the largest |d|.

    `summed` are the sums of a plain block; positions is empty where pair i is element i.
    """
    counts, sums = results.counts, results.sums
    pairs = golden.shape[0]
    equal, mismatched, largest = tolerances64(golden, difference, thresholds.atol, thresholds.rtol)
    choose_exponents(
        _largest(golden_range, lone_golden, pairs),
        _largest(my_range, lone_my, pairs),
        largest,
        results,
    )
    _add_lone(lone_golden, counts[SLOTS.golden_exponent], SLOTS.golden_minimum, sums)
    _add_lone(lone_my, counts[SLOTS.my_exponent], SLOTS.my_minimum, sums)
    if pairs == 0:
        return 0.0
    span(SLOTS.golden_minimum, golden_range[0], golden_range[1], sums)
    span(SLOTS.my_minimum, my_range[0], my_range[1], sums)
    counts[SLOTS.equal] += equal
    counts[SLOTS.mismatched] += mismatched
    if counts[SLOTS.worst_index] < 0 or largest > sums[SLOTS.difference_max]:
        place = place64(difference, largest)
        add_worst(largest, first + (positions[place] if positions.shape[0] else place), results)
    _add_scaled(golden, my, difference, largest, plain, summed, thresholds, room, results)
    if thresholds.parts.softmax:
        if is_shallow(golden_range, my_range, sums):
            add_shallow(golden, my, golden_range[1], my_range[1], sums)
        else:
            add_deep(golden, my, golden_range[1], my_range[1], sums)
    return largest


@njit(**EXACT)
def _add_scaled(
    golden: Doubles,
    my: Doubles,
    difference: Doubles,
    largest: float,
    plain: bool,
    summed: Sums,
    thresholds: Thresholds,
    room: Room,
    results: Results,
) -> None:
    """Add the sums, in the units that were chosen, and the ratios."""
    counts, sums = results.counts, results.sums
    exponent = counts[SLOTS.difference_exponent]
    golden_units, my_units, units = golden, my, difference
    plain = plain and exponent == counts[SLOTS.golden_exponent] == counts[SLOTS.my_exponent] == 0
    if counts[SLOTS.golden_exponent] != 0:
        golden_units = scaled(golden, counts[SLOTS.golden_exponent], room.doubles[5])
    if counts[SLOTS.my_exponent] != 0:
        my_units = scaled(my, counts[SLOTS.my_exponent], room.doubles[6])
    if exponent != 0:
        if largest == np.inf:
            units = room.doubles[9][: golden.shape[0]]
            half_differences64(golden, my, math.ldexp(1.0, 1 - OVERFLOW), units)
        else:
            units = scaled(difference, exponent, room.doubles[9])
    if not plain:
        summed = sums64(golden_units, my_units, units)
    add_sums(golden.shape[0], summed, results)
    if not thresholds.parts.relative:
        return
    count, one, five, ratio_total, ratio_max, above_total, above_max = ratios64(
        golden, difference, thresholds.epsilon
    )
    if exponent != 0:
        above_total = above_total64(golden, units, thresholds.epsilon)
    counts[SLOTS.relative_count] += count
    counts[SLOTS.within_thousandth] += one
    counts[SLOTS.within_five_thousandths] += five
    sums[SLOTS.relative_total] += ratio_total
    sums[SLOTS.relative_max] = max(sums[SLOTS.relative_max], ratio_max)
    sums[SLOTS.above_total] += above_total
    sums[SLOTS.above_max] = max(sums[SLOTS.above_max], above_max)
