"""The stats of a pair: sums, counts and extrema that merge.

Stats of `[0, n)` equal the merge of the stats of its ranges, in any split (floating sums up
to rounding). Metrics are computed from them, last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from ait_cmp.engine.slices import Slices

__all__ = ["Side", "Softmax", "Stats"]


@dataclass(frozen=True, slots=True)
class Side:
    """One tensor over its own finite elements; `total` is in units of 2**exponent."""

    finite: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    total: float = 0.0
    exponent: int = 0

    @property
    def has_nonzero(self) -> bool:
        """Whether any finite element differs from zero."""
        return self.maximum > 0 or self.minimum < 0

    @property
    def mean(self) -> float | None:
        """The mean of the finite elements; None where there is none."""
        return math.ldexp(self.total / self.finite, self.exponent) if self.finite else None

    def merged(self, other: Side, exponent: int) -> Side:
        """Both ranges together, sums in units of 2**exponent."""
        return Side(
            self.finite + other.finite,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
            _rescale(self.total, self.exponent, exponent)
            + _rescale(other.total, other.exponent, exponent),
            exponent,
        )


@dataclass(frozen=True, slots=True)
class Softmax:
    """Running log-sum-exp sums of both sides, relative to the largest element so far.

    `golden_weight` is Σ exp(g - golden_peak), `my_weight` likewise, and `cross` is
    Σ exp(g - golden_peak) ((g - golden_peak) - (m - my_peak)).
    """

    golden_peak: float = -math.inf
    golden_weight: float = 0.0
    my_peak: float = -math.inf
    my_weight: float = 0.0
    cross: float = 0.0

    def __add__(self, other: Softmax) -> Softmax:
        golden_peak = max(self.golden_peak, other.golden_peak)
        my_peak = max(self.my_peak, other.my_peak)
        one = self._moved(golden_peak, my_peak)
        two = other._moved(golden_peak, my_peak)
        return Softmax(
            golden_peak,
            one.golden_weight + two.golden_weight,
            my_peak,
            one.my_weight + two.my_weight,
            one.cross + two.cross,
        )

    def _moved(self, golden_peak: float, my_peak: float) -> Softmax:
        if self.golden_weight == 0.0:
            return Softmax(golden_peak, 0.0, my_peak, 0.0, 0.0)
        golden_shift, my_shift = self.golden_peak - golden_peak, self.my_peak - my_peak
        scale = math.exp(golden_shift)
        shifted = self.cross + self.golden_weight * (golden_shift - my_shift) if scale else 0.0
        return Softmax(
            golden_peak,
            self.golden_weight * scale,
            my_peak,
            self.my_weight * math.exp(my_shift),
            shifted * scale,
        )


@dataclass(frozen=True, slots=True)
class Stats:
    """All that is kept of a range of a pair; g golden, m my, d = m - g.

    Sums are over `pairs`, the elements finite on both sides. Squares and products would
    leave float64's range for float64 data near its ends, so each side's sums are in units
    of 2**exponent (`golden.exponent`, `my.exponent`; d's in 2**difference_exponent),
    0 but for such data. Indices are flat, -1 where there is none.
    """

    elements: int = 0
    nonfinite_golden: int = 0
    nonfinite_my: int = 0
    nonfinite_alike: int = 0
    nonfinite_different: int = 0
    nonfinite_index: int = -1
    golden: Side = field(default_factory=Side)
    my: Side = field(default_factory=Side)

    pairs: int = 0
    equal: int = 0
    golden_squares: float = 0.0
    my_squares: float = 0.0
    products: float = 0.0
    difference_squares: float = 0.0
    difference_total: float = 0.0  # Σ|d|
    difference_exponent: int = 0
    difference_max: float = 0.0
    worst_index: int = -1
    mismatched: int = 0  # |d| > atol + rtol |g|

    # Over the pairs with |g| > epsilon.
    epsilon: float = 2.0**-23
    relative_count: int = 0
    relative_total: float = 0.0
    relative_max: float = 0.0
    within_thousandth: int = 0
    within_five_thousandths: int = 0
    above_total: float = 0.0  # Σ|d|, in units of 2**difference_exponent
    above_max: float = 0.0

    softmax: Softmax = field(default_factory=Softmax)
    # None where they are not wanted or a side is of an exact type; stats are equal without them.
    slices: Slices | None = field(default=None, compare=False)

    def __add__(self, other: Stats) -> Stats:
        golden = _side_exponent(self.golden, other.golden)
        my = _side_exponent(self.my, other.my)
        difference = _common_exponent(
            self.difference_exponent,
            self.difference_max > 0,
            other.difference_exponent,
            other.difference_max > 0,
        )
        one, two = (
            each._in_units(golden=golden, my=my, difference=difference) for each in (self, other)
        )
        worst = max(
            one, two, key=lambda each: (each.difference_max, each.pairs > 0, -each.worst_index)
        )
        return Stats(
            elements=one.elements + two.elements,
            nonfinite_golden=one.nonfinite_golden + two.nonfinite_golden,
            nonfinite_my=one.nonfinite_my + two.nonfinite_my,
            nonfinite_alike=one.nonfinite_alike + two.nonfinite_alike,
            nonfinite_different=one.nonfinite_different + two.nonfinite_different,
            nonfinite_index=_first(one.nonfinite_index, two.nonfinite_index),
            golden=self.golden.merged(other.golden, golden),
            my=self.my.merged(other.my, my),
            pairs=one.pairs + two.pairs,
            equal=one.equal + two.equal,
            golden_squares=one.golden_squares + two.golden_squares,
            my_squares=one.my_squares + two.my_squares,
            products=one.products + two.products,
            difference_squares=one.difference_squares + two.difference_squares,
            difference_total=one.difference_total + two.difference_total,
            difference_exponent=difference,
            difference_max=worst.difference_max,
            worst_index=worst.worst_index,
            mismatched=one.mismatched + two.mismatched,
            epsilon=one.epsilon,
            relative_count=one.relative_count + two.relative_count,
            relative_total=one.relative_total + two.relative_total,
            relative_max=max(one.relative_max, two.relative_max),
            within_thousandth=one.within_thousandth + two.within_thousandth,
            within_five_thousandths=one.within_five_thousandths + two.within_five_thousandths,
            above_total=one.above_total + two.above_total,
            above_max=max(one.above_max, two.above_max),
            softmax=one.softmax + two.softmax,
            slices=one.slices + two.slices
            if one.slices and two.slices
            else one.slices or two.slices,
        )

    def _in_units(self, *, golden: int, my: int, difference: int) -> Stats:
        here = (self.golden.exponent, self.my.exponent, self.difference_exponent)
        if here == (golden, my, difference):
            return self
        g, m, d = here
        return replace(
            self,
            golden_squares=_rescale(self.golden_squares, 2 * g, 2 * golden),
            my_squares=_rescale(self.my_squares, 2 * m, 2 * my),
            products=_rescale(self.products, g + m, golden + my),
            difference_squares=_rescale(self.difference_squares, 2 * d, 2 * difference),
            difference_total=_rescale(self.difference_total, d, difference),
            above_total=_rescale(self.above_total, d, difference),
        )

    @property
    def nonfinite_disagreeing(self) -> int:
        """Elements non-finite on one side only, or differently on both."""
        return self.nonfinite_golden + self.nonfinite_my + self.nonfinite_different


def _side_exponent(one: Side, two: Side) -> int:
    return _common_exponent(one.exponent, one.has_nonzero, two.exponent, two.has_nonzero)


def _common_exponent(one: int, one_counts: bool, two: int, two_counts: bool) -> int:
    """The larger exponent; that of sums of zeros does not count."""
    if one_counts and two_counts:
        return max(one, two)
    return two if two_counts else one


def _rescale(value: float, old: int, new: int) -> float:
    return value if old == new or not value else math.ldexp(value, old - new)


def _first(one: int, two: int) -> int:
    return max(one, two) if min(one, two) < 0 else min(one, two)
