"""What the compiled loops are given, by name."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.kernel.flags import ROW, Counts, Doubles, Singles
from ait_cmp.engine.kernel.options import Options

__all__ = [
    "COARSE",
    "GOLDEN_BITS",
    "GRIDDED",
    "LANES",
    "MARKS",
    "MY_BITS",
    "PENDING",
    "SATURATED",
    "Grid",
    "Limits",
    "Results",
    "Room",
    "Storage",
    "Tables",
    "limits",
    "room",
]

LANES = 8  # float32 in a vector
COARSE = 8  # the shift of bins so wide that runs of them are summed one by one
GOLDEN_BITS, MY_BITS, GRIDDED, SATURATED, PENDING, MARKS = range(6)  # of `Tables.marks`


class Storage(NamedTuple):
    """How the bytes of one side are to be read."""

    kind: int
    itemsize: int


class Limits(NamedTuple):
    """What elements are compared with, and what is wanted of them."""

    epsilon: float
    atol: float
    rtol: float
    # For float32 lanes: |g| > epsilon is |g| > epsilon32, and a difference is surely within
    # the low tolerance, surely beyond the high one, and decided in float64 in between.
    epsilon32: np.float32
    atol_low: np.float32
    rtol_low: np.float32
    atol_high: np.float32
    rtol_high: np.float32
    exact: bool  # whether float32 differences are
    relative: bool
    softmax: bool


class Room(NamedTuple):
    """Scratch rows for one block; the caller's, since the loops allocate nothing."""

    singles: Singles
    doubles: Doubles
    positions: npt.NDArray[np.int32]


class Results(NamedTuple):
    """The arrays that `slots` describes."""

    counts: Counts
    sums: Doubles


class Grid(NamedTuple):
    """How flat indices fall into the bins of `engine.slices.Layout`; no channels: not wanted."""

    channels: int
    line: int  # elements of a bin of lines
    shift: int  # of a channel for its bin
    period: int  # elements after which their slots repeat
    patience: int  # elements that may be added to the slots before they are folded
    golden_bits: int  # all that its type can use
    my_bits: int
    saturation: float


class Tables(NamedTuple):
    """What becomes `engine.slices.Slices`."""

    lines: Doubles
    channels: Doubles
    slots: Singles
    top: Doubles  # d, g
    indices: Counts  # -1 where there is none
    marks: Counts


_MARGIN = 2.0**-20  # comparisons in float32 closer than this are decided again in float64


def limits(options: Options, *, exact: bool) -> Limits:
    """Limits for tolerances of any size."""
    atol, rtol = options.atol, options.rtol
    small, large = 2.0**-100, 2.0**20
    in_range = small <= atol <= large and (rtol == 0.0 or small <= rtol <= large)
    if in_range or atol == rtol == 0.0:
        low, high = 1 - _MARGIN, 1 + _MARGIN
        bracket = (atol * low, rtol * low, atol * high, rtol * high)
    else:
        # Every pair is beyond the low tolerance and none beyond the high one: never decided
        # in float32.
        bracket = (-1.0, 0.0, math.inf, 0.0)
    atol_low, rtol_low, atol_high, rtol_high = map(np.float32, bracket)
    return Limits(
        epsilon=options.epsilon,
        atol=atol,
        rtol=rtol,
        epsilon32=_float32_below(options.epsilon),
        atol_low=atol_low,
        rtol_low=rtol_low,
        atol_high=atol_high,
        rtol_high=rtol_high,
        exact=exact,
        relative=options.relative,
        softmax=options.softmax,
    )


def _float32_below(value: float) -> np.float32:
    """The largest float32 up to value."""
    nearest = np.float32(value)
    return np.nextafter(nearest, np.float32(-np.inf)) if float(nearest) > value else nearest


def room() -> Room:
    """Scratch for one thread."""
    return Room(
        np.empty((8, ROW), np.float32), np.empty((10, ROW), np.float64), np.empty(ROW, np.int32)
    )
