"""What a trusted run lets one expect of the bins of a tensor: the energy of my error in each.

An error of as many independent parts as a bin has elements would be as large in my as in the
reference. Few are independent: one huge element may hold all of a bin's energy, one token's
state moves as a whole, and the tail may be long. So each bin has a number of *parts*, and what
the reference shows of a bin counts as much as that number says, beside what is typical of the
tensor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.slices import Bins, Slices, Table

__all__ = [
    "OF_A_LINE",
    "PRIOR",
    "TINY",
    "Expected",
    "Steps",
    "Sums",
    "bin_widths",
    "expected_of",
    "slack",
]

Values = npt.NDArray[np.float64]

PRIOR = 16.0  # parts that what is typical of the tensor counts as
OUTLYING = 16.0  # bins of so many times the median energy hold few huge elements
OFF = 0.25  # of golden's energy, a bin's own or what bins mostly have: then the reference is wrong
FEW = 3  # elements of a bin that tell nothing by themselves
OF_A_LINE = 16.0  # parts of a line at most: the state of one token
TINY = 1e-300  # the least that is divided by


@dataclass(frozen=True, slots=True)
class Sums:
    """Of the bins along one axis: elements, Σg², Σd² of my and of the reference; `live` bins have
    elements on both sides."""

    count: Values
    golden: Values
    my: Values
    reference: Values
    live: npt.NDArray[np.bool_]

    @staticmethod
    def of(my: Table, reference: Table) -> Sums:
        """Those of both runs, the reference's as if of the same elements."""
        live = (my.count > 0) & (reference.count > 0)
        share = my.count / np.maximum(reference.count, 1.0)
        return Sums(my.count, my.golden_squares, my.squares, reference.squares * share, live)

    @property
    def is_off(self) -> bool:
        """Whether the reference itself is wrong in a bin."""
        if not self.live.any():
            return False
        usual = np.median((self.golden / np.maximum(self.count, 1.0))[self.live]) * self.count
        return bool((self.reference > OFF * np.maximum(self.golden, usual))[self.live].any())

    def outlying(self, energy: Values) -> Values:
        """What each bin has of `energy` beyond what bins mostly have."""
        typical = np.median((energy / np.maximum(self.count, 1.0))[self.live])
        return np.maximum(0.0, energy - OUTLYING * typical * self.count)


@dataclass(frozen=True, slots=True)
class Expected:
    """Of each bin: the energy that is expected, and its parts; what is typical of the tensor, and
    what my's type alone makes; whether the bin is like most. `ratio` is what part of golden's
    energy the reference's error has in a bin, mostly."""

    energy: Values
    parts: Values
    typical: Values
    floor: Values
    common: npt.NDArray[np.bool_]
    ratio: float


@dataclass(frozen=True, slots=True)
class Steps:
    """What a bin's error cannot fall below: the relative error that the reference has around this
    row, the relative and the smallest step of my's type."""

    error: float
    grain: float
    quantum: float


def expected_of(
    own: Sums,
    other: Sums,
    steps: Steps,
    *,
    tail: float = 1.0,
    most: float = math.inf,
) -> Expected:
    """What is expected of the bins `own`, where `other` are those along the other axis.

    In a long-tailed error `tail` elements tell as much as one; a bin has `most` parts at most.
    """
    count = np.maximum(own.count, 1.0)
    even = np.median((own.reference / count)[own.live]) * own.count
    sized = own.live & (own.golden > 0)
    ratios = own.reference[sized] / own.golden[sized]
    ratio = float(np.median(ratios)) if len(ratios) else 0.0
    relative = ratio * own.golden
    if own.count.max() >= FEW:  # else nothing but its size tells of a large element
        relative = np.sqrt(even * relative)
    like = np.maximum(relative, steps.error**2 * own.golden)
    typical = np.maximum(like, even)
    parts = np.minimum(_holders(own, other, "golden"), _holders(own, other, "reference"))
    parts = np.clip(np.minimum(parts, own.count) / tail, 1.0, most)
    floor = steps.grain**2 * own.golden + steps.quantum**2 * own.count + TINY
    shown = (parts * own.reference + PRIOR * typical) / (parts + PRIOR)
    common = own.live & (own.outlying(own.golden) == 0.0)
    return Expected(shown + floor, parts, typical, floor, common, ratio)


def _holders(own: Sums, other: Sums, of: str) -> Values:
    """How many elements hold the energy of each bin: few, where it is outlying as few bins of the
    other axis are, or where these hold more than the outlying bins of this one explain."""
    energy: Values = getattr(own, of)
    beyond, across = own.outlying(energy), other.outlying(getattr(other, of))
    rest = max(float(energy.sum() - beyond.sum()), TINY)
    shared = min(1.0, max(0.0, float(across.sum() - beyond.sum())) / rest)
    crossing = np.minimum(beyond, float(across.sum()))
    share = np.maximum(crossing / np.maximum(energy, TINY), shared)
    holders = max(1, int(np.count_nonzero(across)))
    parts: Values = 1.0 / (share**2 / holders + (1.0 - share) ** 2 / np.maximum(own.count, 1.0))
    return parts


def slack(parts: Values) -> Values:
    """How many times what is expected an error of so many parts may be by chance."""
    allowed: Values = 1.0 + 4.0 / np.sqrt(parts)
    return allowed


def bin_widths(slices: Slices, shape: tuple[int, ...]) -> tuple[int, int]:
    """Lines, and channels, that share a bin of kept slices."""
    bins = Bins.of(shape)
    return (
        _width(bins.line_bins, bins.line_width, slices.lines.sums.shape[1]),
        _width(bins.channel_bins, bins.channel_width, slices.channels.sums.shape[1]),
    )


def _width(bins: int, width: int, kept: int) -> int:
    while bins > kept:
        bins, width = -(-bins // 2), 2 * width
    return width
