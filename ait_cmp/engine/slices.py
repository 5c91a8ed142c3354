"""Where in a pair the error is: the same few sums for every slice of it, mergeable.

A line is one run along the last axis, a channel one index of it; what is flat or a scalar is
one line. Neighbours share a bin where there are many, so that tables stay small.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

__all__ = ["TOP", "Bins", "Slices", "Table", "Top", "alike", "first_index"]

TOP = 8  # elements that are kept, those of the largest error
_LINES, _CHANNELS, _LANES = 256, 1024, 16
_FEW_LINES, _FEW_CHANNELS = 64, 256  # bins of what is kept for good
_HALF, _HALF_WIDTH = np.uint64(1 << 31), np.uint64(32)

# Bins of lines and of channels, kept elements, bytes a number; what `Slices` says from golden_bits.
_HEADER = struct.Struct("<IIHHqqqqqq")

Values = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Bins:
    """How a tensor of `lines` × `channels` elements falls into bins of so many neighbours."""

    lines: int
    channels: int
    few: bool = False

    @classmethod
    def of(cls, shape: tuple[int, ...], *, few: bool = False) -> Bins:
        """The bins of a tensor of `shape`; `few` are at most 64 an axis, as a fingerprint has."""
        channels = shape[-1] if shape else 1
        return cls(math.prod(shape[:-1]), channels, few)

    @property
    def line_width(self) -> int:
        """Lines in a bin: a power of two, 1 for up to 256 lines."""
        return _power_of_two(-(-self.lines // (_FEW_LINES if self.few else _LINES)))

    @property
    def channel_width(self) -> int:
        """Channels in a bin: 1 for up to 1024 channels, else a power of two from 32 on.

        Heads are mostly of a power of two of channels, and so fall into whole bins.
        """
        if self.channels <= _CHANNELS and not self.few:
            return 1
        return _power_of_two(-(-self.channels * _LANES // _CHANNELS))

    @property
    def line_bins(self) -> int:
        """Rows of the table of lines."""
        return -(-self.lines // self.line_width)

    @property
    def channel_bins(self) -> int:
        """Rows of the table of channels."""
        return -(-self.channels // self.channel_width)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Sums over the plain elements of each bin, float64 (5, bins).

    Good to 1e-4, channels being summed in float32 for a while: magnitudes below 2**-60 may count
    as 0 among larger ones. Sums are nan where a magnitude is beyond 2**400 (float64 alone has
    such), since squares would be infinite; where all are below 2**-400 they are 0. Both are told
    by the whole pair's sums alone.
    """

    sums: Values

    @property
    def count(self) -> Values:
        """Plain elements."""
        return self._row(0)

    @property
    def golden_squares(self) -> Values:
        """Σg²."""
        return self._row(1)

    @property
    def squares(self) -> Values:
        """Σd²."""
        return self._row(2)

    @property
    def products(self) -> Values:
        """Σgd."""
        return self._row(3)

    @property
    def total(self) -> Values:
        """Σd."""
        return self._row(4)

    def __add__(self, other: Table) -> Table:
        return Table(self.sums + other.sums)

    def _row(self, which: int) -> Values:
        row: Values = self.sums[which]
        return row


@dataclass(frozen=True, slots=True, eq=False)
class Top:
    """The plain elements of the largest |d| > 0, descending, at most TOP: d, g and the flat index.

    Of a tie the lower indices come first.
    """

    differences: Values
    golden: Values
    indices: Indices

    def __add__(self, other: Top) -> Top:
        differences: Values = np.concatenate((self.differences, other.differences))
        golden: Values = np.concatenate((self.golden, other.golden))
        indices: Indices = np.concatenate((self.indices, other.indices))
        first = np.lexsort((indices, -np.abs(differences)))[:TOP]
        return Top(differences[first], golden[first], indices[first])


