"""The tables of a whole pair reduced to the few numbers of its evidence.

Sums are added in the order in which NumPy adds them, so that they are the same ones.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from ait_cmp.engine.evidence import (
    FAINT,
    FULL_CHANNEL,
    FULL_LINE,
    LIVING,
    MOST,
    NEAR,
    SLOTS,
    TINY,
    USUAL,
    WEIGHTY,
    WITHOUT_ONE,
    WITHOUT_TWO,
    ZERO,
)
from ait_cmp.engine.kernel.abi.arguments import Results, Room
from ait_cmp.engine.kernel.abi.flags import EXACT, Counts, Doubles

__all__ = ["reduce_slices"]

_COUNT, _GOLDEN_SQUARES, _SQUARES, _PRODUCTS, _TOTAL = range(5)  # rows of `engine.slices.Table`
_LANES, _LEAF = 8, 128  # of NumPy's pairwise summation
_VIEW = 4  # bins that agree on something


def reduce_slices(
    lines: Doubles,
    channels: Doubles,
    differences: Doubles,
    golden: Doubles,
    indices: Counts,
    line_count: int,
    line_width: int,
    channel_count: int,
    channel_width: int,
    room: Room,
    results: Results,
) -> bool:
    """Fill in the evidence of the tables and the kept elements of `engine.slices.Slices`, of a
    tensor of so many lines and channels in bins of these widths; whether it tells more than the
    level.

    The errors of the kept elements, relative to golden around them, become the first row of
    scratch: which is the largest, the caller says.
    """
    found, errors = results.sums, room.doubles[0]
    count = _sum(lines[_COUNT])
    squares = _sum(lines[_SQUARES])
    golden_squares = _sum(lines[_GOLDEN_SQUARES])
    results.counts[SLOTS.count] = np.int64(count)
    found[SLOTS.level] = _level(squares, golden_squares)
    if not (abs(squares) < np.inf and 0.0 < golden_squares < np.inf):
        return False
    rms = math.sqrt(golden_squares / count)
    found[SLOTS.rms] = rms
    row = room.doubles[1]
    found[SLOTS.scale] = _common(_slope(channels, row), _slope(lines, row))
    found[SLOTS.offset] = _common(_shift(channels, rms, row), _shift(lines, rms, row))
    _add_span(channels, rms, channel_width, channel_count, SLOTS.channel_error, row, results)
    _add_span(lines, rms, line_width, line_count, SLOTS.line_error, row, results)
    without = int(count >= WITHOUT_ONE) + int(count >= WITHOUT_TWO)
    found[SLOTS.rest] = _rest(squares, differences, without, golden_squares)
    found[SLOTS.typical] = _typical(lines, row)
    _add_dead(channels, channel_width, channel_count, SLOTS.dead_channels_first, row, results)
    _add_dead(lines, line_width, line_count, SLOTS.dead_lines_first, row, results)
    kept = differences, indices, channel_count, channel_width, line_width
    _add_rests(lines, channels, rms, kept, room, results)
    for i in range(indices.shape[0]):
        around = max(
            _mean_square(channels, indices[i] % channel_count // channel_width),
            _mean_square(lines, indices[i] // channel_count // line_width),
        )
        power = golden[i] * golden[i] + max(around, rms * rms)
        errors[i] = abs(differences[i]) / math.sqrt(power)
    return True


@njit(**EXACT)
def _sum(values: Any) -> float:
    """NumPy's pairwise sum."""
    size = values.shape[0]
    if size > _LEAF:
        half = size // 2 - size // 2 % _LANES
        return _sum(values[:half]) + _sum(values[half:])
    if size < _LANES:
        total = 0.0
        for i in range(size):
            total += values[i]
        return total
    a, b, c, d = values[0], values[1], values[2], values[3]
    e, f, g, h = values[4], values[5], values[6], values[7]
    for i in range(_LANES, size - size % _LANES, _LANES):
        a += values[i]
        b += values[i + 1]
        c += values[i + 2]
        d += values[i + 3]
        e += values[i + 4]
        f += values[i + 5]
        g += values[i + 6]
        h += values[i + 7]
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for i in range(size - size % _LANES, size):
        total += values[i]
    return total


