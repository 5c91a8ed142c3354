"""The arrays behind `Slices`: made for a pair of tensors, and given their names in the end."""

from __future__ import annotations

import math

import numpy as np

from ait_cmp.engine.kernel.abi.arguments import (
    CLIPPED,
    CLIPPED_FIRST,
    COARSE,
    GOLDEN_BITS,
    GRIDDED,
    LANES,
    MARKS,
    MY_BITS,
    SATURATED,
    Grid,
    Tables,
)
from ait_cmp.engine.slices import TOP, Bins, Slices, Table, Top
from ait_cmp.values.dtypes import DType

__all__ = ["empty", "grid", "slices"]

_ADDENDS = 1024  # of a slot: their sum in float32 is off by 2**-14 at most
_PERIOD = 256  # slots, where lines are shorter
_SIGNIFICAND = 23  # bits of float32's
_SATURATED = 0.99


_NO_GRID = Grid(0, 0, 0, 0, 0, False, 0, 0, *(0.0,) * 5)


def grid(golden: DType, my: DType, bins: Bins | None, huge: float = math.inf) -> Grid:
    """How the compiled loops see `bins`; no channels where nothing is wanted.

    What is `huge` on both sides is left out, as what stands for infinity is.
    """
    if bins is None or bins.channels == 0:
        return _NO_GRID
    channels, width = bins.channels, bins.channel_width
    period = channels * max(1, _PERIOD // channels)
    return Grid(
        channels=channels,
        line=bins.line_width * channels,
        shift=width.bit_length() - 1,
        period=period,
        # The first and last line or period of a run of blocks may be parts of one.
        patience=(_ADDENDS - 2) * period
        if width == 1
        else (_ADDENDS * LANES // width - 2) * channels,
        wide=golden.is_wide or my.is_wide,
        golden_bits=_bits(golden),
        my_bits=_bits(my),
        saturation=min(_SATURATED * golden.largest, _SATURATED * my.largest, huge),
        golden_end=_SATURATED * golden.largest,
        my_end=_SATURATED * my.largest,
        my_largest=my.largest,
        my_beyond=my.largest + _half_a_step(my),
    )


def _half_a_step(dtype: DType) -> float:
    """Of the largest values of a floating type, 0.0 of an exact one."""
    return math.ldexp(dtype.roundoff, math.frexp(dtype.largest)[1] - 1)


def _bits(dtype: DType) -> int:
    """The bits of a float32 significand that values of a type can use."""
    unused = max(_SIGNIFICAND + 1 - dtype.digits, 0)
    return (1 << _SIGNIFICAND) - (1 << unused)


def empty(bins: Bins | None, grid: Grid) -> Tables:
    """The tables of a range without elements."""
    line_bins, channel_bins = (bins.line_bins, bins.channel_bins) if bins else (0, 0)
    slots = 0
    if grid.shift == 0:
        slots = grid.period
    elif grid.shift < COARSE:
        slots = channel_bins * LANES
    return Tables(
        np.zeros((5, line_bins)),
        np.zeros((5, channel_bins)),
        np.zeros((4, 0 if grid.wide else slots), np.float32),
        np.zeros((4, slots if grid.wide else 0)),
        np.zeros((2, TOP)),
        np.full(TOP, -1, np.int64),
        np.zeros(MARKS, np.int64),
    )


def slices(tables: Tables) -> Slices:
    """The tables by name."""
    marks = tables.marks.tolist()
    found = TOP - tables.indices.tolist().count(-1)
    differences, golden = tables.top[:, :found]
    return Slices(
        Table(tables.lines),
        Table(tables.channels),
        Top(differences, golden, tables.indices[:found]),
        golden_bits=marks[GOLDEN_BITS],
        my_bits=marks[MY_BITS],
        gridded=marks[GRIDDED],
        nonfinite_saturated=marks[SATURATED],
        clipped=marks[CLIPPED],
        clipped_first=marks[CLIPPED_FIRST] if marks[CLIPPED] else -1,
    )