@dataclass(frozen=True, slots=True, eq=False)
class Slices:
    """Sums by line and by channel of a pair of floating types, and what else tells a fault.

    Plain elements are those that have an error to speak of: finite on both sides, and not both
    at the end of the coarser type's range (from 0.99 of its largest value on) with one sign,
    which stands for infinity. `golden_bits` and `my_bits` are the bits of the 23-bit float32
    significands in use, a bitwise or over the elements of at least 2**-14 in magnitude; `gridded`
    is how many of my elements that looked at (it may stop where all bits are in use).
    `nonfinite_saturated` elements are infinite on one side and at the end of its own range on the
    other, with one sign. `clipped` elements of my are at the end of its range, which is too small
    for golden's value; `clipped_first` is the flat index of the first, -1 where there is none.
    """

    lines: Table
    channels: Table
    top: Top
    golden_bits: int
    my_bits: int
    gridded: int
    nonfinite_saturated: int
    clipped: int
    clipped_first: int
    # Of the unit of a whole pair's sums, two to it; see `engine.reach`. What is kept has no unit.
    exponent: int = 0
    # The same of the usual elements alone, where huge ones are beside them; see `engine.usual`.
    usual: Slices | None = None

    def __add__(self, other: Slices) -> Slices:
        usual = None
        if self.usual or other.usual:
            usual = (self.usual or self) + (other.usual or other)
        return Slices(
            self.lines + other.lines,
            self.channels + other.channels,
            self.top + other.top,
            self.golden_bits | other.golden_bits,
            self.my_bits | other.my_bits,
            self.gridded + other.gridded,
            self.nonfinite_saturated + other.nonfinite_saturated,
            self.clipped + other.clipped,
            first_index(self.clipped_first, other.clipped_first),
            usual=usual,
        )

    def pack(self) -> bytes:
        """Exactly, in 4 bytes a sum where that is enough."""
        lines, channels = self.lines.sums, self.channels.sums
        halves = np.concatenate((lines, channels), axis=None).view(np.uint32)
        size = 8 if halves[::2].any() else 4
        sums = halves if size == 8 else halves[1::2]
        packed = self._packed(lines.shape[1], channels.shape[1], size, sums)
        return packed + self.usual.pack() if self.usual else packed

    def pack_few(self) -> bytes:
        """The same of at most 64 bins of lines and 256 of channels, in at most 7,000 bytes, and as
        many of the usual elements.

        Sums are rounded to 20 bits: the upper half of a float64, which has its whole range.
        """
        lines = _fewer(self.lines.sums, _FEW_LINES)
        channels = _fewer(self.channels.sums, _FEW_CHANNELS)
        bits = np.concatenate((lines, channels), axis=None).view(np.uint64)
        bits += _HALF
        upper = (bits >> _HALF_WIDTH).astype(np.uint32)
        packed = self._packed(lines.shape[1], channels.shape[1], 4, upper)
        return packed + self.usual.pack_few() if self.usual else packed

    def _packed(self, lines: int, channels: int, size: int, sums: npt.NDArray[np.uint32]) -> bytes:
        top = self.top
        header = _HEADER.pack(
            lines, channels, len(top.indices), size,
            self.golden_bits, self.my_bits, self.gridded, self.nonfinite_saturated,
            self.clipped, self.clipped_first,
        )  # fmt: skip
        kept = (top.differences.tobytes(), top.golden.tobytes(), top.indices.tobytes())
        return b"".join((header, sums.tobytes(), *kept))

    @staticmethod
    def unpack(packed: bytes) -> Slices:
        """The slices that were packed. Raises struct.error or ValueError if damaged."""
        lines, channels, kept, size, *marks = _HEADER.unpack_from(packed)
        count, start = 5 * (lines + channels), _HEADER.size
        end = start + size * count
        rest = packed[end + 24 * kept :]
        if len(packed) < end + 24 * kept:
            raise ValueError("the packed slices are not of the size that their header says")
        if size == 8:
            sums = np.frombuffer(packed, np.float64, count, start)
        else:
            halves = np.zeros(2 * count, np.uint32)
            halves[1::2] = np.frombuffer(packed, np.uint32, count, start)
            sums = halves.view(np.float64)
        slices = Slices(
            Table(sums[: 5 * lines].reshape(5, lines)),
            Table(sums[5 * lines :].reshape(5, channels)),
            Top(
                np.frombuffer(packed, np.float64, kept, end),
                np.frombuffer(packed, np.float64, kept, end + 8 * kept),
                np.frombuffer(packed, np.int64, kept, end + 16 * kept),
            ),
            *marks,
        )
        return replace(slices, usual=Slices.unpack(rest)) if rest else slices


def alike(one: Slices, two: Slices) -> tuple[Slices, Slices]:
    """Both in as many bins, of which one of tensors and one of fingerprints may have others."""
    most = [
        min(getattr(side, axis).sums.shape[1] for side in (one, two))
        for axis in ("lines", "channels")
    ]
    if one.lines.sums.shape == two.lines.sums.shape and (
        one.channels.sums.shape == two.channels.sums.shape
    ):
        return one, two
    tables = (
        [Table(_fewer(table.sums, count)) for table, count in zip(both, most, strict=True)]
        for both in ((one.lines, one.channels), (two.lines, two.channels))
    )
    (lines, channels), (other_lines, other_channels) = tables
    return (
        replace(one, lines=lines, channels=channels),
        replace(two, lines=other_lines, channels=other_channels),
    )


def first_index(one: int, two: int) -> int:
    """The lower of two flat indices, of which -1 is none."""
    return max(one, two) if min(one, two) < 0 else min(one, two)


def _fewer(sums: Values, most: int) -> Values:
    """At most so many bins, each of twice, four times, … as many neighbours."""
    while sums.shape[1] > most:
        sums = _paired(sums)
    return sums


def _paired(sums: Values) -> Values:
    """Every two neighbouring columns as one; the last may be left alone."""
    odd = sums.shape[1] % 2
    paired: Values = sums[:, : sums.shape[1] - odd : 2] + sums[:, 1::2]
    return np.concatenate((paired, sums[:, -1:]), axis=1) if odd else paired


def _power_of_two(number: int) -> int:
    """The least power of two that is no less."""
    return 1 << max(number - 1, 0).bit_length()
