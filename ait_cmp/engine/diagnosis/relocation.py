"""The elements of golden, all of them, at other places: transposed, in another layout, shifted.

Every way is tried on a sample first, by what numbers stand where: a view of golden is not copied.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ait_cmp.engine.diagnosis.claims import Claim
from ait_cmp.engine.diagnosis.sides import Floats, Index, Sides, spread

__all__ = [
    "has_order",
    "is_rearranged",
    "laid_out_otherwise",
    "moved",
    "permuted",
    "reshaped",
    "shifted",
]

Shape = tuple[int, ...]

_PROMISING = 0.5  # of the error of a sample may remain for a way to be tried on all
_GLANCE, _GLANCED = 96, 0.8  # elements of a first glance, and what may remain of their error
_DIVISORS = 24  # of a size that are tried
_MOST_DIMS = 5
_NEAR = 64  # places that a shift may have, and further ones of a few kinds
_FLAT = (1, 2, 3, 4, 8, 12, 16, 20, 24, 32, 48, 64, 128, 256, 512, 1024, 2048, 4096)
_FRACTALS = (16, 32)


def has_order(sides: Sides) -> bool:
    """Whether there is more than one place."""
    return sides.is_whole and sides.golden.size == sides.my.size > 1


def is_rearranged(sides: Sides) -> bool:
    """Whether the shapes alone say that my's elements stand otherwise."""
    return has_order(sides) and not sides.are_paired


def _seems_so(my: Floats, made: Floats, golden: Floats | None, most: float = _PROMISING) -> bool:
    """Whether a sample makes it worth while to try a way on all elements, since `most` of the error
    at most remains; `golden` is what stands where my does, if anything does."""
    difference = my - made
    told = ~np.isnan(difference)
    if np.count_nonzero(told) < 8:
        return False
    left = float(np.square(difference[told]).sum())
    if golden is None:
        return left <= most * spread(my[told])
    before = np.square(np.nan_to_num((my - golden)[told], nan=0.0)).sum()
    return bool(left <= most * before)


