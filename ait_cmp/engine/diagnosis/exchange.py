"""Slices of golden at other places: rows, heads, channels or entries exchanged or repeated.

Each slice of my is held beside all of golden along the same axis; the nearest says where it is
from, and the whole is measured under what that says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ait_cmp.engine.diagnosis.claims import Claim
from ait_cmp.engine.diagnosis.naming import indices
from ait_cmp.engine.diagnosis.sides import Floats, Index, Sides, other_axes

__all__ = ["cut", "exchanged", "has_other_size", "has_slices"]

_FEATURES = 256  # elements of a slice that it is known by
_WRONG = 0.01  # of its squares, a slice whose error is above this is not its own counterpart
# Of their squares, slices from elsewhere may leave so much, or what the others leave: a copy is as
# good as these are, and what is only near to another slice is none.
_LEFT = 0.0025
_MOST = 4096  # slices along an axis
# Channels of one. Parts of exchanged heads are exchanged as well: the widest say it plainest.
_HEADS = (512, 256, 192, 160, 128, 112, 96, 80, 64, 48, 32, 16, 8)


def has_slices(sides: Sides) -> bool:
    """Whether there are several, with counterparts."""
    return sides.are_paired and max(sides.shape, default=0) > 1


def exchanged(sides: Sides) -> Iterator[Claim]:
    """Slices along one axis, or blocks of channels, that are others of golden."""
    shape = sides.shape
    *rest, last = shape
    for axis in range(len(rest)):
        yield from _along(sides, shape, axis, f"dim {axis}")
    for width in _HEADS:
        if last % width == 0 and last > width:
            split = (*rest, last // width, width)
            yield from _along(sides, split, len(rest), f"heads of {width} channels")
    yield from _along(sides, shape, len(rest), f"dim {len(rest)}")


def _along(sides: Sides, shape: tuple[int, ...], axis: int, name: str) -> Iterator[Claim]:
    size, each = shape[axis], sides.my.size // shape[axis]
    if not 1 < size <= _MOST or each < 16 + 2 * math.log2(size):
        return
    others = other_axes(len(shape), axis)
    error, squares = (one.reshape(shape).sum(others) for one in (sides.squares, sides.sizes))
    limits = _WRONG * np.maximum(squares, 1e-3 * squares.mean())
    wrong = np.flatnonzero(error > limits)
    if not len(wrong):
        return
    source = np.arange(size)
    my = np.take(sides.my.reshape(shape), wrong, axis)
    source[wrong] = _nearest(my, sides.golden.reshape(shape), axis)
    if (source == np.arange(size)).all():
        return
    made = np.take(sides.golden.reshape(shape), source, axis).reshape(sides.shape)
    is_moved, is_right = source != np.arange(size), error <= limits
    left = np.nan_to_num(np.square(sides.my - made), nan=0.0).reshape(shape).sum(others)
    own = np.nan_to_num(np.square(sides.my), nan=0.0).reshape(shape).sum(others)
    rest = left[is_right].sum() / max(own[is_right].sum(), 1e-300)
    if left[is_moved].sum() > max(_LEFT, rest) * own[is_moved].sum():
        return
    moved = np.flatnonzero(is_moved)
    words = f"my has other slices of golden along {name}: {_told(source, moved)}"
    yield Claim(words, made, len(moved) / 8)


def _nearest(my: Floats, golden: Floats, axis: int) -> Index:
    """Of each slice of my along an axis the slice of golden that is nearest to it."""
    one, other = (np.moveaxis(side, axis, 0).reshape(side.shape[axis], -1) for side in (my, golden))
    places = np.random.default_rng(0).permutation(one.shape[1])[:_FEATURES]
    one, other = (np.nan_to_num(side[:, np.sort(places)], nan=0.0) for side in (one, other))
    distances = np.square(other).sum(1) - 2.0 * (one @ other.T)
    found: Index = distances.argmin(1)
    return found


def _told(source: Index, moved: Index) -> str:
    """Which slices are which, as shortly as it can be said."""
    size, from_ = len(source), source[moved]
    here, there = indices(moved, size), from_.tolist()
    if len(moved) == 2 and there == moved[::-1].tolist():
        return f"{moved[0]} and {moved[1]} are exchanged"
    if (source == np.arange(size)[::-1]).all():
        return "in reverse order"
    for groups in (one for one in range(2, size) if size % one == 0):
        if (source == np.arange(size) % groups).all():
            return f"the first {groups} again and again"
        if (source == np.arange(size) // (size // groups)).all():
            return f"each of the first {groups} repeated {size // groups} times"
        if (source == np.arange(size) // groups * groups).all():
            return f"the first of each {groups} repeated"
    if len(set(there)) == 1:
        return f"{here} {'is' if len(moved) == 1 else 'are'} {there[0]}"
    steps = set((moved - from_).tolist())
    if len(steps) == 1:
        return f"{here} are {indices(from_, size)}"
    if sorted(there) == moved.tolist():
        return f"{here} are the same {len(moved)} in another order"
    return f"{len(moved)} of {size} are others, from {moved[0]}, which is {there[0]}, on"


def has_other_size(sides: Sides) -> bool:
    """Whether my may be a part of golden, or golden of my."""
    return (
        sides.is_whole
        and sides.golden.size != sides.my.size
        and min(sides.golden.size, sides.my.size) > 0
    )


def cut(sides: Sides) -> Iterator[Claim]:
    """My is a slice of golden, or golden repeated, along one axis."""
    for golden, axis in _alike_but_one(sides.golden, sides.shape):
        sizes = golden.shape[axis], sides.shape[axis] if len(sides.shape) == golden.ndim else 1
        my = sides.my.reshape((*golden.shape[:axis], sizes[1], *golden.shape[axis + 1 :]))
        each = golden.size // sizes[0]
        if max(sizes) > _MOST or each < 16 + 2 * math.log2(max(sizes)):
            continue
        source = _nearest(my, golden, axis)
        made = np.take(golden, source, axis)
        words = _cut_words(source, golden.shape, axis)
        if words:
            is_plain = golden.shape == sides.golden.shape
            steps = _cut_steps(source, axis, len(sides.shape)) if is_plain else ""
            yield Claim(words, made.reshape(sides.shape), 1, adapters=steps)
            continue
        back = _nearest(golden, my, axis)  # my has golden somewhere, and more
        if len(back) > 1 and (np.diff(back) == 1).all() and sizes[1] > sizes[0]:
            made = np.full(my.shape, np.nan)
            index: list[slice] = [slice(None)] * my.ndim
            index[axis] = slice(int(back[0]), int(back[-1]) + 1)
            made[tuple(index)] = golden
            before = ":, " * axis
            words = f"my[{before}{back[0]}:{back[-1] + 1}] equals golden, the rest is more"
            yield Claim(words, made, 1)


def _alike_but_one(golden: Floats, shape: tuple[int, ...]) -> Iterator[tuple[Floats, int]]:
    """Golden, and the axis in which it differs from my's shape; which may be one that my lacks."""
    if golden.ndim == len(shape):
        axes = [axis for axis in range(len(shape)) if golden.shape[axis] != shape[axis]]
        if len(axes) == 1:
            yield golden, axes[0]
        return
    if golden.ndim == len(shape) + 1:
        for axis in range(golden.ndim):
            if (*golden.shape[:axis], *golden.shape[axis + 1 :]) == shape:
                yield golden, axis
        if shape[1:] == golden.shape[2:]:  # the batch in one row of tokens
            yield golden.reshape(-1, *golden.shape[2:]), 0


