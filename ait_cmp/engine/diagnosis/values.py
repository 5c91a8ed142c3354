"""Each element of golden changed by one rule: scaled, shifted, clipped, of another sign."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ait_cmp.engine.diagnosis.claims import Claim
from ait_cmp.engine.diagnosis.naming import number, times
from ait_cmp.engine.diagnosis.sides import Sides, other_axes, slope

__all__ = [
    "affine",
    "are_floats",
    "by_axis",
    "clipped",
    "flushed",
    "has_signs",
    "scaled",
    "signs_changed",
    "with_offset",
]

_PER = 8  # elements for each factor that an axis has
_MOST_FACTORS = 1 << 14
# Of golden: less may be truncation, which is a factor as well, and one of several where it has gone
# through a square.
_OFF, _FAR_OFF = 8e-3, 1.5e-2
_NOTHING = 1e-3  # a factor of less leaves nothing of golden
_MOSTLY = 0.5  # of the error in one slice is that slice's alone
_ENDS = 8  # elements that stand at the end of a range


def are_floats(sides: Sides) -> bool:
    """Whether both sides are rounded numbers, each with its counterpart, that differ by more than
    truncation makes them."""
    floating = all(one.is_floating for one in sides.types)
    return floating and sides.are_paired and sides.error > _OFF**2 * sides.golden_squares


def has_signs(sides: Sides) -> bool:
    """Whether golden has elements of both signs."""
    return are_floats(sides) and bool((sides.golden < 0).any() and (sides.golden > 0).any())


def scaled(sides: Sides) -> Iterator[Claim]:
    """Golden times one factor."""
    if factor := slope(*sides.there):
        yield Claim(f"my is golden times {times(factor)}", sides.golden * factor, 1)


def with_offset(sides: Sides) -> Iterator[Claim]:
    """Golden and one number."""
    golden, my = sides.there
    offset = float((my - golden).mean())
    yield Claim(f"my is golden {offset:+.4g}", sides.golden + offset, 1)


def affine(sides: Sides) -> Iterator[Claim]:
    """Golden times one factor, and one number."""
    golden, my = sides.there
    mean, centre = float(golden.mean()), float(my.mean())
    factor = slope(golden - mean, my - centre)
    if abs(factor) > _NOTHING:
        offset = centre - factor * mean
        words = f"my is golden times {times(factor)}, {offset:+.4g}"
        yield Claim(words, sides.golden * factor + offset, 2)


def by_axis(sides: Sides) -> Iterator[Claim]:
    """The same by each index of an axis: scales of quantisation, a weight of a norm, a bias."""
    if sides.error < _FAR_OFF**2 * sides.golden_squares:
        return
    for axis in reversed(range(len(sides.shape))):
        size = sides.shape[axis]
        if not 1 < size <= _MOST_FACTORS or sides.my.size < _PER * size:
            continue
        others = other_axes(len(sides.shape), axis)
        if others and sides.squares.sum(others).max() < _MOSTLY * sides.error:
            yield from _by_index(sides, others, axis)


def _by_index(sides: Sides, others: tuple[int, ...], axis: int) -> Iterator[Claim]:
    told = sides.told
    golden, my = (np.where(told, one, 0.0) for one in (sides.golden, sides.my))
    count = np.maximum(told.sum(others, keepdims=True), 1)
    size = sides.shape[axis]
    squares, products = ((golden * one).sum(others, keepdims=True) for one in (golden, my))
    means, centres = (one.sum(others, keepdims=True) / count for one in (golden, my))
    which = "of each channel" if axis == len(sides.shape) - 1 else f"of each index along dim {axis}"
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = np.where(squares > 0, products / squares, 1.0)
        spread = squares - count * means**2
        slopes = np.where(spread > 0, (products - count * means * centres) / spread, 1.0)
    told_range = f"({number(float(factors.min()))} to {number(float(factors.max()))})"
    yield Claim(f"my is golden times a factor {which} {told_range}", sides.golden * factors, size)
    offsets = centres - means
    told_range = f"({number(float(offsets.min()))} to {number(float(offsets.max()))})"
    yield Claim(f"my is golden and an offset {which} {told_range}", sides.golden + offsets, size)
    both = sides.golden * slopes + (centres - slopes * means)
    yield Claim(f"my is golden times a factor and an offset {which}", both, 2 * size)


def signs_changed(sides: Sides) -> Iterator[Claim]:
    """The other sign, none, or only one of them."""
    yield Claim("my is -golden", -sides.golden)
    yield Claim("my is the absolute value of golden", np.abs(sides.golden))
    yield Claim("my is golden where that is positive, and 0 elsewhere", sides.golden.clip(0.0))


def clipped(sides: Sides) -> Iterator[Claim]:
    """Golden within a range: saturated."""
    golden, my = sides.there
    if not my.size:
        return
    low, high = float(my.min()), float(my.max())
    below, above = golden < low, golden > high
    ends = (
        np.count_nonzero(my == low) * bool(below.any()),
        np.count_nonzero(my == high) * bool(above.any()),
    )
    if max(ends) < _ENDS or not ((my > low) & (my < high)).any():
        return
    low, high = (
        end if n >= _ENDS else side
        for end, n, side in ((low, ends[0], -math.inf), (high, ends[1], math.inf))
    )
    count = np.count_nonzero(golden < low) + np.count_nonzero(golden > high)
    said = " and ".join(number(one) for one in (low, high) if not math.isinf(one))
    words = f"my is golden, saturated at {said} ({count} elements of {golden.size})"
    yield Claim(words, np.clip(sides.golden, low, high), 2)


def flushed(sides: Sides) -> Iterator[Claim]:
    """Small elements of golden are zero in my."""
    golden, my = (np.abs(one) for one in sides.there)
    gone = (my == 0) & (golden > 0)
    if np.count_nonzero(gone) < _ENDS or not my.any():
        return
    limit = float(golden[gone].max())
    if np.count_nonzero((golden <= limit) & (my > 0)) > np.count_nonzero(gone) // 50:
        return
    words = (
        f"my is golden, flushed to zero up to {number(limit)} ({np.count_nonzero(gone)} elements)"
    )
    yield Claim(words, np.where(np.abs(sides.golden) <= limit, 0.0, sides.golden), 1)
