"""What the slices of a whole pair show, in a few numbers: all that a verdict needs of them.

Nothing here is relative to a limit, so that a verdict can be taken again without the data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ait_cmp.engine.records import Record
from ait_cmp.engine.slices import Bins, Slices
from ait_cmp.engine.stats import Stats

__all__ = ["Dead", "Evidence", "Peak", "Span", "make_evidence"]

TINY = 1e-300  # the least that is divided by
_HIDDEN = 3.0  # times the rms of the usual elements hides them
NEAR = 0.25  # slices with this share of the worst one's error are named with it
WEIGHTY = 0.05  # slices with less of the mean weight have an error, but no scale of their own
# Elements of a slice from which the largest error of one is that element's alone, and of a tensor
# from which that of one, and of two, is no part of its level.
FULL_CHANNEL, FULL_LINE = 16, 64
WITHOUT_ONE, WITHOUT_TWO = 512, 2048
FAINT = 1e-4  # lines with less of a low quartile of Σg² have no error of their own
USUAL = 0.1  # slices with this share of the median one's Σg², and so many elements, may be dead,
LIVING = 8
ZERO = 1e-3  # which they are with less of golden's Σg²,
MOST = 0.9  # unless more of them than this are


@dataclass(frozen=True, slots=True)
class Span:
    """The slices of the largest error: `first` to `last`, of which `count` of all `total`.

    `error` is the rms error of the worst bin over golden's rms, its own and the tensor's
    together; `share` is what part of Σd² the named slices hold.
    """

    error: float = 0.0
    first: int = 0
    last: int = 0
    count: int = 0
    total: int = 0
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Peak:
    """The element of the largest error, over golden's rms around it; `runner_up` is the next."""

    error: float = 0.0
    runner_up: float = 0.0
    index: int = -1  # flat
    golden: float = 0.0
    difference: float = 0.0


@dataclass(frozen=True, slots=True)
class Dead:
    """Slices that are zero in my alone: `count` of them, the first of which is `first`."""

    first: int = -1
    count: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """Errors of one pair, all relative to golden's size; over the `count` plain elements.

    `level` is √(Σd²/Σg²), `rms` golden's rms. `scale` is the factor, less 1, and `offset` the
    shift, over `rms`, that three quarters of the channels and of the lines share; 0.0 where
    they share none. `golden_bits` and `my_bits` are the significand bits in use, 1 to 24,
    `gridded` how many of my elements that was read from. `nonfinite_saturated` elements are
    infinite on one side and at the end of its own range on the other, with one sign. `clipped`
    elements of my are at the end of its range, which is too small for golden's value;
    `clipped_first` is the flat index of the first of them, -1 where there is none.

    What a lone element does not change: `rest` is the level without the one or two largest
    errors, `channel_rest` and `line_rest` are the errors of the worst channel and line without
    the largest element of each. `typical` is what the error of three quarters of the lines, over
    the line's own rms, stays below: a few huge lines do not hide it. `usual` is the evidence of
    the other elements, where a few are so huge that they hide them; see `engine.usual`.

    What is estimated of two fingerprints has `buckets` of a slice, else 0: Σd² of a slice is off by
    a share of √(2/buckets), that of the whole by `spread` (one standard deviation).
    """

    count: int
    level: float
    rms: float
    scale: float
    offset: float
    channel: Span
    line: Span
    peak: Peak
    golden_bits: int
    my_bits: int
    gridded: int
    nonfinite_saturated: int
    clipped: int
    clipped_first: int
    rest: float
    typical: float
    channel_rest: float
    line_rest: float
    dead_channels: Dead
    dead_lines: Dead
    buckets: int = 0
    spread: float = 0.0
    usual: Evidence | None = None

    def pack(self) -> bytes:
        """All of it, exactly."""
        return _RECORD.pack(self) + (self.usual.pack() if self.usual else b"")

    @staticmethod
    def unpack(packed: Any) -> Evidence:
        """The evidence of these bytes, or of any buffer of them. Raises struct.error if damaged."""
        usual = packed[len(_EMPTY) :]
        return _RECORD.unpack(packed[: len(_EMPTY)], Evidence.unpack(usual) if usual else None)