@dataclass(frozen=True, slots=True)
class _Way:
    """Golden's flat elements seen in the shape `split` with its axes in `order` are my's; where
    `inverse`, my's are golden's."""

    split: Shape
    order: tuple[int, ...]
    inverse: bool = False

    def seen(self, values: Floats) -> Floats:
        """A view of them."""
        return values.reshape(self.split).transpose(self.order)

    def fits(self, sides: Sides) -> bool:
        """Whether a sample says so."""
        few = sides.sample[:: len(sides.sample) // _GLANCE + 1]
        return self._fits(sides, few, _GLANCED) and self._fits(sides, sides.sample, _PROMISING)

    def _fits(self, sides: Sides, places: Index, most: float) -> bool:
        mine, theirs = (sides.golden, sides.my) if self.inverse else (sides.my, sides.golden)
        seen = self.seen(theirs)
        made = seen[np.unravel_index(places, seen.shape)]
        there = theirs.reshape(-1)[places] if sides.are_paired else None
        return _seems_so(mine.reshape(-1)[places], made, there, most)

    def made(self, sides: Sides) -> Floats:
        """What it makes of golden."""
        if not self.inverse:
            return self.seen(sides.golden).reshape(sides.shape)
        back = np.argsort(self.order)
        seen = tuple(self.split[axis] for axis in self.order)
        return sides.golden.reshape(seen).transpose(back).reshape(sides.shape)


def reshaped(sides: Sides) -> Iterator[Claim]:
    """The same elements in the same order, in another shape."""
    way = _Way((sides.golden.size,), (0,))
    if way.fits(sides):
        words = f"my equals golden reshaped to {list(sides.shape)}"
        yield Claim(words, way.made(sides), adapters=_reshape(sides.shape))


def _reshape(shape: Shape) -> str:
    return f"reshape({', '.join(map(str, shape))})"


def permuted(sides: Sides) -> Iterator[Claim]:
    """The axes of golden in another order."""
    shape = sides.golden.shape
    for order in itertools.permutations(range(len(shape))) if len(shape) <= _MOST_DIMS else ():
        seen = tuple(shape[axis] for axis in order)
        if not _moves(order, shape):
            continue
        kept = tuple(size for size in seen if size != 1)
        if kept != tuple(size for size in sides.shape if size != 1):
            continue
        way = _Way(shape, order)
        if way.fits(sides):
            steps = _steps(order)
            if seen != sides.shape:
                steps += f" | {_reshape(sides.shape)}"
            yield Claim(f"my equals golden{_turned(order)}", way.made(sides), adapters=steps)


def _places(order: Sequence[int]) -> list[int]:
    """Those that have another axis in this order."""
    return [place for place, axis in enumerate(order) if place != axis]


def _steps(order: Sequence[int]) -> str:
    moved = _places(order)
    name, axes = ("transpose", moved) if len(moved) == 2 else ("permute", order)
    return f"{name}({', '.join(map(str, axes))})"


def _turned(order: Sequence[int]) -> str:
    moved = _places(order)
    if len(moved) == 2:
        return f" with dims {moved[0]} and {moved[1]} transposed"
    return f".permute({', '.join(map(str, order))})"


def _moves(order: Sequence[int], shape: Shape) -> bool:
    """Whether any element moves: axes of 1 are nowhere."""
    return [axis for axis in order if shape[axis] > 1] != [
        axis for axis in range(len(shape)) if shape[axis] > 1
    ]


def laid_out_otherwise(sides: Sides) -> Iterator[Claim]:
    """Golden's memory read with one axis in two parts, or two axes the other way round."""
    for way, words in _ways(sides.golden.shape):
        for one in (way, _Way(way.split, way.order, inverse=True)):
            if one.fits(sides):
                yield Claim(_layout(words, one), one.made(sides))


def _layout(words: str, way: _Way) -> str:
    return words.format("my", "golden") if not way.inverse else words.format("golden", "my")


@functools.lru_cache(maxsize=64)
def _ways(shape: Shape) -> tuple[tuple[_Way, str], ...]:
    """Those of a shape, the plainest first, with words to be told of my and golden."""
    return tuple(_all_ways(shape))


def _all_ways(shape: Shape) -> Iterator[tuple[_Way, str]]:
    axes = [axis for axis, size in enumerate(shape) if size > 1]
    sizes = tuple(shape[axis] for axis in axes)
    if len(sizes) > _MOST_DIMS:
        return
    seen = set[tuple[Shape, Shape]]()
    for split in _splits(sizes):
        for order in _block_swaps(len(split.sizes)):
            key = _essence(split.sizes, order)
            if key not in seen:
                seen.add(key)
                whole = axes[split.whole] if split.axis >= 0 else -1
                where = "the last dim" if whole == len(shape) - 1 else f"dim {whole}"
                yield _Way(split.sizes, order), _told(split, order, where)


@dataclass(frozen=True, slots=True)
class _Split:
    """Sizes in which one axis, once the `whole`-th, is two: that at `axis` and the next one; in
    each of so many elements, where it is three."""

    sizes: Shape
    axis: int = -1
    whole: int = -1
    each: int = 0


def _splits(sizes: Shape) -> Iterator[_Split]:
    """None at all, one axis in two, and the last one in heads whose halves or pairs are apart."""
    yield _Split(sizes)
    for axis in reversed(range(len(sizes))):
        before, after = sizes[:axis], sizes[axis + 1 :]
        for inner in _divisors(sizes[axis]):
            yield _Split((*before, sizes[axis] // inner, inner, *after), axis, axis)
    *rest, last = sizes
    for each in _divisors(last):
        if each > 2 and each % 2 == 0:
            for halves in ((2, each // 2), (each // 2, 2)):
                at = len(rest)
                yield _Split((*rest, last // each, *halves), at + 1, at, each)


def _divisors(size: int) -> list[int]:
    """What one axis may consist of parts of: of many the ones that mean something first."""
    found = [inner for inner in range(2, size // 2 + 1) if size % inner == 0]
    return sorted(found, key=lambda inner: (inner not in (2, size // 2), -inner))[:_DIVISORS]


def _block_swaps(dims: int) -> Iterator[tuple[int, ...]]:
    """The orders in which a run of axes has moved past the run behind it."""
    axes = tuple(range(dims))
    for start, middle, stop in itertools.combinations(range(dims + 1), 3):
        yield (*axes[:start], *axes[middle:stop], *axes[start:middle], *axes[stop:])


def _essence(split: Shape, order: tuple[int, ...]) -> tuple[Shape, Shape]:
    """What a block swap does: sizes before, of both blocks, behind."""
    moved = _places(order)
    first, last = moved[0], moved[-1]
    second = order.index(first)
    one, two = (
        math.prod(split[axis] for axis in block)
        for block in (order[second : last + 1], order[first:second])
    )
    inner = math.prod(split[last + 1 :])
    return (one, two), (inner,)


def _told(split: _Split, order: tuple[int, ...], where: str) -> str:
    """A layout in words: {0} is the side that has it, {1} the other."""
    axis, sizes = split.axis, split.sizes
    if axis < 0:
        return f"{{0}} has the memory of {{1}} with its dims in the order {list(order)}, unmoved"
    outer, inner = sizes[axis], sizes[axis + 1]
    inside = order[:axis] == tuple(range(axis)) and order[axis : axis + 2] == (axis + 1, axis)
    of = f"of each {split.each} elements along {where}" if split.each else f"along {where}"
    if inside and inner == 2:
        return f"{{0}} has {{1}}'s pairs of neighbours {of} as two halves"
    if inside and outer == 2:
        return f"{{0}} has {{1}}'s two halves {of} interleaved"
    if inside:
        return f"{{0}} has {{1}} {of}, {outer} groups of {inner}, the other way round"
    turned = [sizes[place] for place in order]
    groups = f"{outer} groups of {inner} {of}"
    if axis == len(sizes) - 2 and order[-1] == axis + 1 and not split.each:
        fractal = "FRACTAL_NZ read as ND, or " if inner in _FRACTALS else ""
        return (
            f"{{0}} has {{1}}'s {groups} before the lines instead of within them "
            f"({fractal}heads before tokens)"
        )
    return f"{{0}} has the memory of {{1}} in another layout, {list(sizes)} as {turned} ({groups})"


def moved(sides: Sides) -> Iterator[Claim]:
    """Golden some places on along one axis."""
    for axis, size in enumerate(sides.shape):
        for count in _counts(size):
            yield from _moved_along(sides, axis, count)


def _counts(size: int) -> Iterator[int]:
    near = range(1, min(_NEAR, size - 1) + 1)
    far = [size // 2, *(1 << power for power in range(7, 14))]
    for count in dict.fromkeys([*near, *(one for one in far if one < size)]):
        yield from (count, -count)


def _moved_along(sides: Sides, axis: int, count: int) -> Iterator[Claim]:
    size = sides.shape[axis]
    if not _seems_moved(sides, axis, count):
        return
    whole = np.roll(sides.golden, count, axis)
    words = f"my equals golden{{}} shifted by {count} along dim {axis}"
    around = np.take(sides.my, _wrapped(size, count), axis)
    if (
        sides.is_whole
        and spread(around)
        and np.allclose(
            around, np.take(whole, _wrapped(size, count), axis), rtol=0.05, equal_nan=True
        )
    ):
        yield Claim(words.format("") + ", and around its end", whole)
        return
    index: list[slice | Index] = [slice(None)] * len(sides.shape)
    index[axis] = _wrapped(size, count)
    whole[tuple(index)] = np.nan
    before = ":, " * axis
    kept = f"[{before}:{size - count}]" if count > 0 else f"[{before}{-count}:]"
    yield Claim(words.format(kept), whole)


def _seems_moved(sides: Sides, axis: int, count: int) -> bool:
    inner = math.prod(sides.shape[axis + 1 :])
    my, golden = sides.my.reshape(-1), sides.golden.reshape(-1)
    for step, most in ((len(sides.sample) // _GLANCE + 1, _GLANCED), (1, _PROMISING)):
        places = sides.sample[::step]
        here = places // inner % sides.shape[axis] - count
        inside = (here >= 0) & (here < sides.shape[axis])
        made = np.where(inside, golden[np.where(inside, places - count * inner, 0)], np.nan)
        if not _seems_so(my[places], made, golden[places], most):
            return False
    return True


def _wrapped(size: int, count: int) -> Index:
    """The places that a shift brings in from the other end."""
    return np.arange(count) if count > 0 else np.arange(size + count, size)


def shifted(sides: Sides) -> Iterator[Claim]:
    """Golden some elements on in memory, whatever its shape."""
    golden, my = sides.golden.reshape(-1), sides.my.reshape(-1)
    for count in itertools.chain.from_iterable((one, -one) for one in _FLAT):
        here = sides.sample - count
        inside = (here >= 0) & (here < golden.size)
        if np.count_nonzero(inside) < len(here) / 2:
            continue
        made = np.where(inside, golden[here % golden.size], np.nan)
        if _seems_so(my[sides.sample], made, golden[sides.sample]):
            whole = np.roll(golden, count)
            whole[_wrapped(golden.size, count)] = np.nan
            words = f"my equals golden shifted by {count} elements in memory"
            yield Claim(words, whole.reshape(sides.shape))
