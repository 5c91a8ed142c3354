"""Elements of a pair that two fingerprints tell one by one: those that both keep, and those whose
error stands out of the signed sums that it went into."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.sketches import PairAxis, Sketches
from ait_cmp.engine.slices import TOP, Top
from ait_cmp.fingerprint.signs import of_elements
from ait_cmp.fingerprint.value import TOP as KEPT
from ait_cmp.fingerprint.value import Fingerprint, Floats, Indices, bin_width, line_and_channel

__all__ = ["Elements", "Tops", "standing_out"]

_MOST = 4  # that are looked for in signed sums
_TRIED = 8  # sums of an axis, of those that stand out
# How far the square of a sum has to be above the mean of its bin's others, by how many there are:
# Student's t of so many, at 1e-5. Two sums, of a line's bin and of a channel's, have to agree.
_STANDS_OUT = {4: 2200.0, 8: 100.0, 16: 42.0, 32: 28.0}
_LEAST = 2.0**-40  # of a bin's squares: what is less is rounding
_TINY = 1e-300  # the least that is divided by
_AGREE = 4.0  # deviations by which the two may differ
_BEYOND = 2.0  # times what golden reaches elsewhere


@dataclass(frozen=True, slots=True, eq=False)
class Elements:
    """Some elements: golden, my, and where they are."""

    golden: Floats
    my: Floats
    indices: Indices

    def __add__(self, other: Elements) -> Elements:
        return Elements(
            np.concatenate((self.golden, other.golden)),
            np.concatenate((self.my, other.my)),
            np.concatenate((self.indices, other.indices)),
        )

    def where(self, chosen: Floats | Indices) -> Elements:
        """Those."""
        return Elements(self.golden[chosen], self.my[chosen], self.indices[chosen])

    def top(self) -> Top:
        """Those of the largest error, as slices keep them."""
        differences = self.my - self.golden
        order = np.lexsort((self.indices, -np.abs(differences)))
        order = order[differences[order] != 0][:TOP]
        return Top(differences[order], self.golden[order], self.indices[order])


@dataclass(frozen=True, slots=True, eq=False)
class Tops:
    """The largest elements of both sides, in one unit, and where they are."""

    golden: Floats
    golden_indices: Indices
    my: Floats
    my_indices: Indices
    most: float  # what golden's other elements have at most

    @staticmethod
    def of(golden: Fingerprint, my: Fingerprint, exponent: int) -> Tops:
        """Those of two fingerprints, in units of 2**exponent."""
        first, second = (one.top * 2.0**-exponent for one in (golden, my))
        most = float(abs(first[-1])) if len(first) == KEPT else 0.0
        return Tops(first, golden.top_indices, second, my.top_indices, most)

    def where(self, chosen: Callable[[Indices], npt.NDArray[np.bool_]]) -> Tops:
        """Those of chosen places alone."""
        one, two = chosen(self.golden_indices), chosen(self.my_indices)
        return Tops(
            self.golden[one],
            self.golden_indices[one],
            self.my[two],
            self.my_indices[two],
            self.most,
        )

    def known(self) -> tuple[Elements, Elements]:
        """The elements that both sides tell of, by golden's size; and those of my that are far
        beyond what golden can have there, with as little of an error as they may have."""
        shared, first, second = np.intersect1d(
            self.golden_indices, self.my_indices, return_indices=True
        )
        order = np.argsort(-np.abs(self.golden[first]), kind="stable")
        both = Elements(self.golden[first][order], self.my[second][order], shared[order])
        alone = ~np.isin(self.my_indices, self.golden_indices)
        alone &= np.abs(self.my) > _BEYOND * self.most
        reached = np.sign(self.my[alone]) * self.most
        return both, Elements(reached, self.my[alone], self.my_indices[alone])

    def at(self, indices: Indices, differences: Floats) -> tuple[int, float]:
        """Which of some places one of the sides tells of, the first where none does, and what
        golden has there: no more than its other elements where it is not known."""
        for told, values, errors in (
            (self.golden_indices, self.golden, np.zeros(len(indices))),
            (self.my_indices, self.my, differences),
        ):
            for at, index in enumerate(indices.tolist()):
                if len(found := np.flatnonzero(told == index)):
                    return at, float(values[found[0]] - errors[at])
        return 0, self.most


def standing_out(sketches: Sketches, tops: Tops) -> Elements:
    """Elements whose error stands out; where it is not known what golden has there, as large as it
    can be."""
    found = Elements(np.zeros(0), np.zeros(0), np.zeros(0, np.int64))
    for _ in range(_MOST):
        one = _worst(sketches, tops)
        if one is None:
            break
        found += one
        sketches = sketches.without(one.golden, one.my, one.indices)
    return found


def _worst(sketches: Sketches, tops: Tops) -> Elements | None:
    """The element that stands out most of its line, with the channel that fits it best.

    Where several are off by as much, which line and which channel belong together is not told.
    """
    lines, channels = (_outstanding(axis) for axis in (sketches.lines, sketches.channels))
    for line in lines:
        fitting = [_crossing(sketches, line, one, tops) for one in channels]
        if found := [one for one in fitting if one]:
            return min(found, key=operator.itemgetter(0))[1]
    return None


def _crossing(
    sketches: Sketches, line: _Sum, channel: _Sum, tops: Tops
) -> tuple[float, Elements] | None:
    """By how many deviations the two sums differ, and the element that is in both; None where they
    are not of one."""
    deviation = math.sqrt(line.others + channel.others)
    apart = abs(abs(line.sum) - abs(channel.sum))
    if apart > _AGREE * deviation + 1e-3 * abs(line.sum):
        return None
    indices, differences = _places(sketches, line, channel)
    if not len(indices):
        return None
    at, size = tops.at(indices, differences)
    one = Elements(np.array([size]), size + differences[[at]], indices[[at]])
    return apart / max(deviation, _TINY), one


class _Sum(NamedTuple):
    """A signed sum: its bin and bucket, and the mean square of the bin's others."""

    at: int
    bucket: int
    sum: float
    others: float


