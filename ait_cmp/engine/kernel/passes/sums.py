"""The sums over a block: one more is added here, and named in `engine.stats`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from ait_cmp.engine.kernel.abi.arguments import COARSE, Grid, Results
from ait_cmp.engine.kernel.abi.flags import BLOCK, EXACT, LANES, Doubles
from ait_cmp.engine.stats import SLOTS

__all__ = ["Sums", "add_sums", "no_sums", "run_from", "sum_runs", "sums64"]


class Sums(NamedTuple):
    """The sums over the finite pairs of a block, of `engine.stats.Stats`."""

    golden_squares: float
    my_squares: float
    products: float
    difference_squares: float
    golden_total: float
    my_total: float
    difference_total: float


@njit(**EXACT)
def no_sums() -> Sums:
    """Those of nothing."""
    return Sums(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@njit(**EXACT)
def add_sums(pairs: int, found: Sums, results: Results) -> None:
    """Add the counts and sums over so many finite pairs."""
    counts, sums = results.counts, results.sums
    counts[SLOTS.pairs] += pairs
    counts[SLOTS.golden_finite] += pairs
    counts[SLOTS.my_finite] += pairs
    sums[SLOTS.golden_squares] += found.golden_squares
    sums[SLOTS.my_squares] += found.my_squares
    sums[SLOTS.products] += found.products
    sums[SLOTS.difference_squares] += found.difference_squares
    sums[SLOTS.golden_total] += found.golden_total
    sums[SLOTS.my_total] += found.my_total
    sums[SLOTS.difference_total] += found.difference_total


@njit(**EXACT)
def sum_runs(golden: Any, my: Any, index: int, grid: Grid, runs: Doubles) -> Any:
    """Sums over a block, and those of its runs, one to a bin, in rows of scratch."""
    golden_squares = products = squares = golden_total = difference_total = total = 0.0
    elements, at, run = golden.shape[0], 0, 0
    while at < elements:
        stop = min(at + run_from(index + at, grid)[2], elements)
        gg, dd, gd, g, d, magnitudes = _sums(golden[at:stop], my[at:stop])
        runs[0, run], runs[1, run], runs[2, run], runs[3, run] = gg, dd, gd, d
        golden_squares += gg
        squares += dd
        products += gd
        golden_total += g
        difference_total += d
        total += magnitudes
        at = stop
        run += 1
    if squares <= 0.25 * golden_squares:
        # No digits are lost where the error is the smaller part.
        my_squares = golden_squares + 2.0 * products + squares
        products += golden_squares
        my_total = golden_total + difference_total
    else:
        my_squares, products, my_total = _my_sums(golden, my)
    return Sums(golden_squares, my_squares, products, squares, golden_total, my_total, total)


@njit(**LANES)
def _sums(golden: Any, my: Any) -> Any:
    """Σg², Σd², Σgd, Σg, Σd and Σ|d| in float64."""
    gg = dd = gd = golden_total = difference_total = total = 0.0
    for i in range(golden.shape[0]):
        g = np.float64(golden[i])
        d = np.float64(my[i]) - g
        gg += g * g
        dd += d * d
        gd += g * d
        golden_total += g
        difference_total += d
        total += abs(d)
    return gg, dd, gd, golden_total, difference_total, total


@njit(**LANES)
def _my_sums(golden: Any, my: Any) -> Any:
    """Σm², Σgm and Σm in float64."""
    mm = gm = my_total = 0.0
    for i in range(golden.shape[0]):
        g, m = np.float64(golden[i]), np.float64(my[i])
        mm += m * m
        gm += g * m
        my_total += m
    return mm, gm, my_total


@njit(**LANES)
def sums64(golden: Doubles, my: Doubles, difference: Doubles) -> Any:
    """The sums of values and differences in units of their own."""
    gg = mm = gm = dd = golden_total = my_total = total = 0.0
    for i in range(golden.shape[0]):
        g, m, d = golden[i], my[i], difference[i]
        gg += g * g
        mm += m * m
        gm += g * m
        dd += d * d
        golden_total += g
        my_total += m
        total += abs(d)
    return Sums(gg, mm, gm, dd, golden_total, my_total, total)


@njit(**EXACT)
def run_from(index: int, grid: Grid) -> Any:
    """The bins of an element, and how many from it on are in the same ones; of channels only
    where they are coarse."""
    if grid.channels == 0:
        return 0, 0, BLOCK
    line = index // grid.line
    length = (line + 1) * grid.line - index
    if grid.shift < COARSE:
        return line, 0, length
    column = index % grid.channels
    channel = column >> grid.shift
    return line, channel, min(length, min((channel + 1) << grid.shift, grid.channels) - column)