def _cut_steps(source: Index, axis: int, dims: int) -> str:
    """The adapter that cuts this out, where one does."""
    steps = {*np.diff(source).tolist()}
    if len(steps) > 1 or min(steps, default=1) < 1:
        return ""
    first, last = int(source[0]), int(source[-1])
    if len(source) == 1:
        return f"select({axis}, {first})"
    step = f":{min(steps)}" if steps != {1} else ""
    return f"slice({':, ' * axis}{first}:{last + 1}{step})"


def _cut_words(source: Index, shape: tuple[int, ...], axis: int) -> str:
    size = shape[axis]
    before = ":, " * axis
    step = set(np.diff(source).tolist())
    if len(source) <= size and (len(source) == 1 or (len(step) == 1 and min(step) > 0)):
        return f"my equals golden[{before}{indices(source, size)}]"
    if len(source) % size == 0:
        times = len(source) // size
        if (source == np.arange(len(source)) % size).all():
            return f"my equals golden {times} times along dim {axis}, one behind the other"
        if (source == np.arange(len(source)) // times).all():
            return f"my has each index along dim {axis} of golden {times} times in a row"
    if len(source) < size and step and min(step) > 0:
        return f"my has {len(source)} of the {size} indices along dim {axis} of golden, in order"
    return ""
