"""Each element of golden changed by one rule: scaled, shifted, clipped, of another sign."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ait_cmp.engine.diagnosis.claims import Claim
from ait_cmp.engine.diagnosis.naming import number, times
from ait_cmp.engine.diagnosis.sides import Floats, Sides, energy, other_axes, slope

__all__ = [
    "affine",
    "are_floats",
    "are_numbers",
    "by_axis",
    "clipped",
    "flushed",
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
_BETTER = 2.0  # times as little must be left by a number for each index as by one for all
_BINS, _IN_BIN = 32, 8  # of golden's values, and elements that one has at least
# Of what a rule leaves more than this, of golden, is no noise where its mean in the bins is so much
# of it: then my is a curve of golden, and no straight line.
_CURVED, _BENT = 0.02, 0.5
_HUGE = 10.0  # times the median: elements that are most of golden, and whose factor is theirs alone
_REMAINS = 0.006  # of the spread of a rule's own may remain: two factors have one between them
_SCORES = 4096  # elements of a lone line may be scores of a vocabulary
_ENDS = 8  # elements that stand at the end of a range


def are_floats(sides: Sides) -> bool:
    """Whether both sides are rounded numbers, each with its counterpart, that differ by more than
    truncation makes them."""
    floating = all(one.is_floating for one in sides.types)
    return floating and sides.are_paired and sides.error > _OFF**2 * sides.golden_squares


def are_numbers(sides: Sides) -> bool:
    """The same, or whole numbers."""
    whole = not any(one.is_floating or one.name == "bool" for one in sides.types)
    return are_floats(sides) or (whole and sides.are_paired)


def scaled(sides: Sides) -> Iterator[Claim]:
    """Golden times one factor."""
    factor = slope(*sides.there)
    if factor and not _is_bent(sides, factor, 0.0) and not _is_of_few(sides, factor, 0.0):
        words = f"my is golden times {times(factor)}"
        yield Claim(words, sides.golden * factor, 1, remains=_REMAINS)


def with_offset(sides: Sides) -> Iterator[Claim]:
    """Golden and one number."""
    golden, my = sides.there
    offset = float((my - golden).mean())
    if not are_floats(sides):  # nothing is rounded
        if bool((my - golden == offset).all()):
            yield Claim(f"my is golden {offset:+.0f}", sides.golden + offset, 1)
    elif not _are_scores(sides) and not _is_bent(sides, 1.0, offset):
        yield Claim(f"my is golden {offset:+.4g}", sides.golden + offset, 1)


def affine(sides: Sides) -> Iterator[Claim]:
    """Golden times one factor, and one number."""
    golden, my = sides.there
    mean, centre = float(golden.mean()), float(my.mean())
    factor = slope(golden - mean, my - centre)
    offset = centre - factor * mean
    if abs(factor) <= _NOTHING or _are_scores(sides) or _is_of_few(sides, factor, offset):
        return
    if not _is_bent(sides, factor, offset):
        words = f"my is golden times {times(factor)}, {offset:+.4g}"
        yield Claim(words, sides.golden * factor + offset, 2, remains=_REMAINS)


def _is_of_few(sides: Sides, factor: float, offset: float) -> bool:
    """Whether huge elements are most of golden, and the others do not follow their line."""
    golden, my = sides.there
    size = np.abs(golden)
    others = size <= _HUGE * float(np.median(size))
    if 2.0 * float(np.square(golden[others]).sum()) > sides.golden_squares:
        return False
    golden, my = golden[others], my[others]
    return 2.0 * energy(my - factor * golden - offset) > energy(my - golden)


def _are_scores(sides: Sides) -> bool:
    """Whether an offset may be noise of what scores were made of: it has one in a lone line, of
    which a softmax makes nothing."""
    return sides.my.size == sides.shape[-1] >= _SCORES


def _is_bent(sides: Sides, factor: float, offset: float) -> bool:
    """Whether what a straight line leaves depends on golden: another function is near to one."""
    golden, my = sides.there
    made = golden * factor + offset
    left = my - made
    squares = float(np.square(left).sum())
    bins = min(_BINS, golden.size // _IN_BIN)
    if bins < 2 or not _CURVED**2 * float(np.square(made).sum()) < squares < sides.error:
        return False
    edges = np.linspace(0, golden.size, bins + 1).astype(int)
    sums = np.add.reduceat(left[np.argsort(golden, kind="stable")], edges[:-1])
    by_bins = float((np.square(sums) / np.diff(edges)).sum())
    return by_bins > _BENT * squares


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
    squares, products, powers = (
        (one * other).sum(others, keepdims=True)
        for one, other in ((golden, golden), (golden, my), (my, my))
    )
    means, centres = (one.sum(others, keepdims=True) / count for one in (golden, my))
    # What differs from one index to the next is fitted, and tells nothing.
    spreads, varies = squares - count * means**2, float((powers - count * centres**2).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = np.where(squares > 0, products / squares, 1.0)
        slopes = np.where(spreads > 0, (products - count * means * centres) / spreads, 1.0)
    ones, offsets = np.ones_like(means), centres - means
    which = "of each channel" if axis == len(sides.shape) - 1 else f"of each index along dim {axis}"
    for words, fitted, slope_, offset in (
        (f"times a factor {which} {_range(factors)}", size, factors, 0.0 * ones),
        (f"and an offset {which} {_range(offsets)}", size, ones, offsets),
        (f"times a factor and an offset {which}", 2 * size, slopes, centres - slopes * means),
    ):
        own = min(varies, float((np.square(slope_) * spreads).sum()))
        made = sides.golden * slope_ + offset
        if (np.abs(slope_) > _NOTHING).all() and own > 0 and _is_better(sides, made):
            yield Claim(f"my is golden {words}", made, fitted, varies=own)


def _range(values: Floats) -> str:
    return f"({number(float(values.min()))} to {number(float(values.max()))})"


def _is_better(sides: Sides, made: Floats) -> bool:
    """Whether this leaves much less than one factor and one offset for all do."""
    golden, my = sides.there
    mean, centre = golden.mean(), my.mean()
    factor = slope(golden - mean, my - centre)
    plain = energy(my - centre - factor * (golden - mean))
    return _BETTER * energy(sides.my - made) <= plain


def signs_changed(sides: Sides) -> Iterator[Claim]:
    """The other sign, none, or only one of them."""
    yield Claim("my is -golden", -sides.golden)
    if not ((sides.golden < 0).any() and (sides.golden > 0).any()):
        return
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
