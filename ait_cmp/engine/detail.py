"""A pair in detail: where its error is, how large its parts are, and how my goes with golden.

Of the few rows that a person looks at closely. Blocks are read one after another, so that memory
stays bounded; of a pair of more than `MOST` elements every so many-th block is.
"""

from __future__ import annotations

import base64
import itertools
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.elements import element_text
from ait_cmp.engine.kernel import widen
from ait_cmp.source import Source

__all__ = ["Detail", "look_in_detail"]

MOST = 1 << 25  # elements that are read
BINS = 256  # of an axis, and of each side of the image, at most
SCATTER = 64  # bins of each side of the scatter
WORST = 10  # elements
_BLOCK = 1 << 18  # elements at once
_SAMPLED = 1 << 18  # elements, of which the scatter's range is learned
_WIDE = 20.0  # times the rms: values beyond need an axis that is not linear
_SHOWN = 1 << 22  # elements that are in the scatter, about
# The highest bits of a float64: sign, exponent, and one of its digits. They are the bins of the
# histogram, two for each power of two.
_HIGHEST, _BIAS = np.uint64(51), 1023
_SIGN = 1 << 12
_CODES = 254  # grey steps of the image between its least and its largest error

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Axis:
    """The error along one dimension: so many indices a bin, the rms and the largest of each."""

    size: int
    width: int
    rms: tuple[float, ...]
    largest: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Worst:
    """One element: its flat index, and both values as text."""

    index: int
    golden: str
    my: str


@dataclass(frozen=True, slots=True)
class Detail:
    """What a look at all elements found; `read` of `elements` were looked at.

    `histogram` counts errors by their size, where my is above golden and where it is below: bin
    `first` + n holds those from 2**k on where that is 2k, and those from 1.5 * 2**k on where it is
    2k + 1; `equal` elements have none, and `nonfinite` are not finite on one side at least, unlike.
    `scatter` has the counts of golden's bins × my's,
    each from `low` to `high`; where `unit` is not 0, equal steps of arcsinh(value / unit). Counts
    are codes of one byte: log2(1 + count) * 8. `image` is the largest error over the last two
    dimensions, in bins of `image_width`: a byte each, 0 where there is none, 255 where elements are
    not finite, unlike, and else steps of the logarithm from `image_low` to `image_high`.
    """

    elements: int
    read: int
    equal: int
    nonfinite: int
    first: int
    histogram: tuple[tuple[int, ...], tuple[int, ...]]
    low: float
    high: float
    unit: float
    scatter: bytes
    image_size: tuple[int, int]
    image_width: tuple[int, int]
    image_low: float
    image_high: float
    image: bytes
    axes: tuple[Axis, ...]
    worst: tuple[Worst, ...]

    def packed(self) -> dict[str, Any]:
        """All of it as plain values."""
        said = asdict(self)
        for name in ("scatter", "image"):
            said[name] = base64.b64encode(zlib.compress(said[name])).decode()
        return said

    @staticmethod
    def unpacked(packed: Mapping[str, Any]) -> Detail:
        """What `packed` gave. Raises TypeError, ValueError or zlib.error where it did not."""
        said = dict(packed)
        for name in ("scatter", "image"):
            said[name] = zlib.decompress(base64.b64decode(said[name]))
        for name in ("image_size", "image_width", "histogram"):
            said[name] = tuple(tuple(one) if isinstance(one, list) else one for one in said[name])
        said["axes"] = tuple(
            Axis(**(one | {name: tuple(one[name]) for name in ("rms", "largest")}))
            for one in said["axes"]
        )
        said["worst"] = tuple(Worst(**one) for one in said["worst"])
        return Detail(**said)


def look_in_detail(*, golden: Source, my: Source) -> Detail:
    """Look at two sources of one shape. Raises as reading does."""
    found = _Found(golden.shape, _Scatter.of(golden, my))
    for start, stop in _blocks(golden.shape):
        with np.errstate(invalid="ignore", over="ignore"):
            found.add(start, _read(golden, start, stop), _read(my, start, stop))
    worst = tuple(
        Worst(index, element_text(golden, index), element_text(my, index)) for index in found.top()
    )
    return found.detail(worst)


def _read(source: Source, start: int, stop: int) -> Floats:
    return widen(source.read(start, stop), source.dtype)