@njit(**EXACT)
def _level(squares: float, golden_squares: float) -> float:
    if golden_squares > 0.0:
        return math.sqrt(squares / golden_squares)
    return np.inf if squares > 0.0 else 0.0


@njit(**EXACT)
def _rest(squares: float, differences: Any, without: int, golden_squares: float) -> float:
    """The level without the largest errors, so many of them."""
    for i in range(min(without, differences.shape[0])):
        squares -= differences[i] * differences[i]
    return math.sqrt(max(squares, 0.0) / golden_squares)


@njit(**EXACT)
def _typical(lines: Any, row: Doubles) -> float:
    """What three quarters of the lines stay below, each in its own size; faint ones are none."""
    bins = lines.shape[1]
    least = FAINT * _quantile(lines[_GOLDEN_SQUARES], 4, row)
    kept = 0
    for i in range(bins):
        size = lines[_GOLDEN_SQUARES, i]
        if size > least:
            row[kept] = math.sqrt(lines[_SQUARES, i] / size)
            kept += 1
    return _ranked(row, kept, kept - 1 - kept // 4) if kept else 0.0


@njit(**EXACT)
def _quantile(values: Any, part: int, row: Doubles) -> float:
    """What one in so many of those above 0 stays below; 0.0 where none are."""
    kept = 0
    for i in range(values.shape[0]):
        if values[i] > 0.0:
            row[kept] = values[i]
            kept += 1
    return _ranked(row, kept, kept // part) if kept else 0.0


@njit(**EXACT)
def _add_dead(
    table: Any, width: int, total: int, slot: int, row: Doubles, results: Results
) -> None:
    """The slices of a usual size that are zero in my, as a `Dead` from this slot on."""
    results.counts[slot] = -1
    bins = table.shape[1]
    if bins < _VIEW:
        return
    least = USUAL * _quantile(table[_GOLDEN_SQUARES], 2, row)
    usual = dead = 0
    first = -1
    for i in range(bins):
        golden = table[_GOLDEN_SQUARES, i]
        if golden <= least or table[_COUNT, i] < LIVING:
            continue
        usual += 1
        if golden + 2.0 * table[_PRODUCTS, i] + table[_SQUARES, i] < ZERO * golden:
            first = i if first < 0 else first
            dead += 1
    if 0 < dead < MOST * usual:
        results.counts[slot] = first * width
        results.counts[slot + 1] = min(dead * width, total)


@njit(**EXACT)
def _add_rests(
    lines: Any, channels: Any, rms: float, kept: Any, room: Room, results: Results
) -> None:
    """The errors of the worst channel and line without the largest element of each."""
    differences, indices, channel_count, channel_width, line_width = kept
    found, row, places = results.sums, room.doubles[1], room.positions
    for i in range(indices.shape[0]):
        places[i] = indices[i] % channel_count // channel_width
    worst = found[SLOTS.channel_error], differences, places
    found[SLOTS.channel_rest] = _rest_of_worst(channels, rms, FULL_CHANNEL, worst, row)
    for i in range(indices.shape[0]):
        places[i] = indices[i] // channel_count // line_width
    worst = found[SLOTS.line_error], differences, places
    found[SLOTS.line_rest] = _rest_of_worst(lines, rms, FULL_LINE, worst, row)


@njit(**EXACT)
def _rest_of_worst(table: Any, rms: float, full: int, worst: Any, row: Doubles) -> float:
    """The error of the worst bin without the largest element of each; bins with fewer elements
    than a full one are as they are."""
    error, differences, places = worst
    kept = differences.shape[0]
    bins = table.shape[1]
    if error == 0.0 or bins < 2:
        return error
    for i in range(bins):
        row[i] = table[_SQUARES, i]
    for i in range(kept):
        bin_, first = places[i], True
        for j in range(i):
            first = first and places[j] != bin_
        if first and table[_COUNT, bin_] >= full:
            row[bin_] = max(row[bin_] - differences[i] * differences[i], 0.0)
    largest = 0.0
    for i in range(bins):
        if table[_COUNT, i] >= 2.0:
            n = table[_COUNT, i]
            size = row[i] / n / (table[_GOLDEN_SQUARES, i] / n + rms * rms)
            largest = max(largest, math.sqrt(size))
    return largest


@njit(**EXACT)
def _mean_square(table: Any, at: int) -> float:
    return table[_GOLDEN_SQUARES, at] / max(table[_COUNT, at], 1.0)


@njit(**EXACT)
def _slope(table: Any, row: Doubles) -> Any:
    """What three quarters of the bins agree on of the regression of d on g."""
    least = _least_weight(table[_GOLDEN_SQUARES])
    kept = 0
    for i in range(table.shape[1]):
        weight = table[_GOLDEN_SQUARES, i]
        if weight > least:
            row[kept] = table[_PRODUCTS, i] / max(weight, TINY)
            kept += 1
    return _agreed(row, kept)


@njit(**EXACT)
def _shift(table: Any, rms: float, row: Doubles) -> Any:
    """What three quarters of the bins agree on of the mean of d, over golden's rms."""
    least = _least_weight(table[_COUNT])
    kept = 0
    for i in range(table.shape[1]):
        weight = table[_COUNT, i]
        if weight > least:
            row[kept] = table[_TOTAL, i] / max(weight, 1.0) / rms
            kept += 1
    return _agreed(row, kept)


@njit(**EXACT)
def _least_weight(weights: Any) -> float:
    return WEIGHTY / weights.shape[0] * _sum(weights)


@njit(**EXACT)
def _agreed(row: Doubles, kept: int) -> Any:
    """Whether enough bins are there to agree, and on what: 0.0 where they do not."""
    if kept < _VIEW:
        return False, 0.0
    low = _ranked(row, kept, kept // 4)
    high = _ranked(row, kept, kept - 1 - kept // 4)
    if low <= 0.0 <= high:
        return True, 0.0
    return True, low if low > 0.0 else high


@njit(**EXACT)
def _common(one: Any, two: Any) -> float:
    """What both views agree on, or the only one that tells; the lesser of the two, else 0.0."""
    (one_tells, first), (two_tells, second) = one, two
    if not one_tells:
        first = second
    if not two_tells:
        second = first
    if min(first, second) <= 0.0 <= max(first, second):
        return 0.0
    return first if abs(first) <= abs(second) else second


@njit(**EXACT)
def _ranked(row: Doubles, size: int, rank: int) -> float:
    """The value of this rank among the first ones of a row, which change places."""
    low, high = 0, size - 1
    while low < high:
        pivot = row[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while row[i] < pivot:
                i += 1
            while pivot < row[j]:
                j -= 1
            if i <= j:
                row[i], row[j] = row[j], row[i]
                i += 1
                j -= 1
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            break
    return row[rank]


@njit(**EXACT)
def _add_span(
    table: Any, rms: float, width: int, total: int, slot: int, row: Doubles, results: Results
) -> None:
    """The bins of the largest error, as a `Span` from this slot on."""
    found, whole = results.sums, results.counts
    whole[slot + 4] = total
    bins, worst = table.shape[1], 0
    for i in range(bins):
        n = max(table[_COUNT, i], 1.0)
        row[i] = math.sqrt(table[_SQUARES, i] / n / (table[_GOLDEN_SQUARES, i] / n + rms * rms))
        if row[i] > row[worst]:
            worst = i
    # The error of one element is the peak's; a bin that is nearly empty says no more.
    if row[worst] == 0.0 or table[_COUNT, worst] < 2.0:
        return
    error, near, first, last = row[worst], 0, -1, 0
    for i in range(bins):
        if row[i] >= NEAR * error:
            first = i if first < 0 else first
            last = i
            row[near] = table[_SQUARES, i]  # what stood there has been read
            near += 1
    beyond = max(0, (last + 1) * width - total)  # of the last bin, which may be narrower
    found[slot] = error
    whole[slot + 1] = first * width
    whole[slot + 2] = (last + 1) * width - beyond - 1
    whole[slot + 3] = near * width - beyond
    found[slot + 5] = _sum(row[:near]) / _sum(table[_SQUARES])
