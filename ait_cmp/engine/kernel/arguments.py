"""What the compiled loops are given, by name."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.kernel.flags import ROW, Counts, Doubles, Singles
from ait_cmp.engine.kernel.options import Options
from ait_cmp.engine.parts import Parts
from ait_cmp.engine.stats import EMPTY, SLOTS

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
    "Results",
    "Room",
    "Stored",
    "Tables",
    "Thresholds",
    "room",
    "thresholds",
]

LANES = 8  # float32 in a vector
COARSE = 8  # the shift of bins so wide that runs of them are summed one by one
GOLDEN_BITS, MY_BITS, GRIDDED, SATURATED, PENDING, MARKS = range(6)  # of `Tables.marks`


class Stored(NamedTuple):
    """How the bytes of one side are to be read."""

    kind: int
    itemsize: int


class Thresholds(NamedTuple):
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
    parts: Parts


class Room(NamedTuple):
    """Scratch rows for one block; the caller's, since the loops allocate nothing."""

    singles: Singles
    doubles: Doubles
    positions: npt.NDArray[np.int32]


class Results(NamedTuple):
    """The numbers of `Stats` in its order, at `SLOTS`: the same memory as whole numbers and as
    floats, each slot being read as one of them alone."""

    counts: Counts
    sums: Doubles

    @classmethod
    def of(cls, epsilon: float) -> Results:
        """Those of no elements."""
        counts = np.frombuffer(bytearray(EMPTY), np.int64)
        sums = counts.view(np.float64)
        sums[SLOTS.epsilon] = epsilon
        return cls(counts, sums)


class Grid(NamedTuple):
    """How flat indices fall into the bins of `engine.slices.Bins`; no channels: not wanted."""

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


def thresholds(options: Options, *, exact: bool) -> Thresholds:
    """Thresholds for tolerances of any size."""
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
    return Thresholds(
        epsilon=options.epsilon,
        atol=atol,
        rtol=rtol,
        epsilon32=_float32_below(options.epsilon),
        atol_low=atol_low,
        rtol_low=rtol_low,
        atol_high=atol_high,
        rtol_high=rtol_high,
        exact=exact,
        parts=options.parts,
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
