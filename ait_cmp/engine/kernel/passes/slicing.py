"""What a block adds to the sums by line and channel, the largest errors and the bits in use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ait_cmp.engine.kernel.abi.arguments import (
    CLIPPED,
    CLIPPED_FIRST,
    COARSE,
    GOLDEN_BITS,
    GRIDDED,
    MY_BITS,
    SATURATED,
    Grid,
    Tables,
)
from ait_cmp.engine.kernel.abi.flags import EXACT, Doubles, Singles
from ait_cmp.engine.kernel.passes.doubles import exceeds64
from ait_cmp.engine.kernel.passes.singles import bits32
from ait_cmp.engine.kernel.passes.sums import run_from

__all__ = [
    "add_bits",
    "add_counts",
    "add_each",
    "add_runs",
    "add_top",
    "is_plain",
    "knows_bits",
]

# Float32 lanes take squares of magnitudes up to the largest of these, if not all of a block
# are below the least.
_LEAST, _LARGEST = 2.0**-40, 2.0**50
_PART = 64  # elements that are looked at together for the largest errors
_REACH = 2.0**400  # squares of float64 up to here stay in range, in any number


@njit(**EXACT)
def is_plain(reach: float, golden_range: Any, my_range: Any, grid: Grid) -> bool:
    """Whether a block of finite elements of magnitudes up to `reach` needs no second look."""
    in_range = reach <= _REACH if grid.wide else reach == 0.0 or _LEAST <= reach <= _LARGEST
    return in_range and not _is_saturated(golden_range, my_range, grid)


@njit(**EXACT)
def _is_saturated(golden_range: Any, my_range: Any, grid: Grid) -> bool:
    """Whether both sides have elements at the same end of the range."""
    golden_low, golden_high = golden_range
    my_low, my_high = my_range
    return (golden_high >= grid.saturation and my_high >= grid.saturation) or (
        golden_low <= -grid.saturation and my_low <= -grid.saturation
    )


@njit(**EXACT)
def add_runs(elements: int, index: int, grid: Grid, runs: Doubles, tables: Tables) -> None:
    """Add what `sum_runs` found in a block that turned out to be plain."""
    at, run = 0, 0
    while at < elements:
        line, channel, length = run_from(index + at, grid)
        found = runs[0, run], runs[1, run], runs[2, run], runs[3, run]
        _add_row(tables.lines, line, *found)
        if grid.shift >= COARSE:
            _add_row(tables.channels, channel, *found)
        at += length
        run += 1


@njit(**EXACT)
def _add_row(table: Doubles, row: int, gg: float, dd: float, gd: float, d: float) -> None:
    table[1, row] += gg
    table[2, row] += dd
    table[3, row] += gd
    table[4, row] += d


@njit(**EXACT)
def add_top(golden: Any, my: Any, index: int, tables: Tables) -> None:
    """Add the largest errors of a plain block. The caller asks first whether there are any: a
    call that is made for every block costs a tenth of all."""
    least = abs(tables.top[0, -1])
    for at in range(0, golden.shape[0], _PART):
        stop = min(at + _PART, golden.shape[0])
        if not exceeds64(golden[at:stop], my[at:stop], least):
            continue
        for i in range(at, stop):
            g = np.float64(golden[i])
            _add_top(np.float64(my[i]) - g, g, index + i, tables)


@njit(**EXACT)
def _add_top(difference: float, golden: float, index: int, tables: Tables) -> None:
    """Indices ascend, so that the first of ties stays first."""
    top, indices = tables.top, tables.indices
    place = top.shape[1] - 1
    if not abs(difference) > abs(top[0, place]):
        return
    while place > 0 and abs(difference) > abs(top[0, place - 1]):
        top[0, place], top[1, place] = top[0, place - 1], top[1, place - 1]
        indices[place] = indices[place - 1]
        place -= 1
    top[0, place], top[1, place] = difference, golden
    indices[place] = index


@njit(**EXACT)
def add_each(golden: Any, my: Any, index: int, grid: Grid, tables: Tables) -> None:
    """Add any block, element by element in float64; those that are not plain are counted off."""
    lines, channels = tables.lines, tables.channels
    line, column = index // grid.line, index % grid.channels
    line_end = (line + 1) * grid.line - index
    for i in range(golden.shape[0]):
        if i == line_end:
            line += 1
            line_end += grid.line
        channel = column >> grid.shift
        column = column + 1 if column + 1 < grid.channels else 0
        g, m = np.float64(golden[i]), np.float64(my[i])
        finite, my_finite = abs(g) < np.inf, abs(m) < np.inf
        # False where one of them is nan.
        saturated = abs(g) >= grid.saturation and abs(m) >= grid.saturation and (g < 0) == (m < 0)
        if saturated or not (finite and my_finite):
            _mark_ends(abs(g), abs(m), saturated, index + i, grid, tables)
            lines[0, line] -= 1.0
            channels[0, channel] -= 1.0
            continue
        d = m - g
        _add_top(d, g, index + i, tables)
        if max(abs(g), abs(m)) <= _REACH:
            _add_row(lines, line, g * g, d * d, g * d, d)
            _add_row(channels, channel, g * g, d * d, g * d, d)
        else:
            _add_row(lines, line, np.nan, np.nan, np.nan, np.nan)
            _add_row(channels, channel, np.nan, np.nan, np.nan, np.nan)


@njit(**EXACT)
def _mark_ends(g: float, m: float, same: bool, index: int, grid: Grid, tables: Tables) -> None:
    """Note magnitudes of one sign, if `same`, that are at the end of a range: both of their own,
    and one of them infinite; or my of its own, which is too small for golden."""
    if not same:
        return
    marks = tables.marks
    alike = g >= grid.golden_end and m >= grid.my_end
    if g == np.inf or m == np.inf:
        marks[SATURATED] += alike and g != m
    elif m >= grid.my_largest and g > grid.my_beyond and not alike:
        if marks[CLIPPED] == 0:
            marks[CLIPPED_FIRST] = index
        marks[CLIPPED] += 1


@njit(**EXACT)
def add_counts(start: int, stop: int, grid: Grid, tables: Tables) -> None:
    """Count the elements [start, stop) in their bins, as if all were plain."""
    if grid.channels == 0:
        return
    line = start // grid.line
    while line * grid.line < stop:
        end = min((line + 1) * grid.line, stop)
        tables.lines[0, line] += end - max(line * grid.line, start)
        line += 1
    counts = tables.channels[0]
    first, last = start % grid.channels, stop % grid.channels
    lines = stop // grid.channels - start // grid.channels
    for channel in range(counts.shape[0]):
        low = channel << grid.shift
        high = min((channel + 1) << grid.shift, grid.channels)
        above = min(max(last, low), high) - min(max(first, low), high)
        counts[channel] += lines * (high - low) + above


@njit(**EXACT)
def knows_bits(grid: Grid, tables: Tables) -> bool:
    """Whether all bits that significands can use are known to be in use."""
    marks = tables.marks
    return marks[GOLDEN_BITS] == grid.golden_bits and marks[MY_BITS] == grid.my_bits


@njit(**EXACT)
def add_bits(golden: Singles, my: Singles, grid: Grid, tables: Tables) -> None:
    """Note the bits that significands of a block use, until all are known to be in use."""
    marks = tables.marks
    if marks[GOLDEN_BITS] != grid.golden_bits:
        marks[GOLDEN_BITS] |= bits32(golden)[0]
    if marks[MY_BITS] != grid.my_bits:
        bits, count = bits32(my)
        marks[MY_BITS] |= bits
        marks[GRIDDED] += count