_RECORD = Record(Evidence)
SLOTS = _RECORD.slots  # where `kernel.loops.reduction` puts what it finds
_EMPTY = Evidence(
    0, 0.0, 0.0, 0.0, 0.0, Span(), Span(), Peak(), 0, 0, 0, 0, 0, -1, 0.0, 0.0, 0.0, 0.0,
    Dead(), Dead(),
).pack()  # fmt: skip


def make_evidence(
    stats: Stats, slices: Slices, shape: tuple[int, ...], *, few: bool = False
) -> Evidence:
    """The evidence of a whole pair of `shape`: its stats, and the slices among them, in `few` bins
    where they are of fingerprints.

    Where golden is zero, or squares are out of float64's reach, only the level tells.
    """
    # Imported on first use, since a process that only hands out work needs no numba.
    from ait_cmp.engine.kernel.reducer import reduce_to

    usual = None  # made first, since what the loops answer is valid until the next call
    if slices.usual and _hide(slices, slices.usual):
        usual = make_evidence(stats, slices.usual, shape, few=few)
    counts, sums, errors = reduce_to(_EMPTY, slices, Bins.of(shape, few=few))
    if not 0 < counts[SLOTS.count] < stats.pairs:
        sums[SLOTS.level] = _level(stats)
    elif math.isnan(slices.lines.squares.sum()):  # too large a pair for `engine.reach`
        sums[SLOTS.level] = math.inf
    if not (len(errors) or sums[SLOTS.rms]):  # only the level tells
        sums[SLOTS.rest] = sums[SLOTS.typical] = sums[SLOTS.level]
    top = slices.top
    if len(errors) and top.differences[0]:
        *others, worst = errors.argsort().tolist()
        sums[SLOTS.peak_error] = errors[worst]
        sums[SLOTS.peak_runner_up] = errors[others[-1]] if others else 0.0
        counts[SLOTS.peak_index] = top.indices[worst]
        sums[SLOTS.peak_golden] = top.golden[worst]
        sums[SLOTS.peak_difference] = top.differences[worst]
    if slices.exponent:
        with np.errstate(over="ignore"):  # a difference may be out of float64's range
            for slot in (SLOTS.rms, SLOTS.peak_golden, SLOTS.peak_difference):
                sums[slot] = np.ldexp(sums[slot], slices.exponent)
    counts[SLOTS.golden_bits] = _bits_in_use(slices.golden_bits)
    counts[SLOTS.my_bits] = _bits_in_use(slices.my_bits)
    counts[SLOTS.gridded] = slices.gridded
    counts[SLOTS.nonfinite_saturated] = slices.nonfinite_saturated
    counts[SLOTS.clipped] = slices.clipped
    counts[SLOTS.clipped_first] = slices.clipped_first
    return _RECORD.unpack(counts, usual)


def _hide(slices: Slices, usual: Slices) -> bool:
    """Whether all elements are so large that the usual ones do not count beside them."""
    whole, part = (
        one.lines.golden_squares.sum() / max(one.lines.count.sum(), 1) for one in (slices, usual)
    )
    if not (0 < part < math.inf and 0 < whole < math.inf):
        return False
    # Sums of the whole may be in units of their own: see `engine.reach`.
    ratio = math.log2(whole) - math.log2(part) + 2 * (slices.exponent - usual.exponent)
    return ratio > 2 * math.log2(_HIDDEN)


def _level(stats: Stats) -> float:
    """Over all finite pairs, from sums that have units of their own."""
    squares, golden_squares = stats.difference_squares, stats.golden_squares
    if not golden_squares:
        return math.inf if squares > 0 else 0.0
    level = math.sqrt(squares / golden_squares)
    exponent = stats.difference_exponent - stats.golden.exponent
    return level if level in (0.0, math.inf) else math.ldexp(level, exponent)


def _bits_in_use(bits: int) -> int:
    """Digits of a float32 significand of which these of the 23 stored bits are in use."""
    return 24 - ((bits & -bits).bit_length() - 1) if bits else 1