def _blocks(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Those that are read."""
    elements, line = math.prod(shape), shape[-1] if shape else 1
    every = max(1, -(-elements // MOST))
    return itertools.islice(_all_blocks(elements, line), None, None, every)


def _all_blocks(elements: int, line: int) -> Iterator[tuple[int, int]]:
    """Whole lines, as many as a block holds, or parts of one line."""
    if line > _BLOCK:
        for begin in range(0, elements, line):
            end = begin + line
            yield from ((start, min(start + _BLOCK, end)) for start in range(begin, end, _BLOCK))
    elif elements:
        size = _BLOCK // line * line
        yield from ((start, min(start + size, elements)) for start in range(0, elements, size))


@dataclass(frozen=True, slots=True)
class _Bins:
    """Indices of one dimension in bins of equal width."""

    size: int
    width: int

    @classmethod
    def of(cls, size: int) -> _Bins:
        return cls(size, max(1, -(-size // BINS)))

    @property
    def count(self) -> int:
        return max(1, -(-self.size // self.width))


@dataclass(frozen=True, slots=True)
class _Scatter:
    """The axis of both sides of the scatter."""

    low: float
    high: float
    unit: float

    @classmethod
    def of(cls, golden: Source, my: Source) -> _Scatter:
        """One that holds what elements here and there are; what is beyond goes to its ends."""
        parts = [
            _read(side, start, min(start + _SAMPLED // 16, side.elements))
            for side in (golden, my)
            for start in range(0, side.elements, max(_SAMPLED // 16, -(-side.elements // 16)))
        ]
        values = np.concatenate(parts) if parts else np.zeros(1)
        values = values[np.isfinite(values)]
        if not values.size:
            return cls(-1.0, 1.0, 0.0)
        low, high = float(values.min()), float(values.max())
        middle = float(np.median(np.abs(values[values != 0]))) if np.any(values) else 0.0
        unit = middle if max(-low, high) > _WIDE * middle > 0 else 0.0
        if low == high:
            low, high = low - max(abs(low), 1.0), high + max(abs(high), 1.0)
        return cls(low, high, unit)

    def place(self, values: Floats) -> Counts:
        """The bin of each value."""
        low, high = self.low, self.high
        if self.unit:
            values = np.arcsinh(values / self.unit)
            low, high = (math.asinh(one / self.unit) for one in (low, high))
        # Halves, since a difference of two huge numbers may be infinite.
        places = (values / 2 - low / 2) / (high / 2 - low / 2) * SCATTER
        return np.clip(places, 0, SCATTER - 1).astype(np.int64)


class _Found:
    """What the blocks so far have shown."""

    def __init__(self, shape: tuple[int, ...], scatter: _Scatter) -> None:
        self._shape = shape or (1,)
        self._bins = [_Bins.of(size) for size in self._shape]
        self._scatter = scatter
        self._counts = np.zeros(SCATTER * SCATTER, np.int64)
        self._histogram = np.zeros(2 * _SIGN, np.int64)
        self._every = -(-math.prod(self._shape) // _SHOWN)
        self._sums = [np.zeros((2, one.count)) for one in self._bins]
        self._largest = [np.zeros(one.count) for one in self._bins]
        self._rows = self._bins[-2] if len(self._shape) > 1 else _Bins(1, 1)
        self._image = np.zeros((self._rows.count, self._bins[-1].count))
        self._top: list[tuple[float, int]] = []
        self._read = self._equal = self._nonfinite = 0

    def add(self, start: int, golden: Floats, my: Floats) -> None:
        """Take the elements from `start` on: whole lines, or a part of one."""
        plain = np.isfinite(golden) & np.isfinite(my)
        difference = my - golden
        strange = not plain.all()
        unlike = ~plain & ~((golden == my) | (np.isnan(golden) & np.isnan(my)))
        if strange:
            difference = np.where(plain, difference, 0.0)
        size = np.abs(difference)
        self._read += size.size
        self._nonfinite += int(np.count_nonzero(unlike)) if strange else 0
        self._equal += int(np.count_nonzero(plain)) - int(np.count_nonzero(size))
        self._add_sizes(difference)
        some = slice(None, None, self._every)
        kept = plain[some]
        places = self._scatter.place(golden[some][kept]), self._scatter.place(my[some][kept])
        counted = np.bincount(places[0] * SCATTER + places[1], minlength=self._counts.size)
        self._counts += counted
        shown = np.where(unlike, np.inf, size) if strange else size
        self._add_top(start, shown)
        self._add_places(start, size, shown, plain)

    def _add_sizes(self, difference: Floats) -> None:
        places = (difference.view(np.uint64) >> _HIGHEST).astype(np.int64)
        counted = np.bincount(places, minlength=2 * _SIGN)
        for sign, tiny in ((0, difference > 0), (_SIGN, difference < 0)):
            counted[sign] = np.count_nonzero(tiny & (places == sign)) if counted[sign] else 0
        self._histogram += counted

    def _add_top(self, start: int, shown: Floats) -> None:
        least = self._top[-1][0] if len(self._top) == WORST else 0.0
        better = np.flatnonzero(shown > least)
        if better.size > WORST:
            order = np.argsort(-shown[better], kind="stable")[:WORST]
            better = better[order]
        self._top += [(float(shown[one]), start + int(one)) for one in better]
        self._top = sorted(self._top, key=lambda one: (-one[0], one[1]))[:WORST]

    def _add_places(self, start: int, size: Floats, shown: Floats, plain: npt.NDArray[Any]) -> None:
        """Sums and maxima along each dimension: columns at once, all others by whole lines."""
        width = self._shape[-1]
        column, line = start % width, start // width
        wide = min(width - column, size.size)
        columns = self._bins[-1]
        first = column // columns.width
        edges = np.arange(first, -(-(column + wide) // columns.width)) * columns.width - column
        edges = np.maximum(edges, 0)
        sums = [one.reshape(-1, wide) for one in (np.square(size), plain.astype(np.float64))]
        largest = np.maximum.reduceat(shown.reshape(-1, wide), edges, axis=1)
        here = slice(first, first + edges.size)
        for row, part in enumerate(sums):
            self._sums[-1][row, here] += np.add.reduceat(part.sum(axis=0), edges)
        self._largest[-1][here] = np.maximum(self._largest[-1][here], largest.max(axis=0))
        lines = np.arange(line, line + len(largest))
        self._add_lines(lines, [part.sum(axis=1) for part in sums], largest.max(axis=1))
        rows = lines % self._rows.size // self._rows.width
        np.maximum.at(self._image[:, here], rows, largest)

    def _add_lines(self, lines: Counts, sums: list[Floats], largest: Floats) -> None:
        places = np.unravel_index(lines, self._shape[:-1]) if len(self._shape) > 1 else ()
        for axis, indices in enumerate(places):
            bins = indices // self._bins[axis].width
            for row, part in enumerate(sums):
                count = self._bins[axis].count
                self._sums[axis][row] += np.bincount(bins, weights=part, minlength=count)
            np.maximum.at(self._largest[axis], bins, largest)

    def top(self) -> list[int]:
        """The elements of the largest errors, those that are not finite first."""
        return [index for _, index in self._top]

    def detail(self, worst: tuple[Worst, ...]) -> Detail:
        """All that was found."""
        signs = self._histogram.reshape(2, _SIGN)
        used = np.flatnonzero(signs.any(axis=0))
        first, last = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 0)
        above, below = signs[:, first:last].tolist()
        codes, low, high = _coded(self._image)
        return Detail(
            elements=math.prod(self._shape),
            read=self._read,
            equal=self._equal,
            nonfinite=self._nonfinite,
            first=first - 2 * _BIAS,
            histogram=(tuple(above), tuple(below)),
            low=self._scatter.low,
            high=self._scatter.high,
            unit=self._scatter.unit,
            scatter=np.round(np.log2(1 + self._counts) * 8).astype(np.uint8).tobytes(),
            image_size=(self._rows.count, self._bins[-1].count),
            image_width=(self._rows.width, self._bins[-1].width),
            image_low=low,
            image_high=high,
            image=codes,
            axes=tuple(map(_axis, self._bins, self._sums, self._largest)),
            worst=worst,
        )


def _coded(image: Floats) -> tuple[bytes, float, float]:
    """An image as bytes, and the errors that its steps go from and to."""
    some = image[(image > 0) & np.isfinite(image)]
    if not some.size:
        return np.where(np.isinf(image), 255, 0).astype(np.uint8).tobytes(), 0.0, 0.0
    low, high = float(some.min()), float(some.max())
    steps = math.log(high / low) if 0 < low < high < math.inf else 0.0
    with np.errstate(divide="ignore"):
        places = (np.log(image) - math.log(low)) / (steps or 1.0) * (_CODES - 1)
    codes = 1 + np.clip(np.where(np.isfinite(places), places, 0.0), 0, _CODES - 1)
    codes = np.where(image == 0, 0, np.where(np.isinf(image), 255, np.round(codes)))
    return codes.astype(np.uint8).tobytes(), low, high


def _axis(bins: _Bins, sums: Floats, largest: Floats) -> Axis:
    rms = np.sqrt(sums[0] / np.maximum(sums[1], 1))
    return Axis(bins.size, bins.width, _few_digits(rms), _few_digits(largest))


def _few_digits(values: Floats) -> tuple[float, ...]:
    """Four digits; what is not finite, as -1, for which JSON has no number."""
    return tuple(float(f"{one:.4g}") if math.isfinite(one) else -1.0 for one in values.tolist())
