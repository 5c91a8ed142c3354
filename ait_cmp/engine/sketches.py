"""Two fingerprints as one pair: the sums of their bins, and the signed sums of the difference."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ait_cmp.fingerprint.signs import of_elements
from ait_cmp.fingerprint.value import (
    Axis,
    Fingerprint,
    Floats,
    Indices,
    bin_count,
    bin_width,
    line_and_channel,
)

__all__ = ["PairAxis", "Sketches", "sketches_of"]

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class PairAxis:
    """Of each bin of one axis: plain elements, Σg², Σm², Σ(m - g), the signed sums of m - g, and
    what rounding has added to the squares of these."""

    count: Floats
    golden_squares: Floats
    my_squares: Floats
    total: Floats
    signed: Floats
    noise: Floats

    def where(self, kept: npt.NDArray[np.bool_]) -> PairAxis:
        """The same of some bins, and of no elements in the others."""
        parts = (self.count, self.golden_squares, self.my_squares, self.total)
        count, golden, my, total = (np.where(kept, part, 0.0) for part in parts)
        signed = np.where(kept[:, None], self.signed, 0.0)
        return PairAxis(count, golden, my, total, signed, np.where(kept, self.noise, 0.0))

    @property
    def estimated(self) -> Floats:
        """Σ(m - g)² of each bin, no less than what the exact sums say that it is."""
        norms = (np.sqrt(self.my_squares) - np.sqrt(self.golden_squares)) ** 2
        shifts = self.total**2 / np.maximum(self.count, 1.0)
        # Exact sums are good to float32, and so are bounds that are made of their differences.
        least = np.maximum(norms, shifts) - _ROUNDED * (self.my_squares + self.golden_squares)
        squares = (self.signed**2).sum(1)
        told = np.where(squares > 2 * self.noise, squares - self.noise, 0.0)
        found: Floats = np.maximum(told, least)
        return found

    @property
    def variances(self) -> Floats:
        """Those of the estimates of bins, over their squares: none where no two elements share a
        bucket."""
        found: Floats = 2.0 * np.maximum(
            1.0 / self.signed.shape[1] - 1.0 / np.maximum(self.count, 1.0), 0.0
        )
        return found


_ROUNDED = 2.0**-21
_LEFT = 2.0**-14  # of the squares of a bin that can be told from rounding


@dataclass(frozen=True, slots=True, eq=False)
class Sketches:
    """Both axes of a pair of `shape`, in one unit."""

    shape: tuple[int, ...]
    lines: PairAxis
    channels: PairAxis

    @property
    def buckets(self) -> int:
        """Signed sums of a bin."""
        buckets: int = self.lines.signed.shape[1]
        return buckets

    @property
    def golden_squares(self) -> float:
        """Σg²."""
        return float(self.lines.golden_squares.sum())

    @property
    def tells_channels(self) -> bool:
        """Whether sums of channels are of the elements that sums of lines are of."""
        return bool(self.channels.count.any())

    def of_lines(self, kept: npt.NDArray[np.bool_]) -> Sketches:
        """The same of some bins of lines alone; of channels nothing is known then."""
        lines, channels = self.lines.where(kept), self.channels
        return replace(
            self, lines=lines, channels=channels.where(np.zeros(len(channels.count), bool))
        )

    def places(self, indices: Indices) -> tuple[Indices, Indices]:
        """The lines and the channels of these elements."""
        channels = line_and_channel(self.shape)[1]
        return indices // channels, indices % channels

    def bins(self, indices: Indices) -> tuple[Indices, Indices]:
        """The bins of lines and of channels that these elements are in."""
        lines, channels = self.places(indices)
        of_lines, of_channels = map(bin_width, line_and_channel(self.shape))
        return lines // of_lines, channels // of_channels

    def without(self, golden: Floats, my: Floats, indices: Indices) -> Sketches:
        """The same without these elements."""
        lines, channels = (one.astype(np.uint64) for one in self.places(indices))
        bins = self.bins(indices)
        axes = (
            _without(axis, of_bin, of_elements(summed, kept, self.buckets), golden, my)
            for axis, of_bin, summed, kept in (
                (self.lines, bins[0], channels, lines),
                (self.channels, bins[1], lines, channels),
            )
        )
        return Sketches(self.shape, *axes)

    def spread(self) -> tuple[float, float]:
        """Σ(m - g)² of the whole, by both axes, each counting as much as it tells; and one standard
        deviation of it, as a share."""
        found = [_whole(axis) for axis in (self.lines, self.channels)]
        (one, first), (two, second) = found
        if not self.tells_channels:
            return one, math.sqrt(first)
        if not first + second:
            return (one + two) / 2, 0.0
        if (one - two) ** 2 > _APART**2 * (first * one**2 + second * two**2):
            # Something else than chance is in one of them: rounding of what is huge.
            return min((one, math.sqrt(first)), (two, math.sqrt(second)))
        return (one * second + two * first) / (first + second), math.sqrt(
            first * second / (first + second)
        )


def _whole(axis: PairAxis) -> tuple[float, float]:
    """The sum over bins, and its variance, as a share of its square: that of errors which all lines
    or channels share, at the least."""
    found, variances = axis.estimated, axis.variances
    total = float(found.sum())
    if not total > 0 or not variances.any():
        return total, 0.0
    shares = found / total
    own = float((shares**2 * variances / (1.0 + variances)).sum())
    return total, max(own, float(variances.max()) / _PATTERNS)


_PATTERNS = 64.0
_APART = 5.0  # deviations
# Of the square of a sum: the mean square of what rounding does to it, as it is added up and kept.
_OF_SINGLES, _OF_DOUBLES = 2.0**-47, 2.0**-105


def sketches_of(golden: Fingerprint, my: Fingerprint) -> tuple[Sketches, int]:
    """The pair of two fingerprints that have axes, and the exponent of its unit."""
    buckets = min(golden.buckets, my.buckets)
    exponent = max(golden.whole.exponent, my.whole.exponent)
    scales = [2.0 ** (one.whole.exponent - exponent) for one in (golden, my)]
    sides = [one.folded(buckets) for one in (golden, my)]
    counts = line_and_channel(golden.shape)
    wide = all(one.dtype.itemsize > 4 for one in (golden, my))
    rounding = _OF_DOUBLES if wide else _OF_SINGLES
    axes = []
    for at, (kept, summed) in enumerate((counts, counts[::-1])):
        both = [(one.lines, one.channels)[at] for one in sides]
        axes.append(_axis(both, scales, kept, summed, rounding))
    return Sketches(golden.shape, *axes), exponent


def _axis(
    both: list[Axis | None], scales: list[float], kept: int, summed: int, rounding: float
) -> PairAxis:
    golden, my = both
    assert golden
    assert my
    width, bins = bin_width(kept), bin_count(kept)
    count = np.full(bins, float(width * summed))
    count[-1] = (kept - (bins - 1) * width) * summed
    left_out = [one.left_out for one in (golden, my) if len(one.left_out)]
    if left_out:
        count -= np.max(left_out, axis=0)
    one, two = (side.signed * scale for side, scale in zip((golden, my), scales, strict=True))
    return PairAxis(
        count,
        golden.sums[1] * scales[0] ** 2,
        my.sums[1] * scales[1] ** 2,
        my.sums[0] * scales[1] - golden.sums[0] * scales[0],
        two - one,
        rounding * (one**2 + two**2).sum(1),
    )


def _without(
    axis: PairAxis, bins: Indices, places: tuple[Indices, Floats], golden: Floats, my: Floats
) -> PairAxis:
    buckets, signs = places
    parts = [axis.count.copy(), axis.golden_squares.copy(), axis.my_squares.copy()]
    total, signed = axis.total.copy(), axis.signed.copy()
    for table, values in zip(parts, (np.ones(len(golden)), golden**2, my**2), strict=True):
        np.subtract.at(table, bins, values)
    np.subtract.at(total, bins, my - golden)
    np.subtract.at(signed, (bins, buckets), signs * (my - golden))
    # Beside what was taken away the sums of some bins are nothing but rounding.
    told = (
        np.minimum(parts[1] - _LEFT * axis.golden_squares, parts[2] - _LEFT * axis.my_squares) > 0
    )
    told |= (axis.golden_squares == parts[1]) & (axis.my_squares == parts[2])
    count, one, two = (np.where(told, part, 0.0) for part in parts)
    signed[~told] = 0.0
    return PairAxis(
        count, one, two, np.where(told, total, 0.0), signed, np.where(told, axis.noise, 0.0)
    )
