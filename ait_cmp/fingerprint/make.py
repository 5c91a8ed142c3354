"""The fingerprint of a tensor, by torch operations on its own device: only sums leave it.

Additions and multiplications alone, in float32 (float64 for float64), since products of matrices
may be taken in less where the model asks for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch

from ait_cmp.fingerprint.checksum import checksum
from ait_cmp.fingerprint.left_out import what_is_left_out
from ait_cmp.fingerprint.significands import bits_in_use
from ait_cmp.fingerprint.signs import GROUP, PATTERNS
from ait_cmp.fingerprint.tables import kept, summed
from ait_cmp.fingerprint.value import (
    BUCKETS,
    SATURATED,
    TOP,
    Axis,
    Fingerprint,
    Floats,
    Whole,
    bin_count,
    bin_width,
    buckets_of,
    is_narrow,
    is_small,
    line_and_channel,
    may_be_scores,
)
from ait_cmp.tensors import compact, dtype_of, raw_bytes, reals
from ait_cmp.values.dtypes import DType

__all__ = ["TORCH", "Found", "Large", "Means", "make_fingerprint", "sketch"]

_STRIP = 8192  # lines, and channels, whose sums are held at a time
_WIDE = 1024  # channels of a tile on the processor
_TILE, _LARGE_TILE = 1 << 17, 1 << 23  # elements of one on the processor, and elsewhere
_HUGE, _TINY = 2.0**50, 2.0**-50  # beyond, squares want another unit


def make_fingerprint(
    tensor: torch.Tensor, *, name: str = "", buckets: int = BUCKETS, means: Means | None = None
) -> Fingerprint:
    """What is kept of `tensor`, with so many buckets a bin, a power of two up to 32.

    All elements are, of what its `name` says that experts may be chosen by, where these are few.
    Complex numbers become their real and imaginary part, in one more dimension. Other `means` than
    torch operations give the same, up to rounding. Raises TypeError for what has no dense data.
    """
    dense, means = reals(tensor, "tensor").contiguous(), means or TORCH
    dtype, shape = dtype_of(dense, "tensor"), tuple(dense.shape)
    if not (is_small(dtype, shape, buckets) or may_be_scores(name, dtype, shape)):
        made = sketch(dense, buckets=buckets, means=means)
        if not is_narrow(dtype, shape, made.whole.minimum, made.whole.maximum):
            return made
    elements = bytes(raw_bytes(compact(dense, argument="tensor")))
    return Fingerprint(dtype, shape, means.checksum(dense), elements)


def sketch(tensor: torch.Tensor, *, buckets: int, means: Means | None = None) -> Fingerprint:
    """The same, where the elements of no tensor are kept, however small: what one of another type,
    or of other buckets, can be estimated against."""
    dense, means = reals(tensor, "tensor").contiguous(), means or TORCH
    dtype, shape = dtype_of(dense, "tensor"), tuple(dense.shape)
    if not dtype.is_floating:
        return Fingerprint(dtype, shape, means.checksum(dense), whole=_exact(dense))
    return means.large(dense, dtype, buckets_of(dtype, buckets)).fingerprint()


def _exact(dense: torch.Tensor) -> Whole:
    """Of a type that is not rounded."""
    some = dense.to(torch.uint8) if dense.dtype is torch.bool else dense
    if some.dtype in (torch.uint16, torch.uint32, torch.uint64):  # which few operations know
        some = some.to(_wide(dense.device) if some.dtype is torch.uint64 else torch.int64)
    low, high, total = some.amin(), some.amax(), some.sum(dtype=_wide(dense.device))
    return Whole(minimum=float(low), maximum=float(high), total=float(total))


def _wide(device: torch.device) -> torch.dtype:
    """What sums are added up in, where the device has it."""
    return torch.float64 if device.type in ("cpu", "cuda") else torch.float32


class _Tile(NamedTuple):
    """Lines and channels of a part of a tensor."""

    lines: slice
    channels: slice


@dataclass
class _Sums:
    """What is added up of one axis, by place, of a strip: signed sums (buckets, places), and Σx and
    Σx² (2, places), with the number of elements that are left out."""

    signed: torch.Tensor
    plain: torch.Tensor
    left_out: torch.Tensor

    @staticmethod
    def empty(buckets: int, places: int, like: torch.Tensor) -> _Sums:
        """Those of no elements."""
        return _Sums(*(like.new_zeros(rows, places) for rows in (buckets, 2, 1)))


@dataclass
class Found:
    """What is known of all strips: extremes, and the largest elements with their flat indices."""

    least: list[torch.Tensor] = field(default_factory=list)
    most: list[torch.Tensor] = field(default_factory=list)
    top: list[torch.Tensor] = field(default_factory=list)
    indices: list[torch.Tensor] = field(default_factory=list)


class Large:
    """A tensor of a floating type of which not every element is kept."""

    def __init__(self, dense: torch.Tensor, dtype: DType, buckets: int) -> None:
        self.dtype, self.shape = dtype, tuple(dense.shape)
        self.counts = line_and_channel(self.shape)
        self.values = dense.view(self.counts)
        self.buckets, self.device = buckets, dense.device
        self._work = torch.float64 if dtype.name == "float64" else torch.float32
        self.exponent = 0  # the unit is two to it
        self.picks = False  # whether some elements are left out

    def fingerprint(self) -> Fingerprint:
        """In one go, and once more where elements are to be left out, or have
        squares that are out of reach."""
        axes, found = self.axes()
        low, high = (float(torch.stack(one).max()) for one in (found.least, found.most))
        whole = Whole(minimum=-low, maximum=high)
        largest = max(low, high)
        end = SATURATED * self.dtype.largest
        if not (low < end and high < end):  # also where one is NaN
            whole, largest = self.left_out()
            self.picks = whole.left_out > 0
        if self.picks or largest > _HUGE or 0 < largest < _TINY:
            self.exponent = math.frexp(largest)[1] if largest else 0
            axes, found = self.axes()
        return self._told(whole, axes, found)

    def _told(self, whole: Whole, axes: list[Axis], found: Found) -> Fingerprint:
        total, squares = axes[0].sums.sum(1).tolist()
        bits, gridded = self.bits_in_use()
        whole = replace(
            whole, total=whole.total * 2.0**-self.exponent + total, squares=squares,
            exponent=self.exponent, bits=bits, gridded=gridded,
        )  # fmt: skip
        top = np.ldexp(torch.cat(found.top).cpu().double().numpy(), self.exponent)
        indices = torch.cat(found.indices).cpu().numpy()
        first = np.lexsort((indices, -np.abs(top)))[:TOP]
        first = first[top[first] != 0]
        kept = top[first], indices[first]
        return Fingerprint(self.dtype, self.shape, self.checksum(), b"", whole, *kept, *axes)

    def checksum(self) -> int:
        """That of all elements; asked for when the sums are there."""
        return checksum(self.values)

    def left_out(self) -> tuple[Whole, float]:
        """What is known of elements that are in no sum, and the largest magnitude of all others."""
        return what_is_left_out(self.values, self.dtype)

    def bits_in_use(self) -> tuple[int, int]:
        """The bits of significands that elements use, and of how many that is known."""
        return bits_in_use(self.values, self.dtype)

    def axes(self) -> tuple[list[Axis], Found]:
        """The bins of lines and of channels, and what is known of the whole."""
        found = Found()
        wide = _wide(self.device)
        tables = [
            torch.zeros(bin_count(count), self.buckets + 3, dtype=wide, device=self.device)
            for count in self.counts
        ]
        for lines in _parts(slice(0, self.counts[0]), _STRIP):
            for channels in _parts(slice(0, self.counts[1]), _STRIP):
                for at, sums in enumerate(self._strip(_Tile(lines, channels), found)):
                    first = (lines, channels)[at].start
                    width = bin_width(self.counts[at])
                    some = self._binned(sums, first, width).to(wide)
                    tables[at][first // width :][: len(some)] += some
        return [self.axis(table.cpu().numpy().astype(np.float64)) for table in tables], found

    def axis(self, table: Floats) -> Axis:
        """That of its signed sums, Σx, Σx² and left-out counts, a row a bin."""
        signed, sums = table[:, : self.buckets], table[:, self.buckets : self.buckets + 2]
        counts = table[:, -1].astype(np.int64) if self.picks else np.zeros(0, np.int64)
        return Axis(np.ascontiguousarray(sums.T), counts, signed)

    def _binned(self, sums: _Sums, first: int, width: int) -> torch.Tensor:
        """(bins, buckets + 3) of a strip whose first place this is."""
        places = sums.plain.shape[1]
        own = kept(first, places, self.buckets, self.device, self._work)
        signed = sums.signed.gather(0, own.origins) * own.signs
        rows = torch.cat((signed, sums.plain, sums.left_out))
        width = min(width, _STRIP)
        rows = torch.nn.functional.pad(rows, (0, -places % width))
        return rows.view(len(rows), -1, width).sum(2).t()

    def _strip(self, strip: _Tile, found: Found) -> tuple[_Sums, _Sums]:
        """By line, and by channel."""
        sizes = [one.stop - one.start for one in strip]
        by_line, by_channel = (
            _Sums.empty(self.buckets, one, self.values.new_zeros(0, dtype=self._work))
            for one in sizes
        )
        peaks = []
        wide = _WIDE if self.device.type == "cpu" else _STRIP
        tile = _TILE if self.device.type == "cpu" else _LARGE_TILE
        columns = [*_parts(strip.channels, wide)]
        # Signs repeat after so many places, and buckets after half of that.
        high = max(tile // min(wide, sizes[1]) // PATTERNS, 1) * PATTERNS
        for lines in _parts(strip.lines, high):
            row = [
                self._tile(_Tile(lines, channels), strip, by_line, by_channel, found)
                for channels in columns
            ]
            peaks.append(torch.stack(row, 1))
        self._add_top(strip, torch.cat(peaks), columns[0].stop - columns[0].start, found)
        return by_line, by_channel

    def _tile(
        self, tile: _Tile, strip: _Tile, by_line: _Sums, by_channel: _Sums, found: Found
    ) -> torch.Tensor:
        """Add a tile to the sums of its strip; the largest magnitude of each of its lines."""
        x, left_out = self._summed(self.values[tile])
        lines = slice(tile.lines.start - strip.lines.start, tile.lines.stop - strip.lines.start)
        start = tile.channels.start - strip.channels.start
        channels = slice(start, start + x.shape[1])
        squares = x * x
        for sums, places, axis in ((by_line, lines, 1), (by_channel, channels, 0)):
            sums.plain[0, places] += x.sum(axis)
            sums.plain[1, places] += squares.sum(axis)
            if left_out is not None:
                sums.left_out[0, places] += left_out.sum(axis)
        by_channel.signed[:, channels] += _signed(x, tile.lines.start, self.buckets)
        turned = x.t().contiguous()
        by_line.signed[:, lines] += _signed(turned, tile.channels.start, self.buckets)
        low, high = x.amin(1), x.amax(1)
        found.least.append(-low.amin())
        found.most.append(high.amax())
        return torch.maximum(high, -low)

    def _summed(self, some: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Elements in units, those that are left out as 0, and which these are."""
        x, left_out = some.to(self._work), None
        if self.picks:
            left_out = ~(x.abs() < SATURATED * self.dtype.largest)
            x = x.masked_fill(left_out, 0.0)
        if self.exponent:
            # In two steps, since a power of two may be out of reach where values are not.
            half = self.exponent // 2
            x = x * 2.0**-half * 2.0 ** (half - self.exponent)
        return x, left_out

    def _add_top(self, strip: _Tile, peaks: torch.Tensor, width: int, found: Found) -> None:
        """The largest elements, which are among the lines of tiles with the largest peaks."""
        some = torch.nan_to_num(peaks.flatten())
        _, at = some.topk(min(TOP, len(some)))
        line, column = at // peaks.shape[1], at % peaks.shape[1]
        channels = column[:, None] * width + torch.arange(width, device=self.device)
        most = strip.channels.stop - strip.channels.start
        index = (line[:, None] + strip.lines.start) * self.counts[1]
        index = index + channels.clamp(max=most - 1) + strip.channels.start
        values, _ = self._summed(self.values.view(-1)[index])
        values = torch.where(channels < most, values, torch.zeros_like(values)).flatten()
        _, first = values.abs().topk(min(TOP, values.numel()))
        found.top.append(values[first])
        found.indices.append(index.flatten()[first])


