"""What a block adds to `engine.slices.Slices`: sums by line and channel, and the largest errors."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import torch

from ait_cmp.engine.device.sums import first_place
from ait_cmp.engine.device.values import Pairs
from ait_cmp.engine.kernel.abi.arguments import Grid
from ait_cmp.engine.slices import TOP, Bins
from ait_cmp.fingerprint.significands import bits_in_any

__all__ = ["MARKS", "Tables", "marks_of", "top_of"]

# What `marks_of` tells, in this order.
MARKS = (*("golden_bits", "my_bits", "gridded", "nonfinite_saturated", "clipped", "clipped_first"),)
_REACH = 2.0**400  # squares of float64 up to here stay in range, in any number
_MAGNITUDE, _SIGNIFICAND, _INFINITY = 0x7FFFFFFF, 0x7FFFFF, 0x7F800000  # of float32
_GRIDDED = 0x38800000  # 2**-14


class Tables:
    """The sums by line and by channel, growing on one device; `sums` has both, five rows each."""

    def __init__(self, bins: Bins, grid: Grid, device: torch.device) -> None:
        self._bins, self._grid = bins, grid
        shape = 5, bins.line_bins + bins.channel_bins
        self.sums = torch.zeros(shape, dtype=torch.float64, device=device)

    def add(self, pairs: Pairs, first: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Add a block that begins at index `first`; which elements are plain, and which stand for
        infinity on both sides."""
        golden, my, difference = pairs
        g_size, m_size = golden.abs(), my.abs()
        ended = torch.minimum(g_size, m_size) >= self._grid.saturation
        ended &= (golden < 0) == (my < 0)
        plain = golden.isfinite() & my.isfinite() & ~ended
        g, d = (torch.where(plain, one, 0.0) for one in (golden, difference))
        if self._grid.wide:  # squares would be infinite
            beyond = plain & (torch.maximum(g_size, m_size) > _REACH)
            g, d = (torch.where(beyond, math.nan, one) for one in (g, d))
        for start, stop, width in self._rectangles(first, golden.numel()):
            place = first + start
            self._add_terms(
                [one[start:stop].view(-1, width) for one in (plain.double(), g, d)],
                place // self._bins.channels,
                place % self._bins.channels,
            )
        return plain, ended

    def _rectangles(self, first: int, elements: int) -> Iterator[tuple[int, int, int]]:
        """The block as whole lines, and what is before and behind them: where each begins and ends
        in it, and of what width it is."""
        channels = self._bins.channels
        head = min(-first % channels, elements)
        body = (elements - head) // channels * channels
        for start, stop, width in (
            (0, head, head),
            (head, head + body, channels),
            (head + body, elements, elements - head - body),
        ):
            if stop > start:
                yield start, stop, width

    def _add_terms(self, values: list[torch.Tensor], line: int, channel: int) -> None:
        """Add a rectangle of elements, the first of which is in this line and channel."""
        plain, g, d = values
        lines, channels = self._bins.line_width, self._bins.channel_width
        at = line // lines
        column = self._bins.line_bins + channel // channels
        for row, factors in enumerate(((plain,), (g, g), (d, d), (g, d), (d,))):
            term = functools.reduce(torch.mul, factors)
            _add(self.sums[row, at:], term.sum(1), line % lines, lines)
            _add(self.sums[row, column:], term.sum(0), channel % channels, channels)


def _add(row: torch.Tensor, sums: torch.Tensor, skipped: int, width: int) -> None:
    """Add neighbours to bins of so many, of the first of which some were `skipped`."""
    if width > 1:
        behind = -(skipped + sums.numel()) % width
        sums = torch.nn.functional.pad(sums, (skipped, behind)).view(-1, width).sum(1)
    row[: sums.numel()] += sums


def top_of(pairs: Pairs, plain: torch.Tensor, first: int) -> torch.Tensor:
    """Differences, golden and index of the plain elements of the largest |d|, twice as many as are
    kept: those above the least of them, and the first ones that are equal to it."""
    size = torch.where(plain, pairs.difference.abs(), 0.0)
    count = min(TOP, size.numel())
    largest = size.topk(count)
    index = torch.arange(size.numel(), device=size.device)
    tied = torch.where(size == largest.values[-1], -index, -size.numel() - 1).topk(count)
    # What is tied with the least may be among the largest as well, and in an order of any kind.
    above = largest.values > largest.values[-1]
    places = torch.cat((largest.indices, tied.indices))
    is_kept = torch.cat((above, size[tied.indices] == largest.values[-1])) & (size[places] > 0)
    kept = torch.where(is_kept, places + first, -1)
    return torch.stack((pairs.difference[places], pairs.golden[places], kept.double()))


def marks_of(pairs: Pairs, ended: torch.Tensor, first: int, grid: Grid) -> torch.Tensor:
    """The numbers of `MARKS`; `ended` says which elements stand for infinity on both sides."""
    golden_bits, _ = _bits(pairs.golden)
    my_bits, gridded = _bits(pairs.my)
    g, m = pairs.golden.abs(), pairs.my.abs()
    alike = (g >= grid.golden_end) & (m >= grid.my_end)
    infinite = g.isinf() | m.isinf()
    saturated = ended & infinite & alike & (g != m)
    clipped = ended & ~infinite & (m >= grid.my_largest) & (g > grid.my_beyond) & ~alike
    numbers = (
        *(golden_bits, my_bits, gridded, saturated.sum(), clipped.sum()),
        first_place(clipped, first),
    )
    return torch.stack([one.double() for one in numbers])


def _bits(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The bits in use in float32 significands of finite magnitudes from 2**-14 on, and their
    count."""
    patterns = values.float().view(torch.int32) & _MAGNITUDE
    inside = (patterns >= _GRIDDED) & (patterns < _INFINITY)
    return bits_in_any(torch.where(inside, patterns & _SIGNIFICAND, 0)), inside.sum()
