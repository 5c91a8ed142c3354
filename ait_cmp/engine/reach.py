"""Slices of a pair of float64 whose squares are out of float64's reach.

Of magnitudes beyond 2**400 a table's sums are nan, and of those below 2**-400 they may be 0, so
that no part of the tensor would tell. Such a pair is read again, in units of a power of two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np

from ait_cmp.engine import BLOCK, ENGINES, Options
from ait_cmp.engine.kernel import widen
from ait_cmp.engine.kernel.abi.tables import grid
from ait_cmp.engine.slices import Bins, Slices, Values
from ait_cmp.engine.stats import Stats
from ait_cmp.source import Source
from ait_cmp.values.dtypes import DTYPES, DType

__all__ = ["is_out_of_reach", "slices_in_reach"]

_FLOAT64 = DTYPES["float64"]
_LEAST = 2.0**-700  # of a sum of squares that is exact enough


class _Typed(Protocol):
    @property
    def dtype(self) -> DType: ...


def is_out_of_reach(golden: _Typed, my: _Typed, stats: Stats) -> bool:
    """Whether the slices of a whole pair do not tell what they should."""
    if _FLOAT64 not in (golden.dtype, my.dtype) or stats.slices is None or not stats.pairs:
        return False
    total = float(stats.slices.lines.sums[1:3].sum())
    nonzero = stats.golden.has_nonzero or stats.my.has_nonzero
    return math.isnan(total) or (total < _LEAST and nonzero)


def slices_in_reach(golden: Source, my: Source, options: Options, slices: Slices) -> Slices:
    """What `slices` of the whole pair should be, in units of a power of two; all that is no sum
    is as it was."""
    bins = Bins.of(golden.shape)
    largest = 0.0
    for _, one, two in _plain(golden, my, bins):
        largest = np.nanmax((np.abs(one), np.abs(two)), initial=largest)
    if largest == 0.0:
        return slices
    exponent = math.frexp(largest)[1]
    accumulation = ENGINES["numba"](_FLOAT64, _FLOAT64, options, bins)
    for start, one, two in _plain(golden, my, bins):
        accumulation.add(np.ldexp(one, -exponent), np.ldexp(two, -exponent), start)
    found = accumulation.stats().slices
    assert found is not None
    return replace(
        slices, lines=found.lines, channels=found.channels, top=found.top, exponent=exponent
    )


def _plain(golden: Source, my: Source, bins: Bins) -> Iterator[tuple[int, Values, Values]]:
    """Blocks of both sides, with nan for what slices leave out: it is then alike, and no sum."""
    saturation = grid(golden.dtype, my.dtype, bins).saturation
    for start in range(0, golden.elements, BLOCK):
        stop = min(start + BLOCK, golden.elements)
        one, two = (
            np.asarray(widen(side.read(start, stop), side.dtype), np.float64).reshape(-1)
            for side in (golden, my)
        )
        saturated = (np.minimum(np.abs(one), np.abs(two)) >= saturation) & (
            np.signbit(one) == np.signbit(two)
        )
        left_out = saturated | ~np.isfinite(one) | ~np.isfinite(two)
        yield start, np.where(left_out, np.nan, one), np.where(left_out, np.nan, two)