def _parts(whole: slice, size: int) -> Iterator[slice]:
    for start in range(whole.start, whole.stop, size):
        yield slice(start, min(start + size, whole.stop))


def _signed(x: torch.Tensor, first: int, buckets: int) -> torch.Tensor:
    """The signed sums (buckets, places) of a tile whose first axis is summed, from `first` on."""
    count, places = x.shape
    own = summed(first, count, x.device, x.dtype)
    if count < GROUP:
        added = x.new_zeros(buckets, places)
        return added.index_add_(0, own.buckets % buckets, _times(x, own.plain_signs))
    some = _times(x.index_select(0, own.order), own.signs)
    return some.view(-1, buckets, places).sum(0)


def _times(x: torch.Tensor, signs: torch.Tensor) -> torch.Tensor:
    """Each row with its signs, which are as good for the next 64 places."""
    rows, places = x.shape
    whole = places // PATTERNS * PATTERNS
    some = (x[:, :whole].reshape(rows, -1, PATTERNS) * signs[:, None, :]).view(rows, whole)
    if whole == places:
        return some
    rest = x[:, whole:] * signs[:, : places - whole]
    return torch.cat((some, rest), 1) if whole else rest


class Means(NamedTuple):
    """What the work is done by."""

    large: type[Large]
    checksum: Callable[[torch.Tensor], int]


TORCH = Means(Large, checksum)
