"""Both sides of a pair as a diagnosis sees them: arrays of bounded size, and what is wrong."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.kernel import widen
from ait_cmp.source import Array, Source
from ait_cmp.values.dtypes import DType, coarser

__all__ = [
    "MOST",
    "Floats",
    "Index",
    "Mask",
    "Sides",
    "energy",
    "open_sides",
    "other_axes",
    "slope",
    "spread",
    "values_of",
    "widened",
]

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MOST = 1 << 21  # elements of a side that are read at most
_PROBES, _PROBED = 64, 4096  # places of a larger one that are tried, and elements at each
_BLOCK = 1 << 18
_EXACT = 2.0**53  # up to here float64 has every whole number
_HUGE = 1e30  # a mask is this large, and no value is
_SAMPLED = 1024  # elements of any place, and as many of those with errors


@dataclass(frozen=True)
class Sides:
    """The values of both sides, NaN where they are left out, which is where one is not finite or
    masked; `bits` are my's as they are stored.

    Where the shapes differ nothing is known of which element belongs to which. `read` names the
    part that was read, where that is not all. `odd` elements are left out, and are not alike.
    """

    golden: Floats
    my: Floats
    bits: Array
    types: tuple[DType, DType]
    read: str = ""
    odd: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """My's."""
        return self.my.shape

    @property
    def is_whole(self) -> bool:
        """Whether all elements were read."""
        return not self.read

    @property
    def are_paired(self) -> bool:
        """Whether each element of my has its element of golden."""
        return self.golden.shape == self.my.shape

    @property
    def grain(self) -> float:
        """The relative error of one honest rounding to the coarser type; of exact ones none."""
        return coarser(*self.types).roundoff

    @functools.cached_property
    def difference(self) -> Floats:
        """My less golden; NaN where one is left out."""
        found: Floats = self.my - self.golden
        return found

    @functools.cached_property
    def told(self) -> Mask:
        """Where both are there."""
        return ~np.isnan(self.difference)

    @functools.cached_property
    def there(self) -> tuple[Floats, Floats]:
        """The elements of golden and my that are there on both sides, flat."""
        return self.golden[self.told], self.my[self.told]

    @functools.cached_property
    def squares(self) -> Floats:
        """Of the differences; 0 where there is none."""
        return _squares(self.difference)

    @functools.cached_property
    def error(self) -> float:
        """Σd²."""
        return float(self.squares.sum())

    @functools.cached_property
    def golden_squares(self) -> float:
        """Σg²."""
        return float(self.sizes.sum())

    @functools.cached_property
    def sizes(self) -> Floats:
        """Golden's squares, 0 where it is left out."""
        return _squares(self.golden)

    @functools.cached_property
    def sample(self) -> Index:
        """Flat places in my: some of any place, and some of those where the error is."""
        places = np.random.default_rng(0).integers(0, self.my.size, _SAMPLED)
        return np.unique(np.concatenate([places, self.wrong]) if self.are_paired else places)

    @functools.cached_property
    def wrong(self) -> Index:
        """Flat places of some of the errors that are no smaller than others."""
        squares = self.squares.reshape(-1)
        found = np.flatnonzero(squares >= 0.25 * squares.mean())
        return np.unique(found[np.random.default_rng(1).integers(0, len(found), _SAMPLED)])

    def part(self, index: tuple[Any, ...]) -> Sides:
        """Both sides at `index`."""
        golden, my, bits = (one[index] for one in (self.golden, self.my, self.bits))
        return replace(self, golden=golden, my=my, bits=bits, read="part", odd=0)


def _squares(values: Floats) -> Floats:
    """0 where nothing is there."""
    found: Floats = np.square(np.nan_to_num(values, nan=0.0))
    return found


def energy(values: Floats) -> float:
    """The sum of squares of what is there."""
    return float(_squares(values).sum())


def spread(values: Floats) -> float:
    """The same about the mean."""
    there = values[~np.isnan(values)]
    return float(np.square(there - there.mean()).sum()) if there.size else 0.0


def slope(golden: Floats, my: Floats) -> float:
    """The factor that brings golden, all of it there, nearest to my; 0 where golden is nothing."""
    squares = float(np.square(golden).sum())
    return float((golden * my).sum()) / squares if squares else 0.0