def _outstanding(axis: PairAxis) -> list[_Sum]:
    """The sums that stand out, that which does most first."""
    squares = axis.signed**2
    buckets = squares.shape[1]
    if buckets not in _STANDS_OUT:
        return []
    others = (squares.sum(1, keepdims=True) - squares) / max(buckets - 1, 1)
    least = _LEAST * (axis.golden_squares + axis.my_squares)[:, None]
    beyond = (squares > least) & (squares >= _STANDS_OUT[buckets] * others)
    at, bucket = np.nonzero(beyond)
    found = squares[at, bucket], others[at, bucket]
    order = np.argsort(-found[0] / np.maximum(found[1], least[at, 0] + _TINY), kind="stable")
    return [
        _Sum(int(at[i]), int(bucket[i]), float(axis.signed[at[i], bucket[i]]), float(found[1][i]))
        for i in order[:_TRIED].tolist()
    ]


def _places(sketches: Sketches, line: _Sum, channel: _Sum) -> tuple[Indices, Floats]:
    """The elements of both bins that both buckets may have, and their error by the sharper sum."""
    counts = line_and_channel(sketches.shape)
    lines, channels = (
        np.arange(at * bin_width(count), min((at + 1) * bin_width(count), count), dtype=np.uint64)
        for (at, *_), count in ((line, counts[0]), (channel, counts[1]))
    )
    rows, columns = (one.flatten() for one in np.meshgrid(lines, channels, indexing="ij"))
    bucket, sign = of_elements(columns, rows, sketches.buckets)
    other, other_sign = of_elements(rows, columns, sketches.buckets)
    fits = (bucket == line.bucket) & (other == channel.bucket)
    fits &= sign * line.sum * other_sign * channel.sum > 0
    sharper, its = (line, sign) if line.others <= channel.others else (channel, other_sign)
    indices = (rows * np.uint64(counts[1]) + columns).astype(np.int64)
    return indices[fits], its[fits] * sharper.sum