def other_axes(ndim: int, axis: int) -> tuple[int, ...]:
    """All of so many but this one."""
    return tuple(one for one in range(ndim) if one != axis)


def open_sides(golden: Source, my: Source) -> Sides | None:
    """Both read, or a part where there is more; None where nothing can be told of a part."""
    types = golden.dtype, my.dtype
    if max(golden.elements, my.elements) <= MOST:
        sides = _sides(_all(golden), _all(my), types, "")
    elif golden.shape == my.shape:
        sides = _part(golden, my, types)
    else:
        return None
    return sides if _are_exact(sides) else None


def _are_exact(sides: Sides) -> bool:
    """Whether float64 holds every whole number: of others nothing can be measured."""
    values = zip((sides.golden, sides.my), sides.types, strict=True)
    return all(
        dtype.is_floating or float(np.abs(one).max(initial=0.0)) < _EXACT for one, dtype in values
    )


def values_of(source: Source) -> Floats:
    """All of one side, as `Sides` has it."""
    return _there(widened(_all(source), source.dtype))


def widened(bits: Array, dtype: DType) -> Floats:
    """The values of stored bits of any shape."""
    return widen(bits.reshape(-1), dtype).reshape(bits.shape)


def _sides(golden: Array, my: Array, types: tuple[DType, DType], read: str) -> Sides:
    values = widened(golden, types[0]), widened(my, types[1])
    odd = _odd(*values) if golden.shape == my.shape else 0
    return Sides(_there(values[0]), _there(values[1]), my, types, read, odd)


def _there(values: Floats) -> Floats:
    """The same, NaN where one is left out."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(np.abs(values) < _HUGE, values, np.nan)


def _odd(golden: Floats, my: Floats) -> int:
    """How many are left out on a side at least, and are not NaN, or of one sign, on both."""
    with np.errstate(invalid="ignore", over="ignore"):
        left_out = [~(np.abs(one) < _HUGE) for one in (golden, my)]
        signs = [np.where(np.isnan(one), 0.0, np.sign(one)) for one in (golden, my)]
    alike = left_out[0] & left_out[1] & (signs[0] == signs[1])
    return int(np.count_nonzero((left_out[0] | left_out[1]) & ~alike))


def _part(golden: Source, my: Source, types: tuple[DType, DType]) -> Sides:
    """Whole lines along all axes but the outermost, around where the error is."""
    shape, begin, index = my.shape, 0, list[str]()
    place = _wrong_place(golden, my)
    for axis, size in enumerate(shape):
        inner = math.prod(shape[axis + 1 :])
        at = place // inner % size
        if inner <= MOST:
            count = min(size, MOST // inner)
            first = min(max(0, at - count // 4), size - count)
            begin += first * inner
            index.append(f"{first}:{first + count}" if count < size else ":")
            break
        begin += at * inner
        index.append(str(at))
    inside = (count, *shape[axis + 1 :])
    stop = begin + math.prod(inside)
    bits = [_read(one, begin, stop).reshape(inside) for one in (golden, my)]
    return _sides(bits[0], bits[1], types, f"[{', '.join(index)}]")


def _wrong_place(golden: Source, my: Source) -> int:
    """The first of some places whose error is near the largest that they show."""
    starts = [golden.elements // _PROBES * number for number in range(_PROBES)]
    errors = []
    for start in starts:
        stop = min(start + _PROBED, golden.elements)
        found = _sides(golden.read(start, stop), my.read(start, stop), (golden.dtype, my.dtype), "")
        errors.append(found.error + float(np.isnan(found.difference).sum()))
    worst = max(errors)
    return next(start for start, error in zip(starts, errors, strict=True) if error >= 0.1 * worst)


def _all(source: Source) -> Array:
    return _read(source, 0, source.elements).reshape(source.shape)


def _read(source: Source, start: int, stop: int) -> Array:
    parts = [source.read(begin, min(begin + _BLOCK, stop)) for begin in range(start, stop, _BLOCK)]
    return np.concatenate(parts) if parts else source.read(start, stop)
